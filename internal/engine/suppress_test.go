package engine

import (
	"testing"

	"holdfast/internal/export"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestSuppress: the parts of an aggregate are not announced beside it, but to
// those who want them.
func TestSuppress(t *testing.T) {
	cfg := ebgpConfig(t, 3)
	cfg.Neighbors[2].Families[prefix.IPv4].SendSuppressed = true
	aggregate := Aggregate{Prefix: prefix.MustParse("10.0.0.0/8"), Suppress: true, Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasAtomicAggregate}}
	cfg.Aggregate = []Aggregate{aggregate}
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.announce(1, "192.0.2.0/24", route(1, 65001))
	d.settle()
	d.want(2, "10.0.0.0/8", true)
	d.want(2, "10.1.0.0/16", false)
	d.want(2, "192.0.2.0/24", true)
	d.want(3, "10.0.0.0/8", true)
	d.want(3, "10.1.0.0/16", true)
	m := d.core.neighbors[2].members[prefix.IPv4]
	reason := m.Advertised(d.core.tables[0][prefix.IPv4].Lookup(prefix.MustParse("10.1.0.0/16")))
	if got := export.ReasonText(reason); got != "an aggregate stands for it (suppress)" {
		t.Errorf("it is not sent because: %s", got)
	}
	updates := d.peers[2].updates
	d.announce(1, "10.2.0.0/16", route(1, 65001))
	d.withdraw(1, "10.1.0.0/16")
	d.settle()
	if d.peers[2].updates != updates {
		t.Error("neighbor 2 was told of changes of the parts")
	}
	d.want(3, "10.2.0.0/16", true)

	// Without suppress: the parts come, nothing goes.
	d.edit(func(c *Config) { c.Aggregate = []Aggregate{{Prefix: aggregate.Prefix, Attrs: aggregate.Attrs}} })
	d.settle()
	d.want(2, "10.0.0.0/8", true)
	d.want(2, "10.2.0.0/16", true)
	d.edit(func(c *Config) { c.Aggregate = []Aggregate{aggregate} })
	d.settle()
	d.want(2, "10.2.0.0/16", false)

	// The number of a part is used again for another prefix.
	d.withdraw(1, "10.2.0.0/16")
	d.settle()
	d.want(2, "10.0.0.0/8", false)
	d.edit(func(c *Config) { c.Aggregate = nil })
	for _, p := range []string{"172.16.0.0/16", "172.17.0.0/16", "172.18.0.0/16"} {
		d.announce(1, p, route(1, 65001))
		d.settle()
		d.want(2, p, true)
	}
	d.edit(func(c *Config) { c.Neighbors[2].Families[prefix.IPv4].SendSuppressed = false })
	d.settle()
	d.empty()
}
