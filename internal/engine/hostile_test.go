package engine

import (
	"fmt"
	"slices"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// TestPathsWithoutEnd: a neighbor with add-path sends more path IDs for a prefix
// than can be counted, with MEDs that make every path matter.
func TestPathsWithoutEnd(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 2))
	d.down(1)
	d.cfg.Neighbors[0].AddPath = true
	d.upWith(1, func(e *session.Established) { e.Read.AddPath[prefix.IPv4] = true })
	p := prefix.MustParse("10.1.0.0/16")
	a := route(1, 65001)
	a.Has |= wire.HasMED
	id := uint32(0)
	for id < 70_000 {
		var list []byte
		for range 500 {
			id++
			list = append(list, nlri(p, id, true)...)
		}
		a.MED = id % 7
		d.core.Messages(1, wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, list))
	}
	d.settle()
	if n := d.core.tables[0][0].PathCount(); n != rib.MaxPaths {
		t.Errorf("%d paths are kept, want %d", n, rib.MaxPaths)
	}
	d.want(2, "10.1.0.0/16", true)
	d.core.Messages(1, wire.AppendUpdate(nil, prefix.IPv4, nlri(p, 1, true), nil, nil, nil))
	if n := d.core.neighbors[1].counts[0].paths; n != rib.MaxPaths-1 {
		t.Errorf("%d paths are counted", n)
	}
	d.empty()
}

func refresh4(subtype uint8) []byte { return wire.AppendRefresh(nil, prefix.IPv4, subtype) }

// refreshing is a neighbor with 10,000 routes, more than a walk's slice, that
// knows markers of refreshes. all announces its routes from the given one on.
func refreshing(t *testing.T) (d *desk, all func(from int)) {
	d = newDesk(t, ebgpConfig(t, 2))
	d.down(1)
	d.upWith(1, func(e *session.Established) { e.EnhancedRefresh = true })
	const routes = 10_000
	all = func(from int) {
		var ps []prefix.Prefix
		for i := from; i < routes; i++ {
			ps = append(ps, prefix.MustParse(fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)))
		}
		for chunk := range slices.Chunk(ps, 500) {
			d.core.Messages(1, update4(route(1, 65001), chunk...))
		}
	}
	all(0)
	d.settle()
	return d, all
}

// TestRefreshAfterRefresh: a second refresh begins while what the first has left
// stale is being removed. Nothing that is valid goes meanwhile.
func TestRefreshAfterRefresh(t *testing.T) {
	d, all := refreshing(t)
	d.core.Messages(1, refresh4(wire.RefreshBegin))
	all(1)
	d.core.Messages(1, refresh4(wire.RefreshEnd))
	d.core.Work()
	d.core.Messages(1, refresh4(wire.RefreshBegin))
	d.settle()
	if n := d.core.tables[0][0].PathCount(); n != 9999 {
		t.Errorf("%d paths in the second refresh, want 9999", n)
	}
	all(2)
	d.core.Messages(1, refresh4(wire.RefreshEnd))
	d.settle()
	if n := d.core.tables[0][0].PathCount(); n != 9998 {
		t.Errorf("%d paths after the second refresh, want 9998", n)
	}
	d.empty()
}

// TestMarkersWithoutEnd: markers of refreshes cost no walk each, and without a
// beginning nothing is removed.
func TestMarkersWithoutEnd(t *testing.T) {
	d, all := refreshing(t)
	var flood []byte
	for range 2000 {
		flood = append(append(flood, refresh4(wire.RefreshBegin)...), refresh4(wire.RefreshEnd)...)
		flood = append(flood, refresh4(wire.RefreshRequest)...)
	}
	d.core.Messages(1, append(refresh4(wire.RefreshEnd), flood...))
	if n := len(d.core.jobs); n != 1 {
		t.Errorf("%d jobs", n)
	}
	all(0)
	d.core.Messages(1, refresh4(wire.RefreshEnd)) // nothing has begun
	d.settle()
	if n := d.core.tables[0][0].PathCount(); n != 10_000 {
		t.Errorf("%d paths, all of which were announced behind the last marker", n)
	}
	d.core.Messages(1, append(refresh4(wire.RefreshBegin), refresh4(wire.RefreshEnd)...))
	d.settle()
	if n := d.core.tables[0][0].PathCount(); n != 0 {
		t.Errorf("%d paths after an empty refresh", n)
	}
	d.empty()
}

// TestRefreshWithoutEnd: what has not come again goes when the time is over, and
// nothing else (RFC 7313 section 4.2).
func TestRefreshWithoutEnd(t *testing.T) {
	d, all := refreshing(t)
	paths := func(what string, want int) {
		t.Helper()
		d.settle()
		if n := d.core.tables[0][0].PathCount(); n != want {
			t.Errorf("%s: %d paths, want %d", what, n, want)
		}
	}
	wait := func(seconds uint32) { d.core.SetNow(d.core.now + seconds) }
	d.core.Messages(1, refresh4(wire.RefreshBegin))
	all(1)
	wait(200)
	d.core.Messages(1, refresh4(wire.RefreshBegin))
	all(2)
	wait(refreshTime - 200)
	paths("in time", 10_000)
	wait(1)
	paths("after the time of the first", 9999)
	wait(refreshTime)
	paths("the second has time of its own", 9999)
	wait(1)
	paths("after the time of the second", 9998)
	if d.core.alarm != 0 {
		t.Error("there is still an alarm")
	}
	d.core.Messages(1, refresh4(wire.RefreshEnd)) // too late
	all(5)
	paths("what comes later is there", 9998)

	d.core.Messages(1, refresh4(wire.RefreshBegin))
	all(3)
	d.core.Messages(1, refresh4(wire.RefreshEnd))
	paths("a refresh with an end", 9997)
	d.core.Messages(1, refresh4(wire.RefreshBegin))
	d.down(1)
	d.upWith(1, func(e *session.Established) { e.EnhancedRefresh = true })
	all(0)
	wait(2 * refreshTime)
	paths("the session has ended meanwhile", 10_000)
	d.empty()
}

// TestMarkersUnasked: a neighbor that has not said that it knows markers has
// none (RFC 7313 section 3.1).
func TestMarkersUnasked(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 2))
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.core.Messages(1, append(refresh4(wire.RefreshBegin), refresh4(wire.RefreshEnd)...))
	d.settle()
	d.want(2, "10.1.0.0/16", true)
	d.empty()
}
