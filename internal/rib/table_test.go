package rib

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/model"
)

// TestSizes holds the budget: what a prefix and a path cost.
func TestSizes(t *testing.T) {
	for name, s := range map[string][2]uintptr{
		"path":  {unsafe.Sizeof(Path{}), 20},
		"entry": {unsafe.Sizeof(entry{}), 28},
		"chunk": {unsafe.Sizeof(chunk{}), 64},
	} {
		if s[0] != s[1] {
			t.Errorf("%s has %d bytes, the budget is %d", name, s[0], s[1])
		}
	}
}

func TestIndex(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom([]prefix.Family{prefix.IPv4, prefix.IPv6}).Draw(t, "family")
		x := newIndex(f)
		want := map[prefix.Prefix]ID{}
		next := ID(1)
		for range rapid.IntRange(0, 2000).Draw(t, "steps") {
			p := prefix.New(f, rapid.Uint64Range(0, 30).Draw(t, "hi")<<40, rapid.Uint64Range(0, 1).Draw(t, "lo"), rapid.Uint8Range(20, f.MaxBits()).Draw(t, "bits"))
			id := x.find(x.hash(p), p)
			if id != want[p] {
				t.Fatalf("%v has ID %d, want %d", p, id, want[p])
			}
			switch {
			case id == 0:
				x.insert(x.hash(p), p, next)
				want[p] = next
				next++
			case rapid.Bool().Draw(t, "remove"):
				x.remove(id)
				delete(want, p)
			}
		}
		for p, id := range want {
			if x.find(x.hash(p), p) != id || x.prefix(id) != p {
				t.Fatalf("%v is lost", p)
			}
		}
	})
}

// lab is a table beside its slow twin.
type lab struct {
	t     *Table
	s     *attr.Store
	twin  model.Router
	infos []NeighborInfo
}

const labNeighbors = 6

func newLab() *lab {
	l := &lab{s: attr.NewStore(), infos: make([]NeighborInfo, labNeighbors+1)}
	l.infos[0].Local = true
	l.twin = model.Router{ASN: 1, RouterID: 99, ClusterID: 99, DefaultLocalPref: 100}
	accept := func(prefix.Prefix, *model.Route) bool { return true }
	for i := 1; i <= labNeighbors; i++ {
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).As16()
		l.infos[i] = NeighborInfo{EBGP: i%3 != 0, RouterID: uint32(10 - i/2), Addr: a}
		l.twin.Neighbors = append(l.twin.Neighbors, &model.Neighbor{ID: i, EBGP: i%3 != 0, ASN: 100, RouterID: uint32(10 - i/2), Addr: a[:], Up: true, Import: accept})
	}
	l.t = New(prefix.IPv4, l.s, &l.infos)
	l.t.Decision = Options{SharedNeighborAS: true, DefaultLocalPref: 100}
	return l
}

func drawAttrs(t *rapid.T) wire.Attrs {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: rapid.Uint8Range(0, 1).Draw(t, "origin"), NextHop: []byte{10, 0, 0, 1}}
	n := rapid.IntRange(1, 2).Draw(t, "path length")
	a.ASPath = []byte{2, byte(n)}
	for range n {
		a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, rapid.Uint32Range(100, 101).Draw(t, "asn"))
	}
	if rapid.Bool().Draw(t, "med") {
		a.Has |= wire.HasMED
		a.MED = rapid.Uint32Range(0, 3).Draw(t, "med value")
	}
	if rapid.IntRange(0, 4).Draw(t, "pref") == 0 {
		a.Has |= wire.HasLocalPref
		a.LocalPref = rapid.Uint32Range(99, 101).Draw(t, "local pref")
	}
	if rapid.IntRange(0, 6).Draw(t, "originator") == 0 {
		a.Has |= wire.HasOriginatorID
		a.OriginatorID = rapid.Uint32Range(6, 9).Draw(t, "originator id")
	}
	if rapid.IntRange(0, 6).Draw(t, "clusters") == 0 {
		a.ClusterList = make([]byte, 4*rapid.IntRange(1, 2).Draw(t, "clusters"))
	}
	return a
}

func (l *lab) check(t *rapid.T, prefixes []prefix.Prefix) {
	l.twin.Changed()
	for _, p := range prefixes {
		want := l.twin.Best(p)
		id := l.t.Lookup(p)
		var got *Path
		if id != 0 {
			got = l.t.Best(id)
		}
		if (got == nil) != (want == nil) {
			t.Fatalf("%v: best %v, want %v", p, got, want)
		}
		if got == nil {
			continue
		}
		if int(got.Neighbor) != want.From.ID || got.PathID != want.PathID {
			t.Fatalf("%v: best is of neighbor %d path %d, want %d path %d", p, got.Neighbor, got.PathID, want.From.ID, want.PathID)
		}
		n := 0
		l.t.Paths(id, func(p *Path) bool {
			n++
			if why := l.t.Explain(id, p); (why.Step == StepNone) != (p == got) {
				t.Fatalf("explain says %v of path %+v", why, *p)
			}
			return true
		})
		if n != len(l.twin.Paths(p)) {
			t.Fatalf("%v has %d paths, want %d", p, n, len(l.twin.Paths(p)))
		}
	}
}

