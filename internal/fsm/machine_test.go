package fsm

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

func testConfig() Config {
	return Config{LocalASN: 65001, RemoteASN: 65002, LocalID: 0x0a000001, HoldTime: 90 * time.Second,
		Families: [prefix.Families]bool{true}}
}

// established is a machine with a session that we dialed.
func established(t *testing.T, jitter float64) *Machine {
	t.Helper()
	m := New(testConfig(), func() float64 { return jitter })
	for _, f := range []func(*Machine){begin, tcp, theirOpen, theirKeepalive} {
		f(m)
	}
	if m.State() != EstablishedState {
		t.Fatal("the session does not come up")
	}
	return m
}

// TestJitter: RFC 4271 section 10 wants 75 to 100 % of the timers, but not of
// the hold timer.
func TestJitter(t *testing.T) {
	for _, jitter := range []float64{0, 0.5, 0.999999} {
		share := 1 - jitter/4
		want := func(name string, got time.Time, d time.Duration, share float64) {
			t.Helper()
			if w := time.Duration(float64(d) * share); got.Sub(epoch).Round(time.Millisecond) != w.Round(time.Millisecond) {
				t.Errorf("%s with jitter %v runs %v, want %v", name, jitter, got.Sub(epoch), w)
			}
		}
		m := New(testConfig(), func() float64 { return jitter })
		begin(m)
		want("ConnectRetryTimer", m.connectRetry, DefaultConnectRetry, share)
		m = established(t, jitter)
		want("KeepaliveTimer", m.conns[Out].keepalive, 30*time.Second, share)
		want("HoldTimer", m.conns[Out].hold, 90*time.Second, 1)
		theirGarbage(m)
		want("IdleHoldTimer", m.idleHold, DefaultIdleHold, share)
	}
}

func TestHeardAndWrote(t *testing.T) {
	m := established(t, 0)
	m.Heard(Out, epoch.Add(20*time.Second))
	if got := m.conns[Out].hold.Sub(epoch); got != 110*time.Second {
		t.Errorf("heard at 20 s, the hold timer ends at %v", got)
	}
	m.Heard(Out, epoch.Add(10*time.Second)) // late news
	if got := m.conns[Out].hold.Sub(epoch); got != 110*time.Second {
		t.Errorf("older news moved the hold timer to %v", got)
	}
	m.Wrote(Out, epoch.Add(25*time.Second))
	if got := m.conns[Out].keepalive.Sub(epoch); got != 47500*time.Millisecond {
		t.Errorf("wrote at 25 s, the next KEEPALIVE comes at %v", got)
	}
	m.Heard(In, epoch.Add(time.Hour)) // there is no such connection
	m.Wrote(In, epoch.Add(time.Hour))
	if next, _ := m.Next(); next.Sub(epoch) != 47500*time.Millisecond {
		t.Errorf("next timer at %v", next.Sub(epoch))
	}
}

func TestShutdownMessageIsCutAndCleaned(t *testing.T) {
	long := strings.Repeat("ä", 200)
	data := shutdownData(long)
	if n := int(data[0]); n != 254 || len(data) != 255 || !utf8.Valid(data[1:]) {
		t.Errorf("a message of 400 bytes becomes %d bytes, %d said, valid %v", len(data), n, utf8.Valid(data[1:]))
	}
	r := received(wire.Notification{Code: 6, Subcode: 2, Data: shutdownData("a\x1b[2Jb\nc")})
	if r.Text != "a.[2Jb.c" {
		t.Errorf("control characters pass: %q", r.Text)
	}
	if got := (Reason{}).String(); got != "never up" {
		t.Errorf("the zero reason is %q", got)
	}
}

