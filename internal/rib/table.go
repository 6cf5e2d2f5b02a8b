// Package rib has the routing table of one family: prefixes, the paths that
// neighbors gave for them, and which of them is best. Every change of a best
// path goes into a journal with its cause.
//
// A path is kept as received, beside what the import policy made of it; a
// rejected one stays, with its reason. The best path of a prefix always
// stands in the prefix's own cell, the others in chunks behind it.
package rib

import (
	"math"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/slab"
)

// Path is one neighbor's route for a prefix.
type Path struct {
	Pre      attr.Handle // as received
	Post     attr.Handle // after the import policy, 0 if rejected
	PathID   uint32      // of RFC 7911, 0 without
	Learned  uint32      // seconds since the engine started
	Neighbor packet.ID
	Reason   uint8 // why it was rejected: the engine's reason codes
	round    uint8 // the neighbor's Round when it was announced
}

type entry struct {
	first Path // the best path if any is usable; all zero without paths
	more  uint32
	n     uint16
	flags uint8
	_     uint8
}

const (
	flagPinned  = 1 << iota // kept without paths
	flagMED                 // a path with a MED has been seen: only a full scan is sure
	flagBest                // had a best path when Existence was last asked
	flagCounted             // is one of Table.best
)

const chunkPaths = 3

// MaxPaths is how many paths of one neighbor are kept for a prefix. RFC 7911 has
// no limit; finding a path takes time by their number.
const MaxPaths = 256

type chunk struct {
	paths [chunkPaths]Path
	next  uint32
}

// Change is an entry of the journal: the best path of a prefix may differ from
// what it was. It does not hold the path, which may have changed again.
type Change struct {
	ID    ID
	Cause Cause
}

// NeighborInfo is what the decision needs of a neighbor.
type NeighborInfo struct {
	EBGP     bool
	Local    bool // routes of this router itself
	RouterID uint32
	// Gone: its paths are being removed, as its session has ended.
	Gone [prefix.Families]bool
	Addr [16]byte
	// Round counts the refreshes that the neighbor has begun (RFC 7313), and the
	// ends of sessions that its paths have outlived. Paths of an earlier one have
	// not been announced again.
	Round [prefix.Families]uint8
}

// Hop is what the decision needs of a next hop.
type Hop struct {
	Unreachable bool
	Cost        uint32 // of the way to it
}

// Hops are next hops by attr.Record.Hop.
type Hops struct {
	List []Hop
	// Moving: some are others now and RedecideIf has yet to look at all prefixes,
	// so that the path in a prefix's own cell need not be the best one.
	Moving bool
}

// Table holds the routes of one family. Not safe for concurrent use.
type Table struct {
	family  prefix.Family
	store   *attr.Store
	index   index
	entries slab.Arena[entry]
	more    slab.Arena[chunk]
	journal []Change
	read    []Change // what Journal returned last, to be written next
	others  []ID     // with NoteAll, and as read the ones that Others returned last
	told    []ID
	paths   int
	best    int     // prefixes with a best path when the journal was last read
	ties    []*Path // scratch of decide
	touch   uint64  // keeps the warming loads of Apply alive

	// Neighbors is indexed by packet.ID and shared with the owner.
	Neighbors *[]NeighborInfo
	// Hops are shared with the owner; nil where next hops are not tracked.
	Hops *Hops
	// NoteAll has the changes of all usable paths noted, see Others.
	NoteAll bool
	// First has the prefixes that are to be looked at before all others: those for
	// which IsFirst holds. It is nil where there are none.
	First   slab.Bits
	IsFirst func(prefix.Prefix) bool
	// Decision are the options of the ladder.
	Decision Options
}

// New returns an empty table.
func New(f prefix.Family, s *attr.Store, neighbors *[]NeighborInfo) *Table {
	return &Table{family: f, store: s, index: newIndex(f), Neighbors: neighbors}
}

// Family is the table's.
func (t *Table) Family() prefix.Family { return t.family }

// Op is one announcement or, with Pre 0, one withdrawal.
type Op struct {
	Prefix   prefix.Prefix
	PathID   uint32
	Pre      attr.Handle // its reference passes to the table
	Post     attr.Handle // retained by the table
	Neighbor packet.ID
	Reason   uint8
	hash     uint64
	id       ID
	chunk    uint32 // where warming has got to
}

// Delta is what an Op did to a neighbor's counts.
type Delta struct {
	Paths, Accepted int
	Old             int // paths of an earlier round that were replaced or removed
	Full            int // announcements lost because the table is full,
	Excess          int // or because of MaxPaths
}

