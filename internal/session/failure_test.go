package session

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fsm"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

// TestFail: what others find out about a neighbor ends its session at once, and
// it comes back after the usual delay. Without a session nothing happens.
func TestFail(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		down := Close{Code: wire.CodeCease, Subcode: wire.CeaseBFDDown, Text: "no BFD packet for 900ms"}
		set(t, a, settings(addrA))
		if !a.Fail(neighborID, down, false) {
			t.Error("there is no neighbor")
		}
		wait(time.Second)
		set(t, b, settings(addrB))
		wait(time.Minute)
		if s := a.status(t); s.State != fsm.EstablishedState || s.LastReset != nil {
			t.Fatalf("without a session: %+v", s)
		}
		a.Fail(neighborID, down, false)
		wait(time.Millisecond)
		if r := a.routes.lastDown(t); r.Kind != fsm.NotificationSent || r.Subcode != wire.CeaseBFDDown || r.Text != down.Text || r.Graceful {
			t.Errorf("reason: %+v", r)
		}
		if r := b.routes.lastDown(t); r.Kind != fsm.NotificationReceived || r.Code != wire.CodeCease || r.Subcode != wire.CeaseBFDDown {
			t.Errorf("the neighbor has heard %+v", r)
		}
		wait(time.Second / 2)
		if s := a.status(t); s.State == fsm.EstablishedState {
			t.Error("it is back at once: a neighbor that flaps is not slowed down")
		}
		wait(time.Minute)
		if s := a.status(t); s.State != fsm.EstablishedState {
			t.Errorf("it does not come back: %v", s.State)
		}
	})
}

// TestCheckLinks: a session ends with its link, and nothing is said to a neighbor
// that nothing reaches.
func TestCheckLinks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		set(t, a, settings(addrA))
		set(t, b, settings(addrB))
		wait(time.Minute)
		fault := func(_ string, local netip.Addr) string {
			if local == addrA {
				return "interface eth0 is down"
			}
			return ""
		}
		a.CheckLinks(fault) // which it is not for
		wait(time.Millisecond)
		s := settings(addrA)
		s.FastFallover = true
		set(t, a, s)
		a.CheckLinks(func(string, netip.Addr) string { return "" })
		wait(time.Millisecond)
		if st := a.status(t); st.State != fsm.EstablishedState || st.Pending {
			t.Fatalf("it ends without a fault, or waits for a reset: %+v", st)
		}
		a.CheckLinks(fault)
		wait(time.Millisecond)
		if r := a.routes.lastDown(t); r.Kind != fsm.Stopped || r.Text != "interface eth0 is down" || r.Graceful {
			t.Errorf("reason: %+v", r)
		}
		if r := b.routes.lastDown(t); r.Kind != fsm.ConnectionFailed {
			t.Errorf("the neighbor has heard %+v", r)
		}
	})
}

// TestCheckLinksOfRestart: routes of a neighbor that restarts end with the link that
// leads to it.
func TestCheckLinksOfRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, _, forgotten := restarting(t)
		a.CheckLinks(func(string, netip.Addr) string { return "" })
		if n := forgotten(); n != 0 {
			t.Error("they are not kept, though nothing has happened to the link")
		}
		for range 2 {
			a.CheckLinks(func(_ string, local netip.Addr) string {
				if local != addrA {
					t.Errorf("asked about %v", local)
				}
				return "interface eth0 is down"
			})
			if n := forgotten(); n != 1 {
				t.Errorf("forgotten %d times", n)
			}
		}
	})
}

// TestReloadWhileRestarting: a reload ends the routes of a neighbor that restarts
// only if it makes another router of it.
func TestReloadWhileRestarting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, s, forgotten := restarting(t)
		s.Machine.HoldTime = 30 * time.Second
		set(t, a, s)
		if n := forgotten(); n != 0 {
			t.Error("another hold time ends them")
		}
		s.Remote = netip.MustParseAddr("10.0.0.77")
		set(t, a, s)
		if n := forgotten(); n != 1 {
			t.Errorf("another address: forgotten %d times", n)
		}
	})
}

// restarting is a router whose neighbor restarts, that one's settings, and what
// tells how often its routes were to be forgotten.
func restarting(t *testing.T) (a *router, s Neighbor, forgotten func() int) {
	n := memnet.New()
	a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
	with := func(r *router, at netip.Addr) Neighbor {
		s := settings(at)
		s.FastFallover = true
		s.Machine.Restart = fsm.Restart{Mode: fsm.RestartBoth, Time: 2 * time.Minute}
		set(t, r, s)
		return s
	}
	s = with(a, addrA)
	with(b, addrB)
	wait(time.Minute)
	b.Restart("")
	wait(time.Second)
	if r := a.routes.lastDown(t); !r.Graceful {
		t.Fatalf("routes are not kept: %+v", r)
	}
	return a, s, func() int {
		wait(time.Millisecond)
		a.routes.mu.Lock()
		defer a.routes.mu.Unlock()
		return a.routes.forgotten
	}
}

// TestUserTimeout: the kernel is told how long it may wait for the neighbor
// (RFC 5482).
func TestUserTimeout(t *testing.T) {
	l, err := Kernel{}.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	at := addrPort(l.Addr())
	for _, want := range []time.Duration{0, 90 * time.Second} {
		c, err := (Kernel{}).Dial(t.Context(), Transport{Remote: at.Addr(), Port: at.Port(), UserTimeout: want})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		err = onSocket(c, func(fd int) (err error) {
			got, err = unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			return err
		})
		if err != nil || got != int(want.Milliseconds()) {
			t.Errorf("%d ms, want %v (%v)", got, want, err)
		}
		c.Close()
	}
}
