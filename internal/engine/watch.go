package engine

import (
	"bytes"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/slab"
)

// watch knows which best paths there were when monitors were told last: the
// journal says only that something has changed. There is one, for all of them,
// as long as there is any.
type watch struct {
	best     [][prefix.Families]slab.Array[attr.Handle] // by TableID and rib.ID, with a reference to each
	complete bool                                       // before that, nobody is told anything
	monitors []*monitor
}

// maxMonitors bounds what monitors cost the loop.
const maxMonitors = 16

// addMonitor reports false if there are too many.
func (c *Core) addMonitor(m *monitor) bool {
	if c.watch == nil {
		c.watch = &watch{}
		c.jobs = append(c.jobs, job{0, c.fill(c.watch)})
	}
	w := c.watch
	if len(w.monitors) == maxMonitors {
		return false
	}
	w.monitors = append(w.monitors, m)
	if w.complete {
		m.begin()
	}
	return true
}

// dropMonitor forgets a monitor, and with the last one the best paths.
func (c *Core) dropMonitor(m *monitor) {
	w := c.watch
	w.monitors = slices.DeleteFunc(w.monitors, func(x *monitor) bool { return x == m })
	if len(w.monitors) > 0 {
		return
	}
	c.watch = nil
	c.jobs = append(c.jobs, job{0, c.release(w)})
}

// fill notes the best paths, in slices.
func (c *Core) fill(w *watch) (step func() bool) {
	at, from := 0, rib.ID(1)
	return func() bool {
		if c.watch != w {
			return true
		}
		for left := c.pace.walk; at < len(c.tables)*prefix.Families; at, from = at+1, 1 {
			t := c.tables[at/prefix.Families][at%prefix.Families]
			for ; from <= t.Top(); from++ {
				if left == 0 {
					return false
				}
				left--
				if t.Live(from) {
					old, _ := w.look(c, t, from)
					c.store.Release(old)
				}
			}
		}
		w.complete = true
		for _, m := range w.monitors {
			m.begin()
		}
		return true
	}
}

// release gives back what a watch has, in slices.
func (c *Core) release(w *watch) (step func() bool) {
	at, from := 0, uint32(0)
	return func() bool {
		for left := c.pace.walk; at < len(w.best)*prefix.Families; at, from = at+1, 0 {
			best := &w.best[at/prefix.Families][at%prefix.Families]
			for ; from < best.Len(); from++ {
				if left == 0 {
					return false
				}
				left--
				c.store.Release(*best.At(from))
			}
		}
		return true
	}
}

// look notes the best path of a prefix. The reference to the one before is the
// caller's.
func (w *watch) look(c *Core, t *table, id rib.ID) (old, new attr.Handle) {
	for int(t.id) >= len(w.best) {
		w.best = append(w.best, [prefix.Families]slab.Array[attr.Handle]{})
	}
	if t.Live(id) {
		if best := t.Best(id); best != nil {
			new = best.Post
		}
	}
	known := &w.best[t.id][t.Family()]
	known.Grow(uint32(id))
	cell := known.At(uint32(id))
	old = *cell
	if new != old && new != 0 {
		c.store.Retain(new, 1)
	}
	if new == old {
		return 0, 0
	}
	*cell = new
	return old, new
}

// tell shows monitors what has become of changes of a table.
func (w *watch) tell(c *Core, t *table, changes []rib.Change) {
	for _, ch := range changes {
		old, new := w.look(c, t, ch.ID)
		if old == new {
			continue
		}
		if w.complete && t.Live(ch.ID) && !c.alike(old, new) {
			w.show(c, t, ch, old, new)
		}
		c.store.Release(old)
	}
}

// alike reports whether two blocks of a neighbor say the same: what a policy has
// made may be what was received.
func (c *Core) alike(a, b attr.Handle) bool {
	if a == 0 || b == 0 {
		return false
	}
	x, y := c.store.At(a).Key, c.store.At(b).Key
	blockA, nextHopA := c.store.Block(a)
	blockB, nextHopB := c.store.Block(b)
	return x.Neighbor == y.Neighbor && x.Weight == y.Weight && bytes.Equal(blockA, blockB) && bytes.Equal(nextHopA, nextHopB)
}

func (w *watch) show(c *Core, t *table, ch rib.Change, old, new attr.Handle) {
	p := t.Prefix(ch.ID)
	from := func(h attr.Handle) packet.ID {
		if h == 0 {
			return 0
		}
		return c.store.At(h).Key.Neighbor
	}
	var o *observation
	for _, m := range w.monitors {
		if !m.wants(p, from(old), from(new)) || !m.room() {
			continue
		}
		if o == nil { // nobody pays for what nobody reads
			o = observed(Observation{Kind: BestChanged, Table: t.id, Prefix: p, Cause: ch.Cause}, c.side(old), c.side(new))
		}
		m.put(o)
	}
}

// session shows monitors that one has come or gone.
func (w *watch) session(k ObservationKind, id packet.ID, why session.Reason) {
	if w == nil || !w.complete {
		return
	}
	for _, m := range w.monitors {
		if m.wantsSession(id) && m.room() {
			m.put(observed(Observation{Kind: k, Neighbor: id, Reason: why}, nil, nil))
		}
	}
}

// side copies a path out of the loop's reach.
func (c *Core) side(h attr.Handle) *side {
	if h == 0 {
		return nil
	}
	key := c.store.At(h).Key
	block, nextHop := c.store.Block(h)
	data := make([]byte, 0, len(block)+len(nextHop))
	data = append(append(data, block...), nextHop...)
	return &side{neighbor: key.Neighbor, weight: key.Weight, block: data[:len(block)], nextHop: data[len(block):]}
}
