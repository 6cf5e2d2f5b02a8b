package export

import (
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// TestServerHidesNothing: clients of a route server are sent the best path that
// their policy accepts, and who gave it the next one (RFC 7947 section 2.3).
func TestServerHidesNothing(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	for i := 1; i < len(l.infos); i++ {
		l.infos[i] = rib.NeighborInfo{EBGP: true, RouterID: uint32(i)}
	}
	l.env.Table.NoteAll = true
	program := compiled(t, &policy.Policy{Rules: []policy.Rule{
		{Match: []policy.Match{{Conditions: []policy.Condition{{Kind: policy.CondASPathLength, Ranges: []policy.Range{{Min: 1, Max: 1}}}}}}, Then: policy.Reject},
		{Then: policy.Accept}}})
	g := NewGroup(&l.env, Params{EBGP: true, RouteServer: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "not short"}, program, 1)
	l.env.Referenced = g.Needs
	join := func(s *sink) *Member {
		m := g.Join(s.id, s, tell(nh4))
		l.sync(g)
		s.got = nil
		return m
	}
	one, two, five := newSink(t, 1), newSink(t, 2), newSink(t, 5)
	m, _, _ := join(one), join(two), join(five)
	send := func(from int, asns ...uint32) {
		l.set(packet.ID(from), "192.0.2.0/24", wire.Attrs{ASPath: path(asns...), NextHop: nh4})
		l.others(g)
	}
	send(3, 65003)
	five.want("a path that the policy rejects")
	send(1, 65001, 65009, 65009)
	five.want("the best one that it accepts", "+ 192.0.2.0/24: path [65001 65009 65009] via 0a000001")
	two.want("the best one that it accepts", "+ 192.0.2.0/24: path [65001 65009 65009] via 0a000001")
	one.want("its own")
	send(2, 65002, 65008, 65009, 65009)
	one.want("the best one of others", "+ 192.0.2.0/24: path [65002 65008 65009 65009] via 0a000001")
	two.want("nothing that it has not got")
	five.want("nothing that it has not got")
	g.Resend(2)
	l.others(g)
	one.want("it looks different now", "+ 192.0.2.0/24: path [65002 65008 65009 65009] via 0a000001")
	two.want("with it goes what it stands in for", "+ 192.0.2.0/24: path [65001 65009 65009] via 0a000001")
	five.want("with it goes what it stands in for", "+ 192.0.2.0/24: path [65001 65009 65009] via 0a000001")
	if m.Count() != 1 {
		t.Errorf("client 1 is sent %d routes", m.Count())
	}
	send(2, 65002, 65009)
	one.want("now it is the best one for all", "+ 192.0.2.0/24: path [65002 65009] via 0a000001")
	two.want("whose it is keeps that of 1")
	five.want("the rest", "+ 192.0.2.0/24: path [65002 65009] via 0a000001")

	l.unset(1, "192.0.2.0/24")
	l.others(g)
	two.want("there is no other", "- 192.0.2.0/24")
	one.want("nothing that it has not got")
	send(1, 65001, 65009, 65009)
	two.want("there is again", "+ 192.0.2.0/24: path [65001 65009 65009] via 0a000001")

	// Who comes later is sent others in the place of its own as well.
	g.Leave(g.Members()[1])
	send(1, 65001, 65007, 65009)
	two = newSink(t, 2)
	g.Join(2, two, tell(nh4))
	l.sync(g)
	two.want("who comes late", "+ 192.0.2.0/24: path [65001 65007 65009] via 0a000001", "end of ipv4")
	one.got, five.got = nil, nil

	l.unset(2, "192.0.2.0/24")
	l.unset(1, "192.0.2.0/24")
	l.unset(3, "192.0.2.0/24")
	l.others(g)
	one.want("all are gone", "- 192.0.2.0/24")
	two.want("all are gone", "- 192.0.2.0/24")
	five.want("all are gone", "- 192.0.2.0/24")
	if l.env.Table.Len() != 0 || g.Count() != 0 || len(g.seconds) != 0 {
		t.Errorf("%d prefixes, %d routes and %d others are left", l.env.Table.Len(), g.Count(), len(g.seconds))
	}
}
