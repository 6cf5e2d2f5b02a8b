package session

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

func TestStrangers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		for range 5 {
			c, err := n.Dial(t.Context(), netip.MustParseAddr("192.0.2.66"), portA)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("a stranger reads: %v", err)
			}
			c.Close()
		}
		if got := strings.Count(a.logs.String(), "192.0.2.66"); got != 1 {
			t.Errorf("%d lines in the log, want one", got)
		}
	})
}

func TestListenersComeAndGo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		other := netip.MustParseAddrPort("10.0.0.1:1179")
		if err := a.Listen([]netip.AddrPort{portA, other}); err != nil {
			t.Fatal(err)
		}
		if got := a.Listening(); len(got) != 2 {
			t.Errorf("listening on %v", got)
		}
		set(t, a, settings(addrA))
		f := dialFake(t, n)
		if err := a.Listen([]netip.AddrPort{other}); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Dial(t.Context(), addrB, portA); err == nil {
			t.Error("the port is still open")
		}
		if _, up := a.routes.established(); !up {
			t.Error("the session went down with its listener")
		}
		taken := netip.AddrPortFrom(addrB, 179)
		l, err := n.Listen(taken)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Listen([]netip.AddrPort{other, taken}); err == nil || err.Error() != "cannot listen on 10.0.0.2:179: address already in use (does another BGP router run here?)" {
			t.Errorf("a port that is taken: %v", err)
		}
		l.Close()
		f.Close()
		a.Close("")
		if err := a.Set(settings(addrA)); err == nil {
			t.Error("a closed manager takes neighbors")
		}
	})
}

func TestSameAddressTwice(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := newRouter(t, memnet.New(), addrA)
		set(t, a, settings(addrA))
		s := settings(addrA)
		s.ID, s.Name = 8, "again"
		if err := a.Set(s); err == nil || !strings.Contains(err.Error(), "neighbors them and again have the same address 10.0.0.2") {
			t.Errorf("got %v", err)
		}
	})
}

// TestAddressesChangeHands: two neighbors swap their addresses, and a third one
// takes the address of one that moves on.
func TestAddressesChangeHands(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		one, two, three := settings(addrA), settings(addrA), settings(addrA)
		one.Machine.Passive, two.Machine.Passive, three.Machine.Passive = true, true, true
		two.ID, two.Name, two.Remote = 8, "two", netip.MustParseAddr("10.0.0.3")
		three.ID, three.Name, three.Remote = 9, "three", netip.MustParseAddr("10.0.0.4")
		if err := a.Set(one, two, three); err != nil {
			t.Fatal(err)
		}
		one.Remote, two.Remote, three.Remote = two.Remote, three.Remote, one.Remote
		if err := a.Set(one, two, three); err != nil {
			t.Fatal(err)
		}
		dialFake(t, n).Close() // from what was the address of one
		synctest.Wait()
		if s, _ := a.Status(three.ID); s.Sessions != 1 {
			t.Errorf("the session is not that of the address's new owner: %+v", s)
		}
		two.Remote = one.Remote
		if err := a.Set(three, two); err == nil || !strings.Contains(err.Error(), "them and two have the same address 10.0.0.3") {
			t.Errorf("an address that stays with its owner: %v", err)
		}
	})
}

func TestShutdownInSettings(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Shutdown, s.ShutdownMessage = true, "not yet"
		set(t, a, s)
		refused := func(want string) {
			t.Helper()
			synctest.Wait()
			c, err := n.Dial(t.Context(), addrB, portA)
			if err != nil {
				t.Fatal(err)
			}
			(&fake{t, c}).wantEnd(want)
			wait(time.Second)
		}
		refused(`Cease: administrative shutdown (6/2), "not yet"`)
		s.ShutdownMessage = "tomorrow"
		set(t, a, s)
		refused(`Cease: administrative shutdown (6/2), "tomorrow"`)
		if st := a.status(t); !st.Shutdown || !st.Stopped || st.ShutdownMessage != "tomorrow" || st.Out.Notification != 2 {
			t.Errorf("status: %+v", st)
		}
		s.Shutdown = false
		set(t, a, s)
		synctest.Wait()
		f := dialFake(t, n)
		if st := a.status(t); st.Shutdown || st.State != fsm.EstablishedState {
			t.Errorf("status: %+v", st)
		}
		s.Shutdown = true
		set(t, a, s)
		f.wantEnd(`Cease: administrative shutdown (6/2), "tomorrow"`)
	})
}

// TestRefusedInARow: of many connections at once, one is told why and the
// others are just closed.
func TestRefusedInARow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Shutdown = true
		set(t, a, s)
		synctest.Wait()
		var told, closed int
		var conns []*memnet.Conn
		for range 10 {
			c, err := n.Dial(t.Context(), addrB, portA)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			synctest.Wait()
		}
		for _, c := range conns {
			if all, _ := io.ReadAll(c); len(all) == 0 {
				closed++
			} else {
				told++
			}
			c.Close()
		}
		if told != 1 || closed != 9 {
			t.Errorf("%d told, %d closed", told, closed)
		}
	})
}

// TestFlood: a neighbor that connects again and again holds a few connections at
// a time, and fills no log.
func TestFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s)
		synctest.Wait()
		var conns []*memnet.Conn
		for range 200 {
			c, err := n.Dial(t.Context(), addrB, portA)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			synctest.Wait()
		}
		open := 0
		for _, c := range conns {
			if _, err := c.Write([]byte{0xff}); err == nil {
				open++
			}
			c.Close()
		}
		if open > 1+maxLingering {
			t.Errorf("%d connections are open", open)
		}
		if lines := strings.Count(a.logs.String(), "\n"); lines > 3 {
			t.Errorf("%d lines in the log", lines)
		}
		wait(time.Second)
		dialFake(t, n).Close()
	})
}

