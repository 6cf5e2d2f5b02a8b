package engine

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// fakeKernel has the routes that it was given, by table, prefix and metric.
type fakeKernel struct {
	core    *Core
	routes  map[string]fib.Route
	objects fakeObjects
	waiting []*Batch
	held    bool // answers wait for answer
	late    bool // it writes when it answers
	refuse  func(fib.Change) error
	writes  int
}

func slot(r *fib.Route) string { return fmt.Sprint(r.Table, r.Prefix, r.Metric) }

func (k *fakeKernel) out(b *Batch) {
	if !k.late {
		k.write(b)
	}
	k.waiting = append(k.waiting, b)
}

func (k *fakeKernel) write(b *Batch) {
	for i := range b.Objects {
		b.ObjectErrs[i] = k.writeObject(&b.Objects[i])
	}
	for i := range b.Changes {
		ch := &b.Changes[i]
		k.writes++
		if k.refuse != nil {
			if b.Errs[i] = k.refuse(*ch); b.Errs[i] != nil {
				continue
			}
		}
		switch _, ok := k.objects.all[ch.Object]; {
		case ch.Delete:
			delete(k.routes, slot(&ch.Route))
		case ch.Object != 0 && !ok:
			b.Errs[i] = errNoObject
		default:
			k.routes[slot(&ch.Route)] = ch.Route
		}
	}
}

func (k *fakeKernel) answer() (any bool) {
	for len(k.waiting) > 0 {
		b := k.waiting[0]
		k.waiting = k.waiting[1:]
		if k.late {
			k.write(b)
		}
		k.core.Written(b)
		any = true
	}
	return any
}

// text shows the kernel's routes.
func (k *fakeKernel) text() string {
	var all []string
	for _, s := range slices.Sorted(maps.Keys(k.routes)) {
		r := k.routes[s]
		line := fmt.Sprintf("%d %v metric %d %v", r.Table, r.Prefix, r.Metric, r.Action)
		for _, h := range k.outs(&r) {
			line += fmt.Sprintf(" via %v link %d", h.Gateway, h.Link)
		}
		all = append(all, line+"\n")
	}
	return fmt.Sprint(all)
}

// kernelDesk is a desk with a kernel whose link 2 has the networks of all
// neighbors.
type kernelDesk struct {
	*desk
	k *fakeKernel
}

const kernelMetric = 20

func connected(p string, link int) fib.Foreign {
	return fib.Foreign{Protocol: 2, Scope: 253, Route: fib.Route{Table: fib.MainTable, Prefix: prefix.MustParse(p),
		Forward: fib.Forward{Hops: []fib.Hop{{Link: link}}}}}
}

func via(p, gateway string, link int, metric uint32) fib.Foreign {
	return fib.Foreign{Protocol: 4, Route: fib.Route{Table: fib.MainTable, Prefix: prefix.MustParse(p), Metric: metric,
		Forward: fib.Forward{Hops: []fib.Hop{{Link: link, Gateway: netip.MustParseAddr(gateway)}}}}}
}

func snapshot() fib.Event {
	return fib.Event{Snapshot: true, Links: []fib.Link{{Index: 2, Name: "eth0", Up: true}, {Index: 3, Name: "eth1", Up: true}},
		Addrs:  []fib.Address{{Link: 2, Prefix: netip.MustParsePrefix("10.1.1.1/24")}},
		Routes: []fib.Foreign{connected("10.1.1.0/24", 2), connected("10.1.2.0/24", 2), connected("10.1.3.0/24", 3), connected("2001:db8::/64", 2)}}
}

func withKernel(cfg Config) Config {
	cfg.Tables = []Table{{Name: "main", Resolve: []uint32{fib.MainTable}, From: fib.MainTable,
		Install: &Install{Kernel: fib.MainTable, Metric: kernelMetric}}}
	return cfg
}

func newKernelDesk(t testing.TB, cfg Config) *kernelDesk {
	k := &kernelDesk{k: newFakeKernel()}
	k.desk = &desk{t: t, core: NewCore(quiet()), cfg: cfg, peers: make([]*peer, len(cfg.Neighbors)+1)}
	k.k.core = k.core
	k.core.UseKernel(k.k.out, true)
	k.core.KernelNews(snapshot())
	k.core.Configure(cfg)
	for i := range cfg.Neighbors {
		k.up(i + 1)
	}
	k.settle()
	return k
}

