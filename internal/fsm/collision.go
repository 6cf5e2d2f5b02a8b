package fsm

import (
	"time"

	"holdfast/internal/wire"
)

var collision = Close{Code: wire.CodeCease, Subcode: wire.CeaseCollision, Text: "two connections at once"}

// winner is the connection that stays of two (RFC 4271 section 6.8): the one
// that the speaker with the higher BGP identifier began; if the identifiers
// are equal, the one with the higher AS number (RFC 6286 section 2.3).
func winner(cfg *Config, remoteID uint32) Conn {
	if cfg.LocalID > remoteID || cfg.LocalID == remoteID && cfg.LocalASN > cfg.RemoteASN {
		return Out
	}
	return In
}

// collide decides between a connection whose OPEN has just come and the other
// one, and closes the loser. It reports whether c stays.
//
// The other one counts from OpenConfirm on, as the RFC has it, and in OpenSent
// if it is young: the OPEN on c told whom it leads to, and both sides decide
// the same at once, before a session that will be closed has come up. An old
// connection without an OPEN may be dead; what is alive is not closed for it.
func (m *Machine) collide(now time.Time, c Conn, remoteID uint32) bool {
	o := c.Other()
	other := &m.conns[o]
	switch other.state {
	case EstablishedState:
		m.lose(now, c)
		return false
	case OpenConfirm:
	case OpenSent:
		if now.Sub(other.since) > simultaneous {
			return true
		}
	default:
		return true
	}
	if winner(&m.conns[c].cfg, remoteID) == c {
		m.lose(now, o)
		return true
	}
	m.lose(now, c)
	return false
}

// lose closes the loser of a collision (event 23). The other connection goes
// on, so that nothing has failed.
func (m *Machine) lose(now time.Time, c Conn) {
	m.closeConn(now, c, notification(collision), collision.reason())
}
