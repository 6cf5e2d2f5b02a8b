package rib

import (
	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
)

// walk calls f for every live ID from `from` on, for at most limit IDs, and
// returns where to go on, 0 at the end.
func (t *Table) walk(from ID, limit int, f func(ID, *entry)) ID {
	end := min(t.Top(), from+ID(limit)-1)
	for id := max(from, 1); id <= end; id++ {
		if e := t.entries.At(uint32(id)); e.flags&flagFree == 0 {
			f(id, e)
		}
	}
	if end >= t.Top() {
		return 0
	}
	return end + 1
}

// Pass says which prefixes a walk looks at. What is urgent takes one pass after the
// other.
type Pass uint8

const (
	PassFirst Pass = iota // those of First
	PassBest              // those whose best path it is about: others hear of them
	PassAll
)

// pass is walk for the prefixes of a pass about what want says.
func (t *Table) pass(which Pass, from ID, limit int, want func(*Path) bool, f func(ID, *entry)) ID {
	switch which {
	case PassFirst:
		for ; limit > 0; limit-- {
			id, ok := t.First.Next(uint32(from))
			if !ok {
				return 0
			}
			f(ID(id), t.entries.At(id))
			from = ID(id) + 1
		}
		return from
	case PassBest:
		return t.walk(from, limit, func(id ID, e *entry) {
			if e.n > 0 && want(&e.first) {
				f(id, e)
			}
		})
	}
	return t.walk(from, limit, f)
}

// ReviewFirst asks of limit prefixes whether they are of First. It returns where to
// go on, 0 at the end.
func (t *Table) ReviewFirst(from ID, limit int) ID {
	return t.walk(from, limit, func(id ID, _ *entry) {
		if t.IsFirst != nil && t.IsFirst(t.Prefix(id)) {
			t.First.Set(uint32(id))
		} else {
			t.First.Clear(uint32(id))
		}
	})
}

// RemoveNeighbor withdraws all paths of a neighbor among limit prefixes of a pass.
// It returns where to go on, 0 at the end.
func (t *Table) RemoveNeighbor(pass Pass, from ID, limit int, n packet.ID, cause Cause) (next ID, d Delta) {
	return t.removeIf(pass, from, limit, cause, func(p *Path) bool { return p.Neighbor == n })
}

// RemoveStale is RemoveNeighbor for the paths that were announced before the
// given round.
func (t *Table) RemoveStale(from ID, limit int, n packet.ID, round uint8, cause Cause) (next ID, d Delta) {
	return t.RemoveIf(from, limit, cause, func(p *Path) bool { return p.Neighbor == n && p.Before(round) })
}

// Before reports whether a path was announced before a round of its neighbor.
// Rounds are at most 127 apart.
func (p *Path) Before(round uint8) bool { return int8(p.round-round) < 0 }

// RemoveIf withdraws the paths among limit prefixes for which gone holds. It
// returns where to go on, 0 at the end.
func (t *Table) RemoveIf(from ID, limit int, cause Cause, gone func(*Path) bool) (next ID, d Delta) {
	return t.removeIf(PassAll, from, limit, cause, gone)
}

func (t *Table) removeIf(pass Pass, from ID, limit int, cause Cause, gone func(*Path) bool) (next ID, d Delta) {
	next = t.pass(pass, from, limit, gone, func(id ID, e *entry) {
		for {
			p := t.find(e, gone)
			if p == nil {
				return
			}
			t.remove(id, e, p, cause, &d)
		}
	})
	return next, d
}

// find returns the first path that f wants.
func (t *Table) find(e *entry, f func(*Path) bool) *Path {
	if e.n == 0 {
		return nil
	}
	if f(&e.first) {
		return &e.first
	}
	left := int(e.n) - 1
	for c := e.more; left > 0; left -= chunkPaths {
		ch := t.more.At(c)
		for i := range ch.paths[:min(left, chunkPaths)] {
			if f(&ch.paths[i]) {
				return &ch.paths[i]
			}
		}
		c = ch.next
	}
	return nil
}

// Judge says what is made of a path now. The reference to it passes to the table.
type Judge func(p prefix.Prefix, path *Path) (post attr.Handle, reason uint8)

