// Package packet has the encoded messages that an update group shares: made
// once by the engine, written by many sessions, returned to a pool by the last.
//
// Members of a group differ in two things only, and Render applies both: what
// they are told as our own next hop, and the routes that a member gave us itself,
// which it is not sent back (split horizon).
package packet

import (
	"bytes"
	"net/netip"
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

// Field is a next hop in a packet. There stands what was received, or nothing.
type Field struct{ At, Len int }

// NextHop is what a member is told as the next hop in such fields.
type NextHop struct {
	Own []byte // as long as the fields, or longer by a link-local address
	// Link is the subnet that we share with the member: next hops on it stay as
	// they are, so that packets need not pass through us (RFC 4271 section
	// 5.1.3). Invalid: none.
	Link netip.Prefix
	Peer netip.Addr // its own address, which it is never told
}

// keeps reports whether what was received is left in a field.
func (n *NextHop) keeps(field []byte) bool {
	if !n.Link.IsValid() {
		return false
	}
	if len(field) == 32 {
		field = field[:16] // RFC 2545 section 3: behind it is the link-local address
	}
	a, _ := netip.AddrFromSlice(field)
	return n.Link.Contains(a) && a != n.Peer && !a.IsUnspecified()
}

// Fill makes a field what the member is told.
func (n *NextHop) Fill(field []byte) {
	if !n.keeps(field) {
		copy(field, n.Own)
	}
}

// Equal reports whether n and o tell a member the same.
func (n *NextHop) Equal(o *NextHop) bool {
	return bytes.Equal(n.Own, o.Own) && n.Link == o.Link && n.Peer == o.Peer
}

// Packet is immutable once it has been handed to the first session.
type Packet struct {
	Data     []byte
	Segments []Segment // in order, the last ends at len(Data)
	NextHops []Field   // in Data, where a member is told its own next hop
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
// written without a copy.
func (p *Packet) Plain(id ID, nextHop *NextHop) bool {
	for _, s := range p.Segments {
		if s.Skip == id && id != 0 || s.Only != 0 && s.Only != id {
			return false
		}
	}
	for _, f := range p.NextHops {
		if !nextHop.keeps(p.Data[f.At : f.At+f.Len]) {
			return false
		}
	}
	return true
}

// Render appends what member id gets to dst.
func (p *Packet) Render(dst []byte, id ID, nextHop *NextHop) []byte {
	from, nh := 0, 0
	for _, s := range p.Segments {
		if s.Skip == id && id != 0 || s.Only != 0 && s.Only != id {
			for nh < len(p.NextHops) && p.NextHops[nh].At < s.End {
				nh++
			}
			from = s.End
			continue
		}
		base := len(dst) - from
		dst = append(dst, p.Data[from:s.End]...)
		for ; nh < len(p.NextHops) && p.NextHops[nh].At < s.End; nh++ {
			f := p.NextHops[nh]
			nextHop.Fill(dst[base+f.At : base+f.At+f.Len])
		}
		from = s.End
	}
	return dst
}
