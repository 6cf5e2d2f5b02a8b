package engine

import (
	"maps"
	"net/netip"
	"slices"

	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/model"
)

// apply makes what was edited the running configuration.
func (w *world) apply() {
	w.cfg.Revision++
	cfg := w.cfg
	cfg.Neighbors = nil
	for i, n := range w.cfg.Neighbors {
		if !w.far[i+1].gone {
			cfg.Neighbors = append(cfg.Neighbors, n)
		} else {
			w.far[i+1].drained = false
		}
	}
	w.drained()
	w.core.Configure(cfg)
	w.mayKeep()
}

// drain drains one neighbor, or all, or ends that.
func (w *world) drain(i int) {
	on := w.r.IntN(2) == 0
	if w.r.IntN(3) > 0 {
		w.say("%d is drained: %v", i, on)
		w.far[i].drained = on
		w.core.Drain(on, packet.ID(i))
	} else {
		w.say("all are drained: %v", on)
		w.undrain()
		w.allDrained = on
		w.core.Drain(on)
	}
	w.drained()
}

// undrain forgets what commands have drained.
func (w *world) undrain() {
	w.allDrained = false
	for i := range w.far {
		w.far[i].drained = false
	}
	w.drained()
}

// drained tells the twin who is, by the configuration or a command.
func (w *world) drained() {
	for i := range w.cfg.Neighbors {
		m := w.twin.Neighbors[i]
		m.Last = w.cfg.Neighbors[i].Drain || w.far[i+1].drained
		m.Drain = m.Last || w.allDrained
	}
}

// edit changes one thing in the configuration.
func (w *world) edit() {
	switch w.r.IntN(9) {
	case 8:
		w.verifyPaths()
	case 0:
		w.editLocal()
	case 1:
		p := universe[[]int{0, 1, 5}[w.r.IntN(3)]] // 10.0.0.0/8, 10.1.0.0/16, 2001:db8::/32
		if _, ok := w.twin.Aggregates[p]; ok {
			delete(w.twin.Aggregates, p)
		} else {
			w.twin.Aggregates[p] = wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasAtomicAggregate}
			w.twin.Suppress = map[prefix.Prefix]bool{p: w.r.IntN(2) == 0, universe[0]: w.r.IntN(2) == 0}
		}
		w.cfg.Aggregate = nil
		for p, a := range w.twin.Aggregates {
			w.cfg.Aggregate = append(w.cfg.Aggregate, Aggregate{Prefix: p, Attrs: a, Suppress: w.twin.Suppress[p]})
		}
		w.say("aggregates %v, that suppress %v", w.twin.Aggregates, w.twin.Suppress)
	case 2:
		w.editRouter()
	case 3, 4, 5:
		in, out := w.r.IntN(len(imports)), w.r.IntN(len(exports))
		w.some(func(n *Neighbor, m *model.Neighbor) {
			w.say("%d import %d export %d", n.ID, in, out)
			for f := range n.Families {
				n.Families[f].Import, n.Families[f].Export = nil, nil
				if p := imports[in].policy; p != nil {
					n.Families[f].Import = program(w.t, p, &n.Source)
				}
				if p := exports[out].policy; p != nil {
					n.Families[f].Export = program(w.t, p, nil)
				}
			}
			m.Import, m.Export = imports[in].model, exports[out].model
		})
	default:
		w.editNeighbors()
	}
}

// editLocal begins or ends a route of the router's own, of the configuration or
// of an operator, who wins.
func (w *world) editLocal() {
	p := universe[w.r.IntN(len(universe))]
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: uint8(w.r.IntN(2))}
	kind := w.originated
	if w.r.IntN(2) == 0 {
		kind = w.announced
	}
	_, stands := kind[p]
	if kind[p] = a; stands {
		delete(kind, p)
	}
	w.originatedOnly()
	maps.Copy(w.twin.Local, w.announced)
	if a, on := w.announced[p]; on {
		w.core.Announce(Origination{Prefix: p, Attrs: a})
	} else {
		w.core.Withdraw(0, p)
	}
	w.say("originations %v, announcements %v", w.originated, w.announced)
}

// originatedOnly has the routes of the router's own be those of the configuration.
func (w *world) originatedOnly() {
	w.cfg.Originate, w.twin.Local = nil, maps.Clone(w.originated)
	for p, a := range w.originated {
		w.cfg.Originate = append(w.cfg.Originate, Origination{Prefix: p, Attrs: a})
	}
}

