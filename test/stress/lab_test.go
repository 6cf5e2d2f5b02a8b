// Package stress tries the whole router with many neighbors that behave badly at
// once. The router is a process of its own, so that its memory can be seen.
package stress

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/daemon"
	"holdfast/internal/prefix"
	"holdfast/testkit/speaker"
)

var rounds = flag.Int("rounds", 3, "how often everything happens")

const (
	routerDir = "HOLDFAST_STRESS_ROUTER" // says that the process is the router
	asn       = 65000
	patience  = 2 * time.Minute // on a loaded machine, with the race detector
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(routerDir); dir != "" {
		if err := run(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	os.Exit(m.Run())
}

// run is the router's process.
func run(dir string) error {
	debug.SetGCPercent(daemon.GCPercent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return daemon.Run(ctx, daemon.Options{
		ConfigPath: filepath.Join(dir, "holdfast.hcl"), StateDir: dir, SocketPath: filepath.Join(dir, "s"),
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
}

// router is the one under test.
type router struct {
	tb   testing.TB
	cmd  *exec.Cmd
	log  bytes.Buffer
	addr netip.AddrPort
}

// start runs a router with n neighbors, each of which is to connect, on an
// address of its own: tests of this package may run at the same time.
func start(t *testing.T, host byte, n int) *router {
	t.Helper()
	return startWith(t, host, n, "", "import = policy.all")
}

// startWith is start with more in the configuration, and in that of each neighbor.
func startWith(t *testing.T, host byte, n int, more, each string) *router {
	t.Helper()
	r := &router{tb: t, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, host, 1}), 17900)}
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "router {\n asn = %d\n id = \"192.0.2.254\"\n kernel = false\n listen = [%q]\n}\npolicy \"all\" {\n rule \"rest\" { then = \"accept\" }\n}\n%s", asn, r.addr, more)
	for i := range n {
		c := r.speaker(i)
		fmt.Fprintf(&b, "neighbor \"n%d\" {\n address = %q\n asn = %d\n passive = true\n families = [\"ipv4\"]\n %s\n export = policy.all\n}\n", i, c.Local, c.ASN, each)
	}
	if err := os.WriteFile(filepath.Join(dir, "holdfast.hcl"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	r.cmd = exec.Command(os.Args[0])
	r.cmd.Env = append(os.Environ(), routerDir+"="+dir)
	r.cmd.Stderr = &r.log
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM)
		if err := r.cmd.Wait(); err != nil || r.log.Len() > 0 {
			t.Errorf("the router ended with %v and said:\n%s", err, &r.log)
		}
	})
	return r
}

// speaker is the i-th neighbor.
func (r *router) speaker(i int) speaker.Config {
	net := r.addr.Addr().As4()
	return speaker.Config{Local: netip.AddrFrom4([4]byte{127, 0, net[2], byte(10 + i)}), Remote: r.addr, ASN: uint32(65001 + i)}
}

// resident is the router's memory in bytes.
func (r *router) resident() int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.cmd.Process.Pid))
	if err != nil {
		r.tb.Fatal(err)
	}
	var all, pages int
	if _, err := fmt.Sscan(string(text), &all, &pages); err != nil {
		r.tb.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// bounded fails if the router needs much more memory than it did when the same
// had happened for the first time.
func (r *router) bounded(first int) {
	r.tb.Helper()
	now := r.resident()
	r.tb.Logf("%d MB resident after the first round, %d MB after the last", first>>20, now>>20)
	if now > first+first/2+64<<20 {
		r.tb.Errorf("memory has grown from %d to %d MB", first>>20, now>>20)
	}
}

// block is the j-th prefix of the i-th neighbor.
func block(i, j int) prefix.Prefix {
	return prefix.FromNetip(netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i/2), byte(i%2<<7 | j>>8), byte(j), 0}), 24))
}

func blocks(i, n int) []prefix.Prefix {
	ps := make([]prefix.Prefix, n)
	for j := range ps {
		ps[j] = block(i, j)
	}
	return ps
}

// together does something for each of n neighbors at the same time.
func together(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var g errgroup.Group
	for i := range n {
		g.Go(func() error { return f(i) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// told says that the neighbor has been sent exactly these routes.
func told(want map[prefix.Prefix]string) func(*speaker.Told) bool {
	return func(t *speaker.Told) bool {
		if len(t.Routes) != len(want) {
			return false
		}
		for p, path := range want {
			if t.Routes[p] != path {
				return false
			}
		}
		return true
	}
}

// unharmed fails if a session has ended that had no reason to.
func unharmed(t *testing.T, speakers ...*speaker.Speaker) {
	t.Helper()
	for _, s := range speakers {
		if _, err := s.Told(); err != nil {
			t.Errorf("the session of %v has ended: %v", s.Local, err)
		}
	}
}
