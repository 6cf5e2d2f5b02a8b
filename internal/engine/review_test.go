package engine

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// desk is a router with neighbors that are up.
type desk struct {
	t     testing.TB
	core  *Core
	cfg   Config
	peers []*peer // by ID
}

func newDesk(t testing.TB, cfg Config) *desk {
	d := &desk{t: t, core: NewCore(quiet()), cfg: cfg, peers: make([]*peer, len(cfg.Neighbors)+1)}
	d.core.Configure(cfg)
	for i := range cfg.Neighbors {
		d.up(i + 1)
	}
	d.settle()
	return d
}

func (d *desk) up(i int) *peer { return d.upWith(i, func(*session.Established) {}) }

func (d *desk) upWith(i int, f func(*session.Established)) *peer {
	est := established(i)
	est.Read.EBGP, est.Write.EBGP = d.cfg.Neighbors[i-1].EBGP, d.cfg.Neighbors[i-1].EBGP
	f(&est)
	d.peers[i] = newPeer(d.t, packet.ID(i))
	d.core.Up(packet.ID(i), est, d.peers[i])
	return d.peers[i]
}

func (d *desk) down(i int) {
	d.core.Down(packet.ID(i), sessionReason)
	for _, q := range d.peers[i].queue {
		q.p.Release()
	}
	d.peers[i] = nil
}

// edit applies a changed configuration.
func (d *desk) edit(f func(c *Config)) {
	c := d.cfg
	c.Revision++
	c.Neighbors = slices.Clone(c.Neighbors)
	f(&c)
	d.cfg = c
	d.core.Configure(c)
}

func (d *desk) settle() {
	for moved := true; moved; {
		d.core.Settle()
		moved = false
		for _, p := range d.peers {
			if p != nil && len(p.queue) > 0 {
				p.read()
				moved = true
			}
		}
	}
}

// route is an IPv4 route of neighbor i behind the given path.
func route(i int, path ...uint32) wire.Attrs {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 1, byte(i), 2}}
	if len(path) > 0 {
		a.ASPath = []byte{2, byte(len(path))}
	}
	for _, asn := range path {
		a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, asn)
	}
	return a
}

func (d *desk) announce(i int, p string, a wire.Attrs) {
	d.core.Messages(packet.ID(i), update4(a, prefix.MustParse(p)))
}

func update4(a wire.Attrs, ps ...prefix.Prefix) []byte {
	var list []byte
	for _, p := range ps {
		list = wire.AppendPrefix(list, p)
	}
	return wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, list)
}

func (d *desk) withdraw(i int, p string) {
	x := prefix.MustParse(p)
	d.core.Messages(packet.ID(i), wire.AppendUpdate(nil, x.Family, nlri(x, 0, false), nil, nil, nil))
}

// has is what a neighbor has got for a prefix.
func (d *desk) has(i int, p string) (wire.Attrs, bool) {
	a, ok := d.peers[i].table[wire.Route{Prefix: prefix.MustParse(p)}]
	return a, ok
}

func (d *desk) want(i int, p string, want bool) wire.Attrs {
	d.t.Helper()
	a, ok := d.has(i, p)
	if ok != want {
		d.t.Errorf("neighbor %d has %s: %v, want %v", i, p, ok, want)
	}
	return a
}

// empty ends all sessions and looks for what is left.
func (d *desk) empty() {
	d.t.Helper()
	for i, p := range d.peers {
		if p != nil {
			d.down(i)
		}
	}
	d.edit(func(c *Config) { c.Originate, c.Aggregate, c.Neighbors = nil, nil, nil })
	d.core.Settle()
	if n := d.core.store.Usage().Blocks; n != 0 {
		d.t.Errorf("%d blocks are left", n)
	}
	d.core.all(func(t *table) {
		if t.Len()+t.PathCount() != 0 {
			d.t.Errorf("%s: %d prefixes and %d paths are left", t.Family(), t.Len(), t.PathCount())
		}
	})
}

// ibgp makes a neighbor of a configuration an internal one.
func ibgp(t testing.TB, n *Neighbor) {
	n.EBGP, n.ASN, n.Source.Kind = false, 65000, policy.IBGP
	for f := range n.Families {
		n.Families[f].Import, n.Families[f].Export = acceptAll(t, &n.Source), acceptAll(t, nil)
	}
}

