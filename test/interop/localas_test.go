//go:build interop

package interop

import (
	"fmt"
	"testing"

	. "holdfast/testkit/netlab"
)

const oldAS = 64510 // as which some know holdfast

// TestLocalAS: a neighbor knows us by another AS number, and a third router is
// sent its routes (RFC 7705 section 3.3).
func TestLocalAS(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		const thirdAS = 64702
		between := func(a, b *Node, as uint32, name string) Session {
			return Session{Name: name, Local: a.V4, Remote: b.V4, AS: as, Families: []Family{IPv4}}
		}
		for _, c := range []struct{ options, sent, passed string }{
			{`[]`, "64510", "64500 64601"},
			{`["send-both", "prepend-inbound"]`, "64510 64500", "64500 64510 64601"},
		} {
			t.Run(c.options, func(t *testing.T) {
				l := New(t)
				hf, other, third := l.Node("hf"), l.Node("other"), l.Node("third")
				theirs, ours := plain("198.51.100.0/24"), plain("203.0.113.0/24")
				session := between(hf, other, otherAS, "other")
				session.More = fmt.Sprintf("  local_asn = %d\n  local_asn_options = %s", oldAS, c.options)
				router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Routes: []Route{ours},
					Sessions: []Session{session, between(hf, third, thirdAS, "third")}})
				far := m.Start(other, Config{AS: otherAS, ID: other.V4, Routes: []Route{theirs}, Sessions: []Session{between(other, hf, oldAS, "hf")}})
				beyond := BIRD().Start(third, Config{AS: thirdAS, ID: third.V4, Sessions: []Session{between(third, hf, holdfastAS, "hf")}})
				AwaitUp(t, router, "other")
				AwaitUp(t, router, "third")
				ours.ASPath, ours.NextHop = c.sent, hf.V4
				AwaitRoutes(t, far, "hf", []Route{m.Shows(ours)})
				ours.ASPath = "64500"
				theirs.ASPath, theirs.NextHop = c.passed, other.V4
				AwaitRoutes(t, beyond, "hf", []Route{ours, theirs})
			})
		}
	})
}

// TestDualAS: the neighbor knows us by one of two AS numbers, in another AS and
// in our own (RFC 7705 section 4).
func TestDualAS(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		for _, c := range []struct {
			name         string
			theirs, ours uint32 // their AS, and ours as they know it
			path         string
		}{
			{"old", otherAS, oldAS, "64510"},
			{"new", otherAS, holdfastAS, "64500"},
			{"internal-old", oldAS, oldAS, ""},
			{"internal-new", holdfastAS, holdfastAS, ""},
		} {
			t.Run(c.name, func(t *testing.T) {
				route := plain("203.0.113.0/24")
				p := connect(t, m, options{otherAS: c.theirs, hfRoutes: []Route{route},
					change:      func(s *Session) { s.More = fmt.Sprintf("  local_asn = %d\n  dual_as = true", oldAS) },
					changeOther: func(s *Session) { s.AS = c.ours }})
				p.up(t, "v4")
				route.ASPath, route.NextHop = c.path, p.hfNode.V4
				if c.path == "" {
					route.LocalPref = new(uint32(100))
				}
				AwaitRoutes(t, p.other, "v4", []Route{m.Shows(route)})
			})
		}
	})
}
