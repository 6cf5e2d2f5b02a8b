package engine

import (
	"holdfast/internal/fib"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
)

// Reconcile writes those routes of ours again that are not among the ones that
// the kernel has: it drops some without a word. It works in slices between which
// routing goes on. What the kernel acknowledges meanwhile counts as there.
func (e *Engine) Reconcile(list func(f func(fib.Route)) error) error {
	e.Do(func(c *Core) {
		c.all(func(t *table) {
			if x := t.install; x != nil {
				x.seen = &slab.Bits{}
				// What is under way may have been written before it was dropped.
				for id, ok := x.flying.Next(0); ok; id, ok = x.flying.Next(id + 1) {
					x.doubtful.Set(id)
				}
			}
		})
	})
	var present []fib.Route
	if err := list(func(r fib.Route) { present = append(present, r) }); err != nil {
		return err
	}
	for len(present) > 0 {
		n := min(len(present), querySlice)
		e.Do(func(c *Core) {
			for i := range present[:n] {
				if x := c.installerOf(&present[i]); x != nil {
					x.see(&present[i])
				}
			}
		})
		present = present[n:]
	}
	for at, from, more := 0, uint32(0), true; more; {
		if !e.Do(func(c *Core) { at, from, more = c.missing(at, from) }) {
			return nil
		}
	}
	return nil
}

// see notes that the kernel has a route.
func (x *installer) see(r *fib.Route) {
	if id := x.t.Lookup(r.Prefix); id != 0 && x.seen != nil && x.has(id, r) {
		x.seen.Set(uint32(id))
	}
}

// missing has a slice of what was not seen written again, and returns where to
// go on.
func (c *Core) missing(at int, from uint32) (nextAt int, next uint32, more bool) {
	families := len(c.tables[0])
	if at == len(c.tables)*families {
		return 0, 0, false
	}
	x := c.tables[at/families][at%families].install
	if x == nil || x.seen == nil || from >= x.state.Len() {
		if x != nil {
			x.seen = nil
		}
		return at + 1, 0, true
	}
	end := min(from+querySlice, x.state.Len())
	for id := from; id < end; id++ {
		if have := *x.state.At(id); have != 0 && !x.seen.Has(id) && !x.flying.Has(id) {
			x.doubtful.Set(id)
			x.touch(rib.ID(id))
		}
	}
	return at, end, true
}
