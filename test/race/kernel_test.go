//go:build interop

package race

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
	. "holdfast/testkit/netlab"
)

// routes is the size of the table.
const routes = 500_000

// BenchmarkKernel loads a table from two neighbors into the kernel, takes the
// better neighbor away, and restarts the router.
func BenchmarkKernel(b *testing.B) {
	table := feed.New(1, prefix.IPv4, routes)
	for _, m := range []struct {
		name  string
		start func(r *run) func(stop func()) // starts the router, and returns how to restart it
	}{{"holdfast", startHoldfast}, {"bird", startBIRD}, {"frr", startFRR}} {
		b.Run(m.name, func(b *testing.B) {
			for b.Loop() {
				r := newRun(b, table)
				r.measure(m.start(r))
			}
			b.ReportMetric(0, "ns/op") // the whole says nothing
		})
	}
}

// run is one router between two neighbors, a and b. What a sends is better.
type run struct {
	*testing.B
	table  *feed.Table
	router *Node
	at     [2]*End // the router's ends
	ends   [2]*End // the neighbors' ends
	feeds  [2]*neighbor
	stream [2][]byte
	probes []netip.Addr // of routes that no longer one covers, in any order
	procs  []*Process
}

func newRun(b *testing.B, table *feed.Table) *run {
	l := New(b)
	r := &run{B: b, table: table, router: l.Node("router")}
	r.router.Forward()
	for i, name := range []string{"a", "b"} {
		r.at[i], r.ends[i] = l.Wire(r.router, l.Node(name))
		r.stream[i] = table.Sender(asn(i), r.ends[i].V4).Stream()
	}
	for _, p := range table.Prefixes() {
		if p.Bits == 24 { // the longest that there are
			r.probes = append(r.probes, p.Addr())
		}
	}
	rand.Shuffle(len(r.probes), func(i, j int) { r.probes[i], r.probes[j] = r.probes[j], r.probes[i] })
	r.probes = r.probes[:10_000]
	return r
}

// asn is the AS of a neighbor. The router's is 65000.
func asn(i int) uint32 { return uint32(65001 + i) }

// measure runs the whole. restart calls stopped once the router has ended, and
// has started it when it returns.
func (r *run) measure(restart func(stopped func())) {
	base := r.kernelRoutes()
	metric := func(what string, d time.Duration) {
		r.ReportMetric(float64(d.Milliseconds()), "ms/"+what)
	}
	// On a busy machine the time of the processor says more.
	busy := func(what string, before int) {
		r.ReportMetric(float64(10*(r.ticks()-before)), "cpu-ms/"+what)
	}

	r.connect(0)
	r.connect(1)
	start, before := time.Now(), r.ticks()
	r.feeds[0].send(r.stream[0])
	r.await("the kernel routes", func() bool { return r.kernelRoutes() >= base+routes })
	metric("load", time.Since(start))
	r.quiet()
	busy("load", before)
	r.feeds[1].send(r.stream[1])
	r.quiet()
	if via, ok := r.egress(r.probes[0]); !ok || via != r.at[0].V4 {
		r.Fatalf("routes lead to %v, not to the better neighbor", via)
	}

	start, before = time.Now(), r.ticks()
	r.feeds[0].die()
	next := 0
	err := r.router.Inside(func() error {
		for ; next < len(r.probes); next++ {
			for via, ok := egress(r.probes[next]); !ok || via != r.at[1].V4; via, ok = egress(r.probes[next]) {
				if time.Since(start) > time.Minute {
					return fmt.Errorf("after a minute the kernel still sends %v to %v", r.probes[next], via)
				}
				time.Sleep(time.Millisecond)
			}
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	metric("switch", time.Since(start))
	r.quiet()
	busy("switch", before)

	// The router comes back with one neighbor. Packets are lost while the kernel
	// has fewer routes than the table.
	fewest := routes
	var gone, back time.Time
	watch := func() bool {
		n := r.kernelRoutes() - base
		switch fewest = min(fewest, n); {
		case n < routes && gone.IsZero():
			gone = time.Now()
		case n >= routes && !gone.IsZero() && back.IsZero():
			back = time.Now()
		}
		return n >= routes
	}
	stop := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				watch()
			case <-stop:
				return
			}
		}
	}()
	restart(func() { r.feeds[1].die() })
	r.connect(1)
	r.feeds[1].send(r.stream[1])
	r.quiet()
	close(stop)
	<-watched
	r.await("the kernel routes after a restart", watch)
	r.ReportMetric(float64(fewest), "routes/fewest")
	gap := time.Duration(0)
	if !gone.IsZero() {
		gap = back.Sub(gone)
	}
	metric("gap", gap)
}

// kernelRoutes counts all IPv4 routes of the router's kernel.
func (r *run) kernelRoutes() int {
	var text []byte
	err := r.router.Inside(func() (err error) {
		text, err = os.ReadFile("/proc/thread-self/net/fib_triestat")
		return err
	})
	if err != nil {
		r.Error(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "Prefixes:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				r.Error(err)
			}
			return n
		}
	}
	r.Error("the kernel does not count its routes")
	return 0
}

// egress is the address of the interface that leads to an address; it asks in
// the namespace that the thread is in.
func egress(to netip.Addr) (netip.Addr, bool) {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 9)))
	if err != nil {
		return netip.Addr{}, false
	}
	defer c.Close()
	a, ok := netip.AddrFromSlice(c.LocalAddr().(*net.UDPAddr).IP)
	return a.Unmap(), ok
}

func (r *run) egress(to netip.Addr) (via netip.Addr, ok bool) {
	err := r.router.Inside(func() error {
		via, ok = egress(to)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	return via, ok
}

// await polls often, as what it waits for is measured, but not so often that it
// takes the router's time: the kernel walks through all routes to count them.
func (r *run) await(what string, done func() bool) {
	r.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("no %s: %d routes", what, r.kernelRoutes())
		}
	}
}

// quiet waits until the router's programs have nothing to do.
func (r *run) quiet() {
	r.Helper()
	const ticks = 10 // of 10 ms in a second and a half
	last, since := r.ticks(), time.Now()
	for deadline := time.Now().Add(2 * time.Minute); time.Since(since) < 1500*time.Millisecond; time.Sleep(100 * time.Millisecond) {
		if now := r.ticks(); now-last > ticks {
			last, since = now, time.Now()
		}
		if time.Now().After(deadline) {
			r.Fatal("the router does not come to rest")
		}
	}
}

// ticks is the processor time of the router's programs, in clock ticks.
func (r *run) ticks() int {
	sum := 0
	for _, p := range r.procs {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		for _, f := range strings.Fields(rest)[11:13] { // utime and stime
			n, err := strconv.Atoi(f)
			if err != nil {
				r.Fatal(err)
			}
			sum += n
		}
	}
	return sum
}
