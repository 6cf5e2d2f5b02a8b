package api

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Printable replaces control characters, which could play with a terminal.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, s)
}

var capabilityNames = map[uint8]string{
	1: "multiprotocol", 2: "route refresh", 5: "extended next hop", 6: "extended messages", 9: "role",
	64: "graceful restart", 65: "four-octet AS number", 69: "add-path", 70: "enhanced route refresh",
	71: "long-lived graceful restart", 73: "FQDN", 75: "software version", 128: "route refresh (Cisco)",
}

func capability(c Capability) *pb.Capability {
	name, ok := capabilityNames[c.Code]
	if !ok {
		name = fmt.Sprintf("capability %d", c.Code)
	}
	return &pb.Capability{Code: uint32(c.Code), Value: c.Value, Name: name, Text: CapabilityText(c)}
}

// CapabilityText says what a value means, or gives its bytes if it does not
// have the form that its RFC asks for.
func CapabilityText(c Capability) string {
	v := c.Value
	switch {
	case c.Code == 1 && len(v) == 4: // RFC 4760 section 8
		return afiSafi(v[0], v[1], v[3])
	case c.Code == 5 && len(v) > 0 && len(v)%6 == 0: // RFC 8950 section 4
		return list(v, 6, func(b []byte) string {
			by := fmt.Sprintf("AFI %d", binary.BigEndian.Uint16(b[4:]))
			if f, ok := prefix.FamilyByAFI(binary.BigEndian.Uint16(b[4:])); ok {
				by = f.String()
			}
			return afiSafi(b[0], b[1], b[3]) + " by " + by
		})
	case c.Code == 9 && len(v) == 1: // RFC 9234 section 4.1
		return wire.RoleName(v[0])
	case c.Code == 64 && len(v) >= 2 && len(v)%4 == 2: // RFC 4724 section 3
		text := fmt.Sprintf("%d s", binary.BigEndian.Uint16(v)&0x0fff)
		if v[0]&0x80 != 0 {
			text += ", restarted"
		}
		if len(v) > 2 {
			text += ", " + list(v[2:], 4, func(b []byte) string { return afiSafi(b[0], b[1], b[2]) })
		}
		return text
	case c.Code == 65 && len(v) == 4: // RFC 6793 section 3
		return fmt.Sprint(binary.BigEndian.Uint32(v))
	case c.Code == 69 && len(v) > 0 && len(v)%4 == 0: // RFC 7911 section 4
		return list(v, 4, func(b []byte) string {
			way := fmt.Sprintf("mode %d", b[3])
			if b[3] >= 1 && b[3] <= 3 {
				way = [...]string{"receive", "send", "send and receive"}[b[3]-1]
			}
			return afiSafi(b[0], b[1], b[2]) + " " + way
		})
	case c.Code == 71 && len(v) > 0 && len(v)%7 == 0: // RFC 9494 section 3.1
		return list(v, 7, func(b []byte) string {
			return fmt.Sprintf("%s %d s", afiSafi(b[0], b[1], b[2]), binary.BigEndian.Uint32(b[3:])&0xffffff)
		})
	case c.Code == 73: // draft-walton-bgp-hostname-capability
		if host, domain, ok := twoStrings(v); ok {
			return strings.TrimSuffix(host+"."+domain, ".")
		}
	case c.Code == 75 && len(v) > 1 && len(v) == 1+int(v[0]) && utf8.Valid(v[1:]):
		return Printable(string(v[1:]))
	}
	if len(v) == 0 {
		return ""
	}
	return fmt.Sprintf("0x%x", v)
}

func afiSafi(hi, lo, safi byte) string {
	return wire.FamilyID{AFI: uint16(hi)<<8 | uint16(lo), SAFI: safi}.String()
}

func list(v []byte, size int, text func([]byte) string) string {
	var all []string
	for ; len(v) >= size; v = v[size:] {
		all = append(all, text(v[:size]))
	}
	return strings.Join(all, ", ")
}

func twoStrings(v []byte) (a, b string, ok bool) {
	for _, s := range []*string{&a, &b} {
		if len(v) == 0 || len(v) < 1+int(v[0]) || !utf8.Valid(v[1:1+v[0]]) {
			return "", "", false
		}
		*s = Printable(string(v[1 : 1+v[0]]))
		v = v[1+v[0]:]
	}
	return a, b, true
}
