// Package rival runs edge routers of several makes for comparisons: each with
// kernel routes and the configuration that is best for it, where all of them do
// the same.
package rival

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"holdfast/testkit/netlab"
)

// AS is that of the router.
const AS = 65000

// Neighbor is one of the router. It connects to the router.
type Neighbor struct {
	Name       string      // a letter, then letters and digits
	At, Router *netlab.End // its end and the router's
	ASN        uint32
	Preference int  // the LOCAL_PREF of its routes; 0: all of them are refused
	Export     bool // it gets all routes
	BFD        bool // 300 ms, three times
}

// Router is one that can be started, stopped and started again.
type Router interface {
	// Start returns when it is ready for neighbors.
	Start()
	// Kill ends all its programs without a word.
	Kill()
	// Upgrade stops it the way that disturbs least and starts it again, holdfast
	// as another build.
	Upgrade()
	// Prefer changes the LOCAL_PREF of a neighbor's routes, by an edit of the
	// policy.
	Prefer(neighbor string, preference int)
	// Programs are those that run now.
	Programs() []*netlab.Process
}

// Make is a make of router.
type Make struct {
	Name string
	// New makes a router that keeps routes over restarts, its own and those of
	// its neighbors.
	New func(n *netlab.Node, neighbors []Neighbor) Router
	// Version says which one it is.
	Version func(t testing.TB) string
}

// Makes are all, holdfast first.
func Makes() []Make { return []Make{Holdfast(), BIRD(), FRR()} }

// base is what all makes have.
type base struct {
	node      *netlab.Node
	neighbors []Neighbor
	programs  []*netlab.Process
}

func (b *base) Programs() []*netlab.Process { return b.programs }

func (b *base) Kill() {
	for _, p := range b.programs {
		p.Kill()
	}
}

// set notes a preference.
func (b *base) set(neighbor string, preference int) {
	for i := range b.neighbors {
		if b.neighbors[i].Name == neighbor {
			b.neighbors[i].Preference = preference
		}
	}
}

// ended waits until a program has ended.
func (b *base) ended(p *netlab.Process) {
	b.node.Lab.T.Helper()
	netlab.Await(b.node.Lab.T, netlab.Patience, "end of "+b.node.Name, func() error {
		if p.Running() == nil {
			return fmt.Errorf("it runs")
		}
		return nil
	})
}

// terminate ends all programs by SIGTERM, in the order of their start.
func (b *base) terminate() {
	for _, p := range b.programs {
		p.Signal(syscall.SIGTERM)
		b.ended(p)
	}
}

// Ticks is the processor time of programs, in clock ticks of 10 ms.
func Ticks(t testing.TB, programs []*netlab.Process) int {
	sum := 0
	for _, p := range programs {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		for _, f := range strings.Fields(rest)[11:13] { // utime and stime
			n, err := strconv.Atoi(f)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}

// Quiet waits until a router has had nothing to do for a while.
func Quiet(t testing.TB, r Router, while time.Duration) {
	t.Helper()
	const ticks = 10 // of 10 ms, in all that time
	last, since := Ticks(t, r.Programs()), time.Now()
	for deadline := time.Now().Add(2 * time.Minute); time.Since(since) < while; time.Sleep(100 * time.Millisecond) {
		if now := Ticks(t, r.Programs()); now-last > ticks {
			last, since = now, time.Now()
		}
		if time.Now().After(deadline) {
			t.Fatal("the router does not come to rest")
		}
	}
}