func (d *kernelDesk) settle() {
	for again := true; again; {
		d.desk.settle()
		again = !d.k.held && d.k.answer()
	}
}

func (d *kernelDesk) wantKernel(lines ...string) {
	d.t.Helper()
	for i := range lines {
		lines[i] += "\n"
	}
	slices.Sort(lines)
	if want := fmt.Sprint(lines); d.k.text() != want {
		d.t.Errorf("the kernel has\n%s\nwant\n%s", d.k.text(), want)
	}
}

func (d *kernelDesk) empty() {
	d.t.Helper()
	for i, p := range d.peers {
		if p != nil {
			d.down(i)
		}
	}
	d.edit(func(c *Config) { c.Originate, c.Aggregate, c.Static, c.Neighbors, c.Leaks = nil, nil, nil, nil, nil })
	d.settle()
	d.desk.empty()
	if len(d.k.routes) > 0 {
		d.t.Errorf("the kernel still has %s", d.k.text())
	}
	if n := len(d.core.hops.by); n > 0 {
		d.t.Errorf("%d next hops are left: %v", n, d.core.hops.by)
	}
	if n := len(d.k.objects.all); n > 0 {
		d.t.Errorf("%d nexthop objects are left", n)
	}
	if o := d.core.objects; len(o.legs)+len(o.groups)+len(o.by)+len(o.legOf)+len(o.of) > 0 {
		d.t.Errorf("objects are left: %+v", o)
	}
	if n := len(d.core.forwards.by); n > 0 {
		d.t.Errorf("%d forwards are left", n)
	}
}

func TestKernelRoutes(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
	d.announce(2, "10.8.0.0/16", route(2, 65002, 7, 8))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.want(3, "10.8.0.0/16", true)
	d.announce(2, "10.8.0.0/16", route(2, 65002))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.2.2 link 2")
	d.down(2)
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.up(2)
	d.withdraw(1, "10.8.0.0/16")
	d.settle()
	d.wantKernel()
	d.want(3, "10.8.0.0/16", false)
	d.empty()
}

// TestEqualForwardIsNoWrite: other attributes with the same way are nothing to
// the kernel.
func TestEqualForwardIsNoWrite(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
	d.settle()
	n := d.k.writes
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7, 8))
	d.settle()
	if d.k.writes != n {
		t.Errorf("%d writes for other attributes", d.k.writes-n)
	}
	if a := d.want(2, "10.8.0.0/16", true); wire.PathLen(a.ASPath) != 4 {
		t.Errorf("neighbor 2 has the old path %v", a.ASPath)
	}
	d.empty()
}

// TestAnnouncedOnceInstalled: a route is announced when the kernel has
// acknowledged it, replaced when it has acknowledged the other, withdrawn at
// once, and not announced when it refuses.
func TestAnnouncedOnceInstalled(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	d.k.held = true
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
	d.settle()
	d.want(3, "10.8.0.0/16", false)
	d.k.answer()
	d.settle()
	d.want(3, "10.8.0.0/16", true)

	d.announce(2, "10.8.0.0/16", route(2, 65002))
	d.settle()
	if a := d.want(3, "10.8.0.0/16", true); wire.PathLen(a.ASPath) != 3 {
		t.Errorf("announced before the kernel has it: %v", a.ASPath)
	}
	d.k.answer()
	d.settle()
	if a := d.want(3, "10.8.0.0/16", true); wire.PathLen(a.ASPath) != 2 {
		t.Errorf("not announced though the kernel has it: %v", a.ASPath)
	}

	d.withdraw(1, "10.8.0.0/16")
	d.withdraw(2, "10.8.0.0/16")
	d.settle()
	d.want(3, "10.8.0.0/16", false)
	d.k.held = false
	d.settle()
	d.wantKernel()

	d.k.refuse = func(fib.Change) error { return errors.New("no buffer space available") }
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.want(3, "10.8.0.0/16", false)
	d.k.refuse = nil
	d.core.SetNow(1000)
	d.settle()
	d.want(3, "10.8.0.0/16", true)
	d.empty()
}

