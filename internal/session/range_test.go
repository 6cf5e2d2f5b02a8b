package session

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

// network24 has addrB.
var network24 = netip.MustParsePrefix("10.0.0.0/24")

// ranged is a router with a range. Those that it welcomes get IDs from 100.
func ranged(t *testing.T, n *memnet.Network, limit int) *router {
	t.Helper()
	r := newRouter(t, n, addrA)
	next := packet.ID(100)
	r.welcome = func(g string, remote netip.Addr, asn uint32) *Close {
		if asn != 65002 {
			return &Close{Code: wire.CodeOpen, Subcode: 2, Text: fmt.Sprintf("AS %d is not allowed", asn)}
		}
		s := settings(addrA)
		s.ID, s.Name, s.Range, s.Remote, s.Machine.Passive = next, g+"/"+remote.String(), g, remote, true
		next++
		if err := r.Set(s); err != nil {
			t.Error(err)
		}
		return nil
	}
	if err := r.SetRanges([]Range{{Name: "lan", Addresses: []netip.Prefix{network24}, Limit: limit}}); err != nil {
		t.Fatal(err)
	}
	return r
}

func dialFrom(t *testing.T, n *memnet.Network, from string) *fake {
	t.Helper()
	c, err := n.Dial(t.Context(), netip.MustParseAddr(from), portA)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return &fake{t, c}
}

// gone reports that the connection has ended without a message.
func (f *fake) gone() {
	f.t.Helper()
	f.SetReadDeadline(time.Now().Add(time.Second)) // of the bubble's clock
	if b, err := io.ReadAll(f); len(b) > 0 || err != nil {
		f.t.Errorf("not closed: % x, %v", b, err)
	}
	f.Close()
}

// TestRange: who connects becomes a neighbor when its OPEN is whole, and nothing
// of what it has sent is lost.
func TestRange(t *testing.T) {
	for cut := range 4 {
		bubble(t, func(t *testing.T) {
			n := memnet.New()
			a := ranged(t, n, 10)
			f := dialFrom(t, n, "10.0.0.2")
			// A neighbor may be sure that we are going to like its OPEN.
			msg := append(append(openMessage(90), wire.AppendKeepalive(nil)...), update(1)...)
			at := []int{10, 30, len(openMessage(90)), len(msg)}[cut]
			f.send(msg[:at])
			synctest.Wait()
			if _, ok := a.Status(100); ok != (cut >= 2) {
				t.Errorf("%d bytes: there is a neighbor: %v", at, ok)
			}
			f.send(msg[at:])
			f.want(wire.MsgOpen)
			f.want(wire.MsgKeepalive)
			synctest.Wait()
			s, _ := a.Status(100)
			if s.State != fsm.EstablishedState || s.In.Open != 1 || s.In.Update != 1 || s.In.Bytes != uint64(len(msg)) {
				t.Errorf("status: %+v", s)
			}
			if got := a.routes.received(); string(got) != string(update(1)) {
				t.Errorf("routes got % x", got)
			}
			a.Remove(100)
			f.wantEnd("Cease: neighbor deconfigured (6/3)")
		})
	}
}

func TestRangeRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		send []byte
		want string
	}{
		"another AS":  {wire.AppendOpen(nil, &wire.Open{ASN: 65003, ID: 1, HoldTime: 90}), "OPEN message error: bad AS number (2/2)"},
		"a KEEPALIVE": {wire.AppendKeepalive(nil), "finite state machine error: unexpected message in OpenSent (5/1), data 04"},
		"no BGP":      {[]byte("GET / HTTP/1.1\r\n\r\n.........."), "message header error: connection not synchronized (1/1)"},
		"hold time 1": {wire.AppendOpen(nil, &wire.Open{ASN: 65002, ID: 1, HoldTime: 1}), "OPEN message error: unacceptable hold time (2/6)"},
	} {
		bubble(t, func(t *testing.T) {
			n := memnet.New()
			a := ranged(t, n, 10)
			f := dialFrom(t, n, "10.0.0.2")
			f.send(c.send)
			body := f.want(wire.MsgNotification)
			if got, err := wire.ParseNotification(body); err != nil || got.String() != c.want {
				t.Errorf("%s: got %q, %v, want %q", name, got.String(), err, c.want)
			}
			f.Close()
			synctest.Wait()
			if len(a.arrivals) != 0 {
				t.Errorf("%s: something is left", name)
			}
			if !strings.Contains(a.logs.String(), "refused a connection from a neighbor range") {
				t.Errorf("%s: the log does not say so", name)
			}
		})
	}
}

