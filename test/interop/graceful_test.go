//go:build interop

package interop

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	. "holdfast/testkit/netlab"
)

const gracefulShutdown = "  graceful_shutdown = true"

// TestGracefulShutdown: by a reload, the neighbor hears that a session is about to
// end, which goes on meanwhile, and that it does not (RFC 8326).
func TestGracefulShutdown(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		for name, as := range map[string]uint32{"external": otherAS, "internal": holdfastAS} {
			t.Run(name, func(t *testing.T) {
				route := plain("203.0.113.0/24")
				p := connect(t, m, options{otherAS: as, hfRoutes: []Route{route}})
				p.up(t, "v4")
				before := p.fromHoldfast(route)
				AwaitRoutes(t, p.other, "v4", before)

				leaving := slices.Clone(before)
				leaving[0].Communities = []string{"65535:0"}
				if as == holdfastAS {
					leaving[0].LocalPref = new(uint32(0))
				}
				p.hf.Edit(func(s *Session) { s.More = gracefulShutdown })
				AwaitRoutes(t, p.other, "v4", leaving)
				p.hf.Edit(func(s *Session) { s.More = "" })
				AwaitRoutes(t, p.other, "v4", before)
				if d, err := p.hf.Detail("v4"); err != nil || d.Detail.Counters.Sessions != 1 {
					t.Errorf("%d sessions, %v", d.Detail.Counters.Sessions, err)
				}
			})
		}
	})
}

// atLast is an error until a neighbor's routes have this local preference.
func atLast(hf *HoldfastRouter, session string, want uint32) error {
	var table struct {
		Routes []struct {
			Attributes struct {
				LocalPref uint32 `json:"local_pref"`
			} `json:"attributes"`
		} `json:"routes"`
	}
	if err := hf.AskJSON(&table, "show", "routes", "--neighbor", session); err != nil {
		return err
	}
	if len(table.Routes) == 0 {
		return errors.New("there are no routes of " + session)
	}
	for _, r := range table.Routes {
		if have := r.Attributes.LocalPref; have != want {
			return fmt.Errorf("%s has a route of preference %d, not %d", session, have, want)
		}
	}
	return nil
}

// awaitPref waits for the preference of all routes of the edge's neighbor BIRD.
func (e *edge) awaitPref(want uint32) {
	e.t.Helper()
	for _, s := range []string{"birdv4", "birdv6"} {
		Await(e.t, Patience, "preference of "+s, func() error { return atLast(e.router, s, want) })
	}
}

// TestMaintenance takes the better way out of use while packets flow, first by
// our own word, then by the neighbor's, and none is lost: they have gone elsewhere
// before the session ends.
func TestMaintenance(t *testing.T) {
	t.Parallel()
	e := newEdge(t)
	e.start(Config{Import: betterBIRD}, anycastRoutes(), anycastRoutes())
	for _, f := range both {
		Await(t, Patience, "routes of FRR", func() error {
			return has(e.router, map[Family]string{IPv4: "frrv4", IPv6: "frrv6"}[f], anycast[f])
		})
	}
	e.streams().answeredBy(t, "bird")
	edit := func(more string) {
		e.router.Edit(func(s *Session) {
			if s.AS == birdAS {
				s.More = more
			}
		})
	}
	s := e.streams()
	s.answeredBy(t, "bird")

	edit(gracefulShutdown)
	s.answeredBy(t, "frr")
	e.awaitPref(0)
	for _, n := range []string{"birdv4", "birdv6"} {
		ask(t, e.router, "down", n, "new line card")
		AwaitDown(t, e.bird, n[len("bird"):])
	}
	s.answeredBy(t, "frr")
	for _, n := range []string{"birdv4", "birdv6"} {
		ask(t, e.router, "enable", n)
	}
	e.up()
	e.awaitPref(0)
	s.answeredBy(t, "frr")
	edit("")
	e.awaitPref(200)
	s.answeredBy(t, "bird")

	leaving := anycastRoutes()
	for i := range leaving {
		leaving[i].Communities = []string{"65535:0"}
	}
	e.bird.Announce(leaving...)
	e.awaitPref(0)
	s.answeredBy(t, "frr")
	edit("  accept_graceful_shutdown = false")
	e.awaitPref(200)
	s.answeredBy(t, "bird")
	edit("")
	e.awaitPref(0)
	s.answeredBy(t, "frr")
	e.bird.Process().Kill()
	for _, n := range []string{"birdv4", "birdv6"} {
		AwaitDown(t, e.router, n)
	}
	s.answeredBy(t, "frr")
	s.lossless(t)
	e.noCircles()
}
