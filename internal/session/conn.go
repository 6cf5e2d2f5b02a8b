package session

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
)

const (
	// grace is how long a connection that ends may take to send its
	// NOTIFICATION.
	grace = time.Second
	// linger is how long it then waits for the neighbor to close. Closing at
	// once would reset the connection if there are bytes that nobody read, and
	// the reset would destroy the NOTIFICATION.
	linger = 2 * time.Second
)

// conn is a connection with a neighbor. Its runner makes it and ends it with
// end; meanwhile it has two goroutines, a reader and a writer. Nobody else
// reads, writes or closes the socket.
type conn struct {
	nc     net.Conn
	raw    syscall.RawConn // nil if the socket is none of the kernel's
	id     packet.ID
	routes Routes
	which  fsm.Conn
	runner *runner
	made   Neighbor // the settings of its time

	stop    chan struct{} // closed by end
	readers sync.WaitGroup
	writers sync.WaitGroup

	held chan struct{} // the runner's: an answer that the reader waits for

	// Set by the runner before it answers the reader's KEEPALIVE.
	up     bool
	maxLen int

	out *outbox

	// When the neighbor was last heard, and when it was last sent anything
	// beside KEEPALIVEs, as durations since the start of the manager.
	heard, wrote atomic.Int64
	sendHoldTime atomic.Int64 // as negotiated, or for the OPEN

	est atomic.Pointer[Established] // for traces; nil until the session is established
}

// event is what a connection tells its runner.
type event struct {
	conn  *conn
	event fsm.Event
	// answer is closed when the event has been dealt with.
	answer chan struct{}
}

func newConn(r *runner, of candidate, which fsm.Conn, made Neighbor) *conn {
	nc := of.nc
	c := &conn{nc: nc, id: r.id, routes: r.manager.routes, which: which, runner: r, made: made, stop: make(chan struct{})}
	if s, ok := nc.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.sendHoldTime.Store(int64(fsm.LargeHold))
	c.out = newOutbox(c)
	c.readers.Add(1)
	c.writers.Add(1)
	go func() {
		defer c.readers.Done()
		(&reader{conn: c, carry: of.read}).run()
	}()
	go func() {
		defer c.writers.Done()
		(&writer{conn: c, out: c.out}).run()
	}()
	return c
}

// end is the one way in which a connection ends. It returns when the reader
// will not deliver and the writer will not write any more. final, if there is
// one, is the last message.
func (c *conn) end(final []byte) {
	now := time.Now()
	c.out.end(final, now)
	close(c.stop)
	c.nc.SetReadDeadline(now)
	c.readers.Wait()
	c.writers.Wait()
	if final == nil {
		c.nc.Close()
		return
	}
	c.runner.linger(c.nc)
}

// lingerClose waits for the neighbor to close, and closes.
func lingerClose(ctx context.Context, nc net.Conn) {
	defer nc.Close()
	half, ok := nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	if nc.SetReadDeadline(time.Now().Add(linger)) != nil {
		return
	}
	defer context.AfterFunc(ctx, func() { nc.SetReadDeadline(time.Now()) })()
	io.Copy(io.Discard, nc)
}

// tell gives an event to the runner and waits until it has been dealt with.
// False if the connection is ending.
func (c *conn) tell(e fsm.Event) bool {
	e.Conn = c.which
	ev := event{conn: c, event: e, answer: make(chan struct{})}
	select {
	case c.runner.events <- ev:
	case <-c.stop:
		return false
	}
	select {
	case <-ev.answer:
		return true
	case <-c.stop:
		return false
	}
}

// waiting reports whether bytes of the neighbor wait in the socket.
func (c *conn) waiting() bool {
	n := 0
	if c.raw != nil {
		c.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	} else if b, ok := c.nc.(interface{ Buffered() int }); ok {
		n = b.Buffered()
	}
	return n > 0
}

// addrPort is the address of an end of a TCP connection. IPv4 in IPv6 is IPv4.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// errorText is the error of a socket without the addresses, which stand beside
// it everywhere.
func errorText(err error) string {
	if errors.Is(err, io.EOF) {
		return "the neighbor closed the connection"
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer in time"
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op.Err
	}
	if s := (*os.SyscallError)(nil); errors.As(err, &s) {
		err = s.Err
	}
	return err.Error()
}