// TestMadeBlockIsNotReceived: an eBGP neighbor that sends the very bytes that
// our policy has made gets no LOCAL_PREF into our table.
func TestMadeBlockIsNotReceived(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	n := &cfg.Neighbors[0]
	n.Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "p", Rules: []policy.Rule{
		rule(policy.Actions{LocalPref: policy.Adjust{Op: policy.SetTo, Value: 200}}, policy.Accept,
			policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.1.0.0/16")}),
		rule(policy.Actions{}, policy.Accept)}}, &n.Source)
	d := newDesk(t, cfg)
	a := route(1, 65001)
	d.announce(1, "10.1.0.0/16", a)
	a.Has, a.LocalPref = a.Has|wire.HasLocalPref, 200
	d.announce(1, "10.2.0.0/16", a)
	d.settle()
	table := d.core.tables[0][prefix.IPv4]
	best := table.Best(table.Lookup(prefix.MustParse("10.2.0.0/16")))
	if r := d.core.store.At(best.Post); r.Has&wire.HasLocalPref != 0 {
		t.Errorf("an eBGP neighbor has set LOCAL_PREF to %d", r.LocalPref)
	}
	d.empty()
}

// TestAggregateCountsWhatWentWithTheSession: a withdrawal and the end of the
// session behind it are taken in together.
func TestAggregateCountsWhatWentWithTheSession(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	cfg.Aggregate = []Aggregate{{Prefix: prefix.MustParse("10.0.0.0/8"), Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}}}
	d := newDesk(t, cfg)
	d.down(2)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	d.withdraw(1, "10.1.0.0/16")
	d.down(1)
	d.up(2)
	d.settle()
	d.want(2, "10.0.0.0/8", false)
	d.empty()
}

// TestClosingGroupGivesPrefixesBack: the last group ends with a prefix that it
// has not looked at.
func TestClosingGroupGivesPrefixesBack(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 1))
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.withdraw(1, "10.1.0.0/16")
	d.core.distribute()
	d.empty()
}

// TestDefaultOriginateEnds: without the option the default route is withdrawn
// and nothing of it is left.
func TestDefaultOriginateEnds(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	cfg.Neighbors[0].Families[prefix.IPv4].DefaultOriginate = true
	d := newDesk(t, cfg)
	d.want(1, "0.0.0.0/0", true)
	d.want(2, "0.0.0.0/0", false)
	d.edit(func(c *Config) { c.Neighbors[0].Families[prefix.IPv4].DefaultOriginate = false })
	d.settle()
	d.want(1, "0.0.0.0/0", false)
	d.empty()
}

// TestDefaultOriginateWithPolicy: a default route that was learned, and that the
// neighbor's policy does not let through, does not take ours away.
func TestDefaultOriginateWithPolicy(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	cfg.Neighbors[0].Families[prefix.IPv4].DefaultOriginate = true
	cfg.Neighbors[0].Families[prefix.IPv4].Export = program(t, &policy.Policy{Name: "none"}, nil)
	d := newDesk(t, cfg)
	d.announce(2, "0.0.0.0/0", route(2, 65002))
	d.settle()
	if a := d.want(1, "0.0.0.0/0", true); wire.PathLen(a.ASPath) != 1 {
		t.Errorf("the default route has the path % x", a.ASPath)
	}
	d.announce(1, "0.0.0.0/0", route(1, 65001))
	d.withdraw(2, "0.0.0.0/0")
	d.settle()
	d.want(1, "0.0.0.0/0", true)
	if a := d.want(2, "0.0.0.0/0", true); wire.PathLen(a.ASPath) != 2 {
		t.Errorf("the default route of neighbor 1 has the path % x", a.ASPath)
	}
	d.empty()
}

// TestSourceChanges: what an export policy asks of a route's source counts as
// it is configured now.
func TestSourceChanges(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	cfg.Neighbors[1].Families[prefix.IPv4].Export = program(t, &policy.Policy{Name: "customers", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondSource, Sources: []policy.SourceName{policy.FromCustomer}})}}, nil)
	cfg.Neighbors[0].Source.Relation = policy.Customer
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	d.want(2, "10.1.0.0/16", true)
	d.edit(func(c *Config) { c.Neighbors[0].Source.Relation = policy.Peer })
	d.settle()
	d.want(2, "10.1.0.0/16", false)
	d.empty()
}

// TestClientChanges: a neighbor becomes a route reflector client.
func TestClientChanges(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	ibgp(t, &cfg.Neighbors[0])
	ibgp(t, &cfg.Neighbors[1])
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 64600))
	d.settle()
	d.want(2, "10.1.0.0/16", false)
	d.edit(func(c *Config) { c.Neighbors[0].Families[0].Client = true })
	d.settle()
	d.want(2, "10.1.0.0/16", true)
	d.edit(func(c *Config) { c.Neighbors[0].Families[0].Client = false })
	d.settle()
	d.want(2, "10.1.0.0/16", false)
	d.empty()
}

