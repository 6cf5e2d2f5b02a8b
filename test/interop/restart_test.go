//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	. "holdfast/testkit/netlab"
)

// leaving are routes that BIRD does not have any more when holdfast comes back.
var leaving = []Route{plain("192.0.2.0/24"), plain("2001:db8:192::/48")}

// circle is an edge with two more neighbors, who keep routes over a restart too.
type circle struct {
	*edge
	openbgpd, gobgp Router
}

func newCircle(t *testing.T) *circle {
	t.Helper()
	c := &circle{edge: newEdge(t)}
	o, g := c.lab.Node("openbgpd"), c.lab.Node("gobgp")
	session := func(name string, from, to *Node, as uint32) Session {
		return Session{Name: name, Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}, Restart: true}
	}
	bird, frr := wired("bird", c.toBIRD, c.atBIRD, birdAS), wired("frr", c.toFRR, c.atFRR, frrAS)
	c.sessions = slices.Concat(bird, frr, []Session{session("openbgpd", c.hf, o, 64603), session("gobgp", c.hf, g, 64604)})
	c.router = StartHoldfast(c.hf, Config{AS: holdfastAS, ID: c.hf.V4, Router: "kernel = true", Sessions: c.sessions, Routes: []Route{plain("203.0.113.0/24")}})
	c.bird = BIRD().Start(c.birdN, Config{AS: birdAS, ID: c.birdN.V4, Sessions: wired("", c.atBIRD, c.toBIRD, holdfastAS), Routes: append(anycastRoutes(), leaving...)})
	c.frr = FRR().Start(c.frrN, Config{AS: frrAS, ID: c.frrN.V4, Sessions: wired("", c.atFRR, c.toFRR, holdfastAS)})
	c.openbgpd = OpenBGPD().Start(o, Config{AS: 64603, ID: o.V4, Sessions: []Session{session("hf", o, c.hf, holdfastAS)}})
	c.gobgp = GoBGP4().Start(g, Config{AS: 64604, ID: g.V4, Sessions: []Session{session("hf", g, c.hf, holdfastAS)}})
	c.up()
	for r, s := range c.hearers() {
		awaitHas(t, r, s, anycast[IPv4], leaving[0].Prefix, netip.MustParsePrefix("203.0.113.0/24"))
	}
	return c
}

// hearers are those that have the routes of BIRD from holdfast, with their
// session.
func (c *circle) hearers() map[Router]string {
	return map[Router]string{c.frr: "v4", c.openbgpd: "hf", c.gobgp: "hf"}
}

// lacks is an error if a router has not been sent all of these, or does not keep
// them.
func lacks(r Router, session string, prefixes ...netip.Prefix) error {
	have, err := r.Received(session)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		if !slices.ContainsFunc(have, func(x Route) bool { return x.Prefix == p }) {
			return fmt.Errorf("%s has no %v", r.Kind(), p)
		}
	}
	return nil
}

func awaitHas(t *testing.T, r Router, session string, prefixes ...netip.Prefix) {
	t.Helper()
	Await(t, Patience, "routes at "+r.Kind(), func() error { return lacks(r, session, prefixes...) })
}

