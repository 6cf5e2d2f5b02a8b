package api

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

// wellKnown are the communities that have names in the configuration (IANA's
// registry of well-known communities).
var wellKnown = map[uint32]string{
	0xffff0000: "graceful-shutdown",
	0xffff0001: "accept-own",
	0xffff0006: "llgr-stale",
	0xffff0007: "no-llgr",
	0xffff029a: "blackhole",
	0xffffff01: "no-export",
	0xffffff02: "no-advertise",
	0xffffff03: "no-export-subconfed",
	0xffffff04: "no-peer",
}

// CommunityText is a standard community as the configuration writes it.
func CommunityText(c uint32) string {
	if s, ok := wellKnown[c]; ok {
		return s
	}
	return strconv.Itoa(int(c>>16)) + ":" + strconv.Itoa(int(c&0xffff))
}

// LargeCommunityText is a large community as RFC 8092 writes it.
func LargeCommunityText(c *pb.LargeCommunity) string {
	return fmt.Sprintf("%d:%d:%d", c.Global, c.Local1, c.Local2)
}

// ExtCommunityText is an extended community: "rt:64500:100" and "soo:…" for
// route target and site of origin (RFC 4360, 5668), hexadecimal for the rest.
func ExtCommunityText(c uint64) string {
	name := map[byte]string{2: "rt", 3: "soo"}[byte(c>>48)]
	admin, value := uint32(c>>16), uint16(c)
	switch kind := byte(c >> 56); {
	case name == "":
	case kind == 0: // two-byte AS number
		return fmt.Sprintf("%s:%d:%d", name, uint16(c>>32), uint32(c))
	case kind == 1: // IPv4 address
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], admin)
		return fmt.Sprintf("%s:%s:%d", name, netip.AddrFrom4(a), value)
	case kind == 2 && admin > 0xffff: // four-byte AS number
		return fmt.Sprintf("%s:%d:%d", name, admin, value)
	}
	return fmt.Sprintf("0x%016x", c)
}

// ASPathText is a path as routers write it: sets in {}, confederation
// sequences in (), their sets in [].
func ASPathText(segments []*pb.AsPathSegment) string {
	var b strings.Builder
	for i, s := range segments {
		if i > 0 {
			b.WriteByte(' ')
		}
		open, sep, end := "", " ", ""
		switch s.Type {
		case pb.SegmentType_SEGMENT_TYPE_SET:
			open, sep, end = "{", ",", "}"
		case pb.SegmentType_SEGMENT_TYPE_CONFED_SEQUENCE:
			open, end = "(", ")"
		case pb.SegmentType_SEGMENT_TYPE_CONFED_SET:
			open, sep, end = "[", ",", "]"
		}
		b.WriteString(open)
		for j, asn := range s.Asns {
			if j > 0 {
				b.WriteString(sep)
			}
			b.WriteString(strconv.FormatUint(uint64(asn), 10))
		}
		b.WriteString(end)
	}
	return b.String()
}

// ParseASPath reads a path of sequences and sets: "64601 3356 {1,2}".
func ParseASPath(s string) ([]*pb.AsPathSegment, error) {
	var path []*pb.AsPathSegment
	for rest := strings.TrimSpace(s); rest != ""; rest = strings.TrimSpace(rest) {
		kind, words := pb.SegmentType_SEGMENT_TYPE_SEQUENCE, ""
		if set, ok := strings.CutPrefix(rest, "{"); ok {
			kind = pb.SegmentType_SEGMENT_TYPE_SET
			if words, rest, ok = strings.Cut(set, "}"); !ok {
				return nil, Invalid("AS path %q has a { without }", s)
			}
		} else if i := strings.IndexByte(rest, '{'); i >= 0 {
			words, rest = rest[:i], rest[i:]
		} else {
			words, rest = rest, ""
		}
		seg := &pb.AsPathSegment{Type: kind}
		for _, w := range strings.FieldsFunc(words, func(r rune) bool { return r == ' ' || r == ',' }) {
			asn, err := strconv.ParseUint(w, 10, 32)
			if err != nil {
				return nil, Invalid("AS path %q: %q is not an AS number; write a path like %q", s, w, "64601 3356 {64512,64513}")
			}
			seg.Asns = append(seg.Asns, uint32(asn))
		}
		path = append(path, seg)
	}
	return path, nil
}

// AddCommunity reads a community of any kind and adds it to a.
func AddCommunity(a *pb.Attributes, s string) error {
	for c, name := range wellKnown {
		if s == name {
			a.Communities = append(a.Communities, c)
			return nil
		}
	}
	bad := Invalid("%q is not a community: write 64500:100, 64500:1:2, rt:64500:100 or a name like no-export", s)
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		c, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || len(hex) != 16 {
			return bad
		}
		a.ExtCommunities = append(a.ExtCommunities, c)
		return nil
	}
	parts := strings.Split(s, ":")
	if parts[0] == "rt" || parts[0] == "soo" {
		c, ok := parseExt(parts)
		if !ok {
			return bad
		}
		a.ExtCommunities = append(a.ExtCommunities, c)
		return nil
	}
	n := make([]uint32, len(parts))
	for i, p := range parts {
		bits := 32
		if len(parts) == 2 {
			bits = 16
		}
		v, err := strconv.ParseUint(p, 10, bits)
		if err != nil {
			return bad
		}
		n[i] = uint32(v)
	}
	switch len(n) {
	case 2:
		a.Communities = append(a.Communities, n[0]<<16|n[1])
	case 3:
		a.LargeCommunities = append(a.LargeCommunities, &pb.LargeCommunity{Global: n[0], Local1: n[1], Local2: n[2]})
	default:
		return bad
	}
	return nil
}

// parseExt reads rt:… and soo:….
func parseExt(parts []string) (uint64, bool) {
	if len(parts) != 3 {
		return 0, false
	}
	subtype := uint64(2)
	if parts[0] == "soo" {
		subtype = 3
	}
	if a, err := netip.ParseAddr(parts[1]); err == nil && a.Is4() {
		v, err := strconv.ParseUint(parts[2], 10, 16)
		b := a.As4()
		return 1<<56 | subtype<<48 | uint64(binary.BigEndian.Uint32(b[:]))<<16 | v, err == nil
	}
	asn, err := strconv.ParseUint(parts[1], 10, 32)
	if err != nil {
		return 0, false
	}
	if asn > 0xffff {
		v, err := strconv.ParseUint(parts[2], 10, 16)
		return 2<<56 | subtype<<48 | asn<<16 | v, err == nil
	}
	v, err := strconv.ParseUint(parts[2], 10, 32)
	return subtype<<48 | asn<<32 | v, err == nil
}
