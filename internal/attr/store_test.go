package attr

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/packet"
	"holdfast/internal/wire"
)

// block is a valid block; n makes it one of its own.
func block(n uint32, path int) []byte {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasMED, MED: n, NextHop: []byte{192, 0, 2, 1}}
	a.ASPath = []byte{2, byte(path)}
	for i := range path {
		a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, 65001+uint32(i))
	}
	return a.Append(nil, false)
}

func TestRecord(t *testing.T) {
	s := NewStore()
	h := s.Intern(Key{Neighbor: 3}, block(7, 4), nil)
	r := s.At(h)
	if r.MED != 7 || r.PathLen != 4 || r.NeighborAS != 65001 || r.Key.Neighbor != 3 {
		t.Fatalf("record %+v", *r)
	}
	var a wire.Attrs
	s.Parse(h, &a)
	if a.MED != 7 || len(a.NextHop) != 4 {
		t.Fatalf("parsed %+v", a)
	}
}

func TestKeyTellsBlocksApart(t *testing.T) {
	s := NewStore()
	b := block(1, 1)
	seen := map[Handle]string{}
	for _, k := range []Key{{}, {Neighbor: 1}, {Family: 1}, {Weight: 1}, {NextHop: 1}, {OwnMED: true}, {Made: true}} {
		for _, nh := range [][]byte{nil, make([]byte, 16)} {
			h := s.Intern(k, b, nh)
			if was := seen[h]; was != "" {
				t.Errorf("%+v with next hop %v is the same block as %s", k, nh, was)
			}
			seen[h] = fmt.Sprint(k, nh)
			if again := s.Intern(k, slices.Clone(b), slices.Clone(nh)); again != h {
				t.Errorf("the same block has handles %d and %d", h, again)
			}
		}
	}
}

// TestStore interns, retains and releases at random and compares with a map.
func TestStore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := NewStore()
		type entry struct {
			block []byte
			refs  int
		}
		live := map[Handle]*entry{}
		freed := map[Handle]bool{}
		s.OnFree = func(h Handle) { freed[h] = true }
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			if rapid.IntRange(0, 2).Draw(t, "op") > 0 {
				n := rapid.Uint32Range(0, 40).Draw(t, "n")
				b := block(n, int(n)*int(n)%250+1)
				h := s.Intern(Key{Neighbor: packet.ID(n % 3)}, b, nil)
				e := live[h]
				if e == nil {
					e = &entry{block: b}
					live[h] = e
				}
				e.refs++
			} else {
				for h, e := range live {
					clear(freed)
					s.Release(h)
					e.refs--
					if (e.refs == 0) != freed[h] {
						t.Fatalf("handle %d with %d references: freed %v", h, e.refs, freed[h])
					}
					if e.refs == 0 {
						delete(live, h)
					}
					break
				}
			}
			for h, e := range live {
				if b, _ := s.Block(h); !slices.Equal(b, e.block) || s.Refs(h) != e.refs {
					t.Fatalf("handle %d: %d references, want %d; block % x, want % x", h, s.Refs(h), e.refs, b, e.block)
				}
			}
		}
		if s.Usage().Blocks != len(live) {
			t.Fatalf("%d blocks, want %d", s.Usage().Blocks, len(live))
		}
	})
}

func TestLargeBlocks(t *testing.T) {
	s := NewStore()
	sizes := []int{1, 255, 1000, 1024, 1025, 8192, 8193, 60000}
	var hs []Handle
	fill := func(n int) []byte {
		v := make([]byte, n)
		for i := range v {
			v[i] = byte(i * n)
		}
		return append([]byte{0xd0, 200, byte(n >> 8), byte(n)}, v...)
	}
	for range 3 {
		hs = hs[:0]
		for _, n := range sizes {
			hs = append(hs, s.Intern(Key{}, fill(n), nil))
		}
		for i, n := range sizes {
			if b, _ := s.Block(hs[i]); !slices.Equal(b, fill(n)) {
				t.Fatalf("block of %d bytes came back different", n)
			}
		}
		for _, h := range hs {
			s.Release(h)
		}
	}
	if u := s.Usage(); u.Blocks != 0 || u.InUse != 0 {
		t.Fatalf("left behind: %+v", u)
	}
}

// TestManyLargeBlocks: 2^19 pages can be numbered, and more large blocks.
func TestManyLargeBlocks(t *testing.T) {
	var a byteArena
	first, b := a.alloc(largeMax + 1)
	b[0] = 1
	a.large = append(a.large, make([][]byte, 1<<(32-offBits))...)
	last, b := a.alloc(largeMax + 1)
	b[0] = 2
	if a.at(first, largeMax+1)[0] != 1 || a.at(last, largeMax+1)[0] != 2 {
		t.Errorf("blocks %d and %d have become one", first, last)
	}
}

func TestMemo(t *testing.T) {
	s := NewStore()
	m := NewMemo(s)
	s.OnFree = m.Forget
	from := s.Intern(Key{}, block(1, 1), nil)
	to := s.Intern(Key{}, block(2, 1), nil)
	m.Put(from, 0, Result{To: to, Trace: 5})
	m.Put(from, 9, Result{Reason: 3, Trace: 1<<23 - 1})
	m.Put(from, 4, Result{To: from})
	s.Release(to) // the memo holds it
	for v, want := range map[uint32]Result{0: {To: to, Trace: 5}, 9: {Reason: 3, Trace: 1<<23 - 1}, 4: {To: from}} {
		if r, ok := m.Get(from, v); !ok || r != want {
			t.Errorf("variant %d: %+v, %v, want %+v", v, r, ok, want)
		}
	}
	if _, ok := m.Get(from, 5); ok {
		t.Error("variant 5 was never put")
	}
	if _, ok := m.Get(to, 0); ok {
		t.Error("nothing is known of the other block")
	}
	s.Release(from)
	if n := s.Usage().Blocks; n != 0 {
		t.Errorf("%d blocks are left", n)
	}
	if again := s.Intern(Key{}, block(3, 1), nil); again == from {
		if _, ok := m.Get(again, 0); ok {
			t.Error("a new block inherits the memo of an old one")
		}
	}
}

func BenchmarkIntern(b *testing.B) {
	blocks := make([][]byte, 100_000)
	for i := range blocks {
		blocks[i] = block(uint32(i), 4)
	}
	b.Run("miss", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; i < b.N; {
			s := NewStore()
			for j := 0; j < len(blocks) && i < b.N; j++ {
				s.Intern(Key{}, blocks[j], nil)
				i++
			}
		}
	})
	b.Run("hit", func(b *testing.B) {
		b.ReportAllocs()
		s := NewStore()
		for _, x := range blocks {
			s.Intern(Key{}, x, nil)
		}
		b.ResetTimer()
		for i := range b.N {
			s.Find(Key{}, blocks[i%len(blocks)], nil)
		}
	})
}
