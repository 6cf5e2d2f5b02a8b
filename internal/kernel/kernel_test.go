package kernel

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

func hop(gateway string, link int, weight uint16, onlink bool) fib.Hop {
	h := fib.Hop{Link: link, Weight: weight, OnLink: onlink}
	if gateway != "" {
		h.Gateway = netip.MustParseAddr(gateway)
	}
	return h
}

// kinds are routes of each kind that the kernel takes.
var kinds = []struct {
	name  string
	route fib.Route
}{
	{"ipv4", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("10.1.0.2", 2, 0, false)}}}},
	{"ipv6", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("2001:db8:100::/48"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("2001:db8:1::2", 2, 0, false)}}}},
	{"default", fib.Route{Table: 254, Prefix: prefix.MustParse("0.0.0.0/0"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("10.1.0.2", 2, 0, false)}}}},
	{"source and table", fib.Route{Table: 1000, Metric: 1 << 31, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Source: netip.MustParseAddr("10.1.0.1"), Hops: []fib.Hop{hop("10.1.0.2", 2, 0, false)}}}},
	{"ipv6 source and table", fib.Route{Table: 1000, Metric: 7, Prefix: prefix.MustParse("2001:db8:100::/48"),
		Forward: fib.Forward{Source: netip.MustParseAddr("2001:db8:1::1"), Hops: []fib.Hop{hop("fe80::2", 2, 0, false)}}}},
	{"on the link", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("", 2, 0, false)}}}},
	{"ecmp", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("10.1.0.2", 2, 3, false), hop("10.2.0.2", 3, 256, false)}}}},
	{"ipv6 ecmp", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("2001:db8:100::/48"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("2001:db8:1::2", 2, 1, false), hop("2001:db8:2::2", 3, 5, false)}}}},
	{"ipv4 over ipv6", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("fe80::2", 2, 0, false)}}}},
	{"ecmp over both", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("fe80::2", 2, 1, false), hop("10.2.0.2", 3, 1, false)}}}},
	{"onlink", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("192.0.2.77", 2, 0, true)}}}},
	{"ecmp onlink", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Hops: []fib.Hop{hop("192.0.2.77", 2, 1, true), hop("10.2.0.2", 3, 1, false)}}}},
	{"blackhole", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Action: fib.Blackhole}}},
	{"unreachable", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("2001:db8:100::/48"),
		Forward: fib.Forward{Action: fib.Unreachable}}},
	{"prohibit", fib.Route{Table: 254, Metric: 20, Prefix: prefix.MustParse("198.51.100.0/24"),
		Forward: fib.Forward{Action: fib.Prohibit}}},
}

// one is the only message of a buffer.
func one(t *testing.T, b []byte) message {
	t.Helper()
	var all []message
	for m := range messages(b) {
		all = append(all, m)
	}
	if len(all) != 1 {
		t.Fatalf("%d messages in %x", len(all), b)
	}
	return all[0]
}

// TestRoundTrip reads what is written.
func TestRoundTrip(t *testing.T) {
	for _, c := range kinds {
		t.Run(c.name, func(t *testing.T) {
			b := appendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 77, 144, &c.route)
			if len(b)%4 != 0 {
				t.Errorf("a message of %d bytes, the next one would not begin where it should", len(b))
			}
			m := one(t, b)
			if m.kind != unix.RTM_NEWROUTE || m.flags != unix.NLM_F_CREATE|unix.NLM_F_REQUEST || m.seq != 77 || m.protocol() != 144 {
				t.Errorf("header %+v", m)
			}
			var r route
			if !r.parse(m.body) || !r.ordinary() || !reflect.DeepEqual(r.Route, c.route) {
				t.Errorf("read %+v, want %+v", r.Route, c.route)
			}

			m = one(t, appendRoute(nil, unix.RTM_DELROUTE, 0, 78, 144, &c.route))
			var gone route
			if !gone.parse(m.body) || keyOf(&gone.Route) != keyOf(&c.route) || gone.Hops != nil || gone.kind != unix.RTN_UNSPEC {
				t.Errorf("the removal names %+v", gone)
			}
		})
	}
}

// TestEncoding holds a message to what ip(8) sends for
//
//	ip route add 198.51.100.0/24 via 10.1.0.2 dev a0 proto 144 metric 20
func TestEncoding(t *testing.T) {
	r := kinds[0].route
	got := appendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_CREATE|unix.NLM_F_EXCL, 5, 144, &r)
	native.PutUint32(got[8:], 0)
	want, err := hex.DecodeString(strings.Join(strings.Fields(`
		44000000 1800 0106 00000000 00000000
		02 18 00 00 fe 90 00 01 00000000
		0800 0100 c6336400  0800 0f00 fe000000  0800 0600 14000000
		0800 0500 0a010002  0800 0400 02000000`), ""))
	if err != nil {
		t.Fatal(err)
	}
	if native.Uint16([]byte{1, 0}) == 1 && !bytes.Equal(got, want) {
		t.Errorf("%x, want\n%x", got, want)
	}
}

