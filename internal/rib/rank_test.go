package rib

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
)

// TestRank takes the best path away again and again: what is best then is next
// in the ranking.
func TestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab()
		l.t.Decision.AlwaysCompareMED = rapid.Bool().Draw(t, "always compare MED")
		p := prefix.MustParse("10.0.0.0/8")
		for range rapid.IntRange(1, 12).Draw(t, "paths") {
			n := packet.ID(rapid.IntRange(1, labNeighbors).Draw(t, "neighbor"))
			a := drawAttrs(t)
			h := l.s.Intern(attr.Key{Neighbor: n}, a.Append(nil, false), nil)
			op := Op{Prefix: p, PathID: rapid.Uint32Range(0, 1).Draw(t, "path id"), Neighbor: n, Pre: h, Post: h}
			if rapid.IntRange(0, 5).Draw(t, "rejected") == 0 {
				op.Post = 0
			}
			l.t.Apply([]Op{op}, 0, 0)
		}
		id := l.t.Lookup(p)
		e := l.t.entries.At(uint32(id))
		ranked := l.t.Rank(nil, id)
		var want []*Path
		masked := map[*Path]attr.Handle{}
		for best := l.t.decide(e); best != nil; best = l.t.decide(e) {
			want = append(want, best)
			masked[best], best.Post = best.Post, 0
		}
		for p, h := range masked {
			p.Post = h
		}
		if !slices.Equal(ranked, want) {
			t.Fatalf("ranking %v, want %v", ranked, want)
		}
	})
}
