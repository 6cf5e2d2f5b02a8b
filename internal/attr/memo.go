package attr

import (
	"unsafe"

	"holdfast/internal/slab"
)

// Result is what a policy made of a block.
type Result struct {
	To     Handle // the block that came out, 0 if the route is rejected
	Reason uint8  // why it was rejected, in the terms of the memo's user
	Trace  uint32 // policy.Result's, below 1<<23
}

// Memo remembers the results of one policy by block and variant, for as long
// as the block lives. A result holds a reference to what came out, unless that
// is the block itself. The zero value is empty and belongs to no store: use
// NewMemo.
type Memo struct {
	store *Store
	first slab.Array[cell]
	more  slab.Arena[variantCell]
}

type cell struct {
	to   Handle
	info uint32 // known<<31 | reason<<23 | trace
	next uint32 // further variants
}

type variantCell struct {
	cell
	variant uint32
}

const known = 1 << 31

func (c *cell) result() Result {
	return Result{c.to, uint8(c.info >> 23), c.info & (1<<23 - 1)}
}

func (c *cell) set(r Result) {
	c.to = r.To
	c.info = known | uint32(r.Reason)<<23 | r.Trace&(1<<23-1)
}

// NewMemo returns an empty memo.
func NewMemo(s *Store) *Memo { return &Memo{store: s} }

// Get returns what is known of h and the variant. Variant 0 costs one look.
func (m *Memo) Get(h Handle, variant uint32) (Result, bool) {
	if uint32(h) >= m.first.Len() {
		return Result{}, false
	}
	c := m.first.At(uint32(h))
	if variant == 0 {
		return c.result(), c.info != 0
	}
	for i := c.next; i != 0; {
		v := m.more.At(i)
		if v.variant == variant {
			return v.result(), true
		}
		i = v.next
	}
	return Result{}, false
}

// Put remembers a result, which must not be known yet.
func (m *Memo) Put(h Handle, variant uint32, r Result) {
	if r.To != 0 && r.To != h {
		m.store.Retain(r.To, 1)
	}
	m.first.Grow(uint32(h))
	c := m.first.At(uint32(h))
	if variant == 0 {
		c.set(r)
		return
	}
	i, v := m.more.Alloc()
	v.variant, v.next = variant, c.next
	v.set(r)
	c.next = i
}

// Forget drops what is known of h. The store's OnFree must lead here.
func (m *Memo) Forget(h Handle) {
	if uint32(h) >= m.first.Len() {
		return
	}
	c := m.first.At(uint32(h))
	old := *c
	*c = cell{}
	m.drop(h, &old)
	for i := old.next; i != 0; {
		v := *m.more.At(i)
		m.more.Free(i)
		m.drop(h, &v.cell)
		i = v.next
	}
}

func (m *Memo) drop(h Handle, c *cell) {
	if c.to != 0 && c.to != h {
		m.store.Release(c.to)
	}
}

// Reset forgets everything.
func (m *Memo) Reset() {
	for h := range m.first.Len() {
		if c := m.first.At(h); c.info != 0 || c.next != 0 {
			m.Forget(Handle(h))
		}
	}
}

// Bytes is the memory that the memo takes.
func (m *Memo) Bytes() uint64 {
	return m.first.Bytes(unsafe.Sizeof(cell{})) + m.more.Bytes(unsafe.Sizeof(variantCell{}))
}