// Apply carries out a batch. Looking all prefixes up before the first change
// lets their cache misses overlap, which is most of what a change costs.
func (t *Table) Apply(ops []Op, now uint32, cause Cause) (d Delta) {
	t.warm(ops)
	for i := range ops {
		o := &ops[i]
		if o.id == 0 {
			o.id = t.index.find(o.hash, o.Prefix) // an earlier one of the batch may have added it
		}
		if o.Pre == 0 {
			if o.id != 0 {
				t.withdraw(o.id, o.Neighbor, o.PathID, cause, &d)
			}
			continue
		}
		if o.id == 0 {
			if o.id = t.add(o.hash, o.Prefix); o.id == 0 {
				t.store.Release(o.Pre)
				d.Full++
				continue
			}
		}
		t.announce(o, now, cause, &d)
	}
	return d
}

// warm finds the IDs of a batch and loads what carrying it out will need: one
// kind of cell after the other, so that the misses of a pass overlap.
func (t *Table) warm(ops []Op) {
	mask := uint32(len(t.index.slots) - 1)
	sum := uint64(0)
	for i := range ops {
		o := &ops[i]
		o.hash = t.index.hash(o.Prefix)
		sum += uint64(t.index.slots[uint32(o.hash)&mask])
	}
	for i := range ops {
		if id := t.index.slots[uint32(ops[i].hash)&mask] & idMask; id != 0 {
			sum += *t.index.hi.At(id) + uint64(t.entries.At(id).n)
		}
	}
	chains := false
	for i := range ops {
		o := &ops[i]
		o.id, o.chunk = t.index.find(o.hash, o.Prefix), 0
		if o.id == 0 {
			continue
		}
		e := t.entries.At(uint32(o.id))
		if h := e.first.Post; h != 0 {
			sum += uint64(t.store.At(h).PathLen)
		}
		if e.n > 1 && (e.first.Neighbor != o.Neighbor || e.first.PathID != o.PathID) {
			o.chunk, chains = e.more, true
		}
	}
	for chains {
		chains = false
		for i := range ops {
			if c := ops[i].chunk; c != 0 {
				ch := t.more.At(c)
				sum += uint64(ch.paths[0].Pre)
				ops[i].chunk = ch.next
				chains = chains || ch.next != 0
			}
		}
	}
	t.touch += sum
}

func (t *Table) add(hash uint64, p prefix.Prefix) ID {
	if t.entries.Live() >= MaxPrefixes {
		return 0
	}
	id, _ := t.entries.Alloc()
	t.index.insert(hash, p, ID(id))
	if t.IsFirst != nil && t.IsFirst(p) {
		t.First.Set(id)
	}
	return ID(id)
}

// Pin makes sure that p has an ID that stays, with or without paths.
func (t *Table) Pin(p prefix.Prefix) ID {
	id := t.Lookup(p)
	if id == 0 {
		if id = t.add(t.index.hash(p), p); id == 0 {
			return 0
		}
	}
	t.entries.At(uint32(id)).flags |= flagPinned
	return id
}

// Unpin undoes Pin; Collect may then free the ID.
func (t *Table) Unpin(id ID) { t.entries.At(uint32(id)).flags &^= flagPinned }

// Lookup returns the ID of a prefix, 0 if the table does not know it.
func (t *Table) Lookup(p prefix.Prefix) ID { return t.index.find(t.index.hash(p), p) }

// Prefix is the inverse of Lookup.
func (t *Table) Prefix(id ID) prefix.Prefix { return t.index.prefix(id) }

// Best is the best path, nil if no path is usable.
func (t *Table) Best(id ID) *Path {
	e := t.entries.At(uint32(id))
	if e.n == 0 || !t.usable(&e.first) {
		return nil
	}
	return &e.first
}

func (t *Table) usable(p *Path) bool {
	return p.Post != 0 && !(*t.Neighbors)[p.Neighbor].Gone[t.family] && t.Reachable(p)
}

// Reachable reports whether the next hop of an accepted path can be reached.
func (t *Table) Reachable(p *Path) bool {
	return t.Hops == nil || !t.Hops.List[t.store.At(p.Post).Hop].Unreachable
}

// announce adds or replaces a path.
func (t *Table) announce(o *Op, now uint32, cause Cause, d *Delta) {
	e := t.entries.At(uint32(o.id))
	new := Path{Pre: o.Pre, Post: o.Post, PathID: o.PathID, Learned: now, Neighbor: o.Neighbor, Reason: o.Reason,
		round: (*t.Neighbors)[o.Neighbor].Round[t.family]}
	p := t.slot(e, o.Neighbor, o.PathID)
	if p == nil && e.n >= MaxPaths && !t.mayAdd(e, o.Neighbor) {
		t.store.Release(o.Pre)
		d.Excess++
		return
	}
	if o.Post != 0 {
		t.store.Retain(o.Post, 1)
		d.Accepted++
		if t.store.At(o.Post).MED != 0 {
			e.flags |= flagMED
		}
	}
	if p == nil {
		d.Paths++
		t.paths++
		p = t.push(e, new)
		t.promote(o.id, e, p, cause)
		t.noteOther(o.id, o.Post != 0)
		return
	}
	old := *p
	if old.Pre == new.Pre && old.Post == new.Post {
		// The same route again: its age stays.
		new.Learned = old.Learned
	}
	*p = new
	if old.Post != 0 {
		d.Accepted--
	}
	if old.round != new.round {
		d.Old++
	}
	t.settle(o.id, e, p, old, cause)
	t.noteOther(o.id, old.Post != o.Post)
	t.release(old)
}

