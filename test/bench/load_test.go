package bench

import (
	"fmt"
	"io"
	"net/netip"
	"testing"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
)

// BenchmarkLoad plays the same prefixes from some neighbors at once: from the
// first byte sent until one more neighbor has the last route of each.
func BenchmarkLoad(b *testing.B) {
	for _, c := range []struct{ senders, prefixes int }{{1, 1_000_000}, {10, 200_000}} {
		b.Run(fmt.Sprintf("senders=%d/prefixes=%d", c.senders, c.prefixes), func(b *testing.B) {
			b.StopTimer()
			routes := feed.New(1, prefix.IPv4, c.prefixes)
			var streams [][]byte
			for i := range c.senders {
				streams = append(streams, table(routes, i))
			}
			for range b.N {
				r := start(b, c.senders+1, func(int) netip.Addr { return routerAddr(0) })
				for _, s := range r.neighbors[:c.senders] {
					go io.Copy(io.Discard, s.Conn())
				}
				b.StartTimer()
				var g errgroup.Group
				for i, s := range streams {
					g.Go(func() error { _, err := r.neighbors[i].Conn().Write(s); return err })
				}
				g.Go(func() error { return await(r.neighbors[c.senders], c.senders, routerAddr(0)) })
				if err := g.Wait(); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				r.stop()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.senders*c.prefixes), "ns/path")
		})
	}
}
