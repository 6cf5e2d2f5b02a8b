package session

import (
	"net/netip"
	"time"

	"holdfast/internal/fsm"
)

// Status is what is to be known about a neighbor's session.
type Status struct {
	State fsm.State
	// Since is when the session was established; if it is not, when the last
	// one ended, or when the neighbor was added.
	Since time.Time
	// LastEstablished is when the current or the last session was.
	LastEstablished time.Time
	// Shutdown is an administrator's; ShutdownMessage went to the neighbor.
	Shutdown        bool
	ShutdownMessage string
	// Stopped: the session stays down until it is enabled, by an administrator
	// or because it was closed that way; see LastReset.
	Stopped bool
	// Refusing: a limit keeps the session down for a while.
	Refusing bool
	// Attempts counts the attempts to connect since the last session.
	Attempts int
	// Sessions counts those that were established.
	Sessions uint64

	// Local and Remote are the ends of the connection; invalid without one.
	Local, Remote netip.AddrPort
	// Established is nil if the session is not.
	Established *Established
	// Sent and Received are the capabilities of the last session's OPENs.
	Sent, Received []Capability

	// LastReset is the end of the last session, nil if none has ended;
	// LastError that of the last attempt that came to nothing.
	LastReset, LastError *End

	// Pending: settings have changed that count from the next session on.
	Pending bool

	In, Out Counts
	Queued  int // packets that wait to be written

	conn *conn // of the established session; nil in what others get
}

// End is when and why something ended.
type End struct {
	At     time.Time
	Reason Reason
}
