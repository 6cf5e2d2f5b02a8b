package fsm

import (
	"time"

	"holdfast/internal/prefix"
)

// Config is what a neighbor's machine needs to know. Zero durations of timers
// other than HoldTime and KeepaliveTime stand for the defaults below.
type Config struct {
	LocalASN, RemoteASN uint32
	// OtherASN is another AS that the neighbor may know us by (RFC 7705), tried
	// where it refuses LocalASN; 0: none. A neighbor in either is in our AS.
	OtherASN uint32
	LocalID  uint32 // BGP identifier, big-endian value of the four bytes
	Passive  bool   // wait for the neighbor to connect

	HoldTime      time.Duration // that we offer; 0: none, and no KEEPALIVEs
	KeepaliveTime time.Duration // at the most; 0: a third of the hold time

	ConnectRetryTime time.Duration
	IdleHoldTime     time.Duration // the first delay after a session; it doubles up to MaxIdleHold
	SendHoldTime     time.Duration // 0: 8 minutes or twice the hold time, if that is longer; none without a hold time

	Families        [prefix.Families]bool
	AddPathReceive  [prefix.Families]bool // RFC 7911
	AddPathSend     [prefix.Families]bool
	ExtendedMessage bool // RFC 8654
	ExtendedNextHop bool // RFC 8950

	Restart Restart // RFC 4724

	HasRole    bool  // RFC 9234
	Role       uint8 // ours, wire.RoleProvider and so on
	StrictRole bool  // refuse neighbors that do not send their role
}

// Timers (RFC 4271 section 10) and what bounds them.
const (
	DefaultHoldTime     = 90 * time.Second
	DefaultConnectRetry = 120 * time.Second
	DefaultIdleHold     = time.Second
	// MaxIdleHold bounds the delay of a neighbor that goes up and down.
	MaxIdleHold = 120 * time.Second
	// admission bounds how often a neighbor that connects again and again gets
	// a session.
	admission = 200 * time.Millisecond
	// stable is how long a session must have lasted for the delay to start
	// again from the first.
	stable = 5 * time.Minute
	// LargeHold is the hold timer of a connection until the OPEN of the
	// neighbor is there (RFC 4271 section 8.2.2 suggests it).
	LargeHold = 4 * time.Minute
	// firstRetry is the delay after the first attempt to connect that failed.
	// It doubles up to the ConnectRetryTime: a neighbor that has just started
	// is found soon, one that is gone costs little.
	firstRetry = time.Second
	// minSendHold: RFC 9687 section 4.1.
	minSendHold = 8 * time.Minute
	// patience is how long a connection waits for one that began at about the
	// same time and has precedence.
	patience = 3 * time.Second
)

func (c *Config) connectRetry() time.Duration {
	if c.ConnectRetryTime > 0 {
		return c.ConnectRetryTime
	}
	return DefaultConnectRetry
}

func (c *Config) idleHold() time.Duration {
	if c.IdleHoldTime > 0 {
		return c.IdleHoldTime
	}
	return DefaultIdleHold
}

// EBGP reports whether the session leaves our AS.
func (c *Config) EBGP() bool { return c.RemoteASN != c.LocalASN && c.RemoteASN != c.OtherASN }