// TestSlowOpen: an OPEN that comes byte by byte, too slowly, ends when the timer
// of a connection without OPEN does, and another connection is not kept waiting.
func TestSlowOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s)
		c, err := n.Dial(t.Context(), addrB, portA)
		if err != nil {
			t.Fatal(err)
		}
		slow := &fake{t, c}
		slow.want(wire.MsgOpen)
		for _, b := range openMessage(90)[:24] {
			wait(10 * time.Second)
			if _, err := slow.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		slow.wantEnd("hold timer expired (4/0)")
		wait(time.Second)
		dialFake(t, n).Close()
	})
}

// TestGiantOpen: an OPEN as large as there can be, full of capabilities that
// nobody knows, makes a session.
func TestGiantOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s)
		c, err := n.Dial(t.Context(), addrB, portA)
		if err != nil {
			t.Fatal(err)
		}
		o := wire.Open{ASN: 65002, ID: 0x0a000002, HoldTime: 90}
		for len(wire.AppendOpen(nil, &o)) < wire.MaxMsgLen-1 {
			o.Capabilities.Unknown = append(o.Capabilities.Unknown, wire.Capability{Code: 200})
		}
		f := &fake{t, c}
		f.send(append(wire.AppendOpen(nil, &o), wire.AppendKeepalive(nil)...))
		f.want(wire.MsgOpen)
		f.want(wire.MsgKeepalive)
		synctest.Wait()
		if st := a.status(t); st.State != fsm.EstablishedState || len(st.Received) != len(o.Capabilities.Unknown) {
			t.Errorf("state %v, %d capabilities of %d", st.State, len(st.Received), len(o.Capabilities.Unknown))
		}
		f.Close()
	})
}

// choosy is a network that refuses what neighbors began.
type choosy struct{ memNet }

func (choosy) Accepted(net.Conn, Transport) error { return errors.New("it came with TTL 3") }

// TestRefusedByTransport: what is refused again and again is said once in a
// while.
func TestRefusedByTransport(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n, l := memnet.New(), &logs{}
		m := New(&table{t: t}, slog.New(slog.NewTextHandler(l, nil)), WithNet(choosy{memNet{n, addrA}}))
		defer m.Close("")
		if err := m.Listen([]netip.AddrPort{portA}); err != nil {
			t.Fatal(err)
		}
		s := settings(addrA)
		s.Machine.Passive = true
		if err := m.Set(s); err != nil {
			t.Fatal(err)
		}
		for range 50 {
			c, err := n.Dial(t.Context(), addrB, portA)
			if err != nil {
				t.Fatal(err)
			}
			io.ReadAll(c)
			c.Close()
			wait(time.Second)
		}
		if got := strings.Count(l.String(), "TTL 3"); got != 5 {
			t.Errorf("%d lines in the log:\n%s", got, l)
		}
	})
}

// TestLastConnectionCounts: of connections that come while the runner is busy,
// the neighbor's last one is the one.
func TestLastConnectionCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s)
		var conns []*memnet.Conn
		for range 3 {
			c, err := n.Dial(t.Context(), addrB, portA)
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
		}
		synctest.Wait()
		for _, c := range conns[:2] {
			io.ReadAll(c) // perhaps an OPEN, but then the end
			c.Close()
		}
		f := &fake{t, conns[2]}
		f.want(wire.MsgOpen)
		f.Close()
	})
}

// old is a network without IPv6.
type old struct{ memNet }

func (o old) Listen(at netip.AddrPort) (net.Listener, error) {
	if at.Addr().Is6() {
		return nil, &net.OpError{Op: "listen", Err: os.NewSyscallError("socket", syscall.EAFNOSUPPORT)}
	}
	return o.memNet.Listen(at)
}

// TestListenWithoutIPv6: the default, both families, is no error where there is
// one of them only; a certain address is.
func TestListenWithoutIPv6(t *testing.T) {
	bubble(t, func(t *testing.T) {
		l := &logs{}
		m := New(&table{t: t}, slog.New(slog.NewTextHandler(l, nil)), WithNet(old{memNet{memnet.New(), addrA}}))
		defer m.Close("")
		all := []netip.AddrPort{netip.MustParseAddrPort("[::]:179"), netip.MustParseAddrPort("0.0.0.0:179")}
		if err := m.Listen(all); err != nil || len(m.Listening()) != 1 || !strings.Contains(l.String(), "[::]:179") {
			t.Errorf("%v, listening on %v, log %q", err, m.Listening(), l)
		}
		if err := m.Listen([]netip.AddrPort{netip.MustParseAddrPort("[2001:db8::1]:179")}); err == nil {
			t.Error("no error about an address that cannot be")
		}
	})
}

// flaky is a network whose listeners fail at first.
type flaky struct {
	memNet
	failures int
}

type flakyListener struct {
	net.Listener
	net *flaky
}

func (f *flaky) Listen(at netip.AddrPort) (net.Listener, error) {
	l, err := f.memNet.Listen(at)
	return &flakyListener{l, f}, err
}

func (l *flakyListener) Accept() (net.Conn, error) {
	if l.net.failures > 0 {
		l.net.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := &router{routes: &table{t: t}, logs: &logs{}}
		a.Manager = New(a.routes, slog.New(slog.NewTextHandler(a.logs, nil)), WithNet(&flaky{memNet{n, addrA}, 20}))
		defer a.Close("")
		if err := a.Listen([]netip.AddrPort{portA}); err != nil {
			t.Fatal(err)
		}
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s)
		wait(time.Minute)
		dialFake(t, n).Close()
		if got := strings.Count(a.logs.String(), "cannot accept connections"); got != 20 {
			t.Errorf("%d lines in the log", got)
		}
	})
}
