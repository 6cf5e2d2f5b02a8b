//go:build interop

package interop

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

const (
	memberAS = 64701 // of the first one
	// What members say of who gets their routes.
	toMembers = `
  rule "not to this one" {
    match { community = "0:neighbor.asn" }
    then = "reject"
  }
  rule "without what was for us" {
    set { remove_communities = ["0:*"] }
    then = "continue"
  }`
)

// exchange is holdfast as the route server of four makes, with the sessions "rs4"
// and "rs6" at each. Member i has AS memberAS + i.
type exchange struct {
	t       *testing.T
	hf      *HoldfastRouter
	nodes   []*Node
	makes   []Make
	members []Router
}

func newExchange(t *testing.T, routes func(i int) []Route) *exchange {
	t.Helper()
	l := New(t)
	e := &exchange{t: t, makes: []Make{BIRD(), FRR(), OpenBGPD(), GoBGP4()}}
	server := l.Node("hf")
	names := map[Family]string{IPv4: "rs4", IPv6: "rs6"}
	var all []Session
	for i, m := range e.makes {
		n := l.Node(m.Kind)
		e.nodes = append(e.nodes, n)
		for _, f := range both {
			all = append(all, Session{Name: m.Kind + names[f], Local: server.Addr(f), Remote: n.Addr(f), AS: memberAS + uint32(i), Families: []Family{f}, Role: "rs", RSClient: true})
		}
	}
	e.hf = StartHoldfast(server, Config{AS: holdfastAS, ID: server.V4, Export: toMembers, Sessions: all})
	for i, m := range e.makes {
		c := Config{AS: memberAS + uint32(i), ID: e.nodes[i].V4, Routes: routes(i)}
		for _, f := range both {
			s := Session{Name: names[f], Local: e.nodes[i].Addr(f), Remote: server.Addr(f), AS: holdfastAS, Families: []Family{f}}
			if m.Roles {
				s.Role = "rs-client"
			}
			c.Sessions = append(c.Sessions, s)
		}
		e.members = append(e.members, m.Start(e.nodes[i], c))
	}
	for _, s := range all {
		AwaitUp(t, e.hf, s.Name)
	}
	return e
}

// has waits until a member has exactly these routes, by the member that gave them.
func (e *exchange) has(member int, given map[int][]Route) {
	e.t.Helper()
	for s, f := range map[string]Family{"rs4": IPv4, "rs6": IPv6} {
		var want []Route
		for i, routes := range given {
			for _, r := range crossed(routes, e.nodes[i], memberAS+uint32(i), false) {
				r.Communities = nil // what was for the route server
				r.OTC = new(uint32(holdfastAS))
				if FamilyOf(r.Prefix) == f {
					want = append(want, e.makes[member].Shows(r))
				}
			}
		}
		AwaitRoutes(e.t, e.members[member], s, want)
	}
}

