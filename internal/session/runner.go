package session

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/events"
	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// deconfigured is what a neighbor that was removed is told (RFC 4486).
var deconfigured = Close{Code: wire.CodeCease, Subcode: wire.CeaseDeconfigured, StayDown: true}

// runner runs one neighbor: its goroutine feeds the machine with what happens
// and does what the machine asks for. It owns the connections.
type runner struct {
	manager *Manager
	id      packet.ID
	in, out counters

	events chan event  // of connections
	dialed chan dialed // of the attempt to connect
	wake   chan struct{}
	done   chan struct{} // closed at the end

	turnedAway suppressor

	traces atomic.Pointer[[]*Trace] // nil if there are none

	// What others leave for the goroutine; wake says that there is something.
	mu       sync.Mutex
	settings Neighbor
	changed  bool
	orders   []fsm.Event // of an operator; the last of each kind
	offered  candidate   // that waits for the goroutine
	failure  *failure
	last     *Established // of the session, or the last one
	removed  *Close
	ask      [prefix.Families]bool
	status   Status

	// Of the goroutine alone.
	applied   Neighbor // settings that the machine has
	machine   *fsm.Machine
	conns     [2]*conn
	session   *conn // of the established session
	dial      *attempt
	candidate candidate // neither adopted nor refused yet
	timer     *time.Timer
	refusing  chan struct{} // holds a token while a connection is being refused
	lingering chan struct{} // holds a token for each connection that lingers
}

// maxLingering is how many connections of a neighbor linger. More come and go
// only in a flood, in which nobody reads NOTIFICATIONs.
const maxLingering = 4

// candidate is a connection that the neighbor began, nc nil for none.
type candidate struct {
	nc   net.Conn
	read []byte // what was read of it already
}

// attempt is one to connect.
type attempt struct {
	made   Neighbor
	cancel context.CancelFunc
}

// dialed is its result.
type dialed struct {
	attempt *attempt
	nc      net.Conn
	err     error
}

func newRunner(m *Manager, n Neighbor) *runner {
	r := &runner{manager: m, id: n.ID, settings: n,
		events: make(chan event), dialed: make(chan dialed), wake: make(chan struct{}, 1), done: make(chan struct{}),
		machine: fsm.New(n.Machine, m.random), refusing: make(chan struct{}, 1), lingering: make(chan struct{}, maxLingering)}
	r.status = Status{Shutdown: n.Shutdown, ShutdownMessage: n.ShutdownMessage, Since: time.Now()}
	e := fsm.Event{Kind: fsm.Start}
	if n.Shutdown {
		e = fsm.Event{Kind: fsm.ManualStop, Close: fsm.Shutdown(n.ShutdownMessage)}
	}
	r.orders = []fsm.Event{e}
	r.signal()
	return r
}

func (r *runner) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *runner) leave(f func()) {
	r.mu.Lock()
	f()
	r.mu.Unlock()
	r.signal()
}

func (r *runner) current() Neighbor {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.settings
}

// change: of an order and its opposite, the later one counts, so that there
// are never more than a few.
func (r *runner) change(n Neighbor) {
	r.leave(func() {
		old := r.settings
		r.settings, r.changed = n, true
		switch {
		case n.Shutdown && (!old.Shutdown || n.ShutdownMessage != old.ShutdownMessage):
			r.orders = []fsm.Event{{Kind: fsm.ManualStop, Close: fsm.Shutdown(n.ShutdownMessage)}}
		case !n.Shutdown && old.Shutdown:
			r.orders = []fsm.Event{{Kind: fsm.Start}}
		}
	})
}

func (r *runner) admin(e fsm.Event) {
	r.leave(func() {
		if n := len(r.orders); n > 0 && r.orders[n-1].Kind == e.Kind || n >= 4 {
			r.orders = r.orders[:n-1]
		}
		r.orders = append(r.orders, e)
	})
}

func (r *runner) remove(c Close) { r.leave(func() { r.removed = &c }) }

// offer hands a connection over that the neighbor began. One that still waits
// is closed: the neighbor has given it up.
func (r *runner) offer(c candidate) {
	r.leave(func() {
		if r.offered.nc != nil {
			r.offered.nc.Close()
		}
		r.offered = c
		if r.removed != nil {
			c.nc.Close()
			r.offered = candidate{}
		}
	})
}

func (r *runner) refresh(f prefix.Family) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.status.Established
	if e == nil || !e.Refresh || !e.Read.Families[f] {
		return false
	}
	r.ask[f] = true
	r.signal()
	return true
}

