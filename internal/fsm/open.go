package fsm

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Capability is one of an OPEN message (RFC 5492), as on the wire.
type Capability = wire.Capability

// Established is what both ends of a session agreed on.
type Established struct {
	LocalASN, RemoteASN uint32
	LocalID, RemoteID   uint32 // BGP identifiers, big-endian value of the four bytes
	// Hold and Keepalive are zero if the neighbors do without.
	Hold, Keepalive, SendHold time.Duration

	// Read is how UPDATEs of the neighbor are read, Write what we may send. In
	// Write, AddPath says that they take path ids (RFC 7911), ExtNH that they
	// take IPv4 routes with IPv6 next hops (RFC 8950).
	Read, Write wire.Options
	// Refresh and EnhancedRefresh: the neighbor takes ROUTE-REFRESH messages
	// (RFC 2918), with begin and end (RFC 7313).
	Refresh, EnhancedRefresh bool
	// RemoteRole is their role (RFC 9234), -1 if they sent none.
	RemoteRole int
	// Restart is what happens to routes when a session ends (RFC 4724).
	Restart Graceful
	// Sent and Received are the capabilities of both OPENs, in order.
	Sent, Received []Capability

	// The rest is about the connection, which the machine does not see: the
	// driver fills it in.

	Local, Remote netip.AddrPort
	// NextHop has our own address in each family on the interface of the
	// connection, to announce as next hop; invalid if there is none. That of
	// the connection's family is Local.
	NextHop [prefix.Families]netip.Addr
	// LinkLocal is the link-local IPv6 address of that interface, without
	// zone; valid only if the neighbor is directly connected (RFC 2545
	// section 3 allows it in next hops then).
	LinkLocal netip.Addr
	// Link is the subnet that both ends of the connection are in, if the
	// neighbor is to be one hop away: next hops on it are the neighbor's as well
	// (RFC 4271 section 5.1.3).
	Link netip.Prefix
	// Interface is the name of that interface; "" unless the neighbor is
	// directly connected.
	Interface string
}

// Subcodes of OPEN errors (RFC 4271 section 6.2, RFC 5492, RFC 9234).
const (
	openBadAS        = 2
	openBadID        = 3
	openParameter    = 4
	openCapability   = 7
	openRoleMismatch = 11
)

const (
	capMultiprotocol   = 1
	capGracefulRestart = 64
	capLongLived       = 71
)

// dropped are the capabilities that the neighbor made us leave out.
type dropped struct {
	all   bool
	codes []uint8
}

func (d *dropped) has(code uint8) bool { return d.all || slices.Contains(d.codes, code) }

// ours is the OPEN that we send. again: there has been a session before.
func (c *Config) ours(d *dropped, again bool) wire.Open {
	o := wire.Open{ASN: c.LocalASN, HoldTime: uint16(c.HoldTime / time.Second), ID: c.LocalID}
	p := &o.Capabilities
	for f := prefix.Family(0); f < prefix.Families; f++ {
		if !c.Families[f] {
			continue
		}
		if !d.has(capMultiprotocol) {
			p.Families = append(p.Families, wire.UnicastID(f))
		}
		mode := uint8(0)
		if c.AddPathReceive[f] {
			mode |= wire.AddPathReceive
		}
		if c.AddPathSend[f] {
			mode |= wire.AddPathSend
		}
		if mode != 0 && !d.has(69) {
			p.AddPath = append(p.AddPath, wire.AddPathFamily{FamilyID: wire.UnicastID(f), Mode: mode})
		}
	}
	p.RouteRefresh = !d.has(2)
	p.EnhancedRefresh = !d.has(70)
	p.AS4 = !d.has(65)
	p.ExtendedMessages = c.ExtendedMessage && !d.has(6)
	if c.ExtendedNextHop && c.Families[prefix.IPv4] && !d.has(5) {
		p.ExtendedNextHops = []wire.ExtendedNextHop{{FamilyID: wire.UnicastID(prefix.IPv4), NextHopAFI: prefix.IPv6.AFI()}}
	}
	// Roles are about eBGP only (RFC 9234 section 4.1).
	if c.HasRole && c.EBGP() && !d.has(9) {
		p.HasRole, p.Role = true, c.Role
	}
	if !d.has(capGracefulRestart) {
		c.restart(p, again)
		if d.has(capLongLived) {
			p.LongLived = nil
		}
	}
	return o
}