// TestSilentArrivals: who says nothing is given up after a while, or for
// somebody else if there are many; who is configured does not notice.
func TestSilentArrivals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := ranged(t, n, 3)
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s) // 10.0.0.2
		first, second := dialFrom(t, n, "10.0.0.11"), dialFrom(t, n, "10.0.0.12")
		dialFrom(t, n, "10.0.0.13")
		again := dialFrom(t, n, "10.0.0.12")
		second.gone() // its router has connected again
		dialFrom(t, n, "10.0.0.14")
		first.gone() // the oldest one
		if len(a.arrivals) != 3 {
			t.Errorf("%d arrivals, want 3", len(a.arrivals))
		}
		f := dialFake(t, n)
		defer f.Close()
		if a.status(t).State != fsm.EstablishedState {
			t.Error("the configured neighbor is not up")
		}
		wait(openWait)
		again.gone()
		if len(a.arrivals) != 0 {
			t.Errorf("%d arrivals after %v", len(a.arrivals), openWait)
		}
		dialFrom(t, n, "10.0.0.15")
		a.Close("") // does not wait for it
	})
}

// TestMostSpecificRange: of ranges that overlap the most specific one has the
// connection, and a neighbor of its own goes before all.
func TestMostSpecificRange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := ranged(t, n, 10)
		var got []string
		a.welcome = func(g string, remote netip.Addr, asn uint32) *Close {
			got = append(got, g+" "+remote.String())
			return &Close{Code: wire.CodeCease, Subcode: wire.CeaseRejected}
		}
		all := []Range{{Name: "wide", Limit: 9, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("10.0.0.128/25")}},
			{Name: "lan", Limit: 9, Addresses: []netip.Prefix{network24}}}
		if err := a.SetRanges(all); err != nil {
			t.Fatal(err)
		}
		s := settings(addrA)
		s.Machine.Passive = true
		set(t, a, s)
		for _, from := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.130", "10.1.0.1"} {
			f := dialFrom(t, n, from)
			f.send(openMessage(90))
			synctest.Wait()
			f.Close()
		}
		if want := "lan 10.0.0.3, wide 10.0.0.130, wide 10.1.0.1"; strings.Join(got, ", ") != want {
			t.Errorf("got %v, want %s", got, want)
		}
	})
}

// TestPace: an address that connects too often is not heard for a while.
func TestPace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := ranged(t, n, 10)
		try := func(from string) (heard bool) {
			f := dialFrom(t, n, from)
			defer f.Close()
			f.Write(wire.AppendKeepalive(nil)) // which may be too late
			b, _ := io.ReadAll(f)
			return len(b) > 0
		}
		heard := 0
		for range 50 {
			if try("10.0.0.9") {
				heard++
			}
		}
		if heard != paceOfEach.burst {
			t.Errorf("%d of 50 connections were heard, want %d", heard, paceOfEach.burst)
		}
		if !try("10.0.0.10") {
			t.Error("another address is not heard")
		}
		wait(paceOfEach.every)
		if !try("10.0.0.9") || try("10.0.0.9") {
			t.Error("after a while, it is to be heard once more")
		}
		if got := strings.Count(a.logs.String(), "neighbor range"); got > 3 {
			t.Errorf("%d lines in the log", got)
		}
	})
}

// TestPaceOfAll: however many addresses there are, there is a limit, and memory
// for them has one.
func TestPaceOfAll(t *testing.T) {
	p := &pace{}
	now, ok := time.Now(), 0
	a := netip.MustParseAddr("2001:db8::")
	for range 3 * maxPaced {
		a = a.Next()
		if p.allow(a, now) {
			ok++
		}
	}
	if ok != paceOfAll.burst || len(p.each) > maxPaced {
		t.Errorf("%d connections are within the pace, want %d; %d addresses are remembered", ok, paceOfAll.burst, len(p.each))
	}
	if !p.allow(a.Next(), now.Add(paceOfAll.every)) {
		t.Error("nobody is heard after a while")
	}
}
