// Package attr keeps validated attribute blocks, each once, behind 32-bit
// handles. A block belongs to the neighbor that sent it: blocks of different
// neighbors hardly ever coincide, and so a handle tells its neighbor.
//
// Handles are counted. What holds one retains it; the last Release frees the
// block and tells the memos that name it.
package attr

import (
	"hash/maphash"
	"unsafe"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// Handle names a block. 0 is none.
type Handle uint32

// Key is what tells equal blocks apart.
type Key struct {
	Neighbor packet.ID
	Family   prefix.Family
	NextHop  policy.NextHopMode // what a policy decided
	OwnMED   bool               // MED is ours: an export policy set it
	Made     bool               // a policy made the block: no bytes that are received may pass for it
	Source   policy.SourceKind  // of a route of the router itself; else 0
	Table    uint8              // that such a route is in; else 0
	Weight   uint32
}

// Record is a block's bookkeeping and what decisions need of it. Immutable but
// for the count.
type Record struct {
	hash, refs uint32
	loc        uint32
	size       uint16 // of the block, without the next hop behind it
	nhLen      uint8

	Origin       uint8
	Key          Key
	LocalPref    uint32 // meaningful with wire.HasLocalPref
	MED          uint32 // 0 where missing
	NeighborAS   uint32 // first AS number of the path, 0 if it has none
	OriginatorID uint32 // 0 where missing
	Hop          uint32 // number of the next hop, by Store.HopOf
	PathLen      uint16
	Has          uint16 // wire.Has bits
	ClusterLen   uint8
	LongLived    bool // has the community LLGR_STALE (RFC 9494): the last resort
}

// Store interns blocks. Not safe for concurrent use: the engine owns it.
type Store struct {
	seed    maphash.Seed
	records slab.Arena[Record]
	bytes   byteArena
	slots   []uint64 // hash<<32 | handle, open addressing, at most 3/4 full
	scratch wire.Attrs
	made    []byte // scratch of InternAttrs

	// OnFree is told every handle that is freed, before it may be reused.
	OnFree func(Handle)
	// HopOf numbers the next hop of a new block and HopGone is told when one that
	// it has numbered is freed; nil where next hops are not tracked.
	HopOf   func(k Key, nextHop []byte) uint32
	HopGone func(uint32)
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{seed: maphash.MakeSeed(), slots: make([]uint64, 1024), OnFree: func(Handle) {}}
}

// At returns the record of a live handle.
func (s *Store) At(h Handle) *Record { return s.records.At(uint32(h)) }

// Block returns the block and the next hop of MP_REACH_NLRI, nil where the
// block itself has the next hop. They alias the store: not to be kept.
func (s *Store) Block(h Handle) (block, nextHop []byte) {
	r := s.At(h)
	b := s.bytes.at(r.loc, int(r.size)+int(r.nhLen))
	return b[:r.size], b[r.size:]
}

// Parse is wire.Parse of the block.
func (s *Store) Parse(h Handle, a *wire.Attrs) {
	block, nextHop := s.Block(h)
	wire.Parse(block, nextHop, a)
}

// Retain adds n references.
func (s *Store) Retain(h Handle, n int) { s.At(h).refs += uint32(n) }

// Release gives a reference up. Releasing 0 does nothing.
func (s *Store) Release(h Handle) {
	if h == 0 {
		return
	}
	r := s.At(h)
	if r.refs--; r.refs == 0 {
		s.drop(h, r)
	}
}

func (s *Store) drop(h Handle, r *Record) {
	s.OnFree(h)
	if r.Hop != 0 {
		s.HopGone(r.Hop)
	}
	s.unslot(h, r.hash)
	s.bytes.release(r.loc, int(r.size)+int(r.nhLen))
	s.records.Free(uint32(h))
}

// Find returns the handle of a known block with one more reference, or 0.
func (s *Store) Find(k Key, block, nextHop []byte) Handle {
	h, _ := s.find(s.hash(k, block, nextHop), k, block, nextHop)
	if h != 0 {
		s.At(h).refs++
	}
	return h
}

// Intern returns the handle of a block with one more reference. The block must
// have come from wire.Validate or (*wire.Attrs).Append.
func (s *Store) Intern(k Key, block, nextHop []byte) Handle {
	hash := s.hash(k, block, nextHop)
	h, slot := s.find(hash, k, block, nextHop)
	if h != 0 {
		s.At(h).refs++
		return h
	}
	if uint64(s.records.Live()+1)*4 > uint64(len(s.slots))*3 {
		s.grow()
		_, slot = s.find(hash, k, block, nextHop)
	}
	id, r := s.records.Alloc()
	r.hash, r.refs, r.Key = hash, 1, k
	r.size, r.nhLen = uint16(len(block)), uint8(len(nextHop))
	loc, b := s.bytes.alloc(len(block) + len(nextHop))
	r.loc = loc
	copy(b[copy(b, block):], nextHop)
	s.describe(r, b[:len(block)], b[len(block):])
	s.slots[slot] = uint64(hash)<<32 | uint64(id)
	return Handle(id)
}

// describe fills in what decisions need.
func (s *Store) describe(r *Record, block, nextHop []byte) {
	a := &s.scratch
	wire.Parse(block, nextHop, a)
	r.Origin, r.Has = a.Origin, a.Has
	r.LocalPref, r.MED, r.OriginatorID = a.LocalPref, a.MED, a.OriginatorID
	r.PathLen = uint16(min(wire.PathLen(a.ASPath), 0xffff))
	r.NeighborAS, _ = wire.FirstAS(a.ASPath)
	r.ClusterLen = uint8(min(len(a.ClusterList)/4, 0xff))
	r.LongLived = wire.HasCommunity(a.Communities, wire.LLGRStale)
	if s.HopOf != nil {
		r.Hop = s.HopOf(r.Key, a.NextHop)
	}
	*a = wire.Attrs{}
}

// HopOfBlock numbers the next hop of a block once more.
func (s *Store) HopOfBlock(h Handle) uint32 {
	var a wire.Attrs
	s.Parse(h, &a)
	return s.HopOf(s.At(h).Key, a.NextHop)
}

func (s *Store) hash(k Key, block, nextHop []byte) uint32 {
	h := maphash.Bytes(s.seed, block)
	if len(nextHop) > 0 {
		h ^= maphash.Bytes(s.seed, nextHop) * 0x9e3779b97f4a7c15
	}
	h += uint64(k.Neighbor)*0x9e3779b97f4a7c15 + uint64(k.Weight)*0xc2b2ae3d27d4eb4f + uint64(k.Family)<<8 + uint64(k.NextHop)<<16 + uint64(k.Source)<<24 + uint64(k.Table)<<32
	if k.OwnMED {
		h++
	}
	if k.Made {
		h += 2
	}
	return uint32(h ^ h>>32)
}

// find looks a block up. Where it is unknown, slot is the place to put it.
func (s *Store) find(hash uint32, k Key, block, nextHop []byte) (h Handle, slot uint32) {
	mask := uint32(len(s.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		v := s.slots[i]
		if v == 0 {
			return 0, i
		}
		if uint32(v>>32) != hash {
			continue
		}
		h := Handle(v)
		r := s.At(h)
		if r.Key != k || int(r.size) != len(block) || int(r.nhLen) != len(nextHop) {
			continue
		}
		if b, nh := s.Block(h); string(b) == string(block) && string(nh) == string(nextHop) {
			return h, i
		}
	}
}

// unslot removes a handle and closes the gap behind it, so that no search ends
// too early.
func (s *Store) unslot(h Handle, hash uint32) {
	mask := uint32(len(s.slots) - 1)
	i := hash & mask
	for Handle(s.slots[i]) != h {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.slots[j] != 0; j = (j + 1) & mask {
		home := uint32(s.slots[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
}

// InternAttrs is Intern for attributes that were changed or made here. It returns 0
// if they are too large for any message.
func (s *Store) InternAttrs(k Key, a *wire.Attrs) Handle {
	mp := k.Family != prefix.IPv4 || len(a.NextHop) != 4
	s.made = a.Append(s.made[:0], mp)
	switch {
	case len(s.made) > wire.MaxBlock:
		return 0
	case !mp:
		return s.Intern(k, s.made, nil)
	}
	return s.Intern(k, s.made, a.NextHop)
}

func (s *Store) grow() {
	old := s.slots
	s.slots = make([]uint64, 2*len(old))
	mask := uint32(len(s.slots) - 1)
	for _, v := range old {
		if v == 0 {
			continue
		}
		i := uint32(v>>32) & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = v
	}
}

// Usage is what the store holds and takes.
type Usage struct {
	Blocks               int
	Records, Bytes, Slot uint64 // memory in bytes
	InUse                uint64 // of Bytes, what live blocks take
}

// Usage measures the store.
func (s *Store) Usage() Usage {
	return Usage{s.records.Live(), s.records.Bytes(unsafe.Sizeof(Record{})), s.bytes.bytes(),
		uint64(len(s.slots)) * 8, uint64(s.bytes.live)}
}

// Refs is the number of references to h, for tests.
func (s *Store) Refs(h Handle) int { return int(s.At(h).refs) }

// Each calls f for every live handle.
func (s *Store) Each(f func(Handle, *Record)) {
	for _, v := range s.slots {
		if v != 0 {
			f(Handle(v), s.At(Handle(v)))
		}
	}
}
