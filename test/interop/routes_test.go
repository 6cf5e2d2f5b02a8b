//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestRoutes sends routes in both directions and both families, changes their
// attributes and withdraws them.
func TestRoutes(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		theirs := can(m, full(IPv4, 1), full(IPv4, 2), full(IPv6, 1), full(IPv6, 2))
		ours := can(Holdfast(), full(IPv4, 11), full(IPv4, 12), full(IPv6, 11), full(IPv6, 12))
		p := connect(t, m, options{hfRoutes: ours, otherOnes: theirs})
		p.up(t)
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs[:2]...))
		AwaitRoutes(t, p.hf, "v6", p.fromOther(theirs[2:]...))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[:2]...))
		AwaitRoutes(t, p.other, "v6", p.fromHoldfast(ours[2:]...))

		for _, r := range []*Route{&theirs[0], &theirs[2], &ours[0], &ours[2]} {
			r.MED, r.Origin = new(uint32(4_000_000_000)), "incomplete"
			r.Communities, r.Large = []string{"65010:9"}, nil
		}
		p.other.Announce(theirs[0], theirs[2])
		p.hf.Announce(ours[0], ours[2])
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs[:2]...))
		AwaitRoutes(t, p.hf, "v6", p.fromOther(theirs[2:]...))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[:2]...))
		AwaitRoutes(t, p.other, "v6", p.fromHoldfast(ours[2:]...))

		p.other.Withdraw(theirs[0], theirs[2])
		p.hf.Withdraw(ours[0], ours[2])
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs[1]))
		AwaitRoutes(t, p.hf, "v6", p.fromOther(theirs[3]))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[1]))
		AwaitRoutes(t, p.other, "v6", p.fromHoldfast(ours[3]))
	})
}

// TestTransit sends routes with every attribute from ExaBGP through holdfast:
// nothing may be lost on the way, except what RFC 4271 keeps inside an AS.
func TestTransit(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		const feederAS = 64701
		l := New(t)
		feeder, hf, other := l.Node("feeder"), l.Node("hf"), l.Node("other")
		routes := []Route{full(IPv4, 1), full(IPv6, 1)}
		exa := ExaBGP().Start(feeder, Config{AS: feederAS, ID: feeder.V4, Sessions: sessions(feeder, hf, holdfastAS, options{}), Routes: routes})
		toFeeder := sessions(hf, feeder, feederAS, options{})
		for i := range toFeeder {
			toFeeder[i].Name = "feeder" + toFeeder[i].Name
		}
		router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Sessions: append(toFeeder, sessions(hf, other, otherAS, options{})...)})
		far := m.Start(other, Config{AS: otherAS, ID: other.V4, Sessions: sessions(other, hf, holdfastAS, options{})})
		AwaitUp(t, exa, "v4")
		AwaitUp(t, far, "v4")
		AwaitUp(t, far, "v6")
		for i, session := range []string{"v4", "v6"} {
			AwaitRoutes(t, router, "feeder"+session, crossed(routes[i:i+1], feeder, feederAS, false))
			want := m.Shows(crossed(crossed(routes[i:i+1], feeder, feederAS, false), hf, holdfastAS, false)[0])
			want.MED = nil // RFC 4271 section 5.1.4: not to another AS
			// All three are on one link (RFC 4271 section 5.1.3).
			want.NextHop = feeder.Addr(FamilyOf(want.Prefix))
			AwaitRoutes(t, far, session, []Route{want})
		}
		exa.Withdraw(routes...)
		AwaitRoutes(t, far, "v4", nil)
		AwaitRoutes(t, far, "v6", nil)
	})
}

// TestIBGP is a session inside of an AS: local preference is sent, the path
// does not grow.
func TestIBGP(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		theirs := can(m, full(IPv4, 1), full(IPv6, 1))
		ours := can(Holdfast(), full(IPv4, 11), full(IPv6, 11))
		for _, r := range []*Route{&theirs[0], &theirs[1], &ours[0], &ours[1]} {
			r.LocalPref = new(uint32(222))
		}
		p := connect(t, m, options{otherAS: holdfastAS, hfRoutes: ours, otherOnes: theirs})
		p.up(t)
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs[0]))
		AwaitRoutes(t, p.hf, "v6", p.fromOther(theirs[1]))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[0]))
		AwaitRoutes(t, p.other, "v6", p.fromHoldfast(ours[1]))
	})
}

