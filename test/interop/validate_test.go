//go:build interop

package interop

import (
	"fmt"
	"maps"
	"testing"

	. "holdfast/testkit/netlab"
)

const (
	firstVRPs = `{"metadata": {}, "roas": [
	{"prefix": "10.1.0.0/16", "maxLength": 16, "asn": 65010, "ta": "x"},
	{"prefix": "10.2.0.0/16", "maxLength": 16, "asn": 65012, "ta": "x"},
	{"prefix": "10.3.0.0/16", "maxLength": 16, "asn": 0, "ta": "x"},
	{"prefix": "10.5.0.0/16", "maxLength": 24, "asn": 65012, "ta": "x"},
	{"prefix": "10.5.0.0/24", "maxLength": 24, "asn": 65013, "ta": "x"},
	{"prefix": "2001:db8::/32", "maxLength": 48, "asn": 65010, "ta": "x"}
]}`
	laterVRPs = `{"metadata": {}, "roas": [
	{"prefix": "10.2.0.0/16", "maxLength": 16, "asn": 65011, "ta": "x"},
	{"prefix": "10.4.0.0/15", "maxLength": 24, "asn": 65012, "ta": "x"},
	{"prefix": "2001:db8:2::/48", "maxLength": 48, "asn": 65011, "ta": "x"}
]}`
)

// TestOriginValidation: holdfast comes to the same verdict about each route as
// another router that asks the same cache (RFC 6811, RFC 8210), when VRPs change,
// and when the cache has been restarted. While it is away nothing changes.
func TestOriginValidation(t *testing.T) {
	each(t, func(m Make) bool { return m.Kind == "bird" || m.Kind == "openbgpd" }, func(t *testing.T, m Make) {
		const feederAS = 64701
		for _, version := range []string{"1", "2"} {
			t.Run("version "+version, func(t *testing.T) {
				l := New(t)
				cacheNode, feeder, hf, other := l.Node("cache"), l.Node("feeder"), l.Node("hf"), l.Node("other")
				cache := StartStayRTR(cacheNode, firstVRPs, "-protocol", version)
				var routes []Route
				for _, r := range [][2]string{{"10.1.0.0/16", "65010"}, {"10.1.1.0/24", "65010"}, {"10.2.0.0/16", "65011"}, {"10.3.0.0/16", "65010"},
					{"10.4.0.0/16", "65010"}, {"10.5.0.0/24", "65012"}, {"2001:db8:1::/48", "65009 65010"}, {"2001:db8:2::/48", "65011"}, {"2001:db9::/32", "65010"}} {
					x := plain(r[0])
					x.ASPath = r[1]
					routes = append(routes, x)
				}
				var mine []Session
				for _, to := range []*Node{hf, other} {
					for _, s := range sessions(feeder, to, map[*Node]uint32{hf: holdfastAS, other: otherAS}[to], options{}) {
						s.Name = to.Name + s.Name
						mine = append(mine, s)
					}
				}
				ExaBGP().Start(feeder, Config{AS: feederAS, ID: feeder.V4, Sessions: mine, Routes: routes})
				router := StartHoldfast(hf, Config{
					AS: holdfastAS, ID: hf.V4, Sessions: sessions(hf, feeder, feederAS, options{}),
					Import: "\n  rule \"invalid\" {\n    match { rpki = \"invalid\" }\n    then = \"reject\"\n  }",
					Blocks: fmt.Sprintf("rpki \"cache\" {\n  address = %q\n  port    = %d\n}\n", cache.At.Addr(), cache.At.Port()),
				})
				judge := m.Start(other, Config{AS: otherAS, ID: other.V4, Sessions: sessions(other, feeder, feederAS, options{}), Cache: cache.At})
				agree := func(valid, invalid, unknown string) {
					t.Helper()
					want := map[string]string{"valid": valid, "invalid": invalid, "unknown": unknown}
					all := []Validator{router}
					if judge != nil {
						all = append(all, judge.(Validator))
					}
					for _, v := range all {
						Await(t, 3*Patience, fmt.Sprintf("the same states at %T", v), func() error {
							got, err := States(t, v)
							if err == nil && !maps.Equal(got, want) {
								err = fmt.Errorf("%v, want %v", got, want)
							}
							return err
						})
					}
				}
				first := func() {
					t.Helper()
					agree("10.1.0.0/16 10.5.0.0/24 2001:db8:1::/48", "10.1.1.0/24 10.2.0.0/16 10.3.0.0/16 2001:db8:2::/48", "10.4.0.0/16 2001:db9::/32")
				}
				later := func() {
					t.Helper()
					agree("10.2.0.0/16 10.5.0.0/24 2001:db8:2::/48", "10.4.0.0/16", "10.1.0.0/16 10.1.1.0/24 10.3.0.0/16 2001:db8:1::/48 2001:db9::/32")
				}
				first()
				cache.Write(laterVRPs)
				later()
				cache.Stop()
				Await(t, Patience, "holdfast knows that the cache is away", func() error { return sourceState(router, "down") })
				before, err := States(t, router)
				if err != nil || before["valid"] != "10.2.0.0/16 10.5.0.0/24 2001:db8:2::/48" {
					t.Fatalf("without the cache: %v, %v", before, err)
				}
				cache.Write(firstVRPs)
				cache.Start()
				Await(t, 3*Patience, "holdfast has the cache again", func() error { return sourceState(router, "up") })
				if m.Kind == "openbgpd" {
					judge = nil // that of Debian asks on in the old session, without end
				}
				first()
				if d, err := router.Detail("v4"); err != nil || d.Detail.Counters.Sessions != 1 {
					t.Errorf("the session was reset: %+v, %v", d.Detail.Counters, err)
				}
			})
		}
	})
}

func sourceState(h *HoldfastRouter, want string) error {
	var v struct {
		Sources []struct {
			State string `json:"state"`
			Error string `json:"error"`
		} `json:"sources"`
	}
	if err := h.AskJSON(&v, "show", "rpki"); err != nil {
		return err
	}
	if len(v.Sources) != 1 || v.Sources[0].State != want {
		return fmt.Errorf("sources %+v, want %s", v.Sources, want)
	}
	return nil
}
