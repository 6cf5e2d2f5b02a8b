package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/metrics"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rtr"
	"holdfast/internal/session"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

// memNet is the session.Net of our router in a memnet.
type memNet struct{ *memnet.Network }

func (n memNet) Listen(at netip.AddrPort) (net.Listener, error)            { return n.Network.Listen(at) }
func (n memNet) Password(net.Listener, netip.Prefix, string) error         { return nil }
func (n memNet) Absent(netip.Addr) bool                                    { return false }
func (n memNet) Segments(net.Listener, uint16) error                       { return nil }
func (n memNet) Accepted(net.Conn, session.Transport) error                { return nil }
func (n memNet) Addresses(_, _ netip.Addr) (found session.Addresses)       { return found }
func (n memNet) Dial(context.Context, session.Transport) (net.Conn, error) { return nil, io.EOF }

// lan is a router in a bubble with a memnet around it.
type lan struct {
	*daemon
	t    *testing.T
	net  *memnet.Network
	logs strings.Builder
}

const rangeText = `policy "all" {
  rule "all" { then = "accept" }
}
neighbor_range "lan" {
  addresses = ["10.0.0.0/16", "2001:db8::/64"]
  asns      = ["65001-65099"]
  limit     = 3
  families  = ["ipv4", "ipv6"]
  import    = policy.all
  export    = policy.all
}
`

// inLAN runs a test in virtual time with a router that has rangeText.
func inLAN(t *testing.T, test func(t *testing.T, l *lan)) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := newLAN(t, t.TempDir())
		l.configure(rangeText)
		test(t, l)
	})
}

// newLAN starts a router in a directory, without a configuration. It stops at the
// end of the test, or with stop, which is given what ends the sessions.
func newLAN(t *testing.T, dir string) (l *lan, stop func(end func())) {
	l = &lan{t: t, net: memnet.New()}
	log := slog.New(slog.NewTextHandler(&l.logs, nil))
	l.daemon = &daemon{Options: Options{ConfigPath: filepath.Join(dir, "c.hcl"), StateDir: filepath.Join(dir, "state"), Log: log},
		engine: engine.New(log), ids: &numbers{}, sooner: make(chan struct{}, 1), left: make(chan struct{}), links: newLinks()}
	if err := l.remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if l.bfd, err = bfd.NewDriver(log, l.bfdChanged); err != nil {
		t.Fatal(err)
	}
	l.sessions = session.New(l.engine, log, session.WithNet(memNet{l.net}), session.WithWelcome(l.welcome))
	l.metrics = metrics.NewServer(l.figures, log)
	l.vrps = rtr.New(log, rtr.Dial, l.validate)
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	parts.Go(func() { l.engine.Run(ctx) })
	parts.Go(func() { l.sweep(ctx) })
	var once sync.Once
	stop = func(end func()) {
		once.Do(func() {
			l.links.close()
			l.vrps.Close()
			end()
			l.bfd.Close()
			cancel()
			parts.Wait()
			l.state.Close()
			if t.Failed() {
				t.Log(l.logs.String())
			}
		})
	}
	t.Cleanup(func() { stop(func() { l.sessions.Close("") }) })
	return l, stop
}

func (l *lan) configure(text string) api.ReloadResult {
	l.t.Helper()
	text = "router {\n  asn    = 64500\n  id     = \"192.0.2.1\"\n  listen = [\"10.0.0.1:179\"]\n  kernel = false\n}\n" + text
	if err := os.WriteFile(l.ConfigPath, []byte(text), 0o600); err != nil {
		l.t.Fatal(err)
	}
	r, err := l.reload()
	if err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
	return r
}

// caller is a router of few words.
type caller struct {
	t *testing.T
	*memnet.Conn
}

// call connects and sends an OPEN.
func (l *lan) call(from string, asn uint32) caller {
	l.t.Helper()
	return l.callWith(from, asn, nil)
}