// TestNextHopAndPolicyChange: one reload changes a neighbor's next hop and its
// policy, so that it moves to another group.
func TestNextHopAndPolicyChange(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 3))
	d.announce(3, "10.1.0.0/16", route(3, 65003))
	d.settle()
	addr := netip.MustParseAddr("192.0.2.99")
	d.edit(func(c *Config) {
		f := &c.Neighbors[0].Families[prefix.IPv4]
		f.NextHopAddr = addr
		f.Export = program(t, &policy.Policy{Name: "other", Rules: []policy.Rule{
			rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.7.0.0/16")}),
			rule(policy.Actions{}, policy.Accept)}}, nil)
	})
	d.settle()
	if a := d.want(1, "10.1.0.0/16", true); !slices.Equal(a.NextHop, addr.AsSlice()) {
		t.Errorf("neighbor 1 has next hop % x", a.NextHop)
	}
	d.empty()
}

// TestClusterIDAndPolicyChange: one reload changes the cluster ID, and the
// policy of one of two members of a group.
func TestClusterIDAndPolicyChange(t *testing.T) {
	cfg := ebgpConfig(t, 3)
	for i := range cfg.Neighbors {
		ibgp(t, &cfg.Neighbors[i])
		cfg.Neighbors[i].Families[0].Client = true
	}
	d := newDesk(t, cfg)
	d.announce(3, "10.1.0.0/16", route(3, 64600))
	d.settle()
	d.edit(func(c *Config) {
		c.ClusterID = 9
		c.Neighbors[0].Families[prefix.IPv4].Export = program(t, &policy.Policy{Name: "other", Rules: []policy.Rule{
			rule(policy.Actions{AddCommunities: communities("65000:1")}, policy.Accept)}}, nil)
	})
	d.settle()
	for i := 1; i <= 2; i++ {
		if a := d.want(i, "10.1.0.0/16", true); !slices.Equal(a.ClusterList, []byte{0, 0, 0, 9}) {
			t.Errorf("neighbor %d has cluster list % x", i, a.ClusterList)
		}
	}
	d.empty()
}

// TestDefaultLocalPrefChanges: what iBGP neighbors have been told changes too.
func TestDefaultLocalPrefChanges(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	ibgp(t, &cfg.Neighbors[1])
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	d.edit(func(c *Config) { c.Decision.DefaultLocalPref = 150 })
	d.settle()
	if a := d.want(2, "10.1.0.0/16", true); a.LocalPref != 150 {
		t.Errorf("LOCAL_PREF is %d", a.LocalPref)
	}
	d.empty()
}

// TestPrependsAndMED: import policies that prepend make two neighbors look like
// one AS, so that MED decides between some paths and not between others.
func TestPrependsAndMED(t *testing.T) {
	for _, order := range [][]int{{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}} {
		cfg := ebgpConfig(t, 4)
		prepend := &policy.Policy{Name: "p", Rules: []policy.Rule{rule(policy.Actions{Prepend: policy.Prepend{ASN: 65000, Count: 1}}, policy.Accept)}}
		for _, i := range []int{0, 2} {
			cfg.Neighbors[i].Families[prefix.IPv4].Import = program(t, prepend, &cfg.Neighbors[i].Source)
		}
		d := newDesk(t, cfg)
		routes := []wire.Attrs{{}, route(1, 65001), route(2, 65002, 64600), route(3, 65003)}
		for i, med := range []uint32{0, 10, 0, 5} {
			routes[i].Has, routes[i].MED = routes[i].Has|wire.HasMED, med
		}
		for _, i := range order {
			d.announce(i, "10.1.0.0/16", routes[i])
		}
		d.settle()
		// 1 loses to 3 by MED, 2 is better than 3 by its router ID.
		if a := d.want(4, "10.1.0.0/16", true); wire.PathContains(a.ASPath, 65002) == 0 {
			t.Errorf("order %v: best is % x", order, a.ASPath)
		}
		d.empty()
	}
}

// TestNeighborAddressChanges: the address is the last rung of the ladder.
func TestNeighborAddressChanges(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 3))
	for i := 1; i <= 2; i++ {
		d.down(i)
		d.upWith(i, func(e *session.Established) { e.RemoteID = 7 })
		d.announce(i, "10.1.0.0/16", route(i, 65000+uint32(i)))
	}
	d.settle()
	d.edit(func(c *Config) { c.Neighbors[0].Addr = netip.MustParseAddr("10.9.9.9") })
	d.settle()
	if a := d.want(3, "10.1.0.0/16", true); wire.PathContains(a.ASPath, 65002) == 0 {
		t.Errorf("best is % x", a.ASPath)
	}
	d.empty()
}

