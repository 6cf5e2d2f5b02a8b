package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/prefix"
)

// Codes of capabilities.
const (
	capMultiprotocol   = 1  // RFC 4760
	capRouteRefresh    = 2  // RFC 2918
	capExtendedNextHop = 5  // RFC 8950
	capExtendedMessage = 6  // RFC 8654
	capRole            = 9  // RFC 9234
	capGracefulRestart = 64 // RFC 4724
	capAS4             = 65 // RFC 6793
	capAddPath         = 69 // RFC 7911
	capEnhancedRefresh = 70 // RFC 7313
	capLongLived       = 71 // RFC 9494
	capFQDN            = 73
)

// FamilyID is an address family as it stands in messages, known here or not.
type FamilyID struct {
	AFI  uint16
	SAFI uint8
}

// UnicastID is the FamilyID of unicast routes.
func UnicastID(f prefix.Family) FamilyID { return FamilyID{f.AFI(), 1} }

// Family is the inverse of UnicastID.
func (id FamilyID) Family() (prefix.Family, bool) {
	f, ok := prefix.FamilyByAFI(id.AFI)
	return f, ok && id.SAFI == 1
}

func (id FamilyID) String() string {
	if f, ok := id.Family(); ok {
		return f.String()
	}
	return fmt.Sprintf("%d/%d", id.AFI, id.SAFI)
}

// Capability is a capability that has no field of its own.
type Capability struct {
	Code  uint8
	Value []byte
}

// Modes of AddPathFamily.
const (
	AddPathReceive = 1
	AddPathSend    = 2
	AddPathBoth    = 3
)

// AddPathFamily says for which family whoever sent it can receive or send
// several paths (RFC 7911 section 4).
type AddPathFamily struct {
	FamilyID
	Mode uint8
}

// ExtendedNextHop says that routes of the family may have next hops of another
// (RFC 8950 section 4).
type ExtendedNextHop struct {
	FamilyID
	NextHopAFI uint16
}

// GracefulRestart is the capability of RFC 4724 and RFC 8538.
type GracefulRestart struct {
	Restarting   bool   // the sender has restarted
	Notification bool   // a NOTIFICATION need not end the routes (RFC 8538)
	Time         uint16 // seconds, 12 bits
	Families     []RestartFamily
}

// RestartFamily is a family of GracefulRestart.
type RestartFamily struct {
	FamilyID
	Forwarding bool // its forwarding state was kept
}

// LongLivedFamily is a family of long-lived graceful restart (RFC 9494).
type LongLivedFamily struct {
	FamilyID
	Forwarding bool
	StaleTime  uint32 // seconds, 24 bits
}

// Roles (RFC 9234 section 4.1): what the sender is to the receiver.
const (
	RoleProvider = 0
	RoleRS       = 1
	RoleRSClient = 2
	RoleCustomer = 3
	RolePeer     = 4
)

// Capabilities are what an OPEN offers (RFC 5492).
type Capabilities struct {
	Families         []FamilyID // multiprotocol
	RouteRefresh     bool
	EnhancedRefresh  bool
	ExtendedMessages bool
	AS4              bool
	ASN              uint32 // of AS4, as received
	HasRole          bool
	Role             uint8
	AddPath          []AddPathFamily
	ExtendedNextHops []ExtendedNextHop
	GracefulRestart  *GracefulRestart // nil if not offered
	LongLived        []LongLivedFamily
	Hostname, Domain string
	Unknown          []Capability // all others, and known ones that make no sense
}

// Has reports whether a family is offered. A neighbor that offers none means
// IPv4 (RFC 4760 section 8).
func (c *Capabilities) Has(f prefix.Family) bool {
	if len(c.Families) == 0 {
		return f == prefix.IPv4
	}
	return slices.Contains(c.Families, UnicastID(f))
}

// AddPathMode is the mode of a family, 0 if add-path is not offered for it.
func (c *Capabilities) AddPathMode(f prefix.Family) uint8 {
	for _, a := range c.AddPath {
		if a.FamilyID == UnicastID(f) {
			return a.Mode
		}
	}
	return 0
}

