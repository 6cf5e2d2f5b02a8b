package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"holdfast/internal/events"
	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
)

// Manager has the listeners and one runner for each neighbor. Its methods may
// be called at any time, but not by Routes from within a call of the session
// that they are about: Remove and Close wait for that to return.
type Manager struct {
	routes  Routes
	net     Net
	log     *slog.Logger
	began   time.Time
	random  func() float64
	welcome Welcome

	ctx    context.Context // done when lingering must end
	cancel context.CancelFunc
	wg     sync.WaitGroup // listeners, runners, arrivals, attempts to connect and lingering connections

	mu        sync.Mutex
	runners   map[packet.ID]*runner
	byAddr    map[netip.Addr]*runner
	byLink    map[string]*runner // by interface, those that have one for themselves
	listeners map[netip.AddrPort]net.Listener
	segments  map[net.Listener]uint16 // that they have been limited to
	ranges    []Range
	arrivals  []*arrival // by age
	closed    bool

	pace                pace // of arrivals
	unknown, turnedAway suppressor
}

// Option changes what New does by default.
type Option func(*Manager)

// WithNet replaces the kernel's network.
func WithNet(n Net) Option { return func(m *Manager) { m.net = n } }

// WithRandom replaces the source of jitter, values in [0, 1).
func WithRandom(f func() float64) Option { return func(m *Manager) { m.random = f } }

// New makes a Manager without listeners and neighbors. Close ends it.
func New(routes Routes, log *slog.Logger, options ...Option) *Manager {
	m := &Manager{routes: routes, net: Kernel{}, log: log, began: time.Now(), random: rand.Float64,
		runners: map[packet.ID]*runner{}, byAddr: map[netip.Addr]*runner{}, byLink: map[string]*runner{}, listeners: map[netip.AddrPort]net.Listener{}, segments: map[net.Listener]uint16{}}
	for _, o := range options {
		o(m)
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// elapsed is a clock that fits an atomic and does not jump.
func (m *Manager) elapsed() time.Duration { return time.Since(m.began) }

var errClosed = errors.New("sessions are being closed")

// Listen makes these the addresses to listen on. Listeners that stay are not
// touched; connections that were accepted live on. On an error the others are
// open all the same.
func (m *Manager) Listen(addrs []netip.AddrPort) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	addrs = slices.Clone(addrs)
	for i, at := range addrs {
		addrs[i] = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	for at, l := range m.listeners {
		if !slices.Contains(addrs, at) {
			l.Close()
			delete(m.listeners, at)
			delete(m.segments, l)
		}
	}
	var errs []error
	for _, at := range addrs {
		if m.listeners[at] != nil {
			continue
		}
		l, err := m.net.Listen(at)
		if errors.Is(err, syscall.EAFNOSUPPORT) && at.Addr().IsUnspecified() {
			m.log.Info("not listening: this machine does not have the address family", "event", events.ListenSkipped, "listen", at)
			continue // and no neighbor can have an address of it
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot listen on %v: %s", at, listenText(err)))
			continue
		}
		if m.net.Absent(at.Addr()) {
			m.log.Warn("listening on an address that no interface has: nobody can connect until one has it", "event", events.ListenAbsent, "listen", at)
		}
		for _, r := range m.runners {
			if n := r.current(); n.ownPassword() != "" {
				errs = append(errs, m.password(at, l, &n))
			}
		}
		errs = append(errs, m.rangePasswords(at, l))
		m.listeners[at] = l
		m.wg.Go(func() { m.accept(at, l) })
	}
	return errors.Join(append(errs, m.limitSegments())...)
}

// limitSegments gives listeners the smallest MSS that a neighbor of their family
// wants: the kernel agrees on one before we know whose a connection is.
func (m *Manager) limitSegments() error {
	var v4, v6 uint16
	wants := func(mss uint16, is4 bool) {
		least := &v6
		if is4 {
			least = &v4
		}
		if mss > 0 && (*least == 0 || mss < *least) {
			*least = mss
		}
	}
	for _, r := range m.runners {
		n := r.current()
		wants(n.MSS, n.Remote.Is4())
	}
	for _, g := range m.ranges {
		for _, p := range g.Addresses {
			wants(g.Transport.MSS, p.Addr().Is4())
		}
	}
	var errs []error
	for at, l := range m.listeners {
		least := v6
		if at.Addr().Is4() {
			least = v4
		}
		if m.segments[l] != least {
			m.segments[l] = least
			errs = append(errs, m.net.Segments(l, least))
		}
	}
	return errors.Join(errs...)
}

// listenText is why a port cannot be opened, with what to do about it.
func listenText(err error) string {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = " (does another BGP router run here?)"
	case errors.Is(err, syscall.EACCES):
		hint = " (ports below 1024 are for root, or for who has CAP_NET_BIND_SERVICE)"
	}
	return errorText(err) + hint
}

// Listening are the addresses that are listened on, as the system has them.
func (m *Manager) Listening() []netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []netip.AddrPort
	for _, l := range m.listeners {
		all = append(all, addrPort(l.Addr()))
	}
	slices.SortFunc(all, netip.AddrPort.Compare)
	return all
}

