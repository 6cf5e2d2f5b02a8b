//go:build interop

package kernel

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

// inside says what a process does that has a network namespace of its own.
const inside = "HOLDFAST_TEST_NAMESPACE"

// TestMain runs the tests in a network namespace, which goes with them. It has
// two links, a0 and b0, with 10.1.0.1/24, 2001:db8:1::1/64 and 10.2.0.1/24,
// 2001:db8:2::1/64; their far ends are a1 and b1.
func TestMain(m *testing.M) {
	switch os.Getenv(inside) {
	case "tests":
		os.Exit(m.Run())
	case "writer":
		writer()
		return
	}
	self, err := os.Executable()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=tests")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "the tests in a network namespace (which need root):", err)
		os.Exit(1)
	}
}

// world removes what is there and sets the links up.
func world(t testing.TB) {
	t.Helper()
	for _, l := range []string{"a0", "b0"} {
		_ = exec.Command("ip", "link", "del", l).Run() // there may be none
	}
	sh(t, `
		ip link set lo up
		echo 0 >/proc/sys/net/ipv6/conf/all/accept_dad
		echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
		for i in a b; do ip link add ${i}0 type veth peer name ${i}1; ip link set ${i}0 up; ip link set ${i}1 up; done
		ip addr add 10.1.0.1/24 dev a0; ip -6 addr add 2001:db8:1::1/64 dev a0 nodad
		ip addr add 10.2.0.1/24 dev b0; ip -6 addr add 2001:db8:2::1/64 dev b0 nodad
		for f in -4 -6; do ip $f route flush table 1000 2>/dev/null || true; for p in 144 99 static 11; do ip $f route flush proto $p; done; done`)
}

func sh(t testing.TB, script string) string {
	t.Helper()
	out, err := exec.Command("sh", "-ec", script).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", strings.TrimSpace(script), err, out)
	}
	return string(out)
}

func open(t testing.TB) *Kernel {
	t.Helper()
	k, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// write carries one change out.
func write(k *Kernel, c fib.Change) error {
	errs := make([]error, 1)
	k.Write([]fib.Change{c}, errs)
	return errs[0]
}

func mustWrite(t testing.TB, k *Kernel, changes ...fib.Change) {
	t.Helper()
	errs := make([]error, len(changes))
	k.Write(changes, errs)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("%v: %v", changes[i], err)
		}
	}
}

// put is a change to a unicast route in the main table with metric 20.
func put(p string, gateways ...string) fib.Change {
	c := fib.Change{Route: fib.Route{Table: fib.MainTable, Metric: 20, Prefix: prefix.MustParse(p)}}
	for _, g := range gateways {
		c.Hops = append(c.Hops, fib.Hop{Gateway: netip.MustParseAddr(g)})
	}
	return c
}

func without(c fib.Change) fib.Change {
	c.Delete = true
	return c
}

// watcher receives what Watch tells.
type watcher struct {
	t      testing.TB
	events chan fib.Event
}

func watchOf(t testing.TB, k *Kernel) *watcher {
	t.Helper()
	w := &watcher{t, make(chan fib.Event, 100)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- k.Watch(ctx, func(e fib.Event) {
			select {
			case w.events <- e:
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

// next returns the first event that f accepts.
func (w *watcher) next(what string, f func(fib.Event) bool) fib.Event {
	w.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e := <-w.events:
			if f(e) {
				return e
			}
		case <-deadline:
			w.t.Fatalf("no news of %s", what)
		}
	}
}

// numbered is the i-th of many prefixes.
func numbered(i int) prefix.Prefix {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], 0x14000000+uint32(i)<<8)
	return prefix.FromNetip(netip.PrefixFrom(netip.AddrFrom4(a), 24))
}
