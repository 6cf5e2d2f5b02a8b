//go:build interop

package race

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/testkit/netlab"
)

const longEnough = 15 * time.Minute // for the slowest

// BenchmarkRouteServer has clients with prefixes and policies of their own bring
// their routes to a route server, and then one of them flap.
func BenchmarkRouteServer(b *testing.B) {
	for _, m := range servers {
		b.Run(m.name, func(b *testing.B) {
			for b.Loop() {
				newExchange(b, m).measure()
			}
			b.ReportMetric(0, "ns/op") // the whole says nothing
		})
	}
}

// exchange is a route server and its clients, which share one node.
type exchange struct {
	*testing.B
	clients []*client
	router  *netlab.Node
	process *netlab.Process
}

func newExchange(b *testing.B, m server) *exchange {
	l := netlab.New(b)
	e := &exchange{B: b, clients: newClients(l.Node("clients")), router: l.Node("router")}
	e.router.Run("ip", "addr", "add", serverAddr.String()+"/16", "dev", "eth0")
	for _, c := range e.clients {
		c.node.Run("ip", "addr", "add", c.at.String()+"/16", "dev", "eth0")
		for _, p := range c.owns {
			if m.hides {
				c.may[p/64] |= 1 << (p % 64)
			}
		}
	}
	e.process = m.start(e.router, e.clients)
	b.Cleanup(func() {
		for _, c := range e.clients {
			c.disconnect()
		}
	})
	return e
}

func (e *exchange) measure() {
	e.connect(e.clients...)
	before, start := e.used(), time.Now()
	e.announce(e.clients...)
	e.await(e.clients...)
	e.ReportMetric(time.Since(start).Seconds(), "s/load")
	e.quiet()
	loaded := e.used()
	e.ReportMetric((loaded.cpu - before.cpu).Seconds(), "cpu-s/load")
	e.ReportMetric(float64(loaded.rss)/(1<<20), "MB")
	e.ReportMetric(float64(loaded.most)/(1<<20), "MB/most")

	flaps, others := e.clients[0], e.clients[1:]
	for _, c := range e.clients {
		c.expect(e.clients[1:])
	}
	start = time.Now()
	flaps.disconnect()
	e.await(others...)
	e.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/gone")
	for _, c := range e.clients {
		c.expect(e.clients)
	}
	e.connect(flaps) // when is the other end's choice
	start = time.Now()
	e.announce(flaps)
	e.await(others...)
	e.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/back")
	e.await(e.clients...)
	e.ReportMetric(float64(time.Since(start).Milliseconds()), "ms/itself")
	e.quiet()
	e.ReportMetric((e.used().cpu - loaded.cpu).Seconds(), "cpu-s/flap")
	e.await(e.clients...) // nothing came that should not
}

func (e *exchange) connect(clients ...*client) {
	e.Helper()
	var g errgroup.Group
	for _, c := range clients {
		g.Go(func() error { return c.connect(time.Now().Add(longEnough), e.process.Running) })
	}
	if err := g.Wait(); err != nil {
		e.Fatal(err)
	}
}

func (e *exchange) announce(clients ...*client) {
	e.Helper()
	for _, c := range clients {
		if err := c.announce(); err != nil {
			e.Fatal(err)
		}
	}
}

// await waits until clients have exactly what they should have.
func (e *exchange) await(clients ...*client) {
	e.Helper()
	for deadline := time.Now().Add(longEnough); ; time.Sleep(10 * time.Millisecond) {
		have, lacks := 0, error(nil)
		for _, c := range clients {
			if err := c.ended(); err != nil {
				e.Fatalf("the session of client %d has ended: %v", c.number, err)
			}
			if err := c.lacks(); err == nil {
				have++
			} else {
				lacks = err
			}
		}
		if have == len(clients) {
			return
		}
		if err := e.process.Running(); err != nil {
			e.Fatal(err)
		}
		if time.Now().After(deadline) {
			e.Fatalf("%d of %d clients have what they should: %v", have, len(clients), lacks)
		}
	}
}

// use is what all processes of a route server have used.
type use struct {
	cpu       time.Duration
	rss, most int // bytes, and the most that it ever was
}

func (e *exchange) used() (u use) {
	e.Helper()
	pids, err := e.router.Processes()
	if err != nil {
		e.Fatal(err)
	}
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		if err != nil {
			e.Fatal(err)
		}
		return n
	}
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			e.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		for _, f := range strings.Fields(rest)[11:13] { // utime and stime
			u.cpu += time.Duration(number(f)) * time.Second / 100
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			e.Fatal(err)
		}
		for line := range strings.Lines(string(status)) {
			switch f := strings.Fields(line); f[0] {
			case "VmRSS:":
				u.rss += number(f[1]) << 10
			case "VmHWM:":
				u.most += number(f[1]) << 10
			}
		}
	}
	return u
}

// quiet waits until the route server has had nothing to do for a while.
func (e *exchange) quiet() {
	e.Helper()
	last, since := e.used(), time.Now()
	for deadline := time.Now().Add(longEnough); time.Since(since) < 1500*time.Millisecond; time.Sleep(100 * time.Millisecond) {
		if now := e.used(); now.cpu-last.cpu > 100*time.Millisecond {
			last, since = now, time.Now()
		}
		if time.Now().After(deadline) {
			e.Fatal("the route server does not come to rest")
		}
	}
}
