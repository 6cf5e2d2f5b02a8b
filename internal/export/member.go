package export

import (
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// Member is a neighbor in a group.
type Member struct {
	ID       packet.ID
	group    *Group
	sink     Sink
	capacity int
	nextHop  *packet.NextHop // of Params.NextHopLen bytes

	// In step: what it has been sent is the group's Adj-RIB-Out, but for its
	// own routes. Otherwise it differs in the cells of dirty; had says which
	// of these it has been sent before.
	inStep     bool
	dirty, had slab.Bits
	cursor     uint32
	packer     packer
	refused    bool // the session took a packet of this step no more
	// With MaxOut: there may be withdrawals in dirty, which go first.
	late bool

	// It is to be sent everything again, once it has its End-of-RIB marker.
	refresh, enhanced bool

	// Markers that are owed once it is in step.
	endOfRIB     bool
	endOfRefresh bool
	sentEOR      bool
}

// Join adds a neighbor whose session has just come up: it has nothing, and is
// owed everything and an End-of-RIB marker.
func (g *Group) Join(id packet.ID, sink Sink, nextHop *packet.NextHop) *Member {
	m := g.add(id, sink, nextHop)
	m.endOfRIB = true
	for i := range g.out.Len() {
		if *g.out.At(i) != 0 {
			m.mark(i, false)
		}
	}
	m.inStep = m.dirty.Len() == 0
	return m
}

func (g *Group) add(id packet.ID, sink Sink, nextHop *packet.NextHop) *Member {
	m := &Member{ID: id, group: g, sink: sink, capacity: sink.Room(), nextHop: nextHop}
	m.packer = g.newPacker()
	m.packer.send = m.offer
	g.members = append(g.members, m)
	if g.RouteServer && int(id) < len(g.from) && g.from[id] > 0 {
		for i := range g.out.Len() { // its own routes, for which it is to have others
			if g.neighborOf(*g.out.At(i)) == id {
				g.Touch(g.idOf(i))
			}
		}
	}
	return m
}

// Move takes a member over from another group of the same table. It is sent
// only what differs; with encoding, another next hop of its own, or where the
// old group has yet to do so, all that it has is sent again.
func (g *Group) Move(m *Member, nextHop *packet.NextHop, encoding bool) *Member {
	old := m.group
	encoding = encoding || old.force || !m.nextHop.Equal(nextHop)
	if len(g.members) == 0 {
		if g.MaxOut > 0 { // what it has goes before what it could have
			had := old.announces
			others := slices.DeleteFunc(slices.Clone(g.pending), had)
			g.pending = append(slices.DeleteFunc(g.pending, func(id rib.ID) bool { return !had(id) }), others...)
		}
		for g.Drain(1 << 16) { // nobody to send to: this fills the Adj-RIB-Out
		}
	}
	n := g.add(m.ID, m.sink, nextHop)
	n.capacity = m.capacity
	n.refresh, n.enhanced = m.refresh, m.enhanced
	n.endOfRIB, n.endOfRefresh, n.sentEOR = m.endOfRIB, m.endOfRefresh, m.sentEOR
	for i := range max(g.out.Len(), old.out.Len()) {
		was, is := m.sees(i), n.sees(i)
		had := was != 0
		if !m.inStep && m.dirty.Has(i) {
			had = m.had.Has(i)
		} else if was == is && !(encoding && is != 0) {
			continue
		}
		n.mark(i, had)
	}
	n.inStep = n.dirty.Len() == 0
	old.Leave(m)
	return n
}

// SetNextHop changes the member's own next hop; what it was sent with another
// one is sent again.
func (m *Member) SetNextHop(nextHop *packet.NextHop) {
	if !m.nextHop.Equal(nextHop) {
		m.nextHop = nextHop
		m.Refresh(false)
	}
}

// Leave takes a member out of its group.
func (g *Group) Leave(m *Member) {
	for i, x := range g.members {
		if x == m {
			g.members = append(g.members[:i], g.members[i+1:]...)
			break
		}
	}
	dirty := m.dirty
	m.dirty, m.had = slab.Bits{}, slab.Bits{}
	for i, ok := dirty.Next(0); ok; i, ok = dirty.Next(i + 1) {
		if g.out.Get(i) == 0 && g.env.Table.Live(g.idOf(i)) {
			g.collect(i)
		}
	}
}

// sees is what of a cell of the group reaches the member: not its own routes, but
// from a route server what stands in for them.
func (m *Member) sees(cell uint32) attr.Handle {
	h := m.group.out.Get(cell)
	if h != 0 && m.group.neighborOf(h) == m.ID {
		return m.group.seconds[rib.ID(cell)]
	}
	return h
}

// mark says that the member differs from the group in a cell.
func (m *Member) mark(cell uint32, had bool) {
	if m.dirty.Set(cell) && had {
		m.had.Set(cell)
	}
	m.late = m.late || m.group.MaxOut > 0 && m.sees(cell) == 0
}

func (m *Member) fallBehind() {
	m.inStep, m.cursor = false, 0
}

// Refresh sends the member everything again, between markers if it knows them
// (RFC 7313). Step begins: however often a neighbor asks, it is done once.
func (m *Member) Refresh(enhanced bool) {
	m.refresh, m.enhanced = true, m.enhanced || enhanced
}

func (m *Member) beginRefresh() {
	if m.enhanced && !m.endOfRefresh {
		m.endOfRefresh = true
		m.raw(wire.AppendRefresh(nil, m.group.Family, wire.RefreshBegin))
	}
	m.refresh, m.enhanced = false, false
	for i := range m.group.out.Len() {
		if m.sees(i) != 0 {
			m.mark(i, true)
		}
	}
	m.fallBehind()
}

// Busy reports whether Step has something to do.
func (m *Member) Busy() bool { return !m.inStep || m.refresh || m.owes() }

func (m *Member) owes() bool { return m.endOfRIB || m.endOfRefresh }

// InStep reports whether the member has been sent all that the group has out.
func (m *Member) InStep() bool { return m.inStep && !m.refresh }

// Told reports whether the member has been sent all that there is now.
func (m *Member) Told() bool { return m.InStep() && !m.owes() && m.group.settled() }

// SentEndOfRIB reports whether the first transfer is complete.
func (m *Member) SentEndOfRIB() bool { return m.sentEOR }

// Step sends up to limit of the routes in which the member differs and
// reports whether it did anything. At the end come the markers it is owed.
func (m *Member) Step(limit int) bool {
	room := m.sink.Room()
	if room == 0 {
		return false
	}
	if m.refresh && !m.endOfRIB { // RFC 7313 section 4.1: not before End-of-RIB
		m.beginRefresh()
		return true
	}
	if m.inStep {
		if m.owes() && m.group.settled() {
			m.markers()
			return true
		}
		return false
	}
	g := m.group
	b := g.bucket()
	budget := room * packet.Size // bytes that there is room for
	late := m.late
	switch {
	case late:
		m.cursor = 0
	case g.over():
		return false
	}
	waits, did, looking := false, false, g.looking()
	for i, ok := m.dirty.Next(m.cursor); ok && limit > 0; i, ok = m.dirty.Next(i + 1) {
		h := m.sees(i)
		if late && h != 0 {
			continue
		}
		if h == 0 && m.had.Has(i) && (looking && g.queued.Has(uint32(g.idOf(i))) || g.waits(g.idOf(i))) {
			waits = true
			continue // it keeps what it has until it is certain
		}
		did = true
		if budget -= m.atMost(h); budget <= 0 && len(b.items) > 0 {
			limit = 0
			break
		}
		limit--
		m.cursor = i + 1
		if h != 0 {
			b.announce(h, i)
		} else if m.had.Has(i) {
			b.withdraw(0, i)
		} else {
			m.clean(i)
		}
	}
	m.refused = false
	g.pack(&m.packer, b, m.ID)
	m.packer.flush()
	for _, it := range b.items {
		if m.refused {
			m.had.Set(it.cell) // perhaps: a withdrawal too many does no harm
		} else {
			m.clean(it.cell)
		}
	}
	b.reset()
	if m.dirty.Len() == 0 {
		m.inStep = true
		m.dirty.Reset()
		m.had.Reset()
	} else if limit > 0 || m.refused {
		m.cursor = 0
	}
	m.late = late && (limit == 0 || m.refused)
	return did || !waits
}

// atMost is the length of an UPDATE about one prefix, or a little more: what the
// kind of session adds is short, but for AS4_PATH.
func (m *Member) atMost(h attr.Handle) int {
	const bare = wire.HeaderLen + 4 + 9 + 17 + pathIDLen
	if h == 0 {
		return bare
	}
	block, _ := m.group.env.Store.Block(h)
	return bare + 2*len(block) + 128
}

// clean says that the member has what the group has in a cell.
func (m *Member) clean(cell uint32) {
	m.had.Clear(cell)
	if m.dirty.Clear(cell) && m.group.out.Get(cell) == 0 {
		m.group.collect(cell)
	}
}

// markers sends what is owed after a full transfer.
func (m *Member) markers() {
	if m.endOfRefresh {
		m.endOfRefresh = false
		m.raw(wire.AppendRefresh(nil, m.group.Family, wire.RefreshEnd))
	}
	if m.endOfRIB {
		m.endOfRIB, m.sentEOR = false, true
		m.raw(wire.AppendEndOfRIB(nil, m.group.Family))
	}
}

func (m *Member) raw(msg []byte) {
	m.packer.raw(msg, 0)
	m.packer.flush()
}

func (m *Member) offer(p *packet.Packet) {
	if !m.sink.Send(p, m.nextHop) {
		m.refused = true
	}
}

// Attrs are a block's attributes as the member gets them, its AS numbers with
// four bytes in any case.
func (m *Member) Attrs(h attr.Handle) wire.Attrs {
	x := m.group.encodeAs(h, true)
	attrs := append([]byte(nil), x.attrs...)
	nextHop := append([]byte(nil), x.nextHop...)
	if x.own {
		if x.nh >= 0 {
			m.nextHop.Fill(attrs[x.nh : x.nh+len(m.nextHop.Own)])
		} else {
			m.nextHop.Fill(nextHop)
		}
	}
	var a wire.Attrs
	wire.Parse(attrs, nextHop, &a)
	return a
}

// Family is the member's group's.
func (m *Member) Family() prefix.Family { return m.group.Family }

// Group is the member's.
func (m *Member) Group() *Group { return m.group }