func (r *runner) run() {
	defer close(r.done)
	r.timer = time.NewTimer(0)
	defer r.timer.Stop()
	for {
		select {
		case <-r.wake:
			if r.look() {
				return
			}
		case ev := <-r.events:
			// Of a connection that has ended meanwhile, nothing counts.
			if r.conns[ev.event.Conn] == ev.conn {
				r.step(ev.event)
			}
			r.answer(ev)
		case d := <-r.dialed:
			r.connected(d)
		case <-r.timer.C:
			r.tick()
		}
		r.arm()
		r.publish()
	}
}

// answer lets the reader go on. A KEEPALIVE ahead of the outcome of a collision
// is answered when the session is up: UPDATEs may stand behind it.
func (r *runner) answer(ev event) {
	c := ev.conn
	if ev.event.Kind == fsm.KeepAliveMsg && r.conns[c.which] == c && r.machine.Undecided(c.which) {
		c.held = ev.answer
		return
	}
	close(ev.answer)
}

func (r *runner) step(e fsm.Event) { r.do(r.machine.Step(time.Now(), e)) }

// arm sets the one timer to the machine's next.
func (r *runner) arm() {
	r.timer.Stop()
	if next, ok := r.machine.Next(); ok {
		r.timer.Reset(time.Until(next))
	}
}

// tick first tells the machine what the connections did while nobody looked.
func (r *runner) tick() {
	if c := r.session; c != nil {
		began := r.manager.began
		r.machine.Wrote(c.which, began.Add(time.Duration(c.wrote.Load())))
		r.machine.Heard(c.which, began.Add(time.Duration(c.heard.Load())))
		// The neighbor must not lose its session because we are slow: as long
		// as bytes of it wait in the socket, it is alive. They are looked at
		// only when the timer would expire.
		now := time.Now()
		if hold, ok := r.machine.HoldExpires(c.which); ok && !now.Before(hold) && c.waiting() {
			r.machine.Heard(c.which, now)
		}
	}
	r.do(r.machine.Tick(time.Now()))
}

// look does what others have left. It returns true at the end.
func (r *runner) look() (end bool) {
	r.mu.Lock()
	changed, was := r.changed, r.applied
	r.applied = r.settings
	orders, offered, removed, ask, failure := r.orders, r.offered, r.removed, r.ask, r.failure
	r.changed, r.orders, r.offered, r.ask, r.failure = false, nil, candidate{}, [prefix.Families]bool{}, nil
	r.mu.Unlock()

	if changed {
		r.machine.SetConfig(r.applied.Machine)
		if was.Remote != r.applied.Remote && r.applied.Interface == "" && r.machine.Kept() {
			// What restarts there is another router than the one whose routes are kept.
			r.step(fsm.Event{Kind: fsm.AutomaticStop, Close: fsm.Close{Code: wire.CodeCease, Subcode: wire.CeaseConfigChange}})
		}
		if was.session() != r.applied.session() || was.Remote != r.applied.Remote {
			r.step(fsm.Event{Kind: fsm.Reconfigured})
		}
	}
	for _, e := range orders {
		r.order(e)
	}
	if f := failure; f != nil && (r.session != nil || f.kept && r.machine.Kept()) {
		r.step(fsm.Event{Kind: fsm.AutomaticStop, Close: f.close})
	}
	if c := r.session; c != nil {
		if cl := c.out.wanted(); cl != nil {
			r.step(fsm.Event{Kind: fsm.AutomaticStop, Close: *cl})
		}
	}
	if c := r.session; c != nil {
		for f, want := range ask {
			if want {
				c.out.Refresh(prefix.Family(f))
			}
		}
	}
	if offered.nc != nil {
		if r.candidate.nc != nil {
			r.candidate.nc.Close()
		}
		r.candidate = offered
		r.step(fsm.Event{Kind: fsm.Accepted, Conn: fsm.In})
	}
	if removed == nil {
		return false
	}
	r.step(fsm.Event{Kind: fsm.ManualStop, Close: *removed}) // refuses a candidate
	return true
}

// order is an operator's.
func (r *runner) order(e fsm.Event) {
	stays := e.Kind == fsm.ManualStop && e.Close.StayDown
	if stays || e.Kind == fsm.Start {
		r.mu.Lock()
		r.status.Shutdown, r.status.ShutdownMessage = stays, e.Close.Text
		r.mu.Unlock()
	}
	if e.Kind == fsm.ManualStop && !stays && r.machine.State() == fsm.Idle && r.machine.Started() {
		e = fsm.Event{Kind: fsm.Start} // do not wait any longer
	}
	r.step(e)
}

