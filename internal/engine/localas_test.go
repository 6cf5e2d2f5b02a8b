package engine

import (
	"testing"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// TestLocalAS: what another AS number of ours for one neighbor does to paths (RFC
// 7705 section 3.3). 65000 is the router's, 64998 what neighbor 1 knows.
func TestLocalAS(t *testing.T) {
	for _, c := range []struct {
		both, prepend bool
		session       uint32 // as which the session has us
		toThem, from  string // the paths of 65002's route at neighbor 1, and of 65001's at neighbor 2
		table         string // and here
	}{
		{false, false, 64998, "64998 65002", "65000 65001", "65001"},
		{true, false, 64998, "64998 65000 65002", "65000 65001", "65001"},
		{false, true, 64998, "64998 65002", "65000 64998 65001", "64998 65001"},
		{true, true, 64998, "64998 65000 65002", "65000 64998 65001", "64998 65001"},
		{true, true, 65000, "65000 65002", "65000 65001", "65001"}, // it knows us by both, and this is the other one
	} {
		cfg := ebgpConfig(t, 2)
		n := &cfg.Neighbors[0]
		n.LocalASN, n.SendBoth, n.PrependLocal = 64998, c.both, c.prepend
		// The policy sees the path as it came.
		n.Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "in", Rules: []policy.Rule{rule(policy.Actions{}, policy.Accept,
			policy.Condition{Kind: policy.CondASPathLength, Ranges: []policy.Range{{Min: 1, Max: 1}}})}}, &n.Source)
		d := newDesk(t, cfg)
		d.down(1)
		d.upWith(1, func(e *session.Established) { e.LocalASN = c.session })
		d.announce(1, "203.0.113.0/24", route(1, 65001))
		d.announce(2, "198.51.100.0/24", route(2, 65002))
		for i, p := range map[string][]uint32{"192.0.2.0/25": {65001, 64998}, "192.0.2.128/25": {65001, 65000}} {
			d.announce(1, i, route(1, p...)) // loops
		}
		d.settle()
		here := asked(t, d.core, Query{Family: prefix.IPv4, Neighbor: 1})
		if len(here) != 1 {
			t.Fatalf("%+v: %d routes are in use", c, len(here))
		}
		for _, x := range []struct {
			where, want string
			a           wire.Attrs
		}{{"at 1", c.toThem, d.want(1, "198.51.100.0/24", true)}, {"at 2", c.from, d.want(2, "203.0.113.0/24", true)}, {"here", c.table, here[0].Attrs}} {
			if got := wire.PathText(x.a.ASPath); got != x.want {
				t.Errorf("%+v: path %s, %s, want %s", c, x.where, got, x.want)
			}
		}
		d.empty()
	}
}
