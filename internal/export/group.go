package export

import (
	"slices"
	"unsafe"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// Group is the Adj-RIB-Out of neighbors that are sent the same.
type Group struct {
	Params
	Number  uint32 // for people
	env     *Env
	program *policy.Program // nil: see Params.Policy
	memo    *attr.Memo
	out     slab.Array[attr.Handle] // by rib.ID: what members are sent, 0 for nothing
	count   int                     // prefixes in out
	from    []int                   // by neighbor: how many of them came from it; 0 does not count
	members []*Member

	pending []rib.ID // to look at, each once
	done    int      // of pending
	queued  slab.Bits
	force   bool      // the same block is a change as well: encoding has changed
	owed    slab.Bits // likewise, of prefixes that wait for the kernel

	// With MaxOut: prefixes that are held back, and how many may come in this
	// round. What a withdrawal leaves free counts in the next one only, when it is
	// on its way: no member ever has more.
	held    slab.Bits
	room    int
	limited bool // Env.Limited was told

	packer packer
}

// NewGroup returns a group that has nothing out yet; every prefix of the table
// is pending. program may be nil, with Params.Policy "".
func NewGroup(env *Env, p Params, program *policy.Program, number uint32) *Group {
	env.bucket.table = env.Table
	g := &Group{Params: p, Number: number, env: env, program: program, memo: attr.NewMemo(env.Store)}
	g.packer = packer{family: p.Family, maxMsg: p.maxMsg()}
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
	if int(from) >= len(g.from) || g.from[from] == 0 {
		return
	}
	g.force = true
	for i := range g.out.Len() {
		if g.neighborOf(*g.out.At(i)) == from {
			g.Touch(rib.ID(i))
		}
	}
}

// Touch says that the best path of a prefix may have changed.
func (g *Group) Touch(id rib.ID) {
	if g.queued.Set(uint32(id)) {
		g.pending = append(g.pending, id)
	}
}

// Pending is how many prefixes wait to be looked at.
func (g *Group) Pending() int { return len(g.pending) - g.done }

// Needs reports whether the group or a member must still do something about id.
func (g *Group) Needs(id rib.ID) bool {
	if g.queued.Has(uint32(id)) || g.out.Get(uint32(id)) != 0 {
		return true
	}
	for _, m := range g.members {
		if !m.inStep && m.dirty.Has(uint32(id)) {
			return true
		}
	}
	return false
}

// Forget drops what is known of a block that is being freed.
func (g *Group) Forget(h attr.Handle) { g.memo.Forget(h) }

// Count is how many prefixes the group announces.
func (g *Group) Count() int { return g.count }

// Members are those of the group. Not to be changed.
func (g *Group) Members() []*Member { return g.members }

// Close gives up what the group holds. It has no members any more, and
// Env.Referenced does not ask it any more.
func (g *Group) Close() {
	out, pending := g.out, g.pending[g.done:]
	g.out, g.pending, g.done, g.queued = slab.Array[attr.Handle]{}, nil, 0, slab.Bits{}
	for _, id := range pending {
		g.collect(id)
	}
	for i := range out.Len() {
		if h := *out.At(i); h != 0 {
			g.env.Store.Release(h)
			g.collect(rib.ID(i))
		}
	}
	g.memo.Reset()
}

// variant is the export program's of a prefix and a block.
func (g *Group) variant(h attr.Handle, id rib.ID) uint32 {
	if g.program == nil || g.program.Variants() == 1 {
		return 0
	}
	x := g.env.Table.Prefix(id)
	v := g.program.Variant(x)
	if g.program.Validates() {
		var a wire.Attrs
		g.env.Store.Parse(h, &a)
		v = policy.Validated(v, (*g.env.VRPs).State(x, g.program.Origin(a.ASPath)))
	}
	return v
}

// judge is what the group makes of a best path: the block to send, or 0 and why
// not. The memo holds the block.
func (g *Group) judge(h attr.Handle, id rib.ID, hits uint64) attr.Result {
	variant := g.variant(h, id)
	r, ok := g.memo.Get(h, variant)
	if !ok {
		r = g.evaluate(h, variant)
		g.memo.Put(h, variant, r)
		if r.To != 0 && r.To != h {
			g.env.Store.Release(r.To) // the memo holds it now
		}
	}
	if g.program != nil && r.Reason <= ByPolicy {
		g.program.Count(r.Trace, hits)
	}
	return r
}

// evaluate returns a block with a reference to it, unless it is h itself.
func (g *Group) evaluate(h attr.Handle, variant uint32) attr.Result {
	e := g.env
	rec := e.Store.At(h)
	src, from := &(*e.Neighbors)[rec.Key.Neighbor], &(*e.Sources)[rec.Key.Neighbor]
	source := &from.Source
	if src.Local {
		source = &policy.Source{Kind: rec.Key.Source}
	}
	if !g.EBGP && !src.EBGP && !src.Local && !g.Client && !from.Client {
		return attr.Result{Reason: IBGPSplit}
	}
	var a wire.Attrs
	e.Store.Parse(h, &a)
	if g.withheld(a.Communities) {
		return attr.Result{Reason: ByCommunity}
	}
	out, trace := h, uint32(0)
	switch {
	case g.program != nil:
		r := g.program.Eval(variant, &policy.Route{Attrs: &a, Source: source, Weight: rec.Key.Weight}, &e.scratch)
		if !r.Accept {
			return attr.Result{Reason: ByPolicy, Trace: r.Trace}
		}
		trace = r.Trace
		if r.Changed || r.NextHop != policy.NextHopDefault || r.MED {
			key := rec.Key
			key.OwnMED, key.Made = r.MED, true
			if r.NextHop != policy.NextHopDefault {
				key.NextHop = r.NextHop
			}
			if out = internAttrs(e, key, &a); out == 0 {
				return attr.Result{Reason: TooLarge, Trace: trace}
			}
		}
	case g.EBGP:
		return attr.Result{Reason: NoPolicy}
	}
	if reason := g.sendable(out); reason != Sent {
		if out != h {
			e.Store.Release(out)
		}
		return attr.Result{Reason: reason, Trace: trace}
	}
	return attr.Result{To: out, Trace: trace}
}

// internAttrs stores changed attributes. It returns 0 if they are too large.
func internAttrs(e *Env, key attr.Key, a *wire.Attrs) attr.Handle {
	mp := key.Family != prefix.IPv4 || len(a.NextHop) != 4
	e.buf = a.Append(e.buf[:0], mp)
	if len(e.buf) > wire.MaxBlock {
		return 0
	}
	if !mp {
		return e.Store.Intern(key, e.buf, nil)
	}
	return e.Store.Intern(key, e.buf, a.NextHop)
}

// sendable reports whether a block can be put into the members' messages.
func (g *Group) sendable(h attr.Handle) uint8 {
	return g.fits(g.encode(h))
}

func (g *Group) fits(x encoded) uint8 {
	switch {
	case x.useless:
		return NotForClient
	case x.own && g.NextHopLen == 0:
		return NoNextHop
	}
	size := wire.HeaderLen + 4 + len(x.attrs) + 1 + int(g.Family.MaxBits())/8
	if x.nextHop != nil {
		size += 4 + 5 + len(x.nextHop)
	}
	if size > g.maxMsg() || len(x.attrs) > 0xffff {
		return TooLarge
	}
	return Sent
}

// withheld reports whether well-known communities keep a route from the
// members (RFC 1997). Those of a route server's clients are meant for the other
// clients (RFC 7947 section 2.2.4).
func (g *Group) withheld(communities []byte) bool {
	if g.RouteServer {
		return false
	}
	for i := 0; i+4 <= len(communities); i += 4 {
		if communities[i] == 0xff && communities[i+1] == 0xff && communities[i+2] == 0xff {
			switch communities[i+3] {
			case 0x01, 0x03: // NO_EXPORT, NO_EXPORT_SUBCONFED
				if g.EBGP {
					return true
				}
			case 0x02: // NO_ADVERTISE
				return true
			}
		}
	}
	return false
}

// route is what the group sends about a prefix. hits counts for the rules.
func (g *Group) route(id rib.ID, hits uint64) attr.Result {
	r := attr.Result{Reason: NotBestRoute}
	if best := g.env.Table.Best(id); best != nil && !g.SendSuppressed && g.env.Suppressed.Has(uint32(id)) {
		r = attr.Result{Reason: Suppressed}
	} else if best != nil {
		r = g.judge(best.Post, id, hits)
		if r.To != 0 && g.env.Installed != nil {
			// RFC 4271 section 9.1.3: nothing is announced that we cannot forward.
			if reason := g.env.Installed(id); reason != Sent {
				r = attr.Result{Reason: reason}
			}
		}
	}
	if r.To == 0 && g.DefaultOriginate && g.env.Table.Prefix(id).Bits == 0 {
		// A real one that may not pass takes ours away from nobody.
		if r.Reason = g.sendable(g.env.DefaultRoute); r.Reason == Sent {
			r.To = g.env.DefaultRoute
		}
	}
	return r
}

// waits reports whether the kernel has yet to say what becomes of a prefix.
func (g *Group) waits(id rib.ID) bool {
	e := g.env
	return g.MaxOut == 0 && e.Installed != nil && e.Table.Best(id) != nil && e.Installed(id) == NotYetInstalled
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
	e := g.env
	b := &e.bucket
	todo := g.pending[g.done:min(g.done+limit, len(g.pending))]
	g.warm(todo)
	g.room = g.MaxOut - g.count
	for _, id := range todo {
		g.queued.Clear(uint32(id))
		g.update(id, b)
	}
	g.send(b)
	b.reset()
	for _, id := range todo {
		if g.out.Get(uint32(id)) == 0 {
			g.collect(id)
		}
	}
	switch g.done += len(todo); {
	case g.done == len(g.pending):
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

// bound holds a prefix back that is one too many. What is out stays out, unless
// the limit was lowered.
func (g *Group) bound(id rib.ID, old attr.Handle, r attr.Result) attr.Result {
	g.held.Clear(uint32(id))
	switch {
	case r.To == 0, old != 0 && g.count <= g.MaxOut:
		return r
	case old == 0 && g.room > 0:
		g.room--
		return r
	}
	g.held.Set(uint32(id))
	if !g.limited {
		g.limited = true
		g.env.Limited(g)
	}
	return attr.Result{Reason: OverLimit}
}

// unhold lets as many prefixes come as there is room for now, the oldest first.
func (g *Group) unhold() {
	for room := g.MaxOut - g.count; room > 0; room-- {
		i, ok := g.held.Next(0)
		if !ok {
			// Not at once, or every prefix that comes and goes would be told.
			g.limited = g.limited && g.count > g.MaxOut/10*9
			return
		}
		g.held.Clear(i)
		g.Touch(rib.ID(i))
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

// update brings one prefix of the Adj-RIB-Out up to date.
func (g *Group) update(id rib.ID, b *bucket) {
	e := g.env
	r := g.route(id, 1)
	cell := g.out.At(uint32(id))
	old := *cell
	if r.Reason == NotYetInstalled {
		if g.force {
			g.owed.Set(uint32(id))
		}
		return // the kernel's answer leads here again
	}
	force := g.owed.Clear(uint32(id)) || g.force
	if g.MaxOut > 0 {
		r = g.bound(id, old, r)
	}
	if r.Reason == TooLarge {
		e.Unsendable(g, e.Table.Prefix(id))
	}
	if r.To == old && !(force && old != 0) {
		return
	}
	if r.To != 0 {
		e.Store.Retain(r.To, 1)
	}
	*cell = r.To
	from, to := g.neighborOf(old), g.neighborOf(r.To)
	inStep := false
	for _, m := range g.members {
		if m.inStep {
			inStep = true
		} else {
			m.mark(id, old != 0 && from != m.ID)
		}
	}
	if inStep {
		switch {
		case r.To == 0:
			b.withdraw(from, id)
		default:
			b.announce(r.To, id)
			if old != 0 && from != to && to != 0 && g.has(to) {
				// What it is sent by others no more, as the route is its own now.
				b.withdrawOnly(to, id)
			}
		}
	}
	if old == 0 {
		g.count++
	}
	if r.To == 0 {
		g.count--
	}
	for int(max(from, to)) >= len(g.from) {
		g.from = append(g.from, 0)
	}
	g.from[from]--
	g.from[to]++
	e.Store.Release(old)
}

// has reports whether a neighbor is a member in step.
func (g *Group) has(n packet.ID) bool {
	return slices.ContainsFunc(g.members, func(m *Member) bool { return m.ID == n && m.inStep })
}

// collect frees the ID of a prefix that is gone for everybody.
func (g *Group) collect(id rib.ID) {
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
				m.mark(it.id, true)
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
