package engine

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"holdfast/internal/fib"
	"holdfast/internal/prefix"
)

// withKernel gives the world a kernel, which has a way to every next hop that
// neighbors send, by a route of its own, so that no route of ours is longer.
func (w *world) withKernel() {
	w.cfg.Tables = []Table{{Name: "main", Resolve: []uint32{fib.MainTable}, Install: &Install{Kernel: fib.MainTable, Metric: kernelMetric}}}
	w.k = &fakeKernel{core: w.core, routes: map[string]fib.Route{}}
	w.core.UseKernel(w.k.out)
	e := snapshot()
	e.Addrs, e.Routes = nil, nil
	w.core.KernelNews(e)
	w.ways = map[netip.Addr]fib.Foreign{}
	w.twin.Cost = func(b []byte) (uint32, bool) {
		a, _ := netip.AddrFromSlice(b)
		f, ok := w.ways[a]
		if f.Connected() {
			return 0, true
		}
		return f.Metric, ok && f.Action == fib.Unicast
	}
	for i := 1; i <= worldNeighbors; i++ {
		for f := range prefix.Family(prefix.Families) {
			w.setWay(i, f)
		}
	}
}

// setWay changes the kernel's way to a next hop.
func (w *world) setWay(i int, f prefix.Family) {
	a := netip.AddrFrom4([4]byte{10, 1, byte(i), 2})
	gateway := netip.AddrFrom4([4]byte{10, 255, 0, byte(w.r.IntN(2))})
	if f == prefix.IPv6 {
		a = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i), 15: 2})
		gateway = netip.MustParseAddr(fmt.Sprintf("fe80::%x", 1+w.r.IntN(2)))
	}
	way := fib.Foreign{Protocol: 188, Route: fib.Route{Table: fib.MainTable, Prefix: prefix.FromNetip(netip.PrefixFrom(a, a.BitLen()))}}
	switch k := w.r.IntN(6); {
	case k == 0:
		way.Action = fib.Unreachable
	case k < 3:
		way.Protocol, way.Hops = 2, []fib.Hop{{Link: 2 + w.r.IntN(2)}}
	default:
		way.Metric, way.Hops = uint32(1+w.r.IntN(2)), []fib.Hop{{Gateway: gateway, Link: 2 + w.r.IntN(2)}}
	}
	e := fib.Event{Routes: []fib.Foreign{way}}
	if old, ok := w.ways[a]; ok && old.Metric != way.Metric {
		e.Lost = append(e.Lost, old)
	}
	w.ways[a] = way
	w.say("way to %v: %v %v metric %d", a, way.Action, way.Hops, way.Metric)
	w.core.KernelNews(e)
}

// kernelStep changes a way, loses a route of ours, or lets the kernel answer.
func (w *world) kernelStep() {
	switch k := w.r.IntN(8); {
	case k < 5:
		w.setWay(1+w.r.IntN(worldNeighbors), prefix.Family(w.r.IntN(2)))
	case k < 6:
		for s, r := range w.k.routes {
			w.say("the kernel loses %v", r.Prefix)
			delete(w.k.routes, s)
			w.core.KernelNews(fib.Event{OwnLost: []fib.Route{r}})
			break
		}
	default:
		w.k.answer()
	}
}

// checkKernel compares the kernel's routes with what the twin would have there.
func (w *world) checkKernel() {
	want := map[string]fib.Route{}
	for _, p := range universe {
		best := w.twin.Best(p)
		if best == nil {
			continue
		}
		r := fib.Route{Table: fib.MainTable, Prefix: p, Metric: kernelMetric}
		switch {
		case best.Discard:
			r.Action = fib.Blackhole
		case best.From != nil:
			a, _ := netip.AddrFromSlice(best.Attrs.NextHop)
			way := w.ways[a]
			r.Hops = slices.Clone(way.Hops)
			if !r.Hops[0].Gateway.IsValid() {
				r.Hops[0].Gateway = a
			}
		case best.PathID == uint32(localAggregate):
			r.Metric, r.Action = discardMetric, fib.Unreachable
		default:
			continue
		}
		want[slot(&r)] = r
	}
	same := func(a, b fib.Route) bool { return a.Action == b.Action && slices.Equal(a.Hops, b.Hops) }
	if !maps.EqualFunc(want, w.k.routes, same) {
		w.fail("the kernel has %s, want %v", w.k.text(), want)
	}
}