// password sets a neighbor's on a listener. Its own is wanted nowhere else.
func (m *Manager) password(at netip.AddrPort, l net.Listener, n *Neighbor) error {
	if err := m.net.Password(l, netip.PrefixFrom(n.Remote, n.Remote.BitLen()), n.Password); err != nil {
		return fmt.Errorf("neighbor %s, listener %v: %w", n.Name, at, err)
	}
	return nil
}

func (m *Manager) passwords(n Neighbor) error {
	var errs []error
	for at, l := range m.listeners {
		errs = append(errs, m.password(at, l, &n))
	}
	return errors.Join(errs...)
}

// accept hands connections to the neighbors that they come from.
func (m *Manager) accept(at netip.AddrPort, l net.Listener) {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// No file descriptors, for example: others may close some.
			pause = min(max(2*pause, 10*time.Millisecond), time.Second)
			m.log.Warn("cannot accept connections", "event", events.AcceptFailed, "listen", at, "error", errorText(err), "retry", pause)
			t := time.NewTimer(pause)
			select {
			case <-t.C:
			case <-m.ctx.Done():
				t.Stop()
			}
			continue
		}
		pause = 0
		m.incoming(nc)
	}
}

func (m *Manager) incoming(nc net.Conn) {
	remote := addrPort(nc.RemoteAddr())
	m.mu.Lock()
	r := m.byAddr[remote.Addr()]
	if r == nil && remote.Addr().IsLinkLocalUnicast() {
		r = m.byLink[remote.Addr().Zone()]
	}
	of, ranged := m.rangeOf(remote.Addr())
	m.mu.Unlock()
	if r == nil && ranged {
		m.arrive(nc, remote.Addr(), of)
		return
	}
	if r == nil {
		reset(nc)
		if n, ok := m.unknown.allow(time.Now()); ok {
			m.log.Info("closed a connection from an address that is no neighbor", "event", events.ConnectionUnknown, "address", remote.Addr(), "more", n)
		}
		return
	}
	n := r.current()
	n.Remote = remote.Addr()
	if err := m.net.Accepted(nc, n.Transport); err != nil {
		nc.Close()
		r.note("closed a connection of the neighbor: "+err.Error(), addrPort(nc.LocalAddr()), remote)
		if more, ok := r.turnedAway.allow(time.Now()); ok {
			m.log.Warn("closed a connection", "event", events.ConnectionRejected, "neighbor", n.Name, "error", err, "more", more)
		}
		return
	}
	r.offer(candidate{nc: nc})
}

// suppressor lets one message of its kind through in a while.
type suppressor struct {
	mu   sync.Mutex
	next time.Time
	n    int
}

const suppressFor = 10 * time.Second

// allow also says how many were suppressed since the last one.
func (s *suppressor) allow(now time.Time) (suppressed int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.next) {
		s.n++
		return 0, false
	}
	suppressed, s.n, s.next = s.n, 0, now.Add(suppressFor)
	return suppressed, true
}

// Set adds neighbors or changes them. A present session keeps what it was made
// with (Status.Pending says so), but for Shutdown; attempts at one begin anew
// with what has changed. Addresses
// may change hands within one call. If two neighbors would have the same,
// nothing changes; on an error about a password the neighbors are there
// nevertheless.
func (m *Manager) Set(all ...Neighbor) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	all = slices.Clone(all)
	owners := maps.Clone(m.byAddr)
	for i := range all {
		all[i].Remote = all[i].Remote.Unmap()
		if r := m.runners[all[i].ID]; r != nil {
			delete(owners, r.current().Remote)
		}
	}
	names := map[netip.Addr]string{}
	for _, n := range all {
		if !n.Remote.IsValid() {
			continue
		}
		if r := owners[n.Remote]; r != nil {
			names[n.Remote] = r.current().Name
		}
		if other, taken := names[n.Remote]; taken {
			return fmt.Errorf("neighbors %s and %s have the same address %v", other, n.Name, n.Remote)
		}
		names[n.Remote] = n.Name
	}
	// What is given up goes first: it may be somebody else's then.
	var errs []error
	for _, n := range all {
		if r := m.runners[n.ID]; r != nil {
			errs = append(errs, m.giveUp(r.current(), n))
		}
	}
	for _, n := range all {
		errs = append(errs, m.set(n))
	}
	return errors.Join(append(errs, m.limitSegments())...)
}