// callWith is call by a router with graceful restart.
func (l *lan) callWith(from string, asn uint32, restart *wire.GracefulRestart) caller {
	l.t.Helper()
	c, err := l.net.Dial(l.t.Context(), netip.MustParseAddr(from), netip.MustParseAddrPort("10.0.0.1:179"))
	if err != nil {
		l.t.Fatal(err)
	}
	o := wire.Open{ASN: asn, ID: 0x0a000000 + asn, Capabilities: wire.Capabilities{AS4: true, GracefulRestart: restart,
		Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4), wire.UnicastID(prefix.IPv6)}}}
	if _, err := c.Write(wire.AppendKeepalive(wire.AppendOpen(nil, &o))); err != nil {
		l.t.Fatal(err)
	}
	synctest.Wait()
	return caller{l.t, c}
}

// announce announces 192.0.2.0/24 from AS 65001.
func (c caller) announce(nextHop netip.Addr) {
	c.t.Helper()
	attrs := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: nextHop.AsSlice(), ASPath: []byte{wire.SegSequence, 1, 0, 0, 0xfd, 0xe9}}
	if _, err := c.Write(wire.AppendUpdate(nil, prefix.IPv4, nil, attrs.Append(nil, false), nil, []byte{24, 192, 0, 2})); err != nil {
		c.t.Fatal(err)
	}
	synctest.Wait()
}

// ended reads everything, and what NOTIFICATION is at the end.
func (c caller) ended() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(5 * time.Second)) // of the bubble's clock
	all, err := io.ReadAll(c)
	c.Close()
	if err != nil {
		return err.Error()
	}
	for len(all) > 0 {
		typ, n, err := wire.ParseHeader(all, wire.MaxMsgLen)
		if err != nil {
			c.t.Fatal(err)
		}
		if typ == wire.MsgNotification {
			x, _ := wire.ParseNotification(all[wire.HeaderLen:n])
			return x.String()
		}
		all = all[n:]
	}
	return "nothing"
}

// names has all neighbors, with "+" those that are up.
func (l *lan) names() string {
	l.t.Helper()
	all, err := newRouter(l.daemon).Neighbors(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	var names []string
	for _, n := range all {
		name := n.Name
		if n.State == api.Established {
			name += "+"
		}
		if dynamic := strings.Contains(n.Name, "/"); dynamic != (n.Range == "lan") {
			l.t.Errorf("%s is of range %q", n.Name, n.Range)
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

func (l *lan) want(names string) {
	l.t.Helper()
	synctest.Wait()
	if got := l.names(); got != names {
		l.t.Errorf("the neighbors are %q, want %q", got, names)
	}
}

func pass(d time.Duration) {
	time.Sleep(d) // of the bubble's clock
	synctest.Wait()
}

// TestRange: who may come comes, is a neighbor like others, and leaves nothing
// behind.
func TestRange(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		a, b := l.call("10.0.0.5", 65001), l.call("2001:db8::7", 65002)
		l.want("lan/10.0.0.5+ lan/2001:db8::7+")
		for asn, want := range map[uint32]string{
			65100: "OPEN message error: bad AS number (2/2)",
			64500: "OPEN message error: bad AS number (2/2)", // our own, in which everything passes
		} {
			if got := l.call("10.0.0.6", asn).ended(); got != want {
				t.Errorf("AS %d: %s, want %s", asn, got, want)
			}
		}
		c := l.call("10.0.0.8", 65001)
		if got := l.call("10.0.0.9", 65009).ended(); got != "Cease: connection rejected (6/5)" {
			t.Errorf("over the limit: %s", got)
		}
		a.Close()
		l.want("lan/10.0.0.5 lan/10.0.0.8+ lan/2001:db8::7+")
		pass(keepLeft / 2)
		a = l.call("10.0.0.5", 65001) // the same one again
		pass(2 * keepLeft)
		l.want("lan/10.0.0.5+ lan/10.0.0.8+ lan/2001:db8::7+")
		for _, x := range []caller{a, b, c} {
			x.Close()
		}
		pass(keepLeft + sweepEvery)
		l.want("")
		if len(l.ids.given) > 0 || l.ids.last != 3 {
			t.Errorf("numbers: %+v", l.ids)
		}
		if got := l.call("10.0.0.5", 65003).ended(); !strings.Contains(got, "timeout") { // of the test: it is up
			t.Errorf("another AS, later: %s", got)
		}
	})
}

// TestRangeMakesRoom: at the limit, who has no session any more goes sooner.
func TestRangeMakesRoom(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		a, b := l.call("10.0.0.5", 65001), l.call("10.0.0.6", 65001)
		l.call("10.0.0.7", 65001)
		b.Close()
		pass(time.Second)
		a.Close()
		pass(settled - 2*time.Second)
		if got := l.call("10.0.0.8", 65001).ended(); got != "Cease: connection rejected (6/5)" {
			t.Errorf("one that may be about to come back has to go: %s", got)
		}
		pass(2 * time.Second)
		l.call("10.0.0.8", 65001)
		l.want("lan/10.0.0.5 lan/10.0.0.7+ lan/10.0.0.8+")
	})
}

