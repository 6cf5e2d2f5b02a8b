package api

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
)

// notificationCodes and notificationSubcodes are the registry of
// NOTIFICATION messages (RFC 4271 section 4.5, 4486, 5492, 7313, 8538, 9234,
// 9384, 9687).
var notificationCodes = map[uint8]string{
	1: "message header error", 2: "OPEN message error", 3: "UPDATE message error", 4: "hold timer expired",
	5: "finite state machine error", 6: "cease", 7: "ROUTE-REFRESH message error", 8: "send hold timer expired",
}

var notificationSubcodes = map[[2]uint8]string{
	{1, 1}: "connection not synchronized", {1, 2}: "bad message length", {1, 3}: "bad message type",
	{2, 1}: "unsupported version number", {2, 2}: "bad peer AS", {2, 3}: "bad BGP identifier",
	{2, 4}: "unsupported optional parameter", {2, 6}: "unacceptable hold time",
	{2, 7}: "unsupported capability", {2, 11}: "role mismatch",
	{3, 1}: "malformed attribute list", {3, 2}: "unrecognized well-known attribute",
	{3, 3}: "missing well-known attribute", {3, 4}: "attribute flags error", {3, 5}: "attribute length error",
	{3, 6}: "invalid ORIGIN", {3, 8}: "invalid NEXT_HOP", {3, 9}: "optional attribute error",
	{3, 10}: "invalid network field", {3, 11}: "malformed AS_PATH",
	{5, 1}: "unexpected message in OpenSent", {5, 2}: "unexpected message in OpenConfirm",
	{5, 3}: "unexpected message in Established",
	{6, 1}: "maximum number of prefixes reached", {6, 2}: "administrative shutdown", {6, 3}: "peer de-configured",
	{6, 4}: "administrative reset", {6, 5}: "connection rejected", {6, 6}: "other configuration change",
	{6, 7}: "connection collision resolution", {6, 8}: "out of resources", {6, 9}: "hard reset", {6, 10}: "BFD down",
	{7, 1}: "invalid message length",
}

// NotificationText names a code and its subcode.
func NotificationText(code, subcode uint8) string {
	name, ok := notificationCodes[code]
	if !ok {
		return fmt.Sprintf("code %d/%d", code, subcode)
	}
	if sub, ok := notificationSubcodes[[2]uint8{code, subcode}]; ok {
		return name + ": " + sub
	}
	if subcode == 0 {
		return name
	}
	return fmt.Sprintf("%s: subcode %d", name, subcode)
}

// ShutdownMessage is the message in a NOTIFICATION of administrative shutdown
// or reset (RFC 9003 section 2), "" if there is none. Its bytes are the
// neighbor's: what a terminal would obey is replaced.
func ShutdownMessage(code, subcode uint8, data []byte) string {
	if code != 6 || subcode != 2 && subcode != 4 || len(data) == 0 || len(data) < 1+int(data[0]) {
		return ""
	}
	text := data[1 : 1+data[0]]
	if !utf8.Valid(text) {
		return ""
	}
	return Printable(string(text))
}

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
	71: "long-lived graceful restart", 73: "FQDN", 75: "software version",
}

var roleNames = []string{"provider", "rs", "rs-client", "customer", "peer"}

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
	case c.Code == 9 && len(v) == 1 && int(v[0]) < len(roleNames): // RFC 9234 section 4.1
		return roleNames[v[0]]
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
	afi := uint16(hi)<<8 | uint16(lo)
	if f, ok := prefix.FamilyByAFI(afi); ok && safi == 1 {
		return f.String()
	}
	return fmt.Sprintf("AFI %d SAFI %d", afi, safi)
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
