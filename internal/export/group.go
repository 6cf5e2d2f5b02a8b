package export

import (
	"slices"
	"unsafe"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
)

// Group is the Adj-RIB-Out of neighbors that are sent the same.
type Group struct {
	Params
	Number  uint32 // for people
	env     *Env
	program *policy.Program // nil: see Params.Policy
	memo    *attr.Memo
	// What members are sent, 0 for nothing. Cells are numbered as prefixes are
	// (rib.ID), or with numbers as paths.
	out     slab.Array[attr.Handle]
	numbers *numbering // nil without Params.AddPath
	count   int        // cells of out that are in use
	// With RouteServer: what the neighbor that gave the route in a cell is sent in
	// its place, if it is a member and there is something.
	seconds map[rib.ID]attr.Handle
	second  []int // by neighbor: how many of seconds are for it
	from    []int // by neighbor: how many of them came from it; 0 does not count
	members []*Member

	pending []rib.ID // to look at, each once
	first   []rib.ID // likewise, of prefixes that come before all others
	done    int      // of pending
	queued  slab.Bits
	force   bool      // the same block is a change as well: encoding has changed
	owed    slab.Bits // likewise, of some prefixes

	// With MaxOut: prefixes that are held back, and how many may come in this
	// round. What a withdrawal leaves free counts in the next one only, when it is
	// on its way: no member ever has more.
	held    slab.Bits // by cell
	room    int
	limited bool // Env.Limited was told

	packer packer
}

// NewGroup returns a group that has nothing out yet; every prefix of the table
// is pending. program may be nil, with Params.Policy "".
func NewGroup(env *Env, p Params, program *policy.Program, number uint32) *Group {
	g := &Group{Params: p, Number: number, env: env, program: program, memo: attr.NewMemo(env.Store)}
	if p.AddPath > 0 {
		g.numbers = &env.numbers
		g.numbers.groups = append(g.numbers.groups, g)
	}
	g.packer = g.newPacker()
	g.RedoAll(false)
	return g
}

// Replace gives the group another program or other parameters; what it has out
// stays, and only what differs is sent. encoding says that routes with the
// same block look different now.
func (g *Group) Replace(p Params, program *policy.Program, encoding bool) {
	g.memo.Reset()
	g.Params, g.program = p, program
	g.packer.maxMsg = p.maxMsg()
	if p.MaxOut == 0 {
		g.held.Reset()
		g.limited = false
	}
	for _, m := range g.members {
		m.late = p.MaxOut > 0 // what is marked already was not looked at
	}
	g.RedoAll(encoding)
}

// Reconsider judges everything again: what is known of the routes' sources has
// changed.
func (g *Group) Reconsider() {
	g.memo.Reset()
	g.RedoAll(false)
}

// RedoAll looks at every prefix again.
func (g *Group) RedoAll(force bool) {
	g.force = g.force || force
	for id := rib.ID(1); id <= g.env.Table.Top(); id++ {
		if g.env.Table.Live(id) {
			g.Touch(id)
		}
	}
}

// Resend says that routes of a neighbor look different now, even if their blocks
// are the same.
func (g *Group) Resend(from packet.ID) {
	for id, h := range g.seconds {
		if g.neighborOf(h) == from {
			g.owed.Set(uint32(id))
			g.Touch(id)
		}
	}
	if int(from) >= len(g.from) || g.from[from] == 0 {
		return
	}
	for i := range g.out.Len() {
		if g.neighborOf(*g.out.At(i)) == from {
			g.owed.Set(uint32(g.idOf(i)))
			g.Touch(g.idOf(i))
		}
	}
}

// Touch says that the best path of a prefix may have changed, or where WantsAll
// holds any of its paths.
func (g *Group) Touch(id rib.ID) {
	switch {
	case !g.queued.Set(uint32(id)):
	case g.MaxOut == 0 && g.env.Table.First.Has(uint32(id)):
		g.first = append(g.first, id)
	default:
		g.pending = append(g.pending, id)
	}
}

// Pending is how many prefixes wait to be looked at.
func (g *Group) Pending() int { return len(g.pending) - g.done + len(g.first) }

