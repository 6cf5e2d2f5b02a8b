//go:build interop

package interop

import (
	"fmt"
	"slices"
	"testing"

	. "holdfast/testkit/netlab"
)

// witness is a holdfast between a router that restarts and one that must not
// notice, another holdfast.
type witness struct {
	t        *testing.T
	far      Router
	hub, end *HoldfastRouter
}

var (
	staysRoute = plain("198.51.100.0/24")
	goesRoute  = plain("203.0.113.0/24")
)

func restartSession(from, to *Node, as uint32, name string) Session {
	return Session{Name: name, Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}}
}

// newWitness has a router of a make announce two routes through the hub. with is
// what its session has of restarts, more what the hub's neighbors have.
func newWitness(t *testing.T, m Make, with Session, more string) *witness {
	t.Helper()
	lab := New(t)
	farN, hubN, endN := lab.Node("far"), lab.Node("hub"), lab.Node("end")
	const farAS, endAS = 64701, 64702
	atFar := restartSession(farN, hubN, holdfastAS, "hub")
	atFar.Restart, atFar.RestartTime, atFar.LongLived = with.Restart, with.RestartTime, with.LongLived
	toFar, toEnd, atEnd := restartSession(hubN, farN, farAS, "far"), restartSession(hubN, endN, endAS, "end"), restartSession(endN, hubN, holdfastAS, "hub")
	toFar.More, toEnd.More, atEnd.More = more, more, more
	w := &witness{t: t,
		hub: StartHoldfast(hubN, Config{AS: holdfastAS, ID: hubN.V4, Sessions: []Session{toFar, toEnd}}),
		end: StartHoldfast(endN, Config{AS: endAS, ID: endN.V4, Sessions: []Session{atEnd}}),
		far: m.Start(farN, Config{AS: farAS, ID: farN.V4, Sessions: []Session{atFar}, Routes: []Route{staysRoute, goesRoute}})}
	AwaitUp(t, w.hub, "end")
	w.awaitEnd("both routes", staysRoute, goesRoute)
	return w
}

// awaitEnd waits until the end has these routes and no others.
func (w *witness) awaitEnd(what string, want ...Route) []Route {
	w.t.Helper()
	var have []Route
	Await(w.t, Patience, what, func() (err error) {
		if have, err = w.end.Received("hub"); err != nil {
			return err
		}
		for _, r := range []Route{staysRoute, goesRoute} {
			is := func(x Route) bool { return x.Prefix == r.Prefix }
			if slices.ContainsFunc(have, is) != slices.ContainsFunc(want, is) {
				return fmt.Errorf("the end has %v", have)
			}
		}
		return nil
	})
	return have
}

// updates is how many UPDATEs the end has been sent.
func (w *witness) updates() uint64 {
	w.t.Helper()
	d, err := w.end.Detail("hub")
	if err != nil {
		w.t.Fatal(err)
	}
	return d.Detail.Counters.In.Update
}

// awaitKept waits until the hub keeps so many routes without a session.
func (w *witness) awaitKept(n uint64, long bool) {
	w.t.Helper()
	Await(w.t, Patience, "stale routes at the hub", func() error {
		d, err := w.hub.Detail("far")
		if err != nil || len(d.Neighbor.Families) == 0 {
			return fmt.Errorf("no families: %w", err)
		}
		if f := d.Neighbor.Families[0]; f.Stale != n || f.LongLived != long || d.Neighbor.State == "established" {
			return fmt.Errorf("%d are stale, long-lived: %v, the session is %s", f.Stale, f.LongLived, d.Neighbor.State)
		}
		return nil
	})
}

// TestNeighborRestarts: a neighbor is killed and comes back with one of its two
// routes. Nobody behind us hears of it but for the other one.
func TestNeighborRestarts(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), FRR()} {
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t, m, Session{Restart: true}, "")
			before := w.updates()
			w.far.Process().Kill()
			w.awaitKept(2, false)
			Revive(w.far, staysRoute)
			AwaitUp(t, w.hub, "far")
			w.awaitEnd("the end of the route that is gone", staysRoute)
			if n := w.updates() - before; n != 1 {
				t.Errorf("the end was sent %d UPDATEs, want the one for the route that is gone", n)
			}
		})
	}
}

// TestNeighborStaysAway: the routes of a neighbor that does not come back go when
// its time is over.
func TestNeighborStaysAway(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), GoBGP4()} {
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t, m, Session{Restart: true, RestartTime: 5}, "")
			w.far.Process().Kill()
			w.awaitKept(2, false)
			w.awaitEnd("the end of both")
		})
	}
}

// TestNeighborStaysAwayForLong: beyond that they are the last resort, for those
// that take such routes (RFC 9494).
func TestNeighborStaysAwayForLong(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), GoBGP4()} {
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			w := newWitness(t, m, Session{Restart: true, RestartTime: 2, LongLived: 3600}, "  long_lived_graceful_restart = \"24h\"")
			w.far.Process().Kill()
			w.awaitKept(2, true)
			Await(t, Patience, "the community llgr-stale", func() error {
				have := w.awaitEnd("both routes", staysRoute, goesRoute)
				for _, r := range have {
					if !slices.Contains(r.Communities, "65535:6") && !slices.Contains(r.Communities, "llgr-stale") {
						return fmt.Errorf("%v has %v", r.Prefix, r.Communities)
					}
				}
				return nil
			})
		})
	}
}
