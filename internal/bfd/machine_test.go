package bfd

import (
	"math/rand/v2"
	"testing"
	"time"
)

const ms = time.Millisecond

var usual = Timers{Interval: 300 * ms, MinReceive: 300 * ms, Multiplier: 3}

func middle() float64 { return 0.5 }

// machine is one in a state, as a neighbor with discriminator 7 has brought it
// there.
func machine(t *testing.T, state State) *Machine {
	t.Helper()
	m := New(usual, 1, 0, middle)
	say := func(s State) {
		m.Receive(0, &Packet{State: s, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 300 * ms})
	}
	switch state {
	case AdminDown:
		m.Stop(0)
	case Init:
		say(Down)
	case Up:
		say(Init)
		m.Receive(0, &Packet{State: Up, Final: true, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 300 * ms})
	}
	if m.state != state {
		t.Fatalf("it is %v, not %v", m.state, state)
	}
	return m
}

// TestStates is the table of RFC 5880 section 6.2, and what section 6.8.6 says of
// AdminDown.
func TestStates(t *testing.T) {
	const expires = State(99)
	for _, c := range []struct {
		in, receives, want State
		diag               Diag
	}{
		{Down, Down, Init, DiagNone},
		{Down, Init, Up, DiagNone},
		{Down, Up, Down, DiagNone},
		{Down, AdminDown, Down, DiagNone},
		{Init, Down, Init, DiagNone},
		{Init, Init, Up, DiagNone},
		{Init, Up, Up, DiagNone},
		{Init, AdminDown, Down, DiagNeighborDown},
		{Init, expires, Down, DiagExpired},
		{Up, Down, Down, DiagNeighborDown},
		{Up, Init, Up, DiagNone},
		{Up, Up, Up, DiagNone},
		{Up, AdminDown, Down, DiagNeighborDown},
		{Up, expires, Down, DiagExpired},
		{AdminDown, Down, AdminDown, DiagAdminDown},
		{AdminDown, Init, AdminDown, DiagAdminDown},
		{AdminDown, Up, AdminDown, DiagAdminDown},
		{AdminDown, AdminDown, AdminDown, DiagAdminDown},
	} {
		m := machine(t, c.in)
		if c.receives == expires {
			if at, ok := m.Expires(); !ok || at != 900*ms {
				t.Errorf("%v expires at %v", c.in, at)
			}
			m.Tick(900*ms - 1)
			if m.state != c.in {
				t.Errorf("%v has expired too early", c.in)
			}
			m.Tick(900 * ms)
			if m.remoteDiscr != 0 {
				t.Errorf("%v: after the detection time the discriminator of the neighbor is kept", c.in)
			}
		} else {
			m.Receive(100*ms, &Packet{State: c.receives, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 300 * ms})
		}
		if m.state != c.want || m.diag != c.diag {
			t.Errorf("%v, then %v: %v (%v), want %v (%v)", c.in, c.receives, m.state, m.diag, c.want, c.diag)
		}
		// A change is told at once.
		if now := 900 * ms; m.state != c.in && m.Tick(now)&Periodic == 0 && m.sent != now {
			t.Errorf("%v, then %v: the change is not told at once", c.in, c.receives)
		}
	}
}

// TestSlow: a session that is not up sends once a second at the most, whatever
// is configured.
func TestSlow(t *testing.T) {
	m := New(Timers{Interval: 50 * ms, MinReceive: 50 * ms, Multiplier: 3}, 1, 0, rand.Float64)
	sent := 0
	for now := time.Duration(0); now < 100*time.Second; now += ms {
		if m.Tick(now)&Periodic != 0 {
			sent++
			if p := m.Packet(false); p.DesiredMinTx != time.Second || p.RequiredMinRx != 50*ms || p.State != Down || p.Your != 0 || p.Poll {
				t.Fatalf("%+v", p)
			}
		}
	}
	if sent < 100 || sent > 134 {
		t.Errorf("%d packets in 100 s", sent)
	}
}

// TestJitter: 75 to 100 % of the interval, with a multiplier of 1 at most 90 %.
func TestJitter(t *testing.T) {
	for _, c := range []struct {
		multiplier  uint8
		least, most time.Duration
	}{{3, 225 * ms, 300 * ms}, {1, 225 * ms, 270 * ms}} {
		m := machine(t, Up)
		m.want.Multiplier, m.random = c.multiplier, rand.Float64
		shortest, longest, last := time.Hour, time.Duration(0), time.Duration(0)
		for range 2000 {
			now := m.Next()
			m.heard = now // it does not fall silent
			if m.Tick(now)&Periodic == 0 {
				continue
			}
			if last > 0 {
				shortest, longest = min(shortest, now-last), max(longest, now-last)
			}
			last = now
		}
		if shortest < c.least || longest > c.most || shortest > c.least+2*ms || longest < c.most-2*ms {
			t.Errorf("multiplier %d: from %v to %v, want %v to %v", c.multiplier, shortest, longest, c.least, c.most)
		}
	}
}

