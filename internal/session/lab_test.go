package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Two routers: ours and the neighbor, which has the higher identifier.
var (
	addrA, addrB = netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	portA, portB = netip.AddrPortFrom(addrA, 179), netip.AddrPortFrom(addrB, 179)
)

// memNet is the Net of a host in a memnet.
type memNet struct {
	*memnet.Network
	host netip.Addr
}

func (n memNet) Listen(at netip.AddrPort) (net.Listener, error)       { return n.Network.Listen(at) }
func (n memNet) Password(net.Listener, netip.Prefix, string) error    { return nil }
func (n memNet) Absent(netip.Addr) bool                               { return false }
func (n memNet) Segments(net.Listener, uint16) error                  { return nil }
func (n memNet) Accepted(net.Conn, Transport) error                   { return nil }
func (n memNet) Addresses(local, remote netip.Addr) (found Addresses) { return found }
func (n memNet) Dial(ctx context.Context, t Transport) (net.Conn, error) {
	c, err := n.Network.Dial(ctx, n.host, t.remote())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// table is a Routes that remembers.
type table struct {
	t         *testing.T
	mu        sync.Mutex
	up        *Established
	out       Out
	ups       int
	downs     []Reason
	forgotten int // calls of Forget
	got       []byte
	room      int           // calls of Writable
	blocked   chan struct{} // Deliver waits for it to be closed
}

func (r *table) Up(_ packet.ID, e Established, out Out) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up != nil {
		r.t.Error("Up twice")
	}
	r.up, r.out = &e, out
	r.ups++
}

func (r *table) Deliver(_ packet.ID, b *Buffer) {
	r.mu.Lock()
	if r.up == nil {
		r.t.Error("Deliver without a session")
	}
	blocked := r.blocked
	r.mu.Unlock()
	if blocked != nil {
		<-blocked
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.got = append(r.got, b.Data...)
	b.Release()
}

func (r *table) Writable(packet.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.room++
}

func (r *table) Forget(packet.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forgotten++
}

func (r *table) Down(_ packet.ID, why Reason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up == nil {
		r.t.Error("Down without a session")
	}
	r.up, r.out = nil, nil
	r.downs = append(r.downs, why)
}

// lastDown is the reason of the only end so far.
func (r *table) lastDown(t *testing.T) Reason {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.downs) != 1 {
		t.Fatalf("%d sessions have ended, want one: %v", len(r.downs), r.downs)
	}
	return r.downs[0]
}

func (r *table) established() (Out, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.out, r.up != nil
}

func (r *table) received() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]byte(nil), r.got...)
}

// logs is where a router's log goes.
type logs struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// router is a Manager with what it knows.
type router struct {
	*Manager
	routes *table
	logs   *logs
}

const neighborID = packet.ID(7)

