package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
)

// look begins to monitor a core without an engine.
func look(c *Core, f MonitorFilter) *monitor {
	m := &monitor{filter: f, wake: make(chan struct{}, 1)}
	c.addMonitor(m)
	return m
}

// seen is what a monitor was shown: "10.1.0.0/16 1>2 update from 2", 0 where there
// was or is no path.
func (m *monitor) seen() (all []string) {
	queue, _ := m.take()
	id := func(s *side) packet.ID {
		if s == nil {
			return 0
		}
		return s.neighbor
	}
	for _, o := range queue {
		switch o.Kind {
		case BestChanged:
			all = append(all, fmt.Sprintf("%v %d>%d %v %d", o.Prefix, id(o.old), id(o.new), o.Cause.Kind(), o.Cause.Subject()))
		case NeighborUp:
			all = append(all, fmt.Sprintf("%d up", o.Neighbor))
		case NeighborDown:
			all = append(all, fmt.Sprintf("%d down: %v", o.Neighbor, o.Reason))
		}
	}
	return all
}

func TestMonitor(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 3))
	d.announce(1, "10.1.0.0/16", route(1, 65001, 7))
	d.settle()
	p := prefix.MustParse("10.0.0.0/8")
	all := look(d.core, MonitorFilter{})
	best := look(d.core, MonitorFilter{BestOnly: true})
	third := look(d.core, MonitorFilter{Neighbor: 3})
	exact := look(d.core, MonitorFilter{Prefix: &p})
	inside := look(d.core, MonitorFilter{Prefix: &p, Longer: true})
	d.settle()

	d.announce(2, "10.1.0.0/16", route(2, 65002)) // better
	d.announce(3, "11.0.0.0/8", route(3, 65003))
	d.announce(1, "10.1.0.0/16", route(1, 65001, 7, 8)) // not the best
	d.settle()
	d.announce(3, "11.0.0.0/8", route(3, 65003)) // the same again
	d.down(2)
	d.settle()
	d.up(2)
	d.announce(1, "10.0.0.0/8", route(1, 65001))
	d.settle()

	const (
		better  = "10.1.0.0/16 1>2 update from 2"
		new     = "11.0.0.0/8 0>3 update from 3"
		down    = "2 down: never up"
		back    = "10.1.0.0/16 2>1 session down with 2"
		up      = "2 up"
		further = "10.0.0.0/8 0>1 update from 1"
	)
	for name, c := range map[string]struct {
		m    *monitor
		want []string
	}{
		"all":      {all, []string{better, new, down, back, up, further}},
		"best":     {best, []string{better, new, back, further}},
		"neighbor": {third, []string{new}},
		"exact":    {exact, []string{further}},
		"inside":   {inside, []string{better, back, further}},
	} {
		if got := c.m.seen(); !slices.Equal(got, c.want) {
			t.Errorf("%s: it sees %q, want %q", name, got, c.want)
		}
		d.core.dropMonitor(c.m)
	}
	if d.core.watch != nil {
		t.Error("nobody looks, and it watches")
	}
	d.empty()
}

// TestMonitorIsSlow: who does not read misses something, and is told how much. The
// others are not concerned.
func TestMonitorIsSlow(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 2))
	slow, quick := look(d.core, MonitorFilter{}), look(d.core, MonitorFilter{})
	d.settle()
	const more = 100
	for i := range monitorQueue + more {
		d.announce(1, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), route(1, 65001))
		d.settle()
		if i%1000 == 0 {
			quick.take()
		}
	}
	queue, missed := slow.take()
	if len(queue) != monitorQueue || missed != more {
		t.Errorf("%d wait and %d are missed, want %d and %d", len(queue), missed, monitorQueue, more)
	}
	if _, missed := quick.take(); missed != 0 {
		t.Errorf("the one that reads misses %d", missed)
	}
	d.announce(1, "10.0.0.0/24", route(1, 65001, 5))
	d.settle()
	if queue, missed := slow.take(); len(queue) != 1 || missed != 0 {
		t.Errorf("then it sees %d and misses %d", len(queue), missed)
	}
}

// TestMonitorBegins: nothing is told before all is known, since nobody could say
// what was before.
func TestMonitorBegins(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 2))
	for i := range 100 {
		d.announce(1, fmt.Sprintf("10.0.%d.0/24", i), route(1, 65001))
	}
	d.settle()
	d.core.pace.walk = 10
	m := look(d.core, MonitorFilter{})
	for i := range 3 {
		d.announce(2, fmt.Sprintf("10.0.%d.0/24", 30*i), route(2, 65002)) // behind and ahead of where it is
		d.core.Work()
		if len(m.wake) > 0 {
			t.Fatal("it has begun")
		}
	}
	d.settle()
	if len(m.wake) != 1 {
		t.Fatal("it has not begun")
	}
	if got := m.seen(); len(got) > 0 {
		t.Errorf("it has seen %q", got)
	}
	d.down(1)
	d.settle()
	if got := m.seen(); len(got) != 101 {
		t.Errorf("it has seen %d, want the session and 100 changes", len(got))
	}
	// Who leaves in the middle of it takes nothing along.
	d.core.dropMonitor(m)
	again := look(d.core, MonitorFilter{})
	d.core.Work()
	d.core.dropMonitor(again)
	d.settle()
	d.up(1)
	d.empty()
}

