package rib

import (
	"testing"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestOneRouterOnTwoLinks: two neighbors with one link-local address and one
// router ID. Which is best does not hang on who came first.
func TestOneRouterOnTwoLinks(t *testing.T) {
	p := prefix.MustParse("10.0.0.0/8")
	for _, order := range [][]packet.ID{{1, 2}, {2, 1}} {
		l := newLab()
		l.infos[2] = l.infos[1]
		for _, n := range order {
			a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 0, 0, 1}}
			h := l.s.Intern(attr.Key{Neighbor: n}, a.Append(nil, false), nil)
			l.t.Apply([]Op{{Prefix: p, Neighbor: n, Pre: h, Post: h}}, 0, 0)
		}
		if best := l.t.Best(l.t.Lookup(p)); best.Neighbor != 1 {
			t.Errorf("order %v: best is of %d", order, best.Neighbor)
		}
	}
}

// TestManyPathsWithMED: adding to many paths between which MED decides takes
// time by their number, not by its square, and finds what a ranking finds.
func TestManyPathsWithMED(t *testing.T) {
	l := newLab()
	p := prefix.MustParse("10.0.0.0/8")
	for i := range uint32(MaxPaths + 50) {
		a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasMED, MED: (i * 7919) % 101, NextHop: []byte{10, 0, 0, 1},
			ASPath: []byte{2, 1, 0, 0, 0, byte(1 + i%5)}}
		h := l.s.Intern(attr.Key{Neighbor: 1}, a.Append(nil, false), nil)
		d := l.t.Apply([]Op{{Prefix: p, PathID: i, Neighbor: 1, Pre: h, Post: h}}, 0, 0)
		if want := max(0, min(1, int(i)-MaxPaths+1)); d.Excess != want || d.Paths != 1-want {
			t.Fatalf("path %d: %+v", i, d)
		}
		id := l.t.Lookup(p)
		if ranked := l.t.Rank(nil, id); ranked[0] != l.t.Best(id) {
			t.Fatalf("after %d paths, best is %+v, ranked first %+v", i, *l.t.Best(id), *ranked[0])
		}
	}
}
