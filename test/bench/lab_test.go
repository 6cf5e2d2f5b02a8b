// Package bench measures and tries the whole router over real sockets: what a
// profile or a test of its parts cannot show.
package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/daemon"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/feed"
	"holdfast/testkit/speaker"
)

const port = 17900

// last is a route that a sender sends behind its table: who has it has all that
// came before.
func last(sender int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 18, 0, byte(sender)}), 32)
}

// table is the stream of a sender, its last route included.
func table(t *feed.Table, sender int) []byte {
	nh := netip.MustParseAddr("192.0.2.1")
	asn := uint32(65001 + sender)
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: wire.Prepend(nil, nil, asn, 1), NextHop: nh.AsSlice()}
	end := wire.AppendPrefix(nil, prefix.FromNetip(last(sender)))
	return wire.AppendUpdate(t.Sender(asn, nh).Stream(), prefix.IPv4, nil, a.Append(nil, false), nil, end)
}

// await reads until it has the last routes of so many senders. Every route must
// have the next hop that this neighbor is told.
func await(s *speaker.Speaker, senders int, nextHop netip.Addr) error {
	o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true}}
	nh := string(nextHop.AsSlice())
	for senders > 0 {
		typ, body, err := s.Next()
		if err != nil {
			return err
		}
		var u wire.Update
		if typ != wire.MsgUpdate {
			continue
		}
		if err := wire.Split(body, &o, &u); err != nil {
			return err
		}
		for b := u.Announced.Data; len(b) > 0; b = b[1+(b[0]+7)/8:] {
			if b[0] == 32 && b[1] == 198 && b[2] == 18 {
				senders--
			}
		}
		if len(u.Announced.Data) > 0 {
			var a wire.Attrs
			wire.Parse(u.Attrs, nil, &a)
			if string(a.NextHop) != nh {
				return fmt.Errorf("a next hop of %v, want %v", a.NextHop, nextHop)
			}
		}
	}
	return nil
}

func routerAddr(i int) netip.Addr   { return netip.AddrFrom4([4]byte{127, 0, 2, byte(1 + i)}) }
func neighborAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 3, byte(1 + i)}) }

// router is one with neighbors that are up.
type router struct {
	neighbors []*speaker.Speaker
	stop      func()
}

// start runs a router with n passive neighbors that pass everything, AS 65001
// and up. Neighbor i talks to the router's address(i).
func start(tb testing.TB, n int, address func(int) netip.Addr) *router {
	tb.Helper()
	var cfg strings.Builder
	var listen []string
	for i := range n {
		if a := fmt.Sprintf("%q", netip.AddrPortFrom(address(i), port)); !slices.Contains(listen, a) {
			listen = append(listen, a)
		}
		fmt.Fprintf(&cfg, "neighbor \"n%d\" {\n address = %q\n asn = %d\n passive = true\n families = [\"ipv4\"]\n import = policy.all\n export = policy.all\n}\n", i, neighborAddr(i), 65001+i)
	}
	dir := tb.TempDir()
	file := filepath.Join(dir, "holdfast.hcl")
	text := fmt.Sprintf("router {\n asn = 65000\n id = \"192.0.2.254\"\n kernel = false\n listen = [%s]\n}\npolicy \"all\" {\n rule \"rest\" { then = \"accept\" }\n}\n%s", strings.Join(listen, ", "), cfg.String())
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	gc := debug.SetGCPercent(daemon.GCPercent)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- daemon.Run(ctx, daemon.Options{ConfigPath: file, StateDir: dir, SocketPath: filepath.Join(dir, "s"), Log: slog.New(slog.DiscardHandler)})
	}()
	r := &router{}
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		for _, s := range r.neighbors {
			s.Close()
		}
		if err := <-done; err != nil {
			tb.Error(err)
		}
		debug.SetGCPercent(gc)
	}
	tb.Cleanup(r.stop)
	within, enough := context.WithTimeout(ctx, 30*time.Second)
	defer enough()
	for i := range n {
		s, err := speaker.Connect(within, speaker.Config{Local: neighborAddr(i), Remote: netip.AddrPortFrom(address(i), port), ASN: uint32(65001 + i)})
		if err != nil {
			tb.Fatal(err)
		}
		r.neighbors = append(r.neighbors, s)
	}
	return r
}
