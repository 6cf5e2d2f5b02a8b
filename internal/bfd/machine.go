// Package bfd finds out within a second that a neighbor is gone: asynchronous
// mode of RFC 5880 over one hop (RFC 5881) and several (RFC 5883), without echo
// and without authentication.
//
// Machine is the protocol for one neighbor: packets and the time go in, what is
// to be sent comes out. Driver has the sockets and the clock of all of them, on
// a thread of its own: goroutines would be late when the rest of the process is
// busy.
package bfd

import "time"

// slow is the shortest interval of a session that is not up (RFC 5880 section
// 6.8.3).
const slow = time.Second

// Timers are what an administrator wants.
type Timers struct {
	Interval   time.Duration `json:"interval"`    // bfd.DesiredMinTxInterval while the session is up
	MinReceive time.Duration `json:"min_receive"` // bfd.RequiredMinRxInterval
	Multiplier uint8         `json:"multiplier"`  // bfd.DetectMult
}

// Send says which packets are due.
type Send uint8

const (
	Periodic Send = 1 << iota
	Final         // the answer to a Poll
)

// poll is a Poll Sequence (RFC 5880 section 6.5).
type poll uint8

const (
	noPoll  poll = iota
	polling      // until a Final comes
	again        // and then once more: something has changed meanwhile
)

// Machine is a session. Time is what has passed since any moment that is the
// same for all calls. It is not safe for concurrent use.
type Machine struct {
	want   Timers
	discr  uint32
	random func() float64 // values in [0, 1)

	state, remoteState State
	diag, remoteDiag   Diag
	poll               poll
	unheard            bool // it goes on from before, and the neighbor has not said yet that it is up

	// Of the last packet of the neighbor.
	remoteDiscr       uint32 // 0: none has come for a detection time
	remoteMinRx       time.Duration
	remoteMinTx       time.Duration
	remoteMultiplier  uint8
	remoteDemand      bool
	remoteIndependent bool

	// The intervals in use: what is announced may count only when a Poll
	// Sequence is over.
	tx, rx time.Duration

	heard  time.Duration // when the last packet came
	sent   time.Duration // when the last periodic one went
	next   time.Duration // when the next one goes
	missed uint64        // packets that have not come while the session was up
}

// New makes a session that sends its first packet at once. discr is unique on
// this machine and not 0.
func New(want Timers, discr uint32, now time.Duration, random func() float64) *Machine {
	m := &Machine{want: want, discr: discr, random: random, state: Down, remoteState: Down, remoteMinRx: time.Microsecond, next: now}
	m.tx, m.rx = m.desired(), want.MinReceive
	return m
}

// desired is bfd.DesiredMinTxInterval.
func (m *Machine) desired() time.Duration {
	if m.state == Up {
		return m.want.Interval
	}
	return max(m.want.Interval, slow)
}

// Packet is what is sent now.
func (m *Machine) Packet(final bool) Packet {
	return Packet{
		Diag: m.diag, State: m.state, Poll: m.poll != noPoll && !final, Final: final, Multiplier: m.want.Multiplier,
		My: m.discr, Your: m.remoteDiscr, DesiredMinTx: m.desired(), RequiredMinRx: m.want.MinReceive,
	}
}

// SetTimers changes what the administrator wants.
func (m *Machine) SetTimers(now time.Duration, want Timers) {
	if want == m.want {
		return
	}
	m.want = want
	m.changed(now)
}

// Stop makes the session administratively down: the neighbor is to know that
// nothing has failed.
func (m *Machine) Stop(now time.Duration) {
	if m.state != AdminDown {
		m.to(now, AdminDown, DiagAdminDown)
	}
}

// to is each change of state. It is told at once (RFC 5880 section 6.8.7).
func (m *Machine) to(now time.Duration, s State, why Diag) {
	m.state, m.diag = s, why
	m.changed(now)
	m.next = now
}

// changed begins a Poll Sequence for new timers. In a session that is up, slower
// ones count for us when it is over, and so does a shorter detection time (RFC
// 5880 section 6.8.3).
func (m *Machine) changed(now time.Duration) {
	if m.state == Up {
		m.tx, m.rx = min(m.tx, m.desired()), max(m.rx, m.want.MinReceive)
	} else {
		m.tx, m.rx = m.desired(), m.want.MinReceive
	}
	switch {
	case m.remoteDiscr == 0:
		m.poll = noPoll // nobody is there to answer
	case m.poll == noPoll:
		m.poll = polling
	default:
		m.poll = again
	}
	m.schedule(now)
}

