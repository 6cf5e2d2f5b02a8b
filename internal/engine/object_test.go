package engine

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
)

// newPairDesk has a hundred prefixes of neighbors 1, which is better, and 2, whose
// next hops are on links 2 and 3, and neighbor 3, which is told.
func newPairDesk(t *testing.T) (d *kernelDesk, prefixes []string) {
	d = newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	d.core.KernelNews(fib.Event{Lost: []fib.Foreign{connected("10.1.2.0/24", 2)}})
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{connected("10.1.2.0/24", 3)}})
	for i := range 100 {
		p := fmt.Sprintf("10.8.%d.0/24", i)
		d.announce(1, p, route(1, 65001))
		d.announce(2, p, route(2, 65002, 7))
		prefixes = append(prefixes, p)
	}
	d.settle()
	d.wantWay("10.1.1.2", 100)
	return d, prefixes
}

// wantWay holds the kernel to n routes whose packets go by a gateway.
func (d *kernelDesk) wantWay(gateway string, n int) {
	d.t.Helper()
	got := 0
	for _, r := range d.k.routes {
		if hops := d.k.outs(&r); len(hops) == 1 && hops[0].Gateway.String() == gateway {
			got++
		}
	}
	if got != n {
		d.t.Errorf("%d routes by %s, want %d; the kernel has %s", got, gateway, n, d.k.text())
	}
}

// objects lets the kernel answer what was about objects alone.
func (d *kernelDesk) objects() {
	for i, b := range d.k.waiting {
		if b.own {
			d.k.waiting = slices.Delete(d.k.waiting, i, i+1)
			d.core.Written(b)
			return
		}
	}
	d.t.Error("the kernel was told nothing of objects")
}

// TestNeighborLost: the packets of all routes of a neighbor go another way with
// the first message, before its routes are taken out; what goes the new way already
// is announced before its own kernel route is written.
func TestNeighborLost(t *testing.T) {
	d, prefixes := newPairDesk(t)
	writes := d.k.writes
	d.down(1)
	d.wantWay("10.1.2.2", 100)
	if d.k.writes != writes {
		t.Errorf("%d routes were written", d.k.writes-writes)
	}
	d.objects()
	d.k.held = true
	d.settle()
	for _, p := range prefixes {
		if a := d.want(3, p, true); len(a.ASPath) != 14 {
			t.Fatalf("neighbor 3 still has the path %v for %s", a.ASPath, p)
		}
	}
	d.k.held = false
	d.settle()
	d.wantWay("10.1.2.2", 100)
	if n := len(d.k.objects.all); n != 0 {
		t.Errorf("%d objects are left, for routes without a second way", n)
	}
	d.up(1)
	for _, p := range prefixes {
		d.announce(1, p, route(1, 65001))
	}
	d.settle()
	d.wantWay("10.1.1.2", 100)
	d.empty()
}

// TestLateObject: what the kernel has not said of objects is not announced.
func TestLateObject(t *testing.T) {
	d, prefixes := newPairDesk(t)
	d.k.held = true
	d.down(1)
	d.settle()
	if a := d.want(3, prefixes[0], true); len(a.ASPath) != 10 {
		t.Errorf("neighbor 3 has the path %v before the kernel has answered", a.ASPath)
	}
	d.objects()
	d.settle()
	if a := d.want(3, prefixes[0], true); len(a.ASPath) != 14 {
		t.Errorf("neighbor 3 still has the path %v", a.ASPath)
	}
	d.k.held = false
	d.settle()
	d.empty()
}

// TestNextHopLost: as with a neighbor; and a next hop that is reached another way
// is one message, and nothing else.
func TestNextHopLost(t *testing.T) {
	d, _ := newPairDesk(t)
	writes := d.k.writes
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("10.1.1.2/32", "10.1.3.9", 3, 5)}})
	d.wantWay("10.1.3.9", 100)
	if d.settle(); d.k.writes != writes {
		t.Errorf("%d routes were written", d.k.writes-writes)
	}
	gone := via("10.1.1.2/32", "10.1.3.9", 3, 5)
	gone.Action, gone.Hops = fib.Unreachable, nil
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{gone}})
	if d.wantWay("10.1.2.2", 100); d.k.writes != writes {
		t.Errorf("%d routes were written", d.k.writes-writes)
	}
	d.settle()
	d.wantWay("10.1.2.2", 100)
	d.empty()
}

