// Package fsm is the BGP finite state machine of RFC 4271 section 8 for one
// neighbor: events go in, actions come out. It has no clock, no goroutine and
// no socket; package session owns those and tells it the time.
//
// The RFC has one machine for each connection and a rule for collisions of two.
// Here one Machine has both connections that there can be, the one that we
// dial and the one that the neighbor dials, so that the rule stands in one
// place (collision.go). It differs from the RFC's text where the field does:
//
//   - After a failed attempt to connect, the machine listens (Active) and
//     tries again, sooner at first. The RFC would go Idle and refuse the
//     neighbor meanwhile.
//   - A passive neighbor is never dialed.
//   - While a session waits in Idle for the next attempt, a connection of the
//     neighbor is not refused but waits a moment (admission): it may have
//     mended what was wrong. Damping slows down our own attempts.
//   - DelayOpen, an option, is not there.
package fsm

import (
	"slices"
	"time"

	"holdfast/internal/wire"
)

// State is that of a neighbor (RFC 4271 section 8.2.2).
type State uint8

const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	EstablishedState
)

var stateNames = [...]string{"Idle", "Connect", "Active", "OpenSent", "OpenConfirm", "Established"}

func (s State) String() string { return stateNames[s] }

// Conn is one of the two connections with a neighbor.
type Conn uint8

const (
	Out Conn = iota // we connect
	In              // the neighbor connects
)

func (c Conn) String() string { return [...]string{"out", "in"}[c] }

// Other is the other one.
func (c Conn) Other() Conn { return 1 - c }

// EventKind is what has happened. The numbers are those of RFC 4271 section
// 8.1; the timers' events come from Tick.
type EventKind uint8

const (
	Start           EventKind = iota // 1, 3 to 7
	ManualStop                       // 2, with Close
	AutomaticStop                    // 8, 28, with Close: something is wrong with what the neighbor sends
	Accepted                         // 17: the neighbor has connected
	Connected                        // 16: our connection stands
	ConnectionFails                  // 18, with Text
	BGPOpen                          // 19, 22: an OPEN, with Body
	HeaderErr                        // 21, 28: a message that ends the session, with Err
	NotifMsg                         // 24, 25: with Body
	KeepAliveMsg                     // 26
	UpdateMsg                        // 27, and ROUTE-REFRESH
	SendHoldExpires                  // 29 (RFC 9687)
	Reconfigured                     // after a SetConfig that changes what attempts are made with
)

// Event is the input of a Machine.
type Event struct {
	Kind  EventKind
	Conn  Conn
	Close Close       // of ManualStop and AutomaticStop
	Body  []byte      // of the message, behind its header
	Err   *wire.Error // of HeaderErr
	Text  string      // of ConnectionFails
}

// ActionKind is what the driver must do.
type ActionKind uint8

const (
	// Dial begins an attempt to connect; Connected or ConnectionFails follows.
	Dial ActionKind = iota
	// Adopt makes the connection that Accepted was about the In connection.
	Adopt
	// Refuse closes it, after Msg if there is one.
	Refuse
	// Send queues Msg on a connection.
	Send
	// Disconnect closes a connection, or ends the attempt to connect. Msg, if
	// there is one, is the last thing to be sent.
	Disconnect
	// Up: the session on Conn is established.
	Up
	// Down: the established session has ended, for Reason.
	Down
	// Failed: an attempt at a session has ended, for Reason.
	Failed
	// Forget: the neighbor's routes, kept since a Down, may not be kept any longer.
	Forget
	// Note is for the log.
	Note
)

// Action is the output of a Machine.
type Action struct {
	Kind   ActionKind
	Conn   Conn
	Msg    []byte
	Reason Reason
	Up     *Established
	Text   string
}

// conn is one connection.
type conn struct {
	state     State // Idle: there is none; Connect: being dialed; OpenSent and up
	since     time.Time
	hold      time.Time // deadlines; zero is off
	keepalive time.Time
	decide    time.Time // when a collision is decided at the latest
	opened    bool      // the neighbor's OPEN has come
	confirmed bool      // and its KEEPALIVE, ahead of the decision
	cfg       Config    // as of its OPEN
	ours      wire.Open
	sent      []byte
	agreed    Established
}

