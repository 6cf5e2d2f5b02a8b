package daemon

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestBFDWhileRestarting: while a neighbor restarts gracefully, its BFD says
// nothing about its forwarding, unless it has set the C bit (RFC 5882 section
// 4.3). What we have gone on with over a restart of ours does not count before.
func TestBFDWhileRestarting(t *testing.T) {
	for _, c := range []struct {
		what string
		bfd.Change
		want string
	}{
		{"C bit clear", bfd.Change{What: bfd.Failed, Status: bfd.Status{Failed: bfd.DiagExpired}}, ""},
		{"C bit set", bfd.Change{What: bfd.Failed, Status: bfd.Status{Failed: bfd.DiagExpired, RemoteIndependent: true}}, "-203.0.113.0/24"},
		{"it goes on", bfd.Change{What: bfd.GoesOn, Status: bfd.Status{RemoteIndependent: true}}, ""},
		{"it comes up", bfd.Change{What: bfd.CameUp, Status: bfd.Status{RemoteIndependent: true}}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, _ := newLAN(t, t.TempDir())
			l.configure(restartText)
			a := l.callWith("10.0.0.5", 65001, &wire.GracefulRestart{Time: 90, Families: []wire.RestartFamily{{FamilyID: wire.UnicastID(prefix.IPv4), Forwarding: true}}})
			b := l.callWith("10.0.0.6", 65002, helps)
			attrs := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 0, 0, 5}, ASPath: []byte{wire.SegSequence, 1, 0, 0, 0xfd, 0xe9}}
			if _, err := a.Write(wire.AppendUpdate(nil, prefix.IPv4, nil, attrs.Append(nil, false), nil, []byte{24, 203, 0, 113})); err != nil {
				t.Fatal(err)
			}
			a.endOfRIB()
			if heard := b.heard(); !strings.Contains(heard, "+203.0.113.0/24") {
				t.Fatalf("%s: b has heard %q", c.what, heard)
			}
			a.Close()
			b.want(c.what+", while it restarts", "")
			c.Name = "a"
			l.bfdChanged(c.Change)
			pass(time.Second)
			b.want(c.what, c.want)
		})
	}
}

// bfdLAN is a router that has its state and BFD, and no more.
func bfdLAN(t *testing.T, dir string) *daemon {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	d := &daemon{Options: Options{StateDir: dir, Log: log}, engine: engine.New(log)}
	if err := d.remember(t.Context()); err != nil {
		t.Fatal(err)
	}
	var err error
	if d.bfd, err = bfd.NewDriver(log, d.bfdChanged); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.state.Close)
	return d
}

// TestBFDNote: a router goes on with what the one before it has noted, if that
// was just before and in the same place.
func TestBFDNote(t *testing.T) {
	// Nobody is there, which takes a while to find out.
	kept := bfd.Kept{
		Session: bfd.Session{Name: "a", Remote: netip.MustParseAddr("127.0.0.2"), Local: netip.MustParseAddr("127.0.0.1"),
			Timers: bfd.Timers{Interval: time.Minute, MinReceive: time.Minute, Multiplier: 3}},
		Port: 50123, Discr: 7, RemoteDiscr: 8, RemoteState: bfd.Up, RemoteMinTx: time.Minute, RemoteMinRx: time.Minute, RemoteMultiplier: 10,
		RemoteIndependent: true, Since: time.Now().Add(-time.Hour).UTC(),
	}
	for _, c := range []struct {
		what  string
		edit  func(r *run, b *bfdNote)
		found bool
	}{
		{"the same", func(*run, *bfdNote) {}, true},
		{"it was killed", func(r *run, b *bfdNote) { b.Left, r.Ended = 0, "" }, true},
		{"the machine has booted", func(r *run, b *bfdNote) { r.Boot, b.Boot = "another", "another" }, false},
		{"another network namespace", func(r *run, b *bfdNote) { r.Network, b.Network = "net:[1]", "net:[1]" }, false},
		{"of another run", func(r *run, b *bfdNote) { b.Network = "net:[1]" }, false},
		{"it was for good", func(r *run, b *bfdNote) { r.Ended = endedForGood }, false},
		{"too long ago", func(r *run, b *bfdNote) { b.Left -= 31 }, false},
	} {
		dir := t.TempDir()
		d := bfdLAN(t, dir)
		d.bfd.Resume([]bfd.Kept{kept})
		until(t, "the session", func() bool { return len(d.bfd.Kept()) == 1 })
		d.noteBFD(false)
		d.bfd.Pause()
		d.bfd.Close()
		d.noteBFD(true)
		d.noteBFD(false) // too late
		d.state.Close()

		r, b := d.restarts.here, bfdNote{}
		r.Ended = endedToRestart
		text, err := os.ReadFile(filepath.Join(dir, "bfd.json"))
		if err == nil {
			err = json.Unmarshal(text, &b)
		}
		if err != nil || b.Left == 0 || len(b.Sessions) != 1 || b.Sessions[0] != kept {
			t.Fatalf("it has noted %s, %v", text, err)
		}
		c.edit(&r, &b)
		next := bfdLAN(t, dir)
		next.restarts.earlier, next.restarts.found = r, true
		if err := next.restarts.bfd.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := next.resumeBFD(); err != nil {
			t.Fatal(err)
		}
		if !c.found {
			next.bfd.Close()
			if next.bfd.Kept() != nil || next.restarts.bfdEarlier != nil {
				t.Errorf("%s: it goes on with %v", c.what, next.restarts.bfdEarlier)
			}
			continue
		}
		until(t, "the session", func() bool { return len(next.bfd.Kept()) == 1 })
		if s := next.bfd.Kept()[0]; s != kept {
			t.Errorf("%s: it goes on with %+v", c.what, s)
		}
		// An end for good leaves nothing.
		next.bfd.Close()
		next.noteBFD(true)
		if text, _ := os.ReadFile(filepath.Join(dir, "bfd.json")); !strings.Contains(string(text), `"sessions":null`) {
			t.Errorf("%s: an end for good has left %s", c.what, text)
		}
	}
}

// TestBFDNotYet: who has to be found first, or to connect, is still watched when
// the configuration is there.
func TestBFDNotYet(t *testing.T) {
	cfg := &config.Config{Ranges: []*config.Range{{Name: "lan", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}}}
	for _, n := range []struct {
		name, address string
		on            bool
	}{{"plain", "192.0.2.1", true}, {"found", "fe80::1", true}, {"to-find", "", true}, {"off", "", false}} {
		x := &config.Neighbor{Name: n.name}
		if n.address != "" {
			x.Transport.Address = netip.MustParseAddr(n.address)
		}
		x.BFD.On = n.on
		cfg.Neighbors = append(cfg.Neighbors, x)
	}
	var got []string
	for _, name := range []string{"plain", "found", "to-find", "off", "gone", "lan/10.0.0.7", "lan/11.0.0.7", "other/10.0.0.7"} {
		if notYet(cfg, name) {
			got = append(got, name)
		}
	}
	if fmt.Sprint(got) != "[to-find lan/10.0.0.7]" {
		t.Errorf("%v", got)
	}
}
