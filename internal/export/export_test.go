package export

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// lab is a table with routes of neighbors 1 (eBGP), 2 (iBGP) and 0 (ourselves).
type lab struct {
	t       testing.TB
	env     Env
	infos   []rib.NeighborInfo
	srcs    []Neighbor
	lost    []string // what Unsendable was told
	limited int      // how often Limited was told
}

func newLab(t testing.TB, f prefix.Family) *lab {
	l := &lab{t: t, infos: make([]rib.NeighborInfo, 10), srcs: make([]Neighbor, 10)}
	l.infos[0].Local = true
	l.infos[1] = rib.NeighborInfo{EBGP: true, RouterID: 11}
	l.infos[2] = rib.NeighborInfo{RouterID: 12}
	s := attr.NewStore()
	l.env = Env{Store: s, Table: rib.New(f, s, &l.infos), Neighbors: &l.infos, Sources: &l.srcs, ClusterID: 77,
		Unsendable: func(_ *Group, p prefix.Prefix) { l.lost = append(l.lost, p.String()) },
		Limited:    func(*Group) { l.limited++ },
		Referenced: func(rib.ID) bool { return true }}
	l.env.Table.Decision.DefaultLocalPref = 100
	return l
}

func (l *lab) set(n packet.ID, p string, a wire.Attrs) {
	a.Has |= wire.HasOrigin | wire.HasASPath
	x := prefix.MustParse(p)
	h := l.env.Store.InternAttrs(attr.Key{Neighbor: n, Family: x.Family}, &a)
	l.env.Table.Apply([]rib.Op{{Prefix: x, Neighbor: n, Pre: h, Post: h}}, 0, 0)
}

func (l *lab) unset(n packet.ID, p string) {
	l.env.Table.Apply([]rib.Op{{Prefix: prefix.MustParse(p), Neighbor: n}}, 0, 0)
}

// sync brings a group up to date with the journal.
func (l *lab) sync(g *Group) {
	for _, ch := range l.env.Table.Journal() {
		g.Touch(ch.ID)
	}
	for busy := true; busy; {
		busy = g.Drain(1000)
		for _, m := range g.Members() {
			busy = m.Step(1000) || busy
		}
	}
}

