package fsm

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestTranscripts plays the scripts in testdata. Lines that begin in the first
// column are input, indented ones what the machine did; -update writes those.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &player{now: epoch}
			for i, line := range strings.Split(strings.TrimRight(string(want), "\n"), "\n") {
				if strings.HasPrefix(line, "  ") {
					continue
				}
				fmt.Fprintln(&p.out, line)
				if line == "" || line[0] == '#' {
					continue
				}
				if err := p.play(strings.Fields(line)); err != nil {
					t.Fatalf("%s:%d: %v", file, i+1, err)
				}
			}
			got := p.out.String()
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(want) {
				t.Errorf("the machine does otherwise (-update rewrites):\n%s", got)
			}
		})
	}
}

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// player plays a script.
type player struct {
	cfg   Config
	m     *Machine
	now   time.Time
	state State
	out   strings.Builder
}

func (p *player) printf(format string, args ...any) {
	fmt.Fprintf(&p.out, "  %-6v "+format+"\n", append([]any{p.now.Sub(epoch)}, args...)...)
}

func (p *player) play(w []string) error {
	e := Event{Conn: Out}
	if len(w) > 1 && w[1] == "in" {
		e.Conn = In
	}
	switch w[0] {
	case "config":
		if err := p.config(w[1:]); err != nil {
			return err
		}
		if p.m == nil {
			p.m = New(p.cfg, func() float64 { return 0 })
		} else {
			p.m.SetConfig(p.cfg)
		}
		return nil
	case "wait":
		d, err := time.ParseDuration(w[1])
		if err != nil {
			return err
		}
		p.wait(p.now.Add(d))
		return nil
	case "reconfigured":
		e.Kind = Reconfigured
	case "start":
		e.Kind = Start
	case "shutdown":
		e.Kind, e.Close = ManualStop, Shutdown(strings.Join(w[1:], " "))
	case "restarting":
		e.Kind, e.Close = ManualStop, Restarting(strings.Join(w[1:], " "))
	case "reset":
		e.Kind, e.Close = ManualStop, AdminReset(strings.Join(w[1:], " "))
	case "max-prefixes":
		e.Kind, e.Close = AutomaticStop, Close{Code: wire.CodeCease, Subcode: wire.CeaseMaxPrefixes, Text: "maximum of 100 ipv4 prefixes"}
		if d, err := time.ParseDuration(w[1]); err == nil {
			e.Close.After = d
		} else {
			e.Close.StayDown = true
		}
	case "bfd-down":
		e.Kind, e.Close = AutomaticStop, Close{Code: wire.CodeCease, Subcode: wire.CeaseBFDDown}
	case "bad-update":
		e.Kind, e.Close = AutomaticStop, Close{Code: wire.CodeUpdate, Subcode: 1, Text: "attributes overrun the message"}
	case "accepted":
		e.Kind = Accepted
	case "connected":
		e.Kind = Connected
	case "fails":
		e.Kind, e.Text = ConnectionFails, strings.Join(w[2:], " ")
	case "open":
		e.Kind = BGPOpen
		o, err := parseOpen(w[2:])
		if err != nil {
			return err
		}
		e.Body = wire.AppendOpen(nil, &o)[wire.HeaderLen:]
	case "keepalive":
		e.Kind = KeepAliveMsg
	case "update":
		e.Kind = UpdateMsg
	case "garbage":
		e.Kind, e.Err = HeaderErr, &wire.Error{Code: 1, Subcode: 1, Why: "the header's marker is not all ones"}
	case "notification":
		e.Kind = NotifMsg
		var code, sub uint8
		if _, err := fmt.Sscanf(w[2], "%d/%d", &code, &sub); err != nil {
			return err
		}
		var data []byte
		switch {
		case code == wire.CodeCease && sub == wire.CeaseHardReset:
			data = wire.HardResetData(wire.CodeCease, wire.CeaseShutdown, shutdownData(strings.Join(w[3:], " ")))
		case code == wire.CodeCease:
			data = shutdownData(strings.Join(w[3:], " "))
		default:
			for _, b := range w[3:] {
				n, err := strconv.ParseUint(b, 16, 8)
				if err != nil {
					return err
				}
				data = append(data, byte(n))
			}
		}
		e.Body = wire.AppendNotification(nil, code, sub, data)[wire.HeaderLen:]
	case "stuck":
		e.Kind = SendHoldExpires
	default:
		return fmt.Errorf("unknown command %q", w[0])
	}
	p.print(p.m.Step(p.now, e))
	return nil
}

func (p *player) wait(until time.Time) {
	for {
		next, ok := p.m.Next()
		if !ok || next.After(until) {
			p.now = until
			return
		}
		if next.After(p.now) {
			p.now = next
		}
		p.print(p.m.Tick(p.now))
	}
}

func (p *player) print(actions []Action) {
	for _, a := range actions {
		switch a.Kind {
		case Dial:
			p.printf("dial, attempt %d", p.m.Attempts())
		case Adopt:
			p.printf("adopt")
		case Refuse:
			p.printf("refuse%s", message(a.Msg))
		case Send:
			p.printf("%v: send%s", a.Conn, message(a.Msg))
		case Disconnect:
			p.printf("%v: disconnect%s", a.Conn, message(a.Msg))
		case Up:
			p.printf("%v: up %s", a.Conn, agreed(a.Up))
		case Down:
			kept := ""
			if a.Reason.Graceful {
				kept = "; its routes are kept"
			}
			p.printf("%v: down: %v%s", a.Conn, a.Reason, kept)
		case Forget:
			p.printf("forget its routes")
		case Failed:
			p.printf("%v: failed: %v", a.Conn, a.Reason)
		case Note:
			p.printf("note: %s", a.Text)
		}
	}
	if s := p.m.State(); s != p.state {
		p.printf("%v", s)
		p.state = s
	}
}

