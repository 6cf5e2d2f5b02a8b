package session

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

func TestShutdownAndEnable(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		set(t, a, settings(addrA))
		set(t, b, settings(addrB))
		wait(time.Minute)
		down := settings(addrA)
		down.Shutdown, down.ShutdownMessage = true, "new line card"
		set(t, a, down)
		wait(time.Hour)
		if s := a.status(t); !s.Shutdown || s.ShutdownMessage != "new line card" || s.State != fsm.Idle {
			t.Errorf("a: %+v", s)
		}
		if got := b.routes.lastDown(t); got.Text != "new line card" {
			t.Errorf("b: %v", got)
		}
		if e := b.status(t).LastError; e == nil || e.Reason.Text != "new line card" {
			t.Errorf("b's attempts end with %+v", e)
		}
		set(t, a, settings(addrA))
		wait(3 * time.Minute)
		if s := a.status(t); s.State != fsm.EstablishedState || s.Shutdown {
			t.Errorf("a, enabled: %+v", s)
		}
		a.Reset(neighborID, fsm.AdminReset("try again"))
		wait(5 * time.Second)
		if s := a.status(t); s.State != fsm.EstablishedState || s.Sessions != 3 || s.LastReset.Reason.Subcode != wire.CeaseReset {
			t.Errorf("a, reset: %+v", s)
		}
	})
}

func TestChangesWaitForTheNextSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		set(t, a, settings(addrA))
		set(t, b, settings(addrB))
		wait(time.Minute)
		s := settings(addrA)
		s.Name = "renamed"
		set(t, a, s)
		synctest.Wait()
		if a.status(t).Pending {
			t.Error("a name is not pending")
		}
		s.Machine.ConnectRetryTime, s.Machine.IdleHoldTime = time.Hour, time.Hour
		set(t, a, s)
		synctest.Wait()
		if a.status(t).Pending {
			t.Error("timers between sessions are pending")
		}
		s.Machine.ConnectRetryTime, s.Machine.IdleHoldTime = 0, 0
		s.Machine.HoldTime = 30 * time.Second
		set(t, a, s)
		wait(time.Minute)
		if st := a.status(t); !st.Pending || st.Established.Hold != 90*time.Second || st.Sessions != 1 {
			t.Errorf("before: %+v", st)
		}
		a.Reset(neighborID, Close{Code: wire.CodeCease, Subcode: wire.CeaseConfigChange})
		wait(5 * time.Second)
		if st := a.status(t); st.Pending || st.Established.Hold != 30*time.Second {
			t.Errorf("after: %+v", st)
		}
		a.Remove(neighborID)
		if _, up := a.routes.established(); up {
			t.Error("Remove returned before Down")
		}
		if _, ok := a.Status(neighborID); ok {
			t.Error("it is still there")
		}
		synctest.Wait()
		if r := b.status(t).LastReset.Reason; r.Subcode != wire.CeaseDeconfigured || r.Kind != fsm.NotificationReceived {
			t.Errorf("b was told: %v", r)
		}
	})
}

// TestChangesReachAttempts: an attempt with settings that have been mended
// begins anew at once, whether it hangs, waits for its turn or for an OPEN.
func TestChangesReachAttempts(t *testing.T) {
	for name, bad := range map[string]func(n *memnet.Network, s *Neighbor){
		"hangs": func(n *memnet.Network, s *Neighbor) {
			s.Remote = netip.MustParseAddr("10.0.0.9")
			n.Cut(addrA, s.Remote, true)
		},
		"waits in Idle":  func(_ *memnet.Network, s *Neighbor) { s.Machine.RemoteASN = 65009 },
		"waits for OPEN": func(_ *memnet.Network, s *Neighbor) { s.Port = 2000 },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := memnet.New()
				a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
				theirs := settings(addrB)
				theirs.Machine.Passive = true
				set(t, b, theirs)
				mute, err := n.Listen(netip.AddrPortFrom(addrB, 2000))
				if err != nil {
					t.Fatal(err)
				}
				defer mute.Close()
				s := settings(addrA)
				bad(n, &s)
				set(t, a, s)
				wait(100 * time.Second)
				set(t, a, settings(addrA))
				wait(time.Second)
				if st := a.status(t); st.State != fsm.EstablishedState || st.Pending {
					t.Errorf("a second later: %+v", st)
				}
			})
		})
	}
}

func TestRestartsGetRarer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		set(t, a, settings(addrA))
		synctest.Wait() // the first attempt is refused
		l, err := n.Listen(portB)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var at []time.Duration
		last := time.Now()
		for range 9 {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			at = append(at, time.Since(last).Round(time.Second))
			last = time.Now()
			f := &fake{t, c.(*memnet.Conn)}
			f.want(wire.MsgOpen)
			f.send(wire.AppendNotification(nil, wire.CodeOpen, 2, nil)) // bad AS number
			f.Close()
		}
		want := []int{1, 1, 2, 4, 8, 16, 32, 64, 120}
		for i := range want {
			if at[i] != time.Duration(want[i])*time.Second {
				t.Fatalf("delays of %v, want seconds %v", at, want)
			}
		}
		if got := strings.Count(a.logs.String(), "no session"); got != 2 {
			t.Errorf("%d lines about the same failure", got)
		}
	})
}
