package engine

import (
	"math/rand/v2"
	"testing"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// twoTables has neighbors 1 and 2 in the main table, 3 and 4 in another one, and
// leaks both ways that leave 10.9.0.0/16 out.
func twoTables(t testing.TB) Config {
	cfg := ebgpConfig(t, 4)
	cfg.Tables = []Table{{Name: "main"}, {Name: "blue"}}
	cfg.Neighbors[2].Table, cfg.Neighbors[3].Table = 1, 1
	cfg.Leaks = []Leak{{From: 0, To: 1, Policy: withoutNine(t)}, {From: 1, To: 0, Policy: withoutNine(t)}}
	return cfg
}

func withoutNine(t testing.TB) *policy.Program {
	return program(t, &policy.Policy{Name: "leak", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.9.0.0/16")}),
		rule(policy.Actions{}, policy.Accept)}}, nil)
}

func TestTablesAreApart(t *testing.T) {
	cfg := twoTables(t)
	cfg.Leaks = nil
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.announce(3, "10.3.0.0/16", route(3, 65003))
	d.settle()
	d.want(2, "10.1.0.0/16", true)
	d.want(2, "10.3.0.0/16", false)
	d.want(4, "10.1.0.0/16", false)
	d.want(4, "10.3.0.0/16", true)
	d.empty()
}

func TestLeak(t *testing.T) {
	d := newDesk(t, twoTables(t))
	d.announce(1, "10.1.0.0/16", route(1, 65001, 7))
	d.announce(1, "10.9.0.0/16", route(1, 65001))
	d.settle()
	d.want(3, "10.1.0.0/16", true)
	d.want(3, "10.9.0.0/16", false)
	// The better path of another neighbor takes the place of the copy.
	d.announce(2, "10.1.0.0/16", route(2, 65002))
	d.settle()
	d.wantLeaks()
	d.down(2)
	d.settle()
	d.want(3, "10.1.0.0/16", true)
	d.wantLeaks()
	// What has come by a leak does not go back, nor on.
	d.edit(func(c *Config) { c.Leaks = c.Leaks[:1] })
	d.settle()
	d.want(3, "10.1.0.0/16", true)
	d.edit(func(c *Config) { c.Leaks = nil })
	d.settle()
	d.want(3, "10.1.0.0/16", false)
	d.up(2)
	d.empty()
}

// TestLeakOfAggregate: an aggregate that comes to the fore and goes in one batch
// is imported, and gone again.
func TestLeakOfAggregate(t *testing.T) {
	cfg := ebgpConfig(t, 1)
	ibgp(t, &cfg.Neighbors[0])
	cfg.Tables = []Table{{Name: "main"}, {Name: "blue"}}
	cfg.Leaks = []Leak{{From: 0, To: 1, Policy: acceptAll(t, nil)}}
	cfg.Aggregate = []Aggregate{{Prefix: prefix.MustParse("10.8.0.0/15")}}
	d := newDesk(t, cfg)
	a := route(1, 7)
	a.Has, a.LocalPref = a.Has|wire.HasLocalPref, 200 // better than the aggregate
	d.announce(1, "10.8.0.0/15", a)
	d.announce(1, "10.8.0.0/16", a)
	d.settle()
	d.down(1)
	d.settle()
	if blue := d.core.tables[1][prefix.IPv4]; blue.PathCount() != 0 {
		t.Errorf("%d copies are left", blue.PathCount())
	}
	d.empty()
}

// TestLeakRandom: after whatever happens, each table has a copy of just the best
// routes of the other one's own that the policy accepts.
func TestLeakRandom(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		d := newDesk(t, twoTables(t))
		d.core.pace.walk = 1 + r.IntN(3)
		for range 300 {
			i := 1 + r.IntN(4)
			p := []string{"10.1.0.0/16", "10.2.0.0/16", "10.9.0.0/16", "10.9.1.0/24"}[r.IntN(4)]
			switch {
			case r.IntN(20) == 0:
				d.edit(func(c *Config) {
					all := twoTables(t).Leaks
					if c.Leaks = all[:r.IntN(3)]; r.IntN(2) == 0 {
						c.Leaks = all[r.IntN(3):]
					}
					if len(c.Leaks) > 0 && r.IntN(2) == 0 {
						c.Leaks[0].Policy = acceptAll(t, nil)
					}
				})
			case d.peers[i] == nil:
				d.up(i)
			case r.IntN(15) == 0:
				d.down(i)
			case r.IntN(3) == 0:
				d.withdraw(i, p)
			default:
				path := []uint32{65000 + uint32(i), 7, 8}
				d.announce(i, p, route(i, path[:1+r.IntN(3)]...))
			}
			if r.IntN(4) == 0 {
				d.core.Work()
			} else {
				d.settle()
				d.wantLeaks()
			}
		}
		for i := range d.peers {
			if i > 0 && d.peers[i] == nil {
				d.up(i)
			}
		}
		d.empty()
	}
}

// wantLeaks compares copies with what they are copies of.
func (d *desk) wantLeaks() {
	d.t.Helper()
	type copied struct {
		to   TableID
		p    prefix.Prefix
		n    int
		from TableID
	}
	c := d.core
	have := map[copied]int{}
	c.all(func(t *table) {
		for id := rib.ID(1); id <= t.Top(); id++ {
			if !t.Live(id) {
				continue
			}
			t.Paths(id, func(p *rib.Path) bool {
				if !c.home(t, p) {
					have[copied{t.id, t.Prefix(id), int(p.Neighbor), TableID(p.PathID &^ leaked)}]++
				}
				return true
			})
		}
	})
	for _, l := range d.cfg.Leaks {
		from := c.tables[l.From][prefix.IPv4]
		for id := rib.ID(1); id <= from.Top(); id++ {
			if !from.Live(id) || from.Best(id) == nil || !c.home(from, from.Best(id)) {
				continue
			}
			p := from.Prefix(id)
			if p == prefix.MustParse("10.9.0.0/16") && l.Policy.Variants() > 1 {
				continue
			}
			k := copied{l.To, p, int(from.Best(id).Neighbor), l.From}
			if have[k] != 1 {
				d.t.Fatalf("%+v is there %d times", k, have[k])
			}
			delete(have, k)
		}
	}
	if len(have) > 0 {
		d.t.Fatalf("copies that should not be there: %+v", have)
	}
}