func TestNextHopFollowsTheKernel(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 3))
	ibgp(t, &cfg.Neighbors[0])
	ibgp(t, &cfg.Neighbors[1])
	cfg.Neighbors[0].Families[0].Client = true
	d := newKernelDesk(t, cfg)
	far := func(hop ...byte) wire.Attrs {
		a := route(1, 7)
		a.NextHop = hop
		return a
	}
	d.announce(1, "10.8.0.0/16", far(192, 0, 2, 1))
	d.announce(2, "10.8.0.0/16", far(192, 0, 2, 2))
	d.settle()
	d.want(3, "10.8.0.0/16", false)
	d.wantKernel()
	// The nearer next hop wins, and follows the cost.
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("192.0.2.1/32", "10.1.3.1", 3, 30), via("192.0.2.2/32", "10.1.2.1", 2, 10)}})
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.2.1 link 2")
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("192.0.2.1/32", "10.1.3.1", 3, 30), via("192.0.2.2/32", "10.1.2.1", 2, 40)}, Lost: []fib.Foreign{via("192.0.2.2/32", "10.1.2.1", 2, 10)}})
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.1 link 3")
	// Another router on the way to the same next hop.
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("192.0.2.1/32", "10.1.3.9", 3, 30)}})
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.3.9 link 3")
	// A link that goes down.
	d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: 3, Name: "eth1"}}})
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.2.1 link 2")
	d.core.KernelNews(fib.Event{Lost: []fib.Foreign{via("192.0.2.2/32", "10.1.2.1", 2, 40)}})
	d.settle()
	d.wantKernel()
	d.want(3, "10.8.0.0/16", false)
	d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: 3, Name: "eth1", Up: true}}})
	d.settle()
	d.want(3, "10.8.0.0/16", true)
	d.empty()
}

// TestRecursiveNextHop: a route of our own leads to a next hop, but never a
// route to its own next hop, and not a default route.
func TestRecursiveNextHop(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 3))
	ibgp(t, &cfg.Neighbors[0])
	d := newKernelDesk(t, cfg)
	a := route(1, 7)
	a.NextHop = []byte{192, 0, 2, 1}
	d.announce(1, "10.8.0.0/16", a)
	d.announce(2, "0.0.0.0/0", route(2, 65002))
	d.settle()
	d.wantKernel("254 0.0.0.0/0 metric 20 unicast via 10.1.2.2 link 2")
	d.announce(2, "192.0.2.0/24", route(2, 65002))
	d.settle()
	d.wantKernel("254 0.0.0.0/0 metric 20 unicast via 10.1.2.2 link 2",
		"254 10.8.0.0/16 metric 20 unicast via 10.1.2.2 link 2", "254 192.0.2.0/24 metric 20 unicast via 10.1.2.2 link 2")
	d.announce(1, "192.0.2.0/28", a) // by itself
	d.settle()
	d.wantKernel("254 0.0.0.0/0 metric 20 unicast via 10.1.2.2 link 2", "254 10.8.0.0/16 metric 20 unicast via 10.1.2.2 link 2",
		"254 192.0.2.0/24 metric 20 unicast via 10.1.2.2 link 2", "254 192.0.2.0/28 metric 20 unicast via 10.1.2.2 link 2")
	d.withdraw(2, "192.0.2.0/24")
	d.settle()
	d.wantKernel("254 0.0.0.0/0 metric 20 unicast via 10.1.2.2 link 2")
	d.empty()
}

