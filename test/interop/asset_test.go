//go:build interop

package interop

import (
	"fmt"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestASSets: a route with an AS_SET is not taken from a neighbor with
// reject_as_sets (RFC 9774), and goes on to others without.
func TestASSets(t *testing.T) {
	each(t, func(m Make) bool { return m.Kind != "exabgp" }, func(t *testing.T, m Make) {
		const feederAS = 64701
		for _, reject := range []bool{false, true} {
			t.Run(fmt.Sprintf("reject=%v", reject), func(t *testing.T) {
				l := New(t)
				feeder, hf, other := l.Node("feeder"), l.Node("hf"), l.Node("other")
				between := func(a, b *Node, as uint32, name string) Session {
					return Session{Name: name, Local: a.V4, Remote: b.V4, AS: as, Families: []Family{IPv4}}
				}
				set, none := plain("198.51.100.0/24"), plain("203.0.113.0/24")
				set.ASPath, none.ASPath = "65010 {65011 65012}", "65010"
				ExaBGP().Start(feeder, Config{AS: feederAS, ID: feeder.V4, Routes: []Route{set, none}, Sessions: []Session{between(feeder, hf, holdfastAS, "hf")}})
				session := between(hf, feeder, feederAS, "feeder")
				session.More = fmt.Sprintf("  reject_as_sets = %v", reject)
				router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Sessions: []Session{session, between(hf, other, otherAS, "other")}})
				far := m.Start(other, Config{AS: otherAS, ID: other.V4, Sessions: []Session{between(other, hf, holdfastAS, "hf")}})
				AwaitUp(t, far, "hf")
				want := crossed(crossed([]Route{none, set}, feeder, feederAS, false), hf, holdfastAS, false)
				for i := range want {
					want[i].NextHop = feeder.V4
					want[i] = m.Shows(want[i])
				}
				if reject {
					want = want[:1]
				}
				AwaitRoutes(t, router, "feeder", crossed([]Route{none, set}, feeder, feederAS, false))
				AwaitRoutes(t, far, "hf", want)
			})
		}
	})
}
