package attr

// byteArena keeps byte blocks in pages without pointers. A block's place is
// its page and its offset in units of eight bytes. Freed places are reused by
// blocks of the same class; classes are fine enough that little is stranded.
// The place of a large block is its index: there may be more of them than pages
// can be numbered beside offsets.
type byteArena struct {
	pages [][]byte
	used  int // bytes of the last page
	free  [classes][]uint32
	large [][]byte
	spare []uint32 // indexes of large that are free
	live  int      // bytes in use, rounded to classes
}

const (
	pageSize = 64 << 10
	unit     = 8
	offBits  = 13 // pageSize / unit

	smallMax = 1 << 10 // in steps of unit up to here,
	largeMax = 8 << 10 // of 64 bytes up to here, and each for itself above
	classes  = smallMax/unit + (largeMax-smallMax)/64 + 1
)

// class is the free list for blocks of n bytes, and the size they are given.
func class(n int) (c, size int) {
	if n <= smallMax {
		c = (n + unit - 1) / unit
		return c, c * unit
	}
	c = (n - smallMax + 63) / 64
	return smallMax/unit + c, smallMax + c*64
}

func (a *byteArena) alloc(n int) (loc uint32, b []byte) {
	if n > largeMax {
		a.live += n
		b = make([]byte, n)
		if k := len(a.spare); k > 0 {
			loc = a.spare[k-1]
			a.spare = a.spare[:k-1]
			a.large[loc] = b
			return loc, b
		}
		a.large = append(a.large, b)
		return uint32(len(a.large) - 1), b
	}
	c, size := class(n)
	a.live += size
	if f := a.free[c]; len(f) > 0 {
		loc = f[len(f)-1]
		a.free[c] = f[:len(f)-1]
		return loc, a.at(loc, n)
	}
	if a.pages == nil || a.used+size > pageSize {
		a.pages = append(a.pages, make([]byte, pageSize))
		a.used = 0
	}
	loc = uint32(len(a.pages)-1)<<offBits | uint32(a.used/unit)
	a.used += size
	return loc, a.at(loc, n)
}

func (a *byteArena) at(loc uint32, n int) []byte {
	if n > largeMax {
		return a.large[loc]
	}
	off := int(loc&(1<<offBits-1)) * unit
	return a.pages[loc>>offBits][off : off+n : off+n]
}

func (a *byteArena) release(loc uint32, n int) {
	if n > largeMax {
		a.live -= n
		a.large[loc] = nil
		a.spare = append(a.spare, loc)
		return
	}
	c, size := class(n)
	a.live -= size
	a.free[c] = append(a.free[c], loc)
}

func (a *byteArena) bytes() (n uint64) {
	n = uint64(len(a.pages)) * pageSize
	for _, b := range a.large {
		n += uint64(len(b))
	}
	for i := range a.free {
		n += uint64(cap(a.free[i])) * 4
	}
	return n
}
