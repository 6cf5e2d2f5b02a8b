//go:build interop

package interop

import (
	"net/netip"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestBlackhole: a customer announces one of its addresses with the blackhole
// community (RFC 7999). Inside the AS the route goes on with our own next hop
// and NO_EXPORT, and not to other ASes.
func TestBlackhole(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		const customerAS = 64701
		l := New(t)
		customer, hf, inside, outside := l.Node("customer"), l.Node("hf"), l.Node("inside"), l.Node("outside")
		between := func(a, b *Node, as uint32, name string) Session {
			return Session{Name: name, Local: a.V4, Remote: b.V4, AS: as, Families: []Family{IPv4}}
		}
		hole, network := plain("198.51.100.7/32"), plain("198.51.100.0/24")
		hole.Communities = []string{"65535:666"}
		BIRD().Start(customer, Config{AS: customerAS, ID: customer.V4, Routes: []Route{hole, network},
			Sessions: []Session{between(customer, hf, holdfastAS, "hf")}})
		toOutside := between(hf, outside, otherAS, "outside")
		toOutside.More = `  next_hop = "unchanged"`
		router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4,
			Sessions: []Session{between(hf, customer, customerAS, "customer"), between(hf, inside, holdfastAS, "inside"), toOutside},
			Import: `
  rule "blackhole" {
    match {
      prefix_length = 32
      community     = "blackhole"
    }
    set {
      add_communities = "no-export"
      next_hop        = "discard"
    }
    then = "accept"
  }`})
		in := m.Start(inside, Config{AS: holdfastAS, ID: inside.V4, Sessions: []Session{between(inside, hf, holdfastAS, "hf")}})
		out := FRR().Start(outside, Config{AS: otherAS, ID: outside.V4, Sessions: []Session{between(outside, hf, holdfastAS, "hf")}})
		AwaitUp(t, in, "hf")
		AwaitUp(t, out, "hf")

		all := crossed([]Route{hole, network}, customer, customerAS, false)
		for i := range all {
			all[i].LocalPref = new(uint32(100))
		}
		all[0].Communities, all[0].NextHop = []string{"65535:666", "65535:65281"}, hf.V4
		AwaitRoutes(t, in, "hf", []Route{m.Shows(all[0]), m.Shows(all[1])})
		far := crossed(crossed([]Route{network}, customer, customerAS, false), hf, holdfastAS, false)
		far[0].NextHop = customer.V4
		AwaitRoutes(t, out, "hf", far)

		var table struct {
			Routes []struct {
				Prefix  netip.Prefix `json:"prefix"`
				Discard bool         `json:"discard"`
			} `json:"routes"`
		}
		if err := router.AskJSON(&table, "show", "routes", "--best"); err != nil {
			t.Fatal(err)
		}
		for _, r := range table.Routes {
			if r.Discard != (r.Prefix == hole.Prefix) {
				t.Errorf("%s is discarded: %v", r.Prefix, r.Discard)
			}
		}
	})
}
