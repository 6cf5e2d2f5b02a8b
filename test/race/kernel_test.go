//go:build interop

// Package race compares holdfast with other routers in what takes long. It is
// run by hand (make kernel-race), as it wants a machine for itself.
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
	"holdfast/testkit/neighbor"
	"holdfast/testkit/netlab"
	"holdfast/testkit/rival"
)

// routes is the size of the table.
const routes = 500_000

// BenchmarkKernel loads a table from two neighbors into the kernel, takes the
// better neighbor away, and restarts the router.
func BenchmarkKernel(b *testing.B) {
	table := feed.New(1, prefix.IPv4, routes)
	for _, m := range rival.Makes() {
		b.Run(m.Name, func(b *testing.B) {
			for b.Loop() {
				newRun(b, table, m).measure()
			}
			b.ReportMetric(0, "ns/op") // the whole says nothing
		})
	}
}

// run is one router between two neighbors. What the first sends is better.
type run struct {
	*testing.B
	node   *netlab.Node
	router rival.Router
	at     [2]*netlab.End // the router's ends
	feeds  [2]*neighbor.Neighbor
	stream [2][]byte
	probes []netip.Addr // of routes that no longer one covers, in any order
}

func newRun(b *testing.B, table *feed.Table, m rival.Make) *run {
	l := netlab.New(b)
	r := &run{B: b, node: l.Node("router")}
	r.node.Forward()
	var neighbors []rival.Neighbor
	for i, name := range []string{"a", "b"} {
		ours, theirs := l.Wire(r.node, l.Node(name))
		asn := uint32(65001 + i)
		r.at[i], r.feeds[i] = ours, neighbor.Start(b, theirs, ours, asn, false)
		r.feeds[i].Send([]byte{}) // the router need not wait for what was there before it
		r.stream[i] = table.Sender(asn, theirs.V4).Stream()
		neighbors = append(neighbors, rival.Neighbor{Name: name, At: theirs, Router: ours, ASN: asn, Preference: 200 - 100*i})
	}
	r.router = m.New(r.node, neighbors)
	for _, p := range table.Prefixes() {
		if p.Bits == 24 { // the longest that there are
			r.probes = append(r.probes, p.Addr())
		}
	}
	rand.Shuffle(len(r.probes), func(i, j int) { r.probes[i], r.probes[j] = r.probes[j], r.probes[i] })
	r.probes = r.probes[:10_000]
	return r
}

// measure runs the whole.
func (r *run) measure() {
	r.router.Start()
	base := r.kernelRoutes()
	metric := func(what string, d time.Duration) {
		r.ReportMetric(float64(d.Milliseconds()), "ms/"+what)
	}
	// On a busy machine the time of the processor says more.
	busy := func(what string, before int) {
		r.ReportMetric(float64(10*(r.ticks()-before)), "cpu-ms/"+what)
	}

	for _, n := range r.feeds {
		n.AwaitUp(r, netlab.Patience)
	}
	start, before := time.Now(), r.ticks()
	r.feeds[0].Send(r.stream[0])
	r.await("the kernel routes", func() bool { return r.kernelRoutes() >= base+routes })
	metric("load", time.Since(start))
	r.quiet()
	busy("load", before)
	r.feeds[1].Send(r.stream[1])
	r.quiet()
	if via, ok := r.egress(r.probes[0]); !ok || via != r.at[0].V4 {
		r.Fatalf("routes lead to %v, not to the better neighbor", via)
	}

	start, before = time.Now(), r.ticks()
	r.feeds[0].Kill()
	next := 0
	err := r.node.Inside(func() error {
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
	sent := r.feeds[1].Sent()
	r.router.Upgrade()
	r.await("new table", func() bool { return r.feeds[1].Sent() > sent })
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
	err := r.node.Inside(func() (err error) {
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
	err := r.node.Inside(func() error {
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

func (r *run) quiet() {
	r.Helper()
	rival.Quiet(r, r.router, 1500*time.Millisecond)
}
func (r *run) ticks() int { return rival.Ticks(r, r.router.Programs()) }