// Machine is the state machine of one neighbor. It is not safe for concurrent
// use.
type Machine struct {
	cfg    Config
	jitter func() float64

	started bool
	// waiting: a connection was accepted in Idle and neither adopted nor
	// refused yet.
	waiting bool
	closed  Close // why it is not started
	conns   [2]conn

	connectRetry time.Time // deadlines; zero is off
	idleHold     time.Time
	admit        time.Time // from when on a connection of the neighbor ends idleHold

	damping  time.Duration // the next delay in Idle
	retry    time.Duration // the next delay after a failed connect
	attempts int           // ConnectRetryCounter
	dropped  dropped
	other    bool // OtherASN is tried
	lasting  bool // there has been a session: neither side knows less than then
	kept     bool // the neighbor's routes are, since the last one

	actions []Action
}

// New makes a machine that waits for Start. random returns values in [0, 1).
func New(cfg Config, random func() float64) *Machine {
	return &Machine{cfg: cfg, jitter: random, damping: cfg.idleHold(), retry: firstRetry, closed: Shutdown("")}
}

// SetConfig has an effect on the next connection. Reconfigured makes that be at
// once, where there is no session.
func (m *Machine) SetConfig(cfg Config) {
	m.cfg = cfg
	m.dropped, m.other = dropped{}, false
	m.damping = cfg.idleHold()
}

// State is that of the neighbor: of the connection that is farthest.
func (m *Machine) State() State {
	s := max(m.conns[Out].state, m.conns[In].state)
	if s == Idle && m.running() {
		return Active
	}
	return s
}

// running: neither stopped nor waiting in Idle.
func (m *Machine) running() bool { return m.started && m.idleHold.IsZero() }

// Started reports whether an operator wants the session.
func (m *Machine) Started() bool { return m.started }

// Limited reports whether a limit keeps the session down for a while: nobody is
// admitted before that.
func (m *Machine) Limited() bool { return m.started && !m.running() && m.admit.IsZero() }

// Kept reports whether the routes of the last session may be kept, as the
// neighbor is restarting.
func (m *Machine) Kept() bool { return m.kept }

// Attempts counts the connects since the last session (ConnectRetryCounter).
func (m *Machine) Attempts() int { return m.attempts }

// Next is when Tick must be called, false if there is no need.
func (m *Machine) Next() (time.Time, bool) {
	var next time.Time
	for _, t := range []time.Time{m.connectRetry, m.idleHold, m.admission(),
		m.conns[Out].hold, m.conns[Out].keepalive, m.conns[Out].decide,
		m.conns[In].hold, m.conns[In].keepalive, m.conns[In].decide} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next, !next.IsZero()
}

// admission is when the waiting connection is adopted.
func (m *Machine) admission() time.Time {
	if m.waiting {
		return m.admit
	}
	return time.Time{}
}

// Heard restarts the hold timer of an established session: the neighbor was
// alive at that time. It may be called late, but before Tick.
func (m *Machine) Heard(c Conn, at time.Time) {
	cn := &m.conns[c]
	if t := at.Add(cn.agreed.Hold); cn.state == EstablishedState && t.After(cn.hold) && !cn.hold.IsZero() {
		cn.hold = t
	}
}

// HoldExpires is when the hold timer of a connection does, false if it is off.
func (m *Machine) HoldExpires(c Conn) (time.Time, bool) {
	t := m.conns[c].hold
	return t, !t.IsZero()
}

// Wrote restarts the keepalive timer: an UPDATE was sent at that time (RFC
// 4271 section 8.2.2). It may be called late, but before Tick.
func (m *Machine) Wrote(c Conn, at time.Time) {
	cn := &m.conns[c]
	if cn.state != EstablishedState || cn.keepalive.IsZero() {
		return
	}
	// The least that jitter leaves of the interval, so that there is no need
	// to draw for every write.
	if t := at.Add(cn.agreed.Keepalive * 3 / 4); t.After(cn.keepalive) {
		cn.keepalive = t
	}
}