// TestDefaultRouteIsNoWayToALink: when the link to an eBGP neighbor goes, a default
// route of the kernel does not lead to its next hop. It does for others.
func TestDefaultRouteIsNoWayToALink(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 3))
	ibgp(t, &cfg.Neighbors[0])
	d := newKernelDesk(t, cfg)
	d.down(2)
	d.upWith(2, func(e *session.Established) { e.Link = netip.MustParsePrefix("10.1.2.0/24") })
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("0.0.0.0/0", "10.1.3.1", 3, 0)}})
	a := route(1, 7)
	a.NextHop = []byte{192, 0, 2, 1}
	d.announce(1, "10.7.0.0/16", a)
	d.announce(2, "10.8.0.0/16", route(2, 65002))
	d.settle()
	d.wantKernel("254 10.7.0.0/16 metric 20 unicast via 10.1.3.1 link 3", "254 10.8.0.0/16 metric 20 unicast via 10.1.2.2 link 2")
	d.core.KernelNews(fib.Event{Lost: []fib.Foreign{connected("10.1.2.0/24", 2)}})
	d.settle()
	d.wantKernel("254 10.7.0.0/16 metric 20 unicast via 10.1.3.1 link 3")
	d.want(3, "10.8.0.0/16", false)
	d.empty()
}

func TestMultipath(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 3))
	cfg.Tables[0].Install.Multipath = 2
	d := newKernelDesk(t, cfg)
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
	d.announce(2, "10.8.0.0/16", route(2, 65002, 7))
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2 via 10.1.2.2 link 2")
	d.announce(2, "10.8.0.0/16", route(2, 65002, 7, 8)) // the other one, which is not the best
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.announce(2, "10.8.0.0/16", route(2, 65002, 9))
	d.settle()
	d.down(1)
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.2.2 link 2")
	d.empty()
}

// TestRestart: routes of an earlier run stay until it is known that nobody
// announces them; those that are right are not written again.
func TestRestart(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	old := func(p string, gw string) fib.Route {
		r := via(p, gw, 2, kernelMetric).Route
		d.k.routes[slot(&r)] = r
		return r
	}
	other := old("10.5.0.0/16", "10.1.1.2")
	other.Table = 77
	d.core.Adopt([]fib.Route{old("10.8.0.0/16", "10.1.1.2"), old("10.9.0.0/16", "10.1.2.2"), old("10.7.0.0/16", "10.1.1.2"), other}, nil, 120)
	delete(d.k.routes, "254 10.5.0.0/16 20")
	d.settle()
	if len(d.k.routes) != 3 || d.k.writes != 0 {
		t.Fatalf("%d writes, the kernel has %s", d.k.writes, d.k.text())
	}
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.announce(1, "10.9.0.0/16", route(1, 65001))
	d.settle()
	d.want(2, "10.8.0.0/16", true)
	d.core.SetNow(5)
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2", "254 10.9.0.0/16 metric 20 unicast via 10.1.1.2 link 2",
		"254 10.7.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	if d.k.writes != 1 {
		t.Errorf("%d writes, want the one for another gateway", d.k.writes)
	}
	eor := wire.AppendEndOfRIB
	for i := 1; i <= 2; i++ {
		d.core.Messages(d.cfg.Neighbors[i-1].ID, eor(eor(nil, prefix.IPv4), prefix.IPv6))
	}
	d.core.SetNow(6)
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2", "254 10.9.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.empty()
}

func TestRestartTimer(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 1)))
	r := via("10.8.0.0/16", "10.1.1.2", 2, kernelMetric).Route
	d.k.routes[slot(&r)] = r
	d.core.Adopt([]fib.Route{r}, nil, 120)
	d.core.SetNow(119)
	d.settle()
	if len(d.k.routes) != 1 {
		t.Error("the route of the earlier run is gone before its time")
	}
	d.core.SetNow(122)
	d.settle()
	d.wantKernel()
	d.empty()
}

func TestLostRoutesComeBack(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 1)))
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	r := via("10.8.0.0/16", "10.1.1.2", 2, kernelMetric).Route
	delete(d.k.routes, slot(&r))
	d.core.KernelNews(fib.Event{OwnLost: []fib.Route{r}})
	d.settle()
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2")
	d.empty()
}

// TestReconcile: what the kernel has dropped without a word is written again,
// and nothing else.
func TestReconcile(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 2)))
	for i := range 20 {
		d.announce(1, fmt.Sprintf("10.8.%d.0/24", i), route(1, 65001))
	}
	d.settle()
	want := d.k.text()
	n := d.k.writes
	for _, p := range []string{"254 10.8.3.0/24 20", "254 10.8.7.0/24 20"} {
		delete(d.k.routes, p)
	}
	e, stop := running(d.core)
	err := e.Reconcile(func(f func(fib.Route)) error {
		for _, r := range d.k.routes {
			f(r)
		}
		return nil
	})
	stop()
	d.settle()
	if got := d.k.text(); err != nil || got != want || d.k.writes != n+2 {
		t.Errorf("%d writes, want 2; the kernel has %s: %v", d.k.writes-n, got, err)
	}
	d.empty()
}

