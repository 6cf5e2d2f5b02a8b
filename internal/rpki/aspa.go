package rpki

import (
	"fmt"
	"iter"
	"slices"
)

// ASPA says who may pass on what Customer announces upwards: its providers, in
// ascending order. One that has none at all has AS 0.
type ASPA struct {
	Customer  uint32
	Providers []uint32
}

// ASPAs are validated ASPA payloads, one for each customer. They never change once
// they are made. nil are none.
type ASPAs struct {
	pairs     []uint64 // customer and provider, in ascending order
	customers int
}

// NewASPAs makes one of several ASPAs of a customer, with the providers of all.
func NewASPAs(all []ASPA) *ASPAs {
	var pairs []uint64
	for _, a := range all {
		pairs = appendPairs(pairs, a)
	}
	slices.Sort(pairs)
	return newASPAs(slices.Compact(pairs))
}

func appendPairs(pairs []uint64, a ASPA) []uint64 {
	for _, p := range a.Providers {
		pairs = append(pairs, uint64(a.Customer)<<32|uint64(p))
	}
	return pairs
}

func newASPAs(pairs []uint64) *ASPAs {
	s := &ASPAs{pairs: pairs}
	for i, p := range pairs {
		if i == 0 || p>>32 != pairs[i-1]>>32 {
			s.customers++
		}
	}
	return s
}

// UnionASPAs has the providers that any of the sets has for a customer.
func UnionASPAs(sets ...*ASPAs) *ASPAs {
	out := &ASPAs{}
	for _, s := range sets {
		switch {
		case s.Len() == 0:
		case out.Len() == 0:
			out = s
		default:
			out = newASPAs(joinLists(out.pairs, s.pairs, comparePairs, func(bool, bool) bool { return true }))
		}
	}
	return out
}

func comparePairs(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Apply is s with some changes, in their order: an ASPA takes the place of the
// customer's former one, and without providers takes that away. Its errors are
// ErrUnknown.
func (s *ASPAs) Apply(changes []ASPA) (*ASPAs, error) {
	if len(changes) == 0 && s != nil {
		return s, nil
	}
	now := map[uint32][]uint32{}
	for _, c := range changes {
		before, changed := now[c.Customer]
		if len(c.Providers) == 0 && (changed && len(before) == 0 || !changed && !s.has(c.Customer)) {
			return nil, fmt.Errorf("the providers of AS%d: %w", c.Customer, ErrUnknown)
		}
		now[c.Customer] = c.Providers
	}
	var pairs []uint64
	if s != nil {
		for _, p := range s.pairs {
			if _, changed := now[uint32(p>>32)]; !changed {
				pairs = append(pairs, p)
			}
		}
	}
	for customer, providers := range now {
		pairs = appendPairs(pairs, ASPA{customer, providers})
	}
	slices.Sort(pairs)
	return newASPAs(slices.Compact(pairs)), nil
}

// Len is how many customers have one.
func (s *ASPAs) Len() int {
	if s == nil {
		return 0
	}
	return s.customers
}

// Pairs is how many providers they have together.
func (s *ASPAs) Pairs() int {
	if s == nil {
		return 0
	}
	return len(s.pairs)
}

// Bytes is the memory that they take.
func (s *ASPAs) Bytes() uint64 {
	if s == nil {
		return 0
	}
	return 8 * uint64(cap(s.pairs))
}

// Equal reports whether both say the same.
func (s *ASPAs) Equal(o *ASPAs) bool {
	return s.Len() == o.Len() && (s.Len() == 0 || slices.Equal(s.pairs, o.pairs))
}

// All is the ASPAs in the order of customers.
func (s *ASPAs) All() iter.Seq[ASPA] {
	return func(yield func(ASPA) bool) {
		if s == nil {
			return
		}
		for i := 0; i < len(s.pairs); {
			a := ASPA{Customer: uint32(s.pairs[i] >> 32)}
			for ; i < len(s.pairs) && uint32(s.pairs[i]>>32) == a.Customer; i++ {
				a.Providers = append(a.Providers, uint32(s.pairs[i]))
			}
			if !yield(a) {
				return
			}
		}
	}
}

func (s *ASPAs) has(customer uint32) bool {
	if s == nil {
		return false
	}
	i, _ := slices.BinarySearch(s.pairs, uint64(customer)<<32)
	return i < len(s.pairs) && uint32(s.pairs[i]>>32) == customer
}

// hop is what is known of two neighbors in a path (draft-ietf-sidrops-aspa-
// verification section 5).
type hop uint8

const (
	noAttestation hop = iota
	isProvider
	notProvider
)

func (s *ASPAs) hop(customer, provider uint32) hop {
	if _, ok := slices.BinarySearch(s.pairs, uint64(customer)<<32|uint64(provider)); ok {
		return isProvider
	}
	if s.has(customer) {
		return notProvider
	}
	return noAttestation
}

// Direction is from where a path comes, which says what it may look like.
type Direction uint8

const (
	Unverified Direction = iota // not known
	Upstream                    // from a customer, a peer, or by a route server: it only ever went up
	Downstream                  // from a provider: up, over one pair of peers at the most, and down
)

// Verify is the state of a path, whose first AS is the neighbor, without prepends
// and AS_SETs (draft-ietf-sidrops-aspa-verification section 6). Without any ASPAs
// nothing is known.
func (s *ASPAs) Verify(d Direction, path []uint32) State {
	if d == Unverified || s.Len() == 0 {
		return Unknown
	}
	n := len(path)
	// The ramps are counted in ASes; that of the origin goes up to the neighbor.
	most, least := s.ramp(n, func(i int) (uint32, uint32) { return path[n-i], path[n-i-1] })
	if d == Downstream {
		mostDown, leastDown := s.ramp(n, func(i int) (uint32, uint32) { return path[i-1], path[i] })
		most, least = most+mostDown, least+leastDown
	}
	switch {
	case most < n:
		return Invalid
	case least < n:
		return Unknown
	}
	return Valid
}

// ramp is how far a path may go from customer to provider, and how far it does for
// certain. pair has the i-th AS and the next one, from 1.
func (s *ASPAs) ramp(n int, pair func(i int) (customer, provider uint32)) (most, least int) {
	least = n
	for i := 1; i < n; i++ {
		switch s.hop(pair(i)) {
		case noAttestation:
			least = min(least, i)
		case notProvider:
			return i, min(least, i)
		}
	}
	return n, least
}
