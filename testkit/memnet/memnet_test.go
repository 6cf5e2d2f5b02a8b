package memnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

var (
	a, b = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	port = netip.AddrPortFrom(b, 179)
)

// pair connects a to b.
func pair(t *testing.T, n *Network) (client, server *Conn) {
	t.Helper()
	l, err := n.Listen(port)
	if err != nil {
		t.Fatal(err)
	}
	client, err = n.Dial(context.Background(), a, port)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); s.Close(); l.Close() })
	return client, s.(*Conn)
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

func TestBytesArriveAfterTheDelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := New()
		n.Delay(a, b, 30*time.Millisecond)
		start := time.Now()
		c, s := pair(t, n)
		if d := time.Since(start); d != 60*time.Millisecond {
			t.Errorf("connecting took %v, want a round trip", d)
		}
		start = time.Now()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if got := s.Buffered(); got != 0 {
			t.Errorf("%d bytes have arrived at once", got)
		}
		buf := make([]byte, 3)
		if k, err := s.Read(buf); err != nil || string(buf[:k]) != "hel" || time.Since(start) != 30*time.Millisecond {
			t.Errorf("read %q, %v after %v", buf[:k], err, time.Since(start))
		}
		if got := s.Buffered(); got != 2 {
			t.Errorf("%d bytes are waiting, want 2", got)
		}
	})
}

func TestCloseWriteLetsTheRestArrive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, s := pair(t, New())
		c.Write([]byte("bye"))
		c.CloseWrite()
		if all, err := io.ReadAll(s); string(all) != "bye" || err != nil {
			t.Errorf("read %q, %v", all, err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after CloseWrite: %v", err)
		}
		if _, err := s.Write([]byte("x")); err != nil {
			t.Errorf("the other direction is closed too: %v", err)
		}
	})
}

func TestCloseWithUnreadBytesResets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, s := pair(t, New())
		s.Write([]byte("unread"))
		c.Write([]byte("lost"))
		c.Close()
		if _, err := s.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("read: %v, want a reset", err)
		}
		if _, err := s.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write to nobody: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: %v", err)
		}
	})
}

func TestStalledWritesBlockUntilTheirDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, s := pair(t, New())
		c.Stall(true)
		c.SetWriteDeadline(time.Now().Add(time.Second))
		k, err := c.Write(make([]byte, Window+1))
		if k != Window || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("wrote %d, %v", k, err)
		}
		s.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("read: %v", err)
		}
		c.Stall(false)
		s.SetReadDeadline(time.Time{})
		if k, err := io.ReadFull(s, make([]byte, Window)); k != Window || err != nil {
			t.Errorf("read %d, %v", k, err)
		}
	})
}

func TestCutIsSilentAndResetIsNot(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := New()
		c, s := pair(t, n)
		n.Cut(a, b, true)
		c.Write([]byte("x"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		start := time.Now()
		if _, err := n.Dial(ctx, a, port); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("dial over a cut link: %v after %v", err, time.Since(start))
		}
		if got := s.Buffered(); got != 0 {
			t.Errorf("%d bytes came through the cut", got)
		}
		n.Cut(a, b, false)
		if k, err := s.Read(make([]byte, 9)); k != 1 || err != nil {
			t.Errorf("after the repair: %d, %v", k, err)
		}
		n.Reset(a, b)
		if _, err := s.Read(make([]byte, 9)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after the reset: %v", err)
		}
	})
}

func TestNobodyListens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := New()
		if _, err := n.Dial(context.Background(), a, port); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		l, err := n.Listen(port)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Listen(port); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second listener: %v", err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
}

func TestWritesDoNotMix(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, s := pair(t, New())
		for _, x := range []byte("ab") {
			go c.Write(bytes.Repeat([]byte{x}, 2*Window))
		}
		all := make([]byte, 4*Window)
		if _, err := io.ReadFull(s, all); err != nil {
			t.Fatal(err)
		}
		for _, half := range [][]byte{all[:2*Window], all[2*Window:]} {
			if n := bytes.Count(half, half[:1]); n != 2*Window {
				t.Errorf("a write is mixed with another: %d of %d bytes are %q", n, 2*Window, half[:1])
			}
		}
	})
}
