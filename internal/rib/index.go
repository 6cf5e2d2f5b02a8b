package rib

import (
	"math/bits"
	"math/rand/v2"

	"holdfast/internal/prefix"
	"holdfast/internal/slab"
)

// ID names a prefix of one table for as long as anything refers to it. IDs are
// dense, so that other tables can be arrays by ID. 0 is none.
type ID uint32

// MaxPrefixes is how many prefixes a table holds: slots keep 26 bits of the ID.
const MaxPrefixes = 1<<idBits - 1

const (
	idBits = 26
	idMask = 1<<idBits - 1
)

// index finds the ID of a prefix: open addressing over slots of tag<<26 | ID,
// at most 3/4 full. The random seed keeps neighbors from making collisions.
type index struct {
	v6    bool
	hi    slab.Array[uint64] // IPv4: address<<8 | length; IPv6: upper half
	lo    slab.Array[uint64] // IPv6 only
	len6  slab.Array[uint8]  // IPv6 only
	slots []uint32
	n     int
	seed  [2]uint64
}

func newIndex(f prefix.Family) index {
	return index{v6: f == prefix.IPv6, slots: make([]uint32, 1024), seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}}
}

func pack4(p prefix.Prefix) uint64 { return p.Hi>>24 | uint64(p.Bits) }

func (x *index) hash(p prefix.Prefix) uint64 {
	if !x.v6 {
		hi, lo := bits.Mul64(pack4(p)^x.seed[0], x.seed[1])
		return hi ^ lo
	}
	hi, lo := bits.Mul64(p.Hi^x.seed[0], x.seed[1])
	hi, lo = bits.Mul64(hi^lo^p.Lo, x.seed[1]^uint64(p.Bits)<<32)
	return hi ^ lo
}

func tag(hash uint64) uint32 { return uint32(hash>>(64-(32-idBits))) << idBits }

func (x *index) equal(id ID, p prefix.Prefix) bool {
	if !x.v6 {
		return *x.hi.At(uint32(id)) == pack4(p)
	}
	return *x.hi.At(uint32(id)) == p.Hi && *x.lo.At(uint32(id)) == p.Lo && *x.len6.At(uint32(id)) == p.Bits
}

func (x *index) prefix(id ID) prefix.Prefix {
	hi := *x.hi.At(uint32(id))
	if !x.v6 {
		return prefix.Prefix{Hi: hi >> 8 << 32, Bits: uint8(hi), Family: prefix.IPv4}
	}
	return prefix.Prefix{Hi: hi, Lo: *x.lo.At(uint32(id)), Bits: *x.len6.At(uint32(id)), Family: prefix.IPv6}
}

func (x *index) find(hash uint64, p prefix.Prefix) ID {
	mask := uint32(len(x.slots) - 1)
	t := tag(hash)
	for i := uint32(hash) & mask; ; i = (i + 1) & mask {
		s := x.slots[i]
		if s == 0 {
			return 0
		}
		if s&^idMask == t {
			if id := ID(s & idMask); x.equal(id, p) {
				return id
			}
		}
	}
}

// insert adds a prefix that is not there, under an ID of the caller's.
func (x *index) insert(hash uint64, p prefix.Prefix, id ID) {
	if (x.n+1)*4 > len(x.slots)*3 {
		x.grow()
	}
	x.n++
	x.hi.Grow(uint32(id))
	if x.v6 {
		x.lo.Grow(uint32(id))
		x.len6.Grow(uint32(id))
		*x.hi.At(uint32(id)), *x.lo.At(uint32(id)), *x.len6.At(uint32(id)) = p.Hi, p.Lo, p.Bits
	} else {
		*x.hi.At(uint32(id)) = pack4(p)
	}
	x.place(hash, id)
}

func (x *index) place(hash uint64, id ID) {
	mask := uint32(len(x.slots) - 1)
	i := uint32(hash) & mask
	for x.slots[i] != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = tag(hash) | uint32(id)
}

// remove takes a prefix out and closes the gap behind it.
func (x *index) remove(id ID) {
	mask := uint32(len(x.slots) - 1)
	i := uint32(x.hash(x.prefix(id))) & mask
	for ID(x.slots[i]&idMask) != id {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; x.slots[j] != 0; j = (j + 1) & mask {
		home := uint32(x.hash(x.prefix(ID(x.slots[j]&idMask)))) & mask
		if (j-home)&mask >= (j-i)&mask {
			x.slots[i] = x.slots[j]
			i = j
		}
	}
	x.slots[i] = 0
	x.n--
}

func (x *index) grow() {
	old := x.slots
	x.slots = make([]uint32, 2*len(old))
	for _, s := range old {
		if s != 0 {
			id := ID(s & idMask)
			x.place(x.hash(x.prefix(id)), id)
		}
	}
}

func (x *index) bytes() uint64 {
	return x.hi.Bytes(8) + x.lo.Bytes(8) + x.len6.Bytes(1) + uint64(len(x.slots))*4
}
