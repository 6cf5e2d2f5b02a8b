package engine

import (
	"holdfast/internal/wire"
)

// Role is what we are to a neighbor in another AS (RFC 9234).
type Role uint8

const (
	RoleNone Role = iota
	RoleProvider
	RoleRS
	RoleRSClient
	RoleCustomer
	RolePeer
)

// leaks reports whether a route has come against the roles: customers pass on what
// is only for customers, or a peer what is not its own or its customers' (RFC 9234
// section 5).
func (n *neighbor) leaks(a *wire.Attrs) bool {
	switch {
	case !n.EBGP || a.Has&wire.HasOTC == 0:
		return false
	case n.Role == RolePeer:
		return a.OTC != n.ASN
	}
	return n.Role == RoleProvider || n.Role == RoleRS
}

// onlyToCustomer is the value of the attribute OTC that routes of a neighbor get
// which come without: its AS number where such routes do not go to it, else 0.
func (n *Neighbor) onlyToCustomer() uint32 {
	if n.refuses() {
		return n.ASN
	}
	return 0
}

// marks reports whether routes to a neighbor go with OTC: it must not pass them on
// but to its customers.
func (n *neighbor) marks() bool {
	return n.EBGP && (n.Role == RoleProvider || n.Role == RolePeer || n.Role == RoleRS)
}

// refuses reports whether routes with OTC do not go to a neighbor: it is our
// provider, our peer or a route server.
func (n *Neighbor) refuses() bool {
	return n.EBGP && (n.Role == RoleCustomer || n.Role == RolePeer || n.Role == RoleRSClient)
}