// HasExtendedNextHop reports whether IPv4 routes may have IPv6 next hops.
func (c *Capabilities) HasExtendedNextHop() bool {
	return slices.Contains(c.ExtendedNextHops, ExtendedNextHop{UnicastID(prefix.IPv4), prefix.IPv6.AFI()})
}

func familyID(b []byte) FamilyID { return FamilyID{binary.BigEndian.Uint16(b), b[2]} }

// parse reads the value of a Capabilities parameter.
func (c *Capabilities) parse(b []byte) *Error {
	for len(b) > 0 {
		if len(b) < 2 {
			return openError(subOpenUnspecific, "OPEN ends within a capability")
		}
		code, n := b[0], int(b[1])
		if n > len(b)-2 {
			return openError(subOpenUnspecific, "capability %d overruns its parameter", code)
		}
		v := b[2 : 2+n : 2+n]
		b = b[2+n:]
		ok, err := c.one(code, v)
		if err != nil {
			return err
		}
		if !ok {
			c.Unknown = append(c.Unknown, Capability{code, v})
		}
	}
	return nil
}

// one reads a capability. Not ok is one that is not known, or that is wrong but
// can be done without.
func (c *Capabilities) one(code uint8, v []byte) (ok bool, err *Error) {
	switch code {
	case capMultiprotocol:
		if len(v) != 4 {
			return false, openError(subOpenUnspecific, "multiprotocol capability of %d bytes", len(v))
		}
		id := FamilyID{binary.BigEndian.Uint16(v), v[3]}
		if !slices.Contains(c.Families, id) {
			c.Families = append(c.Families, id)
		}
	case capRouteRefresh:
		c.RouteRefresh = true
	case capEnhancedRefresh:
		c.EnhancedRefresh = true
	case capExtendedMessage:
		c.ExtendedMessages = true
	case capAS4:
		if len(v) != 4 {
			return false, openError(subOpenUnspecific, "capability for four-byte AS numbers of %d bytes", len(v))
		}
		c.AS4, c.ASN = true, binary.BigEndian.Uint32(v)
	case capRole:
		if len(v) != 1 {
			return false, nil
		}
		if c.HasRole && c.Role != v[0] { // RFC 9234 section 4.2
			return false, openError(subRoleMismatch, "OPEN has two roles: %d and %d", c.Role, v[0])
		}
		c.HasRole, c.Role = true, v[0]
	case capAddPath:
		return c.addPath(v), nil
	case capExtendedNextHop:
		if len(v)%6 != 0 {
			return false, nil
		}
		for ; len(v) > 0; v = v[6:] {
			// The SAFI takes two bytes here.
			e := ExtendedNextHop{FamilyID{binary.BigEndian.Uint16(v), v[3]}, binary.BigEndian.Uint16(v[4:])}
			if v[2] == 0 && !slices.Contains(c.ExtendedNextHops, e) {
				c.ExtendedNextHops = append(c.ExtendedNextHops, e)
			}
		}
	case capGracefulRestart:
		return c.gracefulRestart(v), nil
	case capLongLived:
		if len(v)%7 != 0 {
			return false, nil
		}
		c.LongLived = nil // RFC 5492 section 4: the last of several counts
		for ; len(v) > 0; v = v[7:] {
			c.LongLived = append(c.LongLived,
				LongLivedFamily{familyID(v), v[3]&0x80 != 0, binary.BigEndian.Uint32(v[3:]) & 0xffffff})
		}
	case capFQDN:
		return c.fqdn(v), nil
	default:
		return false, nil
	}
	return true, nil
}

// addPath: RFC 7911 section 4. Modes out of range are ignored; the first
// statement about a family counts.
func (c *Capabilities) addPath(v []byte) bool {
	if len(v)%4 != 0 {
		return false
	}
	for ; len(v) > 0; v = v[4:] {
		id := familyID(v)
		known := slices.ContainsFunc(c.AddPath, func(a AddPathFamily) bool { return a.FamilyID == id })
		if v[3] >= AddPathReceive && v[3] <= AddPathBoth && !known {
			c.AddPath = append(c.AddPath, AddPathFamily{id, v[3]})
		}
	}
	return true
}

