package bfd

import (
	"math/rand/v2"
	"time"
)

const (
	// Absence is how long neighbors wait for us after Pause.
	Absence = 30 * time.Second
	// answerTime is how long Close waits for neighbors to agree to that.
	answerTime = 500 * time.Millisecond
)

// Kept is what another process needs to go on with a session that is up, as the
// same one: the neighbor sees that some packets are missing, and no more.
type Kept struct {
	Session
	Port              uint16        `json:"port"` // that we send from (RFC 5881 section 4: always the same)
	Discr             uint32        `json:"discriminator"`
	RemoteDiscr       uint32        `json:"remote_discriminator"`
	RemoteState       State         `json:"remote_state"`
	RemoteMinTx       time.Duration `json:"remote_interval"`
	RemoteMinRx       time.Duration `json:"remote_min_receive"`
	RemoteMultiplier  uint8         `json:"remote_multiplier"`
	RemoteIndependent bool          `json:"remote_independent,omitempty"`
	Since             time.Time     `json:"since"`
}

// usable: a file may say anything.
func (k *Kept) usable() bool {
	return k.Remote.IsValid() && k.Discr != 0 && k.RemoteDiscr != 0 && k.Multiplier != 0 && k.RemoteMultiplier != 0
}

// Resume makes a machine that goes on with a session, as if the neighbor had been
// heard right now. It sends at once, with a Poll: the answer says that the
// neighbor has the session, and that our timers count.
func Resume(k *Kept, now time.Duration, random func() float64) *Machine {
	m := New(k.Timers, k.Discr, now, random)
	m.state, m.poll, m.unheard, m.heard = Up, polling, true, now
	m.remoteDiscr, m.remoteState, m.remoteIndependent = k.RemoteDiscr, k.RemoteState, k.RemoteIndependent
	m.remoteMinTx, m.remoteMinRx, m.remoteMultiplier = k.RemoteMinTx, k.RemoteMinRx, k.RemoteMultiplier
	m.tx = m.desired()
	return m
}

// Pause asks a neighbor with which the session is up to be patient: we announce
// that we are going to send so rarely (RFC 5880 section 6.8.3).
func (m *Machine) Pause(now, patience time.Duration) {
	if m.state != Up {
		return
	}
	want := m.want
	want.Interval = max(want.Interval, patience/time.Duration(want.Multiplier))
	m.SetTimers(now, want)
	m.next = now
}

// Resume goes on with sessions of an earlier process, and tells with which. They
// are the sessions until Set names others. It comes before Set.
func (d *Driver) Resume(all []Kept) (sessions []Session) {
	d.resumed = map[string]Kept{}
	for _, k := range all {
		if _, twice := d.resumed[k.Name]; k.usable() && !twice {
			d.resumed[k.Name] = k
			sessions = append(sessions, k.Session)
		}
	}
	d.Set(sessions)
	return sessions
}

// Kept are the sessions that another process can go on with.
func (d *Driver) Kept() []Kept {
	var all []Kept
	for _, st := range d.All() {
		if st.State == Up {
			all = append(all, st.kept())
		}
	}
	return all
}

func (st *Status) kept() Kept {
	return Kept{
		Session: st.Session, Port: st.port, Discr: st.Discr, RemoteDiscr: st.RemoteDiscr, RemoteState: st.RemoteState,
		RemoteMinTx: st.RemoteMinTx, RemoteMinRx: st.RemoteMinRx, RemoteMultiplier: st.RemoteMultiplier, RemoteIndependent: st.RemoteIndependent,
		Since: st.Since,
	}
}

// Moved has a token when Kept may have changed.
func (d *Driver) Moved() <-chan struct{} { return d.moved }

// Pause asks neighbors to be patient until another process goes on with the
// sessions. From here on they are what they are, whatever Set says.
func (d *Driver) Pause() {
	d.pausing.Store(true)
	d.signal()
}

func (t *thread) pause() {
	now := t.now()
	t.paused, t.answerBy = true, now+answerTime
	for _, s := range t.all {
		s.machine.Pause(now, Absence)
		t.settle(s)
	}
}

// asking reports whether neighbors may still answer to Pause.
func (t *thread) asking() bool {
	if t.driver.pausing.Load() && !t.paused {
		return true
	}
	if !t.paused || t.now() >= t.answerBy {
		return false
	}
	for _, s := range t.all {
		if s.machine.state == Up && s.machine.poll != noPoll {
			return true
		}
	}
	return false
}

// resume begins a session where another process has left it.
func (s *session) resume(k *Kept, now time.Duration) {
	s.machine = Resume(k, now, rand.Float64)
	s.port = k.Port
	s.shown.State, s.shown.Since = Up, k.Since
}