func TestNegotiate(t *testing.T) {
	c := testConfig()
	c.Families = [prefix.Families]bool{true, true}
	c.ExtendedMessage, c.ExtendedNextHop, c.AddPathReceive[prefix.IPv6] = true, true, true
	c.KeepaliveTime = 7 * time.Second
	ours := c.ours(&dropped{}, false)
	theirs := ours
	theirs.ID = 0x0a000002
	p := &theirs.Capabilities
	p.AddPath = []wire.AddPathFamily{{FamilyID: wire.UnicastID(prefix.IPv4), Mode: wire.AddPathBoth},
		{FamilyID: wire.UnicastID(prefix.IPv6), Mode: wire.AddPathBoth}}
	p.ExtendedNextHops = nil
	e := c.negotiate(&ours, &theirs)
	if !e.Read.ExtMsg || !e.Write.ExtMsg || !e.Read.AS4 || !e.Refresh || !e.EnhancedRefresh || !e.Read.EBGP {
		t.Errorf("what both offer is not negotiated: %+v", e)
	}
	if e.Read.AddPath != [prefix.Families]bool{false, true} || e.Write.AddPath != [prefix.Families]bool{} {
		t.Errorf("add-path: read %v, write %v", e.Read.AddPath, e.Write.AddPath)
	}
	c.AddPathSend = [prefix.Families]bool{true, true}
	both := c.ours(&dropped{}, false)
	p.AddPath[0].Mode = wire.AddPathReceive
	if e := c.negotiate(&both, &theirs); e.Read.AddPath != [prefix.Families]bool{false, true} || e.Write.AddPath != [prefix.Families]bool{true, true} {
		t.Errorf("add-path with send: read %v, write %v", e.Read.AddPath, e.Write.AddPath)
	}
	if !e.Read.ExtNH || e.Write.ExtNH {
		t.Errorf("extended next hop: we take it, they do not; got %v, %v", e.Read.ExtNH, e.Write.ExtNH)
	}
	if e.Keepalive != 7*time.Second {
		t.Errorf("keepalive %v, configured 7 s", e.Keepalive)
	}
	theirs.HoldTime = 6
	if e = c.negotiate(&ours, &theirs); e.Hold != 6*time.Second || e.Keepalive != 2*time.Second {
		t.Errorf("hold %v, keepalive %v", e.Hold, e.Keepalive)
	}
}

// TestCapabilitiesAsSent: the list for people has what is in the message, in
// both encodings of optional parameters.
func TestCapabilitiesAsSent(t *testing.T) {
	for _, n := range []int{3, 60} {
		o := wire.Open{ASN: 65001, HoldTime: 90, ID: 1}
		for i := range n {
			o.Capabilities.Unknown = append(o.Capabilities.Unknown, wire.Capability{Code: uint8(180 + i%8), Value: make([]byte, i)})
		}
		got := wire.OpenCapabilities(wire.AppendOpen(nil, &o)[wire.HeaderLen:])
		if len(got) != n {
			t.Fatalf("%d capabilities sent, %d listed", n, len(got))
		}
		for i, c := range got {
			if c.Code != uint8(180+i%8) || len(c.Value) != i {
				t.Errorf("capability %d is %v", i, c)
			}
		}
	}
	for n := range 40 {
		wire.OpenCapabilities(make([]byte, n)) // must not run over
	}
}

// TestRandom throws events at the machine in any order. Whatever comes, what it
// asks its driver to do makes sense.
func TestRandom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := testConfig()
		cfg.Passive = rapid.Bool().Draw(t, "passive")
		cfg.HoldTime = rapid.SampledFrom([]time.Duration{0, 3 * time.Second, 90 * time.Second}).Draw(t, "hold")
		m := New(cfg, func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "jitter") })
		d := &driver{t: t, m: m}
		now := epoch
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			e := Event{Conn: Conn(rapid.IntRange(0, 1).Draw(t, "conn"))}
			switch rapid.IntRange(0, 14).Draw(t, "event") {
			case 0:
				e.Kind = Start
			case 1:
				e.Kind, e.Close = ManualStop, Shutdown("x")
			case 2:
				e.Kind, e.Close = AutomaticStop, Close{Code: 6, Subcode: 1, After: time.Duration(rapid.IntRange(0, 1).Draw(t, "after")) * time.Minute}
			case 3, 4:
				if d.dialing {
					e.Kind, e.Conn, d.dialing = Connected, Out, false
				} else {
					e.Kind, e.Conn = Accepted, In
				}
			case 5:
				e.Kind, d.dialing = ConnectionFails, d.dialing && e.Conn == In
			case 6, 7:
				e.Kind, e.Body = BGPOpen, openBody(65002)
			case 8, 9:
				e.Kind = KeepAliveMsg
			case 10:
				e.Kind = UpdateMsg
			case 11:
				e.Kind, e.Body = NotifMsg, notificationBody(rapid.SampledFrom([]uint8{2, 6}).Draw(t, "code"), rapid.SampledFrom([]uint8{4, 7}).Draw(t, "sub"))
			case 13:
				e.Kind = Reconfigured
			case 12:
				e.Kind, e.Err = HeaderErr, &wire.Error{Code: 1, Subcode: 1}
			default:
				now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "seconds")) * time.Second)
				d.do(m.Tick(now))
				if next, ok := m.Next(); ok && !next.After(now) {
					t.Fatalf("a timer of %v is left at %v", next, now)
				}
				continue
			}
			d.do(m.Step(now, e))
		}
	})
}

