package engine

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/model"
)

var (
	steps    = flag.Int("steps", 100_000, "steps of the random test")
	seedFlag = flag.Uint64("seed", 1, "first seed of the random test")
)

// twin is a policy for both sides: what the engine runs and what it means.
type twin struct {
	policy *policy.Policy // nil: none configured
	model  model.Policy
}

func rule(set policy.Actions, then policy.Then, conds ...policy.Condition) policy.Rule {
	r := policy.Rule{Set: set, Then: then}
	if len(conds) > 0 {
		r.Match = []policy.Match{{Conditions: conds}}
	}
	return r
}

func communities(text string) *policy.CommunitySet {
	s := &policy.CommunitySet{}
	if err := s.Add(text, policy.Pos{}); err != nil {
		panic(err)
	}
	return s
}

func prefixes(text ...string) []*policy.PrefixSet {
	s := &policy.PrefixSet{}
	for _, t := range text {
		r, err := policy.ParsePrefixRange(t)
		if err != nil {
			panic(err)
		}
		s.Add(r, policy.Pos{})
	}
	return []*policy.PrefixSet{s}
}

func has(a *wire.Attrs, asn, value uint16) bool {
	want := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, asn), value)
	for c := a.Communities; len(c) >= 4; c = c[4:] {
		if bytes.Equal(c[:4], want) {
			return true
		}
	}
	return false
}

func add(a *wire.Attrs, asn, value uint16) {
	if !has(a, asn, value) {
		c := append([]byte(nil), a.Communities...)
		a.Communities = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(c, asn), value)
	}
}

func always(prefix.Prefix, *wire.Attrs) bool { return true }

var imports = []twin{
	{&policy.Policy{Name: "all", Rules: []policy.Rule{rule(policy.Actions{}, policy.Accept)}}, always},
	{&policy.Policy{Name: "not one", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.1.0.0/16", "2001:db8:1::/48")}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, _ *wire.Attrs) bool {
			return p != prefix.MustParse("10.1.0.0/16") && p != prefix.MustParse("2001:db8:1::/48")
		}},
	{&policy.Policy{Name: "preference", Rules: []policy.Rule{
		rule(policy.Actions{LocalPref: policy.Adjust{Op: policy.SetTo, Value: 200}}, policy.Continue,
			policy.Condition{Kind: policy.CondCommunity, Communities: []*policy.CommunitySet{communities("65000:1")}}),
		rule(policy.Actions{MED: policy.Adjust{Op: policy.SetTo, Value: 5}}, policy.Accept,
			policy.Condition{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 17, Max: 24}}}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, a *wire.Attrs) bool {
			if has(a, 65000, 1) {
				a.Has |= wire.HasLocalPref
				a.LocalPref = 200
			}
			if p.Bits >= 17 && p.Bits <= 24 {
				a.Has |= wire.HasMED
				a.MED = 5
			}
			return true
		}},
	{nil, nil},
}

var exports = []twin{
	imports[0],
	{&policy.Policy{Name: "marked", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondCommunity, Communities: []*policy.CommunitySet{communities("65000:2")}}),
		rule(policy.Actions{AddCommunities: communities("65000:9"), MED: policy.Adjust{Op: policy.SetTo, Value: 7}}, policy.Accept,
			policy.Condition{Kind: policy.CondPrefix, Prefixes: prefixes("10.0.0.0/8 ge 8 le 16")}),
		rule(policy.Actions{}, policy.Accept)}},
		func(p prefix.Prefix, a *wire.Attrs) bool {
			if has(a, 65000, 2) {
				return false
			}
			if p.Bits <= 16 && prefix.MustParse("10.0.0.0/8").Covers(p) {
				add(a, 65000, 9)
				a.Has |= wire.HasMED
				a.MED = 7
			}
			return true
		}},
	{nil, nil},
}

var universe = []prefix.Prefix{
	prefix.MustParse("10.0.0.0/8"), prefix.MustParse("10.1.0.0/16"), prefix.MustParse("10.1.2.0/24"),
	prefix.MustParse("192.0.2.0/24"), prefix.MustParse("0.0.0.0/0"),
	prefix.MustParse("2001:db8::/32"), prefix.MustParse("2001:db8:1::/48"),
}

// world is a router, its twin and their neighbors.
type world struct {
	t     testing.TB
	r     *rand.Rand
	core  *Core
	cfg   Config
	twin  model.Router
	peers []*peer // by ID; nil while down
	slow  []bool
	addID []bool // sends path ids
	log   []string
}

