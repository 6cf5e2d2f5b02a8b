//go:build interop

package kernel

import (
	"testing"

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
