package engine

import (
	"slices"

	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/rib"
)

// kernelBatch is how many changes go to the kernel together, and kernelAhead how
// many batches it may be behind.
const (
	kernelBatch = 4096
	kernelAhead = 2
)

// Batch is changes of kernel routes that belong together. Whoever carries it out
// fills in Errs and gives it back to Written.
type Batch struct {
	// Objects come first: the routes may use them.
	Objects    []fib.ObjectChange
	ObjectErrs []error
	Changes    []fib.Change
	Errs       []error // nil where the kernel has it
	answers    []answer
	own        bool // of objects alone
}

// answer is what a change was for.
type answer struct {
	to      *installer
	id      rib.ID
	forward uint32 // that the prefix has then
	last    bool   // of the changes about the prefix
	err     error
}

// kernelWriter collects changes into batches.
type kernelWriter struct {
	out   func(*Batch)
	next  *Batch
	spare []*Batch
	ahead int
}

func (w *kernelWriter) room() bool { return w.ahead < kernelAhead }

// begin makes sure that there is a next batch.
func (w *kernelWriter) begin() {
	if w.next != nil {
		return
	}
	w.next = &Batch{}
	if n := len(w.spare); n > 0 {
		w.next, w.spare = w.spare[n-1], w.spare[:n-1]
	}
}

// make has objects made before the routes of the batch.
func (w *kernelWriter) make(objects []fib.ObjectChange) {
	w.begin()
	w.next.Objects = append(w.next.Objects, objects...)
}

func (w *kernelWriter) put(to *installer, id rib.ID, forward uint32, ch fib.Change, last bool) {
	w.begin()
	w.next.Changes = append(w.next.Changes, ch)
	w.next.answers = append(w.next.answers, answer{to: to, id: id, forward: forward, last: last})
}

func (w *kernelWriter) flush() {
	if w.next == nil {
		return
	}
	b := w.next
	w.next = nil
	w.ahead++
	b.Errs = slices.Grow(b.Errs[:0], len(b.Changes))[:len(b.Changes)]
	clear(b.Errs)
	b.ObjectErrs = make([]error, len(b.Objects))
	w.out(b)
}

// UseKernel connects the core with the kernel: next hops are resolved by it, and
// out is given what is to be written, which Written gets back. objects says that
// the kernel takes nexthop objects. It comes before the first Configure.
func (c *Core) UseKernel(out func(*Batch), objects bool) {
	c.writer = &kernelWriter{out: out}
	c.objects = newObjects(objects)
	c.forwards = newForwards(c.objects)
	c.track()
}

// Written takes back a batch that has been carried out.
func (c *Core) Written(b *Batch) {
	if c.distribute(); b.own { // what has happened is known before installers give prefixes back
		c.objects.flying = false
	} else {
		c.writer.ahead--
	}
	for i := range b.Objects {
		gone, sure := c.objects.answered(&b.Objects[i], b.ObjectErrs[i], c.now)
		if b.ObjectErrs[i] != nil {
			c.complainObject(b.ObjectErrs[i])
		}
		if c.dropGroups(gone); sure {
			c.lookAgain()
		}
	}
	for i := range b.Changes {
		ch, by := &b.Changes[i], (*installer)(nil)
		if len(b.answers) > 0 {
			a := &b.answers[i]
			a.err, by = b.Errs[i], a.to
			if a.err != nil && ch.Delete && a.forward != 0 && by.failed[a.id] == nil {
				c.orphans, a.err = append(c.orphans, *ch), nil // its successor is there
			}
			by.answered(c, a)
		} else if b.Errs[i] != nil {
			c.orphans = append(c.orphans, *ch)
		}
		if ch.Delete && b.Errs[i] == nil && (by == nil || by.closing || by.Kernel != ch.Table) {
			// Another table may have a route there by now.
			if x := c.installerOf(&ch.Route); x != nil && x != by {
				x.lost(&ch.Route)
			}
		}
	}
	b.Objects, b.Changes, b.answers, b.own = b.Objects[:0], b.Changes[:0], b.answers[:0], false
	c.writer.spare = append(c.writer.spare, b)
	c.writeObjects()
}

// Adopt takes over the routes and nexthop objects of ours that are in the kernel from an earlier
// run, right after the first Configure: before anything is written. They stay until it is known that nobody
// announces them any more: when all neighbors that are up have sent their
// End-of-RIB, or after wait seconds.
func (c *Core) Adopt(routes []fib.Route, objects []fib.Object, wait uint32) {
	if len(objects) > 0 {
		c.objects.adopt(objects)
		c.loseDown()
	}
	for i := range routes {
		r := &routes[i]
		if x := c.installerOf(r); x != nil && x.adopt(r) {
			x.waiting = true
		} else {
			c.orphans = append(c.orphans, fib.Change{Route: *r, Delete: true})
		}
	}
	if len(routes) > 0 || len(objects) > 0 {
		c.waitUntil = c.now + wait + 1
	}
}

// installerOf is whose route a kernel route of ours is, nil if nobody's. One that
// keeps the kernel's table comes before one that leaves it.
func (c *Core) installerOf(r *fib.Route) (found *installer) {
	c.all(func(t *table) {
		if x := t.install; x != nil && x.Kernel == r.Table && t.Family() == r.Prefix.Family && (found == nil || found.closing) {
			found = x
		}
	})
	return found
}