func (w *world) say(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
	if len(w.log) > 12 {
		w.log = w.log[1:]
	}
}

const worldNeighbors = 6

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), core: NewCore(quiet())}
	w.cfg = ebgpConfig(t, worldNeighbors)
	w.cfg.Revision = 1
	w.twin = model.Router{ASN: 65000, RouterID: 1, ClusterID: 1, Local: map[prefix.Prefix]wire.Attrs{}, Aggregates: map[prefix.Prefix]wire.Attrs{}}
	w.twin.AlwaysCompareMED = seed%3 == 0
	w.cfg.Decision.AlwaysCompareMED = w.twin.AlwaysCompareMED
	w.peers = make([]*peer, worldNeighbors+1)
	w.slow = make([]bool, worldNeighbors+1)
	w.addID = make([]bool, worldNeighbors+1)
	for i := range w.cfg.Neighbors {
		n := &w.cfg.Neighbors[i]
		m := &model.Neighbor{ID: i + 1, EBGP: true, ASN: n.ASN, Import: always, Export: always, RouterID: 0x0a000000 + uint32(i+1)}
		a := n.Addr.As16()
		m.Addr = a[:]
		n.Checks.EnforceFirstAS = false
		if i >= 4 { // iBGP, one of them a client
			n.EBGP, n.ASN, n.Source.Kind = false, 65000, policy.IBGP
			n.Client = i == 5
			m.EBGP, m.ASN, m.Client = false, 65000, i == 5
		}
		w.addID[i+1] = i == 1 || i == 4
		n.AddPath = w.addID[i+1]
		w.twin.Neighbors = append(w.twin.Neighbors, m)
	}
	w.core.Configure(w.cfg)
	return w
}

func (w *world) up(i int) {
	est := established(i)
	n := &w.cfg.Neighbors[i-1]
	est.Read.EBGP, est.Write.EBGP = n.EBGP, n.EBGP
	if w.addID[i] {
		est.Read.AddPath = [prefix.Families]bool{true, true}
	}
	w.peers[i] = newPeer(w.t, packet.ID(i))
	w.core.Up(packet.ID(i), est, w.peers[i])
	w.twin.Neighbors[i-1].Up = true
}

func (w *world) down(i int) {
	w.core.Down(packet.ID(i), sessionReason)
	for _, q := range w.peers[i].queue {
		q.p.Release()
	}
	w.peers[i], w.slow[i] = nil, false
	w.twin.Neighbors[i-1].Up = false
	w.twin.Neighbors[i-1].Clear()
}

func (w *world) attrs(i int) wire.Attrs {
	r := w.r
	n := &w.cfg.Neighbors[i-1]
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: uint8(r.IntN(3)), NextHop: []byte{10, 1, byte(i), 2}}
	path := []uint32{64600 + uint32(r.IntN(2))}
	if n.EBGP {
		path = append([]uint32{n.ASN}, path...)
	}
	if r.IntN(8) == 0 {
		path = append(path, 65000) // a loop
	}
	a.ASPath = []byte{2, byte(len(path))}
	for _, asn := range path {
		a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, asn)
	}
	if r.IntN(2) == 0 {
		a.Has |= wire.HasMED
		a.MED = uint32(r.IntN(3))
	}
	if r.IntN(3) == 0 {
		add(&a, 65000, uint16(1+r.IntN(3)))
	}
	if r.IntN(20) == 0 {
		add(&a, 0xffff, uint16(0xff01+r.IntN(2)))
	}
	if !n.EBGP {
		if r.IntN(2) == 0 {
			a.Has |= wire.HasLocalPref
			a.LocalPref = uint32(99 + r.IntN(3))
		}
		if r.IntN(4) == 0 {
			a.Has |= wire.HasOriginatorID
			a.OriginatorID = uint32(r.IntN(3)) // 1 is ourselves
		}
		if r.IntN(4) == 0 {
			a.ClusterList = []byte{0, 0, 0, byte(1 + r.IntN(2))}
		}
	}
	return a
}

func nlri(p prefix.Prefix, id uint32, addPath bool) []byte {
	var b []byte
	if addPath {
		b = binary.BigEndian.AppendUint32(b, id)
	}
	return wire.AppendPrefix(b, p)
}

