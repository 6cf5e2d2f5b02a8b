//go:build interop

package interop

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	. "holdfast/testkit/netlab"
)

// ask runs a command that must succeed.
func ask(t *testing.T, h *HoldfastRouter, args ...string) string {
	t.Helper()
	out, err := h.Ask(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestAnnounceOverCrash: what was announced and acknowledged is announced again
// after kill -9, with its attributes and what is left of its time, and what was
// withdrawn is not.
func TestAnnounceOverCrash(t *testing.T) {
	t.Parallel()
	p := connect(t, BIRD(), options{})
	p.up(t, "v4", "v6")
	ten := uint32(10)
	four := Route{Prefix: netip.MustParsePrefix("203.0.113.7/32"), Origin: "igp", MED: &ten, Communities: []string{"65535:666"}, Large: []string{"64500:1:2"}}
	six := Route{Prefix: netip.MustParsePrefix("2001:db8:7::/48"), Origin: "igp"}
	ask(t, p.hf, "announce", four.Prefix.String(), "198.51.100.0/24", "--med", "10", "--community", "blackhole", "--community", "64500:1:2", "--for", "1h", "--reason", "attack")
	ask(t, p.hf, "announce", six.Prefix.String())
	gone := four
	gone.Prefix = netip.MustParsePrefix("198.51.100.0/24")
	AwaitRoutes(t, p.other, "v4", p.fromHoldfast(four, gone))
	AwaitRoutes(t, p.other, "v6", p.fromHoldfast(six))
	ask(t, p.hf, "withdraw", gone.Prefix.String())
	p.hf.Crash(func() {
		AwaitDown(t, p.other, "v4")
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(four)) // which are kept
	})
	p.up(t, "v4", "v6")
	AwaitRoutes(t, p.other, "v4", p.fromHoldfast(four))
	AwaitRoutes(t, p.other, "v6", p.fromHoldfast(six))
	var m struct {
		Announcements []struct {
			Prefix, Reason, By string
			Until              *time.Time
		}
	}
	if err := json.Unmarshal([]byte(ask(t, p.hf, "show", "announcements", "--json")), &m); err != nil || len(m.Announcements) != 2 {
		t.Fatalf("%+v, %v", m, err)
	}
	if a := m.Announcements[0]; a.Reason != "attack" || a.By != "root" || a.Until == nil || time.Until(*a.Until) > time.Hour || time.Until(*a.Until) < 55*time.Minute {
		t.Errorf("after the crash it is %+v", a)
	}
	ask(t, p.hf, "announce", four.Prefix.String(), "--for", "1s")
	AwaitRoutes(t, p.other, "v4", nil)
	ask(t, p.hf, "withdraw", "all")
	AwaitRoutes(t, p.other, "v6", nil)
}

// TestDownOverCrash: a session that was taken down stays so over kill -9, and the
// neighbor is told why each time that it tries.
func TestDownOverCrash(t *testing.T) {
	t.Parallel()
	p := connect(t, GoBGP4(), options{})
	p.up(t, "v4", "v6")
	ask(t, p.hf, "down", "v4", "new line card")
	AwaitDown(t, p.other, "v4")
	p.hf.Crash(func() {})
	p.up(t, "v6") // long enough for v4 as well
	if s, err := p.other.Session("v4"); err != nil || s.Established {
		t.Errorf("v4 is %v, %v", s, err)
	}
	if out := ask(t, p.hf, "show", "neighbor", "v4"); !strings.Contains(out, "by root since") || !strings.Contains(out, ": new line card") {
		t.Errorf("it shows\n%s", out)
	}
	ask(t, p.hf, "enable", "v4")
	p.up(t, "v4")
	p.hf.Crash(func() {})
	p.up(t, "v4")
}

// TestFullDisk: on a full disk commands that must be remembered fail, say so and
// change nothing; what the router does beside goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	p := connect(t, BIRD(), options{})
	p.up(t, "v4")
	p.hf.Crash(func() {
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "full", p.hf.State()).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", "-l", p.hf.State()).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	})
	p.up(t, "v4")
	ask(t, p.hf, "announce", "203.0.113.0/24")
	file := p.hf.State() + "/filler"
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	_, err := p.hf.Ask("announce", "203.0.114.0/24")
	if err == nil || !strings.Contains(err.Error(), "nothing has changed: cannot write announcements.json in "+p.hf.State()+": no space left on device") {
		t.Errorf("announce says %v", err)
	}
	if out := ask(t, p.hf, "show", "announcements"); !strings.Contains(out, "203.0.113.0/24") || strings.Contains(out, "203.0.114.0/24") {
		t.Errorf("there are\n%s", out)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	ask(t, p.hf, "announce", "203.0.114.0/24")
}