func message(msg []byte) string {
	if msg == nil {
		return ""
	}
	typ, n, err := wire.ParseHeader(msg, wire.MaxMsgLen)
	if err != nil || n != len(msg) {
		return fmt.Sprintf(" nonsense % x", msg)
	}
	body := msg[wire.HeaderLen:]
	switch typ {
	case wire.MsgOpen:
		o, err := wire.ParseOpen(body)
		if err != nil {
			return fmt.Sprintf(" OPEN with %v", err)
		}
		var codes []uint8
		for _, c := range wire.OpenCapabilities(body) {
			codes = append(codes, c.Code)
		}
		return fmt.Sprintf(" OPEN AS %d, hold %d, id %v, capabilities %v", o.ASN, o.HoldTime, addr4(o.ID), codes)
	case wire.MsgKeepalive:
		return " KEEPALIVE"
	}
	n2, _ := wire.ParseNotification(body)
	return " NOTIFICATION " + n2.String()
}

func agreed(e *Established) string {
	s := fmt.Sprintf("with AS %d, id %v, hold %v, keepalive %v, send hold %v,", e.RemoteASN, addr4(e.RemoteID), e.Hold, e.Keepalive, e.SendHold)
	for f := prefix.Family(0); f < prefix.Families; f++ {
		if e.Read.Families[f] {
			s += " " + f.String()
		}
		if e.Read.AddPath[f] {
			s += "+path-ids"
		}
	}
	if e.Read.AS4 {
		s += " as4"
	}
	if e.Read.EBGP {
		s += " ebgp"
	}
	if e.Refresh {
		s += " refresh"
	}
	if g := e.Restart; g.Agreed {
		s += fmt.Sprintf(" graceful: %+v", g)
	}
	if e.RemoteRole >= 0 {
		s += " role " + RoleName(uint8(e.RemoteRole))
	}
	return s
}

func (p *player) config(words []string) error {
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		var err error
		switch k {
		case "as":
			p.cfg.LocalASN, err = number(v)
		case "other-as":
			p.cfg.OtherASN, err = number(v)
		case "id":
			p.cfg.LocalID, err = id(v)
		case "remote":
			p.cfg.RemoteASN, err = number(v)
		case "hold":
			p.cfg.HoldTime, err = time.ParseDuration(v)
		case "retry":
			p.cfg.ConnectRetryTime, err = time.ParseDuration(v)
		case "passive":
			p.cfg.Passive = true
		case "families":
			p.cfg.Families = [prefix.Families]bool{strings.Contains(v, "4"), strings.Contains(v, "6")}
		case "add-path":
			p.cfg.AddPathReceive = [prefix.Families]bool{true, true}
		case "restart":
			p.cfg.Restart.Mode, p.cfg.Restart.Time = map[string]RestartMode{"off": RestartOff, "helper": RestartHelper, "both": RestartBoth}[v], 2*time.Minute
		case "long-lived":
			p.cfg.Restart.LongLived, err = time.ParseDuration(v)
		case "restarting":
			p.cfg.Restart.Restarting, p.cfg.Restart.Forwarding = true, [prefix.Families]bool{v == "4"}
		case "role", "strict-role":
			p.cfg.HasRole, p.cfg.StrictRole = true, k == "strict-role"
			var n uint32
			n, err = number(v)
			p.cfg.Role = uint8(n)
		default:
			return fmt.Errorf("unknown setting %q", w)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

// parseOpen makes an OPEN of a modern neighbor, or with "plain" of one without
// capabilities.
func parseOpen(words []string) (wire.Open, error) {
	o := wire.Open{HoldTime: 90}
	o.Capabilities = wire.Capabilities{AS4: true, RouteRefresh: true,
		Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4), wire.UnicastID(prefix.IPv6)}}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		var err error
		var n uint32
		switch k {
		case "as":
			o.ASN, err = number(v)
		case "id":
			o.ID, err = id(v)
		case "hold":
			n, err = number(v)
			o.HoldTime = uint16(n)
		case "plain":
			o.Capabilities = wire.Capabilities{}
		case "only":
			o.Capabilities.Families = []wire.FamilyID{wire.UnicastID(prefix.IPv4)}
			if v == "6" {
				o.Capabilities.Families[0] = wire.UnicastID(prefix.IPv6)
			}
		case "add-path":
			o.Capabilities.AddPath = []wire.AddPathFamily{{FamilyID: wire.UnicastID(prefix.IPv4), Mode: wire.AddPathSend}}
		case "restart": // SECONDS[,r][,n][,4][,4f]
			g := &wire.GracefulRestart{}
			fmt.Sscan(v, &g.Time)
			for _, x := range strings.Split(v, ",")[1:] {
				switch x {
				case "r":
					g.Restarting = true
				case "n":
					g.Notification = true
				case "4", "4f":
					g.Families = append(g.Families, wire.RestartFamily{FamilyID: wire.UnicastID(prefix.IPv4), Forwarding: x == "4f"})
				}
			}
			o.Capabilities.GracefulRestart = g
		case "long-lived":
			n, err = number(v)
			o.Capabilities.LongLived = []wire.LongLivedFamily{{FamilyID: wire.UnicastID(prefix.IPv4), StaleTime: n}}
		case "role":
			n, err = number(v)
			o.Capabilities.HasRole, o.Capabilities.Role = true, uint8(n)
		default:
			return o, fmt.Errorf("unknown part of an OPEN %q", w)
		}
		if err != nil {
			return o, fmt.Errorf("%s: %w", w, err)
		}
	}
	return o, nil
}

func number(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

func id(s string) (uint32, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, fmt.Errorf("%q is no BGP identifier", s)
	}
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), nil
}
