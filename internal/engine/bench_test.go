package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/testkit/feed"
)

// drain is a neighbor that reads everything at once and looks at nothing.
type drain struct{ bytes, packets int }

func (d *drain) Room() int { return 100 }
func (d *drain) Send(p *packet.Packet, _ *packet.NextHop) bool {
	d.bytes += len(p.Data)
	d.packets++
	return true
}
func (d *drain) Refresh(prefix.Family) bool { return true }
func (d *drain) Close(session.Close)        {}

// chunks cuts a stream of messages into what a session reader delivers.
func chunks(stream []byte) (out [][]byte) {
	for len(stream) > 0 {
		n := 0
		for n < len(stream) {
			m := int(binary.BigEndian.Uint16(stream[n+16:]))
			if n+m > session.BufferSize {
				break
			}
			n += m
		}
		out = append(out, stream[:n])
		stream = stream[n:]
	}
	return out
}

// BenchmarkLoad plays whole tables of some neighbors into a router with one more
// that gets everything.
func BenchmarkLoad(b *testing.B) {
	for _, c := range []struct {
		family    prefix.Family
		neighbors int
		prefixes  int
	}{{prefix.IPv4, 1, 1_000_000}, {prefix.IPv4, 10, 200_000}, {prefix.IPv6, 2, 200_000}} {
		b.Run(fmt.Sprintf("%s/neighbors=%d/prefixes=%d", c.family, c.neighbors, c.prefixes), func(b *testing.B) {
			table := feed.New(1, c.family, c.prefixes)
			var streams [][][]byte
			for i := 1; i <= c.neighbors; i++ {
				nh := netip.AddrFrom4([4]byte{10, 1, byte(i), 2})
				if c.family == prefix.IPv6 {
					nh = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i), 15: 2})
				}
				streams = append(streams, chunks(table.Sender(65000+uint32(i), nh).Stream()))
			}
			cfg := ebgpConfig(b, c.neighbors+1)
			var before, after runtime.MemStats
			b.ResetTimer()
			for range b.N {
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&before)
				core := NewCore(quiet())
				core.Configure(cfg)
				outs := make([]drain, c.neighbors+2)
				for i := 1; i <= c.neighbors+1; i++ {
					core.Up(packet.ID(i), established(i), &outs[i])
				}
				core.Settle()
				b.StartTimer()
				for k, more := 0, true; more; k++ {
					more = false
					for i, s := range streams {
						if k < len(s) {
							more = true
							core.Messages(packet.ID(i+1), s[k])
							core.Settle()
						}
					}
				}
				b.StopTimer()
				runtime.GC()
				runtime.ReadMemStats(&after)
				if n := core.tables[0][c.family].Len(); n != c.prefixes {
					b.Fatalf("%d prefixes arrived", n)
				}
				runtime.KeepAlive(core)
				b.StartTimer()
			}
			paths := float64(c.neighbors * c.prefixes)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/paths, "ns/path")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/paths, "B/path")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkInstall plays a table into a router whose kernel takes everything at
// once, then has its next hop move, and takes it out again. What the kernel costs
// comes on top of it.
func BenchmarkInstall(b *testing.B) {
	const prefixes = 500_000
	var streams [][][]byte
	for i := byte(1); i <= 2; i++ {
		streams = append(streams, chunks(feed.New(1, prefix.IPv4, prefixes).Sender(65000+uint32(i), netip.AddrFrom4([4]byte{10, 1, i, 2})).Stream()))
	}
	var load, move, out time.Duration
	for range b.N {
		core := NewCore(quiet())
		var waiting []*Batch
		core.UseKernel(func(b *Batch) { waiting = append(waiting, b) }, true)
		core.KernelNews(snapshot())
		core.Configure(withKernel(ebgpConfig(b, 2)))
		outs := make([]drain, 3)
		for i := range streams {
			core.Up(packet.ID(i+1), established(i+1), &outs[i+1])
		}
		settle := func() {
			for core.Settle(); len(waiting) > 0; core.Settle() {
				core.Written(waiting[0])
				waiting = waiting[1:]
			}
		}
		start := time.Now()
		for _, s := range streams[0] {
			core.Messages(1, s)
			settle()
		}
		load += time.Since(start)
		if n := core.tables[0][prefix.IPv4].install.count; n != prefixes {
			b.Fatalf("%d routes are in the kernel", n)
		}
		start = time.Now()
		longest := time.Duration(0)
		core.KernelNews(fib.Event{Routes: []fib.Foreign{via("10.1.1.2/32", "10.1.3.9", 3, 5)}})
		for last := start; core.Work() || len(waiting) > 0; last = time.Now() {
			for _, b := range waiting {
				core.Written(b)
			}
			waiting = waiting[:0]
			longest = max(longest, time.Since(last))
		}
		move += time.Since(start)
		b.ReportMetric(float64(longest.Microseconds()), "µs/slice")
		start = time.Now()
		core.Down(1, sessionReason)
		settle()
		out += time.Since(start)
	}
	for name, d := range map[string]time.Duration{"ns/load": load, "ns/move": move, "ns/out": out} {
		b.ReportMetric(float64(d.Nanoseconds())/float64(b.N)/prefixes, name)
	}
	b.ReportMetric(0, "ns/op")
}
