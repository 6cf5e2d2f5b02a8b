package wire

import (
	"encoding/binary"

	"holdfast/internal/prefix"
)

const marker = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"

// ParseHeader checks the header that b begins with (RFC 4271 section 6.1). b
// has HeaderLen bytes or more; maxLen is MaxMsgLen or, once extended messages
// are negotiated, MaxExtendedLen.
func ParseHeader(b []byte, maxLen int) (typ uint8, length int, err *Error) {
	if string(b[:16]) != marker {
		return 0, 0, &Error{Code: CodeHeader, Subcode: 1, Why: "the header's marker is not all ones"}
	}
	typ, length = b[18], int(binary.BigEndian.Uint16(b[16:]))
	lo, hi := HeaderLen, maxLen
	switch typ {
	case MsgOpen:
		lo, hi = 29, MaxMsgLen // RFC 8654 section 3: OPEN is never extended
	case MsgUpdate:
		lo = 23
	case MsgNotification:
		lo = 21
	case MsgKeepalive:
		hi = HeaderLen
	case MsgRefresh:
		lo = 23
	}
	if length < lo || length > hi {
		return typ, length, &Error{Code: CodeHeader, Subcode: 2, Data: b[16:18:18],
			Why: messageName(typ) + " has a wrong length"}
	}
	if typ < MsgOpen || typ > MsgRefresh {
		return typ, length, &Error{Code: CodeHeader, Subcode: 3, Data: b[18:19:19], Why: "unknown message type"}
	}
	return typ, length, nil
}

func messageName(typ uint8) string {
	switch typ {
	case MsgOpen:
		return "OPEN"
	case MsgUpdate:
		return "UPDATE"
	case MsgNotification:
		return "NOTIFICATION"
	case MsgKeepalive:
		return "KEEPALIVE"
	case MsgRefresh:
		return "ROUTE-REFRESH"
	}
	return "message of unknown type"
}

// AppendHeader begins a message. Finish sets its length.
func AppendHeader(dst []byte, typ uint8) []byte {
	dst = append(dst, marker...)
	return append(dst, 0, 0, typ)
}

// Finish sets the length of the message that begins at start and ends with b.
func Finish(b []byte, start int) {
	binary.BigEndian.PutUint16(b[start+16:], uint16(len(b)-start))
}

// AppendKeepalive writes a KEEPALIVE.
func AppendKeepalive(dst []byte) []byte {
	dst = append(dst, marker...)
	return append(dst, 0, HeaderLen, MsgKeepalive)
}

// AppendPrefix writes a prefix as NLRI (RFC 4271 section 4.3).
func AppendPrefix(dst []byte, p prefix.Prefix) []byte {
	dst = append(dst, p.Bits)
	n := int(p.Bits+7) / 8
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], p.Hi)
	binary.BigEndian.PutUint64(b[8:], p.Lo)
	return append(dst, b[:n]...)
}

// AppendEndOfRIB writes the End-of-RIB marker of a family (RFC 4724 section 2).
func AppendEndOfRIB(dst []byte, f prefix.Family) []byte {
	at := len(dst)
	dst = AppendHeader(dst, MsgUpdate)
	if f == prefix.IPv4 {
		dst = append(dst, 0, 0, 0, 0)
	} else {
		dst = append(dst, 0, 0, 0, 6, flagOptional, attrUnreach, 3, 0, byte(f.AFI()), 1)
	}
	Finish(dst, at)
	return dst
}

// AppendUpdate writes an UPDATE whose announced routes, nlri, have the
// attributes attrs. Families that need it get MP attributes: nextHop is set
// for those, nil for IPv4 routes with a NEXT_HOP among attrs. The lists are
// encoded prefixes; either may be empty.
func AppendUpdate(dst []byte, f prefix.Family, withdrawn, attrs, nextHop, nlri []byte) []byte {
	start := len(dst)
	dst = AppendHeader(dst, MsgUpdate)
	mpWithdrawn := f != prefix.IPv4 && len(withdrawn) > 0
	if mpWithdrawn {
		dst = append(dst, 0, 0)
	} else {
		dst = append(dst, byte(len(withdrawn)>>8), byte(len(withdrawn)))
		dst = append(dst, withdrawn...)
	}
	dst = append(dst, 0, 0)
	at := len(dst)
	// RFC 7606 section 5.1: MP attributes come first.
	if len(nextHop) > 0 && len(nlri) > 0 {
		a := len(dst)
		dst = append(dst, flagOptional, attrReach, 0, 0, byte(f.AFI()), 1, byte(len(nextHop)))
		dst = append(append(dst, nextHop...), 0)
		dst = finishAttr(append(dst, nlri...), a)
		nlri = nil
	}
	if mpWithdrawn {
		a := len(dst)
		dst = append(dst, flagOptional, attrUnreach, 0, 0, byte(f.AFI()), 1)
		dst = finishAttr(append(dst, withdrawn...), a)
	}
	dst = append(dst, attrs...)
	binary.BigEndian.PutUint16(dst[at-2:], uint16(len(dst)-at))
	dst = append(dst, nlri...)
	Finish(dst, start)
	return dst
}