// Needs reports whether the group or a member must still do something about id.
func (g *Group) Needs(id rib.ID) bool {
	if g.numbers != nil {
		return g.queued.Has(uint32(id)) || g.numbers.first(id) != 0
	}
	return g.queued.Has(uint32(id)) || g.uses(uint32(id))
}

// uses reports whether a cell has, or some member has been sent, something.
func (g *Group) uses(cell uint32) bool {
	return g.out.Get(cell) != 0 || g.held.Has(cell) ||
		slices.ContainsFunc(g.members, func(m *Member) bool { return !m.inStep && m.dirty.Has(cell) })
}

// idOf is the prefix of a cell.
func (g *Group) idOf(cell uint32) rib.ID {
	if g.numbers != nil {
		return g.numbers.paths.At(cell).id
	}
	return rib.ID(cell)
}

// cells calls f for every cell of a prefix.
func (g *Group) cells(id rib.ID, f func(cell uint32)) {
	if g.numbers == nil {
		f(uint32(id))
		return
	}
	for i := g.numbers.first(id); i != 0; i = g.numbers.next(i) {
		f(i)
	}
}

// announces reports whether anything of a prefix is out.
func (g *Group) announces(id rib.ID) (any bool) {
	g.cells(id, func(cell uint32) { any = any || g.out.Get(cell) != 0 })
	return any
}

// Forget drops what is known of a block that is being freed.
func (g *Group) Forget(h attr.Handle) { g.memo.Forget(h) }

// Count is how many routes the group announces.
func (g *Group) Count() int { return g.count }

// Members are those of the group. Not to be changed.
func (g *Group) Members() []*Member { return g.members }

// Close gives up what the group holds. It has no members any more, and
// Env.Referenced does not ask it any more.
func (g *Group) Close() {
	out, pending := g.out, append(g.pending[g.done:], g.first...)
	g.out, g.pending, g.first, g.done, g.queued = slab.Array[attr.Handle]{}, nil, nil, 0, slab.Bits{}
	if g.numbers != nil {
		g.numbers.drop(g)
	}
	for _, id := range pending {
		g.collectID(id)
	}
	for i, ok := g.held.Next(0); ok; i, ok = g.held.Next(i + 1) {
		g.collect(i)
	}
	for _, h := range g.seconds {
		g.env.Store.Release(h)
	}
	g.seconds = nil
	for i := range out.Len() {
		if h := *out.At(i); h != 0 {
			g.env.Store.Release(h)
			g.collect(i)
		}
	}
	g.memo.Reset()
}

// settled reports whether members in step have been sent all that there is now.
// What waits for the kernel's answer is to come: a marker ahead of it would tell
// neighbors that it does not (RFC 4724 section 4.1).
func (g *Group) settled() bool {
	return g.Pending() == 0 && (g.env.Installing == nil || !g.env.Installing())
}

// neighborOf tells which neighbor a block came from, 0 for none.
func (g *Group) neighborOf(h attr.Handle) packet.ID {
	if h == 0 {
		return 0
	}
	return g.env.Store.At(h).Key.Neighbor
}

// crowd is how many members in step have no room, and how many have half of
// theirs or more.
func (g *Group) crowd() (full, free int) {
	for _, m := range g.members {
		if !m.inStep {
			continue
		}
		switch room := m.sink.Room(); {
		case room == 0:
			full++
		case 2*room >= m.capacity:
			free++
		}
	}
	return full, free
}

// looking reports whether Drain has prefixes to look at and waits for no member: one
// that catches up has to get into step for that.
func (g *Group) looking() bool {
	if g.MaxOut > 0 || g.Pending() == 0 {
		return false
	}
	full, free := g.crowd()
	return full == 0 || free > 0
}

