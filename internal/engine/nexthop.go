package engine

import (
	"net/netip"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
)

// Next hops are tracked where there is a kernel: each distinct one has a number,
// which the blocks with it carry, so that the decision finds in one look whether
// it can be reached and at what cost. A next hop is resolved by the kernel's
// routes that are not ours, or by a longer prefix of our own table and then by
// the next hop of that (RFC 4271 section 5.1.3).

// hops are the next hops of all blocks. Number 0 is none.
type hops struct {
	rib.Hops // of list, for the decision; Moving: a job looks at the prefixes of moved ones
	view     fib.View
	list     []hop
	by       map[hopKey]uint32
	free     []uint32
	// far has those that are on no link: routes of our own may lead to them.
	far    map[uint32]bool
	blocks [1 << 16]bool // of far: by the first 16 bits of IPv4, folded bits of IPv6
	stale  bool          // blocks must be built again
	moved  map[uint32]bool
}

// hopKey tells next hops apart. The zone of the address is an interface.
type hopKey struct {
	table  TableID
	addr   netip.Addr
	oneHop bool // of an eBGP neighbor on a link of ours
}

type hop struct {
	hopKey
	refs int
	fib.Resolution
	via   uint32 // that our own table leads to it by
	leads int    // how many others it is via of
}

func newHops() *hops {
	return &hops{list: make([]hop, 1), Hops: rib.Hops{List: make([]rib.Hop, 1)}, by: map[hopKey]uint32{}, far: map[uint32]bool{}, moved: map[uint32]bool{}}
}

// track begins to track next hops. Blocks must not be there yet.
func (c *Core) track() {
	c.hops = newHops()
	c.store.HopOf, c.store.HopGone = c.hopOf, c.hopGone
	c.all(func(t *table) { t.Hops = &c.hops.Hops })
}

// maxVia bounds how many routes of our own lead to a next hop one by the other.
const maxVia = 8

// hopOf numbers the next hop of a block.
func (c *Core) hopOf(k attr.Key, nextHop []byte) uint32 {
	key, ok := c.hopKey(k, nextHop)
	if !ok {
		return 0
	}
	hs := c.hops
	id := hs.by[key]
	if id == 0 {
		if n := len(hs.free); n > 0 {
			id, hs.free = hs.free[n-1], hs.free[:n-1]
		} else {
			id = uint32(len(hs.list))
			hs.list, hs.List = append(hs.list, hop{}), append(hs.List, rib.Hop{})
		}
		hs.list[id] = hop{hopKey: key}
		hs.by[key] = id
		c.resolve(id)
	}
	hs.list[id].refs++
	return id
}

// hopGone gives up what hopOf has counted.
func (c *Core) hopGone(id uint32) {
	hs := c.hops
	h := &hs.list[id]
	if h.refs--; h.refs > 0 {
		return
	}
	if h.leads > 0 { // until their route, which is gone, has been noticed
		for far := range hs.far {
			if hs.list[far].via == id {
				hs.lead(far, 0)
			}
		}
	}
	hs.lead(id, 0)
	delete(hs.by, h.hopKey)
	delete(hs.moved, id)
	c.objects.unfollow(id)
	hs.setFar(id, false)
	*h, hs.List[id] = hop{}, rib.Hop{}
	hs.free = append(hs.free, id)
}

// hopKey is what a block's next hop is tracked as; false for none.
func (c *Core) hopKey(k attr.Key, b []byte) (hopKey, bool) {
	key := hopKey{table: TableID(k.Table)}
	zone := ""
	if k.Neighbor != 0 {
		n := c.neighbors[k.Neighbor]
		key.table, key.oneHop, zone = n.Table, n.oneHop(), n.est.Interface
	}
	if k.NextHop == policy.NextHopDiscard {
		return key, false // what is dropped needs no way
	}
	if isLocalHop(k, b) {
		key.addr, zone = readLocalHop(b)
		key.addr = key.addr.WithZone(zone)
		return key, true
	}
	switch len(b) {
	case 4:
		key.addr = netip.AddrFrom4([4]byte(b))
	case 16:
		key.addr = netip.AddrFrom16([16]byte(b))
	case 32:
		// RFC 2545 section 3: what shares the link is reached by the link-local
		// address.
		key.addr = netip.AddrFrom16([16]byte(b[:16]))
		if zone != "" || key.addr.IsUnspecified() {
			key.addr = netip.AddrFrom16([16]byte(b[16:]))
		}
	default:
		return key, false
	}
	if key.addr.IsLinkLocalUnicast() && key.addr.Is6() {
		key.addr = key.addr.WithZone(zone)
	}
	return key, !key.addr.IsUnspecified()
}

