package rpki

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"unsafe"

	"holdfast/internal/prefix"
)

// Set is VRPs, each once, in order. nil is an empty one.
type Set struct {
	v4 []vrp4
	v6 []vrp6
}

// Builder collects VRPs. The zero value is empty.
type Builder struct{ set Set }

// Add puts a VRP in, which Check finds nothing wrong with. One that is there
// already does no harm.
func (b *Builder) Add(v VRP) {
	if v.Prefix.Family == prefix.IPv4 {
		b.set.v4 = append(b.set.v4, pack4(v))
	} else {
		b.set.v6 = append(b.set.v6, pack6(v))
	}
}

// Len is how many were put in.
func (b *Builder) Len() int { return b.set.Len() }

// Set is what was put in. The builder is empty then.
func (b *Builder) Set() *Set {
	s := b.set
	b.set = Set{}
	slices.SortFunc(s.v4, compare4)
	slices.SortFunc(s.v6, compare6)
	s.v4, s.v6 = slices.Compact(s.v4), slices.Compact(s.v6)
	return &s
}

// Len is how many VRPs are in s.
func (s *Set) Len() int {
	if s == nil {
		return 0
	}
	return len(s.v4) + len(s.v6)
}

// Count is how many of a family are in s.
func (s *Set) Count(f prefix.Family) int {
	switch {
	case s == nil:
		return 0
	case f == prefix.IPv4:
		return len(s.v4)
	}
	return len(s.v6)
}

// Bytes is the memory that the set takes.
func (s *Set) Bytes() uint64 {
	if s == nil {
		return 0
	}
	return uint64(cap(s.v4))*uint64(unsafe.Sizeof(vrp4{})) + uint64(cap(s.v6))*uint64(unsafe.Sizeof(vrp6{}))
}

// All is the VRPs in order.
func (s *Set) All() iter.Seq[VRP] {
	return func(yield func(VRP) bool) {
		if s == nil {
			return
		}
		for _, v := range s.v4 {
			if !yield(v.get()) {
				return
			}
		}
		for _, v := range s.v6 {
			if !yield(v.get()) {
				return
			}
		}
	}
}

// Contains reports whether v is in s.
func (s *Set) Contains(v VRP) (ok bool) {
	if s == nil {
		return false
	}
	if v.Prefix.Family == prefix.IPv4 {
		_, ok = slices.BinarySearchFunc(s.v4, pack4(v), compare4)
	} else {
		_, ok = slices.BinarySearchFunc(s.v6, pack6(v), compare6)
	}
	return ok
}

// What a cache may get wrong (RFC 8210 section 12).
var (
	ErrTwice   = errors.New("announced twice")
	ErrUnknown = errors.New("withdrawn without having been announced")
)

// Change is a VRP that comes, or that goes.
type Change struct {
	VRP
	Withdraw bool
}

// Apply is s with some changes, in their order. Its errors are ErrTwice and
// ErrUnknown.
func (s *Set) Apply(changes []Change) (*Set, error) {
	changes = slices.Clone(changes)
	slices.SortStableFunc(changes, func(a, b Change) int { return compare(a.VRP, b.VRP) })
	var come, gone Builder
	for from := 0; from < len(changes); {
		v := changes[from].VRP
		was := s.Contains(v)
		is := was
		for ; from < len(changes) && changes[from].VRP == v; from++ {
			if is != changes[from].Withdraw {
				return nil, fmt.Errorf("%s: %w", v, map[bool]error{false: ErrTwice, true: ErrUnknown}[changes[from].Withdraw])
			}
			is = !is
		}
		switch {
		case is && !was:
			come.Add(v)
		case was && !is:
			gone.Add(v)
		}
	}
	return Union(minus(s, gone.Set()), come.Set()), nil
}

func compare(a, b VRP) int {
	switch {
	case a.Prefix.Family != b.Prefix.Family:
		return int(a.Prefix.Family) - int(b.Prefix.Family)
	case a.Prefix.Family == prefix.IPv4:
		return compare4(pack4(a), pack4(b))
	}
	return compare6(pack6(a), pack6(b))
}

// Union has what any of the sets has.
func Union(sets ...*Set) *Set {
	out := &Set{}
	for _, s := range sets {
		switch {
		case s.Len() == 0:
		case out.Len() == 0:
			out = s
		default:
			out = join(out, s, func(bool, bool) bool { return true })
		}
	}
	return out
}

// Difference has what only one of two sets has.
func Difference(a, b *Set) *Set {
	if a == b {
		return &Set{}
	}
	return join(a, b, func(inA, inB bool) bool { return inA != inB })
}

func minus(a, b *Set) *Set {
	if b.Len() == 0 {
		return a
	}
	return join(a, b, func(_, inB bool) bool { return !inB })
}

// join walks over two sets at once and takes what want says.
func join(a, b *Set, want func(inA, inB bool) bool) *Set {
	none := &Set{}
	if a == nil {
		a = none
	}
	if b == nil {
		b = none
	}
	return &Set{joinLists(a.v4, b.v4, compare4, want), joinLists(a.v6, b.v6, compare6, want)}
}

func joinLists[T any](a, b []T, compare func(T, T) int, want func(inA, inB bool) bool) (out []T) {
	if want(true, false) && want(false, true) && want(true, true) {
		out = make([]T, 0, max(len(a), len(b)))
	}
	for len(a) > 0 || len(b) > 0 {
		c := 0
		switch {
		case len(a) == 0:
			c = 1
		case len(b) == 0:
			c = -1
		default:
			c = compare(a[0], b[0])
		}
		var v T
		if c <= 0 {
			v, a = a[0], a[1:]
		}
		if c >= 0 {
			v, b = b[0], b[1:]
		}
		if want(c <= 0, c >= 0) {
			out = append(out, v)
		}
	}
	return out
}
