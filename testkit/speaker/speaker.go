// Package speaker is a BGP neighbor that does what a test says, over a real
// connection, and knows what it has been told. IPv4 unicast only.
package speaker

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Config is who a speaker is and whom it talks to.
type Config struct {
	Local  netip.Addr
	Remote netip.AddrPort
	ASN    uint32
	// GracefulRestart is offered if it is set (RFC 4724).
	GracefulRestart *wire.GracefulRestart
	// ReadBuffer is the socket's, 0 for the system's default.
	ReadBuffer int
}

// Speaker is one whose session is Established.
type Speaker struct {
	Config
	conn *net.TCPConn
	in   *Reader
	send sync.Mutex // whole messages

	mu      sync.Mutex // for what follows
	changed chan struct{}
	told    Told
	err     error // why it reads no more
	done    chan struct{}
}

// Told is what a speaker was sent.
type Told struct {
	Routes               map[prefix.Prefix]string // the AS path by prefix
	Announced, Withdrawn int                      // prefixes in UPDATEs
	EndOfRIBs            int
	Notification         *wire.Notification // the last
}

// Connect brings up a session; it tries until ctx ends. Reading begins with Read.
func Connect(ctx context.Context, c Config) (*Speaker, error) {
	for {
		s, err := try(ctx, c)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no session from %v to %v: %w", c.Local, c.Remote, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func try(ctx context.Context, c Config) (*Speaker, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: c.Local.AsSlice()}}
	conn, err := d.DialContext(ctx, "tcp4", c.Remote.String())
	if err != nil {
		return nil, err
	}
	s := &Speaker{Config: c, conn: conn.(*net.TCPConn), in: NewReader(conn), changed: make(chan struct{}), done: make(chan struct{})}
	s.told.Routes = map[prefix.Prefix]string{}
	if err := s.open(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *Speaker) open(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.conn.SetReadDeadline(deadline); err != nil {
			return err
		}
	}
	if s.ReadBuffer > 0 {
		if err := s.conn.SetReadBuffer(s.ReadBuffer); err != nil {
			return err
		}
	}
	open := wire.Open{ASN: s.ASN, HoldTime: 180, ID: binary.BigEndian.Uint32(s.Local.AsSlice())}
	open.Capabilities.AS4 = true
	open.Capabilities.Families = []wire.FamilyID{wire.UnicastID(prefix.IPv4)}
	open.Capabilities.GracefulRestart = s.GracefulRestart
	if _, err := Greet(s.conn, s.in, &open); err != nil {
		return err
	}
	return s.conn.SetReadDeadline(time.Time{})
}

// Conn is the connection, for who reads and writes it without Read and Send.
func (s *Speaker) Conn() *net.TCPConn { return s.conn }

// Next is the next message, without Read. body is valid until the one after it.
func (s *Speaker) Next() (typ byte, body []byte, err error) { return s.in.Next() }

// Read reads in the background until the session ends, and sends KEEPALIVEs.
func (s *Speaker) Read() {
	go func() {
		err := s.read()
		s.mu.Lock()
		s.err = err
		close(s.changed)
		s.changed = make(chan struct{})
		s.mu.Unlock()
		close(s.done)
	}()
	go func() {
		for tick := time.NewTicker(30 * time.Second); ; {
			select {
			case <-s.done:
				tick.Stop()
				return
			case <-tick.C:
				_ = s.Send(wire.AppendKeepalive(nil))
			}
		}
	}()
}

func (s *Speaker) read() error {
	o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true}}
	var routes []wire.Route
	for {
		typ, body, err := s.Next()
		if err != nil {
			return err
		}
		switch typ {
		case wire.MsgNotification:
			n, e := wire.ParseNotification(body)
			if e != nil {
				return e
			}
			s.mu.Lock()
			s.told.Notification = &n
			s.mu.Unlock()
			return fmt.Errorf("NOTIFICATION: %v", n)
		case wire.MsgUpdate:
			var u wire.Update
			if err := wire.Split(body, &o, &u); err != nil {
				return err
			}
			if routes, err = s.update(&u, routes[:0]); err != nil {
				return err
			}
		}
	}
}

