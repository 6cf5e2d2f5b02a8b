package mrt

import (
	"net/netip"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Kind says which part of a Record is meaningful.
type Kind uint8

const (
	Other     Kind = iota // a type that holds no unicast routes; nothing is decoded
	Neighbors             // the PEER_INDEX_TABLE of a dump: see Reader.Neighbors
	RIB                   // one prefix of a table and its paths
	Message               // a BGP message
	State                 // a session changed its state
)

// Types of records (RFC 6396 section 4).
const (
	TypeTableDump   = 12
	TypeTableDumpV2 = 13
	TypeBGP4MP      = 16
	TypeBGP4MPET    = 17
)

// Subtypes of TABLE_DUMP_V2 (RFC 6396 section 4.3, RFC 8050 section 4).
const (
	peerIndexTable        = 1
	ribIPv4Unicast        = 2
	ribIPv6Unicast        = 4
	ribIPv4UnicastAddPath = 8
	ribIPv6UnicastAddPath = 10
)

// Subtypes of BGP4MP (RFC 6396 section 4.4, RFC 8050 section 3).
const (
	stateChange            = 0
	message                = 1
	messageAS4             = 4
	stateChangeAS4         = 5
	messageLocal           = 6
	messageAS4Local        = 7
	messageAddPath         = 8
	messageAS4AddPath      = 9
	messageLocalAddPath    = 10
	messageAS4LocalAddPath = 11
)

// States of a session as MRT numbers them (RFC 6396 section 4.4.1).
const (
	Idle        = 1
	Connect     = 2
	Active      = 3
	OpenSent    = 4
	OpenConfirm = 5
	Established = 6
)

// Neighbor is one from which the routes of a dump were learned.
type Neighbor struct {
	Addr netip.Addr
	AS   uint32
	ID   [4]byte // BGP identifier; zero in TABLE_DUMP, which has none
}

// Record is one MRT record. It and all that it refers to belong to the Reader
// and change with the next call of Next.
type Record struct {
	Type, Subtype uint16
	Kind          Kind
	Seconds       uint32 // since 1970
	Micros        uint32 // 0 except in BGP4MP_ET

	// AS4 says that AS numbers in the attributes or the message have four
	// bytes. (TABLE_DUMP_V2 always has four.)
	AS4     bool
	AddPath bool

	// Of a RIB record.
	Prefix   prefix.Prefix
	Sequence uint32
	Entries  []Entry

	// Of messages and states.
	PeerAS, LocalAS     uint32
	PeerAddr, LocalAddr netip.Addr
	Local               bool   // the collector sent the message itself
	Message             []byte // from its marker on, the length field is right
	OldState, NewState  uint16
}

// Time is when the record was written.
func (r *Record) Time() time.Time {
	return time.Unix(int64(r.Seconds), int64(r.Micros)*1000).UTC()
}

// Entry is one path of a RIB record.
type Entry struct {
	Neighbor   int    // index into Reader.Neighbors
	Originated uint32 // when it was learned, in seconds since 1970
	PathID     uint32 // 0 without add-path
	Attrs      []byte // path attributes as in the file: see Normalize
}

// Attribute types that differ between a dump and a message.
const (
	attrNextHop  = 3
	attrReach    = 14
	attrUnreach  = 15
	flagExtended = 0x10
)

// Normalize appends the entry's path attributes to dst as a message would have
// them next to the NLRI of its family, without MP_REACH_NLRI, and says what the
// next hop is: 4, 16 or 32 bytes, nil if there is none. Attributes that run
// past the end are left as they are, for the codec to judge.
func (e *Entry) Normalize(dst []byte) (block, nextHop []byte) {
	rest := e.Attrs
	for len(rest) > 0 {
		n, value := attribute(rest)
		if n == 0 {
			return append(dst, rest...), nextHop
		}
		switch rest[1] {
		case attrReach:
			// RFC 6396 section 4.3.4: only the next hop's length and the next
			// hop; some collectors write the attribute whole, and no next hop
			// is as short as the first byte of an AFI says.
			if len(value) > 4 && value[0] == 0 {
				value = value[3:]
			}
			if len(value) > 0 && int(value[0]) < len(value) {
				nextHop = value[1 : 1+int(value[0])]
			}
		case attrUnreach:
		default:
			if rest[1] == attrNextHop && nextHop == nil && len(value) == 4 {
				nextHop = value
			}
			dst = append(dst, rest[:n]...)
		}
		rest = rest[n:]
	}
	return dst, nextHop
}

// announced stands for the NLRI of an entry, which has its prefix elsewhere.
var announced = []byte{0}

// Update is the entry as if wire.Split had taken it out of an UPDATE, so that
// Validate can judge it and Block return it. Its NLRI is not to be decoded. The
// attributes are put together in scratch.
func (e *Entry) Update(f prefix.Family, scratch []byte) wire.Update {
	block, nextHop := e.Normalize(scratch[:0])
	return Announcement(f, block, nextHop)
}

// Announcement is Update for what Normalize returned.
func Announcement(f prefix.Family, block, nextHop []byte) wire.Update {
	u := wire.Update{Attrs: block}
	if f == prefix.IPv4 && len(nextHop) <= 4 {
		u.Announced = wire.NLRI{Data: announced}
	} else {
		u.HasReach, u.ReachNextHop = true, nextHop
		u.Reach = wire.NLRI{Data: announced, Family: f, MP: true}
	}
	return u
}

// attribute measures the path attribute at the start of b: n bytes, of which
// the last are its value. n is 0 if b is too short for it.
func attribute(b []byte) (n int, value []byte) {
	switch {
	case len(b) >= 3 && b[0]&flagExtended == 0:
		n = 3 + int(b[2])
		if n > len(b) {
			return 0, nil
		}
		return n, b[3:n]
	case len(b) >= 4 && b[0]&flagExtended != 0:
		n = 4 + int(b[2])<<8 + int(b[3])
		if n > len(b) {
			return 0, nil
		}
		return n, b[4:n]
	}
	return 0, nil
}
