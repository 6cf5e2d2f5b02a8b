package slab

import (
	"testing"

	"pgregory.net/rapid"
)

func TestArena(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a Arena[uint64]
		live := map[uint32]uint64{}
		t.Repeat(map[string]func(*rapid.T){
			"alloc": func(t *rapid.T) {
				h, c := a.Alloc()
				if _, dup := live[h]; h == 0 || dup || *c != 0 {
					t.Fatalf("handle %d, cell %d, in use %v", h, *c, dup)
				}
				*c = rapid.Uint64().Draw(t, "value")
				live[h] = *c
			},
			"free": func(t *rapid.T) {
				for h := range live {
					a.Free(h)
					delete(live, h)
					return
				}
			},
			"": func(t *rapid.T) {
				if a.Live() != len(live) {
					t.Fatalf("%d live, want %d", a.Live(), len(live))
				}
				for h, v := range live {
					if *a.At(h) != v {
						t.Fatalf("cell %d is %d, want %d", h, *a.At(h), v)
					}
				}
			},
		})
	})
}

func TestArrayGrowsWithoutMoving(t *testing.T) {
	var a Array[int]
	a.Grow(0)
	p := a.At(0)
	a.Grow(10 * chunkLen)
	if a.At(0) != p || a.Get(99*chunkLen) != 0 {
		t.Fatal("a cell moved")
	}
}

func TestBits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b Bits
		want := map[uint32]bool{}
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			i := rapid.Uint32Range(0, 400).Draw(t, "i")
			if rapid.Bool().Draw(t, "set") {
				if b.Set(i) == want[i] {
					t.Fatalf("Set(%d) is wrong", i)
				}
				want[i] = true
			} else {
				if b.Clear(i) != want[i] {
					t.Fatalf("Clear(%d) is wrong", i)
				}
				delete(want, i)
			}
		}
		n := 0
		for i, ok := b.Next(0); ok; i, ok = b.Next(i + 1) {
			if !want[i] || !b.Has(i) {
				t.Fatalf("%d is not in the set", i)
			}
			n++
		}
		if n != len(want) || b.Len() != n {
			t.Fatalf("%d members, Len %d, want %d", n, b.Len(), len(want))
		}
	})
}
