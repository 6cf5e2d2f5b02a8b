package engine

import (
	"fmt"
	"slices"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// TestJoinAndLeave: neighbors come and go without a walk over the table, get
// what there is and give what they have, and their numbers can be used again
// when nothing is left of them.
func TestJoinAndLeave(t *testing.T) {
	core, cfg, peers := edge(t)
	late := ebgpConfig(t, 6).Neighbors[4] // 10.1.5.2 in AS 65005
	late.Families[prefix.IPv4].DefaultOriginate = true
	core.Join(late)
	if len(core.jobs) > 0 {
		t.Error("joining makes work")
	}
	p := newPeer(t, 5)
	p.strict = true
	core.Up(5, established(5), p)
	peers = append(peers, p)
	core.Messages(5, announcement("192.0.2.0/24", 5, 65005))
	readAll(core, peers)
	if len(p.table) != 201 { // and a default route
		t.Errorf("it has %d routes, want 201", len(p.table))
	}
	if _, ok := peers[2].table[wire.Route{Prefix: prefix.MustParse("192.0.2.0/24")}]; !ok {
		t.Error("others do not have its route")
	}

	// A new configuration with it, and one without, as if it had joined again.
	with := cfg
	with.Neighbors = append(slices.Clone(cfg.Neighbors), late)
	with.Revision = 2
	core.Configure(with)
	if n := readAll(core, peers); n != 0 {
		t.Errorf("%d UPDATEs for a configuration that says the same", n)
	}

	core.Down(5, sessionReason)
	core.Leave(5)
	if free := core.Unused([]packet.ID{5}); len(free) > 0 {
		t.Error("its number is free while its route is there")
	}
	readAll(core, peers[:5])
	if _, ok := peers[2].table[wire.Route{Prefix: prefix.MustParse("192.0.2.0/24")}]; ok {
		t.Error("others still have its route")
	}
	if free := core.Unused([]packet.ID{5}); !slices.Equal(free, []packet.ID{5}) {
		t.Error("its number is not free when all is gone")
	}
	if core.tables[0][prefix.IPv4].env.DefaultRoute != 0 {
		t.Error("the default route is kept for nobody")
	}

	// Somebody else with its number is somebody else.
	other := ebgpConfig(t, 6).Neighbors[5]
	other.ID = 5
	core.Join(other)
	q := newPeer(t, 5)
	q.strict = true
	core.Up(5, established(6), q)
	peers[5] = q
	core.Messages(1, announcement("192.0.2.0/24", 1, 65001))
	readAll(core, peers)
	if len(q.table) != 201 {
		t.Errorf("the next one has %d routes, want 201", len(q.table))
	}
	core.Down(5, sessionReason)
	core.Leave(5)
	core.Settle()
	if free := core.Unused([]packet.ID{5}); len(free) != 1 {
		t.Error("its number is not free again")
	}
}

// TestNumbersAreKeptForBlocks: a group that is behind still has a route of a
// neighbor that is gone.
func TestNumbersAreKeptForBlocks(t *testing.T) {
	core, _, peers := edge(t)
	late := ebgpConfig(t, 5).Neighbors[4]
	core.Join(late)
	core.Up(5, established(5), newPeer(t, 5))
	core.Messages(5, announcement("192.0.2.0/24", 5, 65005))
	readAll(core, peers)
	h := core.tables[0][prefix.IPv4].Best(core.tables[0][prefix.IPv4].Lookup(prefix.MustParse("192.0.2.0/24"))).Post
	core.store.Retain(h, 1) // as an Adj-RIB-Out does
	core.Down(5, sessionReason)
	core.Leave(5)
	core.Settle()
	if free := core.Unused([]packet.ID{5}); len(free) > 0 {
		t.Error("its number is free while somebody has its block")
	}
	core.store.Release(h)
	if free := core.Unused([]packet.ID{5}); len(free) != 1 {
		t.Error("its number is kept for nothing")
	}
}

// TestJoinWithMED: a second neighbor in an AS makes MED count between the two.
func TestJoinWithMED(t *testing.T) {
	cfg := ebgpConfig(t, 3)
	core := NewCore(quiet())
	core.Configure(cfg)
	table := core.tables[0][prefix.IPv4]
	if table.Decision.SharedNeighborAS {
		t.Fatal("no AS has two neighbors")
	}
	twin := ebgpConfig(t, 4).Neighbors[3]
	twin.ASN = cfg.Neighbors[2].ASN
	core.Join(twin)
	if !table.Decision.SharedNeighborAS {
		t.Error("two neighbors are in one AS now")
	}
	if d := table.Decision; d != (rib.Options{SharedNeighborAS: true, DefaultLocalPref: 100}) {
		t.Errorf("the rest has changed: %+v", d)
	}
}

// TestManyJoin: what 200 neighbors cost does not grow with the table.
func TestManyJoin(t *testing.T) {
	core, _, _ := edge(t)
	walked := 0
	for i := range 200 {
		n := ebgpConfig(t, 1).Neighbors[0]
		n.ID, n.Name, n.ASN = packet.ID(10+i), fmt.Sprint(i), uint32(64000+i)
		core.Join(n)
		walked += len(core.jobs)
	}
	if walked > 0 {
		t.Errorf("%d walks", walked)
	}
}