// do carries out what the machine asks for.
func (r *runner) do(actions []fsm.Action) {
	for _, a := range actions {
		switch a.Kind {
		case fsm.Dial:
			r.connect()
		case fsm.Adopt:
			r.adopt(fsm.In, r.candidate, r.applied)
			r.candidate = candidate{}
		case fsm.Refuse:
			r.refuse(r.candidate.nc, a.Msg)
			r.candidate = candidate{}
		case fsm.Send:
			if c := r.conns[a.Conn]; c != nil {
				c.out.control(a.Msg)
			}
		case fsm.Disconnect:
			r.disconnect(a.Conn, a.Msg)
		case fsm.Up:
			r.up(r.conns[a.Conn], a.Up)
		case fsm.Down:
			r.session = nil
			r.down(a.Reason)
		case fsm.Forget:
			r.manager.routes.Forget(r.id)
		case fsm.Failed:
			r.failed(a.Reason)
		case fsm.Note:
			r.manager.log.Info(a.Text, "event", events.CapabilityRefused, "neighbor", r.applied.Name)
		}
	}
}

// connect begins an attempt.
func (r *runner) connect() {
	r.note("connecting", netip.AddrPort{}, r.applied.Transport.remote())
	ctx, cancel := context.WithCancel(r.manager.ctx)
	a := &attempt{r.applied, cancel}
	r.dial = a
	r.manager.wg.Go(func() {
		nc, err := r.manager.dial(ctx, &a.made)
		select {
		case r.dialed <- dialed{a, nc, err}:
		case <-ctx.Done():
			if err == nil {
				nc.Close()
			}
		}
	})
}

// dial connects to a neighbor whose address may not be known.
func (m *Manager) dial(ctx context.Context, n *Neighbor) (net.Conn, error) {
	if !n.Remote.IsValid() {
		return nil, fmt.Errorf("no router advertisement has come on %s", n.Interface)
	}
	return m.net.Dial(ctx, n.Transport)
}

// connected is the end of an attempt.
func (r *runner) connected(d dialed) {
	d.attempt.cancel()
	switch {
	case r.dial != d.attempt:
		if d.err == nil {
			d.nc.Close()
		}
	case d.err != nil:
		r.dial = nil
		r.step(fsm.Event{Kind: fsm.ConnectionFails, Conn: fsm.Out, Text: errorText(d.err)})
	default:
		r.dial = nil
		r.adopt(fsm.Out, candidate{nc: d.nc}, d.attempt.made)
		r.step(fsm.Event{Kind: fsm.Connected, Conn: fsm.Out})
	}
}

func (r *runner) adopt(which fsm.Conn, c candidate, made Neighbor) {
	local, remote := addrPort(c.nc.LocalAddr()), addrPort(c.nc.RemoteAddr())
	r.note(map[fsm.Conn]string{fsm.Out: "connected", fsm.In: "the neighbor has connected"}[which], local, remote)
	r.conns[which] = newConn(r, c, which, made)
	r.mu.Lock()
	r.status.Local, r.status.Remote = local, remote
	r.mu.Unlock()
}

// refuse closes a connection, after a message if nobody else is being told.
func (r *runner) refuse(nc net.Conn, msg []byte) {
	select {
	case r.refusing <- struct{}{}:
	default:
		nc.Close()
		return
	}
	r.manager.wg.Go(func() {
		defer func() { <-r.refusing }()
		if all := r.traces.Load(); all != nil {
			traceMessages(*all, TraceEvent{Sent: true, Local: addrPort(nc.LocalAddr()), Remote: addrPort(nc.RemoteAddr())}, msg)
		}
		nc.SetWriteDeadline(time.Now().Add(grace))
		if _, err := nc.Write(msg); err != nil {
			nc.Close()
			return
		}
		r.out.types[wire.MsgNotification].Add(1)
		r.out.bytes.Add(uint64(len(msg)))
		lingerClose(r.manager.ctx, nc)
	})
}

// linger closes a connection once the neighbor has read what it was sent.
func (r *runner) linger(nc net.Conn) {
	select {
	case r.lingering <- struct{}{}:
	default:
		nc.Close()
		return
	}
	r.manager.wg.Go(func() {
		lingerClose(r.manager.ctx, nc)
		<-r.lingering
	})
}

func (r *runner) disconnect(which fsm.Conn, msg []byte) {
	if which == fsm.Out && r.dial != nil {
		r.dial.cancel()
		r.dial = nil
	}
	if c := r.conns[which]; c != nil {
		r.conns[which] = nil
		c.end(msg)
	}
}