// TestRangeKeepsRoutes: the routes of a neighbor of a range that restarts stay for
// as long as it has asked for, and so does its place, unless somebody else needs it.
func TestRangeKeepsRoutes(t *testing.T) {
	restart := &wire.GracefulRestart{Time: 150, Families: []wire.RestartFamily{{FamilyID: wire.UnicastID(prefix.IPv4), Forwarding: true}}}
	inLAN(t, func(t *testing.T, l *lan) {
		paths := func() (n int) {
			all, err := l.engine.States(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range all {
				n += s.Families[prefix.IPv4].Paths
			}
			return n
		}
		a := l.callWith("10.0.0.5", 65001, restart)
		a.announce(netip.MustParseAddr("10.0.0.5"))
		b, c := l.call("10.0.0.6", 65002), l.call("10.0.0.7", 65003)
		a.Close()
		pass(2 * keepLeft)
		l.want("lan/10.0.0.5 lan/10.0.0.6+ lan/10.0.0.7+")
		if n := paths(); n != 1 {
			t.Errorf("%d routes are kept, want 1", n)
		}
		b.Close()
		pass(settled + time.Second)
		l.call("10.0.0.8", 65001)
		l.want("lan/10.0.0.5 lan/10.0.0.7+ lan/10.0.0.8+") // not 5, which has gone before 6
		c.Close()
		pass(150*time.Second - 2*keepLeft + sweepEvery) // within the minute of 7
		l.want("lan/10.0.0.7 lan/10.0.0.8+")
		if n := paths(); n != 0 {
			t.Errorf("%d routes are left", n)
		}
	})
}

// TestRangeReloads: what changes for a range changes for those who are here.
func TestRangeReloads(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		a, b, c := l.call("10.0.0.5", 65001), l.call("10.0.0.6", 65002), l.call("10.0.0.7", 65003)
		if r := l.configure(rangeText); r.Changed || len(r.Reset)+len(r.Pending) > 0 {
			t.Errorf("the same again: %+v", r)
		}
		r := l.configure(strings.Replace(rangeText, "limit     = 3", "hold_time = \"30s\"", 1))
		if got := strings.Join(r.Pending, " "); got != "lan/10.0.0.5 lan/10.0.0.6 lan/10.0.0.7" {
			t.Errorf("pending: %s", got)
		}
		if got := fmt.Sprint(r.Changes); !strings.Contains(got, `neighbor_range "lan"`) || strings.Contains(got, "lan/") {
			t.Errorf("changes: %s", got)
		}
		if checked, err := newRouter(l.daemon).Check(t.Context()); err != nil || len(checked.Changes) > 0 {
			t.Errorf("check: %+v, %v", checked, err)
		}
		// One gets a block of its own, another AS is not allowed any more.
		r = l.configure(strings.Replace(rangeText, "65001-65099", "65003-65004", 1) + `neighbor "own" {
  address = "10.0.0.5"
  asn     = 65001
  passive = true
}
`)
		if got := strings.Join(r.Reset, " "); got != "lan/10.0.0.5 lan/10.0.0.6" {
			t.Errorf("reset: %s", got)
		}
		for _, x := range []caller{a, b} {
			if got := x.ended(); got != "Cease: neighbor deconfigured (6/3)" {
				t.Errorf("ended: %s", got)
			}
		}
		l.want("lan/10.0.0.7+ own")
		l.call("10.0.0.5", 65001)
		l.want("lan/10.0.0.7+ own+")
		l.configure("")
		if got := c.ended(); got != "Cease: neighbor deconfigured (6/3)" {
			t.Errorf("ended with the range: %s", got)
		}
		l.want("")
		got, err := l.net.Dial(t.Context(), netip.MustParseAddr("10.0.0.7"), netip.MustParseAddrPort("10.0.0.1:179"))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(got); len(b) > 0 {
			t.Errorf("a range that is gone answers % x, %v", b, err)
		}
	})
}

