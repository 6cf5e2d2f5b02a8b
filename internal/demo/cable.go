package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
)

// cable is the link between two routers, so that there is something to cut:
// connections to one address go on to another, from the address that they came
// from.
type cable struct {
	at, to netip.AddrPort

	mu     sync.Mutex
	end    net.Listener // nil while it is cut
	active map[*net.TCPConn]bool
	wg     sync.WaitGroup
}

// plug makes the link. It does nothing if it is there.
func (c *cable) plug() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end != nil {
		return nil
	}
	l, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(c.at))
	if err != nil {
		return fmt.Errorf("cannot connect the routers: %w", err)
	}
	c.end, c.active = l, map[*net.TCPConn]bool{}
	c.wg.Go(func() {
		for {
			near, err := l.AcceptTCP()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				c.wg.Go(func() { c.join(near) })
			}
		}
	})
	return nil
}

// cut breaks the link without a word: both ends see a reset. It returns when
// nothing passes any more.
func (c *cable) cut() {
	c.mu.Lock()
	if c.end != nil {
		c.end.Close()
		c.end = nil
		for s := range c.active {
			reset(s)
		}
	}
	c.mu.Unlock()
	c.wg.Wait()
}

func reset(s *net.TCPConn) {
	s.SetLinger(0) //nolint:errcheck // at worst it ends in the usual way
	s.Close()
}

// hold makes s one of those that cut resets. It is false if the link is cut.
func (c *cable) hold(s *net.TCPConn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.end == nil {
		return false
	}
	c.active[s] = true
	return true
}

// join passes on what comes over a connection, both ways, until both sides have
// ended it.
func (c *cable) join(near *net.TCPConn) {
	if !c.hold(near) {
		reset(near)
		return
	}
	defer near.Close()
	from := near.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	s, err := d.DialContext(context.Background(), "tcp4", c.to.String())
	if err != nil {
		return
	}
	far := s.(*net.TCPConn)
	if !c.hold(far) {
		reset(far)
		return
	}
	defer far.Close()
	var way sync.WaitGroup
	for _, ends := range [][2]*net.TCPConn{{near, far}, {far, near}} {
		way.Go(func() {
			if _, err := io.Copy(ends[1], ends[0]); err != nil {
				reset(near)
				reset(far)
			}
			ends[1].CloseWrite() //nolint:errcheck // it may be closed
		})
	}
	way.Wait()
	c.mu.Lock()
	delete(c.active, near)
	delete(c.active, far)
	c.mu.Unlock()
}
