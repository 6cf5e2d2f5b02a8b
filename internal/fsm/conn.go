package fsm

import (
	"fmt"
	"slices"
	"time"

	"holdfast/internal/wire"
)

// accepted: the neighbor has connected.
func (m *Machine) accepted(now time.Time) {
	refuse := func(c Close) { m.emit(Action{Kind: Refuse, Conn: In, Msg: notification(c)}) }
	switch {
	case !m.started:
		// RFC 4271 section 8.2.2: Idle refuses. RFC 4486 section 4: say why.
		c := m.closed
		if c.Code == 0 || c.Subcode != wire.CeaseShutdown {
			c = Close{Code: wire.CodeCease, Subcode: wire.CeaseRejected}
		}
		refuse(c)
	case !m.running() && m.admit.IsZero():
		refuse(Close{Code: wire.CodeCease, Subcode: wire.CeaseRejected})
	case !m.running():
		m.waiting = true // instead of one that waited before
		if !now.Before(m.admit) {
			m.leaveIdle(now)
		}
	case m.conns[In].state == EstablishedState || m.conns[Out].state == EstablishedState:
		if !m.restarted(now) {
			// RFC 4271 section 6.8: the established connection stays.
			refuse(collision)
			return
		}
		m.adopt(now)
	default:
		// A neighbor has one connection of its own: it has given up the
		// one before.
		if m.conns[In].state != Idle {
			m.lose(now, In)
		}
		m.adopt(now)
	}
}

// restarted: a neighbor that connects again although there is a session has
// restarted before we have noticed (RFC 4724 section 5). It ends that session,
// unless it is so young that the two may just have crossed.
func (m *Machine) restarted(now time.Time) bool {
	c := Out
	if m.conns[In].state == EstablishedState {
		c = In
	}
	cn := &m.conns[c]
	if !cn.agreed.Restart.any() || now.Before(cn.since.Add(patience)) {
		return false
	}
	m.closeConn(now, c, nil, Reason{Kind: ConnectionFailed, Text: "the neighbor has connected again: it has restarted"})
	return true
}

func (m *Machine) adopt(now time.Time) {
	m.emit(Action{Kind: Adopt, Conn: In})
	m.sendOpen(now, In)
}

// connected: what we dialed stands.
func (m *Machine) connected(now time.Time) {
	if m.conns[Out].state != Connect {
		return
	}
	m.connectRetry = time.Time{}
	m.sendOpen(now, Out)
}

func (m *Machine) sendOpen(now time.Time, c Conn) {
	cfg := m.current()
	cn := conn{state: OpenSent, since: now, cfg: cfg, ours: cfg.ours(&m.dropped, m.lasting), hold: now.Add(LargeHold)}
	cn.sent = wire.AppendOpen(nil, &cn.ours)
	m.conns[c] = cn
	m.emit(Action{Kind: Send, Conn: c, Msg: cn.sent})
}

func (m *Machine) sendKeepalive(now time.Time, c Conn) {
	cn := &m.conns[c]
	m.emit(Action{Kind: Send, Conn: c, Msg: wire.AppendKeepalive(nil)})
	if cn.keepalive = (time.Time{}); cn.agreed.Keepalive > 0 {
		cn.keepalive = now.Add(m.random(cn.agreed.Keepalive))
	}
}

// connectionFails: TCP could not connect, or the connection is gone.
func (m *Machine) connectionFails(now time.Time, c Conn, text string) {
	r := Reason{Kind: ConnectionFailed, Text: text}
	switch m.conns[c].state {
	case Idle:
	case Connect, OpenSent:
		// RFC 4271 section 8.2.2, OpenSent: restart ConnectRetryTimer, go
		// Active.
		m.closeConn(now, c, nil, r)
		if c == Out {
			m.again(now)
		} else if m.conns[Out].state == Idle && m.connectRetry.IsZero() {
			m.again(now)
		}
	default:
		m.drop(now, c, nil, r)
	}
}

// message is one that came on a connection in OpenSent or above.
func (m *Machine) message(now time.Time, e Event) {
	cn := &m.conns[e.Conn]
	switch {
	case e.Kind == HeaderErr:
		m.failErr(now, e.Conn, e.Err)
	case e.Kind == NotifMsg:
		m.notified(now, e.Conn, e.Body)
	case e.Kind == BGPOpen && cn.state == OpenSent && !cn.opened:
		m.open(now, e.Conn, e.Body)
	case e.Kind == KeepAliveMsg && cn.opened && cn.state == OpenSent && !cn.confirmed:
		cn.confirmed = true // it counts when the collision is decided
	case e.Kind == KeepAliveMsg && cn.state == OpenConfirm:
		m.establish(now, e.Conn)
	case (e.Kind == KeepAliveMsg || e.Kind == UpdateMsg) && cn.state == EstablishedState:
		m.Heard(e.Conn, now)
	default:
		// RFC 6608: the subcode is the state in which the message was
		// unexpected, the data its type.
		types := map[EventKind]byte{BGPOpen: wire.MsgOpen, KeepAliveMsg: wire.MsgKeepalive, UpdateMsg: wire.MsgUpdate}
		sub := uint8(cn.state - OpenSent + 1)
		m.fail(now, e.Conn, Close{Code: wire.CodeFSM, Subcode: sub, Data: []byte{types[e.Kind]}})
	}
}

