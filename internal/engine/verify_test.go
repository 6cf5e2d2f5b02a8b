package engine

import (
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// rejectLeaks is a policy that asks for the state of AS paths.
func rejectLeaks() *policy.Policy {
	return &policy.Policy{Name: "aspa", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondASPA, States: []rpki.State{rpki.Invalid}}),
		rule(policy.Actions{}, policy.Accept)}}
}

// TestVerify: routes follow the ASPAs, whose routes is a matter of roles, and nothing
// is sent about those whose result is the same.
func TestVerify(t *testing.T) {
	c := NewCore(quiet())
	cfg := ebgpConfig(t, 3)
	for i, d := range []rpki.Direction{rpki.Upstream, rpki.Downstream} {
		n := &cfg.Neighbors[i]
		n.Verification = policy.Verification{Direction: d, First: n.ASN}
		n.Families[prefix.IPv4].Import = program(t, rejectLeaks(), &n.Source)
	}
	c.Configure(cfg)
	peers := []*peer{newPeer(t, 1), newPeer(t, 2), newPeer(t, 3)}
	for i, p := range peers {
		c.Up(packet.ID(i+1), established(i+1), p)
	}
	announce := func(id packet.ID, p string, asPath []byte) {
		a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: asPath, NextHop: []byte{10, 1, byte(id), 2}}
		c.Messages(id, wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, wire.AppendPrefix(nil, prefix.MustParse(p))))
	}
	announce(1, "10.1.0.0/16", pathTo(65001, 64601))
	announce(1, "10.2.0.0/16", pathTo(65001, 65001, 65001, 64602, 64602)) // prepended
	announce(1, "10.3.0.0/16", append(pathTo(65001), wire.SegSet, 1, 0, 0, 0xfc, 1))
	announce(2, "10.4.0.0/16", pathTo(65002, 64601))
	announce(2, "10.5.0.0/16", pathTo(65002, 64601, 64603))
	has := func(n, updates int) {
		t.Helper()
		before := peers[2].updates
		c.Settle()
		peers[2].read()
		if len(peers[2].table) != n || updates >= 0 && peers[2].updates-before != updates {
			t.Fatalf("it has %d routes, by %d updates; want %d by %d", len(peers[2].table), peers[2].updates-before, n, updates)
		}
	}
	aspas := func(all ...rpki.ASPA) { c.Verify(rpki.NewASPAs(all)) }
	has(5, -1)
	aspas(rpki.ASPA{Customer: 64601, Providers: []uint32{64999}})
	has(3, 1) // 10.1 is a leak, 10.3 has an AS_SET; downwards 10.4 may pass, and 10.5 by a peer
	aspas(rpki.ASPA{Customer: 64601, Providers: []uint32{64999, 65001}}, rpki.ASPA{Customer: 64602, Providers: []uint32{65001}})
	has(4, 1)
	aspas(rpki.ASPA{Customer: 64601, Providers: []uint32{65001}}, rpki.ASPA{Customer: 64602, Providers: []uint32{65001}})
	has(4, 0)
	none := []uint32{0}
	aspas(rpki.ASPA{Customer: 64601, Providers: none}, rpki.ASPA{Customer: 64602, Providers: none}, rpki.ASPA{Customer: 64603, Providers: none}, rpki.ASPA{Customer: 65002, Providers: none})
	has(1, -1) // 10.5 would have two pairs of peers
	// Another role: what comes from a customer only ever went up.
	cfg.Neighbors[1].Verification.Direction = rpki.Upstream
	c.Configure(cfg)
	has(0, 1)
	cfg.Neighbors[1].Verification = policy.Verification{}
	c.Configure(cfg)
	has(2, -1)
	aspas()
	has(5, -1)
}

// TestVerifyBusy: of ASPAs that come during a walk the last count, and there is one
// walk at a time.
func TestVerifyBusy(t *testing.T) {
	c := NewCore(quiet())
	c.pace.walk = 1
	cfg := ebgpConfig(t, 1)
	n := &cfg.Neighbors[0]
	n.Verification = policy.Verification{Direction: rpki.Upstream, First: n.ASN}
	n.Families[prefix.IPv4].Import = program(t, rejectLeaks(), &n.Source)
	c.Configure(cfg)
	c.Up(1, established(1), newPeer(t, 1))
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: pathTo(65001, 64601), NextHop: []byte{10, 1, 1, 2}}
	for i := range byte(20) {
		c.Messages(1, wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, []byte{16, 10, i}))
	}
	c.Settle()
	for i := range uint32(20) {
		c.Verify(rpki.NewASPAs([]rpki.ASPA{{Customer: 64601, Providers: []uint32{65000 + i%2, 64000 + i}}}))
		if jobs := len(c.jobs); jobs > 5 {
			t.Fatalf("%d jobs", jobs)
		}
		c.Work()
	}
	c.Settle()
	if n := c.tables[0][prefix.IPv4].BestCount(); n != 20 || c.verifying || c.nextASPAs != nil || c.revising != 0 {
		t.Errorf("%d routes are left of 20", n)
	}
	c.Verify(rpki.NewASPAs([]rpki.ASPA{{Customer: 64601, Providers: []uint32{64000}}}))
	c.Settle()
	if n := c.tables[0][prefix.IPv4].BestCount(); n != 0 {
		t.Errorf("%d routes are left that are invalid", n)
	}
}