func (s *Speaker) update(u *wire.Update, routes []wire.Route) ([]wire.Route, error) {
	routes, e := u.Withdrawn.Decode(routes)
	if e != nil {
		return nil, e
	}
	gone := len(routes)
	if routes, e = u.Announced.Decode(routes); e != nil {
		return nil, e
	}
	var a wire.Attrs
	wire.Parse(u.Attrs, nil, &a)
	path := wire.PathText(a.ASPath)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range routes {
		if i < gone {
			s.told.Withdrawn++
			delete(s.told.Routes, r.Prefix)
		} else {
			s.told.Announced++
			s.told.Routes[r.Prefix] = path
		}
	}
	if len(routes) == 0 {
		s.told.EndOfRIBs++
	}
	close(s.changed)
	s.changed = make(chan struct{})
	return routes, nil
}

// Told is a copy of what the speaker was sent, and why it reads no more.
func (s *Speaker) Told() (Told, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.told
	t.Routes = maps.Clone(t.Routes)
	return t, s.err
}

// Await waits until f is content with what the speaker was sent.
func (s *Speaker) Await(ctx context.Context, f func(*Told) bool) error {
	for {
		s.mu.Lock()
		ok, err, changed, n := f(&s.told), s.err, s.changed, len(s.told.Routes)
		s.mu.Unlock()
		switch {
		case ok:
			return nil
		case err != nil:
			return fmt.Errorf("speaker %v: %w", s.Local, err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("speaker %v has %d routes: %w", s.Local, n, ctx.Err())
		}
	}
}

// nextHop is one that a router takes: no loopback address as the speakers have.
var nextHop = []byte{192, 0, 2, 1}

// Announce sends routes with an AS path, which the speaker's own AS stands in
// front of.
func (s *Speaker) Announce(path []uint32, ps ...prefix.Prefix) error {
	return s.Send(s.AppendAnnounce(nil, path, ps...))
}

// AppendAnnounce is what Announce sends.
func (s *Speaker) AppendAnnounce(dst []byte, path []uint32, ps ...prefix.Prefix) []byte {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: nextHop}
	for i := len(path) - 1; i >= 0; i-- {
		a.ASPath = wire.Prepend(nil, a.ASPath, path[i], 1)
	}
	a.ASPath = wire.Prepend(nil, a.ASPath, s.ASN, 1)
	attrs := a.Append(nil, false)
	return pack(ps, func(nlri []byte) { dst = wire.AppendUpdate(dst, prefix.IPv4, nil, attrs, nil, nlri) }, &dst)
}

// Withdraw withdraws routes.
func (s *Speaker) Withdraw(ps ...prefix.Prefix) error { return s.Send(AppendWithdraw(nil, ps...)) }

// AppendWithdraw is what Withdraw sends.
func AppendWithdraw(dst []byte, ps ...prefix.Prefix) []byte {
	return pack(ps, func(nlri []byte) { dst = wire.AppendUpdate(dst, prefix.IPv4, nlri, nil, nil, nil) }, &dst)
}

// pack calls f with as many prefixes as fit a message, until all have had their
// turn, and returns what f has made of dst.
func pack(ps []prefix.Prefix, f func(nlri []byte), dst *[]byte) []byte {
	var nlri []byte
	for _, p := range ps {
		if nlri = wire.AppendPrefix(nlri, p); len(nlri) > 3500 {
			f(nlri)
			nlri = nlri[:0]
		}
	}
	if len(nlri) > 0 {
		f(nlri)
	}
	return *dst
}

// EndOfRIB says that the first transfer is complete.
func (s *Speaker) EndOfRIB() error { return s.Send(wire.AppendEndOfRIB(nil, prefix.IPv4)) }

// Send sends whole messages.
func (s *Speaker) Send(msgs []byte) error {
	s.send.Lock()
	defer s.send.Unlock()
	_, err := s.conn.Write(msgs)
	return err
}

// Abort ends the session as a crash does: with a reset, and no NOTIFICATION.
func (s *Speaker) Abort() error { return errors.Join(s.conn.SetLinger(0), s.conn.Close()) }

// Close ends the connection.
func (s *Speaker) Close() error { return s.conn.Close() }
