package daemon

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fib"
	"holdfast/internal/kernel"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

const restartText = `policy "all" {
  rule "all" { then = "accept" }
}
originate "ours" {
  prefixes = ["192.0.2.0/24"]
}
neighbor "a" {
  address = "10.0.0.5"
  asn     = 65001
  passive = true
  import  = policy.all
  export  = policy.all
}
neighbor "b" {
  address = "10.0.0.6"
  asn     = 65002
  passive = true
  graceful_restart_time = "60s"
  import  = policy.all
  export  = policy.all
}
`

// helps is what a neighbor says that keeps our routes over a restart.
var helps = &wire.GracefulRestart{Notification: true, Time: 90}

// heard is what a router has sent until now.
func (c caller) heard() string {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Millisecond)) // of the bubble's clock
	data, _ := io.ReadAll(c)
	var all []string
	for len(data) > 0 {
		typ, n, err := wire.ParseHeader(data, wire.MaxMsgLen)
		if err != nil {
			c.t.Fatal(err)
		}
		if s := said(c.t, typ, data[wire.HeaderLen:n]); s != "" {
			all = append(all, s)
		}
		data = data[n:]
	}
	return strings.Join(all, ", ")
}

func said(t *testing.T, typ uint8, body []byte) string {
	switch typ {
	case wire.MsgOpen:
		o, err := wire.ParseOpen(body)
		if err != nil {
			t.Fatal(err)
		}
		s := "OPEN"
		if g := o.Capabilities.GracefulRestart; g != nil {
			if g.Restarting {
				s += " R"
			}
			for _, f := range g.Families {
				if x, _ := f.Family(); f.Forwarding {
					s += " F " + x.String()
				}
			}
		}
		return s
	case wire.MsgUpdate:
		var u wire.Update
		o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true, true}}
		if err := wire.Split(body, &o, &u); err != nil {
			t.Fatal(err)
		}
		if f, end := u.EndOfRIB(); end {
			return "end of " + f.String()
		}
		routes, _ := u.Announced.Decode(nil)
		gone, _ := u.Withdrawn.Decode(nil)
		s := ""
		for _, r := range routes {
			s += "+" + r.Prefix.String()
			if block, v := u.Validate(&o, false, nil); v.Action == wire.Accept {
				var a wire.Attrs
				wire.Parse(block, nil, &a)
				if len(a.Communities) > 0 {
					s += fmt.Sprintf(" %x", a.Communities)
				}
			}
		}
		for _, r := range gone {
			s += "-" + r.Prefix.String()
		}
		return s
	case wire.MsgNotification:
		x, _ := wire.ParseNotification(body)
		return x.String()
	}
	return ""
}

func (c caller) want(what, want string) {
	c.t.Helper()
	synctest.Wait()
	if got := c.heard(); got != want {
		c.t.Errorf("%s: the neighbor heard %q, want %q", what, got, want)
	}
}

func (c caller) endOfRIB() {
	c.t.Helper()
	if _, err := c.Write(wire.AppendEndOfRIB(wire.AppendEndOfRIB(nil, prefix.IPv4), prefix.IPv6)); err != nil {
		c.t.Error(err)
	}
	synctest.Wait()
}

const (
	cold   = "OPEN, +192.0.2.0/24, end of ipv4"
	warm   = "OPEN R F ipv4"
	routes = "+192.0.2.0/24, end of ipv4"
)

// TestRestart: a router that comes back says so, and keeps silent until the
// neighbors that were there have sent theirs. The first start is not delayed.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := newLAN(t, dir)
		l.configure(restartText)
		l.takeNote("")
		a, b := l.callWith("10.0.0.5", 65001, helps), l.callWith("10.0.0.6", 65002, nil)
		a.want("the first start", cold)
		b.want("the first start", cold)
		l.takeNote("")
		stop(l.endAsConfigured)
		a.want("an end to restart, with RFC 8538", "Cease: administrative reset (6/4)")
		b.want("an end to restart, without graceful restart", "Cease: administrative shutdown (6/2)")

		l, stop = newLAN(t, dir)
		l.configure(restartText)
		l.takeNote("")
		a = l.callWith("10.0.0.5", 65001, helps)
		a.want("the second start", warm)
		a.endOfRIB()
		pass(3 * time.Second)
		a.want("while one is missing", "")
		b = l.callWith("10.0.0.6", 65002, &wire.GracefulRestart{Time: 90})
		b.want("one that comes late", warm)
		b.endOfRIB()
		a.want("when all have sent theirs", routes)
		b.want("when all have sent theirs", routes)
		l.takeNote("")
		b.Close()
		synctest.Wait()
		pass(time.Second)
		b = l.callWith("10.0.0.6", 65002, &wire.GracefulRestart{Time: 90})
		b.want("later sessions are of no restart", "OPEN F ipv4, "+routes)
		stop(l.endAsConfigured)
		b.want("an end to restart, without RFC 8538", "")
		if _, err := b.Write([]byte{0}); err == nil {
			if _, err = b.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is still there")
			}
		}
	})
}