func (w *world) editRouter() {
	n := uint32(1 + w.r.IntN(2))
	switch w.r.IntN(5) {
	case 4:
		w.cfg.MeshedClients, w.twin.MeshedClients = n == 1, n == 1
	case 0:
		w.cfg.ClusterID, w.twin.ClusterID = n, n
	case 1:
		w.cfg.RouterID, w.twin.RouterID = n, n
	case 2:
		w.cfg.Decision.DefaultLocalPref, w.twin.DefaultLocalPref = 98+n, 98+n
	case 3:
		w.cfg.Decision.AlwaysCompareMED, w.twin.AlwaysCompareMED = n == 1, n == 1
	}
	w.say("cluster ID %d, clients are meshed: %v, router ID %d, decision %+v", w.cfg.ClusterID, w.cfg.MeshedClients, w.cfg.RouterID, w.cfg.Decision)
}

// some edits one neighbor, or all.
func (w *world) some(edit func(*Neighbor, *model.Neighbor)) {
	one, all := w.r.IntN(worldNeighbors), w.r.IntN(3) == 0
	w.cfg.Neighbors = slices.Clone(w.cfg.Neighbors)
	for i := range w.cfg.Neighbors {
		if i == one || all {
			edit(&w.cfg.Neighbors[i], w.twin.Neighbors[i])
		}
	}
}

// editNeighbors changes one of the settings of neighbors.
func (w *world) editNeighbors() {
	k, f, on, n := w.r.IntN(19), prefix.Family(w.r.IntN(2)), w.r.IntN(2) == 0, w.r.IntN(5)
	both := func(x *Neighbor, set func(*Family)) {
		for f := range x.Families {
			set(&x.Families[f])
		}
	}
	w.some(func(x *Neighbor, m *model.Neighbor) {
		w.say("%d setting %d: %v %v %d", x.ID, k, f, on, n)
		switch k {
		case 0:
			x.Families[f].Client = !x.EBGP && on
			m.Client[f] = x.Families[f].Client
		case 1:
			kind := []export.NextHopKind{export.NextHopAuto, export.NextHopSelf, export.NextHopUnchanged}[n%3]
			both(x, func(f *Family) { f.NextHop = kind })
			m.NextHopSelf, m.NextHopUnchanged = kind == export.NextHopSelf, kind == export.NextHopUnchanged
		case 2:
			x.Families[f].NextHopAddr = netip.Addr{}
			if on {
				x.Families[f].NextHopAddr = [...]netip.Addr{netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")}[f]
			}
		case 3:
			both(x, func(f *Family) { f.RemovePrivate = on })
			m.RemovePrivate = on
		case 4:
			both(x, func(f *Family) { f.ASOverride = on })
			m.ASOverride = on
		case 5:
			both(x, func(f *Family) { f.DefaultOriginate = on })
			m.DefaultOriginate = on
		case 6:
			x.Checks.AllowOwnAS = n % 2
			m.AllowOwnAS = n % 2
		case 7:
			x.Checks.MaxPathLength = n
			m.MaxPathLength = n
			x.Checks.EnforceFirstAS = w.plain || on
			m.EnforceFirstAS = x.Checks.EnforceFirstAS
		case 8:
			x.Families[f].Limit = Limit{Max: n, Warn: n / 2, AfterPolicy: on, Action: LimitAction(w.r.IntN(3))}
		case 9:
			x.Addr = netip.AddrFrom4([4]byte{10, byte(n), byte(x.ID), 2})
			a := x.Addr.As16()
			m.Addr = a[:]
		case 10:
			x.SendBoth, x.PrependLocal = on, n%2 == 0
			m.SendBoth, m.PrependLocal = x.SendBoth, x.PrependLocal
		case 16:
			both(x, func(f *Family) { f.PathsOut = n * n })
			if m.PathsOut > 0 {
				m.PathsOut = max(1, n*n)
			}
		case 18:
			x.StaleTime, x.LongLived = uint32(n%4)*20, uint32(n%3)*50
		case 17:
			role := Role((n + int(f)) % 6)
			x.Role = role
			m.Role = [...]string{"", "customer", "rs-client", "rs", "provider", "peer"}[role]
		case 15:
			x.HonorShutdown = on
			m.HonorShutdown = on
		case 14:
			x.Drain = on
		case 13:
			both(x, func(f *Family) { f.RouteServer = x.EBGP && on })
			m.RouteServer = x.EBGP && on
		case 12:
			both(x, func(f *Family) { f.SendSuppressed = on })
			m.SendSuppressed = on
		case 11:
			x.Families[f].MaxOut = n
			if p := w.peers[x.ID]; p != nil && p.most[f] > 0 && (n == 0 || n > p.most[f]) {
				p.most[f] = n // else it has more until it reads
			}
		}
	})
}