// driver holds a machine to what a driver can do.
type driver struct {
	t       *rapid.T
	m       *Machine
	dialing bool
	open    [2]bool // connections on which an OPEN was sent
	up      bool
	upConn  Conn
}

func (d *driver) do(actions []Action) {
	d.t.Helper()
	for _, a := range actions {
		switch a.Kind {
		case Dial:
			if d.dialing || d.open[Out] || d.m.cfg.Passive {
				d.t.Fatalf("dials again, or passive")
			}
			d.dialing = true
		case Send:
			if isOpen := a.Msg[18] == wire.MsgOpen; isOpen == d.open[a.Conn] {
				d.t.Fatalf("sends type %d on %v, OPEN sent: %v", a.Msg[18], a.Conn, d.open[a.Conn])
			}
			d.open[a.Conn] = true
		case Disconnect:
			if !d.open[a.Conn] && a.Msg != nil {
				d.t.Fatalf("a NOTIFICATION for %v, which is not connected", a.Conn)
			}
			d.open[a.Conn] = false
			if a.Conn == Out {
				d.dialing = false
			}
		case Up:
			if d.up || !d.open[a.Conn] || d.open[a.Conn.Other()] || d.dialing {
				d.t.Fatalf("up beside another connection: %+v", d)
			}
			d.up, d.upConn = true, a.Conn
		case Down:
			if !d.up || a.Conn != d.upConn || a.Reason.Kind == NotStarted {
				d.t.Fatalf("down on %v for %v, up is %v", a.Conn, a.Reason, d.up)
			}
			d.up = false
		}
	}
	if d.up != (d.m.State() == EstablishedState) {
		d.t.Fatalf("the driver thinks up: %v, the machine is %v", d.up, d.m.State())
	}
}

// TestRoles: table 2 of RFC 9234 section 4.2 has the pairs that may be.
func TestRoles(t *testing.T) {
	allowed := map[[2]uint8]bool{{0, 3}: true, {3, 0}: true, {1, 2}: true, {2, 1}: true, {4, 4}: true}
	for ours := range uint8(5) {
		for theirs := range uint8(7) {
			if got := rolesMatch(ours, theirs); got != allowed[[2]uint8{ours, theirs}] {
				t.Errorf("%s and %s: %v", RoleName(ours), RoleName(theirs), got)
			}
		}
	}
}

// TestMalformedNotification is not answered (RFC 4271 section 6.4).
func TestMalformedNotification(t *testing.T) {
	m := established(t, 0)
	got := brief(m.Step(epoch, Event{Kind: NotifMsg, Body: []byte{6}}))
	if got != "disconnect out, down out" || m.State() != Idle {
		t.Errorf("%s, %v", got, m.State())
	}
}

// TestBothCollisionsTold: the neighbor may close the only connection as the
// loser of a collision that we see nothing of. The machine listens and dials.
func TestBothCollisionsTold(t *testing.T) {
	m := established(t, 0)
	theirGarbage(m)
	m.Tick(epoch.Add(time.Second))
	m.Step(epoch.Add(time.Second), Event{Kind: Connected})
	m.Step(epoch.Add(time.Second), Event{Kind: NotifMsg, Body: notificationBody(6, 7)})
	if next, ok := m.Next(); m.State() != Active || !ok || next.Sub(epoch) != 2*time.Second {
		t.Errorf("%v, next at %v", m.State(), next.Sub(epoch))
	}
}