// asked asks routers again and again, until end, whether they have prefixes.
func asked(t *testing.T, routers map[Router]string, prefixes ...netip.Prefix) (end func()) {
	stop := make(chan struct{})
	var all sync.WaitGroup
	for r, s := range routers {
		all.Go(func() {
			for asked, wrong := 0, 0; ; asked++ {
				if err := lacks(r, s, prefixes...); err != nil {
					if wrong++; wrong == 1 {
						t.Errorf("%s, asked for the %d. time: %v", r.Kind(), asked+1, err)
					}
				}
				select {
				case <-stop:
					t.Logf("%s was asked %d times", r.Kind(), asked+1)
					return
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
	return func() { close(stop); all.Wait() }
}

// restart has the router end and come back while packets flow and neighbors are
// asked whether they still have its routes, which lose nothing.
func (c *circle) restart(end func(meanwhile func())) {
	c.t.Helper()
	streams := c.streams()
	streams.answeredBy(c.t, "bird")
	stays := []netip.Prefix{anycast[IPv4], netip.MustParsePrefix("203.0.113.0/24")}
	unwatch := asked(c.t, c.hearers(), stays...)
	end(func() {
		for r, s := range c.hearers() {
			AwaitDown(c.t, r, s)
			if err := lacks(r, s, append(stays, leaving[0].Prefix)...); err != nil {
				c.t.Errorf("while holdfast is away: %v", err)
			}
		}
		c.bird.Withdraw(leaving...)
		streams.answeredBy(c.t, "bird")
	})
	c.up()
	for r, s := range c.hearers() {
		Await(c.t, Patience, "end of the route that is gone at "+r.Kind(), func() error {
			if lacks(r, s, leaving[0].Prefix) == nil {
				return fmt.Errorf("%s still has it", r.Kind())
			}
			return nil
		})
	}
	streams.answeredBy(c.t, "bird")
	unwatch()
	streams.lossless(c.t)
	c.noCircles()
	Await(c.t, Patience, "end of the stale kernel routes", func() error {
		if have := c.kernelRoutes("144"); strings.Contains(have, "192") || strings.Count(have, "\n") != 2 {
			return fmt.Errorf("the kernel has\n%s", have)
		}
		return nil
	})
}

// saysRestarted: BIRD and FRR have been told that holdfast has restarted, and that
// packets went on.
func (c *circle) saysRestarted() {
	c.t.Helper()
	out := c.birdN.Run("birdc", "-s", filepath.Join(c.birdN.Dir, "bird.ctl"), "show", "protocols", "all", "v4")
	if i := strings.Index(out, "Neighbor capabilities"); i < 0 || !strings.Contains(out[i:], "AF preserved: ipv4") || !strings.Contains(out[i:], "Restart recovery") {
		c.t.Errorf("BIRD says %s", out)
	}
	out = c.frrN.Run("vtysh", "--vty_socket", c.frrN.Dir, "-d", "bgpd", "-c", "show bgp neighbors "+c.toFRR.V4.String()+" json")
	if !strings.Contains(strings.ReplaceAll(out, " ", ""), `"rBit":true`) || !strings.Contains(strings.ReplaceAll(out, " ", ""), `"fBit":true`) {
		c.t.Errorf("FRR says %s", out)
	}
}

// TestKilled: neighbors of four makes keep the routes of a holdfast that is
// killed, and no packet through it is lost.
func TestKilled(t *testing.T) {
	t.Parallel()
	c := newCircle(t)
	c.restart(c.router.Crash)
	c.saysRestarted()
}

// TestUpgrade is the same at SIGTERM, and with another build in its place.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	c := newCircle(t)
	c.restart(func(meanwhile func()) {
		c.router.Restart(func() {
			meanwhile()
			c.router.Use(NextHoldfastBinary(t))
		})
	})
	c.saysRestarted()
	if out, err := c.router.Ask("version"); err != nil || !strings.Contains(out, NextVersion) {
		t.Errorf("it is %s, %v", out, err)
	}
}

// TestShutdownDrain: before it leaves for good, others hear that they had better
// prefer other ways; then nothing is left, and the next start is the first one.
func TestShutdownDrain(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	ours := plain("203.0.113.0/24")
	e.start(Config{Routes: []Route{ours}}, anycastRoutes(), []Route{plain("192.0.2.0/24")})
	others := map[Router]string{e.bird: "v4", e.frr: "v4"}
	for r, s := range others {
		awaitHas(t, r, s, ours.Prefix)
	}
	e.streams().answeredBy(t, "bird")
	stream := e.streams()
	type outcome struct {
		said string
		err  error
	}
	left := make(chan outcome, 1)
	go func() {
		said, err := e.router.Leave("--drain", "--wait", "20s", "--reason", "another rack")
		left <- outcome{said, err}
	}()
	for r, s := range others {
		Await(t, Patience, "community at "+r.Kind(), func() error {
			have, err := r.Received(s)
			if err != nil {
				return err
			}
			for _, x := range have {
				if !slices.Contains(x.Communities, "65535:0") {
					return fmt.Errorf("%s has %v without it", r.Kind(), x.Prefix)
				}
			}
			return lacks(r, s, ours.Prefix)
		})
	}
	stream.answeredBy(t, "bird")
	stream.lossless(t) // while it drains
	o := <-left
	if o.err != nil || !strings.Contains(o.said, "the router is gone") {
		t.Errorf("it said %s, %v", o.said, o.err)
	}
	for r, s := range others {
		AwaitDown(t, r, s)
		Await(t, 10*time.Second, "end of the routes at "+r.Kind(), func() error { // and not the 120 s of a restart
			if have, err := r.Received(s); err == nil && len(have) > 0 {
				return fmt.Errorf("it has %v", have)
			}
			return nil
		})
	}
	if have := e.kernelRoutes("144"); have != "" {
		t.Errorf("the kernel has\n%s", have)
	}
}
