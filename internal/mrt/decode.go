package mrt

import (
	"encoding/binary"
	"net/netip"

	"holdfast/internal/prefix"
)

// cursor takes fields off a record's body. Past the end it yields zeros and
// remembers that it was short, so that fields can be read first and judged
// together.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) bytes(n int) []byte {
	if n > len(c.b) {
		c.b, c.short = nil, true
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) u8() uint8 {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) as(four bool) uint32 {
	if four {
		return c.u32()
	}
	return uint32(c.u16())
}

func (c *cursor) addr(f prefix.Family) netip.Addr {
	a, _ := netip.AddrFromSlice(c.bytes(int(f.MaxBits() / 8)))
	return a
}

const truncated = "it is shorter than its fields"

// decode fills d.rec and says what is wrong with the record, or "".
func (d *Reader) decode(head, body []byte) string {
	rec := &d.rec
	*rec = Record{
		Seconds: binary.BigEndian.Uint32(head),
		Type:    binary.BigEndian.Uint16(head[4:]),
		Subtype: binary.BigEndian.Uint16(head[6:]),
		Entries: rec.Entries[:0],
	}
	c := &cursor{b: body}
	switch rec.Type {
	case TypeTableDump:
		return d.tableDump(c)
	case TypeTableDumpV2:
		return d.tableDumpV2(c)
	case TypeBGP4MPET:
		// RFC 6396 section 3: the microseconds belong to the body.
		if rec.Micros = c.u32(); rec.Micros > 999999 {
			return "its microseconds are more than a second"
		}
		return rec.bgp4mp(c)
	case TypeBGP4MP:
		return rec.bgp4mp(c)
	}
	return ""
}

// tableDump reads RFC 6396 section 4.2: one path of one prefix.
func (d *Reader) tableDump(c *cursor) string {
	rec := &d.rec
	f, ok := prefix.FamilyByAFI(rec.Subtype)
	if !ok {
		return ""
	}
	rec.Kind = RIB
	c.u16() // view
	rec.Sequence = uint32(c.u16())
	addr := c.bytes(int(f.MaxBits() / 8))
	bits := c.u8()
	c.u8() // status, always 1
	e := Entry{Originated: c.u32()}
	n := Neighbor{Addr: c.addr(f), AS: uint32(c.u16())}
	e.Attrs = c.bytes(int(c.u16()))
	if c.short {
		return truncated
	}
	if bits > f.MaxBits() {
		return "its prefix is longer than an address"
	}
	rec.Prefix = makePrefix(f, addr, bits)
	i, ok := d.known[n]
	if !ok {
		if len(d.neighbors) > 0xffff {
			return "the file names more than 65,536 neighbors"
		}
		if d.known == nil {
			d.known = make(map[Neighbor]int)
			d.neighbors = nil
		}
		i = len(d.neighbors)
		d.known[n] = i
		d.neighbors = append(d.neighbors, n)
	}
	e.Neighbor = i
	rec.Entries = append(rec.Entries, e)
	return ""
}

// tableDumpV2 reads RFC 6396 section 4.3: the neighbors, or all paths of one
// prefix.
func (d *Reader) tableDumpV2(c *cursor) string {
	rec := &d.rec
	rec.AS4 = true
	f := prefix.IPv4
	switch rec.Subtype {
	case peerIndexTable:
		return d.peerIndex(c)
	case ribIPv4Unicast:
	case ribIPv6Unicast:
		f = prefix.IPv6
	case ribIPv4UnicastAddPath:
		rec.AddPath = true
	case ribIPv6UnicastAddPath:
		f, rec.AddPath = prefix.IPv6, true
	default:
		return ""
	}
	rec.Kind = RIB
	rec.Sequence = c.u32()
	bits := c.u8()
	if bits > f.MaxBits() {
		return "its prefix is longer than an address"
	}
	rec.Prefix = makePrefix(f, c.bytes(int(bits+7)/8), bits)
	for range c.u16() {
		e := Entry{Neighbor: int(c.u16()), Originated: c.u32()}
		if rec.AddPath {
			e.PathID = c.u32()
		}
		e.Attrs = c.bytes(int(c.u16()))
		if c.short {
			return truncated
		}
		if e.Neighbor >= len(d.neighbors) {
			return "it names a neighbor that the PEER_INDEX_TABLE does not have"
		}
		rec.Entries = append(rec.Entries, e)
	}
	if c.short {
		return truncated
	}
	return ""
}

// peerIndex reads the PEER_INDEX_TABLE, RFC 6396 section 4.3.1.
func (d *Reader) peerIndex(c *cursor) string {
	d.rec.Kind = Neighbors
	d.neighbors, d.known = nil, nil // callers may keep the old ones
	c.u32()                         // the collector's BGP identifier
	c.bytes(int(c.u16()))           // the view's name
	for range c.u16() {
		kind := c.u8()
		var n Neighbor
		copy(n.ID[:], c.bytes(4))
		f := prefix.IPv4
		if kind&1 != 0 {
			f = prefix.IPv6
		}
		n.Addr = c.addr(f)
		n.AS = c.as(kind&2 != 0)
		if c.short {
			return truncated
		}
		d.neighbors = append(d.neighbors, n)
	}
	if c.short {
		return truncated
	}
	return ""
}

// bgp4mp reads RFC 6396 section 4.4 and RFC 8050 section 3.
func (rec *Record) bgp4mp(c *cursor) string {
	switch rec.Subtype {
	case stateChange:
		rec.Kind = State
	case stateChangeAS4:
		rec.Kind, rec.AS4 = State, true
	case message:
		rec.Kind = Message
	case messageAS4:
		rec.Kind, rec.AS4 = Message, true
	case messageLocal:
		rec.Kind, rec.Local = Message, true
	case messageAS4Local:
		rec.Kind, rec.AS4, rec.Local = Message, true, true
	case messageAddPath:
		rec.Kind, rec.AddPath = Message, true
	case messageAS4AddPath:
		rec.Kind, rec.AS4, rec.AddPath = Message, true, true
	case messageLocalAddPath:
		rec.Kind, rec.Local, rec.AddPath = Message, true, true
	case messageAS4LocalAddPath:
		rec.Kind, rec.AS4, rec.Local, rec.AddPath = Message, true, true, true
	default:
		return ""
	}
	rec.PeerAS = c.as(rec.AS4)
	rec.LocalAS = c.as(rec.AS4)
	c.u16() // interface index
	afi := c.u16()
	if c.short {
		return truncated
	}
	f, ok := prefix.FamilyByAFI(afi)
	if !ok {
		return "its neighbor's address is neither IPv4 nor IPv6"
	}
	rec.PeerAddr = c.addr(f)
	rec.LocalAddr = c.addr(f)
	if rec.Kind == State {
		rec.OldState = c.u16()
		rec.NewState = c.u16()
		if c.short {
			return truncated
		}
		return ""
	}
	if c.short || len(c.b) < bgpHeader {
		return truncated
	}
	size := int(binary.BigEndian.Uint16(c.b[16:]))
	if size < bgpHeader || size > len(c.b) {
		return "its BGP message is not as long as it says"
	}
	rec.Message = c.bytes(size)
	return ""
}

// bgpHeader is marker, length and type (RFC 4271 section 4.1).
const bgpHeader = 19

// makePrefix reads the address bytes that a prefix has, leaving the rest zero.
func makePrefix(f prefix.Family, b []byte, bits uint8) prefix.Prefix {
	var a [16]byte
	copy(a[:], b)
	return prefix.New(f, binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), bits)
}