// check compares their OPEN with the configuration (RFC 4271 section 6.2). What
// any OPEN must be, the codec has seen to.
func (c *Config) check(ours, theirs *wire.Open) *wire.Error {
	bad := func(sub uint8, format string, args ...any) *wire.Error {
		return &wire.Error{Code: wire.CodeOpen, Subcode: sub, Why: fmt.Sprintf(format, args...)}
	}
	// RFC 7705 section 4.2: inside our AS, either number is right.
	if theirs.ASN != c.RemoteASN && (c.EBGP() || theirs.ASN != c.LocalASN && theirs.ASN != c.OtherASN) {
		return bad(openBadAS, "the neighbor is in AS %d, configured is %d", theirs.ASN, c.RemoteASN)
	}
	// RFC 6286 section 2.2: equal identifiers are an error within an AS only.
	if theirs.ID == c.LocalID && !c.EBGP() {
		return bad(openBadID, "the neighbor has our BGP identifier %v", addr4(c.LocalID))
	}
	if c.HasRole && c.EBGP() {
		switch p := &theirs.Capabilities; {
		case !p.HasRole && c.StrictRole: // RFC 9234 section 4.2, strict mode
			return bad(openRoleMismatch, "the neighbor sends no role, and ours is strict")
		case p.HasRole && !rolesMatch(c.Role, p.Role):
			return bad(openRoleMismatch, "the neighbor's role is %s, ours %s", RoleName(p.Role), RoleName(c.Role))
		}
	}
	for f := prefix.Family(0); f < prefix.Families; f++ {
		if c.Families[f] && ours.Capabilities.Has(f) && theirs.Capabilities.Has(f) {
			return nil
		}
	}
	// RFC 5492 section 3: name the capabilities that are missed.
	e := bad(openCapability, "no address family in common")
	for _, id := range ours.Capabilities.Families {
		e.Data = append(e.Data, capMultiprotocol, 4, byte(id.AFI>>8), byte(id.AFI), 0, id.SAFI)
	}
	return e
}

// rolesMatch is table 2 of RFC 9234 section 4.2.
func rolesMatch(ours, theirs uint8) bool {
	switch ours {
	case wire.RoleProvider:
		return theirs == wire.RoleCustomer
	case wire.RoleCustomer:
		return theirs == wire.RoleProvider
	case wire.RoleRS:
		return theirs == wire.RoleRSClient
	case wire.RoleRSClient:
		return theirs == wire.RoleRS
	}
	return ours == wire.RolePeer && theirs == wire.RolePeer
}

// RoleName is the name of a role (RFC 9234 section 4.1).
func RoleName(role uint8) string {
	names := [...]string{wire.RoleProvider: "provider", wire.RoleRS: "route server",
		wire.RoleRSClient: "route server client", wire.RoleCustomer: "customer", wire.RolePeer: "peer"}
	if int(role) < len(names) {
		return names[role]
	}
	return fmt.Sprintf("unknown role %d", role)
}

// negotiate is what follows from both OPENs.
func (c *Config) negotiate(ours, theirs *wire.Open) Established {
	a, b := &ours.Capabilities, &theirs.Capabilities
	e := Established{
		LocalASN: c.LocalASN, RemoteASN: theirs.ASN, LocalID: c.LocalID, RemoteID: theirs.ID,
		// RFC 4271 section 4.2: the smaller one; 0 does without.
		Hold:            min(c.HoldTime, time.Duration(theirs.HoldTime)*time.Second),
		Refresh:         a.RouteRefresh && b.RouteRefresh,
		EnhancedRefresh: a.EnhancedRefresh && b.EnhancedRefresh,
		RemoteRole:      -1,
	}
	if b.HasRole {
		e.RemoteRole = int(b.Role)
	}
	if e.Hold > 0 {
		e.Keepalive = max(e.Hold/3, time.Second) // RFC 4271 section 4.4: not more than one a second
		if c.KeepaliveTime > 0 {
			e.Keepalive = max(min(e.Keepalive, c.KeepaliveTime), time.Second)
		}
	}
	switch {
	case e.Hold == 0: // RFC 9687 section 4.3: no SendHoldTimer either
	case c.SendHoldTime > 0:
		e.SendHold = c.SendHoldTime
	default:
		e.SendHold = max(minSendHold, 2*e.Hold)
	}
	// RFC 8654 section 3: who does not offer them neither sends nor gets them.
	o := wire.Options{EBGP: c.EBGP(), AS4: a.AS4 && b.AS4, ExtMsg: a.ExtendedMessages && b.ExtendedMessages}
	for f := prefix.Family(0); f < prefix.Families; f++ {
		o.Families[f] = c.Families[f] && a.Has(f) && b.Has(f)
	}
	e.Restart = graceful(a, b, o.Families)
	e.Read, e.Write = o, o
	for f := prefix.Family(0); f < prefix.Families; f++ {
		e.Read.AddPath[f] = o.Families[f] &&
			a.AddPathMode(f)&wire.AddPathReceive != 0 && b.AddPathMode(f)&wire.AddPathSend != 0
		e.Write.AddPath[f] = o.Families[f] &&
			a.AddPathMode(f)&wire.AddPathSend != 0 && b.AddPathMode(f)&wire.AddPathReceive != 0
	}
	// RFC 8950 section 4: the capability is about what its sender takes.
	e.Read.ExtNH = a.HasExtendedNextHop()
	e.Write.ExtNH = c.ExtendedNextHop && b.HasExtendedNextHop()
	return e
}

func addr4(id uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], id)
	return netip.AddrFrom4(b)
}

// common are the families that are configured.
func (c *Config) common() []prefix.Family {
	var all []prefix.Family
	for f := prefix.Family(0); f < prefix.Families; f++ {
		if c.Families[f] {
			all = append(all, f)
		}
	}
	return all
}

func (d *dropped) String() string {
	if d.all {
		return "any"
	}
	return fmt.Sprint(d.codes)
}