// checkWaiting ends the time in which routes of an earlier run stay.
func (c *Core) checkWaiting() {
	if c.waitUntil == 0 || c.deferral != nil || c.now < c.waitUntil && !c.converged() {
		return
	}
	c.waitUntil = 0
	c.all(func(t *table) {
		if t.install != nil {
			t.install.endWaiting()
		}
	})
	c.removeOrphans()
	c.objects.endWaiting()
	c.writeObjects()
}

// removeOrphans takes away what no table has.
func (c *Core) removeOrphans() {
	gone := slices.DeleteFunc(c.orphans, func(ch fib.Change) bool {
		x := c.installerOf(&ch.Route)
		return x != nil && x.has(x.t.Lookup(ch.Prefix), &ch.Route)
	})
	if len(gone) == 0 || c.frozen || c.writer.ahead > kernelAhead {
		c.orphans = gone
		return
	}
	c.orphans = nil
	c.writer.ahead++
	c.writer.out(&Batch{Changes: gone, Errs: make([]error, len(gone))})
}

// converged reports whether all neighbors are up that are to come up, and have
// sent all their routes.
func (c *Core) converged() bool {
	for _, n := range c.cfg.Neighbors {
		s := c.neighbors[n.ID]
		if !s.up {
			if n.Shutdown {
				continue
			}
			return false
		}
		for f, on := range s.est.Read.Families {
			if on && !s.counts[f].endOfRIB {
				return false
			}
		}
	}
	return len(c.jobs) == 0
}

// setInstallers makes the kernel routes those of the configuration. sources says
// that what is known of the routes' sources has changed.
func (c *Core) setInstallers(sources bool) {
	if c.writer == nil {
		return
	}
	c.all(func(t *table) {
		var want *Install
		if int(t.id) < len(c.cfg.Tables) {
			want = c.cfg.Tables[t.id].Install
		}
		x := t.install
		switch {
		case want == nil && x == nil:
			return
		case want == nil:
			x.closing = true
			x.touchOut()
			return
		case x == nil:
			x = newInstaller(t, *want, c.store, c.forwards, c.writer)
			t.install = x
			t.env.Installed = func(id rib.ID) uint8 { return x.readiness(c, id) }
			t.env.Installing = func() bool { return !x.idle() }
		default:
			s := *want
			program, same := keep(x.Policy, s.Policy)
			if s.Policy = program; !same || sources && program != nil {
				x.memo.Reset()
			} else if s == x.Install && !x.closing {
				return
			}
			x.Install, x.closing = s, false
		}
		t.noteAll()
		x.touchAll()
	})
}

// touchOut looks at all prefixes that are in the kernel.
func (x *installer) touchOut() {
	for i := range x.state.Len() {
		if *x.state.At(i) != 0 {
			x.touch(rib.ID(i))
		}
	}
}

// FlushKernel has all kernel routes removed. It is the end: KernelIdle tells when
// it has been done.
func (c *Core) FlushKernel() {
	c.waitUntil, c.deferral, c.frozen = 0, nil, false
	c.all(func(t *table) {
		if x := t.install; x != nil {
			x.closing, x.waiting = true, false
			x.touchOut()
		}
	})
	c.removeOrphans()
	c.objects.endWaiting()
	c.writeObjects()
}

// KernelIdle reports whether the kernel has all that it is to have.
func (c *Core) KernelIdle() bool {
	idle := c.writer == nil || c.writer.ahead == 0 && !c.objects.flying && len(c.objects.todo) == 0
	c.all(func(t *table) { idle = idle && (t.install == nil || t.install.idle()) })
	return idle
}

// kernelTables are the tables of the kernel by which next hops of a table are
// resolved.
func (c *Core) kernelTables(id TableID) []uint32 {
	if int(id) < len(c.cfg.Tables) {
		return c.cfg.Tables[id].Resolve
	}
	return nil
}

// KernelNews takes in what the kernel tells.
func (c *Core) KernelNews(e fib.Event) {
	changed := c.hops.view.Update(e)
	c.objectNews(e)
	for i := range e.OwnLost {
		if x := c.installerOf(&e.OwnLost[i]); x != nil {
			x.lost(&e.OwnLost[i])
		}
	}
	c.reresolveAll()
	c.writeObjects()
	c.redistribute(changed)
	c.checkPresence(changed)
}

// kernelTime does what is due by the clock.
func (c *Core) kernelTime() {
	const pause = 10 // seconds
	c.checkWaiting()
	if c.now < c.retryAt {
		return
	}
	c.retryAt = c.now + pause
	if c.waitUntil == 0 {
		c.removeOrphans()
	}
	c.all(func(t *table) {
		if t.install != nil {
			t.install.retry()
		}
	})
}

// complainKernel logs that the kernel has refused a route, once a second at the
// most.
func (c *Core) complainKernel(x *installer, id rib.ID, err error) {
	if c.kernelBad == c.now+1 {
		return
	}
	c.kernelBad = c.now + 1
	c.log.Error("the kernel does not take a route: it is not announced, and tried again", "event", events.KernelRefused,
		"prefix", x.t.Prefix(id), "table", x.Kernel, "error", err, "routes", len(x.failed))
}
