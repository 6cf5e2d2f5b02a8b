package engine

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"holdfast/internal/export"
	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
	"holdfast/testkit/model"
)

// randomKernel is the kernel of a world: it has a way to every next hop that
// neighbors send, by a route of its own, so that no route of ours is longer; and
// now and then it refuses routes, loses some, or has some of others.
type randomKernel struct {
	*fakeKernel
	w        *world
	ways     map[netip.Addr]fib.Foreign // to the next hops
	foreign  map[prefix.Prefix]fib.Foreign
	down     map[int]bool // links
	without  bool         // it takes no nexthop objects,
	stubborn bool         // or not always
	refused  map[prefix.Prefix]bool
	acked    map[string]bool        // slots that we have been told of
	there    map[prefix.Prefix]bool // what has been found to be in the kernel
	begun    bool                   // more is to go to the kernel since the last check: it has been announced before
}

// blueTable is the number of a second table in the kernel, whose routes are all
// imports from the main one.
const blueTable = 100

func (w *world) withKernel() {
	w.cfg.Tables = []Table{{Name: "main", Resolve: []uint32{fib.MainTable}, From: fib.MainTable, Install: &Install{Kernel: fib.MainTable, Metric: kernelMetric}},
		{Name: "blue", Resolve: []uint32{fib.MainTable}, Install: &Install{Kernel: blueTable, Metric: kernelMetric}}}
	w.k = &randomKernel{fakeKernel: newFakeKernel(), w: w,
		ways: map[netip.Addr]fib.Foreign{}, foreign: map[prefix.Prefix]fib.Foreign{}, down: map[int]bool{},
		refused: map[prefix.Prefix]bool{}, acked: map[string]bool{}}
	w.k.core, w.k.late, w.k.without = w.core, w.r.IntN(2) == 0, w.r.IntN(4) == 0
	w.k.objects.refuse = func(fib.ObjectChange) error {
		if w.k.stubborn && w.r.IntN(3) == 0 {
			return errRefused
		}
		return nil
	}
	w.k.refuse = func(ch fib.Change) error {
		if w.k.refused[ch.Prefix] {
			return errRefused
		}
		return nil
	}
	w.core.UseKernel(w.k.out, !w.k.without)
	w.core.KernelNews(w.k.links(true))
	w.twin.Cost = w.k.cost
	for i := 1; i <= worldNeighbors; i++ {
		for f := range prefix.Family(prefix.Families) {
			w.setWay(i, f)
		}
	}
}

// links is news of both links.
func (k *randomKernel) links(snapshot bool) fib.Event {
	return fib.Event{Snapshot: snapshot, Links: []fib.Link{{Index: 2, Name: "eth0", Up: !k.down[2]}, {Index: 3, Name: "eth1", Up: !k.down[3]}}}
}

// cost is that of the way to a next hop.
func (k *randomKernel) cost(b []byte) (uint32, bool) {
	a, _ := netip.AddrFromSlice(b)
	f, ok := k.ways[a]
	if !ok || f.Action != fib.Unicast || k.down[f.Hops[0].Link] {
		return 0, false
	}
	if f.Connected() {
		return 0, true
	}
	return f.Metric, true
}

// answers gives all answers.
func (k *randomKernel) answers() (any bool) {
	for len(k.waiting) > 0 {
		k.answerOne()
		any = true
	}
	return any
}

func (k *randomKernel) answerOne() {
	b := k.waiting[0]
	k.waiting = k.waiting[1:]
	if k.late {
		k.write(b)
	}
	for i := range b.Changes {
		if ch := &b.Changes[i]; b.Errs[i] == nil {
			k.acked[slot(&ch.Route)] = !ch.Delete
		}
	}
	k.core.Written(b)
}

// hopOf is the next hop that a neighbor sends in a family.
func hopOf(i int, f prefix.Family) netip.Addr {
	if f == prefix.IPv6 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i), 15: 2})
	}
	return netip.AddrFrom4([4]byte{10, 1, byte(i), 2})
}