// gracefulRestart: RFC 4724 section 3; the last of several counts.
func (c *Capabilities) gracefulRestart(v []byte) bool {
	if len(v) < 2 || (len(v)-2)%4 != 0 {
		return false
	}
	g := &GracefulRestart{Restarting: v[0]&0x80 != 0, Notification: v[0]&0x40 != 0,
		Time: binary.BigEndian.Uint16(v) & 0xfff}
	for v = v[2:]; len(v) > 0; v = v[4:] {
		g.Families = append(g.Families, RestartFamily{familyID(v), v[3]&0x80 != 0})
	}
	c.GracefulRestart = g
	return true
}

func (c *Capabilities) fqdn(v []byte) bool {
	var names [2]string
	for i := range names {
		if len(v) == 0 || int(v[0]) > len(v)-1 {
			return false
		}
		names[i], v = string(v[1:1+v[0]]), v[1+v[0]:]
	}
	c.Hostname, c.Domain = names[0], names[1]
	return true
}

// append writes all capabilities in the order of their codes, then Unknown.
func (c *Capabilities) append(dst []byte, asn uint32) []byte {
	for _, id := range c.Families {
		dst = append(dst, capMultiprotocol, 4, byte(id.AFI>>8), byte(id.AFI), 0, id.SAFI)
	}
	if c.RouteRefresh {
		dst = append(dst, capRouteRefresh, 0)
	}
	dst = appendList(dst, capExtendedNextHop, 6, c.ExtendedNextHops, func(dst []byte, e ExtendedNextHop) []byte {
		return append(dst, byte(e.AFI>>8), byte(e.AFI), 0, e.SAFI, byte(e.NextHopAFI>>8), byte(e.NextHopAFI))
	})
	if c.ExtendedMessages {
		dst = append(dst, capExtendedMessage, 0)
	}
	if c.HasRole {
		dst = append(dst, capRole, 1, c.Role)
	}
	if g := c.GracefulRestart; g != nil {
		at := len(dst)
		dst = binary.BigEndian.AppendUint16(append(dst, capGracefulRestart, 0), g.Time&0xfff)
		if g.Restarting {
			dst[at+2] |= 0x80
		}
		if g.Notification {
			dst[at+2] |= 0x40
		}
		for _, f := range g.Families[:min(len(g.Families), (255-2)/4)] {
			dst = append(dst, byte(f.AFI>>8), byte(f.AFI), f.SAFI, topBit(f.Forwarding))
		}
		dst[at+1] = byte(len(dst) - at - 2)
	}
	if c.AS4 {
		dst = binary.BigEndian.AppendUint32(append(dst, capAS4, 4), asn)
	}
	dst = appendList(dst, capAddPath, 4, c.AddPath, func(dst []byte, a AddPathFamily) []byte {
		return append(dst, byte(a.AFI>>8), byte(a.AFI), a.SAFI, a.Mode)
	})
	if c.EnhancedRefresh {
		dst = append(dst, capEnhancedRefresh, 0)
	}
	dst = appendList(dst, capLongLived, 7, c.LongLived, func(dst []byte, f LongLivedFamily) []byte {
		t := min(f.StaleTime, 1<<24-1)
		return append(dst, byte(f.AFI>>8), byte(f.AFI), f.SAFI, topBit(f.Forwarding), byte(t>>16), byte(t>>8), byte(t))
	})
	if c.Hostname != "" || c.Domain != "" {
		host := c.Hostname[:min(len(c.Hostname), 64)]
		domain := c.Domain[:min(len(c.Domain), 64)]
		dst = append(dst, capFQDN, byte(len(host)+len(domain)+2), byte(len(host)))
		dst = append(append(append(dst, host...), byte(len(domain))), domain...)
	}
	for _, u := range c.Unknown {
		v := u.Value[:min(len(u.Value), 255)]
		dst = append(append(dst, u.Code, byte(len(v))), v...)
	}
	return dst
}

func topBit(b bool) byte {
	if b {
		return 0x80
	}
	return 0
}

// appendList writes a capability whose value is a list, as far as it fits.
func appendList[T any](dst []byte, code uint8, size int, list []T, one func([]byte, T) []byte) []byte {
	if len(list) == 0 {
		return dst
	}
	list = list[:min(len(list), 255/size)]
	dst = append(dst, code, byte(len(list)*size))
	for _, e := range list {
		dst = one(dst, e)
	}
	return dst
}