// Receive takes a packet that Parse has passed and that is for this session, by
// the rest of RFC 5880 section 6.8.6.
func (m *Machine) Receive(now time.Duration, p *Packet) Send {
	before, state := m.interval(), m.state
	if m.state == Up && m.remoteDiscr != 0 {
		m.missed += missing(now-m.heard, max(m.rx, m.remoteMinTx))
	}
	m.remoteDiscr, m.remoteState, m.remoteDiag = p.My, p.State, p.Diag
	m.remoteMinRx, m.remoteMinTx, m.remoteMultiplier = p.RequiredMinRx, p.DesiredMinTx, p.Multiplier
	m.remoteDemand, m.remoteIndependent = p.Demand, p.Independent
	m.heard = now
	if p.Final {
		m.answered()
	}
	if m.state == AdminDown {
		return 0
	}
	switch {
	case p.State == AdminDown:
		if m.state != Down {
			m.to(now, Down, DiagNeighborDown)
		}
	case m.state == Down && p.State == Down:
		m.to(now, Init, m.diag)
	case m.state == Down && p.State == Init, m.state == Init && (p.State == Init || p.State == Up):
		m.to(now, Up, DiagNone)
	case m.state == Up && p.State == Down:
		m.to(now, Down, DiagNeighborDown)
	}
	if m.state == Up {
		m.unheard = false
	}
	if m.state == state && m.interval() != before {
		m.schedule(now)
	}
	if p.Poll {
		return Final
	}
	return 0
}

// answered is the end of a Poll Sequence.
func (m *Machine) answered() {
	switch m.poll {
	case again:
		m.poll = polling
	case polling:
		m.poll = noPoll
		m.tx, m.rx = m.desired(), m.want.MinReceive
	}
}

// missing is how many packets did not come in the time between two that did.
// The margin is for those that are only late.
func missing(gap, interval time.Duration) uint64 {
	if interval <= 0 {
		return 0
	}
	return uint64((gap - gap/20) / interval)
}

// interval is that between two packets, 0 if none are to be sent (RFC 5880
// section 6.8.7).
func (m *Machine) interval() time.Duration {
	if m.remoteMinRx == 0 || m.remoteDemand && m.state == Up && m.remoteState == Up && m.poll == noPoll {
		return 0
	}
	return max(m.tx, m.remoteMinRx)
}

// jittered shortens an interval by up to a quarter, and with a multiplier of 1 by
// a tenth at least (RFC 5880 section 6.8.7).
func (m *Machine) jittered(d time.Duration) time.Duration {
	least, most := 0.75, 1.0
	if m.want.Multiplier == 1 {
		most = 0.9
	}
	return time.Duration(float64(d) * (least + (most-least)*m.random()))
}

// schedule sets the time of the next packet by that of the last one, unless it
// is due anyway.
func (m *Machine) schedule(now time.Duration) {
	if d := m.interval(); d > 0 && m.next > now {
		m.next = max(now, m.sent+m.jittered(d))
	}
}

// DetectionTime is how long the neighbor may be silent (RFC 5880 section 6.8.4).
func (m *Machine) DetectionTime() time.Duration {
	return time.Duration(m.remoteMultiplier) * max(m.rx, m.remoteMinTx)
}

// Expires is when the neighbor counts as gone; false if it is.
func (m *Machine) Expires() (time.Duration, bool) {
	return m.heard + m.DetectionTime(), m.remoteDiscr != 0
}

// never is later than any time.
const never = 1<<63 - 1

// Next is when Tick must be called.
func (m *Machine) Next() time.Duration {
	at := time.Duration(never)
	if m.interval() > 0 {
		at = m.next
	}
	if gone, ok := m.Expires(); ok {
		at = min(at, gone)
	}
	return at
}

// Tick does what is due. What has come must have been received before.
func (m *Machine) Tick(now time.Duration) Send {
	if at, ok := m.Expires(); ok && now >= at {
		// RFC 5880 section 6.8.1: nothing of the neighbor holds any more.
		m.remoteDiscr, m.remoteState, m.remoteMinRx, m.remoteDemand, m.poll = 0, Down, time.Microsecond, false, noPoll
		if m.state == Init || m.state == Up {
			m.to(now, Down, DiagExpired)
		} else {
			m.schedule(now)
		}
	}
	d := m.interval()
	if d == 0 || now < m.next {
		return 0
	}
	m.sent, m.next = now, now+m.jittered(d)
	return Periodic
}
