//go:build interop

package bfd

import (
	"net/netip"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLinkComesBack: a link that is made anew has another number, and BFD with a
// link-local neighbor goes on over it.
func TestLinkComesBack(t *testing.T) {
	runtime.LockOSThread() // and its end is the namespace's
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatalf("a network namespace, which needs root: %v", err)
	}
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
