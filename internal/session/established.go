package session

import (
	"net/netip"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Reason is why a session ended.
type Reason = fsm.Reason

// Close ends a session: the NOTIFICATION, and what to do next.
type Close = fsm.Close

// Established is what both ends of a session agreed on.
type Established struct {
	LocalASN, RemoteASN uint32
	LocalID, RemoteID   uint32 // BGP identifiers, big-endian value of the four bytes
	Hold, Keepalive     time.Duration

	Local, Remote netip.AddrPort // of the connection
	// NextHop has our own address in each family on the interface of the
	// connection, to announce as next hop; invalid if there is none. That of
	// the connection's family is Local.
	NextHop [prefix.Families]netip.Addr
	// LinkLocal is the link-local IPv6 address of that interface, without
	// zone; valid only if the neighbor is directly connected (RFC 2545
	// section 3 allows it in next hops then).
	LinkLocal netip.Addr

	// Read is how UPDATEs of the neighbor are read, Write what we may send. In
	// Write, AddPath says that they take path ids (RFC 7911), ExtNH that they
	// take IPv4 routes with IPv6 next hops (RFC 8950).
	Read, Write wire.Options
	// Refresh and EnhancedRefresh: the neighbor takes ROUTE-REFRESH messages
	// (RFC 2918), with begin and end (RFC 7313).
	Refresh, EnhancedRefresh bool
	// RemoteRole is their role (RFC 9234), -1 if they sent none.
	RemoteRole int

	// Sent and Received are the capabilities of both OPENs, in order.
	Sent, Received []Capability
}

// Capability is one of an OPEN message (RFC 5492).
type Capability = fsm.Capability
