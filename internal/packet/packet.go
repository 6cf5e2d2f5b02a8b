// Package packet has the encoded messages that an update group shares: made
// once by the engine, written by many sessions, returned to a pool by the last.
//
// Members of a group differ in two things only, and Render applies both: the
// next hop of routes announced as their own, and the routes that a member gave
// us itself, which it is not sent back (split horizon).
package packet

import (
	"sync"
	"sync/atomic"
)

// ID numbers neighbors, dense from 1. 0 is the router itself, or nobody.
type ID uint16

// Size is how many bytes a packet takes before the next one is begun. One
// message more may follow, so a packet's buffer has room for both.
const Size = 64 << 10

// Segment is a run of whole messages up to End that goes to the same members:
// to all but Skip, or with Only set to that one alone.
type Segment struct {
	End        int
	Skip, Only ID
}

// Packet is immutable once it has been handed to the first session.
type Packet struct {
	Data     []byte
	Segments []Segment // in order, the last ends at len(Data)
	NextHops []int     // offsets in Data where a member's own next hop stands
	refs     atomic.Int32
}

var pool = sync.Pool{New: func() any { return &Packet{Data: make([]byte, 0, Size+Size/8)} }}

// New returns an empty packet with one reference, the caller's.
func New() *Packet {
	p := pool.Get().(*Packet)
	p.Data, p.Segments, p.NextHops = p.Data[:0], p.Segments[:0], p.NextHops[:0]
	p.refs.Store(1)
	return p
}

// Retain adds a reference.
func (p *Packet) Retain() { p.refs.Add(1) }

// Release gives a reference up; the packet must not be used afterwards.
func (p *Packet) Release() {
	if n := p.refs.Add(-1); n == 0 {
		pool.Put(p)
	} else if n < 0 {
		panic("BUG: packet released twice")
	}
}

// Plain reports whether member id gets Data as it stands, so that it can be
// written without a copy. nextHop is the member's own, nil if Data has it.
func (p *Packet) Plain(id ID, nextHop []byte) bool {
	if len(nextHop) > 0 && len(p.NextHops) > 0 {
		return false
	}
	for _, s := range p.Segments {
		if s.Skip == id && id != 0 || s.Only != 0 && s.Only != id {
			return false
		}
	}
	return true
}

// Render appends what member id gets to dst. Each next hop field is as long as
// nextHop, which the members of a group have in common.
func (p *Packet) Render(dst []byte, id ID, nextHop []byte) []byte {
	from, nh := 0, 0
	for _, s := range p.Segments {
		if s.Skip == id && id != 0 || s.Only != 0 && s.Only != id {
			for nh < len(p.NextHops) && p.NextHops[nh] < s.End {
				nh++
			}
			from = s.End
			continue
		}
		base := len(dst) - from
		dst = append(dst, p.Data[from:s.End]...)
		for ; nh < len(p.NextHops) && p.NextHops[nh] < s.End; nh++ {
			copy(dst[base+p.NextHops[nh]:], nextHop)
		}
		from = s.End
	}
	return dst
}