// localHop is what a static or redistributed route has as its next hop. One on an
// interface is nothing that a message could carry: 16 bytes of address and the
// interface's name.
func localHop(a netip.Addr, zone string) []byte {
	if a.IsValid() && zone == "" {
		return a.AsSlice()
	}
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	b := a.As16()
	return append(b[:], zone...)
}

func isLocalHop(k attr.Key, b []byte) bool { return k.Neighbor == 0 && len(b) > 16 }

func readLocalHop(b []byte) (a netip.Addr, zone string) {
	return netip.AddrFrom16([16]byte(b[:16])), string(b[16:]) // 16 bytes also of IPv4: only they take a zone
}

// resolve finds the way to a next hop and reports whether it is another one.
func (c *Core) resolve(id uint32) (changed bool) {
	hs := c.hops
	h := &hs.list[id]
	a, zone := h.addr.WithZone("").Unmap(), h.addr.Zone()
	r, via := hs.view.Resolve(c.kernelTables(h.table), a, zone), uint32(0)
	if a.Is6() && a.IsLinkLocalUnicast() && zone == "" {
		r = fib.Resolution{Why: "the interface of the link-local address is not known"}
	}
	if h.oneHop && r.Hops != nil && !r.OnLink && r.Bits == 0 {
		// The link is gone, and the neighbor with it: another one's packets would
		// go the way of a default route until the session ends.
		r = fib.Resolution{Why: "only a default route of the kernel leads to it, and the neighbor is one hop away"}
	}
	near := zone != "" || r.OnLink || r.Own
	if !near {
		r, via = c.resolveByOwn(id, a, r)
	}
	hs.setFar(id, !near)
	changed = r.Cost != h.Cost || r.Why != h.Why || r.OnLink != h.OnLink || !slices.Equal(r.Hops, h.Hops)
	h.Resolution = r
	hs.lead(id, via)
	hs.List[id] = rib.Hop{Unreachable: r.Hops == nil, Cost: r.Cost}
	return changed
}

// resolveByOwn looks for a route of our own that is longer than the kernel's.
// A default route of ours leads to no next hop: it would hide that one is gone.
// Aggregates do not count: what they would drop may be what makes them stand.
func (c *Core) resolveByOwn(id uint32, a netip.Addr, r fib.Resolution) (fib.Resolution, uint32) {
	p := prefix.FromNetip(netip.PrefixFrom(a, a.BitLen()))
	t := c.tables[c.hops.list[id].table][p.Family]
	for bits := p.Bits; bits > r.Bits; bits-- {
		at := t.Lookup(p.Truncate(bits))
		if at == 0 {
			continue
		}
		best := t.Best(at)
		if best == nil {
			continue
		}
		rec := c.store.At(best.Post)
		if rec.Key.NextHop == policy.NextHopDiscard {
			return fib.Resolution{Why: "a route of our own drops its packets"}, 0
		}
		via := rec.Hop
		if via != 0 && !c.dependsOn(via, id) {
			return c.hops.list[via].Resolution, via
		}
	}
	return r, 0
}

// dependsOn reports whether the way to a next hop leads by another one.
func (c *Core) dependsOn(id, on uint32) bool {
	for range maxVia {
		if id == on {
			return true
		}
		if id = c.hops.list[id].via; id == 0 {
			return false
		}
	}
	return true
}

// lead notes by which next hop our own table leads to another one.
func (hs *hops) lead(id, via uint32) {
	old := hs.list[id].via
	if old != 0 {
		hs.list[old].leads--
	}
	if via != 0 {
		hs.list[via].leads++
	}
	hs.list[id].via = via
}

func (hs *hops) setFar(id uint32, far bool) {
	switch {
	case far && !hs.far[id]:
		hs.far[id] = true
		hs.blocks[block(prefix.FromNetip(netip.PrefixFrom(hs.list[id].addr.WithZone(""), hs.list[id].addr.BitLen())))] = true
	case !far && hs.far[id]:
		delete(hs.far, id)
		hs.stale = true
	}
}

// block is where a prefix, of 16 bits or 32 at least, falls among hops.blocks.
func block(p prefix.Prefix) uint16 {
	if p.Family == prefix.IPv4 {
		return uint16(p.Hi >> 48)
	}
	return uint16(p.Hi>>48) ^ uint16(p.Hi>>32)*0x9e3b
}