// Drain looks at up to limit pending prefixes and sends what has changed. It
// reports whether it did anything: it waits while one member in step is full
// and all are busy, which gives changes time to cancel out. A member that is
// full while another has little to do falls out of step.
func (g *Group) Drain(limit int) bool {
	if g.Pending() == 0 {
		return false
	}
	if full, free := g.crowd(); full > 0 {
		if free == 0 && !g.over() {
			return false
		}
		for _, m := range g.members {
			if m.inStep && m.sink.Room() == 0 {
				m.fallBehind()
			}
		}
	}
	b := g.bucket()
	first := len(g.first) > 0
	todo := g.first[:min(limit, len(g.first))]
	if !first {
		todo = g.pending[g.done:min(g.done+limit, len(g.pending))]
	}
	g.warm(todo)
	g.room = g.MaxOut - g.count
	for _, id := range todo {
		g.queued.Clear(uint32(id))
		g.update(id, b)
	}
	g.send(b)
	b.reset()
	for _, id := range todo {
		g.tidy(id)
	}
	if first {
		if g.first = g.first[len(todo):]; len(g.first) == 0 {
			g.first = nil
		}
	} else {
		g.done += len(todo)
	}
	switch {
	case g.Pending() == 0:
		g.pending, g.done, g.force = g.pending[:0], 0, false
		if cap(g.pending) > 1<<16 {
			g.pending = nil
		}
	case g.done > len(g.pending)/2:
		g.pending = g.pending[:copy(g.pending, g.pending[g.done:])]
		g.done = 0
	}
	if g.MaxOut > 0 {
		g.unhold()
	}
	return true
}

// over: the limit was lowered, and the members that catch up wait for Drain to
// withdraw what is too much.
func (g *Group) over() bool { return g.MaxOut > 0 && g.count > g.MaxOut }

// bound holds a route back that is one too many. What is out stays out, unless
// the limit was lowered.
func (g *Group) bound(cell uint32, old attr.Handle, r attr.Result) attr.Result {
	g.held.Clear(cell)
	switch {
	case r.To == 0, old != 0 && g.count <= g.MaxOut:
		return r
	case old == 0 && g.room > 0:
		g.room--
		return r
	}
	g.held.Set(cell)
	if !g.limited {
		g.limited = true
		g.env.Limited(g)
	}
	return attr.Result{Reason: OverLimit}
}

// unhold lets as many routes come as there is room for now, the oldest first.
func (g *Group) unhold() {
	for room := g.MaxOut - g.count; room > 0; room-- {
		i, ok := g.held.Next(0)
		if !ok {
			// Not at once, or every prefix that comes and goes would be told.
			g.limited = g.limited && g.count > g.MaxOut/10*9
			return
		}
		g.held.Clear(i)
		g.Touch(g.idOf(i))
	}
}

// warm loads what update needs, so that cache misses overlap.
func (g *Group) warm(ids []rib.ID) {
	top := rib.ID(0)
	for _, id := range ids {
		top = max(top, id)
	}
	g.out.Grow(uint32(top))
}

// update brings the Adj-RIB-Out up to date about a prefix.
func (g *Group) update(id rib.ID, b *bucket) {
	switch {
	case g.numbers != nil:
		g.updatePaths(id, b)
		return
	case g.RouteServer:
		g.serve(id, b)
		return
	}
	if r := g.route(id, 1); !g.mustWait(id, r.Reason) {
		g.put(uint32(id), id, r, g.forced(id), b)
	}
}

// mustWait notes what is owed where the kernel's answer leads here again.
func (g *Group) mustWait(id rib.ID, reason uint8) bool {
	if reason == NotYetInstalled && g.force {
		g.owed.Set(uint32(id))
	}
	return reason == NotYetInstalled
}

// forced reports whether the same block is a change as well.
func (g *Group) forced(id rib.ID) bool { return g.owed.Clear(uint32(id)) || g.force }

// put makes the result about a route of a prefix what is in its cell, and sends
// it where that is a change.
func (g *Group) put(cell uint32, id rib.ID, r attr.Result, force bool, b *bucket) {
	old := *g.out.At(cell)
	if g.MaxOut > 0 || r.Reason == TooLarge {
		r = g.within(cell, id, old, r)
	}
	if r.To == old && !(force && old != 0) {
		return
	}
	from, to := g.neighborOf(old), g.neighborOf(r.To)
	g.swap(cell, r.To, from, to)
	switch {
	case !g.mark(cell, old, 0, from):
	case r.To == 0:
		b.withdraw(from, cell)
	default:
		b.announce(r.To, cell)
		if old != 0 && from != to && to != 0 && g.has(to) {
			// What it is sent by others no more, as the route is its own now.
			b.withdrawOnly(to, cell)
		}
	}
}