// TestTableAgainstTwin changes a table at random. Its best paths, found step by
// step, equal those that the twin finds from scratch, whatever the order.
func TestTableAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLab()
		if rapid.Bool().Draw(t, "always compare MED") {
			l.t.Decision.AlwaysCompareMED, l.twin.AlwaysCompareMED = true, true
		}
		var prefixes []prefix.Prefix
		for i := range 3 {
			prefixes = append(prefixes, prefix.New(prefix.IPv4, uint64(10+i)<<56, 0, 8))
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			n := l.twin.Neighbors[rapid.IntRange(0, labNeighbors-1).Draw(t, "neighbor")]
			switch rapid.IntRange(0, 9).Draw(t, "op") {
			case 0: // the session ends, in slices
				l.infos[n.ID].Gone[prefix.IPv4] = true
				for id := ID(1); id != 0; {
					id, _ = l.t.RemoveNeighbor(PassAll, id, 2, packet.ID(n.ID), 0)
				}
				l.infos[n.ID].Gone[prefix.IPv4] = false
				n.Clear()
			case 1, 2:
				p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
				id := rapid.Uint32Range(0, 1).Draw(t, "path id")
				l.t.Apply([]Op{{Prefix: p, PathID: id, Neighbor: packet.ID(n.ID)}}, 0, 0)
				n.Withdraw(p, id)
			default:
				var ops []Op
				for range rapid.IntRange(1, 3).Draw(t, "batch") {
					p := rapid.SampledFrom(prefixes).Draw(t, "prefix")
					id := rapid.Uint32Range(0, 1).Draw(t, "path id")
					a := drawAttrs(t)
					h := l.s.Intern(attr.Key{Neighbor: packet.ID(n.ID)}, a.Append(nil, false), nil)
					ops = append(ops, Op{Prefix: p, PathID: id, Neighbor: packet.ID(n.ID), Pre: h, Post: h})
					n.Announce(p, id, a)
				}
				l.t.Apply(ops, 0, 0)
			}
			l.check(t, prefixes)
		}
		for _, n := range l.twin.Neighbors {
			for id := ID(1); id != 0; {
				id, _ = l.t.RemoveNeighbor(PassAll, id, 100, packet.ID(n.ID), 0)
			}
		}
		for _, ch := range l.t.Journal() {
			l.t.Collect(ch.ID)
		}
		if u := l.s.Usage(); u.Blocks != 0 || l.t.Len() != 0 || l.t.PathCount() != 0 {
			t.Fatalf("left behind: %d blocks, %d prefixes, %d paths", u.Blocks, l.t.Len(), l.t.PathCount())
		}
	})
}

func TestJournalHasCauses(t *testing.T) {
	l := newLab()
	p := prefix.MustParse("10.0.0.0/8")
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 0, 0, 1}}
	h := l.s.Intern(attr.Key{Neighbor: 1}, a.Append(nil, false), nil)
	l.t.Apply([]Op{{Prefix: p, Neighbor: 1, Pre: h, Post: h}}, 0, NewCause(CauseUpdate, 1))
	l.t.RemoveNeighbor(PassAll, 1, 10, 1, NewCause(CauseDown, 1))
	var got []string
	for _, ch := range l.t.Journal() {
		got = append(got, fmt.Sprint(l.t.Prefix(ch.ID), " ", ch.Cause.Kind(), " ", ch.Cause.Subject()))
	}
	if want := "[10.0.0.0/8 update from 1 10.0.0.0/8 session down with 1]"; fmt.Sprint(got) != want {
		t.Fatalf("journal %v, want %v", got, want)
	}
}

func TestStaleRoutesGo(t *testing.T) {
	l := newLab()
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 0, 0, 1}}
	announce := func(s string) {
		h := l.s.Intern(attr.Key{Neighbor: 1}, a.Append(nil, false), nil)
		l.t.Apply([]Op{{Prefix: prefix.MustParse(s), Neighbor: 1, Pre: h, Post: h}}, 0, 0)
	}
	announce("10.0.0.0/8")
	announce("11.0.0.0/8")
	l.infos[1].Round[prefix.IPv4]++
	announce("11.0.0.0/8")
	announce("12.0.0.0/8")
	l.t.RemoveStale(1, 100, 1, l.infos[1].Round[prefix.IPv4], 0)
	if l.t.PathCount() != 2 || l.t.Best(l.t.Lookup(prefix.MustParse("10.0.0.0/8"))) != nil {
		t.Fatalf("%d paths are left", l.t.PathCount())
	}
}

func BenchmarkApply(b *testing.B) {
	for _, neighbors := range []int{1, 5} {
		b.Run(fmt.Sprintf("neighbors=%d", neighbors), func(b *testing.B) {
			l := newLab()
			const n = 200_000
			ops := make([]Op, 256)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += len(ops) {
				id := packet.ID(1 + i/n%neighbors)
				a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasMED, MED: uint32(i / 256 % 4096), NextHop: []byte{10, 0, 0, 1}}
				h := l.s.Intern(attr.Key{Neighbor: id}, a.Append(nil, false), nil)
				for j := range ops {
					k := uint64(i+j) % n * 0x9e3779b1 % n
					ops[j] = Op{Prefix: prefix.New(prefix.IPv4, k<<40, 0, 24), Neighbor: id, Pre: h, Post: h}
				}
				l.s.Retain(h, len(ops)-1)
				l.t.Apply(ops, 0, 0)
				l.t.Journal()
			}
		})
	}
}
