package session

import (
	"context"
	"net"
	"net/netip"

	"holdfast/internal/prefix"
)

// Net is where connections come from: the kernel's, Kernel, or one in memory
// for tests.
type Net interface {
	// Listen opens a port, also on an address that no interface has yet.
	Listen(at netip.AddrPort) (net.Listener, error)
	// Absent reports whether no interface has an address now.
	Absent(a netip.Addr) bool
	// Password makes the listener demand TCP MD5 of addresses; "" ends that.
	Password(l net.Listener, remote netip.Prefix, password string) error
	// Segments limits those of the connections that a listener will accept; 0 ends
	// that.
	Segments(l net.Listener, mss uint16) error
	// Accepted applies what the neighbor's transport says to a connection that
	// the neighbor began.
	Accepted(nc net.Conn, t Transport) error
	Dial(ctx context.Context, t Transport) (net.Conn, error)
	// Addresses finds our own addresses on the interface of a connection.
	Addresses(local, remote netip.Addr) Addresses
}

// Addresses are our own ones on an interface, to announce as next hops.
type Addresses struct {
	Global    [prefix.Families]netip.Addr // invalid: none
	LinkLocal netip.Addr                  // without zone; invalid: none, or the neighbor is not directly connected
	Link      netip.Prefix                // the subnet of both ends of the connection; invalid: they have none in common
	Interface string                      // "" if the neighbor is not directly connected
}