// TestLinkTakesLegs: with a link the kernel turns to what is left; with the last
// one the routes go, and they come back with the first that is up.
func TestLinkTakesLegs(t *testing.T) {
	d, _ := newPairDesk(t)
	set := func(i int, up bool) {
		d.k.setLink(i, !up)
		d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: i, Name: fmt.Sprintf("eth%d", i-2), Up: up}}})
	}
	set(2, false)
	d.wantWay("10.1.2.2", 100)
	set(3, false) // before the routes have moved
	d.wantWay("10.1.2.2", 0)
	d.settle()
	set(3, true)
	d.settle()
	d.wantWay("10.1.2.2", 100)
	set(2, true)
	d.settle()
	d.wantWay("10.1.1.2", 100)
	d.empty()
}

// TestBothLost: of a group whose standby is lost as well, the routes come again.
func TestBothLost(t *testing.T) {
	d, prefixes := newPairDesk(t)
	for _, p := range prefixes {
		d.announce(3, p, route(3, 65003, 7, 8))
	}
	d.settle()
	d.k.held = true
	d.down(2)
	d.down(1)
	d.core.Settle()
	d.k.held = false
	d.settle()
	d.wantWay("10.1.3.2", 100)
	d.empty()
}

// TestObjectsLost: what somebody else removes is made again, with its routes.
func TestObjectsLost(t *testing.T) {
	d, _ := newPairDesk(t)
	for range 2 {
		for _, id := range slices.Sorted(maps.Keys(d.k.objects.all)) {
			if _, ok := d.k.objects.all[id]; ok {
				d.k.removeObject(id)
				d.core.KernelNews(fib.Event{ObjectsLost: []uint32{id}})
				d.settle()
				d.wantWay("10.1.1.2", 100)
			}
		}
	}
	d.down(1)
	d.wantWay("10.1.2.2", 100)
	d.empty()
}

// TestObjectRefused: without objects routes are plain ones; IDs of others are left
// alone.
func TestObjectRefused(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	d.k.objects.refuse = func(fib.ObjectChange) error { return errRefused }
	for i := 1; i <= 2; i++ {
		d.announce(i, "10.8.0.0/16", route(i, 65000+uint32(i)))
	}
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.want(3, "10.8.0.0/16", true)
	d.k.objects.refuse = nil
	for i := range uint32(5) {
		d.k.objects.taken[fib.FirstObject+i] = true
	}
	d.core.SetNow(20)
	for i := 1; i <= 2; i++ {
		d.announce(i, "10.9.0.0/16", route(i, 65000+uint32(i)))
	}
	d.settle()
	d.down(1)
	d.objects()
	if hops := d.k.outs(ptr(d.k.routes["254 10.9.0.0/16 20"])); len(hops) != 1 || hops[0].Gateway.String() != "10.1.2.2" {
		t.Errorf("10.9.0.0/16 goes by %v", hops)
	}
	d.empty()
}

func ptr[T any](v T) *T { return &v }

// TestAdoptObjects: the next run goes on with routes and objects of the one before
// and writes nothing; what it does not want goes.
func TestAdoptObjects(t *testing.T) {
	d, prefixes := newPairDesk(t)
	d.k.objects.all[fib.FirstObject+99] = fib.Object{ID: fib.FirstObject + 99, Hop: fib.Hop{Link: 2, Gateway: hopOf(1, prefix.IPv4)}}
	before := maps.Clone(d.k.objects.all)
	d.core = NewCore(quiet())
	d.k.core, d.k.waiting = d.core, nil
	d.core.UseKernel(d.k.out, true)
	e := snapshot()
	e.Routes = append(e.Routes[:1:1], append(e.Routes[2:], connected("10.1.2.0/24", 3))...)
	d.core.KernelNews(e)
	d.core.Configure(d.cfg)
	d.core.Adopt(slices.Collect(maps.Values(d.k.routes)), d.k.left(), 120)
	writes := d.k.writes
	for i := 1; i <= 3; i++ {
		d.up(i)
	}
	for _, p := range prefixes {
		d.announce(1, p, route(1, 65001))
	}
	d.settle()
	for _, p := range prefixes {
		d.announce(2, p, route(2, 65002, 7))
	}
	d.settle()
	if n := d.k.writes - writes; n > 0 {
		t.Errorf("%d writes", n)
	}
	d.core.SetNow(200)
	d.settle()
	if _, there := d.k.objects.all[fib.FirstObject+99]; there || len(d.k.objects.all) != len(before)-1 {
		t.Errorf("the kernel has the objects %v, and had %v", d.k.objects.all, before)
	}
	d.wantWay("10.1.1.2", 100)
	d.core.Down(packet.ID(1), sessionReason)
	d.wantWay("10.1.2.2", 100)
	d.core.Up(packet.ID(1), established(1), d.peers[1])
	d.settle()
	d.empty()
}
