// Package bench measures and tries the whole router over real sockets: what a
// profile or a test of its parts cannot show.
package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
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
)

const port = 17900

// speaker is a neighbor of the router under test.
type speaker struct {
	conn *net.TCPConn
	r    *bufio.Reader
	buf  [wire.MaxMsgLen]byte
}

// connect brings up a session from local to remote.
func connect(ctx context.Context, local, remote netip.Addr, asn uint32) (*speaker, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: local.AsSlice()}}
	for {
		s, err := try(ctx, d, remote, asn, local)
		if err == nil {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("no session from %v to %v: %w", local, remote, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func try(ctx context.Context, d net.Dialer, remote netip.Addr, asn uint32, id netip.Addr) (*speaker, error) {
	c, err := d.DialContext(ctx, "tcp4", netip.AddrPortFrom(remote, port).String())
	if err != nil {
		return nil, err
	}
	s := &speaker{conn: c.(*net.TCPConn), r: bufio.NewReaderSize(c, 256<<10)}
	open := wire.Open{ASN: asn, HoldTime: 180, ID: binary.BigEndian.Uint32(id.AsSlice())}
	open.Capabilities.AS4 = true
	open.Capabilities.Families = []wire.FamilyID{wire.UnicastID(prefix.IPv4)}
	hello := wire.AppendKeepalive(wire.AppendOpen(nil, &open))
	if _, err = c.Write(hello); err == nil {
		for _, want := range []byte{wire.MsgOpen, wire.MsgKeepalive} {
			var typ byte
			if typ, _, err = s.message(); err == nil && typ != want {
				err = fmt.Errorf("message of type %d", typ)
			}
			if err != nil {
				break
			}
		}
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return s, nil
}

func (s *speaker) message() (typ byte, body []byte, err error) {
	if _, err = io.ReadFull(s.r, s.buf[:wire.HeaderLen]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(s.buf[16:]))
	_, err = io.ReadFull(s.r, s.buf[wire.HeaderLen:n])
	return s.buf[18], s.buf[wire.HeaderLen:n], err
}

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
func (s *speaker) await(senders int, nextHop netip.Addr) error {
	o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true}}
	nh := string(nextHop.AsSlice())
	for senders > 0 {
		typ, body, err := s.message()
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
	neighbors []*speaker
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
			s.conn.Close()
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
		s, err := connect(within, neighborAddr(i), address(i), uint32(65001+i))
		if err != nil {
			tb.Fatal(err)
		}
		r.neighbors = append(r.neighbors, s)
	}
	return r
}
