package engine

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
)

// BenchmarkRouteServer has clients that each announce some prefixes, with an
// export policy of its own for each, and then one of them flaps.
func BenchmarkRouteServer(b *testing.B) {
	const clients, each = 200, 1000
	cfg := ebgpConfig(b, clients)
	var streams [][][]byte
	for i := range cfg.Neighbors {
		n := &cfg.Neighbors[i]
		own := &policy.Policy{Name: "to clients", Rules: []policy.Rule{
			rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondCommunity, Communities: []*policy.CommunitySet{communities(fmt.Sprintf("0:%d", n.ASN&0xffff))}}),
			rule(policy.Actions{}, policy.Accept)}}
		for f := range n.Families {
			n.Families[f].RouteServer, n.Families[f].Export = true, program(b, own, nil)
		}
		table := feed.New(uint64(i+1), prefix.IPv4, each)
		streams = append(streams, chunks(table.Sender(n.ASN, netip.AddrFrom4([4]byte{10, 1, byte(i + 1), 2})).Stream()))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range b.N {
		core := NewCore(quiet())
		core.Configure(cfg)
		outs := make([]drain, clients+1)
		for i := range streams {
			core.Up(packet.ID(i+1), established(i+1), &outs[i+1])
		}
		for i, s := range streams {
			for _, m := range s {
				core.Messages(packet.ID(i+1), m)
				core.Settle()
			}
		}
		load := b.Elapsed()
		b.ReportMetric(load.Seconds(), "s/load")
		core.Down(1, sessionReason)
		core.Settle()
		core.Up(1, established(1), &outs[1])
		for _, m := range streams[0] {
			core.Messages(1, m)
			core.Settle()
		}
		b.ReportMetric((b.Elapsed()-load).Seconds()*1000, "ms/flap")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MB")
		runtime.KeepAlive(core)
	}
	b.ReportMetric(0, "ns/op")
}
