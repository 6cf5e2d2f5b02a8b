package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

func TestTwoRouters(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		set(t, a, settings(addrA))
		set(t, b, settings(addrB))
		wait(10 * time.Minute)
		for _, r := range []*router{a, b} {
			s := r.status(t)
			if s.State != fsm.EstablishedState || s.Sessions != 1 || r.routes.ups != 1 || s.Attempts != 0 {
				t.Errorf("after ten minutes: %+v", s)
			}
			if e := s.Established; e == nil || e.Hold != 90*time.Second || !e.Read.AS4 || !e.EnhancedRefresh || e.NextHop[prefix.IPv4] != e.Local.Addr() {
				t.Errorf("negotiated: %+v", e)
			}
			if s.In.Keepalive < 19 || s.Out.Keepalive < 19 || s.In.Open == 0 || s.Out.Bytes < 19*19 {
				t.Errorf("counters: in %+v, out %+v", s.In, s.Out)
			}
			if len(s.Sent) == 0 || len(s.Received) != len(s.Sent) {
				t.Errorf("capabilities: sent %v, received %v", s.Sent, s.Received)
			}
		}
		if sa, sb := a.status(t), b.status(t); sa.Local != sb.Remote || sa.Remote != sb.Local {
			t.Errorf("the ends do not fit: %v %v, %v %v", sa.Local, sa.Remote, sb.Local, sb.Remote)
		}
		a.Close("power is going off")
		synctest.Wait()
		if got := b.routes.lastDown(t); got.Kind != fsm.NotificationReceived || got.Subcode != wire.CeaseShutdown || got.Text != "power is going off" {
			t.Errorf("b's reason: %v", got)
		}
		if got := a.routes.lastDown(t); got.Kind != fsm.NotificationSent || got.Subcode != wire.CeaseShutdown {
			t.Errorf("a's reason: %v", got)
		}
	})
}

// TestCollisions lets both sides dial at the same time, with all kinds of
// delays: each side has one session, which never goes down.
func TestCollisions(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 100 {
		delay, later := time.Duration(r.IntN(1+i))*time.Millisecond, time.Duration(r.IntN(1+i))*time.Millisecond
		bubble(t, func(t *testing.T) {
			n := memnet.New()
			n.Delay(addrA, addrB, delay)
			a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
			set(t, a, settings(addrA))
			wait(later)
			set(t, b, settings(addrB))
			wait(5 * time.Second)
			for _, r := range []*router{a, b} {
				if s := r.status(t); s.State != fsm.EstablishedState || r.routes.ups != 1 || len(r.routes.downs) != 0 {
					t.Errorf("delay %v, b starts after %v: %v, up %d times, down %v", delay, later, s.State, r.routes.ups, r.routes.downs)
				}
			}
		})
	}
}

func TestHoldTimer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		set(t, a, settings(addrA))
		set(t, b, settings(addrB))
		wait(time.Minute)
		n.Cut(addrA, addrB, true)
		wait(59 * time.Second)
		if _, up := a.routes.established(); !up {
			t.Error("down before the hold time")
		}
		wait(32 * time.Second)
		for _, r := range []*router{a, b} {
			if got := r.routes.lastDown(t); got.Code != wire.CodeHoldTimer || got.Kind != fsm.NotificationSent {
				t.Errorf("reason: %v", got)
			}
		}
		// And it comes back when the link does.
		wait(10 * time.Minute)
		n.Cut(addrA, addrB, false)
		wait(3 * time.Minute)
		if s := a.status(t); s.State != fsm.EstablishedState || s.Sessions != 2 || s.LastReset.Reason.Code != wire.CodeHoldTimer {
			t.Errorf("after the repair: %+v", s)
		}
	})
}

// one starts our router with a passive neighbor, and the neighbor's side.
func one(t *testing.T) (*router, *fake) {
	t.Helper()
	n := memnet.New()
	a := newRouter(t, n, addrA)
	s := settings(addrA)
	s.Machine.Passive = true
	set(t, a, s)
	return a, dialFake(t, n)
}

func TestUpdatesArriveInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		set(t, a, settings(addrA))
		c, err := n.Dial(t.Context(), addrB, portA)
		if err != nil {
			t.Fatal(err)
		}
		f := &fake{t, c}
		// All at once: the session comes up in the middle of a read.
		all, kept := stream(rand.New(rand.NewPCG(7, 8)), 5000)
		head := append(openMessage(90), wire.AppendKeepalive(nil)...)
		f.send(head)
		f.send(all)
		synctest.Wait()
		if got := a.routes.received(); !bytes.Equal(got, bytes.Join(kept, nil)) {
			t.Errorf("%d bytes arrived, want %d", len(got), len(bytes.Join(kept, nil)))
		}
		s := a.status(t)
		if n := s.In.Update + s.In.Refresh; n != uint64(len(kept)) || s.In.Bytes != uint64(len(all)+len(head)) {
			t.Errorf("counted %+v, want %d messages and %d bytes", s.In, len(kept), len(all)+len(head))
		}
		f.Close()
	})
}

// TestBehindIsAlive: while the engine is behind, the neighbor's bytes wait in
// the socket, and the hold timer does not end the session for that.
func TestBehindIsAlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.keepalives(ctx)
		free := make(chan struct{})
		a.routes.mu.Lock()
		a.routes.blocked = free
		a.routes.mu.Unlock()
		var want []byte
		go func() {
			for i := range 5000 { // far more than buffers hold
				if _, err := f.Write(update(i)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		for i := range 5000 {
			want = append(want, update(i)...)
		}
		wait(30 * time.Minute)
		if _, up := a.routes.established(); !up {
			t.Fatalf("the session went down: %v", a.routes.downs)
		}
		a.routes.mu.Lock()
		a.routes.blocked = nil
		a.routes.mu.Unlock()
		close(free)
		wait(time.Second)
		if got := a.routes.received(); !bytes.Equal(got, want) {
			t.Errorf("%d bytes arrived, want %d", len(got), len(want))
		}
		// A neighbor that is silent is not alive.
		cancel()
		wait(91 * time.Second)
		if got := a.routes.lastDown(t); got.Code != wire.CodeHoldTimer {
			t.Errorf("reason: %v", got)
		}
		f.Close()
	})
}

// TestSendHold: a neighbor that lives but does not read loses its session
// (RFC 9687), and nothing it was to be sent is leaked.
func TestSendHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.keepalives(ctx)
		out, _ := a.routes.established()
		big := make([][]byte, 0, 600)
		for i := range 600 {
			big = append(big, update(i))
		}
		p := packetOf(big...)
		for out.Room() > 0 {
			out.Send(p, nil)
		}
		wait(7*time.Minute + 50*time.Second)
		if _, up := a.routes.established(); !up {
			t.Fatalf("down too early: %v", a.routes.downs)
		}
		wait(80 * time.Second) // the clock of the writer has eighths of 8 minutes
		if got := a.routes.lastDown(t); got.Kind != fsm.Stopped || got.Code != wire.CodeSendHold {
			t.Errorf("reason: %v", got)
		}
		wantReleased(t, p)
		f.Close()
	})
}

// TestNoHoldTime: a session without hold time has no send hold timer either (RFC
// 9687 section 4.3), needs no KEEPALIVEs, and can be ended while the neighbor
// reads nothing.
func TestNoHoldTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		s := settings(addrA)
		s.Machine.HoldTime, s.Machine.Passive = 0, true
		set(t, a, s)
		f := dialFake(t, n)
		out, _ := a.routes.established()
		var big [][]byte
		for i := range 600 {
			big = append(big, update(i))
		}
		p := packetOf(big...)
		for out.Room() > 0 {
			out.Send(p, nil)
		}
		wait(24 * time.Hour)
		if st := a.status(t); st.State != fsm.EstablishedState || st.Established.SendHold != 0 || st.Out.Keepalive != 1 {
			t.Errorf("after a day: %+v", st)
		}
		began := time.Now()
		a.Remove(neighborID)
		if d := time.Since(began); d > grace {
			t.Errorf("removing it took %v", d)
		}
		wantReleased(t, p)
		f.Close()
	})
}

