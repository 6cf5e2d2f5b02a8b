package engine

import (
	"cmp"
	"encoding/binary"
	"maps"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

func (w *world) attrs(i int) wire.Attrs {
	r := w.r
	n := &w.cfg.Neighbors[i-1]
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: uint8(r.IntN(3)), NextHop: []byte{10, 1, byte(w.nextHop(i)), 2}}
	path := []uint32{[]uint32{64600, 64601, 174, 4_200_000_001, 200_000}[r.IntN(5)]}
	switch {
	case n.EBGP && r.IntN(16) == 0:
		path = append([]uint32{64700}, path...)
	case n.EBGP:
		path = append([]uint32{n.ASN}, path...)
	}
	if r.IntN(8) == 0 {
		path = append(path, 65001) // a neighbor's
	}
	if r.IntN(8) == 0 {
		path = append(path, 65000) // a loop
	}
	if r.IntN(16) == 0 {
		path = append(path, oldASN) // for some
	}
	a.ASPath = []byte{2, byte(len(path))}
	for _, asn := range path {
		a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, asn)
	}
	if r.IntN(2) == 0 {
		a.Has |= wire.HasMED
		a.MED = uint32(r.IntN(3))
	}
	if r.IntN(3) == 0 {
		add(&a, 65000, uint16(1+r.IntN(3)))
	}
	if r.IntN(20) == 0 {
		add(&a, 0xffff, uint16(0xff01+r.IntN(2)))
	}
	if r.IntN(10) == 0 {
		add(&a, 0xffff, 0) // graceful shutdown
	}
	if r.IntN(20) == 0 {
		add(&a, 0xffff, uint16(6+r.IntN(2))) // LLGR_STALE, NO_LLGR
	}
	if r.IntN(8) == 0 {
		a.Has |= wire.HasOTC
		a.OTC = []uint32{n.ASN, 64777}[r.IntN(2)]
	}
	if !n.EBGP {
		if r.IntN(2) == 0 {
			a.Has |= wire.HasLocalPref
			a.LocalPref = uint32(99 + r.IntN(3))
		}
		if r.IntN(4) == 0 {
			a.Has |= wire.HasOriginatorID
			a.OriginatorID = uint32(r.IntN(3)) // 1 is ourselves
		}
		if r.IntN(4) == 0 {
			a.ClusterList = []byte{0, 0, 0, byte(1 + r.IntN(2))}
		}
	}
	return a
}

// nextHop is whose address a neighbor sends: mostly its own.
func (w *world) nextHop(i int) int {
	if w.r.IntN(4) == 0 {
		return 1 + w.r.IntN(worldNeighbors)
	}
	return i
}

func nlri(p prefix.Prefix, id uint32, addPath bool) []byte {
	var b []byte
	if addPath {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	return wire.AppendPrefix(b, p)
}

// announce makes an UPDATE of one to three routes of one family.
func (w *world) announce(i int) {
	a := w.attrs(i)
	f := prefix.Family(w.r.IntN(2))
	if !w.far[i].families[f] {
		return
	}
	if f == prefix.IPv6 {
		a.NextHop = []byte{0x20, 1, 0xd, 0xb8, 14: byte(w.nextHop(i)), 15: 2}
	}
	var list []byte
	for range 1 + w.r.IntN(3) {
		p := universe[w.r.IntN(len(universe))]
		if p.Family != f {
			continue
		}
		id := uint32(0)
		if w.far[i].addID {
			id = uint32(1 + w.r.IntN(2))
		}
		list = append(list, nlri(p, id, w.far[i].addID)...)
		w.twin.Neighbors[i-1].Announce(p, id, a)
		delete(w.far[i].stale[f], wire.Route{Prefix: p, PathID: id})
		delete(w.far[i].due[f].stale, wire.Route{Prefix: p, PathID: id})
		delete(w.far[i].kept[f].stale, wire.Route{Prefix: p, PathID: id})
		w.say("%d announces %v (%d) path % x med %d pref %d communities % x", i, p, id, a.ASPath, a.MED, a.LocalPref, a.Communities)
	}
	if len(list) == 0 {
		return
	}
	var nextHop []byte
	if f == prefix.IPv6 {
		nextHop = a.NextHop
	}
	encode := a.Append
	if w.far[i].as2 {
		encode = a.AppendAS2
	}
	w.core.Messages(packet.ID(i), wire.AppendUpdate(nil, f, nil, encode(nil, f == prefix.IPv6), nextHop, list))
}

func (w *world) withdraw(i int) {
	p := universe[w.r.IntN(len(universe))]
	if !w.far[i].families[p.Family] {
		return
	}
	id := uint32(0)
	if w.far[i].addID {
		id = uint32(1 + w.r.IntN(2))
	}
	w.say("%d withdraws %v (%d)", i, p, id)
	w.core.Messages(packet.ID(i), wire.AppendUpdate(nil, p.Family, nlri(p, id, w.far[i].addID), nil, nil, nil))
	w.twin.Neighbors[i-1].Withdraw(p, id)
	delete(w.far[i].stale[p.Family], wire.Route{Prefix: p, PathID: id})
	delete(w.far[i].due[p.Family].stale, wire.Route{Prefix: p, PathID: id})
	delete(w.far[i].kept[p.Family].stale, wire.Route{Prefix: p, PathID: id})
}

// refresh asks for routes, or begins or ends to send its own again.
func (w *world) refresh(i int) {
	f := prefix.Family(w.r.IntN(2))
	x, m := &w.far[i], w.twin.Neighbors[i-1]
	kind := uint8(w.r.IntN(3))
	w.say("%d refresh %d of %v", i, kind, f)
	w.core.Messages(packet.ID(i), wire.AppendRefresh(nil, f, kind))
	switch {
	case !x.enhanced || !x.families[f]:
	case kind == wire.RefreshBegin:
		begun := x.stale[f] != nil
		x.stale[f] = w.routes(m, f)
		if x.due[f].again = begun; !begun {
			w.bound(i, f)
		}
	case kind == wire.RefreshEnd:
		for s := range x.stale[f] {
			m.Withdraw(s.Prefix, s.PathID)
			delete(x.kept[f].stale, s)
		}
		x.stale[f], x.due[f] = nil, due{}
		w.settle() // what is stale counts for limits until it has been removed
	}
}

// due is what is to be announced again in time, refresh or not.
type due struct {
	stale map[wire.Route]bool
	until uint32
	again bool // another refresh has begun meanwhile
}

func (w *world) bound(i int, f prefix.Family) {
	x := &w.far[i]
	x.due[f] = due{stale: maps.Clone(x.stale[f]), until: w.core.now + cmp.Or(w.cfg.Neighbors[i-1].StaleTime, refreshTime) + 1}
}

// overdue ends the refreshes that have not come to an end in time.
func (w *world) overdue() {
	for i := range w.far {
		x := &w.far[i]
		for f := range prefix.Family(prefix.Families) {
			if x.stale[f] == nil || w.core.now < x.due[f].until {
				continue
			}
			w.say("the refresh of %d of %v has not come to an end", i, f)
			w.take(i, x.due[f].stale)
			for r := range x.due[f].stale {
				delete(x.stale[f], r)
				delete(x.kept[f].stale, r)
			}
			if x.due[f].again {
				w.bound(i, f)
			} else {
				x.stale[f], x.due[f] = nil, due{}
			}
		}
	}
}