// Step takes an event and returns what to do about it, in this order. The
// slice is valid until the next call.
func (m *Machine) Step(now time.Time, e Event) []Action {
	m.actions = m.actions[:0]
	cn := &m.conns[e.Conn]
	switch e.Kind {
	case Start:
		m.start(now)
	case ManualStop:
		m.stop(now, e.Close, false)
	case AutomaticStop:
		m.stop(now, e.Close, true)
	case Reconfigured:
		m.reconfigured(now)
	case Accepted:
		m.accepted(now)
	case Connected:
		m.connected(now)
	case ConnectionFails:
		m.connectionFails(now, e.Conn, e.Text)
	case SendHoldExpires:
		// RFC 9687 section 4.3. A NOTIFICATION would wait behind what the
		// neighbor does not read.
		if cn.state >= OpenSent {
			m.drop(now, e.Conn, nil, Reason{Kind: Stopped, Code: wire.CodeSendHold,
				Text: "send hold timer expired: the neighbor does not read what it is sent (RFC 9687)"})
		}
	default:
		// Messages of a connection that is no more: the driver may be late.
		if cn.state >= OpenSent {
			m.message(now, e)
		}
	}
	m.settle(now)
	return m.actions
}

// Tick runs the timers that have expired.
func (m *Machine) Tick(now time.Time) []Action {
	m.actions = m.actions[:0]
	expired := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	for _, c := range []Conn{Out, In} {
		cn := &m.conns[c]
		if expired(cn.hold) { // event 10
			m.fail(now, c, Close{Code: wire.CodeHoldTimer})
		}
		if expired(cn.keepalive) { // event 11
			m.sendKeepalive(now, c)
		}
	}
	if expired(m.connectRetry) { // event 9
		m.connectRetry = time.Time{}
		if m.conns[Out].state == Connect {
			m.disconnect(Out, nil)
			m.emit(Action{Kind: Failed, Conn: Out, Reason: Reason{Kind: ConnectionFailed, Text: "no answer to the connect"}})
		}
		m.dial(now)
	}
	if expired(m.idleHold) || expired(m.admission()) { // event 13
		m.leaveIdle(now)
	}
	m.settle(now)
	return m.actions
}

func (m *Machine) emit(a Action) { m.actions = append(m.actions, a) }

// random shortens a time by up to a quarter (RFC 4271 section 10).
func (m *Machine) random(d time.Duration) time.Duration {
	return d - time.Duration(float64(d)*m.jitter()/4)
}

// start is an operator's: it ends all waiting.
func (m *Machine) start(now time.Time) {
	if m.running() {
		return // RFC 4271 section 8.2.2: ignored in all states but Idle
	}
	m.started, m.closed = true, Close{}
	m.damping, m.dropped = m.cfg.idleHold(), dropped{}
	m.attempts, m.retry = 0, firstRetry
	m.leaveIdle(now)
}

// reconfigured begins attempts anew: what was wrong may be mended. A session
// stays, and so do the delay that a limit has set and the routes of a neighbor that
// restarts.
func (m *Machine) reconfigured(now time.Time) {
	if !m.started || m.Limited() || m.State() == EstablishedState {
		return
	}
	kept := m.kept
	m.kept = false // else the stop would end them
	m.stop(now, Close{Code: wire.CodeCease, Subcode: wire.CeaseConfigChange}, false)
	m.kept = kept
	m.start(now)
}

func (m *Machine) leaveIdle(now time.Time) {
	m.idleHold, m.admit = time.Time{}, time.Time{}
	if m.waiting {
		m.waiting = false
		m.adopt(now)
		return
	}
	m.dial(now)
}