// announce makes an UPDATE of one to three routes of one family.
func (w *world) announce(i int) {
	a := w.attrs(i)
	f := prefix.Family(w.r.IntN(2))
	if f == prefix.IPv6 {
		a.NextHop = []byte{0x20, 1, 0xd, 0xb8, 14: byte(i), 15: 2}
	}
	var list []byte
	for range 1 + w.r.IntN(3) {
		p := universe[w.r.IntN(len(universe))]
		if p.Family != f {
			continue
		}
		id := uint32(0)
		if w.addID[i] {
			id = uint32(1 + w.r.IntN(2))
		}
		list = append(list, nlri(p, id, w.addID[i])...)
		w.twin.Neighbors[i-1].Announce(p, id, a)
		w.say("%d announces %v (%d) path % x med %d pref %d communities % x", i, p, id, a.ASPath, a.MED, a.LocalPref, a.Communities)
	}
	if len(list) == 0 {
		return
	}
	var nextHop []byte
	if f == prefix.IPv6 {
		nextHop = a.NextHop
	}
	w.core.Messages(packet.ID(i), wire.AppendUpdate(nil, f, nil, a.Append(nil, f == prefix.IPv6), nextHop, list))
}

func (w *world) withdraw(i int) {
	p := universe[w.r.IntN(len(universe))]
	id := uint32(0)
	if w.addID[i] {
		id = uint32(1 + w.r.IntN(2))
	}
	w.say("%d withdraws %v (%d)", i, p, id)
	w.core.Messages(packet.ID(i), wire.AppendUpdate(nil, p.Family, nlri(p, id, w.addID[i]), nil, nil, nil))
	w.twin.Neighbors[i-1].Withdraw(p, id)
}

// configure edits policies, originations or aggregates.
func (w *world) configure() {
	w.cfg.Revision++
	switch w.r.IntN(4) {
	case 0:
		p := universe[w.r.IntN(len(universe))]
		if _, ok := w.twin.Local[p]; ok {
			delete(w.twin.Local, p)
		} else {
			w.twin.Local[p] = wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: uint8(w.r.IntN(2))}
		}
		w.cfg.Originate = nil
		for p, a := range w.twin.Local {
			w.cfg.Originate = append(w.cfg.Originate, Origination{p, a})
		}
		w.say("originations %v", w.twin.Local)
	case 1:
		p := universe[w.r.IntN(2)*5] // 10.0.0.0/8, 2001:db8::/32
		if _, ok := w.twin.Aggregates[p]; ok {
			delete(w.twin.Aggregates, p)
		} else {
			w.twin.Aggregates[p] = wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasAtomicAggregate}
		}
		w.cfg.Aggregate = nil
		for p, a := range w.twin.Aggregates {
			w.cfg.Aggregate = append(w.cfg.Aggregate, Aggregate{p, a})
		}
		w.say("aggregates %v", w.twin.Aggregates)
	default:
		// One neighbor's policies, or those of all.
		i, in, out := w.r.IntN(worldNeighbors), w.r.IntN(len(imports)), w.r.IntN(len(exports))
		all := w.r.IntN(3) == 0
		cfg := w.cfg
		cfg.Neighbors = append([]Neighbor(nil), w.cfg.Neighbors...)
		for k := range cfg.Neighbors {
			if k != i && !all {
				continue
			}
			n, m := &cfg.Neighbors[k], w.twin.Neighbors[k]
			for f := range n.Families {
				n.Families[f].Import, n.Families[f].Export = nil, nil
				if p := imports[in].policy; p != nil {
					n.Families[f].Import = program(w.t, p, &n.Source)
				}
				if p := exports[out].policy; p != nil {
					n.Families[f].Export = program(w.t, p, nil)
				}
			}
			m.Import, m.Export = imports[in].model, exports[out].model
		}
		w.cfg = cfg
		w.say("neighbor %d (all: %v) import %d export %d", i+1, all, in, out)
	}
	w.core.Configure(w.cfg)
}

// settle lets everybody who reads read, until nothing moves.
func (w *world) settle() {
	for {
		w.core.Settle()
		moved := false
		for i, p := range w.peers {
			if p != nil && !w.slow[i] && len(p.queue) > 0 {
				p.read()
				moved = true
			}
		}
		if !moved {
			return
		}
	}
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, l := range w.log {
		w.t.Log(l)
	}
	w.t.Fatalf(format, args...)
}