// within is a result about a route of a prefix as far as the limit of the group and
// the length of messages allow it.
func (g *Group) within(cell uint32, id rib.ID, old attr.Handle, r attr.Result) attr.Result {
	if g.MaxOut > 0 {
		r = g.bound(cell, old, r)
	}
	if r.Reason == TooLarge {
		g.env.Unsendable(g, g.env.Table.Prefix(id))
	}
	return r
}

// mark says that what was in a cell is another route now, to those members that are
// not in step, and reports whether any is. stood is what the neighbor that gave the
// old one had in its place.
func (g *Group) mark(cell uint32, old, stood attr.Handle, from packet.ID) (inStep bool) {
	for _, m := range g.members {
		if m.inStep {
			inStep = true
		} else {
			m.mark(cell, old != 0 && (from != m.ID || stood != 0))
		}
	}
	return inStep
}

// swap puts a block into a cell, whose neighbor is to and was from.
func (g *Group) swap(cell uint32, h attr.Handle, from, to packet.ID) {
	if h != 0 {
		g.env.Store.Retain(h, 1)
	}
	at := g.out.At(cell)
	old := *at
	*at = h
	if old == 0 {
		g.count++
	}
	if h == 0 {
		g.count--
	}
	for int(max(from, to)) >= len(g.from) {
		g.from = append(g.from, 0)
	}
	g.from[from]--
	g.from[to]++
	g.env.Store.Release(old)
}

// has reports whether a neighbor is a member in step.
func (g *Group) has(n packet.ID) bool {
	return slices.ContainsFunc(g.members, func(m *Member) bool { return m.ID == n && m.inStep })
}

// tidy collects what is gone of a prefix that has been looked at.
func (g *Group) tidy(id rib.ID) {
	if g.numbers == nil {
		if g.out.Get(uint32(id)) == 0 {
			g.collectID(id)
		}
		return
	}
	g.numbers.tidy(id)
	g.collectID(id)
}

// collect frees what has been in a cell if it is gone for everybody.
func (g *Group) collect(cell uint32) {
	id := g.idOf(cell)
	if g.numbers != nil {
		g.numbers.tidy(id)
	}
	g.collectID(id)
}

func (g *Group) collectID(id rib.ID) {
	if g.env.Table.Best(id) == nil && !g.env.Referenced(id) {
		g.env.Table.Collect(id)
	}
}

// send encodes a round for the members in step.
func (g *Group) send(b *bucket) {
	if len(b.items) == 0 {
		return
	}
	g.packer.send = func(p *packet.Packet) { g.deliver(p, b) }
	g.pack(&g.packer, b, 0)
	g.packer.flush()
}

// deliver hands a packet to the members in step. One that has no room left is
// out of step from here on, about everything of this round.
func (g *Group) deliver(p *packet.Packet, b *bucket) {
	for _, m := range g.members {
		if !m.inStep || len(p.Segments) == 1 && p.Segments[0].Skip == m.ID {
			continue
		}
		if !m.sink.Send(p, m.nextHop) {
			m.fallBehind()
			for _, it := range b.items {
				m.mark(it.cell, true)
			}
		}
	}
}

// pack encodes what stands in b: for all members, or for one alone.
func (g *Group) pack(k *packer, b *bucket, only packet.ID) {
	for _, h := range b.blocks {
		skip := packet.ID(0)
		if only == 0 {
			skip = g.neighborOf(h)
		}
		routes := b.from(*b.heads.At(uint32(h)))
		x := g.encode(h)
		if g.fits(x) != Sent {
			// It was judged for other parameters, and will be again.
			k.withdraw(skip, only, routes)
			continue
		}
		k.announce(x, skip, only, routes)
	}
	for a, routes := range b.own() {
		if x := g.encode(a.block); g.fits(x) == Sent {
			k.announce(x, 0, a.only, routes)
		} else {
			k.withdraw(0, a.only, routes)
		}
	}
	for _, n := range b.skip.ids {
		k.withdraw(n, only, b.from(b.skip.heads[n]))
	}
	for _, n := range b.only.ids {
		k.withdraw(0, n, b.from(b.only.heads[n]))
	}
}

// Bytes is the memory that the group takes, without its members.
func (g *Group) Bytes() (adjOut, memo uint64) {
	return g.out.Bytes(unsafe.Sizeof(attr.Handle(0))) + g.queued.Bytes() + g.held.Bytes() + uint64(cap(g.pending))*4, g.memo.Bytes()
}
