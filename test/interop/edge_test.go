//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "holdfast/testkit/netlab"
)

const (
	birdAS = 64601
	frrAS  = 64602
)

var (
	// What both others announce, and an address of it that both have.
	anycast = map[Family]netip.Prefix{IPv4: netip.MustParsePrefix("198.51.100.0/24"), IPv6: netip.MustParsePrefix("2001:db8:100::/48")}
	served  = map[Family]netip.Addr{IPv4: netip.MustParseAddr("198.51.100.1"), IPv6: netip.MustParseAddr("2001:db8:100::1")}
	// Of one network, which is not what others announce.
	unused = map[Family]netip.Addr{IPv4: netip.MustParseAddr("198.51.101.1"), IPv6: netip.MustParseAddr("2001:db8:101::1")}

	both = []Family{IPv4, IPv6}
)

// betterBIRD makes the routes of BIRD the better ones.
const betterBIRD = `
  rule "bird" {
    match { as_path_contains = [64601] }
    set { local_pref = 200 }
    then = "accept"
  }`

// edge is holdfast as the edge router of a host, with BIRD and FRR behind it:
//
//	host ── hf ── bird
//	         └─── frr
//
// Both others have the address of the service, and answer packets to it.
type edge struct {
	t             *testing.T
	lab           *Lab
	host, hf      *Node
	birdN, frrN   *Node
	toHost        *End // holdfast's ends
	toBIRD, toFRR *End
	atHost        *End // the others' ends
	atBIRD, atFRR *End
	router        *HoldfastRouter
	bird, frr     Router
	sessions      []Session // of holdfast
}

// newEdge lays the wires and starts nothing.
func newEdge(t *testing.T) *edge {
	t.Helper()
	l := New(t)
	e := &edge{t: t, lab: l, host: l.Node("host"), hf: l.Node("hf"), birdN: l.Node("bird"), frrN: l.Node("frr")}
	e.toHost, e.atHost = l.Wire(e.hf, e.host)
	e.toBIRD, e.atBIRD = l.Wire(e.hf, e.birdN)
	e.toFRR, e.atFRR = l.Wire(e.hf, e.frrN)
	for _, n := range []*Node{e.hf, e.birdN, e.frrN} {
		n.Forward()
	}
	for _, f := range both {
		e.host.Run("ip", "route", "add", "default", "via", e.toHost.Addr(f).String())
		for _, end := range []*End{e.atBIRD, e.atFRR} {
			n, back := end.Node, e.toBIRD
			if end == e.atFRR {
				back = e.toFRR
			}
			// Nothing depends on what the others do with holdfast's routes.
			n.Run("ip", "route", "add", netip.PrefixFrom(e.atHost.Addr(f), bits(f)).Masked().String(), "via", back.Addr(f).String())
			n.Run("ip", "addr", "add", fmt.Sprintf("%s/%d", served[f], served[f].BitLen()), "dev", "lo", "nodad")
			n.Echo(served[f])
		}
	}
	return e
}

// bits is the length of a link's network.
func bits(f Family) int {
	if f == IPv4 {
		return 24
	}
	return 64
}

// wired are the sessions over a wire, "v4" and "v6" behind a prefix.
func wired(name string, from, to *End, as uint32) []Session {
	return []Session{
		{Name: name + "v4", Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}},
		{Name: name + "v6", Local: from.V6, Remote: to.V6, AS: as, Families: []Family{IPv6}},
	}
}

// start starts the routers, FRR if it has routes; c has what is special of
// holdfast's.
func (e *edge) start(c Config, birdRoutes, frrRoutes []Route) {
	e.t.Helper()
	c.AS, c.ID = holdfastAS, e.hf.V4
	if c.Router == "" {
		c.Router = "kernel = true"
	}
	c.Sessions = wired("bird", e.toBIRD, e.atBIRD, birdAS)
	if len(frrRoutes) > 0 {
		c.Sessions = append(c.Sessions, wired("frr", e.toFRR, e.atFRR, frrAS)...)
	}
	e.sessions = c.Sessions
	e.router = StartHoldfast(e.hf, c)
	e.bird = BIRD().Start(e.birdN, Config{AS: birdAS, ID: e.birdN.V4, Sessions: wired("", e.atBIRD, e.toBIRD, holdfastAS), Routes: birdRoutes})
	if len(frrRoutes) > 0 {
		e.frr = FRR().Start(e.frrN, Config{AS: frrAS, ID: e.frrN.V4, Sessions: wired("", e.atFRR, e.toFRR, holdfastAS), Routes: frrRoutes})
	}
	e.up()
}

