//go:build interop

package bfd

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace gives the test a network of its own, which goes with it.
func namespace(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("a network namespace, which needs root: %v", err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// TestPortTaken: who looks sees that nothing can come, until it can.
func TestPortTaken(t *testing.T) {
	namespace(t)
	other := port{}
	if err := other.open(); err != nil {
		t.Fatal(err)
	}
	s := &session{Session: Session{Remote: netip.MustParseAddr("127.0.0.1"), Timers: usual}, fd: -1, machine: New(usual, 1, 0, rand.Float64)}
	th := newThread(&Driver{log: slog.New(slog.DiscardHandler)})
	th.byDiscr[1] = s
	th.open(0)
	th.write(s, false)
	if want := "cannot receive: UDP port 3784: address already in use (does another BFD daemon run here?)"; s.problem != want {
		t.Errorf("the problem is %q, want %q", s.problem, want)
	}
	other.close()
	th.open(retryPort)
	th.write(s, false)
	if s.problem != "" || s.sent.Load() != 2 {
		t.Errorf("the problem is %q with a port, and %d packets are sent", s.problem, s.sent.Load())
	}
}

// TestLinkComesBack: a link that is made anew has another number, and BFD with a
// link-local neighbor goes on over it.
func TestLinkComesBack(t *testing.T) {
	namespace(t)
	link := func() {
		t.Helper()
		out, err := exec.Command("sh", "-ec", `
			echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad
			ip link del bfd0 2>/dev/null || true
			ip link add bfd0 type veth peer name bfd1; ip link set bfd0 up; ip link set bfd1 up
			timeout 20 sh -c "until ip -6 addr show dev bfd0 | grep -q 'fe80.*link $'; do sleep 0.02; done"`).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	link()
	s := &session{Session: Session{Remote: netip.MustParseAddr("fe80::1%bfd0"), Timers: usual}, fd: -1}
	s.machine = New(s.Timers, 1, 0, func() float64 { return 0 })
	th := newThread(&Driver{})
	before := 0
	for range 3 {
		th.write(s, false)
		if s.problem != "" || s.fd < 0 || s.link == before {
			t.Fatalf("on link %d, which was %d: %q", s.link, before, s.problem)
		}
		before = s.link
		link()
		th.write(s, false) // which finds that out
	}
}