// TestRangeShutDown: a neighbor that an operator keeps down stays down, also when
// it comes again after a restart; and a whole range can be shut down.
func TestRangeShutDown(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		a := l.call("10.0.0.5", 65001)
		if err := l.takeDown("lan/10.0.0.5", down{Reason: "spoofed", Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
		const want = `Cease: administrative shutdown (6/2), "spoofed"`
		if got := a.ended(); got != want {
			t.Error(got)
		}
		pass(3 * keepLeft)
		if got := l.call("10.0.0.5", 65001).ended(); got != want {
			t.Error(got)
		}
		l.want("lan/10.0.0.5")
		// As after a restart: the file is there, the neighbor is not.
		l.applying.Lock()
		l.leave(members(l.running))
		l.applying.Unlock()
		l.configure(rangeText)
		if got := l.call("10.0.0.5", 65001).ended(); got != want {
			t.Error(got)
		}
		if err := l.enable("lan/10.0.0.5", ""); err != nil {
			t.Error(err)
		}
		pass(time.Second)
		a = l.call("10.0.0.5", 65001)
		l.want("lan/10.0.0.5+")
		l.configure(strings.Replace(rangeText, "limit     = 3", "shutdown  = \"moving\"", 1))
		const moving = `Cease: administrative shutdown (6/2), "moving"`
		if got := a.ended(); got != moving {
			t.Error(got)
		}
		if got := l.call("10.0.0.6", 65001).ended(); got != moving {
			t.Error(got)
		}
	})
}

// TestNumbersAreUsedAgain: a range whose neighbors come once has numbers for
// ever.
func TestNumbersAreUsedAgain(t *testing.T) {
	inLAN(t, func(t *testing.T, l *lan) {
		l.ids.last = math.MaxUint16 - 2
		a := netip.MustParseAddr("10.0.1.0")
		for range 50 {
			a = a.Next()
			c := l.call(a.String(), 65001)
			if got := l.names(); !strings.Contains(got, a.String()+"+") {
				t.Fatalf("%v is not up: %s", a, got)
			}
			c.announce(a)
			if s, err := l.engine.States(t.Context()); err != nil || s[l.ids.find(members(l.running)[0])].Families[prefix.IPv4].Accepted != 1 {
				t.Fatalf("%v: its route is not there: %v", a, err)
			}
			c.Close()
			pass(keepLeft + sweepEvery)
		}
	})
}

// TestNumbers: IDs of neighbors with blocks are never used again, and that there
// are no more is said.
func TestNumbers(t *testing.T) {
	m := &numbers{last: math.MaxUint16 - 1}
	n := func(name string) *config.Neighbor { return &config.Neighbor{Name: name} }
	first, err := m.of(n("a"))
	if again, err2 := m.of(n("a")); err != nil || err2 != nil || first != math.MaxUint16 || again != first {
		t.Errorf("%d, %v, %d, %v", first, err, again, err2)
	}
	if _, err := m.clone().of(n("b")); err == nil || !strings.Contains(err.Error(), "restart it") {
		t.Errorf("one too many: %v", err)
	}
	m.leave(n("a"))
	m.leave(n("a"))
	if len(m.left) != 1 || !m.full() {
		t.Errorf("left: %v", m.left)
	}
	m.unused([]packet.ID{first})
	if id, err := m.of(n("b")); err != nil || id != first || len(m.left)+len(m.free) > 0 {
		t.Errorf("%d, %v, %+v", id, err, m)
	}
}