// up: the session is established. The reader waits until this returns.
func (r *runner) up(c *conn, e *Established) {
	e.Local, e.Remote = addrPort(c.nc.LocalAddr()), addrPort(c.nc.RemoteAddr())
	r.nextHops(e, &c.made.Transport)
	c.up, c.maxLen = true, wire.MaxMsgLen
	if e.Read.ExtMsg {
		c.maxLen = wire.MaxExtendedLen
	}
	c.est.Store(e)
	c.heard.Store(int64(r.manager.elapsed()))
	c.sendHoldTime.Store(int64(e.SendHold))
	c.out.allow(e)
	r.session = c
	r.mu.Lock()
	s := &r.status
	s.Established, s.Sent, s.Received = e, e.Sent, e.Received
	s.Since, s.Sessions = time.Now(), s.Sessions+1
	s.LastEstablished = s.Since
	s.Local, s.Remote = e.Local, e.Remote
	s.conn, r.last = c, e
	r.mu.Unlock()
	r.publish()
	r.manager.log.Info("neighbor up", "event", events.NeighborUp, "neighbor", r.applied.Name, "address", e.Remote.Addr(), "asn", e.RemoteASN, "families", familiesText(e.Read.Families))
	r.manager.routes.Up(r.id, *e, c.out)
	if c.held != nil {
		close(c.held)
		c.held = nil
	}
}

// nextHops finds the addresses that we can announce.
func (r *runner) nextHops(e *Established, t *Transport) {
	local := e.Local.Addr()
	found := r.manager.net.Addresses(local, e.Remote.Addr())
	e.NextHop, e.LinkLocal, e.Interface = found.Global, found.LinkLocal, found.Interface
	if t.oneHop() {
		e.Link = found.Link
	}
	switch {
	case local.Is4():
		e.NextHop[prefix.IPv4] = local
	case !local.IsLinkLocalUnicast():
		e.NextHop[prefix.IPv6] = local.WithZone("")
	}
}

// down: the session has ended; its reader and its writer are gone.
func (r *runner) down(why Reason) {
	r.mu.Lock()
	s := &r.status
	lasted := time.Since(s.Since)
	s.Established, s.conn, s.Since = nil, nil, time.Now()
	s.LastReset = &End{At: s.Since, Reason: why}
	s.Local, s.Remote = netip.AddrPort{}, netip.AddrPort{}
	r.mu.Unlock()
	r.publish()
	r.note("the session has ended: "+why.String(), netip.AddrPort{}, netip.AddrPort{})
	r.manager.log.Warn("neighbor down", append(r.ended(events.NeighborDown, why), "lasted", lasted.Round(time.Second))...)
	r.manager.routes.Down(r.id, why)
}

// failed: an attempt at a session has ended. The same failure again and again
// is said once.
func (r *runner) failed(why Reason) {
	r.note("no session: "+why.String(), netip.AddrPort{}, netip.AddrPort{})
	collision := why.Code == wire.CodeCease && why.Subcode == wire.CeaseCollision
	r.mu.Lock()
	again := collision || r.status.LastError != nil && r.status.LastError.Reason == why
	if !collision {
		r.status.LastError = &End{At: time.Now(), Reason: why}
	}
	r.mu.Unlock()
	if !again {
		r.manager.log.Info("no session", r.ended(events.SessionFailed, why)...)
	}
}

// ended is what the log tells of an end: the NOTIFICATION in fields of its own
// too, so that nobody has to take the reason apart.
func (r *runner) ended(id events.ID, why Reason) []any {
	all := []any{"event", id, "neighbor", r.applied.Name, "address", r.applied.Remote, "asn", r.applied.Machine.RemoteASN, "reason", why.String()}
	switch why.Kind {
	case fsm.NotificationSent:
		all = append(all, "notification", "sent", "code", why.Code, "subcode", why.Subcode)
	case fsm.NotificationReceived:
		all = append(all, "notification", "received", "code", why.Code, "subcode", why.Subcode)
	}
	return all
}

func familiesText(on [prefix.Families]bool) string {
	var all []string
	for f, yes := range on {
		if yes {
			all = append(all, prefix.Family(f).String())
		}
	}
	return strings.Join(all, ",")
}

// publish shows others what the machine is at.
func (r *runner) publish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.status
	if state := r.machine.State(); state != s.State {
		r.note("the session is "+state.String(), netip.AddrPort{}, netip.AddrPort{})
	}
	s.State, s.Attempts, s.Stopped, s.Refusing = r.machine.State(), r.machine.Attempts(), !r.machine.Started(), r.machine.Limited()
	if r.conns[fsm.Out] == nil && r.conns[fsm.In] == nil {
		s.Local, s.Remote = netip.AddrPort{}, netip.AddrPort{}
	}
}

func (r *runner) snapshot() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.status
	s.In, s.Out = r.in.load(), r.out.load()
	if c := s.conn; c != nil {
		s.conn = nil
		s.Queued = c.out.queued()
		s.Pending = c.made.session() != r.settings.session()
	}
	return s
}