// stop ends all connections for the same reason.
func (m *Machine) stop(now time.Time, c Close, damped bool) {
	for _, i := range []Conn{Out, In} {
		switch m.conns[i].state {
		case Idle:
		case Connect:
			m.disconnect(i, nil)
		default:
			msg, r := m.conns[i].farewell(c)
			m.closeConn(now, i, msg, r)
		}
	}
	if m.kept && c.hard() {
		m.kept = false
		m.emit(Action{Kind: Forget})
	}
	if m.waiting && (c.StayDown || c.After > 0) {
		m.waiting = false
		m.emit(Action{Kind: Refuse, Msg: notification(c)})
	}
	m.connectRetry, m.idleHold, m.admit = time.Time{}, time.Time{}, time.Time{}
	switch {
	case c.StayDown:
		m.started, m.closed = false, c
	case m.started:
		delay := m.cfg.idleHold()
		if damped {
			delay = m.damp()
		}
		m.rest(now, max(delay, c.After), c.After)
	}
}

// damp is the delay before the next attempt; it doubles from one failure to
// the next (DampPeerOscillations).
func (m *Machine) damp() time.Duration {
	d := m.damping
	m.damping = min(2*d, max(MaxIdleHold, m.cfg.idleHold()))
	return d
}

// rest waits in Idle. Connections of the neighbor wait as well, or are refused
// as long as refuse says.
func (m *Machine) rest(now time.Time, d, refuse time.Duration) {
	m.idleHold = now.Add(m.random(d))
	m.admit = now.Add(min(d, admission))
	if refuse > 0 {
		m.idleHold = now.Add(d)
		m.admit = time.Time{}
	}
}

// dial is where our own connections begin.
func (m *Machine) dial(now time.Time) {
	if m.cfg.Passive || !m.running() || m.conns[Out].state != Idle || m.conns[In].state >= OpenConfirm {
		return
	}
	m.attempts++
	m.conns[Out] = conn{state: Connect, since: now}
	m.connectRetry = now.Add(m.random(m.cfg.connectRetry()))
	m.emit(Action{Kind: Dial, Conn: Out})
}

// again dials after a delay that doubles.
func (m *Machine) again(now time.Time) {
	if m.cfg.Passive {
		return
	}
	m.connectRetry = now.Add(m.random(min(m.retry, m.cfg.connectRetry())))
	m.retry = min(2*m.retry, m.cfg.connectRetry())
}

// disconnect forgets a connection.
func (m *Machine) disconnect(c Conn, msg []byte) {
	m.conns[c] = conn{}
	m.emit(Action{Kind: Disconnect, Conn: c, Msg: msg})
}

// closeConn also tells what was lost by it.
func (m *Machine) closeConn(now time.Time, c Conn, msg []byte, r Reason) {
	cn := m.conns[c]
	m.disconnect(c, msg)
	if cn.state == EstablishedState {
		r.Graceful = cn.agreed.Restart.keeps(r)
		m.kept = r.Graceful
		m.emit(Action{Kind: Down, Conn: c, Reason: r})
		m.dropped = dropped{} // the neighbor may have learned something
		if now.Sub(cn.since) >= stable {
			m.damping = m.cfg.idleHold()
		}
		return
	}
	m.emit(Action{Kind: Failed, Conn: c, Reason: r})
}

// drop ends a connection by an error; without another one, the neighbor goes
// Idle for a while.
func (m *Machine) drop(now time.Time, c Conn, msg []byte, r Reason) {
	m.closeConn(now, c, msg, r)
	if m.conns[c.Other()].state >= OpenSent {
		return
	}
	if m.conns[Out].state == Connect {
		m.disconnect(Out, nil)
	}
	m.connectRetry = time.Time{}
	m.rest(now, m.damp(), 0)
}

// fail is drop with a NOTIFICATION.
func (m *Machine) fail(now time.Time, c Conn, why Close) {
	msg, r := m.conns[c].farewell(why)
	m.drop(now, c, msg, r)
}

func (m *Machine) failErr(now time.Time, c Conn, err *wire.Error) {
	m.fail(now, c, Close{Code: err.Code, Subcode: err.Subcode, Data: slices.Clone(err.Data), Text: err.Why})
}

func notification(c Close) []byte { return wire.AppendNotification(nil, c.Code, c.Subcode, c.Data) }