// TestRefresh asks for all routes again, in both directions (RFC 2918).
func TestRefresh(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		theirs, ours := plain("198.51.100.0/24"), plain("203.0.113.0/24")
		p := connect(t, m, options{hfRoutes: []Route{ours}, otherOnes: []Route{theirs}})
		p.up(t, "v4")
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours))
		Await(t, Patience, "route", func() error { return has(p.hf, "v4", theirs.Prefix) })
		before, err := p.hf.Detail("v4")
		if err != nil {
			t.Fatal(err)
		}
		counter := func(get func(d NeighborDetail) uint64) func() (uint64, error) {
			return func() (uint64, error) {
				d, err := p.hf.Detail("v4")
				return get(d), err
			}
		}
		if !m.NoAskRefresh {
			p.other.AskRefresh("v4")
			Await(t, Patience, "ROUTE-REFRESH received", atLeast("refresh in", counter(func(d NeighborDetail) uint64 { return d.Detail.Counters.In.Refresh }), before.Detail.Counters.In.Refresh+1))
			Await(t, Patience, "routes sent again", atLeast("updates out", counter(func(d NeighborDetail) uint64 { return d.Detail.Counters.Out.Update }), before.Detail.Counters.Out.Update+1))
			AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours))
		}

		p.hf.AskRefresh("v4")
		Await(t, Patience, "ROUTE-REFRESH sent", atLeast("refresh out", counter(func(d NeighborDetail) uint64 { return d.Detail.Counters.Out.Refresh }), before.Detail.Counters.Out.Refresh+1))
		if !m.NoRefresh {
			Await(t, Patience, "routes received again", atLeast("updates in", counter(func(d NeighborDetail) uint64 { return d.Detail.Counters.In.Update }), before.Detail.Counters.In.Update+1))
		}
		Await(t, Patience, "route", func() error { return has(p.hf, "v4", theirs.Prefix) })
	})
}

// TestEnhancedRefresh: a refresh is between BoRR and EoRR, in both directions, and
// nothing is lost by it (RFC 7313).
func TestEnhancedRefresh(t *testing.T) {
	each(t, func(m Make) bool { return m.Kind == "bird" || m.Kind == "frr" }, func(t *testing.T, m Make) {
		theirs, ours := plain("198.51.100.0/24"), plain("203.0.113.0/24")
		p := connect(t, m, options{hfRoutes: []Route{ours}, otherOnes: []Route{theirs}})
		p.up(t, "v4")
		whole := func() {
			t.Helper()
			AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours))
			Await(t, Patience, "route", func() error { return has(p.hf, "v4", theirs.Prefix) })
		}
		refreshed := func(what string, ask Router, in, out uint64) {
			t.Helper()
			whole()
			before, err := p.hf.Detail("v4")
			if err != nil {
				t.Fatal(err)
			}
			ask.AskRefresh("v4")
			Await(t, Patience, what, func() error {
				d, err := p.hf.Detail("v4")
				was, is := before.Detail.Counters, d.Detail.Counters
				if err == nil && (is.In.Refresh != was.In.Refresh+in || is.Out.Refresh != was.Out.Refresh+out) {
					err = fmt.Errorf("holdfast has received %d and sent %d messages", is.In.Refresh-was.In.Refresh, is.Out.Refresh-was.Out.Refresh)
				}
				return err
			})
			whole()
		}
		refreshed("a request, and both markers sent", p.other, 1, 2)
		refreshed("a request sent, and both markers", p.hf, 2, 1)
	})
}

func has(r Router, session string, p netip.Prefix) error {
	routes, err := r.Received(session)
	if err != nil {
		return err
	}
	for _, have := range routes {
		if have.Prefix == p {
			return nil
		}
	}
	return fmt.Errorf("%s has not received %s", r.Kind(), p)
}

// TestFourByteAS runs both sides with AS numbers above 65535 (RFC 6793).
func TestFourByteAS(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		theirs, ours := can(m, full(IPv4, 1)), can(Holdfast(), full(IPv4, 11))
		theirs[0].Aggregator = ""
		p := connect(t, m, options{hfAS: 4200000500, otherAS: 4200000601, hfRoutes: ours, otherOnes: theirs})
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs...))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours...))
	})
}