// TestTooEarly: who connects to a router that could not be started is turned
// away.
func TestTooEarly(t *testing.T) {
	c := (&daemon{}).welcome("lan", netip.MustParseAddr("10.0.0.5"), 65001)
	if c == nil || c.Code != wire.CodeCease || c.Subcode != wire.CeaseRejected {
		t.Errorf("it is told %v", c)
	}
}

// TestRangeStorm has routers come and go while configurations change. What is
// left in the end is what is there: the same in the configuration, in the
// engine, among the sessions and among the numbers.
func TestRangeStorm(t *testing.T) {
	variants := []string{rangeText, strings.Replace(rangeText, "limit     = 3", "limit     = 8\n  hold_time = \"30s\"", 1),
		strings.Replace(rangeText, "65001-65099", "65001-65002", 1), "", strings.Replace(rangeText, "limit     = 3", "shutdown  = true", 1),
		rangeText + "neighbor \"own\" {\n  address = \"10.0.0.3\"\n  asn     = 65001\n  passive = true\n}\n"}
	for seed := range uint64(8) {
		inLAN(t, func(t *testing.T, l *lan) {
			var all sync.WaitGroup
			for i := range 6 {
				r := rand.New(rand.NewPCG(seed, uint64(i)))
				all.Go(func() {
					for range 30 {
						time.Sleep(time.Duration(r.IntN(20_000)) * time.Millisecond) // of the bubble's clock
						from := netip.AddrFrom4([4]byte{10, 0, 0, byte(2 + r.IntN(9))})
						c, err := l.net.Dial(t.Context(), from, netip.MustParseAddrPort("10.0.0.1:179"))
						if err != nil {
							continue
						}
						asn := uint32(65001 + r.IntN(4))
						o := wire.Open{ASN: asn, ID: 0x0a000000 + asn, HoldTime: 60, Capabilities: wire.Capabilities{AS4: true, Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4)}}}
						msg := wire.AppendKeepalive(wire.AppendOpen(nil, &o))
						c.Write(msg[:1+r.IntN(len(msg))])
						stays := time.Duration(r.IntN(100)) * time.Second
						all.Go(func() {
							go io.Copy(io.Discard, c) // ends with the connection
							time.Sleep(stays)
							c.Close()
						})
					}
				})
			}
			r := rand.New(rand.NewPCG(seed, 99))
			for range 20 {
				time.Sleep(time.Duration(r.IntN(30_000)) * time.Millisecond)
				l.configure(variants[r.IntN(len(variants))])
				now, _, _ := l.current()
				if some := members(now); len(some) > 0 && r.IntN(3) == 0 {
					name := some[0].Name
					if l.takeDown(name, down{Reason: "storm", Since: time.Now()}) == nil && r.IntN(2) == 0 {
						_ = l.enable(name, "") // it may be gone
					}
				}
			}
			all.Wait()
			l.configure(rangeText)
			pass(time.Minute)
			now, _, _ := l.current()
			for _, n := range members(now) {
				_ = l.enable(n.Name, "") // what limits or commands keep down
			}
			pass(2 * keepLeft)
			l.want("")
			delete(l.ids.given, identity{name: "own", asn: 65001, localASN: 64500, table: config.MainTable}) // for ever
			if len(l.ids.given) > 0 {
				t.Errorf("seed %d: numbers are left: %v", seed, l.ids.given)
			}
			l.findUnused()
			if len(l.ids.left) > 0 {
				t.Errorf("seed %d: the engine still uses %v", seed, l.ids.left)
			}
			l.call("10.0.0.5", 65001)
			l.want("lan/10.0.0.5+")
		})
	}
}
