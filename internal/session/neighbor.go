package session

import (
	"net/netip"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
)

// DefaultPort is BGP's.
const DefaultPort = 179

// Neighbor is what a session needs to know. It is comparable with ==.
type Neighbor struct {
	ID   packet.ID
	Name string // for logs
	// Range is what it connected from; the listeners have that one's password
	// then. "" if it is configured.
	Range string
	// Interface has this neighbor alone, if it is set: whoever connects from a
	// link-local address there is this one. Remote is found out, and invalid
	// before.
	Interface string
	// Machine is the protocol's part.
	Machine fsm.Config
	Transport
	// Shutdown keeps the session down; ShutdownMessage goes to the neighbor as
	// far as 255 bytes hold it (RFC 9003).
	Shutdown        bool
	ShutdownMessage string
	// FastFallover ends the session when its link goes down, or our address of it
	// goes.
	FastFallover bool
}

// ownPassword is what listeners need for this neighbor alone.
func (n *Neighbor) ownPassword() string {
	if n.Range != "" || !n.Remote.IsValid() {
		return ""
	}
	return n.Password
}

// session is what a session is made of: all but what has an effect at once.
func (n Neighbor) session() Neighbor {
	n.Name, n.Range, n.Shutdown, n.ShutdownMessage, n.FastFallover = "", "", false, "", false
	n.Machine.ConnectRetryTime, n.Machine.IdleHoldTime = 0, 0
	n.Machine.Restart.Restarting, n.Machine.Restart.Forwarding = false, [prefix.Families]bool{}
	if n.Interface != "" {
		n.Remote = netip.Addr{} // which is as it may be
	}
	return n
}

// Transport is how a neighbor is connected.
type Transport struct {
	Remote netip.Addr // with the interface as zone if it is link-local; invalid: not known yet
	Port   uint16     // that we connect to; 0: 179
	Local  netip.Addr // that we connect from; invalid: the kernel chooses
	TTL    uint8      // of what we send; 0: the system's default
	MinTTL uint8      // of what we take (GTSM, RFC 5082); 0: any
	MSS    uint16     // the largest segments; 0: the kernel's choice
	DSCP   uint8      // of what we send
	// UserTimeout is how long what we send may stay unacknowledged; 0: the kernel's
	// choice.
	UserTimeout time.Duration
	Password    string // TCP MD5 (RFC 2385); "": none
}

// oneHop reports whether the neighbor must be directly connected.
func (t *Transport) oneHop() bool { return t.TTL == 1 || t.MinTTL == 255 }

func (t *Transport) remote() netip.AddrPort {
	port := t.Port
	if port == 0 {
		port = DefaultPort
	}
	return netip.AddrPortFrom(t.Remote, port)
}