// TestIntervals: the slower side decides, for each direction (RFC 5880 sections
// 6.8.2, 6.8.4), with the multiplier of who sends.
func TestIntervals(t *testing.T) {
	m := machine(t, Up)
	m.Receive(0, &Packet{State: Up, Multiplier: 5, My: 7, Your: 1, DesiredMinTx: 400 * ms, RequiredMinRx: 1000 * ms})
	if m.interval() != 1000*ms || m.DetectionTime() != 5*400*ms {
		t.Errorf("%v, %v", m.interval(), m.DetectionTime())
	}
	m.Receive(0, &Packet{State: Up, Multiplier: 2, My: 7, Your: 1, DesiredMinTx: 10 * ms, RequiredMinRx: 10 * ms})
	if m.interval() != 300*ms || m.DetectionTime() != 2*300*ms {
		t.Errorf("%v, %v", m.interval(), m.DetectionTime())
	}
	// Who wants nothing gets nothing but answers.
	m.Receive(0, &Packet{State: Up, Multiplier: 2, My: 7, Your: 1, DesiredMinTx: 10 * ms})
	if m.interval() != 0 || m.Next() != 600*ms {
		t.Errorf("required min rx 0: %v, %v", m.interval(), m.Next())
	}
	if m.Receive(0, &Packet{State: Up, Poll: true, Multiplier: 2, My: 7, Your: 1, DesiredMinTx: 10 * ms})&Final == 0 {
		t.Error("a Poll has no answer")
	}
}

// TestShorterAtOnce: a neighbor that can receive more is not kept waiting (RFC
// 5880 section 6.8.7).
func TestShorterAtOnce(t *testing.T) {
	m := machine(t, Up)
	m.Receive(0, &Packet{State: Up, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 10 * time.Second})
	m.Tick(m.Next())
	m.Receive(800*ms, &Packet{State: Up, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 300 * ms})
	if m.Next() > 800*ms {
		t.Errorf("the next packet goes at %v", m.Next())
	}
}

// TestPoll: new timers of a session that is up count when the neighbor knows them
// (RFC 5880 sections 6.5, 6.8.3).
func TestPoll(t *testing.T) {
	answer := func(m *Machine, final bool) {
		m.Receive(0, &Packet{State: Up, Final: final, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 100 * ms, RequiredMinRx: 100 * ms})
	}
	m := machine(t, Up)
	if p := m.Packet(false); p.Poll || p.DesiredMinTx != 300*ms {
		t.Fatalf("before: %+v", p)
	}
	// Slower sending and faster detection wait for the answer.
	m.SetTimers(0, Timers{Interval: 800 * ms, MinReceive: 100 * ms, Multiplier: 3})
	if p := m.Packet(false); !p.Poll || p.DesiredMinTx != 800*ms || p.RequiredMinRx != 100*ms {
		t.Errorf("%+v", p)
	}
	if p := m.Packet(true); p.Poll || !p.Final {
		t.Errorf("an answer is not to ask itself: %+v", p)
	}
	answer(m, false)
	if m.interval() != 300*ms || m.DetectionTime() != 900*ms {
		t.Errorf("before the answer: %v, %v", m.interval(), m.DetectionTime())
	}
	answer(m, true)
	if m.interval() != 800*ms || m.DetectionTime() != 300*ms || m.Packet(false).Poll {
		t.Errorf("after the answer: %v, %v", m.interval(), m.DetectionTime())
	}
	// Faster sending and slower detection do not.
	m.SetTimers(0, Timers{Interval: 200 * ms, MinReceive: 500 * ms, Multiplier: 3})
	if m.interval() != 200*ms || m.DetectionTime() != 1500*ms {
		t.Errorf("at once: %v, %v", m.interval(), m.DetectionTime())
	}
	// A change during a Poll Sequence has one of its own.
	m.SetTimers(0, Timers{Interval: 900 * ms, MinReceive: 500 * ms, Multiplier: 3})
	answer(m, true)
	if m.interval() != 200*ms || !m.Packet(false).Poll {
		t.Error("the first answer is taken for that to the second question")
	}
	answer(m, true)
	if m.interval() != 900*ms || m.Packet(false).Poll {
		t.Error("the second answer does not count")
	}
}

// TestDemand: who asks for silence gets it while both are up, and is asked when
// something changes (RFC 5880 section 6.6).
func TestDemand(t *testing.T) {
	m := machine(t, Up)
	quiet := Packet{State: Up, Demand: true, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 300 * ms}
	m.Receive(0, &quiet)
	for now := time.Duration(0); now < 800*ms; now += ms {
		if m.Tick(now) != 0 {
			t.Fatal("it goes on sending")
		}
	}
	m.SetTimers(0, Timers{Interval: 500 * ms, MinReceive: 300 * ms, Multiplier: 3})
	if m.interval() == 0 || !m.Packet(false).Poll {
		t.Error("it does not ask")
	}
	m.Receive(800*ms, &Packet{State: Down, Demand: true, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: time.Second, RequiredMinRx: 300 * ms})
	if m.interval() == 0 {
		t.Error("it stays silent when the neighbor is down")
	}
}