// TestSlowIsAlive: a neighbor that reads little by little keeps its session.
func TestSlowIsAlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go f.keepalives(ctx)
		out, _ := a.routes.established()
		var msgs [][]byte
		for i := range 2000 {
			msgs = append(msgs, update(i))
		}
		p := packetOf(msgs...)
		sent := 2
		for range sent { // one fits the connection, with the other the writer waits
			out.Send(p, nil)
			synctest.Wait()
		}
		for ; out.Room() > 0; sent++ {
			out.Send(p, nil)
		}
		for out.Send(p, nil) { // what is kept in reserve
			sent++
		}
		if sent != QueueSize+2 {
			t.Errorf("%d packets were taken, the queue has room for %d", sent, QueueSize)
		}
		buf := make([]byte, 2000)
		for range 100 {
			if _, err := io.ReadFull(f, buf); err != nil {
				t.Fatal(err)
			}
			wait(time.Minute)
		}
		if _, up := a.routes.established(); !up || a.routes.room != 0 {
			t.Fatalf("down: %v, Writable %d", a.routes.downs, a.routes.room)
		}
		if q := a.status(t).Queued; q < QueueSize-batch {
			t.Errorf("only %d packets wait", q)
		}
		// Now it reads: half of the queue gets free, and we are told once.
		got := make([]byte, 0, sent*len(p.Data))
		for a.routes.room == 0 {
			k, err := f.Read(buf)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, buf[:k]...)
			synctest.Wait()
		}
		if r := out.Room(); r < (QueueSize-reserve)/2 || r > (QueueSize-reserve)/2+batch {
			t.Errorf("room is %d when Writable comes", r)
		}
		f.SetReadDeadline(time.Now().Add(time.Second))
		rest, err := io.ReadAll(f)
		if !isTimeout(err) {
			t.Fatal(err)
		}
		// KEEPALIVEs stand between packets, never inside of messages.
		if k := bytes.Count(append(got, rest...), wire.AppendKeepalive(nil)); k == 0 {
			t.Error("no KEEPALIVE among the packets")
		}
		if a.routes.room != 1 {
			t.Errorf("Writable came %d times", a.routes.room)
		}
		f.Close()
		wait(time.Second)
		wantReleased(t, p)
	})
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// TestRender: what a neighbor is not to get is left out, and its own next hop
// is put in.
func TestRender(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		out, _ := a.routes.established()
		p := packet.New()
		p.Data = append(append(p.Data, update(1)...), update(2)...)
		p.Segments = []packet.Segment{{End: len(p.Data) / 2}, {End: len(p.Data), Skip: neighborID}}
		p.NextHops = []packet.Field{{At: len(p.Data)/2 - 3, Len: 2}}
		out.Send(p, &packet.NextHop{Own: []byte{9, 9}})
		body := f.want(wire.MsgUpdate)
		want := bytes.Clone(p.Data[wire.HeaderLen : len(p.Data)/2])
		copy(want[len(want)-3:], []byte{9, 9})
		if !bytes.Equal(body, want) {
			t.Errorf("got % x, want % x", body, want)
		}
		out.Refresh(prefix.IPv6)
		if body := f.want(wire.MsgRefresh); !bytes.Equal(body, []byte{0, 2, 0, 1}) {
			t.Errorf("behind it comes % x", body)
		}
		if !a.Refresh(neighborID, prefix.IPv4) {
			t.Error("Refresh says no")
		}
		if body := f.want(wire.MsgRefresh); !bytes.Equal(body, []byte{0, 1, 0, 1}) {
			t.Errorf("refresh: % x", body)
		}
		p.Release()
		f.Close()
	})
}

