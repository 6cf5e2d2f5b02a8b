package engine

import (
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestASSets: paths with an AS_SET count as withdrawn where reject_as_sets says
// so (RFC 9774), and an aggregate of one has none.
func TestASSets(t *testing.T) {
	cfg := ebgpConfig(t, 3)
	cfg.Neighbors[0].Checks.RejectASSets = true
	cfg.Aggregate = []Aggregate{{Prefix: prefix.MustParse("198.51.0.0/16"), Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasAtomicAggregate}}}
	d := newDesk(t, cfg)
	withSet := func(i int) wire.Attrs {
		a := route(i, 65000+uint32(i))
		a.ASPath = append(a.ASPath, wire.SegSet, 2, 0, 0, 253, 240, 0, 0, 253, 241)
		return a
	}
	d.announce(1, "203.0.113.0/24", withSet(1))
	d.announce(1, "192.0.2.0/24", route(1, 65001))
	d.announce(2, "198.51.100.0/24", withSet(2))
	d.settle()
	d.want(3, "203.0.113.0/24", false)
	d.want(3, "192.0.2.0/24", true)
	if a := d.want(3, "198.51.100.0/24", true); wire.PathText(a.ASPath) != "65000 65002 {65008,65009}" {
		t.Errorf("path %s", wire.PathText(a.ASPath))
	}
	if a := d.want(3, "198.51.0.0/16", true); wire.PathText(a.ASPath) != "65000" {
		t.Errorf("the aggregate has path %s", wire.PathText(a.ASPath))
	}
	rejected := asked(t, d.core, Query{Family: prefix.IPv4, View: ViewRejected})
	if len(rejected) != 1 || ReasonText(rejected[0].Reason) != "the AS path has an AS_SET (RFC 9774)" {
		t.Errorf("rejected: %+v", rejected)
	}
	d.announce(1, "192.0.2.0/24", withSet(1)) // instead of one without
	d.settle()
	d.want(3, "192.0.2.0/24", false)
	d.edit(func(c *Config) { c.Neighbors[0].Checks.RejectASSets = false })
	d.settle()
	d.want(3, "203.0.113.0/24", true)
	d.want(3, "192.0.2.0/24", true)
	d.empty()
}