// mayAdd reports whether a neighbor may have one path more for a prefix.
func (t *Table) mayAdd(e *entry, neighbor packet.ID) bool {
	have := 0
	t.find(e, func(p *Path) bool {
		if p.Neighbor == neighbor {
			have++
		}
		return false
	})
	return have < MaxPaths && e.n < math.MaxUint16
}

// settle finds the best path after p has replaced old.
func (t *Table) settle(id ID, e *entry, p *Path, old Path, cause Cause) {
	if p.Post == old.Post {
		return
	}
	if p != &e.first {
		if t.local(e) {
			t.promote(id, e, p, cause)
			return
		}
	} else if e.n == 1 || t.local(e) && t.usable(p) && t.usable(&old) && t.compare(p, &old).order <= 0 {
		t.note(id, cause)
		return
	}
	t.rescan(id, e, cause, old.Post)
}

// local reports whether comparing a path of e with the best one is enough: the
// ladder is a total order, and the best path stands where it should.
func (t *Table) local(e *entry) bool { return t.total(e) && (t.Hops == nil || !t.Hops.Moving) }

// total reports whether the ladder is a total order on the paths of e. MED
// compared only within a neighbor AS makes it partial.
func (t *Table) total(e *entry) bool {
	return e.flags&flagMED == 0 || t.Decision.AlwaysCompareMED || !t.Decision.SharedNeighborAS
}

// promote makes p the best path if it is better than the best.
func (t *Table) promote(id ID, e *entry, p *Path, cause Cause) {
	best := &e.first
	if p == best {
		if t.usable(p) {
			t.note(id, cause)
		}
		return
	}
	if !t.local(e) || !t.usable(best) {
		// With a best path that is gone, the next best is not known.
		t.rescan(id, e, cause, best.Post)
		return
	}
	if t.usable(p) && t.compare(p, best).order < 0 {
		*p, *best = *best, *p
		t.note(id, cause)
	}
}

// rescan looks at all paths. was is the block of the best path so far.
func (t *Table) rescan(id ID, e *entry, cause Cause, was attr.Handle) {
	best := t.decide(e)
	if best == nil {
		t.note(id, cause)
		return
	}
	if best != &e.first {
		*best, e.first = e.first, *best
		t.note(id, cause)
	} else if e.first.Post != was {
		t.note(id, cause)
	}
}

// noteOther notes a change that need not be one of the best path.
func (t *Table) noteOther(id ID, changed bool) {
	if t.NoteAll && changed {
		t.others = append(t.others, id)
	}
}

func (t *Table) note(id ID, cause Cause) { t.journal = append(t.journal, Change{id, cause}) }

// withdraw removes a path, if it is there.
func (t *Table) withdraw(id ID, n packet.ID, pathID uint32, cause Cause, d *Delta) {
	e := t.entries.At(uint32(id))
	p := t.slot(e, n, pathID)
	if p == nil {
		return
	}
	t.remove(id, e, p, cause, d)
}

func (t *Table) remove(id ID, e *entry, p *Path, cause Cause, d *Delta) {
	old := *p
	first := p == &e.first
	d.Paths--
	t.paths--
	if old.Post != 0 {
		d.Accepted--
	}
	if old.round != (*t.Neighbors)[old.Neighbor].Round[t.family] {
		d.Old++
	}
	t.pop(e, p)
	switch {
	case e.n == 0:
		e.flags &^= flagMED
		t.note(id, cause)
	case first:
		// Another path stands there now, and any of them may be the best.
		if b := t.decide(e); b != nil && b != &e.first {
			*b, e.first = e.first, *b
		}
		if old.Post != 0 {
			t.note(id, cause)
		}
	case !t.local(e):
		t.rescan(id, e, cause, e.first.Post)
	}
	t.noteOther(id, old.Post != 0)
	t.release(old)
}

func (t *Table) release(p Path) {
	t.store.Release(p.Post)
	t.store.Release(p.Pre)
}

