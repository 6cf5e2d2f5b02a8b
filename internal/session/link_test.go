package session

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

// TestInterfaceNeighbor: its address is found out, and who connects before, or
// from another one, is it as well.
func TestInterfaceNeighbor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		theirs := netip.MustParseAddr("fe80::2%eth1")
		s := settings(addrA)
		s.Remote, s.Interface = netip.Addr{}, "eth1"
		set(t, a, s)
		wait(time.Minute)
		if st := a.status(t); st.State != fsm.Active || st.LastError == nil || st.LastError.Reason.Text != "no router advertisement has come on eth1" {
			t.Errorf("without an address: %+v", st)
		}
		// It connects before we have heard of it.
		f := dialFrom(t, n, "fe80::2%eth1")
		f.send(openMessage(90))
		wait(time.Second)
		s.Remote = theirs
		set(t, a, s)
		st := a.status(t)
		if st.State != fsm.OpenSent && st.State != fsm.OpenConfirm && st.State != fsm.Connect && st.State != fsm.Active {
			t.Errorf("an address for what begins: %+v", st)
		}
		f.Close()

		// It is called at its address.
		l, err := n.Listen(netip.AddrPortFrom(theirs, 179))
		if err != nil {
			t.Fatal(err)
		}
		wait(5 * time.Second)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		l.Close()

		// Another address of the link, with a session, and then the one heard.
		f = dialFrom(t, n, "fe80::3%eth1")
		f.send(openMessage(90))
		f.want(wire.MsgOpen)
		f.send(wire.AppendKeepalive(nil))
		wait(time.Second)
		if st := a.status(t); st.State != fsm.EstablishedState || st.Remote.Addr() != netip.MustParseAddr("fe80::3%eth1") {
			t.Errorf("from another address: %+v", st)
		}
		s.Remote = netip.MustParseAddr("fe80::3%eth1")
		set(t, a, s)
		wait(time.Second)
		if st := a.status(t); st.State != fsm.EstablishedState || st.Pending || st.Sessions != 1 {
			t.Errorf("its address is heard: %+v", st)
		}
		// Another link is somebody else's.
		dialFrom(t, n, "fe80::3%eth2").gone()
		if !strings.Contains(a.logs.String(), "no neighbor") {
			t.Error("a stranger is not logged")
		}
		a.Remove(neighborID)
		f.Close()
		dialFrom(t, n, "fe80::3%eth1").gone()
	})
}