// setWay changes the kernel's way to a next hop.
func (w *world) setWay(i int, f prefix.Family) {
	a := hopOf(i, f)
	gateway := netip.AddrFrom4([4]byte{10, 255, 0, byte(w.r.IntN(2))})
	if f == prefix.IPv6 {
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
	e := fib.Event{Routes: []fib.Foreign{way, otherwise(way)}}
	if old, ok := w.k.ways[a]; ok && old.Metric != way.Metric {
		e.Lost = append(e.Lost, old)
	}
	w.k.ways[a] = way
	w.say("way to %v: %v %v metric %d", a, way.Action, way.Hops, way.Metric)
	w.core.KernelNews(e)
}

// otherwise is what holds while the link of a way is down, so that no route of
// ours leads there.
func otherwise(way fib.Foreign) fib.Foreign {
	way.Action, way.Metric, way.Hops = fib.Unreachable, 99, nil
	return way
}

// setForeign begins or ends a route of others for a prefix of ours.
func (w *world) setForeign(p prefix.Prefix) {
	if f, ok := w.k.foreign[p]; ok {
		w.say("others have %v no more", p)
		delete(w.k.foreign, p)
		w.core.KernelNews(fib.Event{Lost: []fib.Foreign{f}})
		return
	}
	f := fib.Foreign{Protocol: 11, Route: fib.Route{Table: fib.MainTable, Prefix: p, Metric: 5,
		Forward: fib.Forward{Hops: []fib.Hop{{Gateway: hopOf(1+w.r.IntN(worldNeighbors), p.Family), Link: 2 + w.r.IntN(2)}}}}}
	w.say("others have %v by %v", p, f.Hops)
	w.k.foreign[p] = f
	w.core.KernelNews(fib.Event{Routes: []fib.Foreign{f}})
}

// owned tells the twin which routes of ours have a next hop.
func (w *world) owned() {
	w.twin.Own = map[prefix.Prefix]map[uint32]model.Route{}
	put := func(p prefix.Prefix, k localKind, hop netip.Addr) {
		r := model.Route{Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: wire.OriginIncomplete}, Discard: !hop.IsValid()}
		if hop.IsValid() {
			r.NextHop = hop.AsSlice()
		}
		if w.twin.Own[p] == nil {
			w.twin.Own[p] = map[uint32]model.Route{}
		}
		w.twin.Own[p][uint32(k)] = r
	}
	for _, s := range w.cfg.Static {
		put(s.Prefix, localStatic, s.NextHop)
	}
	if w.k == nil || w.cfg.Tables[0].Redistribute == nil {
		return
	}
	for p, f := range w.k.foreign {
		if !w.k.down[f.Hops[0].Link] {
			put(p, localKernel, f.Hops[0].Gateway)
		}
	}
}

// kernelStep lets something happen in the kernel, or to what is to be there.
func (w *world) kernelStep() {
	k, p := w.k, universe[w.r.IntN(len(universe))]
	switch w.r.IntN(28) {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		w.setWay(1+w.r.IntN(worldNeighbors), p.Family)
	case 8, 9:
		for s, r := range k.routes {
			w.say("the kernel loses %v", r.Prefix)
			delete(k.routes, s)
			w.core.KernelNews(fib.Event{OwnLost: []fib.Route{r}})
			break
		}
	case 10, 11, 12:
		if len(k.waiting) > 0 {
			w.say("the kernel answers once")
			k.answerOne()
		}
	case 13:
		i := 2 + w.r.IntN(2)
		k.down[i] = !k.down[i]
		w.say("link %d is down: %v", i, k.down[i])
		k.setLink(i, k.down[i])
		w.core.KernelNews(k.links(false))
	case 14, 15:
		w.say("the kernel refuses %v", p)
		k.refused[p] = true
	case 16, 17:
		w.setForeign(p)
	case 18:
		w.restart()
	case 19:
		k.stubborn = !k.stubborn
		w.say("the kernel refuses nexthop objects: %v", k.stubborn)
	case 20:
		id := fib.FirstObject + uint32(w.r.IntN(30))
		if _, ours := k.objects.all[id]; !ours {
			w.say("others have nexthop object %d", id)
			k.objects.taken[id] = true
		}
	case 21, 22:
		if all := sortedKeys(k.objects.all); len(all) > 0 {
			id := all[w.r.IntN(len(all))]
			w.say("others remove nexthop object %d", id)
			k.removeObject(id)
			w.core.KernelNews(fib.Event{ObjectsLost: []uint32{id}})
		}
	default:
		w.editKernel()
		w.apply()
	}
	w.owned()
}