func all(t testing.TB) *policy.Program {
	p, err := policy.Compile([]*policy.Policy{{Rules: []policy.Rule{{Then: policy.Accept}}}}, policy.Context{ASN: 65000})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sink records what a member is sent, as text.
type sink struct {
	t    testing.TB
	id   packet.ID
	o    wire.Options
	room int
	got  []string
	size int // of the largest message
}

func newSink(t testing.TB, id packet.ID) *sink {
	return &sink{t: t, id: id, room: 100, o: wire.Options{AS4: true, ExtNH: true, Families: [prefix.Families]bool{true, true}}}
}

func (s *sink) Room() int { return s.room }

func (s *sink) Send(p *packet.Packet, nextHop *packet.NextHop) bool {
	if s.room == 0 {
		return false
	}
	s.room--
	for b := p.Render(nil, s.id, nextHop); len(b) > 0; {
		n := int(binary.BigEndian.Uint16(b[16:]))
		s.size = max(s.size, n)
		s.message(b[18], b[wire.HeaderLen:n])
		b = b[n:]
	}
	return true
}

func (s *sink) message(typ byte, body []byte) {
	if typ == wire.MsgRefresh {
		s.got = append(s.got, fmt.Sprintf("refresh %d", body[2]))
		return
	}
	var u wire.Update
	if err := wire.Split(body, &s.o, &u); err != nil {
		s.t.Fatalf("% x: %v", body, err)
	}
	if f, ok := u.EndOfRIB(); ok {
		s.got = append(s.got, "end of "+f.String())
		return
	}
	for i, l := range []wire.NLRI{u.Withdrawn, u.Unreach, u.Announced, u.Reach} {
		routes, err := l.Decode(nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(routes) == 0 {
			continue
		}
		var line strings.Builder
		if i < 2 {
			line.WriteString("-")
		} else {
			line.WriteString("+")
		}
		for _, r := range routes {
			fmt.Fprintf(&line, " %v", r.Prefix)
			if r.PathID != 0 {
				fmt.Fprintf(&line, " #%d", r.PathID)
			}
		}
		if i >= 2 {
			block, v := u.Validate(&s.o, i == 3, nil)
			if v.Action != wire.Accept {
				s.t.Fatalf("% x: %s", body, v.Why)
			}
			var nh []byte
			if i == 3 {
				nh = u.ReachNextHop
			}
			var a wire.Attrs
			wire.Parse(block, nh, &a)
			line.WriteString(": " + describe(&a))
		}
		s.got = append(s.got, line.String())
	}
}

// describe has only what is there.
func describe(a *wire.Attrs) string {
	var b strings.Builder
	fmt.Fprintf(&b, "path %s via %x", pathText(a.ASPath), a.NextHop)
	if a.Has&wire.HasMED != 0 {
		fmt.Fprintf(&b, " med %d", a.MED)
	}
	if a.Has&wire.HasLocalPref != 0 {
		fmt.Fprintf(&b, " pref %d", a.LocalPref)
	}
	if a.Has&wire.HasOriginatorID != 0 {
		fmt.Fprintf(&b, " originator %d", a.OriginatorID)
	}
	if len(a.ClusterList) > 0 {
		fmt.Fprintf(&b, " clusters %x", a.ClusterList)
	}
	if len(a.Communities) > 0 {
		fmt.Fprintf(&b, " comm %x", a.Communities)
	}
	if len(a.Other) > 0 {
		fmt.Fprintf(&b, " other %x", a.Other)
	}
	return b.String()
}

func pathText(path []byte) string {
	var asns []string
	for it := wire.Path(path); it.Next(); {
		asns = append(asns, fmt.Sprint(it.ASN))
	}
	return "[" + strings.Join(asns, " ") + "]"
}

func path(asns ...uint32) []byte {
	if len(asns) == 0 {
		return nil
	}
	b := []byte{2, byte(len(asns))}
	for _, a := range asns {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

func (s *sink) want(what string, lines ...string) {
	s.t.Helper()
	if got, want := strings.Join(s.got, "\n"), strings.Join(lines, "\n"); got != want {
		s.t.Errorf("%s: neighbor %d was sent\n%s\nwant\n%s", what, s.id, got, want)
	}
	s.got = nil
}

var (
	nh4 = []byte{10, 0, 0, 1}
	own = []byte{10, 9, 9, 9}
)

// tell is what a member is told that shares no link with us.
func tell(own []byte) *packet.NextHop { return &packet.NextHop{Own: own} }

func TestWhatEachKindOfNeighborIsSent(t *testing.T) {
	route := wire.Attrs{ASPath: path(65001, 64512, 65009), NextHop: nh4, Has: wire.HasMED | wire.HasLocalPref, MED: 5, LocalPref: 200,
		Other: []byte{0xc0, 200, 2, 1, 2}}
	with := func(p Params, f func(*Params)) Params { f(&p); return p }
	ebgp := Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}
	server := with(ebgp, func(p *Params) { p.RouteServer = true })
	ibgp := Params{AS4: true, LocalASN: 65000, NextHopLen: 4}
	for _, c := range []struct {
		name string
		from packet.ID
		p    Params
		want string
	}{
		{"eBGP to eBGP: own next hop, no MED, no LOCAL_PREF, partial bit", 1, ebgp,
			"path [65000 65001 64512 65009] via 0a090909 other e0c8020102"},
		{"eBGP to eBGP, next hop unchanged", 1, with(ebgp, func(p *Params) { p.NextHop = NextHopUnchanged }),
			"path [65000 65001 64512 65009] via 0a000001 other e0c8020102"},
		{"private AS numbers removed", 1, with(ebgp, func(p *Params) { p.RemovePrivate = true; p.LocalASN = 1 }),
			"path [1] via 0a090909 other e0c8020102"},
		{"both AS numbers", 1, with(ebgp, func(p *Params) { p.LocalASN, p.GlobalASN = 64998, 65000 }),
			"path [64998 65000 65001 64512 65009] via 0a090909 other e0c8020102"},
		{"AS override", 1, with(ebgp, func(p *Params) { p.ASOverride = 65009 }),
			"path [65000 65001 64512 65000] via 0a090909 other e0c8020102"},
		{"to a client of a route server: as it came", 1, server,
			"path [65001 64512 65009] via 0a000001 med 5 other e0c8020102"},
		{"to a client of a route server without an address of ours", 1, with(server, func(p *Params) { p.NextHopLen = 0 }),
			"path [65001 64512 65009] via 0a000001 med 5 other e0c8020102"},
		{"to a client of a route server that cannot use the next hop", 3, server, ""},
		{"to a client that can", 3, with(server, func(p *Params) { p.ForeignNextHop = true }),
			"path [65001 64512 65009] via 20010db8000000000000000000000001 med 5 other e0c8020102"},
		{"own route to eBGP: MED is ours", 0, ebgp,
			"path [65000 65001 64512 65009] via 0a090909 med 5 other c0c8020102"},
		{"eBGP to iBGP: as it is", 1, ibgp,
			"path [65001 64512 65009] via 0a000001 med 5 pref 200 other e0c8020102"},
		{"eBGP to iBGP, next hop self", 1, with(ibgp, func(p *Params) { p.NextHop = NextHopSelf }),
			"path [65001 64512 65009] via 0a090909 med 5 pref 200 other e0c8020102"},
		{"iBGP to a client: reflected", 2, with(ibgp, func(p *Params) { p.Client = true }),
			"path [65001 64512 65009] via 0a000001 med 5 pref 200 originator 12 clusters 0000004d other e0c8020102"},
		{"iBGP to iBGP: not at all", 2, ibgp, ""},
		{"drained eBGP", 1, with(ebgp, func(p *Params) { p.GracefulShutdown = true }),
			"path [65000 65001 64512 65009] via 0a090909 comm ffff0000 other e0c8020102"},
		{"drained iBGP: the last choice", 1, with(ibgp, func(p *Params) { p.GracefulShutdown = true }),
			"path [65001 64512 65009] via 0a000001 med 5 pref 0 comm ffff0000 other e0c8020102"},
		{"eBGP without policy: nothing", 1, with(ebgp, func(p *Params) { p.Policy = "" }), ""},
		{"no address to announce", 1, with(ebgp, func(p *Params) { p.NextHopLen = 0 }), ""},
	} {
		l := newLab(t, prefix.IPv4)
		var program *policy.Program
		if c.p.Policy != "" {
			program = all(t)
		}
		g := NewGroup(&l.env, c.p, program, 1)
		s := newSink(t, 5)
		g.Join(5, s, tell(own[:c.p.NextHopLen]))
		a := route
		if c.from == 3 {
			l.infos[3].EBGP, a.NextHop = true, netip.MustParseAddr("2001:db8::1").AsSlice()
		}
		l.set(c.from, "192.0.2.0/24", a)
		l.sync(g)
		want := []string{"end of ipv4"}
		if c.want != "" {
			want = []string{"+ 192.0.2.0/24: " + c.want, "end of ipv4"}
		}
		s.want(c.name, want...)
	}
}

func TestTwoByteNeighbor(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, Params{EBGP: true, LocalASN: 4200000001, NextHopLen: 4, Policy: "all"}, all(t), 1)
	s := newSink(t, 5)
	s.o.AS4 = false
	g.Join(5, s, tell(own))
	l.set(1, "192.0.2.0/24", wire.Attrs{ASPath: path(65001, 4200000002), NextHop: nh4})
	l.sync(g)
	s.want("AS4_PATH", "+ 192.0.2.0/24: path [4200000001 65001 4200000002] via 0a090909", "end of ipv4")
}

func TestIPv4OverIPv6NextHop(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	nh6 := append([]byte{0x20, 1}, make([]byte, 14)...)
	g := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 16, ForeignNextHop: true, Policy: "all"}, all(t), 1)
	s := newSink(t, 5)
	g.Join(5, s, tell(nh6))
	l.set(1, "192.0.2.0/24", wire.Attrs{ASPath: path(65001), NextHop: nh4})
	l.sync(g)
	s.want("RFC 8950", fmt.Sprintf("+ 192.0.2.0/24: path [65000 65001] via %x", nh6), "end of ipv4")
}

