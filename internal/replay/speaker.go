package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"holdfast/internal/wire"
)

const (
	// handshakeTime bounds the way to Established: RFC 4271 section 8.2.2 wants
	// minutes, people do not.
	handshakeTime = 30 * time.Second
	// stallTime is how long a router may read nothing before we give up.
	stallTime = 2 * time.Minute
	// closeTime is how long the router may take to read all and close.
	closeTime = 5 * time.Second
	// proposedHold: routers under a full table are slow to send keepalives.
	proposedHold = 180 * time.Second
)

// chunk is a run of whole messages.
type chunk struct {
	data []byte
	done int           // of what Progress counts, up to here
	due  time.Duration // since the start
}

// speaker is one established session. Its reader drops all it receives.
type speaker struct {
	conn     net.Conn
	in       *bufio.Reader
	remote   wire.Open
	ebgp     bool
	hold     time.Duration // 0: no keepalives (RFC 4271 section 4.2)
	ended    chan struct{} // closed when the reader has ended
	failed   error         // why; to be read behind ended
	cut      bool          // a message was sent in part only
	received atomic.Int64  // UPDATEs
}

// Notification is the error of a session that the router ended.
type Notification struct {
	wire.Notification
}

func (n *Notification) Error() string { return "the router ended the session: " + n.String() }

// establish exchanges OPENs and the first KEEPALIVEs over conn, which is closed
// if that fails.
func establish(ctx context.Context, conn net.Conn, open wire.Open) (*speaker, error) {
	s := &speaker{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), ended: make(chan struct{})}
	_ = conn.SetDeadline(time.Now().Add(handshakeTime))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	err := s.handshake(open)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	_ = conn.SetDeadline(time.Time{})
	go s.read()
	return s, nil
}

func (s *speaker) handshake(open wire.Open) error {
	// If nothing can be sent, what was received tells why.
	_, _ = s.conn.Write(wire.AppendOpen(nil, &open))
	body, err := s.expect(wire.MsgOpen)
	if err != nil {
		return err
	}
	var bad *wire.Error
	if s.remote, bad = wire.ParseOpen(body); bad != nil {
		_, _ = s.conn.Write(wire.AppendNotification(nil, bad.Code, bad.Subcode, bad.Data))
		return fmt.Errorf("cannot use the router's OPEN: %w", bad)
	}
	s.ebgp = s.remote.ASN != open.ASN
	s.hold = time.Duration(min(s.remote.HoldTime, open.HoldTime)) * time.Second
	_, _ = s.conn.Write(wire.AppendKeepalive(nil))
	_, err = s.expect(wire.MsgKeepalive)
	return err
}

// expect reads the next message, which must be of a type or a NOTIFICATION.
func (s *speaker) expect(want uint8) ([]byte, error) {
	typ, n, err := s.header()
	if err != nil {
		return nil, err
	}
	if typ != wire.MsgNotification && typ != want {
		_, _ = s.conn.Write(wire.AppendNotification(nil, wire.CodeFSM, 0, nil))
		return nil, fmt.Errorf("the router sent a message of type %d where one of type %d belongs", typ, want)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return nil, s.lost(err)
	}
	if typ == wire.MsgNotification {
		return nil, notification(body)
	}
	return body, nil
}

func notification(body []byte) error {
	n, bad := wire.ParseNotification(body)
	if bad != nil {
		return bad
	}
	return &Notification{n}
}

// header reads a message's header; n bytes follow.
func (s *speaker) header() (typ uint8, n int, err error) {
	var h [wire.HeaderLen]byte
	if _, err := io.ReadFull(s.in, h[:]); err != nil {
		return 0, 0, s.lost(err)
	}
	typ, length, bad := wire.ParseHeader(h[:], wire.MaxExtendedLen)
	if bad != nil {
		_, _ = s.conn.Write(wire.AppendNotification(nil, bad.Code, bad.Subcode, bad.Data))
		return 0, 0, fmt.Errorf("the router does not speak BGP: %w", bad)
	}
	return typ, length - wire.HeaderLen, nil
}