// TestLimitIsEdited: a limit holds for what is there, once a change of policy in
// the same edit has been carried out.
func TestLimitIsEdited(t *testing.T) {
	set := func(d *desk, limit int, pass string) {
		d.edit(func(c *Config) {
			n := &c.Neighbors[0]
			n.Families[prefix.IPv4].Limit = Limit{Max: limit, AfterPolicy: true}
			n.Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "p", Rules: []policy.Rule{
				rule(policy.Actions{}, policy.Accept, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes(pass)})}}, &n.Source)
		})
		d.settle()
	}
	d := newDesk(t, ebgpConfig(t, 2))
	set(d, 2, "11.0.0.0/8 ge 8 le 16")
	for _, p := range []string{"10.1.0.0/16", "10.2.0.0/16", "11.1.0.0/16", "11.2.0.0/16"} {
		d.announce(1, p, route(1, 65001))
	}
	set(d, 2, "10.0.0.0/8 ge 8 le 16")
	if d.peers[1].closed != nil {
		t.Error("the limit was exceeded by routes that the same edit rejects")
	}
	d.announce(1, "10.2.0.0/16", route(1, 65001))
	set(d, 1, "10.2.0.0/16")
	if d.peers[1].closed != nil {
		t.Error("a lower limit came before the policy of the same edit")
	}
	set(d, 1, "10.0.0.0/8 ge 8 le 16")
	if d.peers[1].closed == nil {
		t.Error("more routes are accepted than the limit allows")
	}
	d.empty()
}

// TestNewAddressOfOurs: whether a next hop is our own is judged for the session
// that stands, also for blocks that outlive one.
func TestNewAddressOfOurs(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 2))
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	d.down(1)
	d.upWith(1, func(e *session.Established) { e.NextHop[prefix.IPv4] = netip.MustParseAddr("10.1.1.2") })
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	d.want(2, "10.1.0.0/16", false)
	d.empty()
}

// TestPolicyEditWhileDown: neighbor 1's routes are gone, but their blocks are
// not yet, when its policy changes.
func TestPolicyEditWhileDown(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 2))
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	d.peers[2].room = 0
	d.down(1)
	d.core.Settle() // the group waits, so that its Adj-RIB-Out keeps the block
	d.edit(func(c *Config) {
		c.Neighbors[0].Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "none"}, &c.Neighbors[0].Source)
	})
	d.up(1)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.peers[2].room = queueLen
	d.settle()
	d.want(2, "10.1.0.0/16", false)
	d.empty()
}

// TestNextHopNotNegotiated: an IPv6 next hop for IPv4 routes was configured, but
// the neighbor cannot read it (RFC 8950 section 4).
func TestNextHopNotNegotiated(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	cfg.Neighbors[1].Families[prefix.IPv4].NextHopAddr = netip.MustParseAddr("2001:db8::9")
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 65001))
	d.settle()
	if a := d.want(2, "10.1.0.0/16", true); len(a.NextHop) != 4 {
		t.Errorf("next hop % x", a.NextHop)
	}
	d.empty()
}

// TestMoveWithNewEncodingOwed: neighbor 1 reads nothing while its group's next
// hops change, and leaves the group before it has been told.
func TestMoveWithNewEncodingOwed(t *testing.T) {
	d := newDesk(t, ebgpConfig(t, 3))
	d.down(3)
	d.announce(2, "10.1.0.0/16", route(2, 65002))
	d.settle()
	d.peers[1].room, d.peers[2].room = 0, 0
	d.edit(func(c *Config) {
		for i := range c.Neighbors {
			c.Neighbors[i].Families[prefix.IPv4].NextHop = export.NextHopUnchanged
		}
	})
	d.settle()
	d.edit(func(c *Config) {
		c.Neighbors[0].Families[prefix.IPv4].Export = program(t, &policy.Policy{Name: "other", Rules: []policy.Rule{
			rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.7.0.0/16")}),
			rule(policy.Actions{}, policy.Accept)}}, nil)
	})
	d.peers[1].room, d.peers[2].room = queueLen, queueLen
	d.settle()
	if a := d.want(1, "10.1.0.0/16", true); !slices.Equal(a.NextHop, []byte{10, 1, 2, 2}) {
		t.Errorf("neighbor 1 has next hop % x", a.NextHop)
	}
	d.empty()
}

// TestRouterIDChanges: an internal neighbor comes back at once, with the same
// routes and another router ID, which ORIGINATOR_ID has where they are reflected.
func TestRouterIDChanges(t *testing.T) {
	cfg := ebgpConfig(t, 2)
	ibgp(t, &cfg.Neighbors[0])
	ibgp(t, &cfg.Neighbors[1])
	cfg.Neighbors[0].Families[0].Client = true
	d := newDesk(t, cfg)
	d.announce(1, "10.1.0.0/16", route(1, 64600))
	d.settle()
	d.down(1)
	d.upWith(1, func(e *session.Established) { e.RemoteID = 77 })
	d.announce(1, "10.1.0.0/16", route(1, 64600))
	d.settle()
	if a := d.want(2, "10.1.0.0/16", true); a.OriginatorID != 77 {
		t.Errorf("ORIGINATOR_ID is %x", a.OriginatorID)
	}
	d.empty()
}
