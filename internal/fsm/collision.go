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
// one, if there is one, and closes the loser. It reports whether c goes on.
//
// The RFC looks at connections in OpenConfirm, and leaves a gap: a connection
// that is going to lose may be established on one side, which then closes the
// winner, while the other side closes the loser. Here a loser whose winner is
// still on its way (being dialed, or without an OPEN) is not answered: it waits
// in OpenSent, so that no side can establish it, until the winner has spoken
// or failed, or patience ends.
func (m *Machine) collide(now time.Time, c Conn, remoteID uint32) bool {
	o := c.Other()
	other := &m.conns[o]
	wins := winner(&m.conns[c].cfg, remoteID) == c
	switch {
	case other.state == Idle:
	case other.state == EstablishedState, other.state == OpenConfirm && !wins:
		m.lose(now, c)
		return false
	case wins:
		m.lose(now, o)
	case now.Before(other.since.Add(patience)):
		m.conns[c].decide = other.since.Add(patience)
		return false
	default: // the other one may well be dead
		m.lose(now, o)
	}
	return true
}

// settle lets connections go on whose winner has failed.
func (m *Machine) settle(now time.Time) {
	for _, c := range []Conn{Out, In} {
		cn, o := &m.conns[c], c.Other()
		if cn.decide.IsZero() || m.conns[o].state != Idle && now.Before(cn.decide) {
			continue
		}
		if m.conns[o].state != Idle {
			m.lose(now, o)
		}
		m.confirm(now, c)
	}
}

// Undecided reports whether a connection waits for the outcome of a collision.
// If the neighbor has confirmed it, it may go up at any time then.
func (m *Machine) Undecided(c Conn) bool { return !m.conns[c].decide.IsZero() }

// lose closes the loser of a collision (event 23). The other connection goes
// on, so that nothing has failed.
func (m *Machine) lose(now time.Time, c Conn) {
	if m.conns[c].state == Connect {
		m.connectRetry = time.Time{}
		m.disconnect(c, nil)
		return
	}
	m.closeConn(now, c, notification(collision), collision.reason())
}
