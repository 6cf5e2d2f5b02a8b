// Package slab has chunked arrays of pointer-free cells, addressed by 32-bit
// handles. The garbage collector sees only the chunk headers; growing never
// copies a cell. Nothing here is safe for concurrent use.
package slab

import "math/bits"

const (
	chunkBits = 12
	chunkLen  = 1 << chunkBits
)

// Array is a growing array that is dense by index. The zero value is empty.
type Array[T any] struct {
	chunks []*[chunkLen]T
}

// At returns cell i, which must lie below Len.
func (a *Array[T]) At(i uint32) *T { return &a.chunks[i>>chunkBits][i&(chunkLen-1)] }

// Len is how many cells there are, all of them zero until written.
func (a *Array[T]) Len() uint32 { return uint32(len(a.chunks)) << chunkBits }

// Grow makes sure that cell i exists.
func (a *Array[T]) Grow(i uint32) {
	for a.Len() <= i {
		a.chunks = append(a.chunks, new([chunkLen]T))
	}
}

// Get is the value of cell i, zero for a cell that does not exist.
func (a *Array[T]) Get(i uint32) (v T) {
	if i < a.Len() {
		v = *a.At(i)
	}
	return v
}

// Bytes is the memory that the cells take, given the size of one.
func (a *Array[T]) Bytes(cell uintptr) uint64 { return uint64(a.Len()) * uint64(cell) }

// Arena hands out cells and takes them back. Handle 0 is never handed out, so
// that it can mean none.
type Arena[T any] struct {
	cells Array[T]
	next  uint32
	free  []uint32
}

// At returns the cell of handle h.
func (a *Arena[T]) At(h uint32) *T { return a.cells.At(h) }

// Alloc returns a zeroed cell.
func (a *Arena[T]) Alloc() (h uint32, cell *T) {
	if n := len(a.free); n > 0 {
		h = a.free[n-1]
		a.free = a.free[:n-1]
		cell = a.cells.At(h)
		var zero T
		*cell = zero
		return h, cell
	}
	a.next++
	a.cells.Grow(a.next)
	return a.next, a.cells.At(a.next)
}

// Free takes a cell back.
func (a *Arena[T]) Free(h uint32) { a.free = append(a.free, h) }

// Live is how many cells are handed out.
func (a *Arena[T]) Live() int { return int(a.next) - len(a.free) }

// Top is the largest handle ever handed out.
func (a *Arena[T]) Top() uint32 { return a.next }

// Bytes is the memory that the arena takes, given the size of a cell.
func (a *Arena[T]) Bytes(cell uintptr) uint64 {
	return a.cells.Bytes(cell) + uint64(cap(a.free))*4
}

// Bits is a growing set of small integers. The zero value is empty.
type Bits struct {
	words []uint64
	n     int
}

// Has reports whether i is in the set.
func (b *Bits) Has(i uint32) bool {
	w := int(i >> 6)
	return w < len(b.words) && b.words[w]&(1<<(i&63)) != 0
}

// Set adds i and reports whether it is new.
func (b *Bits) Set(i uint32) bool {
	w := int(i >> 6)
	for w >= len(b.words) {
		b.words = append(b.words, 0)
	}
	if m := uint64(1) << (i & 63); b.words[w]&m == 0 {
		b.words[w] |= m
		b.n++
		return true
	}
	return false
}

// Clear removes i and reports whether it was there.
func (b *Bits) Clear(i uint32) bool {
	w := int(i >> 6)
	if m := uint64(1) << (i & 63); w < len(b.words) && b.words[w]&m != 0 {
		b.words[w] &^= m
		b.n--
		return true
	}
	return false
}

// Len is how many integers are in the set.
func (b *Bits) Len() int { return b.n }

// Reset empties the set and gives its memory back.
func (b *Bits) Reset() { b.words, b.n = nil, 0 }

// Next is the smallest member from i on.
func (b *Bits) Next(i uint32) (uint32, bool) {
	w := int(i >> 6)
	if w >= len(b.words) {
		return 0, false
	}
	x := b.words[w] >> (i & 63)
	if x != 0 {
		return i + uint32(bits.TrailingZeros64(x)), true
	}
	for w++; w < len(b.words); w++ {
		if b.words[w] != 0 {
			return uint32(w<<6 + bits.TrailingZeros64(b.words[w])), true
		}
	}
	return 0, false
}

// Bytes is the memory that the set takes.
func (b *Bits) Bytes() uint64 { return uint64(cap(b.words)) * 8 }