// TestTwoByteNeighbor talks to routers without four-byte AS numbers: they see
// AS_TRANS, holdfast merges AS4_PATH back (RFC 6793 section 4.2).
func TestTwoByteNeighbor(t *testing.T) {
	each(t, func(m Make) bool { return !m.NoAS2 }, func(t *testing.T, m Make) {
		theirs := can(m, full(IPv4, 1))
		theirs[0].Aggregator = ""
		ours := can(Holdfast(), full(IPv4, 11))
		p := connect(t, m, options{
			hfAS: 4200000500, hfRoutes: ours, otherOnes: theirs,
			changeOther: func(s *Session) {
				s.AS2 = true
				if m.AS2Trans {
					s.AS = 23456
				}
			},
		})
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs...))
		// How they show the AS4_PATH beside it differs.
		want := p.fromHoldfast(ours...)[0]
		Await(t, Patience, "AS_TRANS at "+m.Kind, func() error {
			got, err := p.other.Received("v4")
			if err != nil {
				return err
			}
			if len(got) != 1 {
				return fmt.Errorf("it has %d routes", len(got))
			}
			for _, path := range []string{"23456", want.ASPath} {
				if got[0].ASPath == path {
					return nil
				}
			}
			return fmt.Errorf("the AS path is %q", got[0].ASPath)
		})
		if d, err := p.hf.Detail("v4"); err != nil || d.Detail.Negotiated == nil || d.Detail.Negotiated.FourOctetASN {
			t.Errorf("four-byte AS numbers must not be negotiated: %+v %v", d.Detail.Negotiated, err)
		}
	})
}

// TestExtendedNextHop has IPv4 routes with IPv6 next hops (RFC 8950).
func TestExtendedNextHop(t *testing.T) {
	each(t, func(m Make) bool { return !m.NoExtNextHop }, func(t *testing.T, m Make) {
		theirs := can(m, full(IPv4, 1), full(IPv6, 1))
		ours := can(Holdfast(), full(IPv4, 11), full(IPv6, 11))
		p := connect(t, m, options{single: true, change: func(s *Session) { s.ExtNextHop = true }, hfRoutes: ours, otherOnes: theirs})
		p.up(t, "v6")
		want, wantThere := p.fromOther(theirs...), p.fromHoldfast(ours...)
		want[0].NextHop, wantThere[0].NextHop = p.otherNode.V6, p.hfNode.V6
		AwaitRoutes(t, p.hf, "v6", want)
		AwaitRoutes(t, p.other, "v6", wantThere)
		p.other.Withdraw(theirs[0])
		p.hf.Withdraw(ours[0])
		AwaitRoutes(t, p.hf, "v6", want[1:])
		AwaitRoutes(t, p.other, "v6", wantThere[1:])
	})
}

// TestAddPath receives several paths of a prefix (RFC 7911). Routers that
// cannot originate such get them from two others.
func TestAddPath(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		prefix := netip.MustParsePrefix("198.51.100.0/24")
		addPath := func(s *Session) { s.AddPath = s.Name == "v4" }
		var p *pair
		var one, two Route // as holdfast must see them
		var withdraw func()
		if m.OwnPaths {
			one, two = Route{Prefix: prefix, PathID: 1, Origin: "igp", ASPath: "64701"}, Route{Prefix: prefix, PathID: 2, Origin: "igp", ASPath: "64702"}
			p = connect(t, m, options{otherOnes: []Route{one, two}, change: addPath})
			withdraw = func() { p.other.Withdraw(two) }
		} else {
			l := New(t)
			var upstream []Router
			var more []Session
			a, b := l.Node("a"), l.Node("b")
			transit := netip.AddrFrom4([4]byte{10, 0, 0, 4}) // the fourth node
			for i, n := range []*Node{a, b} {
				as := uint32(64701 + i)
				upstream = append(upstream, BIRD().Start(n, Config{AS: as, ID: n.V4, Routes: []Route{plain(prefix.String())},
					Sessions: []Session{{Name: "transit", Local: n.V4, Remote: transit, AS: otherAS, Families: []Family{IPv4}}}}))
				more = append(more, Session{Name: "from" + n.Name, Local: transit, Remote: n.V4, AS: as, Families: []Family{IPv4}})
			}
			p = connect(t, m, options{lab: l, change: addPath, more: more})
			if p.otherNode.V4 != transit {
				t.Fatalf("the transit is at %s", p.otherNode.V4)
			}
			one, two = Route{Prefix: prefix, Origin: "igp", ASPath: "64701"}, Route{Prefix: prefix, Origin: "igp", ASPath: "64702"}
			withdraw = func() { upstream[1].Withdraw(plain(prefix.String())) }
		}
		p.up(t, "v4")
		ids := func() string {
			routes, err := p.hf.Received("v4")
			if err != nil {
				return err.Error()
			}
			var s []string
			for _, r := range routes {
				s = append(s, fmt.Sprint(r.PathID))
			}
			return strings.Join(s, " ")
		}
		AwaitRoutes(t, p.hf, "v4", p.fromOther(one, two))
		if s := strings.Fields(ids()); len(s) != 2 || s[0] == s[1] {
			t.Errorf("path ids %v, want two different ones", s)
		}
		withdraw()
		AwaitRoutes(t, p.hf, "v4", p.fromOther(one))
	})
}