func TestSplitHorizon(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}, all(t), 1)
	l.infos[3] = rib.NeighborInfo{EBGP: true, RouterID: 13}
	one, three, four := newSink(t, 1), newSink(t, 3), newSink(t, 4)
	for _, s := range []*sink{one, three, four} {
		g.Join(s.id, s, tell([]byte{10, 9, 9, byte(s.id)}))
	}
	l.set(1, "192.0.2.0/24", wire.Attrs{ASPath: path(65001, 9), NextHop: nh4})
	l.sync(g)
	one.want("its own route", "end of ipv4")
	three.want("a new route", "+ 192.0.2.0/24: path [65000 65001 9] via 0a090903", "end of ipv4")
	four.want("a new route", "+ 192.0.2.0/24: path [65000 65001 9] via 0a090904", "end of ipv4")
	l.set(3, "192.0.2.0/24", wire.Attrs{ASPath: path(65003), NextHop: nh4})
	l.sync(g)
	one.want("a better route of 3", "+ 192.0.2.0/24: path [65000 65003] via 0a090901")
	three.want("what it gave is best now", "- 192.0.2.0/24")
	four.want("a better route of 3", "+ 192.0.2.0/24: path [65000 65003] via 0a090904")
	l.unset(3, "192.0.2.0/24")
	l.unset(1, "192.0.2.0/24")
	l.sync(g)
	one.want("all gone", "- 192.0.2.0/24")
	three.want("all gone: it has nothing")
	four.want("all gone", "- 192.0.2.0/24")
}