// editKernel changes what goes to the kernel, and how.
func (w *world) editKernel() {
	w.cfg.Tables = slices.Clone(w.cfg.Tables)
	t := &w.cfg.Tables[w.r.IntN(len(w.cfg.Tables))]
	main, on, p := &w.cfg.Tables[0], w.r.IntN(2) == 0, universe[w.r.IntN(len(universe))]
	w.k.begun = w.k.begun || t.Install == nil
	x := Install{Kernel: fib.MainTable, Metric: kernelMetric}
	if t != main {
		x.Kernel = blueTable
	}
	if t.Install != nil {
		x = *t.Install
	}
	t.Install = &x
	switch w.r.IntN(7) {
	case 0:
		x.Metric = 27 - x.Metric
	case 1:
		x.Multipath = 0
		if on && t == main {
			x.Multipath = 64
		}
	case 2:
		x.Policy = nil
		if on {
			x.Policy = program(w.t, notOne, nil)
		}
		w.k.begun = true
	case 3:
		t.Install = nil
	case 4:
		w.cfg.Leaks = nil
		if on {
			w.cfg.Leaks = []Leak{{From: 0, To: 1, Policy: program(w.t, notOne, nil)}}
		}
	case 5:
		main.Redistribute = nil
		if on {
			main.Redistribute = program(w.t, &policy.Policy{Name: "others", Rules: []policy.Rule{rule(policy.Actions{}, policy.Reject,
				policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.1.0.0/16 ge 32", "2001:db8::/32 ge 128")}), rule(policy.Actions{}, policy.Accept)}}, nil)
		}
	case 6:
		w.cfg.Static = slices.DeleteFunc(slices.Clone(w.cfg.Static), func(s Static) bool { return s.Prefix == p })
		if s := (Static{Prefix: p, Discard: w.r.IntN(3) == 0}); on {
			if !s.Discard {
				s.NextHop = hopOf(1+w.r.IntN(worldNeighbors), p.Family)
			}
			w.cfg.Static = append(w.cfg.Static, s)
		}
	}
	w.say("tables %+v %+v, imports %d, redistribution %v, static routes %+v", w.cfg.Tables[0].Install, w.cfg.Tables[1].Install, len(w.cfg.Leaks), main.Redistribute != nil, w.cfg.Static)
}

// notOne leaves one prefix out.
var (
	leftOut = prefix.MustParse("10.1.2.0/24")
	notOne  = &policy.Policy{Name: "not one", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.1.2.0/24")}),
		rule(policy.Actions{}, policy.Accept)}}
)

// restart begins anew on the same kernel, whose routes of ours are taken over.
func (w *world) restart() {
	if w.stays {
		return
	}
	w.say("restart")
	for i := range w.peers {
		if w.peers[i] != nil {
			w.down(i)
		} else if i > 0 {
			w.forget(i)
		}
	}
	clear(w.announced)
	clear(w.twin.VRPs)
	clear(w.twin.Providers)
	w.originatedOnly()
	w.undrain()
	k := w.k
	pace := w.core.pace
	if k.late && w.r.IntN(2) == 0 {
		for _, b := range k.waiting {
			k.write(b)
		}
	}
	w.core = NewCore(quiet())
	w.core.pace = pace
	k.core, k.waiting = w.core, nil
	clear(k.acked)
	clear(k.refused)
	w.core.UseKernel(k.out, !k.without)
	e := k.links(true)
	e.Routes = slices.Collect(maps.Values(k.foreign))
	for _, way := range k.ways {
		e.Routes = append(e.Routes, way, otherwise(way))
	}
	w.core.KernelNews(e)
	for i := range w.far {
		w.far[i].gone = false
	}
	w.core.Configure(w.cfg)
	w.core.Adopt(slices.Collect(maps.Values(k.routes)), k.left(), 120)
	if w.r.IntN(2) == 0 {
		w.core.Defer(Deferral{Await: []string{"n"}, Come: uint32(w.r.IntN(100)), End: 100})
	}
	for s := range k.routes {
		k.acked[s] = true
	}
}

// calmKernel lets the kernel take everything and the routes of an earlier run go.
func (w *world) calmKernel() {
	k := w.k
	if len(k.refused) == 0 && w.core.deferral == nil && !k.stubborn && w.core.now >= w.core.objects.held && w.core.waitUntil == 0 && len(w.core.orphans) == 0 {
		return
	}
	clear(k.refused)
	k.stubborn = false
	w.later(200)
	w.settle()
	w.later(20) // for what could not be taken away then
	w.settle()
}

// lastly takes away what the kernel has of others.
func (k *randomKernel) lastly() {
	clear(k.refused)
	k.stubborn, k.objects.down = false, map[int]bool{}
	k.down, k.foreign = map[int]bool{}, map[prefix.Prefix]fib.Foreign{}
	k.core.KernelNews(k.links(true))
	k.core.SetNow(k.core.now + 200)
}

// checkAnnounced holds us to RFC 4271 section 9.1.3: what has a next hop and is
// announced is in the kernel, as far as it has told us. What has been announced
// before may be on its way into the kernel again: a withdrawal that was not sent
// yet, as a member does not read, is none if the route comes back.
func (w *world) checkAnnounced() {
	was := w.k.there
	w.k.there = map[prefix.Prefix]bool{}
	for _, t := range w.core.tables[0] {
		x := t.install
		if x == nil || x.closing || x.Policy != nil || w.k.begun {
			continue
		}
		for _, g := range t.groups {
			for id := rib.ID(1); id <= t.Top(); id++ {
				if !t.Live(id) || !slices.ContainsFunc(g.Members(), func(m *export.Member) (others bool) {
					m.Sent(id, func(s export.SentRoute) { others = others || w.core.store.At(s.Block).Key.Neighbor != 0 })
					return others
				}) {
					continue
				}
				p, best := t.Prefix(id), t.Best(id)
				// Packets of all paths take the best one, which may be ours.
				in := g.WantsAll() && best != nil && best.Neighbor == 0
				for _, m := range []uint32{7, kernelMetric} {
					in = in || w.k.acked[slot(&fib.Route{Table: fib.MainTable, Prefix: p, Metric: m})]
				}
				again := (g.WantsAll() || !x.idle()) && (was[p] || w.k.acked[slot(&fib.Route{Table: fib.MainTable, Prefix: p, Metric: discardMetric})])
				w.k.there[p] = w.k.there[p] || in || was[p]
				if g.Pending() == 0 && !in && !again {
					w.fail("%v is announced, and not in the kernel", p)
				}
			}
		}
	}
}

// checkKernel compares the kernel's routes with what the twin would have there.
func (w *world) checkKernel() {
	w.k.begun = false
	want := map[string]fib.Route{}
	for _, p := range universe {
		best := w.twin.Best(p)
		if best == nil {
			continue
		}
		for i, t := range w.cfg.Tables {
			if t.Install == nil || (t.Install.Policy != nil || i == 1) && p == leftOut || i == 1 && w.cfg.Leaks == nil {
				continue
			}
			best := best
			if s, ok := w.twin.Own[p][uint32(localStatic)]; ok && i == 0 && best.From == nil && best.PathID == uint32(localOriginated) {
				if _, ok := w.k.cost(s.NextHop); ok || s.Discard {
					best = &model.Path{PathID: uint32(localStatic), Route: s} // says where the packets of what we originate go
				}
			}
			r := fib.Route{Table: t.Install.Kernel, Prefix: p, Metric: t.Install.Metric}
			switch {
			case best.Discard:
				r.Action = fib.Blackhole
				if best.From == nil {
					r.Metric = discardMetric
				}
			case best.From != nil && t.Install.Multipath > 1:
				for _, e := range w.twin.Equal(p) {
					if !e.Discard {
						r.Hops = append(r.Hops, w.k.hop(e.NextHop))
					}
				}
				slices.SortFunc(r.Hops, func(a, b fib.Hop) int { return cmp.Or(a.Link-b.Link, a.Gateway.Compare(b.Gateway)) })
				r.Hops = slices.Compact(r.Hops)
			case best.From == nil && best.PathID == uint32(localAggregate) && i == 0:
				r.Metric, r.Action = discardMetric, fib.Unreachable
			case best.From == nil && best.PathID == uint32(localKernel) && i == 0, len(best.NextHop) == 0:
				continue
			default:
				r.Hops = []fib.Hop{w.k.hop(best.NextHop)}
			}
			want[slot(&r)] = r
		}
	}
	same := func(a, b fib.Route) bool { return a.Action == b.Action && slices.Equal(a.Hops, w.k.outs(&b)) }
	if !maps.EqualFunc(want, w.k.routes, same) {
		w.fail("the kernel has %s, want %v", w.k.text(), want)
	}
}

// hop is the way to a next hop.
func (k *randomKernel) hop(b []byte) fib.Hop {
	a, _ := netip.AddrFromSlice(b)
	h := k.ways[a].Hops[0]
	if !h.Gateway.IsValid() {
		h.Gateway = a
	}
	return h
}
