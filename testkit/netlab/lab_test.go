//go:build interop

package netlab_test

import (
	"net/netip"
	"testing"

	. "holdfast/testkit/netlab"
)

// full has every attribute that a lab compares.
func full(p string) Route {
	return Route{
		Prefix: netip.MustParsePrefix(p), Origin: "egp", ASPath: "65010 4200000010 {65011 65012}",
		MED: new(uint32(70)), AtomicAggregate: true, Aggregator: "65010 192.0.2.7",
		Communities: []string{"65010:1", "65535:65284"}, Extended: []string{"rt:65010:2", "soo:65010:3"},
		Large: []string{"65010:4:5", "4200000010:6:7"}, Unknown: []string{"99 c0 01020304"},
	}
}

const asA, asB = 65001, 65002

// link is a lab with BIRD at a and another make at b, and sessions v4 and v6.
type link struct {
	na, nb *Node
	a, b   Router
}

func start(t *testing.T, b Make, routesA, routesB []Route, change func(s *Session)) link {
	l := New(t)
	na, nb := l.Node("a"), l.Node("b")
	sessions := func(from, to *Node, as uint32) []Session {
		list := []Session{
			{Name: "v4", Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}},
			{Name: "v6", Local: from.V6, Remote: to.V6, AS: as, Families: []Family{IPv6}},
		}
		for i := range list {
			change(&list[i])
		}
		return list
	}
	return link{
		na: na, nb: nb,
		a: BIRD().Start(na, Config{AS: asA, ID: na.V4, Sessions: sessions(na, nb, asB), Routes: routesA}),
		b: b.Start(nb, Config{AS: asB, ID: nb.V4, Sessions: sessions(nb, na, asA), Routes: routesB}),
	}
}

func (l link) up(t *testing.T) {
	t.Helper()
	for _, r := range []Router{l.a, l.b} {
		AwaitUp(t, r, "v4")
		AwaitUp(t, r, "v6")
	}
}

// sent is a route as the neighbor has it.
func sent(r Route, from *Node, as uint32, at Make) []Route {
	r.ASPath, r.NextHop = Prepend(r.ASPath, as), from.Addr(FamilyOf(r.Prefix))
	return []Route{at.Shows(r)}
}

// each runs a subtest for every make that can do what the test is about.
func each(t *testing.T, able func(m Make) bool, test func(t *testing.T, m Make)) {
	t.Parallel()
	for _, m := range Makes() {
		if !able(m) {
			continue
		}
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

func all(Make) bool { return true }

// TestPairs checks the lab with two other routers: what each announces is what
// the other says that it has received.
func TestPairs(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		bird := BIRD()
		a4, a6 := bird.Can(full("198.51.100.0/24")), bird.Can(full("2001:db8:100::/48"))
		b4, b6 := m.Can(full("203.0.113.0/24")), m.Can(full("2001:db8:200::/48"))
		l := start(t, m, []Route{a4, a6}, []Route{b4, b6}, func(*Session) {})
		l.up(t)
		AwaitRoutes(t, l.b, "v4", sent(a4, l.na, asA, m))
		AwaitRoutes(t, l.b, "v6", sent(a6, l.na, asA, m))
		AwaitRoutes(t, l.a, "v4", sent(b4, l.nb, asB, bird))
		AwaitRoutes(t, l.a, "v6", sent(b6, l.nb, asB, bird))

		l.a.Withdraw(a4)
		l.b.Withdraw(b6)
		AwaitRoutes(t, l.b, "v4", nil)
		AwaitRoutes(t, l.a, "v6", nil)
		l.a.AskRefresh("v4")
		if !m.NoAskRefresh {
			l.b.AskRefresh("v6")
		}
		AwaitRoutes(t, l.a, "v4", sent(b4, l.nb, asB, bird))
		AwaitRoutes(t, l.b, "v6", sent(a6, l.na, asA, m))
	})
}

// TestGuarded brings sessions up with TCP MD5 and with GTSM.
func TestGuarded(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		start(t, m, nil, nil, func(s *Session) { s.Password, s.GTSM = "correct-horse", s.Name == "v6" }).up(t)
	})
}

// TestExtendedNextHop sends IPv4 routes over the IPv6 session.
func TestExtendedNextHop(t *testing.T) {
	each(t, func(m Make) bool { return !m.NoExtNextHop }, func(t *testing.T, m Make) {
		bird := BIRD()
		ra, rb := bird.Can(full("198.51.100.0/24")), m.Can(full("203.0.113.0/24"))
		l := start(t, m, []Route{ra}, []Route{rb}, func(s *Session) {
			if s.Name == "v6" {
				s.Families, s.ExtNextHop = []Family{IPv4, IPv6}, true
			} else {
				s.Families = []Family{IPv6}
			}
		})
		l.up(t)
		wantB, wantA := sent(ra, l.na, asA, m), sent(rb, l.nb, asB, bird)
		wantB[0].NextHop, wantA[0].NextHop = l.na.V6, l.nb.V6
		AwaitRoutes(t, l.b, "v6", wantB)
		AwaitRoutes(t, l.a, "v6", wantA)
	})
}