// lost explains that nothing more can be read.
func (s *speaker) lost(err error) error {
	switch {
	case s.remote.ASN == 0 && errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the router sent no OPEN within %v", handshakeTime)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the router has not said anything for too long: the hold timer expired")
	case s.remote.ASN == 0 && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		return errors.New("the router closed the connection at once: does it expect a neighbor with our address?")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the router closed the connection without a NOTIFICATION")
	}
	return fmt.Errorf("the connection to the router broke: %w", cause(err))
}

// read drops what the router sends until the session ends.
func (s *speaker) read() {
	defer close(s.ended)
	for {
		if s.hold > 0 {
			_ = s.conn.SetReadDeadline(time.Now().Add(s.hold))
		}
		typ, n, err := s.header()
		if err != nil {
			s.failed = err
			return
		}
		switch typ {
		case wire.MsgNotification:
			body := make([]byte, n)
			if _, err := io.ReadFull(s.in, body); err != nil {
				s.failed = s.lost(err)
			} else {
				s.failed = notification(body)
			}
			return
		case wire.MsgUpdate:
			s.received.Add(1)
		}
		if _, err := s.in.Discard(n); err != nil {
			s.failed = s.lost(err)
			return
		}
	}
}

// write sends the chunks when they are due, and keepalives in between, until
// chunks is closed: with nil that is never. sent follows each chunk.
func (s *speaker) write(ctx context.Context, chunks <-chan chunk, sent func(chunk)) error {
	var keepalive, due <-chan time.Time
	if s.hold > 0 {
		// RFC 4271 section 4.4: a third of the hold time.
		t := time.NewTicker(s.hold / 3)
		defer t.Stop()
		keepalive = t.C
	}
	// A blocked write ends with ctx too.
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = s.conn.SetWriteDeadline(time.Unix(1, 0))
		close(stopped)
	})
	defer func() {
		if !stop() {
			<-stopped // or it would hit what close sends
		}
	}()
	start, next, in := time.Now(), chunk{}, chunks
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return s.failed
		case <-keepalive:
			err = s.send(ctx, wire.AppendKeepalive(nil))
		case c, ok := <-in:
			if !ok {
				return nil
			}
			if wait := c.due - time.Since(start); wait > 0 {
				next, in, due = c, nil, time.After(wait)
				continue
			}
			if err = s.send(ctx, c.data); err == nil {
				sent(c)
			}
		case <-due:
			in, due = chunks, nil
			if err = s.send(ctx, next.data); err == nil {
				sent(next)
			}
		}
		if err != nil {
			return err
		}
	}
}

// send writes with a deadline.
func (s *speaker) send(ctx context.Context, b []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(stallTime))
	if ctx.Err() != nil { // it may have been done before the deadline was set
		return ctx.Err()
	}
	n, err := s.conn.Write(b)
	s.cut = n > 0 && n < len(b)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the router has read nothing for %v", stallTime)
	}
	// The router has closed: what it said before tells more.
	_ = s.conn.SetReadDeadline(time.Now().Add(closeTime))
	<-s.ended
	return s.failed
}

// close says goodbye, lets the router read it, and waits for the reader.
func (s *speaker) close() {
	_ = s.conn.SetDeadline(time.Now().Add(closeTime))
	select {
	case <-s.ended: // the router has ended it
	default:
		if s.cut { // what follows would not be understood
			break
		}
		_, err := s.conn.Write(wire.AppendNotification(nil, wire.CodeCease, wire.CeaseShutdown, nil))
		if c, ok := s.conn.(interface{ CloseWrite() error }); ok && err == nil {
			_ = c.CloseWrite()
			s.drain()
		}
	}
	s.conn.Close()
	<-s.ended
}

// drain waits until the router has closed its side.
func (s *speaker) drain() {
	select {
	case <-s.ended:
	case <-time.After(closeTime):
	}
}

// local is our address in the session.
func (s *speaker) local() netip.Addr {
	if a, ok := s.conn.LocalAddr().(*net.TCPAddr); ok {
		return a.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
