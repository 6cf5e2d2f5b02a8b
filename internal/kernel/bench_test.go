//go:build interop

package kernel

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
)

// BenchmarkWrite is the life of a large table: put in, switched to another
// gateway, written again as it is, switched to two gateways, and taken out. Most
// of it is the kernel's work, so what it reports is the time of the processor.
func BenchmarkWrite(b *testing.B) {
	const routes, batchSize = 500_000, 4096
	one, two := put("10.9.0.0/16", "10.1.0.2"), put("10.9.0.0/16", "10.2.0.2")
	steps := []struct {
		name   string
		change fib.Change
	}{
		{"put", one}, {"replace", two}, {"again", two}, {"ecmp", put("10.9.0.0/16", "10.1.0.2", "10.2.0.2")}, {"delete", without(one)},
	}
	world(b)
	k := open(b)
	watchOf(b, k)
	batch, errs := make([]fib.Change, batchSize), make([]error, batchSize)
	for b.Loop() {
		for _, s := range steps {
			start := processor(b)
			for i := 0; i < routes; i += batchSize {
				n := min(batchSize, routes-i)
				for j := range n {
					batch[j] = s.change
					batch[j].Prefix = numbered(i + j)
				}
				k.Write(batch[:n], errs)
				for j, err := range errs[:n] {
					if err != nil {
						b.Fatalf("%v: %v", batch[j], err)
					}
				}
			}
			b.ReportMetric(float64(processor(b)-start)/routes, "ns/"+s.name)
		}
	}
}

// processor is the time that this process has had, the kernel's work for it
// included, in nanoseconds.
func processor(b *testing.B) int64 {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkLoss takes the way of a large table's routes away, while another one
// stands by: with one message, and with its link.
func BenchmarkLoss(b *testing.B) {
	const routes, batchSize = 500_000, 4096
	world(b)
	k := open(b)
	legs := []fib.ObjectChange{leg(b, first, "10.1.0.2", "a0"), leg(b, first+1, "10.2.0.2", "b0"), pair(first+2, first, first+1)}
	mustObjects(b, k, legs...)
	for i := 0; i < routes; i += batchSize {
		var batch []fib.Change
		for j := range min(batchSize, routes-i) {
			c := through("10.9.0.0/16", first+2)
			c.Prefix = numbered(i + j)
			batch = append(batch, c)
		}
		mustWrite(b, k, batch...)
	}
	for b.Loop() {
		start := time.Now()
		mustObjects(b, k, gone(first))
		b.ReportMetric(float64(time.Since(start).Microseconds()), "µs/message")
		again := pair(first+2, first, first+1)
		again.Replace = true
		mustObjects(b, k, legs[0], again)
		start = time.Now()
		sh(b, "ip link set a1 down")
		for !strings.Contains(sh(b, "ip route get 20.0.7.1"), "10.2.0.2") {
		}
		b.ReportMetric(float64(time.Since(start).Microseconds()), "µs/link")
		sh(b, "ip link set a1 up; until ip link show a0 | grep -q LOWER_UP; do :; done")
		mustObjects(b, k, legs[0], again)
	}
	b.ReportMetric(0, "ns/op")
	sh(b, "ip nexthop flush proto 144 >/dev/null")
}
