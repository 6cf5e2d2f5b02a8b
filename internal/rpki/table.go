package rpki

import (
	"iter"

	"holdfast/internal/prefix"
)

// Table finds the VRPs of a set that cover a prefix. nil is one of an empty set.
//
// A set is in the order of addresses, and a block stands before its parts. So
// the last VRP that stands not behind a prefix covers it, or one around it does:
// each names the nearest one that stands before it and covers it.
type Table struct {
	set *Set
	v4  index
	v6  index
}

// index is what a table knows about one family.
type index struct {
	up    []uint32 // of each VRP the one around it, + 1; 0: there is none
	begin []uint32 // the first VRP from each bucket on; nil for a short set
}

const (
	buckets   = 1 << 16
	bucketsAt = 1 << 11 // shorter sets have none
)

// bucket4 and bucket6 are in the order of addresses. Those of IPv6 that are in
// use begin with 2.
func bucket4(v vrp4) uint32 { return v.addr >> 16 }

func bucket6(v vrp6) uint32 {
	const low, high = 0x2000 << 48, 0x3000 << 48
	return uint32((min(max(v.hi, low), high-1) - low) >> 44)
}

// NewTable makes the table of a set.
func NewTable(s *Set) *Table {
	if s == nil {
		s = &Set{}
	}
	return &Table{s, newIndex(s.v4, vrp4.covers, bucket4), newIndex(s.v6, vrp6.covers, bucket6)}
}

func newIndex[T any](all []T, covers func(T, T) bool, bucket func(T) uint32) (x index) {
	x.up = make([]uint32, len(all))
	for i := 1; i < len(all); i++ {
		around := uint32(i)
		for around != 0 && !covers(all[around-1], all[i]) {
			around = x.up[around-1]
		}
		x.up[i] = around
	}
	if len(all) >= bucketsAt {
		x.begin = make([]uint32, buckets+1)
		at := uint32(0)
		for i, v := range all {
			for ; at <= bucket(v); at++ {
				x.begin[at] = uint32(i)
			}
		}
		for ; at <= buckets; at++ {
			x.begin[at] = uint32(len(all))
		}
	}
	return x
}

// span is where the VRP is to be found behind which a prefix would stand.
func (x *index) span(n int, bucket uint32) (from, to uint32) {
	if x.begin == nil {
		return 0, uint32(n)
	}
	return x.begin[bucket], x.begin[bucket+1]
}

// around4 and around6 are the nearest VRP that covers a block, + 1; 0 if there is
// none. One generic function for both families makes State a fifth slower.
func (t *Table) around4(p vrp4) uint32 {
	all := t.set.v4
	i, to := t.v4.span(len(all), bucket4(p))
	for i < to {
		if mid := (i + to) / 2; all[mid].place(p) > 0 {
			to = mid
		} else {
			i = mid + 1
		}
	}
	for i != 0 && !all[i-1].covers(p) {
		i = t.v4.up[i-1]
	}
	return i
}

func (t *Table) around6(p vrp6) uint32 {
	all := t.set.v6
	i, to := t.v6.span(len(all), bucket6(p))
	for i < to {
		if mid := (i + to) / 2; all[mid].place(p) > 0 {
			to = mid
		} else {
			i = mid + 1
		}
	}
	for i != 0 && !all[i-1].covers(p) {
		i = t.v6.up[i-1]
	}
	return i
}

// State is that of a route with this prefix and origin. Origin 0 is none, as of
// a path that ends with an AS_SET, or AS 0, which is nobody: such routes are
// never valid (RFC 6811 section 2, RFC 7607).
func (t *Table) State(p prefix.Prefix, origin uint32) State {
	if t == nil {
		return Unknown
	}
	state := Unknown
	if p.Family == prefix.IPv4 {
		for i := t.around4(pack4(VRP{Prefix: p})); i != 0; i = t.v4.up[i-1] {
			if v := &t.set.v4[i-1]; matches(v.asn, v.max, p.Bits, origin) {
				return Valid
			}
			state = Invalid
		}
		return state
	}
	for i := t.around6(pack6(VRP{Prefix: p})); i != 0; i = t.v6.up[i-1] {
		if v := &t.set.v6[i-1]; matches(v.asn, v.max, p.Bits, origin) {
			return Valid
		}
		state = Invalid
	}
	return state
}

// Covers reports whether a VRP covers p.
func (t *Table) Covers(p prefix.Prefix) bool { return t.State(p, 0) != Unknown }

// Covering is the VRPs that cover p, the most specific first.
func (t *Table) Covering(p prefix.Prefix) iter.Seq[VRP] {
	return func(yield func(VRP) bool) {
		switch {
		case t == nil:
		case p.Family == prefix.IPv4:
			for i := t.around4(pack4(VRP{Prefix: p})); i != 0; i = t.v4.up[i-1] {
				if !yield(t.set.v4[i-1].get()) {
					return
				}
			}
		default:
			for i := t.around6(pack6(VRP{Prefix: p})); i != 0; i = t.v6.up[i-1] {
				if !yield(t.set.v6[i-1].get()) {
					return
				}
			}
		}
	}
}

// Set is the table's.
func (t *Table) Set() *Set {
	if t == nil {
		return nil
	}
	return t.set
}

// Bytes is the memory that the table and its set take.
func (t *Table) Bytes() uint64 {
	if t == nil {
		return 0
	}
	return t.set.Bytes() + 4*uint64(cap(t.v4.up)+cap(t.v4.begin)+cap(t.v6.up)+cap(t.v6.begin))
}
