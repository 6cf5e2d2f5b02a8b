package export

import (
	"fmt"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

var toEBGP = Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}

// TestLargeBlocksCatchUp: a member catches up with more than its queue holds at
// a time, even with blocks of which few fit.
func TestLargeBlocksCatchUp(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, toEBGP, all(t), 1)
	const routes = 500
	for i := range routes {
		other := append([]byte{0xd0, 200, 0x0b, 0xb8, byte(i >> 8), byte(i)}, make([]byte, 2998)...)
		l.set(1, fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255), wire.Attrs{ASPath: path(65001), NextHop: nh4, Other: other})
	}
	l.sync(g)
	s := newSink(t, 5)
	m := g.Join(5, s, tell(own))
	steps := 0
	for s.room = 2; !m.InStep(); s.room = 2 {
		if m.Step(1 << 16); len(s.got) == 0 {
			t.Fatal("nothing was sent")
		}
		if steps++; steps > routes {
			t.Fatalf("not done after %d steps, %d UPDATEs were sent", steps, len(s.got))
		}
	}
	if len(s.got) != routes {
		t.Errorf("%d UPDATEs were sent for %d routes", len(s.got), routes)
	}
}

// TestReplacedWhileBehind: a member that is behind is sent what was judged for
// other parameters, and does not fit the new ones.
func TestReplacedWhileBehind(t *testing.T) {
	for name, change := range map[string]func(*Params){
		"no next hop of our own": func(p *Params) { p.NextHopLen = 0 },
		"paths get too long":     func(p *Params) { p.RemovePrivate = false },
	} {
		l := newLab(t, prefix.IPv4)
		long := wire.Attrs{NextHop: nh4, ASPath: path(65001)}
		for len(long.ASPath) < 4050 {
			long.ASPath = append(long.ASPath, path(64600, 64601, 64602, 64603, 64604)...)
		}
		p := toEBGP
		p.RemovePrivate = true
		g := NewGroup(&l.env, p, all(t), 1)
		l.set(1, "10.0.0.0/8", long)
		l.sync(g)
		s := newSink(t, 5)
		m := g.Join(5, s, tell(own))
		change(&p)
		g.Replace(p, all(t), true)
		m.SetNextHop(tell(own[:p.NextHopLen]))
		m.Step(1000)
		l.sync(g)
		for _, line := range s.got {
			if line[0] == '+' {
				t.Errorf("%s: it was sent %.80s", name, line)
			}
		}
		if s.size > wire.MaxMsgLen {
			t.Errorf("%s: a message of %d bytes", name, s.size)
		}
	}
}

// TestFullAndBusy: a group waits only while all of its members will tell of
// room, which those do that are full or have less than half of it.
func TestFullAndBusy(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, toEBGP, all(t), 1)
	full, busy := newSink(t, 5), newSink(t, 6)
	g.Join(5, full, tell(own))
	g.Join(6, busy, tell(own))
	l.sync(g)
	l.set(1, "10.0.0.0/8", wire.Attrs{ASPath: path(65001), NextHop: nh4})
	for _, ch := range l.env.Table.Journal() {
		g.Touch(ch.ID)
	}
	full.room, busy.room = 0, 49
	if g.Drain(100) {
		t.Error("the group did not wait")
	}
	busy.room = 50
	if !g.Drain(100) {
		t.Error("the group waits, and nobody will wake it")
	}
}

// TestManyRefreshes: requests that come before we get to them are one, and none
// is answered before the End-of-RIB marker (RFC 7313 section 4.1).
func TestManyRefreshes(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, toEBGP, all(t), 1)
	l.set(1, "10.0.0.0/8", wire.Attrs{ASPath: path(65001), NextHop: nh4})
	l.sync(g)
	s := newSink(t, 5)
	m := g.Join(5, s, tell(own))
	for range 3 {
		m.Refresh(true)
	}
	l.sync(g)
	route := "+ 10.0.0.0/8: path [65000 65001] via 0a090909"
	s.want("during the first transfer", route, "end of ipv4", "refresh 1", route, "refresh 2")
	s.room = 0
	m.Refresh(true)
	m.Refresh(false)
	l.sync(g)
	s.room = 10
	l.sync(g)
	s.want("once there is room", "refresh 1", route, "refresh 2")
}