func (m *Machine) open(now time.Time, c Conn, body []byte) {
	cn := &m.conns[c]
	theirs, err := wire.ParseOpen(body)
	if err == nil {
		err = cn.cfg.check(&cn.ours, &theirs)
	}
	if err != nil {
		m.failErr(now, c, err)
		return
	}
	cn.agreed = cn.cfg.negotiate(&cn.ours, &theirs)
	cn.agreed.Sent = wire.OpenCapabilities(cn.sent[wire.HeaderLen:])
	cn.agreed.Received = wire.OpenCapabilities(body)
	cn.opened = true
	if m.collide(now, c, theirs.ID) {
		m.confirm(now, c)
	}
}

// confirm answers the neighbor's OPEN.
func (m *Machine) confirm(now time.Time, c Conn) {
	cn := &m.conns[c]
	cn.state, cn.decide = OpenConfirm, time.Time{}
	m.sendKeepalive(now, c)
	if cn.hold = (time.Time{}); cn.agreed.Hold > 0 {
		cn.hold = now.Add(cn.agreed.Hold)
	}
	if cn.confirmed {
		m.establish(now, c)
	}
}

func (m *Machine) establish(now time.Time, c Conn) {
	cn := &m.conns[c]
	if o := c.Other(); m.conns[o].state != Idle {
		// Its OPEN has not come. When it did, this connection would stay
		// (RFC 4271 section 6.8).
		m.lose(now, o)
	}
	m.connectRetry = time.Time{}
	m.attempts, m.retry = 0, firstRetry
	m.lasting, m.kept = true, false
	cn.state, cn.since = EstablishedState, now
	if cn.agreed.Hold > 0 {
		cn.hold = now.Add(cn.agreed.Hold)
	}
	e := cn.agreed
	m.emit(Action{Kind: Up, Conn: c, Up: &e})
}

// notified: the neighbor ends the session (events 24 and 25).
func (m *Machine) notified(now time.Time, c Conn, body []byte) {
	n, err := wire.ParseNotification(body)
	if err != nil {
		// RFC 4271 section 6.4: an error in a NOTIFICATION is not answered.
		m.drop(now, c, nil, Reason{Kind: Stopped, Text: err.Why})
		return
	}
	r := received(n)
	if m.conns[c].state == OpenSent && n.Code == wire.CodeOpen &&
		(n.Subcode == openParameter || n.Subcode == openCapability) && m.fallBack(n) {
		m.damping = m.cfg.idleHold() // what follows is a new attempt, not the same again
	}
	if m.conns[c].state < EstablishedState && n.Code == wire.CodeOpen && n.Subcode == openBadAS && m.switchAS(c) {
		m.damping = m.cfg.idleHold() // likewise
	}
	if n.Code == wire.CodeCease && n.Subcode == wire.CeaseCollision && m.conns[c].state < EstablishedState {
		// The neighbor has closed the loser of a collision. The winner may be
		// ahead of its OPEN, or about to be accepted: no reason to go Idle.
		m.closeConn(now, c, nil, r)
		if m.conns[Out].state == Idle && m.conns[In].state == Idle {
			m.again(now)
		}
		return
	}
	m.drop(now, c, nil, r)
}

// current is the configuration for the next connection.
func (m *Machine) current() Config {
	c := m.cfg
	if m.other {
		c.LocalASN, c.OtherASN = c.OtherASN, c.LocalASN
	}
	return c
}

// switchAS makes the next attempt with the other one of our AS numbers, as the
// neighbor has refused that of c (RFC 7705 section 4.2). False if both have been
// tried, or there is only one.
func (m *Machine) switchAS(c Conn) bool {
	if m.cfg.OtherASN == 0 {
		return false
	}
	if m.conns[c].cfg.LocalASN == m.current().LocalASN {
		m.other = !m.other
		m.emit(Action{Kind: Note, Text: fmt.Sprintf("the neighbor does not know us as AS %d: trying AS %d", m.conns[c].cfg.LocalASN, m.current().LocalASN)})
	}
	return m.other
}

// fallBack leaves out what the neighbor complains about, so that the next
// attempt comes without it (RFC 5492 section 3): the capabilities that its
// NOTIFICATION names, or all. False if that cannot help.
func (m *Machine) fallBack(n wire.Notification) bool {
	d := dropped{all: true}
	if n.Subcode == openCapability && len(n.Data) > 0 {
		d = dropped{codes: slices.Clone(m.dropped.codes)}
		for b := n.Data; len(b) >= 2; b = b[min(len(b), 2+int(b[1])):] {
			d.codes = append(d.codes, b[0])
		}
		slices.Sort(d.codes)
		d.codes = slices.Compact(d.codes)
	}
	if m.dropped.all || !d.all && slices.Equal(d.codes, m.dropped.codes) {
		m.dropped = dropped{} // it did not help: begin again with all
		return false
	}
	without := m.cfg.ours(&d, false)
	if !slices.ContainsFunc(m.cfg.common(), without.Capabilities.Has) {
		return false
	}
	m.dropped = d
	m.emit(Action{Kind: Note, Text: "the neighbor does not take our capabilities: trying without " + d.String()})
	return true
}
