// Package memnet is a network in memory for tests in virtual time: its
// connections work inside the bubbles of testing/synctest, and links between
// hosts can be slow, stall, and be cut.
//
// Connections behave like TCP where BGP would notice: limited buffers, half
// close, a reset for those who write to nobody, and data that is lost when its
// sender closes with unread bytes.
package memnet

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Window is how many bytes a connection holds in each direction before writes
// block.
const Window = 64 << 10

// Network connects hosts by their addresses.
type Network struct {
	mu        sync.Mutex
	changed   *sync.Cond // a link or the set of listeners has changed
	listeners map[netip.AddrPort]*Listener
	links     map[link]*state
	port      uint16
}

// link is a pair of hosts, the lower address first.
type link struct{ a, b netip.Addr }

func linkOf(a, b netip.Addr) link {
	if b.Less(a) {
		a, b = b, a
	}
	return link{a, b}
}

// state is that of a link.
type state struct {
	delay time.Duration
	cut   bool
	conns map[*Conn]bool // those dialed
}

// New is an empty network.
func New() *Network {
	n := &Network{listeners: map[netip.AddrPort]*Listener{}, links: map[link]*state{}, port: 32768}
	n.changed = sync.NewCond(&n.mu)
	return n
}

func (n *Network) state(a, b netip.Addr) *state {
	l := linkOf(a, b)
	if n.links[l] == nil {
		n.links[l] = &state{conns: map[*Conn]bool{}}
	}
	return n.links[l]
}

// Delay sets the one-way delay between two hosts, for what is written from now.
func (n *Network) Delay(a, b netip.Addr, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state(a, b)
	s.delay = d
	for c := range s.conns {
		c.out.set(func(p *pipe) { p.delay = d })
		c.in.set(func(p *pipe) { p.delay = d })
	}
}

// Cut takes the link between two hosts down, or up again. Nobody is told:
// bytes on their way wait, and so do attempts to connect.
func (n *Network) Cut(a, b netip.Addr, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state(a, b)
	s.cut = cut
	for c := range s.conns {
		c.out.set(func(p *pipe) { p.cut = cut })
		c.in.set(func(p *pipe) { p.cut = cut })
	}
	n.changed.Broadcast()
}

// Reset breaks all connections between two hosts: both ends get an error.
func (n *Network) Reset(a, b netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state(a, b)
	for c := range s.conns {
		c.out.fail(syscall.ECONNRESET)
		c.in.fail(syscall.ECONNRESET)
	}
	clear(s.conns)
}

// Listen opens a port.
func (n *Network) Listen(at netip.AddrPort) (*Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: net.TCPAddrFromAddrPort(at), Err: syscall.EADDRINUSE}
	}
	l := &Listener{network: n, at: at, queue: make(chan *Conn, 16), done: make(chan struct{})}
	n.listeners[at] = l
	return l, nil
}

// Dial connects a host to a port. It waits as long as the link is cut.
func (n *Network) Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (*Conn, error) {
	fail := func(err error) (*Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
	}
	wake := context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.changed.Broadcast()
	})
	defer wake()
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.state(from, to.Addr())
	for s.cut && ctx.Err() == nil {
		n.changed.Wait()
	}
	if d := 2 * s.delay; d > 0 && ctx.Err() == nil {
		n.mu.Unlock()
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		n.mu.Lock()
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	l := n.listeners[to]
	if l == nil {
		return fail(syscall.ECONNREFUSED)
	}
	n.port++
	there, back := newPipe(s), newPipe(s)
	local := netip.AddrPortFrom(from, n.port)
	c := &Conn{in: back, out: there, local: local, remote: to}
	c.ended = func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(s.conns, c)
	}
	select {
	case l.queue <- &Conn{in: there, out: back, local: to, remote: local, ended: func() {}}:
		s.conns[c] = true
		return c, nil
	default:
		return fail(fmt.Errorf("the queue of %v is full", to))
	}
}

// Listener is a net.Listener.
type Listener struct {
	network *Network
	at      netip.AddrPort
	queue   chan *Conn
	done    chan struct{}
	once    sync.Once
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close closes the port. Connections that nobody accepted are reset.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		delete(l.network.listeners, l.at)
		l.network.mu.Unlock()
		close(l.done)
		for {
			select {
			case c := <-l.queue:
				c.in.fail(syscall.ECONNRESET)
				c.out.fail(syscall.ECONNRESET)
			default:
				return
			}
		}
	})
	return nil
}

// Addr is the port's address.
func (l *Listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.at) }

// Conn is one end of a connection.
type Conn struct {
	in, out       *pipe
	local, remote netip.AddrPort
	ended         func()
	once          sync.Once
}

func (c *Conn) error(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// Read waits for at least one byte.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	if err != nil && err != io.EOF {
		err = c.error("read", err)
	}
	return n, err
}

// Write waits until all of b is in the connection's buffer.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	if err != nil {
		err = c.error("write", err)
	}
	return n, err
}

// Buffered is how many bytes a Read would find.
func (c *Conn) Buffered() int { return c.in.arrived() }

// Stall keeps what this end writes from arriving, until it is called with
// false.
func (c *Conn) Stall(stall bool) { c.out.set(func(p *pipe) { p.stalled = stall }) }

// CloseWrite lets the other end read the rest and then the end of the stream.
func (c *Conn) CloseWrite() error {
	c.out.set(func(p *pipe) { p.finished = true })
	return nil
}

// Close ends both directions. As in TCP, bytes that were not read turn the
// orderly end into a reset, which destroys what is on its way.
func (c *Conn) Close() error {
	err := c.error("close", net.ErrClosed)
	c.once.Do(func() {
		unread := c.in.close()
		c.out.set(func(p *pipe) {
			p.finished, p.writerGone = true, true
			if unread {
				p.err, p.chunks, p.size = syscall.ECONNRESET, nil, 0
			}
		})
		c.ended()
		err = nil
	})
	return err
}

// LocalAddr is a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr is a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// SetDeadline sets both.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}

// SetReadDeadline ends a Read, present ones included, at t.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(&c.in.readBy, t)
	return nil
}

// SetWriteDeadline ends a Write, present ones included, at t.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(&c.out.writeBy, t)
	return nil
}