func TestSpecial(t *testing.T) {
	plain := appendRoute(nil, unix.RTM_NEWROUTE, 0, 1, 4, &kinds[0].route)
	for name, change := range map[string]func(body []byte){
		"a type of service":    func(b []byte) { b[3] = 0x10 },
		"a source prefix":      func(b []byte) { b[2] = 24 },
		"a remembered route":   func(b []byte) { native.PutUint32(b[8:], unix.RTM_F_CLONED) },
		"a local address":      func(b []byte) { b[7] = unix.RTN_LOCAL },
		"throw":                func(b []byte) { b[7] = unix.RTN_THROW },
		"another family":       func(b []byte) { b[0] = unix.AF_BRIDGE },
		"an impossible length": func(b []byte) { b[1] = 33 },
	} {
		b := bytes.Clone(plain)
		change(b[unix.SizeofNlMsghdr:])
		var r route
		if r.parse(one(t, b).body) && r.ordinary() {
			t.Errorf("%s counts as an ordinary route", name)
		}
	}
}

// TestNexthopObject: a route whose ways are hidden in a nexthop object says so.
func TestNexthopObject(t *testing.T) {
	r := fib.Route{Table: 254, Prefix: prefix.MustParse("198.51.100.0/24"), Forward: fib.Forward{Action: fib.Blackhole}}
	b := appendRoute(nil, unix.RTM_NEWROUTE, 0, 1, 4, &r)
	b[unix.SizeofNlMsghdr+7] = unix.RTN_UNICAST
	b = finish(appendUint32(b, routeObject, 7))
	var got route
	if !got.parse(one(t, b).body) || !got.object || got.ordinary() {
		t.Errorf("%+v", got)
	}
	b = finish(appendHop(b, prefix.IPv4, hop("10.1.0.2", 2, 0, false)))
	if !got.parse(one(t, b).body) || got.object || !got.ordinary() {
		t.Errorf("with its ways beside: %+v", got)
	}
}

func TestCheck(t *testing.T) {
	v6 := prefix.MustParse("2001:db8::/32")
	for _, c := range []struct {
		route fib.Route
		want  string
	}{
		{fib.Route{Prefix: v6}, "needs a next hop"},
		{fib.Route{Prefix: v6, Forward: fib.Forward{Hops: make([]fib.Hop, 65)}}, "64"},
		{fib.Route{Prefix: v6, Forward: fib.Forward{Hops: []fib.Hop{hop("10.0.0.1", 0, 0, false)}}}, "IPv4 gateway"},
		{fib.Route{Prefix: v6, Forward: fib.Forward{Source: netip.MustParseAddr("10.0.0.1"), Hops: make([]fib.Hop, 1)}}, "other family"},
	} {
		if err := check(&c.route); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error %v, want one with %q", c.route, err, c.want)
		}
	}
	for _, c := range kinds {
		if err := check(&c.route); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestRefusal(t *testing.T) {
	err := refusal(unix.ENETUNREACH, "Nexthop has invalid gateway")
	if !errors.Is(err, unix.ENETUNREACH) || !strings.Contains(err.Error(), "Nexthop has invalid gateway") || !strings.Contains(err.Error(), "on no link") {
		t.Error(err)
	}
	if err := refusal(unix.ELOOP, ""); !errors.Is(err, unix.ELOOP) {
		t.Error(err)
	}
}

// FuzzMessages makes sure that nothing the kernel could say ends the router.
func FuzzMessages(f *testing.F) {
	for _, c := range kinds {
		f.Add(appendRoute(nil, unix.RTM_NEWROUTE, unix.NLM_F_CREATE, 1, 4, &c.route))
		f.Add(appendRoute(nil, unix.RTM_DELROUTE, 0, 1, 4, &c.route))
	}
	for _, kind := range []uint16{unix.NLMSG_ERROR, unix.RTM_NEWLINK, unix.RTM_NEWADDR, unix.RTM_NEWNEIGH} {
		b := appendHeader(nil, kind, unix.NLM_F_ACK_TLVS|unix.NLM_F_CAPPED, 1)
		b = append(b, unix.AF_INET, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0)
		b = append(b, make([]byte, 4)...)
		f.Add(finish(appendUint32(b, 1, 0x0a010002)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k := &Kernel{own: map[uint64]struct{}{}, foreign: map[uint64]uint16{}, out: &socket{}}
		k.Protocol = fib.DefaultProtocol
		w := &watch{kernel: k, admin: map[int]bool{}, emit: func(fib.Event) {}}
		for m := range messages(b) {
			w.take(m)
			_, _ = m.errno(), m.reason()
			_, _ = parseNeighbor(m.body)
			var r route
			if !r.parse(m.body) {
				continue
			}
			if n := r.Prefix; n != prefix.New(n.Family, n.Hi, n.Lo, n.Bits) {
				t.Errorf("prefix %+v has bits behind its length", n)
			}
			_ = r.Prefix.String()
		}
		w.flush()
	})
}
