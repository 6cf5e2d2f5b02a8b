package engine

import (
	"errors"
	"net/netip"
	"slices"
	"testing"

	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

var errRefused = errors.New("no buffer space available")

// TestRefusedMeanwhileUnwanted: a refusal that comes when something else is
// wanted by now leads to that at once, not with the next try of what failed.
func TestRefusedMeanwhileUnwanted(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
	d.settle()
	d.k.held, d.k.refuse = true, func(fib.Change) error { return errRefused }
	d.announce(2, "10.8.0.0/16", route(2, 65002))
	d.settle()
	d.k.refuse = nil
	d.withdraw(1, "10.8.0.0/16")
	d.withdraw(2, "10.8.0.0/16")
	d.settle()
	d.k.held = false
	d.settle()
	d.wantKernel()
	d.empty()
}

// TestRefusedThenAsBefore: what a change that failed has left is not taken for
// what was there before.
func TestRefusedThenAsBefore(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.k.refuse = func(ch fib.Change) error {
		if ch.Delete {
			return nil
		}
		return errRefused
	}
	metric := func(m uint32) {
		d.edit(func(c *Config) {
			c.Tables = slices.Clone(c.Tables)
			c.Tables[0].Install = &Install{Kernel: fib.MainTable, Metric: m}
		})
		d.settle()
	}
	metric(7)
	d.wantKernel()
	d.want(2, "10.8.0.0/16", false)
	d.k.refuse = nil
	metric(kernelMetric)
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.want(2, "10.8.0.0/16", true)
	d.empty()
}

// TestLostWhileFlying: a route that is lost before or after it was written, and
// that nobody wants any more, is taken away.
func TestLostWhileFlying(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	d.k.held = true
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.core.KernelNews(fib.Event{OwnLost: []fib.Route{via("10.8.0.0/16", "10.1.1.2", 2, kernelMetric).Route}})
	d.withdraw(1, "10.8.0.0/16")
	d.settle()
	d.k.held = false
	d.settle()
	d.wantKernel()
	d.empty()
}

// TestAdoptTwo: of two routes of an earlier run for one prefix, which was stopped
// between a route and its successor, none is forgotten.
func TestAdoptTwo(t *testing.T) {
	for _, metrics := range [][]uint32{{7, kernelMetric}, {kernelMetric, 7}, {discardMetric, kernelMetric}} {
		d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
		var old []fib.Route
		for _, m := range metrics {
			r := via("10.8.0.0/16", "10.1.1.2", 2, m).Route
			d.k.routes[slot(&r)] = r
			old = append(old, r)
		}
		d.core.Adopt(old, nil, 120)
		d.announce(1, "10.8.0.0/16", route(1, 65001))
		d.settle()
		d.want(2, "10.8.0.0/16", true)
		d.k.refuse = func(fib.Change) error { return errRefused } // once
		d.core.SetNow(200)
		d.settle()
		d.k.refuse = nil
		d.core.SetNow(300)
		d.settle()
		d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
		d.want(2, "10.8.0.0/16", true)
		d.empty()
	}
}

// TestOtherMetricHalfway: with another metric for all routes, one that is there
// by either goes on to be announced, also to whom the same edit moves into a
// group of his own; and an old one that cannot be removed is not forgotten.
func TestOtherMetricHalfway(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	for _, p := range d.peers[1:] {
		p.strict = true
	}
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.k.held = true
	d.k.refuse = func(ch fib.Change) error {
		if ch.Delete {
			return errRefused
		}
		return nil
	}
	d.edit(func(c *Config) {
		c.Tables = slices.Clone(c.Tables)
		c.Tables[0].Install = &Install{Kernel: fib.MainTable, Metric: 7}
		c.Neighbors[1].Families[prefix.IPv4].RemovePrivate = true
	})
	d.settle()
	d.want(2, "10.8.0.0/16", true)
	d.want(3, "10.8.0.0/16", true)
	d.k.held = false
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2", "254 10.8.0.0/16 metric 7 unicast via 10.1.1.2 link 2")
	d.k.refuse = nil
	d.core.SetNow(100)
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 7 unicast via 10.1.1.2 link 2")
	d.want(2, "10.8.0.0/16", true)
	d.empty()
}

// TestReconcileFlying: what was written and dropped before its answer has come
// is written again.
func TestReconcileFlying(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	d.k.held = true
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	clear(d.k.routes)
	e, stop := running(d.core)
	err := e.Reconcile(func(func(fib.Route)) error {
		e.Do(func(*Core) { d.k.answer() })
		return nil
	})
	stop()
	d.k.held = false
	d.settle()
	if d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2"); err != nil {
		t.Error(err)
	}
	d.empty()
}

// TestFlushOrphans: at the end, what no table has goes too.
func TestFlushOrphans(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 1)))
	r := via("10.8.0.0/16", "10.1.1.2", 2, kernelMetric).Route
	r.Table = 77
	d.k.routes[slot(&r)] = r
	d.core.Adopt([]fib.Route{r}, nil, 120)
	d.settle()
	d.core.FlushKernel()
	d.settle()
	d.wantKernel()
}