// TestMovedWithDebts: a member that is behind, is owed a withdrawal and a
// refresh, and moves to another group, gets all of it there.
func TestMovedWithDebts(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	var groups []*Group
	l.env.Referenced = func(id rib.ID) bool {
		for _, g := range groups {
			if g.Needs(id) {
				return true
			}
		}
		return false
	}
	g := NewGroup(&l.env, toEBGP, all(t), 1)
	groups = append(groups, g)
	a := wire.Attrs{ASPath: path(65001), NextHop: nh4}
	l.set(1, "10.0.0.0/8", a)
	s := newSink(t, 5)
	m := g.Join(5, s, tell(own))
	l.sync(g)
	s.got, s.room = nil, 0
	l.unset(1, "10.0.0.0/8")
	l.sync(g) // with nobody else in step it falls out
	m.Refresh(true)
	l.set(1, "11.0.0.0/8", a) // must not be given the ID of what is owed
	p := toEBGP
	p.Policy = "other"
	h := NewGroup(&l.env, p, compiled(t, &policy.Policy{Rules: []policy.Rule{{Then: policy.Accept}}}), 2)
	groups = append(groups, h)
	m = h.Move(m, tell(own), false)
	groups = groups[1:]
	g.Close()
	s.room = 100
	l.sync(h)
	route := "+ 11.0.0.0/8: path [65000 65001] via 0a090909"
	s.want("in the new group", "refresh 1", route, "- 10.0.0.0/8", "refresh 2")
	if id := l.env.Table.Lookup(prefix.MustParse("10.0.0.0/8")); id != 0 {
		t.Error("the ID of what is gone was not freed")
	}
}

func compiled(t testing.TB, p *policy.Policy) *policy.Program {
	x, err := policy.Compile([]*policy.Policy{p}, policy.Context{ASN: 65000})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestLinkLocalNextHop: a link-local address means nothing on another link.
func TestLinkLocalNextHop(t *testing.T) {
	global := append([]byte{0x20, 1, 0xd, 0xb8}, make([]byte, 12)...)
	link := append([]byte{0xfe, 0x80}, make([]byte, 14)...)
	us := append([]byte{0x20, 1, 0xd, 0xb8, 9}, make([]byte, 11)...)
	ibgp := Params{Family: prefix.IPv6, AS4: true, LocalASN: 65000, NextHopLen: 16}
	for _, c := range []struct {
		name          string
		nextHop, want []byte
	}{
		{"both", append(append([]byte{}, global...), link...), global},
		{"link-local alone", link, us},
		{"link-local twice", append(append([]byte{}, link...), link...), us},
		{"unspecified and link-local", append(make([]byte, 16), link...), us},
	} {
		l := newLab(t, prefix.IPv6)
		g := NewGroup(&l.env, ibgp, all(t), 1)
		s := newSink(t, 5)
		g.Join(5, s, tell(us))
		l.set(1, "2001:db8::/32", wire.Attrs{ASPath: path(65001), NextHop: c.nextHop})
		l.sync(g)
		s.want(c.name, fmt.Sprintf("+ 2001:db8::/32: path [65001] via %x pref 100", c.want), "end of ipv6")
	}
}

// TestMoveIsSmooth: a member that moves keeps what it has until its new group has
// looked at it, which may have come up just before.
func TestMoveIsSmooth(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	l.env.Table.NoteAll = true
	for i := 1; i < 4; i++ {
		l.infos[i] = rib.NeighborInfo{EBGP: true, RouterID: uint32(i)}
	}
	p := Params{EBGP: true, RouteServer: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "old"}
	g := NewGroup(&l.env, p, all(t), 1)
	var h *Group
	l.env.Referenced = func(id rib.ID) bool { return g.Needs(id) || h != nil && h.Needs(id) }
	for i := range packet.ID(3) {
		l.set(i+1, "192.0.2.0/24", wire.Attrs{ASPath: path(65001 + uint32(i)), NextHop: nh4})
	}
	l.set(3, "198.51.100.0/24", wire.Attrs{ASPath: path(65003), NextHop: nh4})
	s := newSink(t, 1)
	m := g.Join(1, s, tell(nh4))
	l.sync(g)
	s.want("all", "+ 198.51.100.0/24: path [65003] via 0a000001", "+ 192.0.2.0/24: path [65002] via 0a000001", "end of ipv4")
	two := newSink(t, 2)
	p.Policy = "new"
	h = NewGroup(&l.env, p, all(t), 2)
	h.Join(2, two, tell(nh4))
	m = h.Move(m, tell(nh4), false)
	m.Step(1000)
	s.want("before the group has looked")
	l.sync(h)
	for _, x := range s.got {
		if x[0] == '-' {
			t.Errorf("afterwards: %s", x)
		}
	}
	s.got = nil
	l.unset(2, "192.0.2.0/24")
	l.unset(3, "192.0.2.0/24")
	l.unset(3, "198.51.100.0/24")
	h.Touch(l.env.Table.Lookup(prefix.MustParse("192.0.2.0/24")))
	l.sync(h)
	s.want("what is gone goes", "- 198.51.100.0/24", "- 192.0.2.0/24")
}