// TestMonitorRandom: what a monitor is told, one behind the other, is what the
// table goes through.
func TestMonitorRandom(t *testing.T) {
	for seed := range uint64(60) {
		w := newWorld(t, seed)
		w.stays = true // the monitors are its core's
		m := look(w.core, MonitorFilter{BestOnly: true})
		w.core.Settle()
		known := map[prefix.Prefix]string{}
		for _, p := range universe {
			known[p] = w.best(p)
		}
		for range 300 {
			w.step()
			w.settle()
			queue, missed := m.take()
			if missed > 0 {
				w.fail("it misses %d", missed)
			}
			for _, o := range queue {
				if o.Table != 0 {
					continue // what it imports
				}
				if got := o.old.text(); got != known[o.Prefix] {
					w.fail("%v was %s, and it is told of %s", o.Prefix, known[o.Prefix], got)
				}
				if known[o.Prefix] = o.new.text(); known[o.Prefix] == o.old.text() {
					w.fail("%v: it is told of a change from %s to the same", o.Prefix, known[o.Prefix])
				}
				if o.Cause.Kind() == rib.CauseNone {
					w.fail("%v has changed without a cause", o.Prefix)
				}
			}
			for _, p := range universe {
				if got := w.best(p); got != known[p] {
					w.fail("%v is %s, and it was told of %s", p, got, known[p])
				}
			}
		}
		w.core.dropMonitor(m)
		w.leave()
	}
}

func (s *side) text() string {
	if s == nil {
		return "nothing"
	}
	return fmt.Sprintf("of %d, weight %d, % x, next hop % x", s.neighbor, s.weight, s.block, s.nextHop)
}

// best is the best path as a monitor would see it.
func (w *world) best(p prefix.Prefix) string {
	t := w.core.tables[0][p.Family]
	h := attr.Handle(0)
	if id := t.Lookup(p); id != 0 {
		if b := t.Best(id); b != nil {
			h = b.Post
		}
	}
	return w.core.side(h).text()
}

// TestMonitorEnds: by its reader, by its context, by the end of the loop; and no
// more than some may look.
func TestMonitorEnds(t *testing.T) {
	core, _ := lab3(t)
	e, stop := running(core)
	enough := errors.New("enough")
	if err := e.Monitor(t.Context(), MonitorFilter{}, func([]Observation, uint64) error { return enough }); err != enough {
		t.Errorf("by its reader: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := e.Monitor(ctx, MonitorFilter{}, func([]Observation, uint64) error { cancel(); return nil }); err != context.Canceled {
		t.Errorf("by its context: %v", err)
	}
	ended := make(chan error)
	begun := make(chan bool)
	for range maxMonitors {
		go func() {
			first := true
			ended <- e.Monitor(t.Context(), MonitorFilter{}, func([]Observation, uint64) error {
				if first {
					begun <- true
				}
				first = false
				return nil
			})
		}()
		<-begun
	}
	if err := e.Monitor(t.Context(), MonitorFilter{}, nil); err != ErrMonitors {
		t.Errorf("one too many: %v", err)
	}
	if n := e.Load().Monitors; n != maxMonitors {
		t.Errorf("%d monitors", n)
	}
	stop()
	for range maxMonitors {
		if err := <-ended; err != errStopped {
			t.Errorf("by the end of the loop: %v", err)
		}
	}
}

// TestMonitorRoutes: what is handed out is complete.
func TestMonitorRoutes(t *testing.T) {
	core, _ := lab3(t)
	e, stop := running(core)
	defer stop()
	var got []Observation
	enough := errors.New("enough")
	err := e.Monitor(t.Context(), MonitorFilter{}, func(all []Observation, _ uint64) error {
		if got = append(got, all...); len(got) == 0 {
			go e.Down(2, session.Reason{Text: "gone"})
			return nil
		}
		if got[len(got)-1].Kind == BestChanged {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Fatal(err)
	}
	if o := got[0]; o.Kind != NeighborDown || o.Neighbor != 2 || o.Reason.Text != "gone" || o.At.IsZero() {
		t.Errorf("first: %+v", o)
	}
	if o := got[len(got)-1]; o.Old == nil || o.Old.Neighbor != 2 || o.Old.Prefix != o.Prefix || len(o.Old.Attrs.ASPath) == 0 || len(o.Old.Attrs.NextHop) != 4 {
		t.Errorf("last: %+v", o)
	}
}
