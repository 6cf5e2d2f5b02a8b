package bfd

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

// ours is a session around one end of a link.
type ours struct {
	*session
	l *link
}

// pair is two ends that are up; the first is a session of this process.
func pair(t *testing.T) ours {
	t.Helper()
	l := &link{ends: [2]*Machine{New(usual, 1, 0, rand.Float64), New(usual, 2, 0, rand.Float64)}}
	o := ours{&session{Session: Session{Name: "n", Remote: netip.MustParseAddr("192.0.2.1"), Timers: usual}, machine: l.ends[0], port: 50000}, l}
	l.run(t, 2*time.Second)
	o.show()
	if o.load().State != Up || l.ends[1].state != Up {
		t.Fatalf("%v, %v", o.load().State, l.ends[1].state)
	}
	return o
}

// run is the link's, and reports whether there was a Change.
func (o ours) run(t *testing.T, d time.Duration) (told bool) {
	t.Helper()
	for end := o.l.now + d; o.l.now < end; {
		o.l.run(t, ms)
		told = o.show() || told
	}
	return told
}

// restart has the process of the first end be away for a time.
func (o ours) restart(t *testing.T, away time.Duration) ours {
	t.Helper()
	o.show()
	st := o.load()
	k := st.kept()
	if !k.usable() {
		t.Fatalf("%+v cannot be used", k)
	}
	cut := o.l.cut
	o.l.ends[0], o.l.cut = New(usual, 99, o.l.now, rand.Float64), true // nobody
	o.l.run(t, away)
	o.l.cut = cut
	o.l.delay = [2][]Packet{}
	next := ours{&session{Session: k.Session}, o.l}
	next.resume(&k, o.l.now)
	o.l.ends[0] = next.machine
	next.show()
	if now := next.load(); now.State != Up || !now.Unheard || now.Ups != 0 || !now.Since.Equal(st.Since) || now.Discr != st.Discr || now.RemoteDiscr != st.RemoteDiscr || next.port != 50000 {
		t.Fatalf("it begins as %+v", now)
	}
	return next
}

// TestResume: over a restart that is shorter than its detection time, a neighbor
// sees nothing but packets that are missing.
func TestResume(t *testing.T) {
	o := pair(t)
	for _, away := range []time.Duration{0, 100 * ms, 590 * ms} { // an interval before the end there may have been a packet
		o = o.restart(t, away)
		if what := o.machine.Tick(o.l.now); what != Periodic {
			t.Fatalf("it does not send at once: %v", what)
		}
		p := o.machine.Packet(false)
		if p.State != Up || p.My != 1 || p.Your != 2 || !p.Poll || p.DesiredMinTx != 300*ms || p.RequiredMinRx != 300*ms || p.Multiplier != 3 {
			t.Errorf("it sends %+v", p)
		}
		o.l.put(0, Periodic)
		told := o.run(t, 20*ms)
		if st := o.load(); !told || !st.Resumed || st.Unheard || st.Polling || st.Downs != 0 || st.Ups != 0 || st.Interval != 300*ms || st.Detection != 900*ms {
			t.Errorf("away for %v: told: %v, %+v", away, told, st)
		}
		o.run(t, 5*time.Second)
		if m := o.l.ends[1]; m.state != Up || m.diag != DiagNone || o.machine.state != Up {
			t.Errorf("away for %v: the neighbor is %v (%v), we are %v", away, m.state, m.diag, o.machine.state)
		}
	}
	// From here on, it is a session like any other.
	o.l.cut = true
	if told := o.run(t, 2*time.Second); !told || o.load().Downs != 1 || o.load().Failed != DiagExpired {
		t.Errorf("told: %v, %+v", told, o.load())
	}
}

// TestResumeTooLate: that the neighbor has not waited is no failure, and they come
// up as usual.
func TestResumeTooLate(t *testing.T) {
	o := pair(t).restart(t, 2*time.Second)
	if o.l.ends[1].state != Down {
		t.Fatalf("the neighbor is %v", o.l.ends[1].state)
	}
	told := o.run(t, 1100*ms)
	if st := o.load(); !told || st.State != Up || st.Ups != 1 || st.Downs != 0 || st.Resumed || o.l.ends[1].state != Up {
		t.Errorf("told: %v, %+v; the neighbor is %v", told, st, o.l.ends[1].state)
	}
	// The neighbor has switched BFD off meanwhile: no failure either.
	o = pair(t)
	o.l.ends[1].Stop(o.l.now)
	o = o.restart(t, 100*ms)
	o.machine.Receive(o.l.now, &Packet{State: AdminDown, Multiplier: 3, My: 2, Your: 1, DesiredMinTx: time.Second, RequiredMinRx: 300 * ms})
	if told := o.show(); told || o.load().State != Down || o.load().Downs != 0 {
		t.Errorf("switched off: told: %v, %+v", told, o.load())
	}
}

