package rpki

import (
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestVerify has the cases of draft-ietf-sidrops-aspa-verification section 6 and
// its figures, and those of NIST's examples. A, C and so on have providers; X, Y
// and Z say nothing.
func TestVerify(t *testing.T) {
	const (
		A, C, D, F, G, X, Y, Z = 65000, 65020, 65030, 65050, 65060, 1, 2, 3
		nobody                 = 99
	)
	s := NewASPAs([]ASPA{
		{A, []uint32{C, D}}, {C, []uint32{F}}, {D, []uint32{F}}, {D, []uint32{G}}, {G, []uint32{0}}, {F, []uint32{G}},
	})
	for _, c := range []struct {
		path     []uint32 // the neighbor first
		up, down State
	}{
		{[]uint32{A}, Valid, Valid},
		{[]uint32{X}, Valid, Valid},
		{[]uint32{C, A}, Valid, Valid},
		{[]uint32{X, A}, Invalid, Valid}, // X may be a peer of A, or its customer
		{[]uint32{A, X}, Unknown, Valid},
		{[]uint32{G, F, C, A}, Valid, Valid},
		{[]uint32{X, G, F, C, A}, Invalid, Valid},    // a peer of the top
		{[]uint32{C, F, G, F, C, A}, Invalid, Valid}, // up and down
		{[]uint32{A, C, A}, Invalid, Valid},
		{[]uint32{C, A, D, F}, Invalid, Invalid}, // A leaks from one provider to another
		{[]uint32{G, D, A, C}, Invalid, Invalid},
		{[]uint32{X, A, Y}, Invalid, Unknown}, // both may be customers of A
		{[]uint32{Y, X, A}, Invalid, Unknown}, // perhaps down from X
		{[]uint32{Y, X, Z}, Unknown, Unknown},
		{[]uint32{C, X, A}, Invalid, Invalid}, // C must go down from F
		{[]uint32{nobody, X, F, C, A}, Invalid, Unknown},
		{[]uint32{C, F, X, Y}, Invalid, Unknown}, // F has one provider, and X may be its peer
		{[]uint32{G, X, F, C, A}, Invalid, Invalid},
		{[]uint32{65040, G, Y, C, A}, Invalid, Invalid},
		{[]uint32{65040, G, 65051, X, A}, Invalid, Invalid},
	} {
		if got := s.Verify(Upstream, c.path); got != c.up {
			t.Errorf("upstream, %v is %s, want %s", c.path, got, c.up)
		}
		if got := s.Verify(Downstream, c.path); got != c.down {
			t.Errorf("downstream, %v is %s, want %s", c.path, got, c.down)
		}
		if got := s.Verify(Unverified, c.path); got != Unknown {
			t.Errorf("without a direction, %v is %s", c.path, got)
		}
		if got := (&ASPAs{}).Verify(Upstream, c.path); got != Unknown {
			t.Errorf("without ASPAs, %v is %s", c.path, got)
		}
	}
	// NIST's BRIO, example b7: 65050 says nothing.
	nist := NewASPAs([]ASPA{{A, []uint32{C, D}}, {65010, []uint32{65040}}, {C, []uint32{F}}, {D, []uint32{F, G}}, {G, []uint32{0}}})
	if got := nist.Verify(Downstream, []uint32{65040, G, F, C, A}); got != Unknown {
		t.Errorf("it is %s, want unknown", got)
	}
}

// naiveVerify looks for a way to tell customers from providers in a path that
// nothing contradicts, or that all attest.
func naiveVerify(providers map[uint32]map[uint32]bool, d Direction, path []uint32) State {
	if len(providers) == 0 {
		return Unknown
	}
	slices.Reverse(path) // the origin first
	shape := func(allowed func(customer, provider uint32) bool) bool {
		for top := range path { // the last AS that was reached by going up
			for peers := 0; peers <= 1 && top+peers < len(path); peers++ {
				if d == Upstream && top != len(path)-1 {
					continue
				}
				good := true
				for i := 0; i < top; i++ {
					good = good && allowed(path[i], path[i+1])
				}
				for i := top + peers; i+1 < len(path); i++ {
					good = good && allowed(path[i+1], path[i])
				}
				if good {
					return true
				}
			}
		}
		return false
	}
	switch {
	case shape(func(c, p uint32) bool { return providers[c][p] }):
		return Valid
	case shape(func(c, p uint32) bool { return providers[c] == nil || providers[c][p] }):
		return Unknown
	}
	return Invalid
}

// TestVerifyTwin holds sets of ASPAs and what they say against maps.
func TestVerifyTwin(t *testing.T) {
	seen := map[State]int{}
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		now, s := map[uint32]map[uint32]bool{}, (*ASPAs)(nil)
		for range 1 + r.IntN(3) {
			var changes []ASPA
			want, wrong := maps.Clone(now), false
			for range r.IntN(6) {
				c := ASPA{Customer: uint32(1 + r.IntN(6))}
				if r.IntN(4) > 0 {
					set := map[uint32]bool{}
					for range 1 + r.IntN(3) {
						set[uint32(r.IntN(7))] = true
					}
					c.Providers = slices.Sorted(maps.Keys(set))
					want[c.Customer] = set
				} else {
					wrong = wrong || want[c.Customer] == nil
					delete(want, c.Customer)
				}
				changes = append(changes, c)
			}
			next, err := s.Apply(changes)
			if wrong != errors.Is(err, ErrUnknown) || err != nil && !wrong {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err == nil {
				s, now = next, want
			}
		}
		var all []ASPA
		pairs := 0
		for c, set := range now {
			for p := range set {
				all = append(all, ASPA{c, []uint32{p}})
				pairs++
			}
		}
		if again := NewASPAs(all); !s.Equal(again) || s.Len() != len(now) || s.Pairs() != pairs || len(slices.Collect(s.All())) != len(now) {
			t.Fatalf("seed %d: %v, want %v", seed, slices.Collect(s.All()), now)
		}
		half := len(all) / 2
		if both := UnionASPAs(NewASPAs(all[:half]), nil, NewASPAs(all[half:])); !both.Equal(s) {
			t.Fatalf("seed %d: the union is %v, want %v", seed, slices.Collect(both.All()), now)
		}
		for range 20 {
			path := []uint32{uint32(1 + r.IntN(6))}
			for range r.IntN(6) {
				if next := uint32(1 + r.IntN(6)); next != path[len(path)-1] {
					path = append(path, next)
				}
			}
			d := Upstream + Direction(r.IntN(2))
			got, want := s.Verify(d, path), naiveVerify(now, d, slices.Clone(path))
			if got != want {
				t.Fatalf("seed %d, ASPAs %v: %v in direction %d is %s, want %s", seed, now, path, d, got, want)
			}
			seen[got]++
		}
	}
	for _, st := range []State{Unknown, Valid, Invalid} {
		if seen[st] < 1000 {
			t.Errorf("only %d paths were %s", seen[st], st)
		}
	}
}