// giveUp lets go of what a neighbor is found by, unless it keeps it.
func (m *Manager) giveUp(old, next Neighbor) error {
	if old.Interface != next.Interface {
		delete(m.byLink, old.Interface)
	}
	if old.Remote == next.Remote {
		return nil
	}
	delete(m.byAddr, old.Remote)
	if old.ownPassword() == "" {
		return nil
	}
	old.Password = ""
	return m.passwords(old)
}

// set is Set for one neighbor, whose address is free.
func (m *Manager) set(n Neighbor) (err error) {
	r, old := m.runners[n.ID], Neighbor{}
	if r != nil {
		if old = r.current(); old == n {
			return nil
		}
	}
	if mine, was := n.ownPassword(), old.ownPassword(); n.Remote.IsValid() && (mine != was || n.Remote != old.Remote && mine != "") {
		err = m.passwords(n)
	}
	if r != nil {
		r.change(n)
	} else {
		r = newRunner(m, n)
		m.runners[n.ID] = r
		m.wg.Go(r.run)
	}
	if n.Remote.IsValid() {
		m.byAddr[n.Remote] = r
	}
	if n.Interface != "" {
		m.byLink[n.Interface] = r
	}
	return err
}

// Remove ends a neighbor's session, tells the neighbor that it is not
// configured any more, and returns when Routes have been told that it is down.
func (m *Manager) Remove(id packet.ID) {
	m.mu.Lock()
	r := m.runners[id]
	if r == nil {
		m.mu.Unlock()
		return
	}
	n := r.current()
	delete(m.runners, id)
	if err := m.giveUp(n, Neighbor{}); err != nil {
		m.log.Warn("cannot remove a password", "event", events.PasswordKept, "neighbor", n.Name, "error", err)
	}
	m.mu.Unlock()
	r.remove(deconfigured)
	<-r.done
}

// Enable starts a session that is down for whatever reason, at once.
func (m *Manager) Enable(id packet.ID) bool {
	return m.do(id, func(r *runner) { r.admin(fsm.Event{Kind: fsm.Start}) })
}

// Reset ends a session, which then comes back by itself; fsm.AdminReset is
// what an operator means by it. One that waits for its next attempt has it now.
func (m *Manager) Reset(id packet.ID, c Close) bool {
	return m.do(id, func(r *runner) { r.admin(fsm.Event{Kind: fsm.ManualStop, Close: c}) })
}

// Refresh asks a neighbor for its routes of a family again. False if there is
// no session, or the neighbor cannot do that.
func (m *Manager) Refresh(id packet.ID, f prefix.Family) bool {
	ok := false
	m.do(id, func(r *runner) { ok = r.refresh(f) })
	return ok
}

// do runs f, which must not wait, for a neighbor. False if there is none.
func (m *Manager) do(id packet.ID, f func(r *runner)) bool {
	m.mu.Lock()
	r := m.runners[id]
	m.mu.Unlock()
	if r == nil {
		return false
	}
	f(r)
	return true
}

// Status is the state of a neighbor. False if there is none.
func (m *Manager) Status(id packet.ID) (s Status, ok bool) {
	ok = m.do(id, func(r *runner) { s = r.snapshot() })
	return s, ok
}

// Close ends all sessions with an administrative shutdown, and the listeners,
// and returns when nothing is left.
func (m *Manager) Close(message string) { m.end(fsm.Shutdown(message)) }

// Restart is Close for a router that comes back: neighbors that keep its routes
// meanwhile (RFC 4724) are left in such a way that they do.
func (m *Manager) Restart(message string) { m.end(fsm.Restarting(message)) }

func (m *Manager) end(c Close) {
	m.mu.Lock()
	m.closed = true
	runners := m.runners
	m.runners, m.byAddr, m.byLink = map[packet.ID]*runner{}, map[netip.Addr]*runner{}, map[string]*runner{}
	for at, l := range m.listeners {
		l.Close()
		delete(m.listeners, at)
	}
	for _, a := range m.arrivals {
		reset(a.nc)
	}
	m.mu.Unlock()
	for _, r := range runners {
		r.remove(c)
	}
	for _, r := range runners {
		<-r.done
	}
	// Connections linger for 2 s at the most.
	m.wg.Wait()
	m.cancel()
}