// TestMissing counts what was lost while the session was up.
func TestMissing(t *testing.T) {
	m := machine(t, Up)
	up := Packet{State: Up, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: 300 * ms, RequiredMinRx: 300 * ms}
	for _, gap := range []time.Duration{225 * ms, 300 * ms, 310 * ms, 450 * ms, 600 * ms, 880 * ms} {
		m.Receive(m.heard+gap, &up)
	}
	if m.missed != 1+1+2 {
		t.Errorf("%d are missed", m.missed)
	}
}

// link is two machines and what is on the way between them.
type link struct {
	ends  [2]*Machine
	now   time.Duration
	cut   bool
	sent  [2]int
	delay [2][]Packet
}

func (l *link) run(t *testing.T, d time.Duration) {
	t.Helper()
	for end := l.now + d; l.now < end; l.now += ms {
		for i, m := range l.ends {
			due := l.delay[1-i]
			l.delay[1-i] = nil
			for _, p := range due {
				if p.Your != 0 && p.Your != m.discr {
					continue // of an earlier run
				}
				l.put(i, m.Receive(l.now, &p))
			}
			l.put(i, m.Tick(l.now))
		}
	}
}

func (l *link) put(i int, what Send) {
	for _, final := range []bool{true, false} {
		if bit := map[bool]Send{true: Final, false: Periodic}[final]; what&bit != 0 && !l.cut {
			l.sent[i]++
			l.delay[i] = append(l.delay[i], l.ends[i].Packet(final))
		}
	}
}

// TestTwo: a session comes up in little more than a second, finds a cut in the
// detection time, comes back, and survives a restart of one end only as a new
// one, at once.
func TestTwo(t *testing.T) {
	l := &link{ends: [2]*Machine{New(usual, 1, 0, rand.Float64), New(Timers{Interval: 100 * ms, MinReceive: 50 * ms, Multiplier: 4}, 2, 0, rand.Float64)}}
	up := func(when string) {
		t.Helper()
		for i, m := range l.ends {
			if m.state != Up || m.poll != noPoll {
				t.Fatalf("%s: end %d is %v, poll %v", when, i, m.state, m.poll)
			}
		}
	}
	l.run(t, 50*ms)
	up("at first")
	l.sent = [2]int{}
	l.run(t, 30*time.Second)
	up("later")
	// The first sends at its own 300 ms, the second at the 300 ms of the first.
	for i, n := range l.sent {
		if n < 100 || n > 134 {
			t.Errorf("end %d has sent %d packets in 30 s", i, n)
		}
	}
	if a, b := l.ends[0].DetectionTime(), l.ends[1].DetectionTime(); a != 4*300*ms || b != 3*300*ms {
		t.Errorf("detection times %v, %v", a, b)
	}
	if l.ends[0].missed+l.ends[1].missed > 0 {
		t.Error("packets are missed where none are lost")
	}

	l.cut = true
	l.run(t, 600*ms)
	up("in less than the detection time")
	l.run(t, 700*ms)
	if l.ends[0].state != Down || l.ends[1].state != Down || l.ends[0].diag != DiagExpired || l.ends[1].diag != DiagExpired {
		t.Errorf("after the cut: %v (%v), %v (%v)", l.ends[0].state, l.ends[0].diag, l.ends[1].state, l.ends[1].diag)
	}
	l.cut = false
	l.run(t, 1100*ms)
	up("when it is mended")

	// One end restarts: the other one remembers another discriminator.
	l.ends[0] = New(usual, 3, l.now, rand.Float64)
	l.run(t, 50*ms)
	up("after a restart")

	// One end is turned off: the other one knows that nothing has failed.
	l.ends[0].Stop(l.now)
	l.run(t, 50*ms)
	if m := l.ends[1]; m.state != Down || m.remoteState != AdminDown || m.diag != DiagNeighborDown {
		t.Errorf("the neighbor was turned off: %v, %v, %v", m.state, m.remoteState, m.diag)
	}
}

// TestAdminDownIsNoFailure: what either side ends on purpose does not count (RFC
// 5882 section 3.2).
func TestAdminDownIsNoFailure(t *testing.T) {
	for _, c := range []struct {
		what  string
		do    func(m *Machine)
		downs uint64
	}{
		{"the neighbor is turned off", func(m *Machine) {
			m.Receive(ms, &Packet{State: AdminDown, Diag: DiagAdminDown, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: time.Second, RequiredMinRx: 300 * ms})
		}, 0},
		{"we are turned off", func(m *Machine) { m.Stop(ms) }, 0},
		{"the neighbor is down", func(m *Machine) {
			m.Receive(ms, &Packet{State: Down, Diag: DiagExpired, Multiplier: 3, My: 7, Your: 1, DesiredMinTx: time.Second, RequiredMinRx: 300 * ms})
		}, 1},
		{"the neighbor is silent", func(m *Machine) { m.Tick(time.Second) }, 1},
	} {
		s := &session{machine: machine(t, Up)}
		s.show()
		c.do(s.machine)
		if told := s.show(); s.load().Downs != c.downs || told != (c.downs > 0) {
			t.Errorf("%s: %d failures, told: %v", c.what, s.load().Downs, told)
		}
	}
}
