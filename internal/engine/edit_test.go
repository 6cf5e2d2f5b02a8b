package engine

import (
	"fmt"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// edge is a router with a full-ish table from neighbor 1 and three that get it.
func edge(t *testing.T) (*Core, Config, []*peer) {
	cfg := ebgpConfig(t, 4)
	cfg.Revision = 1
	core := NewCore(quiet())
	core.Configure(cfg)
	peers := make([]*peer, 5)
	for i := 1; i <= 4; i++ {
		peers[i] = newPeer(t, packet.ID(i))
		peers[i].strict = true
		core.Up(packet.ID(i), established(i), peers[i])
	}
	for i := range 200 {
		core.Messages(1, announcement(fmt.Sprintf("10.0.%d.0/24", i), 1, 65001, 64600+uint32(i%7)))
	}
	readAll(core, peers)
	return core, cfg, peers
}

// readAll lets everybody read until nothing moves, and returns how many UPDATEs
// that were.
func readAll(core *Core, peers []*peer) (updates int) {
	for moved := true; moved; {
		core.Settle()
		moved = false
		for _, p := range peers[1:] {
			moved = moved || len(p.queue) > 0
			updates -= p.updates
			p.read()
			updates += p.updates
		}
	}
	return updates
}

// TestEqualReplacement: a policy that is replaced by an equal one, under another
// name and at another place, sends nothing and loses no hit.
func TestEqualReplacement(t *testing.T) {
	core, cfg, peers := edge(t)
	hits := cfg.Neighbors[0].Families[prefix.IPv4].Import.Hits()[0].Hits
	next := ebgpConfig(t, 4)
	for i := range next.Neighbors {
		for f := range next.Neighbors[i].Families {
			src := next.Neighbors[i].Source
			p := &policy.Policy{Name: "renamed", Pos: policy.Pos{File: "b.hcl", Line: 9}, Rules: []policy.Rule{{Name: "everything", Then: policy.Accept}}}
			next.Neighbors[i].Families[f].Import, next.Neighbors[i].Families[f].Export = program(t, p, &src), program(t, p, nil)
		}
	}
	next.Revision = 2
	core.Configure(next)
	if n := readAll(core, peers); n != 0 {
		t.Errorf("an equal configuration sent %d UPDATEs", n)
	}
	now := core.neighbors[1].Families[prefix.IPv4].Import.Hits()[0]
	if now.Hits != hits || hits == 0 || now.Rule != "everything" {
		t.Errorf("rule %q has %d hits, want %d", now.Rule, now.Hits, hits)
	}
}

// TestPolicyEdit: an edit sends what it changes and nothing else, and undoing it
// brings back what was there.
func TestPolicyEdit(t *testing.T) {
	core, cfg, peers := edge(t)
	edited := ebgpConfig(t, 4)
	edited.Revision = 2
	src := edited.Neighbors[0].Source
	edited.Neighbors[0].Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "in", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.0.7.0/24", "10.0.9.0/24")}),
		rule(policy.Actions{AddCommunities: communities("65000:1")}, policy.Accept, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.0.3.0/24")}),
		rule(policy.Actions{}, policy.Accept),
	}}, &src)
	core.Configure(edited)
	// Each of three neighbors: one UPDATE withdraws two, one changes one.
	if n := readAll(core, peers); n != 6 {
		t.Errorf("the edit sent %d UPDATEs, want 6", n)
	}
	for _, p := range peers[2:] {
		a := p.table[wire.Route{Prefix: prefix.MustParse("10.0.3.0/24")}]
		if len(p.table) != 198 || !has(&a, 65000, 1) {
			t.Errorf("neighbor %d has %d routes, communities % x", p.id, len(p.table), a.Communities)
		}
	}
	cfg.Revision = 3
	core.Configure(cfg)
	if n := readAll(core, peers); n != 9 {
		t.Errorf("undoing it sent %d UPDATEs, want 9", n) // two prefixes with different paths came back
	}
	for _, p := range peers[2:] {
		if len(p.table) != 200 {
			t.Errorf("neighbor %d has %d routes", p.id, len(p.table))
		}
	}
}
