package export

import (
	"slices"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestMaxOut: what is out stays out, the rest waits for its turn, and no
// announcement is sent ahead of the withdrawal that makes room for it.
func TestMaxOut(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	p := Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all", MaxOut: 2}
	g := NewGroup(&l.env, p, all(t), 1)
	s, behind := newSink(t, 5), newSink(t, 6)
	m := g.Join(5, s, tell(own))
	g.Join(6, behind, tell(own))
	one, two := wire.Attrs{ASPath: path(65001), NextHop: nh4}, wire.Attrs{ASPath: path(65001, 2), NextHop: nh4}
	for _, x := range []string{"10.3.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.4.0.0/16"} {
		l.set(1, x, one)
		l.sync(g)
	}
	const as, as2 = ": path [65000 65001] via 0a090909", ": path [65000 65001 2] via 0a090909"
	s.want("the first two", "+ 10.3.0.0/16"+as, "end of ipv4", "+ 10.1.0.0/16"+as)
	behind.want("the first two", "+ 10.3.0.0/16"+as, "end of ipv4", "+ 10.1.0.0/16"+as)
	why := func(x string) string {
		reason := m.Advertised(l.env.Table.Lookup(prefix.MustParse(x)))
		return ReasonText(reason)
	}
	if why("10.2.0.0/16") != "max_prefixes_out is reached" || why("10.1.0.0/16") != "sent" || g.Held() != 2 || l.limited != 1 {
		t.Errorf("10.2.0.0/16: %s, 10.1.0.0/16: %s, %d held back, told %d times", why("10.2.0.0/16"), why("10.1.0.0/16"), g.Held(), l.limited)
	}
	l.set(1, "10.1.0.0/16", two) // a change is no more
	l.sync(g)
	s.want("other attributes", "+ 10.1.0.0/16"+as2)
	behind.want("other attributes", "+ 10.1.0.0/16"+as2)

	// A withdrawal, and a new prefix in the same round: it does not overtake.
	behind.room = 0
	l.unset(1, "10.3.0.0/16")
	l.set(1, "10.5.0.0/16", one)
	l.sync(g)
	s.want("first one goes, then comes who has waited longest", "- 10.3.0.0/16", "+ 10.2.0.0/16"+as)
	l.unset(1, "10.1.0.0/16")
	l.sync(g)
	s.want("and the next", "- 10.1.0.0/16", "+ 10.4.0.0/16"+as)
	behind.room = 100
	l.sync(g)
	behind.want("who catches up loses first", "- 10.1.0.0/16 10.3.0.0/16", "+ 10.4.0.0/16 10.2.0.0/16"+as)
	if g.Held() != 1 || l.limited != 1 {
		t.Errorf("%d held back, told %d times", g.Held(), l.limited)
	}

	p.MaxOut = 1
	g.Replace(p, all(t), false)
	l.sync(g)
	s.want("a lower limit", "- 10.2.0.0/16")
	p.MaxOut = 3
	g.Replace(p, all(t), false)
	l.sync(g)
	slices.Sort(s.got)
	s.want("a higher one", "+ 10.5.0.0/16 10.2.0.0/16"+as)
	p.MaxOut = 0
	g.Replace(p, all(t), false)
	l.sync(g)
	if s.want("none"); g.Held() != 0 || g.Count() != 3 {
		t.Errorf("%d held back, %d out", g.Held(), g.Count())
	}
}

// TestMaxOutMoves: a member that gets another policy keeps what it has.
func TestMaxOutMoves(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	p := Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all", MaxOut: 1}
	g := NewGroup(&l.env, p, all(t), 1)
	s := newSink(t, 5)
	m := g.Join(5, s, tell(own))
	for _, x := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
		l.set(1, x, wire.Attrs{ASPath: path(65001), NextHop: nh4})
	}
	l.sync(g)
	l.unset(1, "10.1.0.0/16")
	l.sync(g)
	l.set(1, "10.1.0.0/16", wire.Attrs{ASPath: path(65001), NextHop: nh4}) // a lower number than the other's
	l.sync(g)
	s.got = nil
	p.Policy = "the same"
	h := NewGroup(&l.env, p, all(t), 2)
	h.Move(m, tell(own), false)
	l.sync(h)
	s.want("nothing new")
	if h.Count() != 1 || h.Held() != 1 {
		t.Errorf("%d out, %d held back", h.Count(), h.Held())
	}
}

// TestMaxOutLowered: a member joins a group that is above its new limit, while
// another member does not read.
func TestMaxOutLowered(t *testing.T) {
	l := newLab(t, prefix.IPv4)
	p := Params{EBGP: true, AS4: true, LocalASN: 65000, NextHopLen: 4, Policy: "all", MaxOut: 2}
	q := p
	q.Policy, q.MaxOut = "the same", 1
	g, h := NewGroup(&l.env, p, all(t), 1), NewGroup(&l.env, q, all(t), 2)
	slow, s := newSink(t, 5), newSink(t, 6)
	g.Join(5, slow, tell(own))
	m := h.Join(6, s, tell(own))
	for _, x := range []string{"10.1.0.0/16", "10.2.0.0/16"} {
		l.set(1, x, wire.Attrs{ASPath: path(65001), NextHop: nh4})
	}
	for _, ch := range l.env.Table.Journal() {
		g.Touch(ch.ID)
		h.Touch(ch.ID)
	}
	l.sync(g)
	l.sync(h)
	const as = ": path [65000 65001] via 0a090909"
	s.want("the first", "+ 10.1.0.0/16"+as, "end of ipv4")
	slow.room = 0
	p.MaxOut = 1
	g.Replace(p, all(t), false)
	m = g.Move(m, tell(own), false)
	if m.Step(1000) && len(s.got) > 0 {
		t.Errorf("it was sent %v before the group has withdrawn anything", s.got)
	}
	l.sync(g)
	s.want("what stays", "- 10.1.0.0/16", "+ 10.2.0.0/16"+as)
}
