package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// trafficPort is that of Echo and Stream.
const trafficPort = 7

// Echo answers each packet to an address of the node with the node's name,
// until the end of the test.
func (n *Node) Echo(addr netip.Addr) {
	t := n.Lab.T
	t.Helper()
	var conn *net.UDPConn
	err := n.Inside(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, trafficPort)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the socket
		defer close(ended)
		b := make([]byte, 2048)
		for {
			size, from, err := conn.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil && size >= 4 {
				_, _ = conn.WriteToUDPAddrPort(append(b[:4:4], n.Name...), from) // a lost answer is counted by the stream
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-ended })
}

// Stream is a flow of numbered packets.
type Stream struct {
	conn *net.UDPConn
	what string
	stop chan struct{}
	both sync.WaitGroup

	mu       sync.Mutex
	sent     []time.Time
	answered []bool
	by       map[string]int // answers of each node
	errs     map[string]int // what ICMP has said
}

// Report is what became of a stream.
type Report struct {
	Sent, Lost int
	Gap        time.Duration  // the longest time in which all was lost
	By         map[string]int // answers of each node
	Errors     map[string]int // what ICMP has said
}

func (r Report) String() string {
	return fmt.Sprintf("%d sent, %d lost, the longest gap %v, answers %v, errors %v", r.Sent, r.Lost, r.Gap.Round(time.Millisecond), r.By, r.Errors)
}

// Stream sends a packet every so often to an address where somebody may Echo,
// until Report.
func (n *Node) Stream(to netip.Addr, every time.Duration) *Stream {
	t := n.Lab.T
	t.Helper()
	s := &Stream{what: n.Name + " to " + to.String(), stop: make(chan struct{}), by: map[string]int{}, errs: map[string]int{}}
	err := n.Inside(func() (err error) {
		s.conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, trafficPort)))
		if err != nil {
			return err
		}
		conn, err := s.conn.SyscallConn()
		if err != nil {
			return err
		}
		level, option := unix.IPPROTO_IP, unix.IP_RECVERR // all that ICMP says, not only what is final
		if to.Is6() {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVERR
		}
		return errors.Join(conn.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }), err)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.both.Go(func() { s.send(every) })
	s.both.Go(s.receive)
	t.Cleanup(func() { s.end() })
	return s
}

func (s *Stream) send(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		s.mu.Lock()
		n := len(s.sent)
		s.sent, s.answered = append(s.sent, time.Now()), append(s.answered, false)
		s.mu.Unlock()
		_, err := s.conn.Write(binary.BigEndian.AppendUint32(nil, uint32(n)))
		s.note(err)
	}
}

func (s *Stream) receive() {
	b := make([]byte, 2048)
	for {
		n, err := s.conn.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) {
			return
		}
		s.note(err)
		if err != nil || n < 4 {
			continue
		}
		s.mu.Lock()
		if i := binary.BigEndian.Uint32(b); int(i) < len(s.answered) && !s.answered[i] {
			s.answered[i] = true
			s.by[string(b[4:n])]++
		}
		s.mu.Unlock()
	}
}

// note counts an error, which is what ICMP said of an earlier packet.
func (s *Stream) note(err error) {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return
	}
	s.mu.Lock()
	s.errs[errno.Error()]++
	s.mu.Unlock()
}

// Answers is how many answers there were of a node.
func (s *Stream) Answers(node string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.by[node]
}

// AwaitAnswers waits until n more answers of a node have come.
func (s *Stream) AwaitAnswers(t testing.TB, node string, n int) {
	t.Helper()
	want := s.Answers(node) + n
	Await(t, Patience, "answers of "+node+" to "+s.what, func() error {
		if have := s.Answers(node); have < want {
			return fmt.Errorf("%d of %d", have, want)
		}
		return nil
	})
}

// AwaitError waits until ICMP has said that packets do not arrive.
func (s *Stream) AwaitError(t testing.TB) {
	t.Helper()
	Await(t, Patience, "word about "+s.what, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.errs) == 0 {
			return errors.New("there is none")
		}
		return nil
	})
}

// Report ends the stream, gives the last packets a moment, and tells.
func (s *Stream) Report() Report {
	s.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := Report{Sent: len(s.sent), By: maps.Clone(s.by), Errors: maps.Clone(s.errs)}
	var from time.Time
	for i, at := range s.sent {
		if s.answered[i] {
			from = time.Time{}
			continue
		}
		r.Lost++
		if from.IsZero() {
			from = at
		}
		r.Gap = max(r.Gap, at.Sub(from))
	}
	return r
}

func (s *Stream) end() {
	select {
	case <-s.stop:
		return
	default:
	}
	close(s.stop)
	_ = s.conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	s.both.Wait()
	s.conn.Close()
}
