// Package neighbor is a neighbor for routers in network namespaces: it sends a
// table that is ready as bytes, and can say what its own neighbor's routes went
// through. It is faster than every router, so that what is measured is the
// router that it talks to.
package neighbor

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/netlab"
	"holdfast/testkit/speaker"
)

const port = 179

// Neighbor stands at one end of a wire, its router at the other. It connects, and
// connects again whenever its session has ended. It keeps routes of a router that
// restarts gracefully, and wants nobody to keep its own (RFC 4724 section 3: a
// capability that lists no families).
type Neighbor struct {
	at, router *netlab.End
	asn        uint32

	mu    sync.Mutex
	conn  *net.TCPConn // of the session, nil if there is none
	again chan struct{}
	sent  int    // how often the table has been sent
	open  int    // how often it had been when the session began
	table []byte // UPDATEs
	dead  bool
	err   error // why there is no session
	view  *view // of what the router announces, nil if nobody looks

	stop    chan struct{}
	running sync.WaitGroup
}

// Start makes a Neighbor. It connects until the end of the test. With watch it
// remembers what the router announces.
func Start(t testing.TB, at, router *netlab.End, asn uint32, watch bool) *Neighbor {
	n := &Neighbor{at: at, router: router, asn: asn, stop: make(chan struct{}), err: errors.New("it has not connected yet")}
	if watch {
		n.view = newView()
	}
	n.running.Go(n.run)
	t.Cleanup(func() {
		close(n.stop)
		n.Kill()
		n.running.Wait()
	})
	return n
}

// Send makes a table the one that the Neighbor has. It is sent at once, and again
// in every session to come.
func (n *Neighbor) Send(table []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.table = table
	n.askedAgain()
}

// askedAgain makes the session send the table.
func (n *Neighbor) askedAgain() {
	if n.conn != nil {
		select {
		case n.again <- struct{}{}:
		default: // that is still to be done
		}
	}
}

// Kill ends the session as the kernel does for a process that is killed. There
// is no other until Revive.
func (n *Neighbor) Kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = true
	n.close()
}

// Revive undoes Kill.
func (n *Neighbor) Revive() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dead = false
}

// Reset ends the session, which may come back at once.
func (n *Neighbor) Reset() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.close()
}

func (n *Neighbor) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}

// Sent is how often the whole table has been sent.
func (n *Neighbor) Sent() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent
}

// AwaitUp waits for a session.
func (n *Neighbor) AwaitUp(t testing.TB, timeout time.Duration) {
	t.Helper()
	n.await(t, timeout, "session", func() error { return n.err })
}

// AwaitSent waits for a session in which the whole table has been sent.
func (n *Neighbor) AwaitSent(t testing.TB, timeout time.Duration) {
	t.Helper()
	n.await(t, timeout, "table", func() error {
		if n.conn != nil && n.sent == n.open {
			return errors.New("it is being sent")
		}
		return n.err
	})
}

func (n *Neighbor) await(t testing.TB, timeout time.Duration, what string, check func() error) {
	t.Helper()
	netlab.Await(t, timeout, what+" of "+n.at.Node.Name, func() error {
		n.mu.Lock()
		defer n.mu.Unlock()
		return check()
	})
}

// run ends with stop and Kill.
func (n *Neighbor) run() {
	for {
		n.mu.Lock()
		dead := n.dead
		n.mu.Unlock()
		var err error
		if dead {
			err = errors.New("it has been killed")
		} else {
			err = n.session()
		}
		n.mu.Lock()
		n.conn, n.err = nil, err
		n.mu.Unlock()
		select {
		case <-n.stop:
			return
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// session is one from its beginning to its end; the error says how that came.
func (n *Neighbor) session() error {
	var conn *net.TCPConn
	err := n.at.Node.Inside(func() error {
		d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: n.at.V4.AsSlice()}}
		c, err := d.Dial("tcp4", netip.AddrPortFrom(n.router.V4, port).String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	in := speaker.NewReader(conn)
	open, err := n.greet(conn, in)
	if err != nil {
		return err
	}
	again := make(chan struct{}, 1)
	again <- struct{}{}
	n.mu.Lock()
	if n.dead {
		n.mu.Unlock()
		return errors.New("it has been killed")
	}
	n.conn, n.err, n.open, n.again = conn, nil, n.sent, again
	if n.view != nil {
		n.view.opened(&open.Capabilities)
	}
	n.mu.Unlock()
	ended := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { n.write(conn, again, ended) })
	said, err := n.read(in)
	close(ended)
	conn.Close() // and with it the writer, if it waits for the router
	writer.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.view != nil {
		n.view.ended(said)
	}
	return err
}

// greet sends an OPEN and gets one.
func (n *Neighbor) greet(conn *net.TCPConn, in *speaker.Reader) (wire.Open, error) {
	ours := wire.Open{ASN: n.asn, HoldTime: 0, ID: binary.BigEndian.Uint32(n.at.V4.AsSlice())}
	ours.Capabilities = wire.Capabilities{
		AS4: true, RouteRefresh: true, Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4)},
		GracefulRestart: &wire.GracefulRestart{Notification: true},
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second)) // or a read fails, and says so
	theirs, err := speaker.Greet(conn, in, &ours)
	if err != nil {
		return theirs, err
	}
	return theirs, conn.SetReadDeadline(time.Time{})
}

// write sends the table and its end, as often as somebody asks for it.
func (n *Neighbor) write(conn *net.TCPConn, again, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-again:
		}
		n.mu.Lock()
		table := n.table
		n.mu.Unlock()
		if table == nil {
			continue // it is not known yet
		}
		if _, err := conn.Write(table); err != nil {
			return
		}
		if _, err := conn.Write(wire.AppendEndOfRIB(nil, prefix.IPv4)); err != nil {
			return
		}
		n.mu.Lock()
		n.sent++
		n.mu.Unlock()
	}
}

// read reads until the end, and returns the NOTIFICATION that has caused it.
func (n *Neighbor) read(in *speaker.Reader) (*wire.Notification, error) {
	for {
		typ, body, err := in.Next()
		if err != nil {
			return nil, err
		}
		switch typ {
		case wire.MsgNotification:
			said, bad := wire.ParseNotification(body)
			if bad != nil {
				return nil, bad
			}
			said.Data = bytes.Clone(said.Data)
			return &said, fmt.Errorf("the router has sent %v", said)
		case wire.MsgRefresh:
			n.mu.Lock()
			n.askedAgain()
			n.mu.Unlock()
		case wire.MsgUpdate:
			if n.view == nil {
				continue
			}
			n.mu.Lock()
			err := n.view.update(body)
			n.mu.Unlock()
			if err != nil {
				return nil, err
			}
		}
	}
}
