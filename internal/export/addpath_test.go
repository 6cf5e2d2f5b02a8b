package export

import (
	"fmt"
	"testing"
	"unsafe"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// several is a lab of eBGP neighbors, and a group whose members are sent n paths.
func several(t testing.TB, n int) (*lab, *Group) {
	l := newLab(t, prefix.IPv4)
	for i := 1; i < len(l.infos); i++ {
		l.infos[i] = rib.NeighborInfo{EBGP: true, RouterID: uint32(i)}
	}
	l.env.Table.NoteAll = true
	g := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, AddPath: n, Policy: "all"}, all(t), 1)
	l.env.Referenced = g.Needs
	return l, g
}

func (l *lab) member(g *Group, id packet.ID) (*sink, *Member) {
	s := newSink(l.t, id)
	s.o.AddPath[prefix.IPv4] = true
	m := g.Join(id, s, tell(nh4))
	l.sync(g)
	s.got = nil
	return s, m
}

// announce has a neighbor announce a path of so many hops.
func (l *lab) announce(n packet.ID, hops int) string {
	asns := make([]uint32, hops)
	for i := range asns {
		asns[i] = 65000 + uint32(n)
	}
	l.set(n, "192.0.2.0/24", wire.Attrs{ASPath: path(asns...), NextHop: nh4})
	return fmt.Sprint(append([]uint32{65000}, asns...))
}

func (l *lab) others(g *Group) {
	for _, id := range l.env.Table.Others() {
		g.Touch(id)
	}
	l.sync(g)
}

// TestAddPath: each path has a number, which stays its own.
func TestAddPath(t *testing.T) {
	l, g := several(t, 8)
	far, m := l.member(g, 5)
	own, _ := l.member(g, 1)
	one := l.announce(1, 2)
	l.others(g)
	far.want("the first path", "+ 192.0.2.0/24 #1: path "+one+" via 0a000001")
	own.want("its own path")
	two := l.announce(2, 3)
	l.others(g)
	far.want("a second one", "+ 192.0.2.0/24 #2: path "+two+" via 0a000001")
	own.want("one of others", "+ 192.0.2.0/24 #2: path "+two+" via 0a000001")
	if m.Count() != 2 {
		t.Errorf("%d routes are sent, want 2", m.Count())
	}

	// Another best path, and nothing that a neighbor has not got.
	l.infos[2].RouterID = 0
	l.env.Table.Redecide(1, 100, 0)
	l.others(g)
	far.want("the best one is another")
	two = l.announce(2, 1)
	l.others(g)
	far.want("better attributes", "+ 192.0.2.0/24 #2: path "+two+" via 0a000001")

	l.unset(1, "192.0.2.0/24")
	l.others(g)
	far.want("the first is withdrawn", "- 192.0.2.0/24 #1")
	own.want("it has not had it", "+ 192.0.2.0/24 #2: path "+two+" via 0a000001")
	l.unset(2, "192.0.2.0/24")
	l.others(g)
	far.want("the last is withdrawn", "- 192.0.2.0/24 #2")
	if l.env.Table.Len() != 0 || g.Count() != 0 || l.env.numbers.paths.Live() != 0 {
		t.Errorf("%d prefixes, %d routes and %d numbers are left", l.env.Table.Len(), g.Count(), l.env.numbers.paths.Live())
	}
}

// TestBestPaths: of more paths than members are sent, the best ones are.
func TestBestPaths(t *testing.T) {
	l, g := several(t, 2)
	s, _ := l.member(g, 5)
	l.announce(1, 3)
	l.announce(2, 2)
	l.announce(3, 4)
	l.others(g)
	if len(s.got) != 2 {
		t.Fatalf("it is sent %q", s.got)
	}
	s.got = nil
	third := l.announce(3, 1)
	l.others(g)
	s.want("the third becomes the best", "+ 192.0.2.0/24 #3: path "+third+" via 0a000001", "- 192.0.2.0/24 #2")
	second := fmt.Sprint([]uint32{65000, 65001, 65001, 65001})
	l.unset(2, "192.0.2.0/24")
	l.others(g)
	s.want("one goes, the next comes back", "+ 192.0.2.0/24 #2: path "+second+" via 0a000001", "- 192.0.2.0/24 #1")
}

// TestNumbersWait: a number is not another path's before all have had the
// withdrawal of the one that it was.
func TestNumbersWait(t *testing.T) {
	l, g := several(t, 8)
	slow, _ := l.member(g, 5)
	fast, _ := l.member(g, 6)
	one := l.announce(1, 1)
	l.others(g)
	slow.want("a path", "+ 192.0.2.0/24 #1: path "+one+" via 0a000001")
	fast.want("a path", "+ 192.0.2.0/24 #1: path "+one+" via 0a000001")
	slow.room = 0
	l.unset(1, "192.0.2.0/24")
	two := l.announce(2, 1)
	l.others(g)
	three := l.announce(3, 2)
	l.others(g)
	fast.want("others", "+ 192.0.2.0/24 #2: path "+two+" via 0a000001", "- 192.0.2.0/24 #1", "+ 192.0.2.0/24 #3: path "+three+" via 0a000001")
	slow.room = 10
	l.sync(g)
	slow.want("when it reads again", "+ 192.0.2.0/24 #2: path "+two+" via 0a000001", "+ 192.0.2.0/24 #3: path "+three+" via 0a000001", "- 192.0.2.0/24 #1")
	four := l.announce(4, 2)
	l.others(g)
	slow.want("now the number is free", "+ 192.0.2.0/24 #1: path "+four+" via 0a000001")
}

// TestNumberSize holds the memory of a path that groups with AddPath send.
func TestNumberSize(t *testing.T) {
	if n := unsafe.Sizeof(numbered{}); n != 16 {
		t.Errorf("a number takes %d bytes, the budget is 16", n)
	}
}