func TestFlush(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 1)))
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.core.FlushKernel()
	d.settle()
	d.wantKernel()
	if !d.core.KernelIdle() {
		t.Error("the kernel is not idle")
	}
}

func TestOtherMetric(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 1)))
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	d.edit(func(c *Config) {
		c.Tables = slices.Clone(c.Tables)
		c.Tables[0].Install = &Install{Kernel: 100, Metric: 7}
	})
	d.settle()
	d.wantKernel("100 10.8.0.0/16 metric 7 unicast via 10.1.1.2 link 2")
	d.edit(func(c *Config) {
		c.Tables = slices.Clone(c.Tables)
		c.Tables[0].Install = nil
	})
	d.settle()
	d.wantKernel()
	d.empty()
}

func TestSources(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 1))
	cfg.Aggregate = []Aggregate{{Prefix: prefix.MustParse("10.8.0.0/15")}}
	cfg.Static = []Static{
		{Prefix: prefix.MustParse("10.20.0.0/16"), NextHop: netip.MustParseAddr("10.1.3.7")},
		{Prefix: prefix.MustParse("10.21.0.0/16"), Discard: true},
		{Prefix: prefix.MustParse("10.22.0.0/16"), Interface: "eth1"},
		{Prefix: prefix.MustParse("10.23.0.0/16"), Interface: "eth1", NextHop: netip.MustParseAddr("fe80::7")},
		{Prefix: prefix.MustParse("10.24.0.0/16"), NextHop: netip.MustParseAddr("198.51.100.1")}, // no way to it
	}
	cfg.Originate = []Origination{
		{Prefix: prefix.MustParse("10.30.0.0/16")},
		{Prefix: prefix.MustParse("10.31.0.0/16"), WhileInKernel: fib.MainTable},
	}
	cfg.Tables[0].Redistribute = program(t, &policy.Policy{Name: "r", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondSource, Sources: []policy.SourceName{policy.FromStatic}})}}, nil)
	d := newKernelDesk(t, cfg)
	d.announce(1, "10.8.1.0/24", route(1, 65001))
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{via("10.40.0.0/16", "10.1.3.1", 3, 0)}})
	d.settle()
	d.wantKernel("254 10.8.1.0/24 metric 20 unicast via 10.1.1.2 link 2", "254 10.8.0.0/15 metric 4294967294 unreachable",
		"254 10.20.0.0/16 metric 20 unicast via 10.1.3.7 link 3", "254 10.21.0.0/16 metric 4294967294 blackhole",
		"254 10.22.0.0/16 metric 20 unicast via invalid IP link 3", "254 10.23.0.0/16 metric 20 unicast via fe80::7 link 3")
	for p, want := range map[string]bool{"10.8.0.0/15": true, "10.20.0.0/16": true, "10.21.0.0/16": true, "10.22.0.0/16": true, "10.24.0.0/16": false,
		"10.30.0.0/16": true, "10.31.0.0/16": false, "10.40.0.0/16": true, "10.1.1.0/24": false} {
		if a := d.want(1, p, want); want && netip.AddrFrom4([4]byte(a.NextHop)) != netip.MustParseAddr("10.1.1.1") {
			t.Errorf("%s has next hop %v", p, a.NextHop)
		}
	}
	d.core.KernelNews(fib.Event{Routes: []fib.Foreign{connected("10.31.0.0/16", 3)}, Lost: []fib.Foreign{via("10.40.0.0/16", "10.1.3.1", 3, 0)}})
	d.settle()
	d.want(1, "10.31.0.0/16", true)
	d.want(1, "10.40.0.0/16", false)
	d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: 3, Name: "eth1"}}, Lost: []fib.Foreign{connected("10.31.0.0/16", 3)}})
	d.settle()
	d.want(1, "10.31.0.0/16", false)
	d.want(1, "10.20.0.0/16", false)
	d.wantKernel("254 10.8.1.0/24 metric 20 unicast via 10.1.1.2 link 2", "254 10.8.0.0/15 metric 4294967294 unreachable", "254 10.21.0.0/16 metric 4294967294 blackhole")
	d.core.KernelNews(snapshot())
	d.settle()
	d.empty()
}

