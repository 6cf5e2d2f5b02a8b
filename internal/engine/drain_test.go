package engine

import (
	"testing"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// preferred is a policy that prefers all routes of its neighbor.
func preferred(t testing.TB, from *policy.Source) *policy.Program {
	weight := uint32(7)
	return program(t, &policy.Policy{Name: "preferred", Rules: []policy.Rule{
		rule(policy.Actions{LocalPref: policy.Adjust{Op: policy.SetTo, Value: 300}, Weight: &weight}, policy.Accept)}}, from)
}

// TestDrainNeighbor leads traffic away from neighbor 1, which a policy prefers, and back:
// by the configuration and by a command. Neighbor 3 is
// inside our AS (RFC 8326 section 4.2).
func TestDrainNeighbor(t *testing.T) {
	for name, drain := range map[string]func(d *desk, on bool){
		"configured": func(d *desk, on bool) {
			d.edit(func(c *Config) { c.Neighbors[0].Drain = on })
		},
		"command": func(d *desk, on bool) { d.core.Drain(on, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ebgpConfig(t, 3)
			cfg.Neighbors[0].Families[prefix.IPv4].Import = preferred(t, &cfg.Neighbors[0].Source)
			n := &cfg.Neighbors[2]
			n.EBGP, n.ASN, n.Source.Kind = false, 65000, policy.IBGP
			d := newDesk(t, cfg)
			for i := 1; i <= 2; i++ {
				d.announce(i, "198.51.100.0/24", route(i, uint32(65000+i)))
			}
			d.announce(1, "203.0.113.0/24", route(1, 65001))
			d.announce(3, "192.0.2.0/24", route(3))
			check := func(when string, drained bool) {
				t.Helper()
				d.settle()
				best, pref := uint32(65001), uint32(300)
				if drained {
					best, pref = 65002, 0
				}
				if a := d.want(3, "198.51.100.0/24", true); !firstIs(a.ASPath, best) {
					t.Errorf("%s: the best path is %s", when, wire.PathText(a.ASPath))
				}
				// Its only way still goes there, and everybody knows.
				for _, i := range []int{2, 3} {
					if a := d.want(i, "203.0.113.0/24", true); wire.HasCommunity(a.Communities, wire.GracefulShutdown) != drained || i == 3 && a.LocalPref != pref {
						t.Errorf("%s: neighbor %d has 203.0.113.0/24 with communities % x and local preference %d", when, i, a.Communities, a.LocalPref)
					}
				}
				if a := d.want(1, "192.0.2.0/24", true); wire.HasCommunity(a.Communities, wire.GracefulShutdown) != drained {
					t.Errorf("%s: it is sent communities % x", when, a.Communities)
				}
				if a := d.want(2, "192.0.2.0/24", true); len(a.Communities) > 0 {
					t.Errorf("%s: another one is sent communities % x", when, a.Communities)
				}
				for i, p := range d.peers {
					if p != nil && p.closed != nil {
						t.Errorf("%s: the session of %d was reset", when, i)
					}
				}
			}
			check("before", false)
			drain(d, true)
			check("drained", true)
			drain(d, false)
			check("after", false)
			d.empty()
		})
	}
}

// TestGracefulShutdownOfOthers: a neighbor in another AS marks a route, whose
// policy prefers it (RFC 8326 section 4.1). A policy that removes the community
// has the last word, and so has the setting.
func TestGracefulShutdownOfOthers(t *testing.T) {
	keeps := func(from *policy.Source) *policy.Program {
		return program(t, &policy.Policy{Name: "keeps", Rules: []policy.Rule{
			rule(policy.Actions{RemoveCommunities: []*policy.CommunitySet{communities("graceful-shutdown")},
				LocalPref: policy.Adjust{Op: policy.SetTo, Value: 300}}, policy.Accept)}}, from)
	}
	for name, test := range map[string]struct {
		set  func(*Neighbor)
		want uint32 // the first AS of the best path
	}{
		"honored":            {func(*Neighbor) {}, 65002},
		"not honored":        {func(n *Neighbor) { n.HonorShutdown = false }, 65001},
		"removed by policy":  {func(n *Neighbor) { n.Families[prefix.IPv4].Import = keeps(&n.Source) }, 65001},
		"inside of our AS":   {func(n *Neighbor) { n.EBGP, n.ASN, n.Source.Kind, n.HonorShutdown = false, 65000, policy.IBGP, false }, 65001},
		"without its weight": {func(n *Neighbor) { n.Families[prefix.IPv4].Import = preferred(t, &n.Source) }, 65002},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := ebgpConfig(t, 3)
			n := &cfg.Neighbors[0]
			n.Families[prefix.IPv4].Import, n.HonorShutdown = preferred(t, &n.Source), true
			test.set(n)
			d := newDesk(t, cfg)
			a := route(1, 65001)
			d.announce(1, "198.51.100.0/24", a)
			d.announce(2, "198.51.100.0/24", route(2, 65002))
			d.settle()
			if got := d.want(3, "198.51.100.0/24", true); !firstIs(got.ASPath, 65001) {
				t.Fatalf("without the community, the best path is %s", wire.PathText(got.ASPath))
			}
			add(&a, 0xffff, 0)
			d.announce(1, "198.51.100.0/24", a)
			d.settle()
			if got := d.want(3, "198.51.100.0/24", true); !firstIs(got.ASPath, test.want) {
				t.Errorf("the best path is %s, want that of %d", wire.PathText(got.ASPath), test.want)
			}
		})
	}
}

// firstIs reports whether our AS and then asn begin a path.
func firstIs(path []byte, asn uint32) bool {
	first, _ := wire.FirstAS(path)
	if first == 65000 {
		it := wire.Path(path)
		it.Next()
		it.Next()
		first = it.ASN
	}
	return first == asn
}
