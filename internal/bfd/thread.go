package bfd

import (
	"cmp"
	"container/heap"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/events"
)

// thread is the goroutine that has an operating system's thread for itself, and
// sends, receives and keeps the time for all sessions. In its steady state it
// allocates nothing and takes no lock.
type thread struct {
	driver *Driver
	began  time.Time

	all     map[string]*session // that are wanted, by name
	byDiscr map[uint32]*session // and those that have ended and say so
	timers  timers

	paused   bool          // no session is begun, changed or ended any more
	answerBy time.Duration // then: how long neighbors' answers are waited for

	ports [4]port
	polls []unix.PollFd
	in    *batch
	out   []byte
}

func newThread(d *Driver) *thread {
	t := &thread{driver: d, began: time.Now(), all: map[string]*session{}, byDiscr: map[uint32]*session{}, in: newBatch()}
	for i := range t.ports {
		t.ports[i] = port{fd: -1, v6: i&1 != 0, multihop: i&2 != 0}
	}
	return t
}

func (t *thread) now() time.Duration { return time.Since(t.began) }

// run ends with its thread, whose priority nobody else should have.
func (t *thread) run() {
	runtime.LockOSThread()
	defer close(t.driver.news)
	t.prioritize()
	defer t.close()
	for !t.driver.ending.Load() || t.asking() {
		t.wait()
		if t.polls[0].Revents != 0 {
			var count [8]byte
			_, _ = unix.Read(t.driver.wake, count[:])
			if wanted := t.driver.wanted.Swap(nil); wanted != nil && !t.paused {
				t.set(*wanted)
			}
			if t.driver.pausing.Load() && !t.paused {
				t.pause()
			}
		}
		for i := range t.polls[1:] {
			if t.polls[1+i].Revents != 0 {
				t.receive(int(t.polls[1+i].Fd))
			}
		}
		t.work()
	}
}

// prioritize lets the thread run when it wants to, whatever others do.
func (t *thread) prioritize() {
	const flagResetOnFork = 1
	err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 10, Flags: flagResetOnFork}, 0)
	if err == nil {
		return
	}
	if nice := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -20); nice == nil {
		return
	}
	t.driver.log.Warn("BFD runs without priority: on a busy machine neighbors may be taken for dead; give the process CAP_SYS_NICE",
		"event", events.BFDPriority, "error", err)
}

// wait sleeps until something comes or is due.
func (t *thread) wait() {
	t.polls = append(t.polls[:0], unix.PollFd{Fd: int32(t.driver.wake), Events: unix.POLLIN})
	for i := range t.ports {
		if p := &t.ports[i]; p.fd >= 0 {
			t.polls = append(t.polls, unix.PollFd{Fd: int32(p.fd), Events: unix.POLLIN})
		}
	}
	var timeout *unix.Timespec
	at := t.retry()
	if t.driver.ending.Load() {
		at = min(at, t.answerBy)
	}
	if len(t.timers) > 0 {
		at = min(at, t.timers[0].at)
	}
	if at < never {
		ts := unix.NsecToTimespec(int64(max(0, at-t.now())))
		timeout = &ts
	}
	if _, err := unix.Ppoll(t.polls, timeout, nil); err != nil { // a signal
		for i := range t.polls {
			t.polls[i].Revents = 0
		}
	}
}

// work does what is due. What waits in the sockets is read before a neighbor is
// taken for dead: it is not to blame if we were late.
func (t *thread) work() {
	now := t.now()
	if now >= t.retry() {
		t.open(now)
	}
	read := false
	for len(t.timers) > 0 && t.timers[0].at <= now {
		s := t.timers[0]
		if gone, ok := s.machine.Expires(); ok && gone <= now && !read {
			read = true
			for i := range t.ports {
				if t.ports[i].fd >= 0 {
					t.receive(t.ports[i].fd)
				}
			}
			continue
		}
		if s.until > 0 && now >= s.until {
			t.forget(s)
			continue
		}
		t.send(s, s.machine.Tick(now))
		t.settle(s)
	}
}

// settle follows what has happened to a session.
func (t *thread) settle(s *session) {
	s.at = s.machine.Next()
	if s.until > 0 {
		s.at = min(s.at, s.until)
	}
	heap.Fix(&t.timers, s.index)
	before := s.status.Load()
	if s.show() {
		token(t.driver.news)
	}
	if s.status.Load() != before {
		token(t.driver.moved)
	}
}

// token says so, unless nobody has looked since the last time.
func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// set makes these the sessions.
func (t *thread) set(wanted []Session) {
	now := t.now()
	names := map[string]bool{}
	for _, w := range wanted {
		names[w.Name] = true
		s := t.all[w.Name]
		if s != nil && s.path() != w.path() {
			t.end(s, now)
			s = nil
		}
		if s == nil {
			t.begin(w, now)
			continue
		}
		s.Timers = w.Timers
		s.machine.SetTimers(now, w.Timers)
		t.settle(s)
	}
	for name, s := range t.all {
		if !names[name] {
			t.end(s, now)
		}
	}
	t.open(now)
	all := make([]*session, 0, len(t.all))
	for _, s := range t.all {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *session) int { return cmp.Compare(a.Name, b.Name) })
	t.driver.publish(all)
	token(t.driver.moved)
}