// up waits for all sessions.
func (e *edge) up() {
	e.t.Helper()
	for _, s := range e.sessions {
		AwaitUp(e.t, e.router, s.Name)
	}
}

func anycastRoutes() []Route {
	return []Route{plain(anycast[IPv4].String()), plain(anycast[IPv6].String())}
}

// streams are one in each family from the host to the service.
type streams map[Family]*Stream

func (e *edge) streams() streams { e.t.Helper(); return e.every(2 * time.Millisecond) }

func (e *edge) every(d time.Duration) streams {
	e.t.Helper()
	s := streams{}
	for _, f := range both {
		s[f] = e.host.Stream(served[f], d)
	}
	return s
}

// answeredBy waits until a node answers all.
func (s streams) answeredBy(t *testing.T, node string) {
	t.Helper()
	for _, f := range both {
		s[f].AwaitAnswers(t, node, 50)
	}
}

// lossless ends the streams, which have lost nothing.
func (s streams) lossless(t *testing.T) {
	t.Helper()
	for _, f := range both {
		if r := s[f].Report(); r.Lost > 0 || len(r.Errors) > 0 {
			t.Errorf("%s: %v", f, r)
		}
	}
}

// kernelRoutes are the kernel routes of a protocol on the edge router.
func (e *edge) kernelRoutes(protocol string) string {
	e.t.Helper()
	// -o: one line for each, also where it has several ways.
	return e.hf.Run("ip", "-o", "-4", "route", "show", "table", "all", "proto", protocol) + e.hf.Run("ip", "-o", "-6", "route", "show", "table", "all", "proto", protocol)
}

// noCircles: no packet may have run until its time was over.
func (e *edge) noCircles() {
	e.t.Helper()
	for _, n := range []*Node{e.hf, e.birdN, e.frrN} {
		if exceeded := n.TimeExceeded(); exceeded > 0 {
			e.t.Errorf("%s has thrown %d packets away that went in circles", n.Name, exceeded)
		}
	}
}

// TestEdgeFailover sends packets through holdfast's kernel routes while the best
// neighbor dies, comes back, and loses its link.
func TestEdgeFailover(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.start(Config{Import: betterBIRD}, anycastRoutes(), anycastRoutes())
	for _, f := range both { // FRR takes its time
		Await(t, Patience, "routes of FRR", func() error {
			return has(e.router, map[Family]string{IPv4: "frrv4", IPv6: "frrv6"}[f], anycast[f])
		})
	}
	e.streams().answeredBy(t, "bird")

	// The router dies, its kernel goes on: a replacement may lose nothing.
	s := e.streams()
	s.answeredBy(t, "bird")
	e.bird.Process().Kill()
	s.answeredBy(t, "frr")
	e.bird = BIRD().Start(e.birdN, Config{AS: birdAS, ID: e.birdN.V4, Sessions: wired("", e.atBIRD, e.toBIRD, holdfastAS), Routes: anycastRoutes()})
	s.answeredBy(t, "bird")
	s.lossless(t)

	// The link dies. What is in it is lost, and what comes until the routes are
	// others; the hold time has no part in it.
	s = e.streams()
	s.answeredBy(t, "bird")
	e.atBIRD.Set("down")
	s.answeredBy(t, "frr")
	for _, f := range both {
		r := s[f].Report()
		t.Logf("%s, lost link: %v", f, r)
		if r.Gap > 5*time.Second { // milliseconds, but other tests run beside
			t.Errorf("%s: %v", f, r)
		}
	}
	e.noCircles()
}

