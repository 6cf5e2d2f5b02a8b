package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TakeAll makes the node the end of every way: packets to any IPv4 address that
// is not on its links are its own.
func (n *Node) TakeAll() {
	n.Lab.T.Helper()
	// The senders' addresses are its own then, too.
	n.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/accept_local")
	n.Run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "main")
}

// Flows are numbered packets from one node to many addresses in turn, which
// arrive at one of some nodes, or do not. Nothing comes back.
type Flows struct {
	to    []netip.Addr
	sinks []*Node
	conns []*net.UDPConn // the sender's, then those of the sinks
	stop  chan struct{}
	send  sync.WaitGroup
	read  sync.WaitGroup

	mu   sync.Mutex
	sent []time.Time // packet i is of flow i % len(to)
	at   []byte      // where it has arrived: 1 for the first sink, 0 for nowhere
}

// Flows sends so many packets a second, one flow after the other, until Report.
// The sinks are nodes that TakeAll.
func (n *Node) Flows(to []netip.Addr, rate int, sinks ...*Node) *Flows {
	t := n.Lab.T
	t.Helper()
	f := &Flows{to: to, sinks: sinks, stop: make(chan struct{})}
	for _, at := range append([]*Node{n}, sinks...) {
		err := at.Inside(func() error {
			c, err := net.ListenUDP("udp4", &net.UDPAddr{Port: trafficPort})
			if err == nil {
				f.conns = append(f.conns, c)
			}
			return err
		})
		if err == nil {
			err = deepen(f.conns[len(f.conns)-1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range sinks {
		f.read.Go(func() { f.receive(f.conns[1+i], byte(1+i)) }) // ends with the socket
	}
	f.send.Go(func() { f.sender(f.conns[0], rate) })
	t.Cleanup(f.end)
	return f
}

// deepen makes room for what arrives while a busy machine does not let us read.
func deepen(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	return errors.Join(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20)
	}), err)
}

// burst is how many packets may be sent at once: the kernel has no room for more.
const burst = 200

// sender sends a few packets every millisecond, and more after one that it has
// missed.
func (f *Flows) sender(c *net.UDPConn, rate int) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	start, done := time.Now(), 0
	for {
		select {
		case <-f.stop:
			return
		case <-tick.C:
		}
		due := int(time.Since(start) * time.Duration(rate) / time.Second)
		for done = max(done, due-burst); done < due; done++ {
			f.mu.Lock()
			i := len(f.sent)
			f.sent, f.at = append(f.sent, time.Now()), append(f.at, 0)
			f.mu.Unlock()
			to := netip.AddrPortFrom(f.to[i%len(f.to)], trafficPort)
			// Who cannot be sent to has lost a packet, as Report will find.
			_, _ = c.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), to)
		}
	}
}

func (f *Flows) receive(c *net.UDPConn, sink byte) {
	var b [64]byte
	for {
		n, _, err := c.ReadFromUDPAddrPort(b[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n != 4 {
			continue
		}
		i := int(binary.BigEndian.Uint32(b[:]))
		f.mu.Lock()
		if i < len(f.at) { // or it is of Flows before
			f.at[i] = sink
		}
		f.mu.Unlock()
	}
}

// recently is how many of the last packets of each flow Steady looks at, those
// aside that may still be on their way.
const recently, underway = 20, 5

// Steady is an error until the last packets of all flows have arrived at a node.
func (f *Flows) Steady(at *Node) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	want, flows := byte(1+slices.Index(f.sinks, at)), len(f.to)
	if len(f.sent) < (recently+underway)*flows {
		return fmt.Errorf("%d packets are sent", len(f.sent))
	}
	other := map[netip.Addr]bool{}
	for i := len(f.sent) - (recently+underway)*flows; i < len(f.sent)-underway*flows; i++ {
		if f.at[i] != want {
			other[f.to[i%flows]] = true
		}
	}
	if len(other) > 0 {
		return fmt.Errorf("packets of %d flows do not arrive at %s", len(other), at.Name)
	}
	return nil
}

// AwaitSteady waits until all flows arrive at a node.
func (f *Flows) AwaitSteady(t testing.TB, timeout time.Duration, at *Node) {
	t.Helper()
	Await(t, timeout, "packets at "+at.Name, func() error { return f.Steady(at) })
}

// FlowReport is what became of Flows.
type FlowReport struct {
	Sent, Lost int
	// Gaps has for each flow the longest time in which all of it was lost, the
	// shortest first.
	Gaps []time.Duration
	// Moved has for each flow when the last packet was sent that did not arrive
	// where its last one did, the first first; zero if all have come that way.
	Moved []time.Time
}

// Report ends the flows, gives the last packets a moment, and tells.
func (f *Flows) Report(t testing.TB) FlowReport {
	t.Helper()
	f.end()
	for _, n := range f.sinks {
		if dropped, err := n.Counter("RcvbufErrors"); err != nil || dropped > 0 {
			t.Errorf("the test itself has lost %d packets that %s had: %v", dropped, n.Name, err)
		}
	}
	r := FlowReport{Sent: len(f.sent)}
	for flow := range f.to {
		var gap time.Duration
		var from, moved time.Time
		last := byte(0)
		for i := flow; i < len(f.sent); i += len(f.to) {
			if f.at[i] != 0 {
				last = f.at[i]
			}
		}
		for i := flow; i < len(f.sent); i += len(f.to) {
			if f.at[i] != last {
				moved = f.sent[i]
			}
			if f.at[i] == 0 {
				r.Lost++
				if from.IsZero() {
					from = f.sent[i]
				}
			}
			if !from.IsZero() {
				gap = max(gap, f.sent[i].Sub(from))
			}
			if f.at[i] != 0 {
				from = time.Time{}
			}
		}
		r.Gaps, r.Moved = append(r.Gaps, gap), append(r.Moved, moved)
	}
	slices.Sort(r.Gaps)
	slices.SortFunc(r.Moved, time.Time.Compare)
	return r
}

func (f *Flows) end() {
	select {
	case <-f.stop:
		return
	default:
	}
	close(f.stop)
	f.send.Wait()
	time.Sleep(300 * time.Millisecond) // what is on its way arrives
	for _, c := range f.conns {
		c.Close()
	}
	f.read.Wait()
}