// TestRouteServer: members of four makes get the routes of the others as they came,
// the best that each may have (RFC 7947).
func TestRouteServer(t *testing.T) {
	t.Parallel()
	const bird, frr, openbgpd, gobgp = 0, 1, 2, 3
	own := func(i int) []Route {
		four, six := full(IPv4, i), full(IPv6, i)
		return []Route{
			{Prefix: four.Prefix, Origin: "igp", MED: four.MED},
			{Prefix: six.Prefix, Origin: "igp", MED: six.MED},
		}
	}
	// What two have; the way of the first is shorter, and not for OpenBGPD.
	shared := func(path string, communities ...string) []Route {
		routes := []Route{plain("203.0.113.0/24"), plain("2001:db8:203::/48")}
		for i := range routes {
			routes[i].ASPath, routes[i].MED, routes[i].Communities = path, new(uint32(7)), communities
		}
		return routes
	}
	best, second := shared("", "0:64703"), shared("64800")
	e := newExchange(t, func(i int) []Route {
		switch i {
		case bird:
			return slices.Concat(own(i), best)
		case frr:
			return slices.Concat(own(i), second)
		}
		return own(i)
	})
	// Each has what is the others', and of what two have the way by one of them.
	check := func(by map[int]int) {
		t.Helper()
		for member := range e.members {
			given := map[int][]Route{}
			for i := range e.members {
				if i != member {
					given[i] = own(i)
				}
			}
			if from, ok := by[member]; ok {
				given[from] = append(given[from], map[int][]Route{bird: best, frr: second}[from]...)
			}
			e.has(member, given)
		}
	}
	check(map[int]int{bird: frr, frr: bird, openbgpd: frr, gobgp: bird})
	e.members[frr].Withdraw(second...)
	check(map[int]int{frr: bird, gobgp: bird})
	e.members[frr].Announce(second...)
	e.members[bird].Withdraw(best...)
	check(map[int]int{bird: frr, openbgpd: frr, gobgp: frr})
	best = shared("")
	e.members[bird].Announce(best...)
	check(map[int]int{bird: frr, frr: bird, openbgpd: bird, gobgp: bird})
	Await(t, Patience, "use of it", func() error { // in another table than Received reads
		n := e.nodes[openbgpd]
		out, err := n.Output("bgpctl", "-s", filepath.Join(n.Dir, "ctl"), "show", "rib", best[0].Prefix.String())
		if err == nil && !strings.Contains(out, "*>") {
			err = errors.New(out)
		}
		return err
	})
	for _, m := range e.makes { // nobody ends a session because a path begins with another AS
		for _, s := range []string{"rs4", "rs6"} {
			if d, err := e.hf.Detail(m.Kind + s); err != nil || d.Detail.Counters.Sessions != 1 {
				t.Errorf("%s%s has had %d sessions, %v", m.Kind, s, d.Detail.Counters.Sessions, err)
			}
		}
	}
}

// TestRouteServerOfOthers: holdfast is a member of an exchange with BIRD as the
// route server, with a role in one family and without in the other.
func TestRouteServerOfOthers(t *testing.T) {
	t.Parallel()
	const serverAS = 64510
	l := New(t)
	hf, server, member := l.Node("hf"), l.Node("server"), l.Node("member")
	names := map[Family]string{IPv4: "v4", IPv6: "v6"}
	var ours, theirs, atServer []Session
	for _, f := range both {
		session := func(name string, from, to *Node, as uint32) Session {
			return Session{Name: name + names[f], Local: from.Addr(f), Remote: to.Addr(f), AS: as, Families: []Family{f}}
		}
		toUs, toThem := session("hf", server, hf, holdfastAS), session("member", server, member, memberAS)
		toUs.RSClient, toThem.RSClient = true, true
		us := session("", hf, server, serverAS)
		if f == IPv4 {
			toUs.Role, us.Role = "rs", "rs-client"
		} else {
			us.More = "  enforce_first_as = false"
		}
		ours, theirs, atServer = append(ours, us), append(theirs, session("", member, server, serverAS)), append(atServer, toUs, toThem)
	}
	mine := []Route{plain("203.0.113.0/24"), plain("2001:db8:203::/48")}
	router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Routes: mine, Sessions: ours})
	BIRD().Start(server, Config{AS: serverAS, ID: server.V4, Sessions: atServer})
	far := FRR().Start(member, Config{AS: memberAS, ID: member.V4, Routes: anycastRoutes(), Sessions: theirs})

	for i, f := range both {
		want := crossed(anycastRoutes()[i:i+1], member, memberAS, false)[0]
		want.MED = new(uint32(0)) // as FRR sends it
		if f == IPv4 {
			want.OTC = new(uint32(serverAS))
		}
		AwaitRoutes(t, router, names[f], []Route{want})
		AwaitRoutes(t, far, names[f], crossed(mine[i:i+1], hf, holdfastAS, false))
		explained(t, router, "best", want.Prefix.String())
	}
	router.Edit(func(s *Session) { s.More = "" })
	explained(t, router, "rejected, the AS path does not begin with the neighbor's AS", anycast[IPv6].String())
}