// slot finds the path of a neighbor.
func (t *Table) slot(e *entry, n packet.ID, pathID uint32) *Path {
	if e.n == 0 {
		return nil
	}
	if e.first.Neighbor == n && e.first.PathID == pathID {
		return &e.first
	}
	left := int(e.n) - 1
	for c := e.more; left > 0; left -= chunkPaths {
		ch := t.more.At(c)
		for i := range ch.paths[:min(left, chunkPaths)] {
			if p := &ch.paths[i]; p.Neighbor == n && p.PathID == pathID {
				return p
			}
		}
		c = ch.next
	}
	return nil
}

// push adds a path behind the last one. Chunks are full but for the last.
func (t *Table) push(e *entry, p Path) *Path {
	if e.n == 0 {
		e.n, e.first = 1, p
		return &e.first
	}
	at := int(e.n) - 1
	e.n++
	link := &e.more
	for ; at >= chunkPaths; at -= chunkPaths {
		link = &t.more.At(*link).next
	}
	if at == 0 {
		*link, _ = t.more.Alloc() // cells do not move: link stays valid
	}
	q := &t.more.At(*link).paths[at]
	*q = p
	return q
}

// pop removes the path at p by moving the last one there.
func (t *Table) pop(e *entry, p *Path) {
	e.n--
	if e.n == 0 {
		e.first = Path{}
		return
	}
	at := int(e.n) - 1
	link := &e.more
	for ; at >= chunkPaths; at -= chunkPaths {
		link = &t.more.At(*link).next
	}
	last := &t.more.At(*link).paths[at]
	*p = *last
	*last = Path{}
	if at == 0 {
		t.more.Free(*link)
		*link = 0
	}
}

// Paths calls f for every path of a prefix, the best first, until f returns
// false. The pointers are valid until the next change.
func (t *Table) Paths(id ID, f func(*Path) bool) {
	t.find(t.entries.At(uint32(id)), func(p *Path) bool { return !f(p) })
}

// Usable is Paths for those that may be used, in no order.
func (t *Table) Usable(id ID, f func(*Path) bool) {
	t.find(t.entries.At(uint32(id)), func(p *Path) bool { return t.usable(p) && !f(p) })
}

// PathsOf is how many paths a prefix has, rejected ones included.
func (t *Table) PathsOf(id ID) int { return int(t.entries.At(uint32(id)).n) }

// Journal returns the changes since it was last called. The slice is valid
// until the next call.
func (t *Table) Journal() []Change {
	t.journal, t.read = t.read[:0], t.journal
	for _, ch := range t.read {
		t.countBest(t.entries.At(uint32(ch.ID)))
	}
	return t.read
}

// Others are prefixes whose usable paths have changed since it was last called,
// the best one or others, where NoteAll asks for them. What changes all paths of a
// prefix at once, such as news of a next hop, is in the journal alone. The slice
// is valid until the next call.
func (t *Table) Others() []ID {
	t.others, t.told = t.told[:0], t.others
	return t.told
}

// countBest keeps the number of prefixes with a best path.
func (t *Table) countBest(e *entry) {
	has := e.n > 0 && t.usable(&e.first)
	if has == (e.flags&flagCounted != 0) {
		return
	}
	e.flags ^= flagCounted
	if has {
		t.best++
	} else {
		t.best--
	}
}

// Existence reports whether a prefix has gained (1), lost (-1) or kept (0) a
// best path since it was last asked.
func (t *Table) Existence(id ID) int {
	e := t.entries.At(uint32(id))
	has, had := e.n > 0 && t.usable(&e.first), e.flags&flagBest != 0
	e.flags ^= flagBest * b2u(has != had)
	return int(b2u(has)) - int(b2u(had))
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// Collect frees the ID of a prefix without paths. The caller has made sure
// that nothing refers to it any more.
func (t *Table) Collect(id ID) {
	if e := t.entries.At(uint32(id)); e.n == 0 && e.flags&flagPinned == 0 && t.Live(id) {
		t.countBest(e)
		t.First.Clear(uint32(id))
		t.index.remove(id)
		t.entries.Free(uint32(id))
		e.flags = flagFree
	}
}

const flagFree = 1 << 7

// Live reports whether id is in use.
func (t *Table) Live(id ID) bool {
	return id != 0 && uint32(id) <= t.entries.Top() && t.entries.At(uint32(id)).flags&flagFree == 0
}

// Top is the largest ID that was ever in use: the end of a walk.
func (t *Table) Top() ID { return ID(t.entries.Top()) }

// Len is how many prefixes have an ID.
func (t *Table) Len() int { return t.entries.Live() }

// BestCount is how many prefixes had a best path when the journal was last read.
func (t *Table) BestCount() int { return t.best }

// PathCount is how many paths there are.
func (t *Table) PathCount() int { return t.paths }
