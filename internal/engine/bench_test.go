package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

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