// TestCloseByRoutes: what was queued before is given up, but no message is cut,
// and the NOTIFICATION arrives although we have not read everything.
func TestCloseByRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		out, _ := a.routes.established()
		p := packetOf(update(1), update(2))
		out.Send(p, nil)
		synctest.Wait()
		f.send(update(3))
		out.Close(Close{Code: wire.CodeCease, Subcode: wire.CeaseMaxPrefixes, Data: []byte{0, 1, 1, 0, 0, 0, 9}, Text: "10 prefixes", After: 5 * time.Minute})
		out.Close(Close{Code: 1}) // too late
		out.Send(p, nil)          // likewise
		f.want(wire.MsgUpdate)
		f.want(wire.MsgUpdate)
		f.wantEnd("Cease: maximum number of prefixes reached (6/1), more than 9 of ipv4")
		synctest.Wait()
		if got := a.routes.lastDown(t); got.Text != "10 prefixes" {
			t.Errorf("reason: %v", got)
		}
		wantReleased(t, p)
		if out.Room() != 0 || out.Refresh(prefix.IPv4) {
			t.Error("a closed session takes packets")
		}
		if s := a.status(t); s.State != fsm.Idle || s.Established != nil || s.LastReset.Reason.Subcode != wire.CeaseMaxPrefixes {
			t.Errorf("status: %+v", s)
		}
	})
}

func TestRefusedWhileClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a := newRouter(t, n, addrA)
		set(t, a, settings(addrA))
		f := dialFake(t, n)
		out, _ := a.routes.established()
		out.Close(Close{Code: wire.CodeCease, Subcode: wire.CeaseMaxPrefixes, StayDown: true})
		f.wantEnd("Cease: maximum number of prefixes reached (6/1)")
		wait(24 * time.Hour)
		if s := a.status(t); !s.Stopped || s.Shutdown || s.Attempts != 0 {
			t.Errorf("status: %+v", s)
		}
		c, err := n.Dial(t.Context(), addrB, portA)
		if err != nil {
			t.Fatal(err)
		}
		(&fake{t, c}).wantEnd("Cease: connection rejected (6/5)")
		a.Enable(neighborID)
		synctest.Wait()
		dialFake(t, n).Close()
	})
}

func TestNeighborSaysWhyWhileWeWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		out, _ := a.routes.established()
		p := packetOf(bytes.Split(bytes.Repeat(append(update(1), '|'), 1500), []byte{'|'})[:1500]...)
		for range 100 {
			out.Send(p, nil)
		}
		synctest.Wait()
		f.send(wire.AppendNotification(nil, wire.CodeCease, wire.CeaseOutOfResource, nil))
		f.CloseWrite()
		synctest.Wait()
		if got := a.routes.lastDown(t); got.Kind != fsm.NotificationReceived || got.Subcode != wire.CeaseOutOfResource {
			t.Errorf("reason: %v", got)
		}
		wantReleased(t, p)
		f.Close()
	})
}

func TestLostConnection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, f := one(t)
		f.send([]byte{0xff, 0xff}) // the beginning of something
		f.Close()
		synctest.Wait()
		if got := a.routes.lastDown(t); got.Kind != fsm.ConnectionFailed || got.Text == "" {
			t.Errorf("reason: %v", got)
		}
	})
}

func TestBadMessages(t *testing.T) {
	long := wire.AppendHeader(nil, wire.MsgUpdate)
	long = append(long, make([]byte, 5000)...)
	wire.Finish(long, 0)
	for name, test := range map[string]struct {
		msg  []byte
		want string
	}{
		"marker": {make([]byte, 19), "message header error: connection not synchronized (1/1)"},
		"long":   {long, "message header error: bad message length (1/2), data 139b"},
		"open":   {openMessage(90), "finite state machine error: unexpected message in Established (5/3), data 01"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a, f := one(t)
				f.send(append(update(1), test.msg...))
				f.wantEnd(test.want)
				synctest.Wait()
				if got := a.routes.received(); !bytes.Equal(got, update(1)) {
					t.Errorf("what came before is lost: % x", got)
				}
			})
		})
	}
}
