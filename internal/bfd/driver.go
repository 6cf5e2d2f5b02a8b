package bfd

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Session is a neighbor to watch. It is comparable with ==.
type Session struct {
	Name     string     `json:"neighbor"`
	Remote   netip.Addr `json:"remote"`             // with the interface as zone if it is link-local
	Local    netip.Addr `json:"local"`              // that we send from; invalid: the kernel chooses
	Multihop bool       `json:"multihop,omitempty"` // it may be several hops away (RFC 5883)
	Timers
}

// path is what a session rests on: with another one, it is another session.
func (s *Session) path() Session {
	return Session{Name: s.Name, Remote: s.Remote, Local: s.Local, Multihop: s.Multihop}
}

// Status is what is to be known of a session.
type Status struct {
	Session
	State, RemoteState         State
	Diag, RemoteDiag           Diag
	Discr, RemoteDiscr         uint32
	Interval, Detection        time.Duration // in use: between our packets, 0 for none; and of the neighbor's silence
	RemoteMinTx, RemoteMinRx   time.Duration // as the neighbor says
	RemoteMultiplier           uint8
	RemoteIndependent, Polling bool
	Unheard                    bool      // it is up from before a restart, and the neighbor has said nothing since
	Since                      time.Time // of State
	Ups, Downs                 uint64    // how often it came up, and failed
	Resumed                    bool      // it has gone on over a restart, as the neighbor has said
	// Of the last failure: why, what the neighbor said then, how long it was
	// silent at the most, and how long the session had been up.
	Failed, FailedRemote   Diag
	Patience, Lasted       time.Duration
	Problem                string // why packets cannot be sent or received; ""
	Sent, Received, Missed uint64 // packets

	port uint16 // that we send from
}

// Change is what has happened to a session. That either side has ended it on
// purpose is no failure (RFC 5882 section 3.2).
type Change struct {
	Name string
	What Event
	Status
}

// Event is what happens to a session.
type Event uint8

const (
	Failed Event = iota
	CameUp       // by its usual way
	GoesOn       // over a restart of ours: the neighbor has said that it is up
)

// Driver runs sessions.
type Driver struct {
	log     *slog.Logger
	changed func(Change)

	wake    int // eventfd: there is something in wanted, or the end
	wanted  atomic.Pointer[[]Session]
	pausing atomic.Bool
	ending  atomic.Bool
	news    chan struct{} // has a token when there is a Change
	moved   chan struct{} // has a token when Kept may have changed
	threads sync.WaitGroup

	resumed map[string]Kept // by name; the thread's once it has begun

	discarded atomic.Uint64

	mu      sync.Mutex
	begun   bool
	running []*session // by name; replaced, never changed
}

// NewDriver makes a driver without sessions. It tells changes from a goroutine of
// its own; what happens while changed has not returned is told as its outcome,
// but no failure is left out.
func NewDriver(log *slog.Logger, changed func(Change)) (*Driver, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, err
	}
	return &Driver{log: log, changed: changed, wake: wake, news: make(chan struct{}, 1), moved: make(chan struct{}, 1)}, nil
}

// Set makes these the sessions, one for each name. Those that stay are not
// disturbed, whatever their timers.
func (d *Driver) Set(all []Session) {
	all = slices.Clone(all)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ending.Load() {
		return // a reload was on its way
	}
	d.wanted.Store(&all)
	begin := !d.begun && len(all) > 0
	d.begun = d.begun || begin
	if begin { // who uses no BFD has no thread for it
		d.threads.Go(newThread(d).run)
		d.threads.Go(d.tell)
	}
	d.signal()
}

func (d *Driver) signal() {
	one := [8]byte{0: 1, 7: 1} // not 0 in either byte order
	_, _ = unix.Write(d.wake, one[:])
}

// Close ends all sessions, so that no neighbor takes that for a failure. After
// Pause, it leaves them, once neighbors have answered or had the time to.
func (d *Driver) Close() {
	d.mu.Lock()
	d.ending.Store(true)
	d.mu.Unlock()
	d.signal()
	d.threads.Wait()
	_ = unix.Close(d.wake)
}

// All are the sessions, by name.
func (d *Driver) All() []Status {
	running := d.sessions()
	all := make([]Status, len(running))
	for i, s := range running {
		all[i] = s.load()
	}
	return all
}

// Discarded counts packets that were none, or for no session.
func (d *Driver) Discarded() uint64 { return d.discarded.Load() }

func (d *Driver) sessions() []*session {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running
}

func (d *Driver) publish(all []*session) {
	d.mu.Lock()
	d.running = all
	d.mu.Unlock()
}

// tell says what has changed since it looked the last time.
func (d *Driver) tell() {
	for range d.news {
		for _, s := range d.sessions() {
			st := s.load()
			if st.Downs != s.told.Downs {
				d.changed(Change{Name: s.Name, What: Failed, Status: st})
			}
			if st.State == Up && st.Ups != s.told.Ups {
				d.changed(Change{Name: s.Name, What: CameUp, Status: st})
			} else if st.State == Up && st.Resumed && !s.told.Resumed {
				d.changed(Change{Name: s.Name, What: GoesOn, Status: st})
			}
			s.told = st
		}
	}
}

// session is one of the thread's.
type session struct {
	Session
	machine *Machine
	fd      int // -1: there is none now
	port    uint16
	link    int // that a link-local neighbor is on
	problem string

	at    time.Duration // when something is due
	index int           // in the heap
	until time.Duration // when one that has ended is forgotten; 0: it has not

	shown                  Status // without counters; what status has
	status                 atomic.Pointer[Status]
	sent, received, missed atomic.Uint64

	told Status // tell's
}

func (s *session) load() Status {
	st := *s.status.Load()
	st.Sent, st.Received, st.Missed = s.sent.Load(), s.received.Load(), s.missed.Load()
	return st
}

// show publishes what has changed. It reports whether that is a Change.
func (s *session) show() bool {
	m, st := s.machine, s.shown
	st.Session = s.Session
	st.RemoteState, st.Diag, st.RemoteDiag = m.remoteState, m.diag, m.remoteDiag
	st.Discr, st.RemoteDiscr = m.discr, m.remoteDiscr
	st.Interval, st.Detection = m.interval(), m.DetectionTime()
	st.RemoteMinTx, st.RemoteMinRx, st.RemoteMultiplier = m.remoteMinTx, m.remoteMinRx, m.remoteMultiplier
	st.RemoteIndependent, st.Polling, st.Problem = m.remoteIndependent, m.poll != noPoll, s.problem
	st.port = s.port
	st.Unheard = m.unheard && m.state == Up
	st.Resumed = st.Resumed || s.shown.Unheard && m.state == Up && !m.unheard
	if st.State != m.state || st.Since.IsZero() {
		now := time.Now()
		unwaited := m.unheard && m.diag == DiagNeighborDown // for our restart, which is no failure
		switch {
		case m.state == Up:
			st.Ups++
		case st.State == Up && m.state == Down && m.remoteState != AdminDown && !unwaited:
			st.Downs++
			st.Failed, st.FailedRemote, st.Patience, st.Lasted = m.diag, m.remoteDiag, s.shown.Detection, now.Sub(st.Since)
		}
		st.State, st.Since = m.state, now
	}
	s.missed.Store(m.missed)
	if st == s.shown {
		return false
	}
	told := st.Ups != s.shown.Ups || st.Downs != s.shown.Downs || st.Resumed != s.shown.Resumed
	s.shown = st
	published := st
	s.status.Store(&published)
	return told
}