func TestRoutesThatDoNotFit(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	small := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}, all(t), 1)
	large := NewGroup(&l.env, Params{EBGP: true, AS4: true, ExtMsg: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}, all(t), 2)
	a, b := newSink(t, 5), newSink(t, 6)
	small.Join(5, a, tell(own))
	large.Join(6, b, tell(own))
	sync := func() {
		for _, ch := range l.env.Table.Journal() {
			small.Touch(ch.ID)
			large.Touch(ch.ID)
		}
		l.sync(small)
		l.sync(large)
	}
	route := wire.Attrs{ASPath: path(65001), NextHop: nh4}
	l.set(1, "192.0.2.0/24", route)
	sync()
	a.want("small", "+ 192.0.2.0/24: path [65000 65001] via 0a090909", "end of ipv4")
	b.got = nil
	route.Communities = make([]byte, 4*1020)
	l.set(1, "192.0.2.0/24", route)
	sync()
	a.want("too large now: withdrawn", "- 192.0.2.0/24")
	b.want("extended messages", fmt.Sprintf("+ 192.0.2.0/24: path [65000 65001] via 0a090909 comm %x", route.Communities))
	if fmt.Sprint(l.lost) != "[192.0.2.0/24]" {
		t.Errorf("Unsendable was told %v", l.lost)
	}
}