// TestHostAddresses: an IPv4 address that is a network of its own is connected,
// though the kernel has no route for it but among its local addresses.
func TestHostAddresses(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 1))
	cfg.Originate = []Origination{{Prefix: prefix.MustParse("10.31.0.1/32"), WhileInKernel: fib.MainTable}}
	cfg.Tables[0].Redistribute = program(t, &policy.Policy{Name: "r", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondSource, Sources: []policy.SourceName{policy.FromConnected}})}}, nil)
	d := newKernelDesk(t, cfg)
	want := func(service, loopback bool) {
		t.Helper()
		d.settle()
		d.want(1, "10.31.0.1/32", service)
		d.want(1, "10.31.0.2/32", loopback)
		d.wantKernel()
	}
	on := func(link int, p string) fib.Address { return fib.Address{Link: link, Prefix: netip.MustParsePrefix(p)} }
	want(false, false)
	d.core.KernelNews(fib.Event{Addrs: []fib.Address{on(3, "10.31.0.1/32"), on(3, "10.31.0.2/32"), on(2, "10.31.0.2/32"), on(2, "10.31.0.3/24")}})
	want(true, true)
	e, stop := running(d.core)
	hits, err := e.Hits(t.Context())
	stop()
	if err != nil || hits["r"] == nil || hits["r"].Rules[d.cfg.Tables[0].Redistribute.Hits()[0].Rule] < 2 {
		t.Errorf("the rules of redistribute have selected %v, %v", hits["r"], err)
	}
	d.core.KernelNews(fib.Event{AddrGone: []fib.Address{on(3, "10.31.0.2/32")}})
	want(true, true)
	d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: 3, Name: "eth1"}}})
	want(false, true)
	d.core.KernelNews(fib.Event{AddrGone: []fib.Address{on(2, "10.31.0.2/32")}, Links: []fib.Link{{Index: 3, Name: "eth1", Up: true}}})
	want(true, false)
	d.core.KernelNews(fib.Event{Snapshot: true})
	want(false, false)
	d.empty()
}

// TestStaticOfOriginated: an originated route says not where packets go, a static
// one for the same prefix does.
func TestStaticOfOriginated(t *testing.T) {
	cfg := withKernel(ebgpConfig(t, 1))
	cfg.Originate = []Origination{{Prefix: prefix.MustParse("10.30.0.0/16")}, {Prefix: prefix.MustParse("10.31.0.0/16")}}
	statics := []Static{{Prefix: prefix.MustParse("10.30.0.0/16"), Discard: true},
		{Prefix: prefix.MustParse("10.31.0.0/16"), NextHop: netip.MustParseAddr("10.1.3.7")}}
	d := newKernelDesk(t, cfg)
	d.settle()
	d.wantKernel()
	d.edit(func(c *Config) { c.Static = statics })
	d.settle()
	discards := "254 10.30.0.0/16 metric 4294967294 blackhole"
	d.wantKernel(discards, "254 10.31.0.0/16 metric 20 unicast via 10.1.3.7 link 3")
	d.want(1, "10.31.0.0/16", true)

	d.core.KernelNews(fib.Event{Links: []fib.Link{{Index: 3, Name: "eth1"}}})
	d.settle()
	d.wantKernel(discards)
	d.want(1, "10.31.0.0/16", true)

	d.edit(func(c *Config) { c.Static = nil })
	d.settle()
	d.wantKernel()
	d.want(1, "10.30.0.0/16", true)
	d.empty()
}

// TestIGPCost has its own rung on the ladder.
func TestIGPCost(t *testing.T) {
	if rib.StepIGPCost.String() == "" || rib.StepIGPCost <= rib.StepEBGP || rib.StepIGPCost >= rib.StepRouterID {
		t.Error("the cost of the way to the next hop is not where RFC 4271 section 9.1.2.2 e has it")
	}
}
