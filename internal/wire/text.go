package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// OriginName is the name of a value of ORIGIN.
func OriginName(origin uint8) string {
	switch origin {
	case OriginIGP:
		return "igp"
	case OriginEGP:
		return "egp"
	}
	return "incomplete"
}

// ParseOrigin is the inverse of OriginName.
func ParseOrigin(s string) (uint8, error) {
	switch strings.ToLower(s) {
	case "igp":
		return OriginIGP, nil
	case "egp":
		return OriginEGP, nil
	case "incomplete":
		return OriginIncomplete, nil
	}
	return 0, fmt.Errorf("%q is not an origin: igp, egp or incomplete", s)
}

var segmentMarks = [...]struct {
	open, between, end byte // 0 for none
}{SegSet: {'{', ',', '}'}, SegSequence: {0, ' ', 0}, SegConfedSequence: {'(', ' ', ')'}, SegConfedSet: {'[', ',', ']'}}

// AppendPathText writes a path like "65001 65002 {1,2}"; confederation
// segments are "(1 2)" and "[1,2]".
func AppendPathText(dst, path []byte) []byte {
	for start := len(dst); ; {
		typ, asns, rest, ok := NextSegment(path)
		if !ok {
			return dst
		}
		path = rest
		if typ < SegSet || typ > SegConfedSet {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		m := segmentMarks[typ]
		if m.open != 0 {
			dst = append(dst, m.open)
		}
		for i := 0; i+4 <= len(asns); i += 4 {
			if i > 0 {
				dst = append(dst, m.between)
			}
			dst = strconv.AppendUint(dst, uint64(binary.BigEndian.Uint32(asns[i:])), 10)
		}
		if m.end != 0 {
			dst = append(dst, m.end)
		}
	}
}

// PathText is a path as people write it, "" for an empty one.
func PathText(path []byte) string { return string(AppendPathText(nil, path)) }

// ParsePath is the inverse of PathText.
func ParsePath(s string) ([]byte, error) {
	bad := func() ([]byte, error) {
		return nil, fmt.Errorf("%q is not an AS path like %q", s, "65001 65002 {65003,65004}")
	}
	w := pathWriter{seg: -1}
	for text := strings.TrimSpace(s); text != ""; text = strings.TrimSpace(text) {
		typ, first, body := uint8(SegSequence), false, ""
		if i := strings.IndexByte("{([", text[0]); i >= 0 {
			typ, first = [...]uint8{SegSet, SegConfedSequence, SegConfedSet}[i], true
			end := strings.IndexByte(text, "})]"[i])
			if end < 0 {
				return bad()
			}
			body, text = text[1:end], text[end+1:]
		} else if end := strings.IndexAny(text, "{(["); end >= 0 {
			body, text = text[:end], text[end:]
		} else {
			body, text = text, ""
		}
		fields := strings.FieldsFunc(body, func(r rune) bool { return r == ' ' || r == '\t' || typ != SegSequence && r == ',' })
		if len(fields) == 0 || len(fields) > maxSegment && typ != SegSequence {
			return bad()
		}
		for _, f := range fields {
			asn, err := strconv.ParseUint(f, 10, 32)
			if err != nil || asn == 0 {
				return bad()
			}
			w.add(typ, first, uint32(asn))
			first = false
		}
	}
	return w.dst, nil
}

// Communities of long-lived graceful restart (RFC 9494 section 3).
const (
	LLGRStale = 0xffff0006 // kept although its session has ended long ago
	NoLLGR    = 0xffff0007 // not to be kept so
)

// GracefulShutdown is the community of routes whose session is about to end (RFC
// 8326).
const GracefulShutdown = 0xffff0000

// HasCommunity reports whether an encoded list has a community.
func HasCommunity(list []byte, c uint32) bool {
	for ; len(list) >= 4; list = list[4:] {
		if binary.BigEndian.Uint32(list) == c {
			return true
		}
	}
	return false
}

// wellKnown are the communities with names (RFC 1997, 3765, 7611, 7999, 8326,
// 9494).
var wellKnown = []struct {
	value uint32
	name  string
}{
	{GracefulShutdown, "graceful-shutdown"},
	{0xffff0001, "accept-own"},
	{LLGRStale, "llgr-stale"},
	{NoLLGR, "no-llgr"},
	{0xffff029a, "blackhole"},
	{0xffffff01, "no-export"},
	{0xffffff02, "no-advertise"},
	{0xffffff03, "no-export-subconfed"},
	{0xffffff04, "no-peer"},
}

// CommunityText is a community like "65000:1", or its name if it has one.
func CommunityText(c uint32) string {
	for _, w := range wellKnown {
		if w.value == c {
			return w.name
		}
	}
	return strconv.Itoa(int(c>>16)) + ":" + strconv.Itoa(int(c&0xffff))
}

// WellKnownCommunity finds a community by its name. Other routers write some
// of them with underscores, and "nopeer".
func WellKnownCommunity(name string) (c uint32, ok bool) {
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	if name == "nopeer" {
		name = "no-peer"
	}
	for _, w := range wellKnown {
		if w.name == name {
			return w.value, true
		}
	}
	return 0, false
}

// ParseCommunity is the inverse of CommunityText; names may be written as
// numbers.
func ParseCommunity(s string) (uint32, error) {
	if c, ok := WellKnownCommunity(s); ok {
		return c, nil
	}
	a, b, ok := strings.Cut(s, ":")
	hi, err1 := strconv.ParseUint(a, 10, 16)
	lo, err2 := strconv.ParseUint(b, 10, 16)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not a community like 65000:1 or no-export", s)
	}
	return uint32(hi<<16 | lo), nil
}

// LargeCommunity is a large community (RFC 8092).
type LargeCommunity [3]uint32