// TestEdgeRestart: packets flow on by the kernel's routes while holdfast is
// stopped or has crashed, and when it comes back.
func TestEdgeRestart(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.hf.Run("ip", "route", "add", "203.0.113.0/24", "via", e.atFRR.V4.String(), "proto", "static")
	e.hf.Run("ip", "route", "add", "2001:db8:203::/48", "via", e.atFRR.V6.String(), "proto", "static", "metric", "20")
	theirs := e.kernelRoutes("static")
	e.start(Config{Import: betterBIRD}, anycastRoutes(), anycastRoutes())
	e.streams().answeredBy(t, "bird")

	for _, again := range []func(func()){e.router.Restart, e.router.Crash} {
		s := e.streams()
		s.answeredBy(t, "bird")
		again(func() { s.answeredBy(t, "bird") })
		e.up()
		s.answeredBy(t, "bird")
		s.lossless(t)
	}

	if now := e.kernelRoutes("static"); now != theirs {
		t.Errorf("the routes of others were\n%sand are\n%s", theirs, now)
	}
}

// TestEdgeStale: what was announced to the run before, and is no more, goes once
// the neighbors have sent their routes.
func TestEdgeStale(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.start(Config{}, append(anycastRoutes(), plain("192.0.2.0/24"), plain("2001:db8:192::/48")), nil)
	e.streams().answeredBy(t, "bird")
	s := e.streams()
	s.answeredBy(t, "bird")
	e.router.Restart(func() { e.bird.Withdraw(plain("192.0.2.0/24"), plain("2001:db8:192::/48")) })
	Await(t, Patience, "end of the stale routes", func() error {
		if have := e.kernelRoutes("144"); strings.Contains(have, "192") || strings.Count(have, "\n") != 2 {
			return fmt.Errorf("the kernel has\n%s", have)
		}
		return nil
	})
	s.lossless(t)
}

// TestEdgeFlush: on_stop = "flush" leaves nothing of ours, and all of others.
func TestEdgeFlush(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.hf.Run("ip", "route", "add", "203.0.113.0/24", "via", e.atFRR.V4.String(), "proto", "static")
	theirs := e.kernelRoutes("static")
	e.start(Config{Import: betterBIRD, Router: `on_stop = "flush"`}, anycastRoutes(), anycastRoutes())
	e.streams().answeredBy(t, "bird")
	if ours := e.kernelRoutes("144"); strings.Count(ours, "\n") != 2 {
		t.Errorf("the kernel has\n%s", ours)
	}
	e.router.Restart(func() {
		if left := e.kernelRoutes("144"); left != "" {
			t.Errorf("holdfast has left\n%s", left)
		}
		if left := e.hf.Run("ip", "nexthop", "show"); left != "" {
			t.Errorf("holdfast has left the nexthop objects\n%s", left)
		}
		if now := e.kernelRoutes("static"); now != theirs {
			t.Errorf("the routes of others were\n%sand are\n%s", theirs, now)
		}
	})
	e.streams().answeredBy(t, "bird")
}

// TestEdgeAggregate: BIRD has the way to everywhere, FRR a part of holdfast's
// aggregate. What goes to the rest of it is answered by holdfast, and not sent
// to BIRD, which would send it back.
func TestEdgeAggregate(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	aggregates := map[Family]string{IPv4: "198.51.100.0/22", IPv6: "2001:db8:100::/40"}
	for _, f := range both {
		e.birdN.Run("ip", "route", "add", aggregates[f], "via", e.toBIRD.Addr(f).String())
	}
	e.start(Config{Blocks: fmt.Sprintf("aggregate \"four\" {\n  prefix = %q\n}\naggregate \"six\" {\n  prefix = %q\n}\n", aggregates[IPv4], aggregates[IPv6])},
		[]Route{plain("0.0.0.0/0"), plain("::/0")}, anycastRoutes())
	AwaitRoutes(t, e.bird, "v4", nil)
	e.streams().answeredBy(t, "frr")
	for _, f := range both {
		Await(t, Patience, "default route by BIRD", func() error {
			out, err := e.hf.Output("ip", "route", "get", map[Family]string{IPv4: "192.0.2.99", IPv6: "2001:db8:999::1"}[f])
			if err == nil && !strings.Contains(out, "dev "+e.toBIRD.Link) {
				err = fmt.Errorf("it is %s", out)
			}
			return err
		})
		for _, from := range []*Node{e.host, e.birdN} {
			s := from.Stream(unused[f], 10*time.Millisecond)
			s.AwaitError(t)
			if r := s.Report(); r.Lost != r.Sent {
				t.Errorf("%s from %s: %v", f, from.Name, r)
			}
		}
	}
	e.noCircles()
}