// TestRestartAgain: who is killed while he waits for neighbors comes back to wait
// for the same ones; the wait has an end.
func TestRestartAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := newLAN(t, dir)
		l.configure(restartText)
		l.callWith("10.0.0.5", 65001, helps)
		l.callWith("10.0.0.6", 65002, helps)
		l.takeNote("")
		for range 2 {
			stop(func() { l.sessions.Close("") }) // of which nothing is noted
			l, stop = newLAN(t, dir)
			l.configure(restartText)
			l.takeNote("")
		}
		if up := l.restarts.written.Up; fmt.Sprint(up) != "[a b]" {
			t.Errorf("what is noted to be up is %v", up)
		}
		a := l.callWith("10.0.0.5", 65001, helps)
		a.endOfRIB()
		pass(comeBack - 5*time.Second)
		a.want("within the time", warm)
		l.takeNote("")
		pass(6 * time.Second)
		l.takeNote("") // by which the engine sees the clock
		a.want("after it", routes)
	})
}

// TestNoRestart: what is no restart.
func TestNoRestart(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(r *run)
	}{
		{"the machine has booted", func(r *run) { r.Boot = "another" }},
		{"another network namespace", func(r *run) { r.Network = "net:[1]" }},
		{"it was for good", func(r *run) { r.Ended = endedForGood }},
		{"too long ago", func(r *run) { r.Alive -= 121 }},
		{"in the future", func(r *run) { r.Alive += 1000 }},
	} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			l, stop := newLAN(t, dir)
			l.configure(restartText)
			l.callWith("10.0.0.6", 65002, nil)
			l.takeNote("")
			r := l.restarts.written
			c.edit(&r)
			if err := l.restarts.note.Write(r); err != nil {
				t.Fatal(err)
			}
			stop(func() { l.sessions.Close("") })
			l, _ = newLAN(t, dir)
			l.configure(restartText)
			l.callWith("10.0.0.5", 65001, helps).want(c.name, cold)
		})
	}
}

// TestNoteIsBroken: a note that cannot be read is none.
func TestNoteIsBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := newLAN(t, dir)
		l.configure(restartText)
		l.takeNote(endedToRestart)
		l.takeNote("") // too late
		stop(func() { l.sessions.Close("") })
		note := filepath.Join(dir, "state", "run.json")
		if text, err := os.ReadFile(note); err != nil || !strings.Contains(string(text), `"ended":"restart"`) {
			t.Errorf("the note says %s, %v", text, err)
		}
		if err := os.WriteFile(note, []byte(`{"boot":`), 0o600); err != nil {
			t.Fatal(err)
		}
		l, _ = newLAN(t, dir)
		l.configure(restartText)
		l.callWith("10.0.0.5", 65001, helps).want("without a note", cold)
	})
}

// TestHandOver: a router that is started while another one ends waits for it.
func TestHandOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := newLAN(t, dir)
		l.configure(restartText)
		l.call("10.0.0.6", 65002) // which does not close
		began := time.Now()
		go stop(l.endAsConfigured)
		synctest.Wait()
		newLAN(t, dir)
		if took := time.Since(began); took < time.Second || took > 4*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// TestForwarding: neighbors are told that packets went on where kernel routes are
// there, or where there were none and none were needed.
func TestForwarding(t *testing.T) {
	for _, c := range []struct {
		name   string
		kernel bool
		had    []string
		has    []fib.Route
		want   [prefix.Families]bool
	}{
		{"nothing to forward by", false, nil, nil, [prefix.Families]bool{true, true}},
		{"all is there", true, []string{"ipv4", "ipv6"}, []fib.Route{{Prefix: prefix.MustParse("10.0.0.0/8")}, {Prefix: prefix.MustParse("2001:db8::/32")}}, [prefix.Families]bool{true, true}},
		{"one family is gone", true, []string{"ipv4", "ipv6"}, []fib.Route{{Prefix: prefix.MustParse("2001:db8::/32")}}, [prefix.Families]bool{false, true}},
		{"there was one family", true, []string{"ipv4"}, []fib.Route{{Prefix: prefix.MustParse("10.0.0.0/8")}}, [prefix.Families]bool{true, true}},
		{"there has never been any", true, nil, nil, [prefix.Families]bool{true, true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, _ := newLAN(t, t.TempDir())
			l.configure(restartText)
			r := &l.restarts
			r.earlier, r.found = r.here, true
			r.earlier.Alive, r.earlier.Kernel, r.earlier.Up = uptime(), c.had, []string{"a", "b", "c", "lan/10.0.0.1"}
			if c.kernel {
				l.kernel = &kernel.Kernel{}
				defer func() { l.kernel = nil }()
			}
			cfg := l.configuredOnly()
			configured(cfg, "b").Shutdown = true
			d := l.revive(cfg, c.has)
			if d == nil || r.forwarding != c.want || !r.going.Load() {
				t.Fatalf("%s: %v, forwarding %v, want %v", c.name, d, r.forwarding, c.want)
			}
			if fmt.Sprint(d.Await) != "[a]" || d.End < 44 || d.End > 45 || d.Come != 30 {
				t.Errorf("%s: %+v", c.name, d)
			}
		})
	}
}