// leadsTo reports whether a next hop that is on no link may be in a prefix.
func (hs *hops) leadsTo(p prefix.Prefix) bool {
	if len(hs.far) == 0 {
		return false
	}
	if hs.stale {
		hs.stale, hs.blocks = false, [1 << 16]bool{}
		for id := range hs.far {
			a := hs.list[id].addr.WithZone("")
			hs.blocks[block(prefix.FromNetip(netip.PrefixFrom(a, a.BitLen())))] = true
		}
	}
	if p.Family == prefix.IPv4 && p.Bits >= 16 || p.Bits >= 32 {
		return hs.blocks[block(p)]
	}
	return true
}

// noticeHops looks again at the next hops that changed prefixes may lead to.
func (c *Core) noticeHops(t *table, changes []rib.Change) {
	var changed []prefix.Prefix
	for _, ch := range changes {
		if t.Live(ch.ID) && c.hops.leadsTo(t.Prefix(ch.ID)) {
			changed = append(changed, t.Prefix(ch.ID))
		}
	}
	if changed == nil {
		return
	}
	for id := range c.hops.far {
		a := c.hops.list[id].addr.WithZone("")
		if slices.ContainsFunc(changed, func(p prefix.Prefix) bool { return p.Netip().Contains(a) }) {
			c.reresolve(id)
		}
	}
	c.walkMoved()
}

// reresolve looks at a next hop again, and at those whose way leads by it.
func (c *Core) reresolve(id uint32) {
	todo := []uint32{id}
	for n := 0; len(todo) > 0 && n < 1<<16; n++ {
		id, todo = todo[0], todo[1:]
		if !c.resolve(id) {
			continue
		}
		c.hops.moved[id] = true
		c.dropGroups(c.objects.moved(id, c.hops.list[id].Hops))
		if c.hops.list[id].leads == 0 {
			continue
		}
		for far := range c.hops.far {
			if c.hops.list[far].via == id {
				todo = append(todo, far)
			}
		}
	}
}

// reresolveAll looks at all next hops again.
func (c *Core) reresolveAll() {
	for id := range c.hops.list {
		if id > 0 && c.hops.list[id].refs > 0 {
			c.reresolve(uint32(id))
		}
	}
	c.walkMoved()
}

// walkMoved has the prefixes decided again whose paths have a next hop that is
// another one now. There is one job, which goes round as long as there are any.
func (c *Core) walkMoved() {
	hs := c.hops
	if hs.Moving || len(hs.moved) == 0 {
		return
	}
	hs.Moving = true
	cause := rib.NewCause(rib.CauseNextHop, 0)
	var moved []bool // by number, of this round
	which := func(h attr.Handle) bool {
		n := c.store.At(h).Hop
		return int(n) < len(moved) && moved[n]
	}
	pass, at, from := rib.PassFirst, 0, rib.ID(0)
	c.soon(0, func() bool {
		if from == 0 {
			pass, at, from, moved = rib.PassFirst, 0, 1, make([]bool, len(hs.list))
			for id := range hs.moved {
				moved[id] = true
			}
			clear(hs.moved)
		}
		t := c.tables[at/prefix.Families][at%prefix.Families]
		if from = t.RedecideIf(pass, from, c.pace.walk, cause, which); from == 0 {
			switch {
			case at+1 < len(c.tables)*prefix.Families:
				at, from = at+1, 1
			case pass == rib.PassFirst:
				pass, at, from = rib.PassAll, 0, 1
			}
		}
		if from != 0 {
			return false
		}
		if hs.Moving = len(hs.moved) > 0; hs.Moving && len(c.jobs) > 1 {
			c.jobs = append(c.jobs, c.jobs[0]) // others get their turn, however often next hops move
			return true
		}
		return !hs.Moving
	})
}

// oneHop reports whether a neighbor is in another AS and on a link of ours.
func (n *neighbor) oneHop() bool { return n.EBGP && n.est.Link.IsValid() }

// rezone tracks the next hops of a neighbor's blocks anew: its session is on
// another interface, or on a link where it was not. Routes that have been kept are
// decided again.
func (c *Core) rezone(id packet.ID) {
	if c.hops == nil {
		return
	}
	kept := c.neighbors[id].hasPaths()
	c.store.Each(func(h attr.Handle, r *attr.Record) {
		if r.Key.Neighbor != id {
			return
		}
		old := r.Hop
		r.Hop = c.store.HopOfBlock(h)
		if old != 0 {
			c.hopGone(old)
		}
		if kept && r.Hop != 0 {
			c.hops.moved[r.Hop] = true
		}
	})
	c.walkMoved()
}
