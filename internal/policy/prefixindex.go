package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"

	"holdfast/internal/prefix"
)

// The indexes of a prefix set are hash tables by block. A prefix is looked up
// once for each length that entries have, as far as their ranges of lengths
// include its own: once in a set without ranges. The keys are ours, so the hash
// needs no secret.

// length says of the entries with blocks of one length which lengths of
// prefixes any of them selects.
type length struct{ bits, ge, le uint8 }

// lengths is sorted by bits.
type lengths []length

func (ls lengths) with(e length) lengths {
	i, ok := slices.BinarySearchFunc(ls, e.bits, func(l length, b uint8) int { return cmp.Compare(l.bits, b) })
	if !ok {
		return slices.Insert(ls, i, e)
	}
	ls[i].ge, ls[i].le = min(ls[i].ge, e.ge), max(ls[i].le, e.le)
	return ls
}

// hashBits is the size of a table for n entries: at most two thirds are used.
func hashBits(n int) uint { return uint(bits.Len(uint(n + n/2))) }

const mix = 0x9e3779b97f4a7c15

// index4 has in each slot a whole entry: address, length, ge, le, and a 1 at
// the bottom. Entries of the same block stand in the same run of slots.
type index4 struct {
	slots []uint64
	shift uint
	lens  lengths
}

func slot4(e *entry4) uint64 {
	return uint64(e.addr)<<32 | uint64(e.bits)<<24 | uint64(e.ge)<<16 | uint64(e.le)<<8 | 1
}

func (x *index4) build(entries []entry4) {
	n := hashBits(len(entries))
	x.slots, x.shift = make([]uint64, 1<<n), 64-n
	mask := uint64(len(x.slots) - 1)
insert:
	for i := range entries {
		e := &entries[i]
		slot := slot4(e)
		at := slot >> 24 * mix >> x.shift
		for ; x.slots[at] != 0; at = (at + 1) & mask {
			if x.slots[at] == slot {
				continue insert
			}
		}
		x.slots[at] = slot
		x.lens = x.lens.with(length{e.bits, e.ge, e.le})
	}
}

func (x *index4) contains(addr uint32, n uint8) bool {
	for _, l := range x.lens {
		if l.bits > n {
			return false
		}
		if n < l.ge || n > l.le {
			continue
		}
		key := uint64(addr)&(^uint64(0)<<(32-l.bits))<<8 | uint64(l.bits)
		at := key * mix >> x.shift
		mask := uint64(len(x.slots) - 1)
		for s := x.slots[at]; s != 0; s = x.slots[at] {
			if s>>24 == key && uint8(s>>16) <= n && n <= uint8(s>>8) {
				return true
			}
			at = (at + 1) & mask
		}
	}
	return false
}

// index6 has in each slot the upper half of the hash and the number of the
// entry plus one.
type index6 struct {
	slots []uint64
	shift uint
	lens  lengths
}

func hash6(hi, lo uint64, n uint8) uint64 {
	a, b := bits.Mul64(hi^mix, lo^0xd6e8feb86659fd93^uint64(n)<<56)
	return (a ^ b ^ hi ^ uint64(n)) * mix
}

func (x *index6) build(entries []entry6) {
	n := hashBits(len(entries))
	x.slots, x.shift = make([]uint64, 1<<n), 64-n
	mask := uint64(len(x.slots) - 1)
insert:
	for i := range entries {
		e := &entries[i]
		h := hash6(e.hi, e.lo, e.bits)
		at := h >> x.shift
		for ; x.slots[at] != 0; at = (at + 1) & mask {
			if o := &entries[uint32(x.slots[at])-1]; o.get() == e.get() {
				continue insert
			}
		}
		x.slots[at] = h>>32<<32 | uint64(i+1)
		x.lens = x.lens.with(length{e.bits, e.ge, e.le})
	}
}

func (x *index6) contains(entries []entry6, p prefix.Prefix) bool {
	for _, l := range x.lens {
		if l.bits > p.Bits {
			return false
		}
		if p.Bits < l.ge || p.Bits > l.le {
			continue
		}
		q := p.Truncate(l.bits)
		h := hash6(q.Hi, q.Lo, l.bits)
		at := h >> x.shift
		mask := uint64(len(x.slots) - 1)
		for s := x.slots[at]; s != 0; s = x.slots[at] {
			if s>>32 == h>>32 {
				e := &entries[uint32(s)-1]
				if e.hi == q.Hi && e.lo == q.Lo && e.bits == l.bits && e.ge <= p.Bits && p.Bits <= e.le {
					return true
				}
			}
			at = (at + 1) & mask
		}
	}
	return false
}

// digest names the contents of a set: equal sets have equal digests, whatever
// their names, positions, and the order and repetition of their entries.
type digest [sha256.Size]byte

func (s *PrefixSet) sum() digest {
	keys := make([]uint64, len(s.v4))
	for i := range s.v4 {
		keys[i] = slot4(&s.v4[i])
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	long := make([]PrefixRange, len(s.v6))
	for i := range s.v6 {
		long[i] = s.v6[i].get()
	}
	slices.SortFunc(long, func(a, b PrefixRange) int {
		return cmp.Or(prefix.Compare(a.Prefix, b.Prefix), cmp.Compare(a.Ge, b.Ge), cmp.Compare(a.Le, b.Le))
	})
	long = slices.Compact(long)

	h := sha256.New()
	buf := binary.BigEndian.AppendUint32(make([]byte, 0, 8<<10), uint32(len(keys)))
	flush := func() {
		if len(buf) > 8<<10-32 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	for _, k := range keys {
		buf = binary.BigEndian.AppendUint64(buf, k)
		flush()
	}
	for _, r := range long {
		buf = binary.BigEndian.AppendUint64(buf, r.Prefix.Hi)
		buf = binary.BigEndian.AppendUint64(buf, r.Prefix.Lo)
		buf = append(buf, r.Prefix.Bits, r.Ge, r.Le)
		flush()
	}
	h.Write(buf)
	return digest(h.Sum(nil))
}