// Revise judges all paths of limit prefixes again, for which want holds, and
// counts the change in how many are accepted. It returns where to go on, 0 at
// the end.
func (t *Table) Revise(from ID, limit int, cause Cause, want func(packet.ID) bool, judge Judge, count func(packet.ID, Delta)) ID {
	return t.walk(from, limit, func(id ID, e *entry) { t.revise(id, e, cause, want, judge, count) })
}

// ReviseOne is Revise for one prefix that is there.
func (t *Table) ReviseOne(id ID, cause Cause, want func(packet.ID) bool, judge Judge, count func(packet.ID, Delta)) {
	t.revise(id, t.entries.At(uint32(id)), cause, want, judge, count)
}

// Each calls f for those of limit prefixes that are there. It returns where to go
// on, 0 at the end.
func (t *Table) Each(from ID, limit int, f func(ID)) ID {
	return t.walk(from, limit, func(id ID, _ *entry) { f(id) })
}

func (t *Table) revise(id ID, e *entry, cause Cause, want func(packet.ID) bool, judge Judge, count func(packet.ID, Delta)) {
	var x prefix.Prefix
	// Judging may move the best path, and with it others: go by what they
	// are, not by where they stand.
	type key struct {
		n  packet.ID
		id uint32
	}
	var keys [32]key
	todo := keys[:0]
	t.find(e, func(p *Path) bool {
		if want(p.Neighbor) {
			todo = append(todo, key{p.Neighbor, p.PathID})
		}
		return false
	})
	if len(todo) > 0 {
		x = t.Prefix(id)
	}
	for _, k := range todo {
		p := t.slot(e, k.n, k.id)
		post, reason := judge(x, p)
		if post == p.Post {
			t.store.Release(post)
			p.Reason = reason
			continue
		}
		var d Delta
		d.Accepted = int(b2u(post != 0)) - int(b2u(p.Post != 0))
		if post != 0 && t.store.At(post).MED != 0 {
			e.flags |= flagMED
		}
		old := *p
		p.Post, p.Reason = post, reason
		t.settle(id, e, p, old, cause)
		t.noteOther(id, true)
		t.store.Release(old.Post)
		count(k.n, d)
	}
}

// Equal calls f for the best path of a prefix and then for those that tie with
// it down to the cost of the next hop, in no order, until f returns false.
func (t *Table) Equal(id ID, f func(*Path) bool) {
	best := t.Best(id)
	if best == nil || !f(best) {
		return
	}
	rb := t.store.At(best.Post)
	e := t.entries.At(uint32(id))
	t.find(e, func(p *Path) bool {
		if p == best || !t.usable(p) {
			return false
		}
		rp := t.store.At(p.Post)
		if t.upper(best, p, rb, rp).order != 0 || t.Decision.AlwaysCompareMED && rp.MED != rb.MED {
			return false
		}
		if v := t.lower(best, p, rb, rp); v.step == StepEBGP || v.step == StepIGPCost {
			return false
		}
		if !t.Decision.AlwaysCompareMED && !t.total(e) && t.medLoser(e, p, best) != nil {
			return false
		}
		return !f(p)
	})
}

// RedecideIf chooses the best path anew of those of limit prefixes of a pass that have a
// path for whose block it is asked, and notes each of them: its next hop is
// another one now. It returns where to go on, 0 at the end.
func (t *Table) RedecideIf(pass Pass, from ID, limit int, cause Cause, f func(attr.Handle) bool) ID {
	about := func(p *Path) bool { return p.Post != 0 && f(p.Post) }
	return t.pass(pass, from, limit, about, func(id ID, e *entry) {
		if t.find(e, about) == nil {
			return
		}
		if best := t.decide(e); best != nil && best != &e.first {
			*best, e.first = e.first, *best
		}
		t.note(id, cause)
	})
}

// Redecide chooses the best path of limit prefixes anew, for when the options
// of the ladder or what is known of neighbors has changed.
func (t *Table) Redecide(from ID, limit int, cause Cause) ID {
	return t.walk(from, limit, func(id ID, e *entry) {
		if e.n > 1 {
			t.rescan(id, e, cause, e.first.Post)
			t.noteOther(id, true)
		}
	})
}
