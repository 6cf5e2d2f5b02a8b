package bench

import (
	"io"
	"net/netip"
	"testing"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
)

const (
	monitors = 50
	prefixes = 200_000
)

// BenchmarkFanout sends one table to fifty neighbors, all of which talk to one
// address of the router, or each to an address of its own, so that each is
// told another next hop. They share one update group all the same.
func BenchmarkFanout(b *testing.B) {
	stream := table(feed.New(1, prefix.IPv4, prefixes), 0)
	for _, own := range []bool{false, true} {
		name := "one-address"
		if own {
			name = "fifty-addresses"
		}
		b.Run(name, func(b *testing.B) {
			b.StopTimer()
			for range b.N {
				fanout(b, own, stream)
			}
		})
	}
}

func fanout(b *testing.B, own bool, stream []byte) {
	address := func(i int) netip.Addr {
		if own {
			return routerAddr(i)
		}
		return routerAddr(0)
	}
	r := start(b, monitors+1, address)
	go io.Copy(io.Discard, r.neighbors[0].Conn())
	b.StartTimer()
	var g errgroup.Group
	for i, s := range r.neighbors[1:] {
		g.Go(func() error { return await(s, 1, address(i+1)) })
	}
	g.Go(func() error { _, err := r.neighbors[0].Conn().Write(stream); return err })
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	r.stop()
}