func (t *thread) begin(w Session, now time.Duration) {
	s := &session{Session: w, fd: -1}
	if k, ok := t.driver.resumed[w.Name]; ok && k.path() == w.path() && t.byDiscr[k.Discr] == nil {
		s.resume(&k, now)
		s.machine.SetTimers(now, w.Timers)
	} else {
		discr := rand.Uint32()
		for discr == 0 || t.byDiscr[discr] != nil {
			discr = rand.Uint32()
		}
		s.machine = New(w.Timers, discr, now, rand.Float64)
	}
	delete(t.driver.resumed, w.Name)
	s.at = now
	s.show()
	t.all[w.Name], t.byDiscr[s.machine.discr] = s, s
	heap.Push(&t.timers, s)
}

// longestEnd is the most that a session is kept that has ended.
const longestEnd = 30 * time.Second

// end tells the neighbor for a detection time that the session has been ended on
// purpose (RFC 5880 section 6.8.16).
func (t *thread) end(s *session, now time.Duration) {
	delete(t.all, s.Name)
	s.machine.Stop(now)
	s.until = now + min(max(s.machine.interval(), slow)*time.Duration(s.Multiplier), longestEnd)
	t.settle(s)
}

func (t *thread) forget(s *session) {
	s.closeSocket()
	delete(t.byDiscr, s.machine.discr)
	heap.Remove(&t.timers, s.index)
}

// close leaves no neighbor in the belief that something has failed.
func (t *thread) close() {
	now := t.now()
	for _, s := range t.byDiscr {
		if !t.paused {
			s.machine.Stop(now)
			t.send(s, Periodic)
			s.show()
		}
		s.closeSocket()
	}
	for i := range t.ports {
		t.ports[i].close()
	}
}

// send sends what a machine wants to be sent.
func (t *thread) send(s *session, what Send) {
	if what&Final != 0 {
		t.write(s, true)
	}
	if what&Periodic != 0 {
		t.write(s, false)
	}
}

func (t *thread) write(s *session, final bool) {
	if s.fd < 0 {
		if err := s.openSocket(); err != nil {
			s.cannotSend(err)
			return
		}
	}
	p := s.machine.Packet(final)
	t.out = p.Append(t.out[:0])
	err := write(s.fd, t.out)
	switch {
	case err == nil:
		s.sent.Add(1)
		s.problem = t.ports[s.arrivesAt()].problem
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EADDRNOTAVAIL), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO),
		s.link != 0 && errors.Is(err, unix.ENETUNREACH):
		// Our address or the interface has gone; there may be others, an interface
		// of the same name too.
		s.closeSocket()
		s.cannotSend(err)
	case errors.Is(err, unix.ECONNREFUSED): // about one before: nobody listens there
		if write(s.fd, t.out) == nil {
			s.sent.Add(1)
		}
	default:
		s.cannotSend(err)
	}
}

func (s *session) cannotSend(err error) { s.problem = "cannot send: " + err.Error() }

// deliver hands a packet to its session.
func (t *thread) deliver(from *sender, b []byte) {
	s, p := t.find(from, b)
	if s == nil {
		t.driver.discarded.Add(1)
		return
	}
	s.received.Add(1)
	now := t.now()
	t.send(s, s.machine.Receive(now, &p))
	t.settle(s)
}

// find checks a packet and finds whose it is: by our discriminator, or while the
// neighbor does not know that, by where it comes from.
func (t *thread) find(from *sender, b []byte) (*session, Packet) {
	if !from.multihop && from.ttl != 255 { // RFC 5881 section 5
		return nil, Packet{}
	}
	p, err := Parse(b)
	if err != nil {
		return nil, p
	}
	if p.Your != 0 {
		if s := t.byDiscr[p.Your]; s != nil && s.is(from) {
			return s, p
		}
		return nil, p
	}
	for _, s := range t.all {
		if s.is(from) {
			return s, p
		}
	}
	return nil, p
}

// is reports whether a packet can come from the neighbor.
func (s *session) is(from *sender) bool {
	return s.Remote.WithZone("") == from.addr && s.Multihop == from.multihop && (s.link == 0 || s.link == from.link)
}

// timers is a heap of sessions by when something is due.
type timers []*session

func (h timers) Len() int           { return len(h) }
func (h timers) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *timers) Push(x any) {
	s := x.(*session)
	s.index = len(*h)
	*h = append(*h, s)
}
func (h *timers) Pop() any {
	old := *h
	s := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return s
}
