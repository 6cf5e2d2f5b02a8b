package fsm

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// situations are the states of RFC 4271 section 8.2.2, Idle in both of its
// kinds, each with the events that lead there.
var situations = []struct {
	name string
	do   []func(m *Machine)
}{
	{"Idle", nil},
	{"Idle, waiting", []func(*Machine){begin, tcp, theirOpen, theirKeepalive, theirGarbage}},
	{"Connect", []func(*Machine){begin}},
	{"Active", []func(*Machine){begin, refused}},
	{"OpenSent", []func(*Machine){begin, tcp}},
	{"OpenConfirm", []func(*Machine){begin, tcp, theirOpen}},
	{"Established", []func(*Machine){begin, tcp, theirOpen, theirKeepalive}},
}

func begin(m *Machine)          { m.Step(epoch, Event{Kind: Start}) }
func tcp(m *Machine)            { m.Step(epoch, Event{Kind: Connected}) }
func refused(m *Machine)        { m.Step(epoch, Event{Kind: ConnectionFails, Text: "refused"}) }
func theirOpen(m *Machine)      { m.Step(epoch, Event{Kind: BGPOpen, Body: openBody(65002)}) }
func theirKeepalive(m *Machine) { m.Step(epoch, Event{Kind: KeepAliveMsg}) }
func theirGarbage(m *Machine) {
	m.Step(epoch, Event{Kind: HeaderErr, Err: &wire.Error{Code: 1, Subcode: 1, Why: "x"}})
}

func openBody(asn uint32) []byte {
	o := wire.Open{ASN: asn, HoldTime: 90, ID: 0x0a000002, Capabilities: wire.Capabilities{AS4: true}}
	return wire.AppendOpen(nil, &o)[wire.HeaderLen:]
}

func step(e Event) func(*Machine) []Action {
	return func(m *Machine) []Action { return m.Step(epoch, e) }
}

// timer lets one timer expire, if it runs.
func timer(pick func(m *Machine) *time.Time) func(*Machine) []Action {
	return func(m *Machine) []Action {
		t := pick(m)
		if t.IsZero() {
			return nil
		}
		*t = epoch
		return m.Tick(epoch)
	}
}

func notificationBody(code, sub uint8) []byte {
	return wire.AppendNotification(nil, code, sub, nil)[wire.HeaderLen:]
}

// events are those of RFC 4271 section 8.1. Not among them are 3 to 7, which
// are 1 with another configuration; 12 and 20, of the DelayOpenTimer; 14 and
// 15, which the listener decides.
var events = []struct {
	name string
	do   func(m *Machine) []Action
}{
	{"1 ManualStart", step(Event{Kind: Start})},
	{"2 ManualStop", step(Event{Kind: ManualStop, Close: Shutdown("")})},
	{"8 AutomaticStop", step(Event{Kind: AutomaticStop, Close: Close{Code: 6, Subcode: 1, StayDown: true}})},
	{"9 ConnectRetryTimer_Expires", timer(func(m *Machine) *time.Time { return &m.connectRetry })},
	{"10 HoldTimer_Expires", timer(func(m *Machine) *time.Time { return &m.conns[Out].hold })},
	{"11 KeepaliveTimer_Expires", timer(func(m *Machine) *time.Time { return &m.conns[Out].keepalive })},
	{"13 IdleHoldTimer_Expires", timer(func(m *Machine) *time.Time { return &m.idleHold })},
	{"16 Tcp_CR_Acked", step(Event{Kind: Connected})},
	{"17 TcpConnectionConfirmed", step(Event{Kind: Accepted, Conn: In})},
	{"18 TcpConnectionFails", step(Event{Kind: ConnectionFails, Text: "connection reset"})},
	{"19 BGPOpen", step(Event{Kind: BGPOpen, Body: openBody(65002)})},
	{"21 BGPHeaderErr", step(Event{Kind: HeaderErr, Err: &wire.Error{Code: 1, Subcode: 2, Why: "wrong length"}})},
	{"22 BGPOpenMsgErr", step(Event{Kind: BGPOpen, Body: openBody(65003)})},
	{"23 OpenCollisionDump", func(m *Machine) []Action {
		// The neighbor's own connection wins.
		m.Step(epoch, Event{Kind: Accepted, Conn: In})
		if m.conns[In].state != OpenSent {
			return nil
		}
		return m.Step(epoch, Event{Kind: BGPOpen, Conn: In, Body: openBody(65002)})
	}},
	{"24 NotifMsgVerErr", step(Event{Kind: NotifMsg, Body: notificationBody(2, 1)})},
	{"25 NotifMsg", step(Event{Kind: NotifMsg, Body: notificationBody(6, 4)})},
	{"26 KeepAliveMsg", step(Event{Kind: KeepAliveMsg})},
	{"27 UpdateMsg", step(Event{Kind: UpdateMsg})},
	{"28 UpdateMsgErr", step(Event{Kind: AutomaticStop, Close: Close{Code: 3, Subcode: 1}})},
	{"29 SendHoldTimer_Expires", step(Event{Kind: SendHoldExpires})},
	{"- Reconfigured", step(Event{Kind: Reconfigured})},
}

// TestMatrix puts every event to the machine in every state and compares with
// testdata/matrix.golden.
func TestMatrix(t *testing.T) {
	var out strings.Builder
	for _, s := range situations {
		fmt.Fprintf(&out, "%s\n", s.name)
		for _, e := range events {
			m := New(Config{LocalASN: 65001, RemoteASN: 65002, LocalID: 0x0a000001, HoldTime: 90 * time.Second,
				Families: [prefix.Families]bool{true}}, func() float64 { return 0 })
			for _, f := range s.do {
				f(m)
			}
			if got, _, _ := strings.Cut(s.name, ","); m.State().String() != got {
				t.Fatalf("the way to %s leads to %v", s.name, m.State())
			}
			actions := e.do(m)
			fmt.Fprintf(&out, "  %-28s %-12v %s\n", e.name, m.State(), brief(actions))
		}
	}
	const golden = "testdata/matrix.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("the machine does otherwise (-update rewrites):\n%s", out.String())
	}
}

// brief is a list of actions on one line.
func brief(actions []Action) string {
	var words []string
	for _, a := range actions {
		w := [...]string{"dial", "adopt", "refuse", "send", "disconnect", "up", "down", "failed", "note"}[a.Kind]
		if a.Kind != Dial && a.Kind != Adopt && a.Kind != Refuse {
			w += " " + a.Conn.String()
		}
		if a.Msg != nil {
			switch n := a.Msg[wire.HeaderLen:]; a.Msg[18] {
			case wire.MsgOpen:
				w += " OPEN"
			case wire.MsgKeepalive:
				w += " KEEPALIVE"
			default:
				w += fmt.Sprintf(" %d/%d", n[0], n[1])
			}
		}
		words = append(words, w)
	}
	if words == nil {
		return "-"
	}
	return strings.Join(words, ", ")
}
