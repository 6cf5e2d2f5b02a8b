package daemon

import (
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

const two = `neighbor "a" {
  address = "127.0.73.9"
  asn     = 64500
}
neighbor "b" {
  address  = "127.0.73.10"
  asn      = 64500
  shutdown = "as configured"
}
`

// neighbor is what the router shows.
func (p *place) neighbor(name string) *pb.Neighbor {
	p.t.Helper()
	m, err := call(p, (*api.Client).GetNeighbor, &pb.GetNeighborRequest{Neighbor: name})
	if err != nil {
		p.t.Fatal(err)
	}
	return m.Neighbor
}

func (p *place) down(name, reason string, lifetime time.Duration) error {
	q := &pb.DownNeighborRequest{Neighbor: name, Reason: reason}
	if lifetime > 0 {
		q.Lifetime = durationpb.New(lifetime)
	}
	_, err := call(p, (*api.Client).DownNeighbor, q)
	return err
}

func (p *place) enable(name string) error {
	_, err := call(p, (*api.Client).EnableNeighbor, &pb.EnableNeighborRequest{Neighbor: name})
	return err
}

// until polls.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
	}
}

func newDownPlace(t *testing.T) (*place, netip.AddrPort) {
	p, at := newPlace(t), free(t, "127.0.73.1")
	p.configure(at, "192.0.2.1", two)
	return p, at
}

// TestDownStays: a neighbor that was taken down stays so over reloads and
// restarts, with who did it and why, until it is enabled, which stays as well.
func TestDownStays(t *testing.T) {
	p, at := newDownPlace(t)
	stop := p.run()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.down("127.0.73.9", "new line card", time.Hour); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		n := p.neighbor("a")
		if d := n.Down; !n.Shutdown || n.ShutdownMessage != "new line card" || d == nil || d.Reason != "new line card" || d.By != me.Username ||
			time.Since(d.Since.AsTime()) > time.Minute || time.Until(d.Until.AsTime()) > time.Hour || time.Until(d.Until.AsTime()) < 59*time.Minute {
			t.Errorf("%s: %v", when, n)
		}
	}
	until(t, "the end of the session", func() bool { return p.neighbor("a").Shutdown })
	check("taken down")
	p.configure(at, "192.0.2.1", strings.Replace(two, "64500", "64501", 1))
	if _, err := p.reload(); err != nil {
		t.Error(err)
	}
	check("reloaded")
	stop()
	stop = p.run()
	check("restarted")
	if err := p.enable("a"); err != nil {
		t.Error(err)
	}
	until(t, "the attempt", func() bool { return !p.neighbor("a").Shutdown })
	stop()
	p.run()
	if n := p.neighbor("a"); n.Shutdown || n.Down != nil {
		t.Errorf("enabled and restarted: %v", n)
	}
}

// TestDownByConfiguration is not undone by a command.
func TestDownByConfiguration(t *testing.T) {
	p, _ := newDownPlace(t)
	p.run()
	if err := p.enable("b"); kind(err) != api.KindRefused || !strings.Contains(err.Error(), "shut down in the configuration") || !strings.Contains(err.Error(), "holdfast.hcl:11") {
		t.Error(err)
	}
	if n := p.neighbor("b"); !n.Shutdown || n.Down != nil || n.ShutdownMessage != "as configured" {
		t.Errorf("%v", n)
	}
}

// TestDownEnds: with a lifetime a neighbor comes back by itself, and a router
// that starts afterwards begins with it enabled.
func TestDownEnds(t *testing.T) {
	p, _ := newDownPlace(t)
	stop := p.run()
	if err := p.down("a", "a moment", 200*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	p.await("its time is over")
	until(t, "the attempt", func() bool { return !p.neighbor("a").Shutdown })
	stop()
	file := filepath.Join(p.o.StateDir, "down.json")
	past := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)
	if err := os.WriteFile(file, fmt.Appendf(nil, `{"a":{"reason":"r","since":%q,"until":%q}}`, past, past), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run()
	if n := p.neighbor("a"); n.Shutdown || n.Down != nil {
		t.Errorf("after its time: %v", n)
	}
	until(t, "a tidy file", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && string(text) == "{\n}\n"
	})
}

// TestDownForgotten: who leaves the configuration comes back as it is
// configured then.
func TestDownForgotten(t *testing.T) {
	p, at := newDownPlace(t)
	p.run()
	if err := p.down("a", "works", 0); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", two} {
		p.configure(at, "192.0.2.1", text)
		if _, err := p.reload(); err != nil {
			t.Error(err)
		}
	}
	p.await("neighbor-forgotten neighbor=a reason=works")
	if n := p.neighbor("a"); n.Shutdown || n.Down != nil {
		t.Errorf("%v", n)
	}
}

// TestDownUnwritten: what cannot be remembered is not done.
func TestDownUnwritten(t *testing.T) {
	p, _ := newDownPlace(t)
	p.run()
	if err := os.Rename(p.o.StateDir, p.o.StateDir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := p.down("a", "works", 0); err == nil || !strings.HasPrefix(err.Error(), "nothing has changed: cannot write down.json in "+p.o.StateDir) {
		t.Error(err)
	}
	if n := p.neighbor("a"); n.Shutdown || n.Down != nil {
		t.Errorf("%v", n)
	}
}
