package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// ObservationKind says what a monitor has seen.
type ObservationKind uint8

const (
	BestChanged ObservationKind = iota
	NeighborUp
	NeighborDown
)

// Observation is something that has happened.
type Observation struct {
	At   time.Time
	Kind ObservationKind

	// Of BestChanged. Old and New are best paths, nil where there was or is none.
	Table    TableID
	Prefix   prefix.Prefix
	Cause    rib.Cause
	Old, New *Route

	// Of the others; Reason of NeighborDown.
	Neighbor packet.ID
	Reason   session.Reason
}

// MonitorFilter selects what a monitor sees: all that it says must hold.
type MonitorFilter struct {
	Prefix   *prefix.Prefix // nil: all; sessions are not shown with one
	Longer   bool           // and what is inside Prefix
	Neighbor packet.ID      // whose path it was or is, or whose session; 0: all
	BestOnly bool           // no sessions
}

// ErrMonitors is that there are as many monitors as there may be.
var ErrMonitors = errors.New("too many monitors")

// What waits for somebody who does not read; beyond that it is only counted.
const (
	monitorQueue = 8192
	monitorBytes = 4 << 20
)

// Monitor calls fn, outside of the loop, with what happens, until ctx ends or fn
// returns an error. missed is how many observations behind those were lost
// because fn took too long. The first call, with or without observations, says
// that from here on everything is seen.
func (e *Engine) Monitor(ctx context.Context, f MonitorFilter, fn func(all []Observation, missed uint64) error) error {
	m := &monitor{filter: f, wake: make(chan struct{}, 1)}
	taken := false
	if err := e.ask(ctx, func(c *Core) { taken = c.addMonitor(m) }); err != nil {
		return err
	}
	if !taken {
		return ErrMonitors
	}
	e.monitors.Add(1)
	defer func() {
		e.Do(func(c *Core) { c.dropMonitor(m) })
		e.monitors.Add(-1)
	}()
	for {
		select {
		case <-m.wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-e.done:
			return errStopped
		}
		queue, missed := m.take()
		e.missed.Add(missed)
		all := make([]Observation, len(queue))
		for i, o := range queue {
			all[i] = o.Observation
			all[i].Old, all[i].New = o.old.route(o.Prefix), o.new.route(o.Prefix)
		}
		if err := fn(all, missed); err != nil {
			return err
		}
	}
}

// monitor is somebody who looks. The loop puts in what another goroutine takes
// out, and never waits for it.
type monitor struct {
	filter MonitorFilter
	wake   chan struct{} // has a token when there is something to take

	mu     sync.Mutex
	queue  []*observation
	bytes  int
	missed uint64
}

// observation is what monitors share, with the paths as they are stored.
type observation struct {
	Observation
	old, new *side
}

func observed(o Observation, old, new *side) *observation {
	o.At = time.Now()
	return &observation{o, old, new}
}

type side struct {
	neighbor       packet.ID
	weight         uint32
	block, nextHop []byte
}

func (s *side) size() int {
	if s == nil {
		return 0
	}
	return len(s.block) + len(s.nextHop)
}

func (s *side) route(p prefix.Prefix) *Route {
	if s == nil {
		return nil
	}
	r := &Route{Prefix: p, Neighbor: s.neighbor, Best: true, Weight: s.weight}
	wire.Parse(s.block, s.nextHop, &r.Attrs)
	return r
}

func (m *monitor) wants(p prefix.Prefix, old, new packet.ID) bool {
	f := &m.filter
	if f.Neighbor != 0 && f.Neighbor != old && f.Neighbor != new {
		return false
	}
	return f.Prefix == nil || *f.Prefix == p || f.Longer && f.Prefix.Covers(p)
}

func (m *monitor) wantsSession(id packet.ID) bool {
	f := &m.filter
	return !f.BestOnly && f.Prefix == nil && (f.Neighbor == 0 || f.Neighbor == id)
}

// room reports whether one more may be put; if not, it counts as missed.
func (m *monitor) room() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) < monitorQueue && m.bytes < monitorBytes {
		return true
	}
	m.missed++
	return false
}

func (m *monitor) put(o *observation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, o)
	m.bytes += o.old.size() + o.new.size()
	m.begin()
}

// begin wakes the reader.
func (m *monitor) begin() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// take empties the queue. What was missed was behind all of it.
func (m *monitor) take() (queue []*observation, missed uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	queue, missed = m.queue, m.missed
	m.queue, m.bytes, m.missed = nil, 0, 0
	return queue, missed
}