func (w *world) check() {
	w.twin.Changed()
	for _, p := range universe {
		t := w.core.tables[p.Family]
		want := w.twin.Best(p)
		id := t.Lookup(p)
		if (want != nil) != (id != 0 && t.Best(id) != nil) {
			w.fail("%v: has a best path: %v, want %v", p, want == nil, want != nil)
		}
		if want == nil {
			continue
		}
		got := t.Best(id)
		from := 0
		if want.From != nil {
			from = want.From.ID
		}
		if int(got.Neighbor) != from || got.PathID != want.PathID {
			w.fail("%v: best is of %d (%d), want %d (%d)", p, got.Neighbor, got.PathID, from, want.PathID)
		}
		var a wire.Attrs
		w.core.store.Parse(got.Post, &a)
		if x, y := text(&a), text(&want.Attrs); x != y {
			w.fail("%v: attributes %s, want %s", p, x, y)
		}
	}
	for i, peer := range w.peers {
		if peer == nil || w.slow[i] {
			continue
		}
		m := w.twin.Neighbors[i-1]
		for _, p := range universe {
			own := established(i).NextHop[p.Family].AsSlice()
			m.NextHop = own
			want := w.twin.Advertised(m, p)
			got, ok := peer.table[p]
			if ok != (want != nil) {
				w.fail("neighbor %d has %v: %v, want %v", i, p, ok, want != nil)
			}
			if ok {
				if x, y := text(&got), text(want); x != y {
					w.fail("neighbor %d has %v with\n%s, want\n%s", i, p, x, y)
				}
			}
		}
		if !peer.eor[0] || !peer.eor[1] {
			w.fail("neighbor %d has no End-of-RIB: %v", i, peer.eor)
		}
	}
}

func text(a *wire.Attrs) string {
	b := *a
	if b.Has&wire.HasMED == 0 {
		b.MED = 0
	}
	if b.Has&wire.HasLocalPref == 0 {
		b.LocalPref = 0
	}
	if b.Has&wire.HasOriginatorID == 0 {
		b.OriginatorID = 0
	}
	return fmt.Sprintf("origin %d path % x next hop % x med %d pref %d communities % x originator %x clusters % x has %b",
		b.Origin, b.ASPath, b.NextHop, b.MED, b.LocalPref, b.Communities, b.OriginatorID, b.ClusterList, b.Has)
}

// step does one random thing.
func (w *world) step() {
	i := 1 + w.r.IntN(worldNeighbors)
	if w.peers[i] == nil {
		w.say("%d comes up", i)
		w.up(i)
		return
	}
	switch k := w.r.IntN(100); {
	case k < 2:
		w.say("%d goes down", i)
		w.down(i)
	case k < 8:
		w.slow[i] = !w.slow[i]
		w.say("%d is slow: %v", i, w.slow[i])
		w.peers[i].room = queueLen
		if w.slow[i] {
			w.peers[i].room = 1 + w.r.IntN(queueLen)
		}
	case k < 12:
		w.configure()
	case k < 14:
		w.say("%d asks for a refresh", i)
		w.core.Messages(packet.ID(i), wire.AppendRefresh(nil, prefix.Family(w.r.IntN(2)), wire.RefreshRequest))
	case k < 40:
		w.withdraw(i)
	default:
		w.announce(i)
	}
}

// TestRandom does random things to a router and compares its Loc-RIB and every
// Adj-RIB-Out with the twin's after each. More steps: -steps, other ones: -seed.
func TestRandom(t *testing.T) {
	const each = 2000
	for done, seed := 0, *seedFlag; done < *steps; seed++ {
		w := newWorld(t, seed)
		t.Logf("seed %d", seed)
		for range min(each, *steps-done) {
			w.step()
			w.settle()
			w.check()
			done++
		}
		w.leave()
	}
}

// leave ends all sessions and looks for what is left.
func (w *world) leave() {
	for i := range w.peers {
		if w.peers[i] != nil {
			w.down(i)
		}
	}
	w.cfg.Originate, w.cfg.Aggregate = nil, nil
	w.core.Configure(w.cfg)
	w.core.Settle()
	if u := w.core.store.Usage(); u.Blocks != 0 {
		w.fail("%d blocks are left", u.Blocks)
	}
	for _, table := range w.core.tables {
		if table.Len() != 0 || table.PathCount() != 0 {
			w.fail("%d prefixes and %d paths are left", table.Len(), table.PathCount())
		}
	}
}
