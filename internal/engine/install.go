package engine

import (
	"cmp"
	"net/netip"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/export"
	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// installer keeps a kernel table as our table says. Like an update group it has
// for each prefix what is out, and looks at each changed one once; what the
// kernel has not acknowledged is not announced (RFC 4271 section 9.1.3).
type installer struct {
	t *table
	Install
	forwards *forwards
	writer   *kernelWriter
	memo     *attr.Memo // of Policy

	state   slab.Array[uint32] // by rib.ID: the forward that the kernel has, 0 for none
	pending []rib.ID           // to look at, each once
	first   []rib.ID           // of them, protected ones
	queued  slab.Bits
	flying  slab.Bits // the kernel has yet to answer
	// doubtful ones are written again, even if nothing else is wanted: a change
	// failed, or they were lost while flying.
	doubtful slab.Bits
	seen     *slab.Bits // while Reconcile looks: what the kernel has
	// quiet ones, among those to look at or flying, have been announced: nobody
	// waits for them. Of unsure ones the kernel has yet to say what their object
	// does.
	quiet, unsure slab.Bits
	// stale routes are of an earlier run of this program, as they were found.
	// What is better known replaces them; the rest goes when waiting ends.
	stale   slab.Bits
	waiting bool
	failed  map[rib.ID]error
	closing bool // all routes are to go
	count   int  // routes in the kernel
}

// Install says which routes of a table go to the kernel, and how.
type Install struct {
	Kernel    uint32                      // table of the kernel
	Metric    uint32                      // of the routes, but for those that discard
	Source    [prefix.Families]netip.Addr // preferred source
	Multipath int                         // how many equal paths are used; 0 counts as 1
	Policy    *policy.Program             // which best routes; nil: all
}

// discardMetric is that of routes that only catch what no other route of the
// same prefix takes.
const discardMetric = 1<<32 - 2

func newInstaller(t *table, s Install, store *attr.Store, f *forwards, w *kernelWriter) *installer {
	return &installer{t: t, Install: s, forwards: f, writer: w, memo: attr.NewMemo(store), failed: map[rib.ID]error{}}
}

// touch says that what a prefix needs in the kernel may be different now.
func (x *installer) touch(id rib.ID) {
	x.quiet.Clear(uint32(id))
	x.enqueue(id)
}

// enqueue reports false for a prefix that is to be looked at anyway.
func (x *installer) enqueue(id rib.ID) bool {
	switch {
	case !x.queued.Set(uint32(id)):
		return false
	case x.t.First.Has(uint32(id)):
		x.first = append(x.first, id)
	default:
		x.pending = append(x.pending, id)
	}
	return true
}

// touchQuietly is touch for what is nothing to others.
func (x *installer) touchQuietly(id rib.ID) {
	if x.enqueue(id) && !x.flying.Has(uint32(id)) {
		x.quiet.Set(uint32(id))
	}
}

// switched is touch for a prefix with another best path. It reports whether its
// packets go the way of that path already, as the object of its route has been
// changed: then it can be announced at once.
func (x *installer) switched(c *Core, id rib.ID) bool {
	have := x.state.Get(uint32(id))
	if x.forwards.list[have].Object == 0 || x.flying.Has(uint32(id)) || x.t.Best(id) == nil || x.readiness(c, id) != export.Sent {
		x.touch(id)
		return false
	}
	x.quiet.Set(uint32(id))
	x.enqueue(id)
	return true
}

// touchAll looks at every prefix again.
func (x *installer) touchAll() {
	for id := rib.ID(1); id <= x.t.Top(); id++ {
		if x.t.Live(id) {
			x.touch(id)
		}
	}
}

// needs reports whether there is still something to do about a prefix.
func (x *installer) needs(id rib.ID) bool {
	return x.state.Get(uint32(id)) != 0 || x.queued.Has(uint32(id)) || x.flying.Has(uint32(id))
}

// readiness says whether a prefix's best route may be announced.
func (x *installer) readiness(c *Core, id rib.ID) uint8 {
	want, have := x.wantBy(c, id, false), x.state.Get(uint32(id))
	if want == 0 {
		return export.Sent
	}
	same, sure := x.forwards.sameWay(want, have)
	switch {
	case same && !x.doubtful.Has(uint32(id)):
		return export.Sent
	case x.failed[id] != nil:
		return export.NotInstalled
	case !sure:
		x.unsure.Set(uint32(id))
	}
	return export.NotYetInstalled
}

// want is the forward that the kernel should have for a prefix.
func (x *installer) want(c *Core, id rib.ID) uint32 { return x.wantBy(c, id, x.forwards.objects.on) }

// wantBy is want, with an object where there can be one, or without.
func (x *installer) wantBy(c *Core, id rib.ID, object bool) uint32 {
	best := x.way(c, id)
	if best == nil || x.closing || !x.passes(c, best, id) {
		return 0
	}
	rec := c.store.At(best.Post)
	f := fib.Forward{Source: x.Source[x.t.Family()]}
	metric := x.Metric
	switch {
	case best.Neighbor == 0 && best.PathID == uint32(localKernel):
		return 0 // it is there already
	case rec.Key.NextHop == policy.NextHopDiscard:
		f.Action = fib.Blackhole
		if rec.Key.Source == policy.Static { // also one that is imported
			metric = discardMetric
		}
	case best.Neighbor == 0 && best.PathID == uint32(localAggregate):
		f.Action, metric = fib.Unreachable, discardMetric
	case rec.Hop == 0:
		return 0 // we are the destination
	default:
		if object && best.Neighbor != 0 {
			if f.Object = x.group(c, id, best); f.Object != 0 {
				return x.forwards.number(f, x.Kernel, metric)
			}
		}
		f.Hops = c.hops.list[rec.Hop].Hops
		if x.Multipath > 1 && best.Neighbor != 0 {
			f.Hops = x.multipath(c, id)
		}
	}
	if f.Action != fib.Unicast {
		f.Source = netip.Addr{}
	} else if len(f.Hops) == 0 {
		return 0
	}
	f.Hops = f.Hops[:min(len(f.Hops), fib.MaxHops)]
	return x.forwards.number(f, x.Kernel, metric)
}

// way is the path that packets go by: the best one, but for a prefix of which we
// are the origin and a static route says where it is.
func (x *installer) way(c *Core, id rib.ID) *rib.Path {
	best := x.t.Best(id)
	if best == nil || best.Neighbor != 0 || best.PathID != uint32(localOriginated) || c.store.At(best.Post).Hop != 0 {
		return best
	}
	way := best
	x.t.Paths(id, func(p *rib.Path) bool {
		if p.Neighbor == 0 && p.PathID == uint32(localStatic) && x.t.Reachable(p) {
			way = p
		}
		return way == best
	})
	return way
}

// group is the object for a prefix: of the ways of its best path, or of those that
// are as good, and where it is one path, of the next best one to stand by. 0: it
// needs none, or can have none.
func (x *installer) group(c *Core, id rib.ID, best *rib.Path) uint32 {
	o := x.forwards.objects
	ways, n := o.scratch[:0], 0
	if x.Multipath > 1 {
		x.t.Equal(id, func(p *rib.Path) bool {
			ways = c.addWays(ways, p)
			n++
			return n < x.Multipath
		})
		slices.SortFunc(ways, func(a, b way) int { return byWay(a.hop, b.hop) })
	}
	if n < 2 {
		second := x.t.Second(id)
		if second == nil || c.store.At(second.Post).Key.NextHop == policy.NextHopDiscard || !x.passes(c, second, id) {
			return 0
		}
		ways = c.addWays(ways[:0], best)
		number := c.store.At(second.Post).Hop
		hops := c.hops.list[number].Hops
		if len(hops) == 0 || len(ways) == fib.MaxHops {
			return 0
		}
		ways = append(ways, way{legKey{second.Neighbor, number, hops[0]}, true}) // one is enough until the walk has come
	}
	o.scratch = ways
	for _, w := range ways {
		if !fits(w.hop) || w.hop.Gateway.Is4() && x.t.Family() == prefix.IPv6 {
			return 0
		}
	}
	return o.group(ways, c.now)
}

// addWays adds those of a path that are not there yet.
func (c *Core) addWays(ways []way, p *rib.Path) []way {
	number := c.store.At(p.Post).Hop
	for _, h := range c.hops.list[number].Hops {
		if len(ways) < fib.MaxHops && !slices.ContainsFunc(ways, func(w way) bool { return w.hop == h }) {
			ways = append(ways, way{legKey{p.Neighbor, number, h}, false})
		}
	}
	return ways
}

// byWay is an order of ways: that in which paths came makes no other route.
func byWay(a, b fib.Hop) int {
	return cmp.Or(cmp.Compare(a.Link, b.Link), a.Gateway.Compare(b.Gateway))
}

// multipath are the ways of the best path and of those that are as good.
func (x *installer) multipath(c *Core, id rib.ID) (hops []fib.Hop) {
	n := 0
	x.t.Equal(id, func(p *rib.Path) bool {
		for _, h := range c.hops.list[c.store.At(p.Post).Hop].Hops {
			if !slices.Contains(hops, h) {
				hops = append(hops, h)
			}
		}
		n++
		return n < x.Multipath
	})
	slices.SortFunc(hops, byWay)
	return hops
}

// passes asks the policy.
func (x *installer) passes(c *Core, best *rib.Path, id rib.ID) bool {
	if x.Policy == nil {
		return true
	}
	variant := c.variant(x.Policy, best.Post, x.t.Prefix(id))
	r, ok := x.memo.Get(best.Post, variant)
	if !ok {
		var a wire.Attrs
		res := c.eval(x.Policy, best.Post, variant, &a)
		r.Trace = res.Trace
		if res.Accept {
			r.To = best.Post
		}
		x.memo.Put(best.Post, variant, r)
		x.Policy.Count(r.Trace, 1)
	}
	return r.To != 0
}

// drain hands the kernel up to limit changes and reports whether it did
// anything.
func (x *installer) drain(c *Core, limit int) bool {
	list := &x.pending
	if len(x.first) > 0 {
		list = &x.first
	}
	if len(*list) == 0 || !x.writer.room() {
		return false
	}
	todo := (*list)[:min(limit, len(*list))]
	for _, id := range todo {
		x.queued.Clear(uint32(id))
		x.update(c, id)
	}
	if *list = (*list)[len(todo):]; len(*list) == 0 {
		*list = nil
	}
	x.writer.flush()
	x.forwards.sweep()
	return true
}

func (x *installer) update(c *Core, id rib.ID) {
	if x.flying.Has(uint32(id)) {
		return // looked at again with the answer
	}
	want, have := x.want(c, id), x.state.Get(uint32(id))
	delete(x.failed, id)
	switch {
	case want == have && (want == 0 || !x.doubtful.Has(uint32(id))):
		x.stale.Clear(uint32(id))
		x.doubtful.Clear(uint32(id))
		x.settled(id, x.quiet.Clear(uint32(id)))
		return
	case want == 0 && x.waiting && x.stale.Has(uint32(id)):
		return // what is to come may want it
	case x.waiting && x.stale.Has(uint32(id)) && x.forwards.list[have].Object != 0 && x.readiness(c, id) == export.Sent:
		x.settled(id, x.quiet.Clear(uint32(id)))
		return // the standby's path may be to come
	}
	x.flying.Set(uint32(id))
	x.doubtful.Clear(uint32(id))
	x.forwards.retain(want)
	p := x.t.Prefix(id)
	if want != 0 {
		x.writer.make(x.forwards.objects.changes(x.forwards.list[want].Object))
		x.writer.put(x, id, want, fib.Change{Route: x.route(p, want)}, have == 0 || x.forwards.samePlace(have, want))
	}
	if have != 0 && (want == 0 || !x.forwards.samePlace(have, want)) {
		// Another metric is another route: it goes once the new one is there.
		x.writer.put(x, id, want, fib.Change{Route: x.route(p, have), Delete: true}, true)
	}
}

// route is a forward as a kernel route.
func (x *installer) route(p prefix.Prefix, forward uint32) fib.Route {
	f := &x.forwards.list[forward]
	return fib.Route{Table: f.table, Metric: f.metric, Prefix: p, Forward: f.Forward}
}

// answered takes the kernel's answer to one change.
func (x *installer) answered(c *Core, a *answer) {
	id := a.id
	gone := x.forwards.gone(a.forward)
	if a.err != nil && !gone {
		if x.failed[id] == nil {
			x.failed[id] = a.err
		}
		c.complainKernel(x, id, a.err)
	}
	if !a.last {
		return
	}
	x.flying.Clear(uint32(id))
	x.stale.Clear(uint32(id))
	again := gone || x.want(c, id) != a.forward || x.doubtful.Has(uint32(id))
	failed := gone || x.failed[id] != nil
	if failed {
		x.doubtful.Set(uint32(id)) // what it has now
		x.forwards.release(a.forward)
	} else {
		x.forwards.release(x.set(id, a.forward))
		if x.seen != nil {
			x.seen.Set(uint32(id))
		}
	}
	switch quiet := x.quiet.Clear(uint32(id)); {
	case again && quiet && !failed:
		x.touchQuietly(id)
	case again:
		x.touch(id)
	default:
		x.settled(id, quiet && !failed)
	}
}

// set notes what the kernel has and returns what it had.
func (x *installer) set(id rib.ID, forward uint32) (old uint32) {
	x.state.Grow(uint32(id))
	cell := x.state.At(uint32(id))
	old, *cell = *cell, forward
	if old == 0 && forward != 0 {
		x.count++
	} else if old != 0 && forward == 0 {
		x.count--
	}
	return old
}

// settled lets those have a prefix that have waited for the kernel, if anybody has.
func (x *installer) settled(id rib.ID, quiet bool) {
	if !quiet {
		for _, g := range x.t.groups {
			g.Touch(id)
		}
	}
	if x.t.Live(id) && x.t.Best(id) == nil && !x.t.referenced(id) {
		x.t.Collect(id)
	}
}

// adopt takes over a route that was found in the kernel. It reports false where
// it has another one for the prefix.
func (x *installer) adopt(r *fib.Route) bool {
	id := x.t.Lookup(r.Prefix)
	if id == 0 {
		if id = x.t.Pin(r.Prefix); id == 0 {
			return false
		}
		x.t.Unpin(id) // the state holds it
	}
	if x.state.Get(uint32(id)) != 0 {
		return false
	}
	if r.Object != 0 && x.forwards.objects.groups[r.Object] == nil {
		return false
	}
	n := x.forwards.number(r.Forward, r.Table, r.Metric)
	x.forwards.retain(n)
	x.set(id, n)
	x.stale.Set(uint32(id))
	return true
}

// endWaiting lets stale routes go.
func (x *installer) endWaiting() {
	x.waiting = false
	for id, ok := x.stale.Next(0); ok; id, ok = x.stale.Next(id + 1) {
		x.touch(rib.ID(id))
	}
}

// lost says that somebody else has removed or changed a route of ours.
func (x *installer) lost(r *fib.Route) {
	id := x.t.Lookup(r.Prefix)
	switch {
	case id == 0:
	case x.flying.Has(uint32(id)), x.has(id, r):
		x.dropped(id)
	}
}

// dropped says that the kernel has lost the route for a prefix.
func (x *installer) dropped(id rib.ID) {
	if x.flying.Has(uint32(id)) {
		x.doubtful.Set(uint32(id)) // before or after what is under way
		return
	}
	x.forwards.release(x.set(id, 0))
	x.touch(id)
}

// has reports whether a kernel route is the one of ours for a prefix.
func (x *installer) has(id rib.ID, r *fib.Route) bool {
	have := x.state.Get(uint32(id))
	f := &x.forwards.list[have]
	return have != 0 && f.table == r.Table && f.metric == r.Metric
}

// retry looks at those again that the kernel has refused.
func (x *installer) retry() {
	for id := range x.failed {
		x.touch(id)
	}
}

// idle reports whether the kernel has all that it should.
func (x *installer) idle() bool { return len(x.pending)+len(x.first) == 0 && x.flying.Len() == 0 }

// bytes is the memory that it takes.
func (x *installer) bytes() uint64 {
	return x.state.Bytes(4) + x.quiet.Bytes() + x.unsure.Bytes() + x.queued.Bytes() + x.flying.Bytes() + x.doubtful.Bytes() + x.stale.Bytes() + uint64(cap(x.pending))*4 + x.memo.Bytes()
}