// TestTablesChangePlaces: two tables exchange their numbers in the kernel, and a
// table is followed by one of another name.
func TestTablesChangePlaces(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 2))
	cfg.Tables = append(cfg.Tables, Table{Name: "blue", Resolve: []uint32{fib.MainTable}, Install: &Install{Kernel: 100, Metric: kernelMetric}}, Table{Name: "red", Resolve: []uint32{fib.MainTable}})
	for table, hop := range []string{"10.1.1.7", "10.1.2.7"} {
		cfg.Static = append(cfg.Static, Static{Table: TableID(table), Prefix: prefix.MustParse("10.8.0.0/16"), NextHop: netip.MustParseAddr(hop)})
	}
	d := newKernelDesk(t, cfg)
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.7 link 2", "100 10.8.0.0/16 metric 20 unicast via 10.1.2.7 link 2")
	d.edit(func(c *Config) {
		c.Tables = slices.Clone(c.Tables)
		c.Tables[0].Install, c.Tables[1].Install = c.Tables[1].Install, c.Tables[0].Install
	})
	d.settle()
	d.wantKernel("100 10.8.0.0/16 metric 20 unicast via 10.1.1.7 link 2", "254 10.8.0.0/16 metric 20 unicast via 10.1.2.7 link 2")
	for from, to := range map[TableID]TableID{0: 2, 2: 0} { // there and back, whichever comes first
		d.edit(func(c *Config) {
			c.Tables, c.Static = slices.Clone(c.Tables), slices.Clone(c.Static)
			if c.Static[0].Table != from {
				return
			}
			c.Tables[from].Install, c.Tables[to].Install = nil, c.Tables[from].Install
			c.Static[0].Table = to
		})
		d.settle()
		d.wantKernel("100 10.8.0.0/16 metric 20 unicast via 10.1.1.7 link 2", "254 10.8.0.0/16 metric 20 unicast via 10.1.2.7 link 2")
		if x := d.core.installerOf(&fib.Route{Table: 100}); x == nil || x.closing {
			t.Error("what the kernel says of table 100 is told to the table that was")
		}
	}
	d.empty()
}

// TestInstallBySource: the policy that chooses what goes to the kernel is asked
// again when what is known of a neighbor changes.
func TestInstallBySource(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 1))
	cfg.Tables[0].Install.Policy = program(t, &policy.Policy{Name: "install", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondSource, Sources: []policy.SourceName{policy.FromCustomer}})}}, nil)
	d := newKernelDesk(t, cfg)
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.wantKernel()
	d.edit(func(c *Config) { c.Neighbors[0].Source.Relation = policy.Customer })
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.empty()
}

// TestManyWays: what has more ways than a kernel route may have takes some.
func TestManyWays(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 2))
	cfg.Tables[0].Install.Multipath = 64
	for i := range cfg.Neighbors {
		ibgp(t, &cfg.Neighbors[i])
	}
	d := newKernelDesk(t, cfg)
	var e fib.Event
	for i := range byte(2) {
		f := via("192.0.2.0/32", "10.1.2.7", 2, 5)
		f.Prefix = prefix.FromNetip(netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, i}), 32))
		f.Hops = nil
		for k := range byte(40) {
			f.Hops = append(f.Hops, fib.Hop{Link: 2, Gateway: netip.AddrFrom4([4]byte{10, 1, 1 + i, 100 + k})})
		}
		e.Routes = append(e.Routes, f)
	}
	d.core.KernelNews(e)
	for i := range 2 {
		a := route(i+1, 7)
		a.NextHop = []byte{192, 0, 2, byte(i)}
		a.Has |= wire.HasLocalPref
		a.LocalPref = 100
		d.announce(i+1, "10.8.0.0/16", a)
	}
	d.settle()
	for _, r := range d.k.routes {
		if n := len(d.k.outs(&r)); n != fib.MaxHops {
			t.Errorf("the kernel route has %d ways", n)
		}
	}
	if len(d.k.routes) != 1 {
		t.Errorf("the kernel has %s", d.k.text())
	}
	d.empty()
}

// TestMovesWhileFlying: who moves into another group keeps what he has, until the
// kernel has said whether its successor may be announced.
func TestMovesWhileFlying(t *testing.T) {
	for _, refused := range []bool{false, true} {
		d := newKernelDesk(t, withKernel(ebgpConfig(t, 4)))
		d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
		d.settle()
		d.k.held = true
		if refused {
			d.k.refuse = func(fib.Change) error { return errRefused }
		}
		d.announce(2, "10.8.0.0/16", route(2, 65002))
		d.settle()
		d.edit(func(c *Config) { c.Neighbors[2].Families[prefix.IPv4].RemovePrivate = true })
		d.settle()
		d.want(3, "10.8.0.0/16", true)
		d.k.held = false
		d.settle()
		if a := d.want(3, "10.8.0.0/16", !refused); !refused && wire.PathLen(a.ASPath) != 1 {
			t.Errorf("neighbor 3 has still the old path %v", a.ASPath)
		}
		if m := d.core.neighbors[3].members[prefix.IPv4]; !m.InStep() {
			t.Error("neighbor 3 is not in step")
		}
		d.k.refuse = nil
		d.core.SetNow(100)
		d.settle()
		d.want(3, "10.8.0.0/16", true)
		d.empty()
	}
}