// TestResumeSilent: a neighbor that says nothing is given one detection time, and
// has failed then.
func TestResumeSilent(t *testing.T) {
	o := pair(t)
	o.l.cut = true
	o = o.restart(t, 10*time.Second)
	if told := o.run(t, 890*ms); told || o.load().State != Up || !o.load().Unheard {
		t.Errorf("within the detection time: told: %v, %+v", told, o.load())
	}
	if told := o.run(t, 20*ms); !told || o.load().State != Down || o.load().Downs != 1 || o.load().Failed != DiagExpired || o.load().RemoteDiscr != 0 {
		t.Errorf("after it: told: %v, %+v", told, o.load())
	}
}

// TestPause: a neighbor waits for a process that ends on purpose much longer, and
// no longer than usual once the next one is there (RFC 5880 section 6.8.3).
func TestPause(t *testing.T) {
	for _, m := range []uint8{1, 3, 50, 255} {
		o := pair(t)
		o.Multiplier = m
		o.machine.SetTimers(o.l.now, o.Timers)
		o.l.run(t, 2*time.Second)
		o.machine.Pause(o.l.now, Absence)
		if p := o.machine.Packet(false); p.Poll != (m < 100) || o.machine.interval() != 300*ms || o.machine.Next() > o.l.now {
			t.Errorf("before the answer: %+v, each %v, next at %v of %v", p, o.machine.interval(), o.machine.Next(), o.l.now)
		}
		o.l.run(t, 20*ms)
		least := max(Absence, 300*ms*time.Duration(m))
		if d := o.l.ends[1].DetectionTime(); o.machine.poll != noPoll || d < least-ms || d > least+ms {
			t.Fatalf("multiplier %d: poll %v, the neighbor waits for %v", m, o.machine.poll, d)
		}
		o = o.restart(t, 25*time.Second)
		if o.Interval != 300*ms {
			t.Errorf("what is kept is an interval of %v", o.Interval)
		}
		o.l.run(t, 20*ms)
		if n := o.l.ends[1]; n.state != Up || n.DetectionTime() != 300*ms*time.Duration(m) || o.machine.poll != noPoll {
			t.Errorf("multiplier %d: the neighbor is %v and waits for %v", m, n.state, n.DetectionTime())
		}
	}
	down := machine(t, Init)
	down.Pause(0, Absence)
	if p := down.Packet(false); p.DesiredMinTx != time.Second {
		t.Errorf("who is not up says %+v", p)
	}
}

// TestResumeOthers: another way to the neighbor, or nonsense, is another session.
func TestResumeOthers(t *testing.T) {
	good := Kept{Session: Session{Name: "n", Remote: netip.MustParseAddr("192.0.2.1"), Timers: usual}, Discr: 7, RemoteDiscr: 8, RemoteMultiplier: 3, RemoteMinTx: 300 * ms, RemoteMinRx: 300 * ms}
	slower, elsewhere, empty, same := good, good, good, good
	slower.Interval, elsewhere.Local, empty.Discr = time.Second, netip.MustParseAddr("192.0.2.2"), 0
	same.Name = "m"
	for _, c := range []struct {
		what    string
		kept    []Kept
		set     Session
		resumed bool
	}{
		{"the same", []Kept{good}, good.Session, true},
		{"with other timers", []Kept{good}, slower.Session, true},
		{"another address of ours", []Kept{good}, elsewhere.Session, false},
		{"without a discriminator", []Kept{empty}, good.Session, false},
		{"another neighbor", []Kept{same}, good.Session, false},
	} {
		d, err := NewDriver(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		d.begun = true // by this test
		d.Resume(c.kept)
		th := newThread(d)
		th.begin(c.set, 0)
		s := th.all["n"]
		if resumed := s.load().State == Up; resumed != c.resumed || resumed && (s.machine.discr != 7 || s.machine.want != c.set.Timers) {
			t.Errorf("%s: %+v", c.what, s.load())
		}
		d.Close()
	}
}
