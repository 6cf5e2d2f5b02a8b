package mrt

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"holdfast/internal/prefix"
)

// AppendNeighbors appends a PEER_INDEX_TABLE: the start of a TABLE_DUMP_V2.
func AppendNeighbors(dst []byte, seconds uint32, collector [4]byte, view string, ns []Neighbor) ([]byte, error) {
	if len(ns) > 0xffff || len(view) > 0xffff {
		return dst, fmt.Errorf("cannot write a table of %d neighbors: MRT allows 65,535", len(ns))
	}
	start := len(dst)
	dst = appendHeader(dst, seconds, TypeTableDumpV2, peerIndexTable)
	dst = append(dst, collector[:]...)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(view))), view...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(ns)))
	for _, n := range ns {
		kind := byte(2) // four-byte AS number
		if n.Addr.Is6() {
			kind |= 1
		}
		dst = append(append(dst, kind), n.ID[:]...)
		dst = append(dst, n.Addr.AsSlice()...)
		dst = binary.BigEndian.AppendUint32(dst, n.AS)
	}
	return endRecord(dst, start), nil
}

// AppendRIB appends a RIB record as TABLE_DUMP_V2. It uses of r: Seconds,
// Sequence, Prefix, AddPath and Entries, whose attributes must have four-byte
// AS numbers and an abbreviated MP_REACH_NLRI.
func AppendRIB(dst []byte, r *Record) ([]byte, error) {
	if len(r.Entries) > 0xffff {
		return dst, fmt.Errorf("cannot write %d paths of %v: MRT allows 65,535", len(r.Entries), r.Prefix)
	}
	subtype := uint16(ribIPv4Unicast)
	switch {
	case r.Prefix.Family == prefix.IPv4 && r.AddPath:
		subtype = ribIPv4UnicastAddPath
	case r.Prefix.Family == prefix.IPv6 && r.AddPath:
		subtype = ribIPv6UnicastAddPath
	case r.Prefix.Family == prefix.IPv6:
		subtype = ribIPv6Unicast
	}
	start := len(dst)
	dst = appendHeader(dst, r.Seconds, TypeTableDumpV2, subtype)
	dst = binary.BigEndian.AppendUint32(dst, r.Sequence)
	dst = append(dst, r.Prefix.Bits)
	dst = append(dst, r.Prefix.Addr().AsSlice()[:(r.Prefix.Bits+7)/8]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Entries)))
	for _, e := range r.Entries {
		if len(e.Attrs) > 0xffff || e.Neighbor > 0xffff {
			return dst[:start], fmt.Errorf("cannot write a path of %v: %d bytes of attributes from neighbor %d; MRT allows 65,535 of each",
				r.Prefix, len(e.Attrs), e.Neighbor)
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(e.Neighbor))
		dst = binary.BigEndian.AppendUint32(dst, e.Originated)
		if r.AddPath {
			dst = binary.BigEndian.AppendUint32(dst, e.PathID)
		}
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(e.Attrs)))
		dst = append(dst, e.Attrs...)
	}
	return endRecord(dst, start), nil
}

// AppendMessage appends a message or a change of state with microseconds, as
// BGP4MP_ET. The subtype tells readers
// how the message itself is encoded, hence a message of a session with two-byte
// numbers (r.AS4 false) is written with those, and such numbers must fit.
func AppendMessage(dst []byte, r *Record) ([]byte, error) {
	if !r.AS4 && (r.PeerAS > 0xffff || r.LocalAS > 0xffff) {
		return dst, fmt.Errorf("cannot write a message between AS%d and AS%d with two-byte AS numbers", r.PeerAS, r.LocalAS)
	}
	f := prefix.IPv4
	if r.PeerAddr.Is6() {
		f = prefix.IPv6
	}
	start := len(dst)
	dst = appendHeader(dst, r.Seconds, TypeBGP4MPET, r.subtype())
	dst = binary.BigEndian.AppendUint32(dst, r.Micros)
	for _, as := range [2]uint32{r.PeerAS, r.LocalAS} {
		if r.AS4 {
			dst = binary.BigEndian.AppendUint32(dst, as)
		} else {
			dst = binary.BigEndian.AppendUint16(dst, uint16(as))
		}
	}
	dst = binary.BigEndian.AppendUint16(dst, 0) // interface index
	dst = binary.BigEndian.AppendUint16(dst, f.AFI())
	for _, a := range [2]netip.Addr{r.PeerAddr, r.LocalAddr} {
		if a.BitLen() != int(f.MaxBits()) {
			return dst[:start], fmt.Errorf("cannot write a message between %v and %v: addresses of one family are needed", r.PeerAddr, r.LocalAddr)
		}
		dst = append(dst, a.AsSlice()...)
	}
	if r.Kind == State {
		dst = binary.BigEndian.AppendUint16(dst, r.OldState)
		dst = binary.BigEndian.AppendUint16(dst, r.NewState)
	} else {
		dst = append(dst, r.Message...)
	}
	return endRecord(dst, start), nil
}

// subtype is the inverse of what bgp4mp reads.
func (r *Record) subtype() uint16 {
	if r.Kind == State {
		if r.AS4 {
			return stateChangeAS4
		}
		return stateChange
	}
	s := [2][2][2]uint16{ // AS4, Local, AddPath
		{{message, messageAddPath}, {messageLocal, messageLocalAddPath}},
		{{messageAS4, messageAS4AddPath}, {messageAS4Local, messageAS4LocalAddPath}},
	}
	return s[bit(r.AS4)][bit(r.Local)][bit(r.AddPath)]
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func appendHeader(dst []byte, seconds uint32, typ, subtype uint16) []byte {
	dst = binary.BigEndian.AppendUint32(dst, seconds)
	dst = binary.BigEndian.AppendUint16(dst, typ)
	dst = binary.BigEndian.AppendUint16(dst, subtype)
	return append(dst, 0, 0, 0, 0)
}

// endRecord fills in the length of the record begun at start.
func endRecord(dst []byte, start int) []byte {
	binary.BigEndian.PutUint32(dst[start+8:], uint32(len(dst)-start-headerLen))
	return dst
}
