package rib

import (
	"cmp"
	"container/heap"
	"slices"

	"holdfast/internal/attr"
)

// Rank appends the usable paths of a prefix to out, in the order of preference:
// each is the one that would be best without those before it. The pointers are
// valid until the next change.
func (t *Table) Rank(out []*Path, id ID) []*Path {
	e, at := t.entries.At(uint32(id)), len(out)
	t.each(e, nil, func(p *Path) { out = append(out, p) })
	all := out[at:]
	if t.total(e) {
		slices.SortFunc(all, func(a, b *Path) int { return t.compare(a, b).order })
		return out
	}
	all, out = slices.Clone(all), out[:at]
	// Within what ties above MED, only the lowest MED of a neighbor AS takes
	// part at a time. So the paths of each AS stand in a line, and the best
	// head of a line is next.
	record := func(p *Path) *attr.Record { return t.store.At(p.Post) }
	slices.SortFunc(all, func(a, b *Path) int {
		ra, rb := record(a), record(b)
		return cmp.Or(t.upper(a, b, ra, rb).order, cmp.Compare(ra.NeighborAS, rb.NeighborAS),
			cmp.Compare(ra.MED, rb.MED), t.lower(a, b, ra, rb).order)
	})
	for len(all) > 0 {
		n := 1
		for n < len(all) && t.tiesAboveMED(all[n], all[0]) {
			n++
		}
		h := &lines{t: t}
		for from, i := 0, 1; i <= n; i++ {
			if i == n || record(all[i]).NeighborAS != record(all[from]).NeighborAS {
				h.all = append(h.all, all[from:i])
				from = i
			}
		}
		for heap.Init(h); len(h.all) > 0; {
			out = append(out, h.all[0][0])
			if h.all[0] = h.all[0][1:]; len(h.all[0]) == 0 {
				heap.Pop(h)
			} else {
				heap.Fix(h, 0)
			}
		}
		all = all[n:]
	}
	return out
}

// lines is a heap of queues, the one with the best head on top.
type lines struct {
	t   *Table
	all [][]*Path
}

func (l *lines) Len() int      { return len(l.all) }
func (l *lines) Swap(i, j int) { l.all[i], l.all[j] = l.all[j], l.all[i] }
func (l *lines) Push(x any)    { l.all = append(l.all, x.([]*Path)) }

func (l *lines) Less(i, j int) bool {
	a, b := l.all[i][0], l.all[j][0]
	return l.t.lower(a, b, l.t.store.At(a.Post), l.t.store.At(b.Post)).order < 0
}

func (l *lines) Pop() any {
	last := len(l.all) - 1
	x := l.all[last]
	l.all = l.all[:last]
	return x
}