func TestPacking(t *testing.T) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		l := newLab(t, f)
		p := Params{Family: f, EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}
		nh, mine := nh4, own
		if f == prefix.IPv6 {
			p.NextHopLen, nh, mine = 16, bytes.Repeat([]byte{0x20}, 16), bytes.Repeat([]byte{0x21}, 16)
		}
		g := NewGroup(&l.env, p, all(t), 1)
		s := newSink(t, 5)
		g.Join(5, s, tell(mine))
		const n = 5000
		for i := range n {
			if f == prefix.IPv4 {
				l.set(1, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256), wire.Attrs{ASPath: path(65001), NextHop: nh})
			} else {
				l.set(1, fmt.Sprintf("2001:db8:%x::/48", i), wire.Attrs{ASPath: path(65001), NextHop: nh})
			}
		}
		l.sync(g)
		fit := (4096 - 60) / 4
		if f == prefix.IPv6 {
			fit = (4096 - 80) / 7
		}
		if s.size > 4096 || len(s.got) > n/fit+7 {
			t.Errorf("%v: %d messages of up to %d bytes", f, len(s.got), s.size)
		}
		seen := 0
		for _, line := range s.got {
			if strings.HasPrefix(line, "+") {
				seen += strings.Count(line, "/")
			}
		}
		if seen != n {
			t.Errorf("%v: %d prefixes arrived, want %d", f, seen, n)
		}
		s.got = nil
		for i := range n {
			if f == prefix.IPv4 {
				l.unset(1, fmt.Sprintf("10.%d.%d.0/24", i/256, i%256))
			} else {
				l.unset(1, fmt.Sprintf("2001:db8:%x::/48", i))
			}
		}
		l.sync(g)
		if g.Count() != 0 || s.size > 4096 || len(s.got) > n/fit+7 {
			t.Errorf("%v: %d announced still; withdrawn in %d messages", f, g.Count(), len(s.got))
		}
	}
}

func TestRefreshBetweenMarkers(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}, all(t), 1)
	s := newSink(t, 5)
	m := g.Join(5, s, tell(own))
	l.set(1, "192.0.2.0/24", wire.Attrs{ASPath: path(65001), NextHop: nh4})
	l.sync(g)
	s.got = nil
	m.Refresh(true)
	l.sync(g)
	s.want("RFC 7313", "refresh 1", "+ 192.0.2.0/24: path [65000 65001] via 0a090909", "refresh 2")
	m.Refresh(false)
	l.sync(g)
	s.want("RFC 2918", "+ 192.0.2.0/24: path [65000 65001] via 0a090909")
}

func TestSlowMemberCatchesUp(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	g := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all"}, all(t), 1)
	quick, slow := newSink(t, 5), newSink(t, 6)
	g.Join(5, quick, tell(own))
	g.Join(6, slow, tell(own))
	l.sync(g)
	quick.got, slow.got = nil, nil
	slow.room, quick.room = 0, 100
	a := wire.Attrs{ASPath: path(65001), NextHop: nh4}
	for i := range 3 {
		l.set(1, fmt.Sprintf("10.%d.0.0/16", i), a)
		l.sync(g)
	}
	l.unset(1, "10.1.0.0/16")
	l.sync(g)
	quick.want("as it happens", "+ 10.0.0.0/16: path [65000 65001] via 0a090909", "+ 10.1.0.0/16: path [65000 65001] via 0a090909",
		"+ 10.2.0.0/16: path [65000 65001] via 0a090909", "- 10.1.0.0/16")
	slow.want("it reads nothing")
	slow.room = 100
	l.sync(g)
	slow.want("the outcome only", "+ 10.2.0.0/16 10.0.0.0/16: path [65000 65001] via 0a090909")
}

func TestDefaultOriginate(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	local := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}
	l.env.DefaultRoute = l.env.Store.InternAttrs(attr.Key{}, &local)
	l.env.Table.Pin(prefix.MustParse("0.0.0.0/0"))
	g := NewGroup(&l.env, Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, DefaultOriginate: true, Policy: "all"}, all(t), 1)
	s := newSink(t, 5)
	g.Join(5, s, tell(own))
	l.sync(g)
	s.want("no default route here", "+ 0.0.0.0/0: path [65000] via 0a090909", "end of ipv4")
	l.set(1, "0.0.0.0/0", wire.Attrs{ASPath: path(65001), NextHop: nh4})
	l.sync(g)
	s.want("a real one wins", "+ 0.0.0.0/0: path [65000 65001] via 0a090909")
}