func newRouter(t *testing.T, n *memnet.Network, host netip.Addr) *router {
	t.Helper()
	r := &router{routes: &table{t: t}, logs: &logs{}}
	r.Manager = New(r.routes, slog.New(slog.NewTextHandler(r.logs, nil)), WithNet(memNet{n, host}), WithRandom(func() float64 { return 0 }))
	t.Cleanup(func() {
		r.Close("")
		if t.Failed() {
			fmt.Fprintf(t.Output(), "log of %v:\n%s", host, r.logs)
		}
	})
	if err := r.Listen([]netip.AddrPort{netip.AddrPortFrom(host, 179)}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *router) status(t *testing.T) Status {
	t.Helper()
	s, ok := r.Status(neighborID)
	if !ok {
		t.Fatal("the neighbor is gone")
	}
	return s
}

// settings are those of one of the two about the other.
func settings(me netip.Addr) Neighbor {
	n := Neighbor{ID: neighborID, Name: "them", Machine: fsm.Config{HoldTime: 90 * time.Second, Families: [prefix.Families]bool{true, true}}}
	if me == addrA {
		n.Machine.LocalASN, n.Machine.RemoteASN, n.Machine.LocalID, n.Remote = 65001, 65002, 0x0a000001, addrB
	} else {
		n.Machine.LocalASN, n.Machine.RemoteASN, n.Machine.LocalID, n.Remote = 65002, 65001, 0x0a000002, addrA
	}
	return n
}

func set(t *testing.T, r *router, n Neighbor) {
	t.Helper()
	if err := r.Set(n); err != nil {
		t.Fatal(err)
	}
}

// wait lets virtual time pass.
func wait(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// fake is a neighbor of few words: the test speaks for it.
type fake struct {
	t *testing.T
	*memnet.Conn
}

// dialFake connects to our router, which is up when it returns.
func dialFake(t *testing.T, n *memnet.Network) *fake {
	t.Helper()
	c, err := n.Dial(t.Context(), addrB, portA)
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{t, c}
	f.send(openMessage(90))
	f.want(wire.MsgOpen)
	f.send(wire.AppendKeepalive(nil))
	f.want(wire.MsgKeepalive)
	synctest.Wait()
	return f
}

func openMessage(hold uint16) []byte {
	o := wire.Open{ASN: 65002, ID: 0x0a000002, HoldTime: hold, Capabilities: wire.Capabilities{AS4: true, RouteRefresh: true,
		Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4), wire.UnicastID(prefix.IPv6)}}}
	return wire.AppendOpen(nil, &o)
}

func (f *fake) send(b []byte) {
	f.t.Helper()
	if _, err := f.Write(b); err != nil {
		f.t.Fatal(err)
	}
}

// next reads a message.
func (f *fake) next() (typ uint8, body []byte, err error) {
	h := make([]byte, wire.HeaderLen)
	if _, err := io.ReadFull(f, h); err != nil {
		return 0, nil, err
	}
	typ, n, e := wire.ParseHeader(h, wire.MaxExtendedLen)
	if e != nil {
		return 0, nil, e
	}
	body = make([]byte, n-wire.HeaderLen)
	_, err = io.ReadFull(f, body)
	return typ, body, err
}

// want reads a message of a type.
func (f *fake) want(typ uint8) []byte {
	f.t.Helper()
	got, body, err := f.next()
	if err != nil || got != typ {
		f.t.Fatalf("got message type %d, % x, %v; want type %d", got, body, err, typ)
	}
	return body
}

// wantEnd reads a NOTIFICATION and the end of the connection.
func (f *fake) wantEnd(text string) {
	f.t.Helper()
	body := f.want(wire.MsgNotification)
	n, err := wire.ParseNotification(body)
	if err != nil || n.String() != text {
		f.t.Errorf("got %q, %v, want %q", n.String(), err, text)
	}
	if _, _, err := f.next(); err != io.EOF {
		f.t.Errorf("behind the NOTIFICATION: %v", err)
	}
	f.Close()
}

// keepalives sends one every 30 s until the test ends or it cannot.
func (f *fake) keepalives(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(30 * time.Second):
			if _, err := f.Write(wire.AppendKeepalive(nil)); err != nil {
				return
			}
		}
	}
}

// update is a message with a recognisable number.
func update(n int) []byte {
	return wire.AppendUpdate(nil, prefix.IPv4, []byte{24, byte(n >> 16), byte(n >> 8), byte(n)}, nil, nil, nil)
}

// packetOf has whole messages for all members.
func packetOf(msgs ...[]byte) *packet.Packet {
	p := packet.New()
	for _, m := range msgs {
		p.Data = append(p.Data, m...)
	}
	p.Segments = append(p.Segments, packet.Segment{End: len(p.Data)})
	return p
}

// wantReleased makes sure that the test has the last reference.
func wantReleased(t *testing.T, p *packet.Packet) {
	t.Helper()
	defer func() {
		if recover() == nil {
			t.Error("somebody keeps a packet")
		}
	}()
	p.Release()
	p.Release() // one too many
}

func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}