// TestEdgeTaken: somebody else has a route with the prefix and metric of one of
// ours. It stays, and packets follow it; ours takes its place when it goes.
func TestEdgeTaken(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	for _, f := range both {
		e.hf.Run("ip", "route", "add", anycast[f].String(), "via", e.atFRR.Addr(f).String(), "proto", "static", "metric", "20")
	}
	theirs := e.kernelRoutes("static")
	e.start(Config{}, anycastRoutes(), nil)
	Await(t, Patience, "complaint", func() error {
		if !strings.Contains(e.router.Process().Log(), "somebody else has a route") {
			return fmt.Errorf("the log has none")
		}
		return nil
	})
	s := e.streams()
	s.answeredBy(t, "frr")
	s.lossless(t)
	if now := e.kernelRoutes("static"); now != theirs {
		t.Errorf("the routes of others were\n%sand are\n%s", theirs, now)
	}
	for _, f := range both {
		e.hf.Run("ip", "route", "del", anycast[f].String(), "proto", "static", "metric", "20")
	}
	e.streams().answeredBy(t, "bird")
}

// TestEdgeMultipath shares packets between two neighbors, and leaves all to one
// of them when the other one's link is gone.
func TestEdgeMultipath(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	// Flows, not pairs of addresses, are shared.
	e.hf.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/fib_multipath_hash_policy; echo 1 >/proc/sys/net/ipv6/fib_multipath_hash_policy")
	e.start(Config{Blocks: "table \"main\" {\n  multipath = 2\n}\n"}, anycastRoutes(), anycastRoutes())
	Await(t, Patience, "two ways in the kernel", func() error {
		if ours := e.kernelRoutes("144"); strings.Count(ours, "nexthop") != 4 {
			return fmt.Errorf("it has\n%s", ours)
		}
		return nil
	})
	var all []streams
	for range 32 { // all by one way: once in two billion runs
		all = append(all, e.every(20*time.Millisecond))
	}
	for _, f := range both {
		Await(t, Patience, "answers of both", func() error {
			by := map[string]int{}
			for _, s := range all {
				for _, node := range []string{"bird", "frr"} {
					by[node] += s[f].Answers(node)
				}
			}
			if by["bird"] == 0 || by["frr"] == 0 {
				return fmt.Errorf("%s: %v", f, by)
			}
			return nil
		})
	}
	e.atFRR.Set("down")
	for _, s := range all {
		for _, f := range both {
			s[f].AwaitAnswers(t, "bird", 5)
		}
	}
}

// TestEdgeExtendedNextHop: IPv4 packets go by an IPv6 next hop (RFC 8950).
func TestEdgeExtendedNextHop(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), FRR()} {
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			e := newEdge(t)
			one := func(s []Session) []Session {
				s = s[1:]
				s[0].Name, s[0].Families, s[0].ExtNextHop = "v6", both, true
				return s
			}
			e.router = StartHoldfast(e.hf, Config{
				AS: holdfastAS, ID: e.hf.V4, Router: "kernel = true", Sessions: one(wired("", e.toBIRD, e.atBIRD, birdAS)),
			})
			m.Start(e.birdN, Config{AS: birdAS, ID: e.birdN.V4, Sessions: one(wired("", e.atBIRD, e.toBIRD, holdfastAS)), Routes: anycastRoutes()})
			e.streams().answeredBy(t, "bird")
			if ours := e.kernelRoutes("144"); !strings.Contains(ours, "via inet6 ") {
				t.Errorf("the kernel has\n%s", ours)
			}
		})
	}
}

// TestEdgeFlap: a link is down for so short a time that no session notices. The
// kernel has dropped its IPv4 routes, without a word.
func TestEdgeFlap(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.start(Config{Import: betterBIRD}, anycastRoutes(), nil)
	e.streams().answeredBy(t, "bird")
	// IPv6 addresses, and with them its sessions, stay.
	e.hf.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/"+e.toBIRD.Link+"/keep_addr_on_down")
	for range 10 {

		e.hf.Run("sh", "-c", fmt.Sprintf("ip link set %s down; ip link set %[1]s up", e.toBIRD.Link))
		e.streams().answeredBy(t, "bird")
	}
}
