//go:build interop

package interop

import (
	"testing"

	. "holdfast/testkit/netlab"
)

// TestSuppress: a neighbor gets an aggregate in the place of its parts, and the
// parts when they are not suppressed any more.
func TestSuppress(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		l := New(t)
		hf, other := l.Node("hf"), l.Node("other")
		between := func(a, b *Node, as uint32, name string) Session {
			return Session{Name: name, Local: a.V4, Remote: b.V4, AS: as, Families: []Family{IPv4}}
		}
		parts := []Route{plain("203.0.113.0/26"), plain("203.0.113.64/26")}
		whole := plain("203.0.113.0/24")
		whole.AtomicAggregate, whole.Aggregator = true, "64500 10.0.0.1"
		router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Routes: parts, Sessions: []Session{between(hf, other, otherAS, "other")},
			Blocks: "aggregate \"whole\" {\n  prefix   = \"203.0.113.0/24\"\n  suppress = true\n}"})
		far := m.Start(other, Config{AS: otherAS, ID: other.V4, Sessions: []Session{between(other, hf, holdfastAS, "hf")}})
		AwaitUp(t, far, "hf")
		want := crossed([]Route{whole}, hf, holdfastAS, false)
		AwaitRoutes(t, far, "hf", []Route{m.Shows(want[0])})
		router.Withdraw(parts[0])
		AwaitRoutes(t, far, "hf", []Route{m.Shows(want[0])})
		router.Withdraw(parts[1])
		AwaitRoutes(t, far, "hf", nil)
	})
}