// LargeAt reads a large community of 12 bytes.
func LargeAt(b []byte) LargeCommunity {
	return LargeCommunity{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])}
}

// Append writes it as it stands in the attribute.
func (c LargeCommunity) Append(dst []byte) []byte {
	for _, v := range c {
		dst = binary.BigEndian.AppendUint32(dst, v)
	}
	return dst
}

func (c LargeCommunity) String() string { return fmt.Sprintf("%d:%d:%d", c[0], c[1], c[2]) }

// ParseLargeCommunity is the inverse of String.
func ParseLargeCommunity(s string) (c LargeCommunity, err error) {
	parts := strings.Split(s, ":")
	ok := len(parts) == len(c)
	for i := 0; ok && i < len(c); i++ {
		v, err := strconv.ParseUint(parts[i], 10, 32)
		c[i], ok = uint32(v), err == nil
	}
	if !ok {
		return c, fmt.Errorf("%q is not a large community like 65000:1:2", s)
	}
	return c, nil
}

// ExtCommunity is an extended community (RFC 4360), the big-endian value of
// its bytes.
type ExtCommunity uint64

// Types and subtypes of extended communities that have names (RFC 4360
// sections 3 to 5, RFC 5668).
const (
	extTwoByteAS   = 0
	extIPv4        = 1
	extFourByteAS  = 2
	extRouteTarget = 2
	extRouteOrigin = 3
)

var extNames = map[uint8]string{extRouteTarget: "rt", extRouteOrigin: "soo"}

// ExtAt reads an extended community of 8 bytes.
func ExtAt(b []byte) ExtCommunity { return ExtCommunity(binary.BigEndian.Uint64(b)) }

// Append writes it as it stands in the attribute.
func (c ExtCommunity) Append(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(dst, uint64(c))
}

// String is "rt:65000:1", "soo:192.0.2.1:1" or, for all without a name, "0x"
// and 16 digits.
func (c ExtCommunity) String() string {
	typ, name := uint8(c>>56), extNames[uint8(c>>48)]
	if name != "" {
		switch admin, local := uint32(c>>16), uint16(c); {
		case typ == extTwoByteAS:
			return fmt.Sprintf("%s:%d:%d", name, uint16(c>>32), uint32(c))
		case typ == extIPv4:
			return fmt.Sprintf("%s:%d.%d.%d.%d:%d", name, admin>>24, admin>>16&0xff, admin>>8&0xff, admin&0xff, local)
		case typ == extFourByteAS && admin > 0xffff:
			return fmt.Sprintf("%s:%d:%d", name, admin, local)
		}
	}
	return fmt.Sprintf("%#016x", uint64(c))
}

// ParseExtCommunity is the inverse of String. An AS number above 65535 leaves
// two bytes for the number behind it, a smaller one four.
func ParseExtCommunity(s string) (ExtCommunity, error) {
	bad := func(why string) (ExtCommunity, error) {
		return 0, fmt.Errorf("%q is not an extended community like rt:65000:1, soo:192.0.2.1:1 or 0x0002fde800000001%s", s, why)
	}
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) != 8 {
			return bad("")
		}
		return ExtAt(b), nil
	}
	parts := strings.Split(s, ":")
	if len(parts) != 3 {
		return bad("")
	}
	var subtype uint64
	for k, name := range extNames {
		if strings.EqualFold(name, parts[0]) {
			subtype = uint64(k)
		}
	}
	local, err := strconv.ParseUint(parts[2], 10, 32)
	if subtype == 0 || err != nil {
		return bad("")
	}
	if a, err := netip.ParseAddr(parts[1]); err == nil && a.Is4() {
		if local > 0xffff {
			return bad(": behind an address numbers end at 65535")
		}
		b := a.As4()
		return ExtCommunity(extIPv4<<56 | subtype<<48 | uint64(binary.BigEndian.Uint32(b[:]))<<16 | local), nil
	}
	asn, err := strconv.ParseUint(parts[1], 10, 32)
	switch {
	case err != nil:
		return bad("")
	case asn <= 0xffff:
		return ExtCommunity(extTwoByteAS<<56 | subtype<<48 | asn<<32 | local), nil
	case local > 0xffff:
		return bad(": behind an AS number above 65535 numbers end at 65535")
	}
	return ExtCommunity(extFourByteAS<<56 | subtype<<48 | asn<<16 | local), nil
}

// IPv6CommunityText is an IPv6 address specific extended community of 20 bytes
// (RFC 5701), like "rt:[2001:db8::1]:100", or "0x" and 40 digits.
func IPv6CommunityText(b []byte) string {
	if name := extNames[b[1]]; b[0] == 0 && name != "" {
		return fmt.Sprintf("%s:[%s]:%d", name, netip.AddrFrom16([16]byte(b[2:18])), binary.BigEndian.Uint16(b[18:]))
	}
	return fmt.Sprintf("0x%x", b[:20])
}

// RoleName is the name of a role (RFC 9234 section 4.1).
func RoleName(role uint8) string {
	names := [...]string{RoleProvider: "provider", RoleRS: "rs", RoleRSClient: "rs-client", RoleCustomer: "customer", RolePeer: "peer"}
	if int(role) < len(names) {
		return names[role]
	}
	return strconv.Itoa(int(role))
}

// OtherAttr takes the first attribute off Attrs.Other. ok is false at the end.
func OtherAttr(other []byte) (flags, typ uint8, value, rest []byte, ok bool) {
	flags, typ, head, n := attrHeader(other)
	if head == 0 || n > len(other)-head {
		return 0, 0, nil, nil, false
	}
	return flags, typ, slices.Clip(other[head : head+n]), other[head+n:], true
}
