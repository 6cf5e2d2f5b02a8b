package rtr

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	dialTimeout = 30 * time.Second
	silence     = time.Minute // the longest pause of a cache that has been asked
	firstRetry  = 5 * time.Second
)

// ask keeps a cache asked until ctx ends. Attempts get rarer, up to the interval
// that the cache has given for them, while none of them lasts.
func (x *source) ask(ctx context.Context) {
	pause, version := firstRetry, x.version()
	for ctx.Err() == nil {
		began, at := time.Now(), x.at
		silent, err := x.connection(ctx, version)
		if ctx.Err() != nil {
			return
		}
		var older *olderError
		switch {
		case errors.As(err, &older):
			version = older.version
			continue // RFC 8210 section 6: at once
		case silent && version > 0:
			version-- // some do not say that they do not know it
			continue
		}
		x.complain(err)
		if x.at != at && time.Since(began) > pause {
			pause = firstRetry
		}
		if !x.wait(ctx, pause) {
			return
		}
		pause = min(2*pause, cmp.Or(x.known.retry, defaultRetry))
		version = x.version()
	}
}

// version is the one to begin with: that of what is known, as serials are its own.
func (x *source) version() uint8 {
	if x.known.continues {
		return x.known.version
	}
	return newest
}

// wait is false when ctx has ended. What is known may expire meanwhile.
func (x *source) wait(ctx context.Context, d time.Duration) bool {
	until := time.Now().Add(d)
	for {
		x.expireNow()
		next := until
		if at, ok := x.expiry(); ok && at.Before(next) {
			next = at
		}
		t := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			t.Stop()
			return false
		case <-t.C:
		}
		if !time.Now().Before(until) {
			return true
		}
	}
}

// expiry is when what is known counts no more.
func (x *source) expiry() (at time.Time, ok bool) {
	after := cmp.Or(x.Expire, x.known.expire)
	return x.at.Add(after), x.known.set != nil && after > 0
}

func (x *source) expireNow() {
	if at, ok := x.expiry(); ok && !time.Now().Before(at) {
		x.expired()
	}
}

// connection is one to the cache, until it ends. silent says that the cache has
// ended it without a word.
func (x *source) connection(ctx context.Context, version uint8) (silent bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := x.all.dial(dialing, x.Local, x.Address)
	if err != nil {
		return false, fmt.Errorf("cannot connect: %w", err)
	}
	defer conn.Close() // there is nothing left to be sent
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	x.tell(func(st *Status) { st.State, st.Error = Waiting, "" })
	c := &conversation{x: x, conn: conn, in: bufio.NewReaderSize(conn, longestPDU), m: machine{known: x.known, at: version}}
	err = c.run()
	x.known.continues = c.m.continues
	return !c.heard && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)), err
}

// conversation is what is said on one connection.
type conversation struct {
	x     *source
	conn  net.Conn
	in    *bufio.Reader
	m     machine
	heard bool
	last  time.Time // when the cache was asked, or said something
	next  time.Time // when it is asked again
}

func (c *conversation) run() error {
	if err := c.send(c.m.query()); err != nil {
		return err
	}
	c.last = time.Now()
	for {
		p, err := c.read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			if err := c.timers(); err != nil {
				return err
			}
			continue
		case errors.Is(err, io.EOF):
			return fmt.Errorf("the cache has closed the connection: %w", io.EOF)
		case err == nil:
			c.heard, c.last = true, time.Now()
			err = c.take(p)
		}
		var wrong *protocolError
		if errors.As(err, &wrong) {
			_ = c.send(appendError(nil, c.m.at, wrong)) // the connection ends in any case
		}
		if err != nil {
			return err
		}
	}
}

func (c *conversation) take(p pdu) error {
	send, fresh, err := c.m.take(p)
	if fresh {
		x := c.x
		x.known, x.at = c.m.known, time.Now()
		expire := cmp.Or(x.Expire, x.known.expire)
		x.up(expire)
		c.next = x.at.Add(min(cmp.Or(x.Refresh, x.known.refresh), expire/2))
	}
	if errors.Is(err, errNoData) {
		c.x.tell(func(st *Status) { st.State, st.Error = Waiting, err.Error() })
		c.next, err = time.Now().Add(cmp.Or(c.x.known.retry, time.Minute)), nil
	}
	if _, errDiscard := c.in.Discard(len(p.bytes)); err == nil {
		err = errDiscard
	}
	if err == nil && len(send) > 0 {
		err = c.send(send)
	}
	return err
}

// read waits for a whole PDU, which stays in the buffer until it is discarded.
func (c *conversation) read() (pdu, error) {
	at := c.next
	if c.m.asked {
		at = c.last.Add(silence)
	}
	if expiry, ok := c.x.expiry(); ok && expiry.Before(at) {
		at = expiry
	}
	if err := c.conn.SetReadDeadline(at); err != nil {
		return pdu{}, err
	}
	b, err := c.in.Peek(headerLen)
	if err != nil {
		return pdu{}, err
	}
	length, err := header(b)
	if err != nil {
		return pdu{}, err
	}
	if b, err = c.in.Peek(length); err != nil {
		return pdu{}, err
	}
	return parse(b), nil
}

// timers does what it is time for.
func (c *conversation) timers() error {
	now := time.Now()
	if at, ok := c.x.expiry(); ok && !now.Before(at) {
		c.x.expired()
		c.m.known = known{} // a response that is under way must be a whole one
		if c.m.asked && !c.m.full {
			return errors.New("the answer came too late")
		}
	}
	switch {
	case c.m.asked && now.Sub(c.last) >= silence:
		return fmt.Errorf("the cache has not answered for %s", silence)
	case !c.m.asked && !now.Before(c.next):
		c.last = now
		return c.send(c.m.query())
	}
	return nil
}

func (c *conversation) send(b []byte) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(silence)); err != nil {
		return err
	}
	_, err := c.conn.Write(b)
	return err
}
