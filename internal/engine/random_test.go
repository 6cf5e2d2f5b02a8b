package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"holdfast/internal/fsm"
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
	cfg   Config // of all neighbors, also of those that are not configured now
	twin  model.Router
	far   []far   // by ID
	peers []*peer // by ID; nil while down
	slow  []bool
	plain bool          // no two paths come through one AS
	k     *randomKernel // nil: without a kernel
	stays bool          // it never restarts
	// allDrained: all neighbors are, by a command.
	allDrained bool
	log        []string
	// Routes of the router's own, of the configuration and of operators.
	originated, announced map[prefix.Prefix]wire.Attrs
}

// far is how a neighbor is besides what it is configured as.
type far struct {
	addID    bool // sends path ids
	gone     bool // is not configured
	drained  bool // by a command
	as2      bool // the rest is of its session
	enhanced bool
	families [prefix.Families]bool
	stale    [prefix.Families]map[wire.Route]bool // what is to be announced again in a refresh
	due      [prefix.Families]due
	terms    fsm.Graceful             // of the last session
	kept     [prefix.Families]keeping // since it ended
}

func (w *world) say(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf(format, args...))
	if len(w.log) > 30 {
		w.log = w.log[1:]
	}
}

const (
	worldNeighbors = 6
	oldASN         = 64998 // as which some know us
)

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), core: NewCore(quiet()), plain: seed%4 == 1}
	if seed/4%2 == 1 { // so that much happens within a walk
		w.core.pace = pace{walk: 1 + w.r.IntN(3), drain: 1 + w.r.IntN(3), catchUp: 1 + w.r.IntN(2)}
	}
	w.cfg = ebgpConfig(t, worldNeighbors)
	w.cfg.Revision = 1
	w.twin = model.Router{ASN: 65000, RouterID: 1, ClusterID: 1, DefaultLocalPref: 100,
		Local: map[prefix.Prefix]wire.Attrs{}, Own: map[prefix.Prefix]map[uint32]model.Route{}, Aggregates: map[prefix.Prefix]wire.Attrs{}, VRPs: map[model.VRP]bool{}, Providers: map[uint32]map[uint32]bool{}}
	w.originated, w.announced = map[prefix.Prefix]wire.Attrs{}, map[prefix.Prefix]wire.Attrs{}
	if seed%5 >= 3 {
		w.withKernel()
	}
	w.twin.AlwaysCompareMED = seed%3 == 0
	w.cfg.Decision.AlwaysCompareMED = w.twin.AlwaysCompareMED
	w.peers = make([]*peer, worldNeighbors+1)
	w.slow = make([]bool, worldNeighbors+1)
	w.far = make([]far, worldNeighbors+1)
	for i := range w.cfg.Neighbors {
		n := &w.cfg.Neighbors[i]
		m := &model.Neighbor{ID: i + 1, EBGP: true, Import: always, Export: always}
		a := n.Addr.As16()
		m.Addr = a[:]
		n.Checks.EnforceFirstAS = w.plain
		m.EnforceFirstAS = w.plain
		switch {
		case w.plain:
		case i >= 4: // iBGP, one of them a client
			n.EBGP, n.ASN, n.Source.Kind = false, 65000, policy.IBGP
			m.EBGP = false
			for f := range n.Families {
				n.Families[f].Client, m.Client[f] = i == 5, i == 5
			}
		case i == 3:
			n.ASN--
		}
		if n.EBGP && i%2 == 0 {
			n.LocalASN = oldASN
		}
		m.ASN, m.LocalASN = n.ASN, n.LocalASN
		n.AddPath = !w.plain && (i == 1 || i == 4)
		n.StaleTime, n.LongLived = uint32(i%4)*20, uint32(i%3)*50
		w.far[i+1].addID = n.AddPath
		w.twin.Neighbors = append(w.twin.Neighbors, m)
	}
	w.core.Configure(w.cfg)
	return w
}

func (w *world) up(i int) {
	n, m, x := &w.cfg.Neighbors[i-1], w.twin.Neighbors[i-1], &w.far[i]
	*x = far{addID: x.addID, drained: x.drained, kept: x.kept, terms: w.terms(), as2: w.r.IntN(4) == 0, enhanced: w.r.IntN(2) == 0, families: [prefix.Families]bool{true, w.r.IntN(8) > 0}}
	est := established(i)
	if est.LocalASN = n.LocalASN; w.r.IntN(4) == 0 {
		est.LocalASN = 65000 // it knows us by both
	}
	m.KnownAs = est.LocalASN
	est.Read.EBGP, est.Write.EBGP = n.EBGP, n.EBGP
	est.Read.AS4, est.Write.AS4 = !x.as2, !x.as2
	est.Read.Families, est.Write.Families = x.families, x.families
	est.EnhancedRefresh = x.enhanced
	est.Restart, m.TakesStale = x.terms, x.terms.TakesStale
	if x.addID {
		est.Read.AddPath = [prefix.Families]bool{true, true}
	}
	takesIDs := w.r.IntN(3) == 0
	est.Write.AddPath = [prefix.Families]bool{takesIDs, takesIDs}
	if m.PathsOut = 0; takesIDs {
		m.PathsOut = max(1, n.Families[0].PathsOut)
	}
	if w.r.IntN(8) == 0 {
		est.RemoteID += 100
	}
	// The next hops are on these, where neighbors send them.
	est.Link = [...]netip.Prefix{{}, netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}[w.r.IntN(3)]
	m.Link = est.Link
	w.say("%d comes up: %+v", i, *x)
	w.peers[i] = newPeer(w.t, packet.ID(i))
	w.peers[i].as2, w.peers[i].ids = x.as2, takesIDs
	for f := range n.Families {
		w.peers[i].most[f] = n.Families[f].MaxOut
	}
	w.core.Up(packet.ID(i), est, w.peers[i])
	m.Up, m.RouterID = true, est.RemoteID
	w.returns(i)
}

func (w *world) down(i int) {
	w.core.Down(packet.ID(i), sessionReason)
	w.dropPeer(i)
	w.far[i].kept = [prefix.Families]keeping{}
	w.twin.Neighbors[i-1].Up = false
	w.twin.Neighbors[i-1].Clear()
}

func (w *world) dropPeer(i int) {
	for _, q := range w.peers[i].queue {
		q.p.Release()
	}
	w.peers[i], w.slow[i] = nil, false
	w.far[i].stale, w.far[i].due = [prefix.Families]map[wire.Route]bool{}, [prefix.Families]due{}
}

// settle lets everybody who reads read, until nothing moves.
func (w *world) settle() {
	for {
		w.core.Settle()
		moved := w.reap()
		moved = w.k != nil && w.k.answers() || moved
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

// reap ends the sessions that the router has closed, which must have been above
// their limits.
func (w *world) reap() (any bool) {
	for i, p := range w.peers {
		if p == nil || p.closed == nil {
			continue
		}
		if !w.excess(i) {
			w.fail("the session of %d was closed: %+v", i, *p.closed)
		}
		w.say("%d was above its limit", i)
		w.down(i)
		any = true
	}
	return any
}

// excess reports whether a neighbor has sent more than it may.
func (w *world) excess(i int) bool {
	for f := range prefix.Family(prefix.Families) {
		l := w.cfg.Neighbors[i-1].Families[f].Limit
		have, accepted := w.twin.Count(w.twin.Neighbors[i-1], f)
		if l.AfterPolicy {
			have = accepted
		}
		if l.Max > 0 && l.Action != LimitWarn && have > l.Max {
			return true
		}
	}
	return false
}

func (w *world) fail(format string, args ...any) {
	w.t.Helper()
	for _, l := range w.log {
		w.t.Log(l)
	}
	w.t.Fatalf(format, args...)
}

func (w *world) check() {
	if w.k != nil {
		w.calmKernel()
	}
	w.twin.Changed()
	var best [prefix.Families]int
	for _, p := range universe {
		t := w.core.tables[0][p.Family]
		want := w.twin.Best(p)
		id := t.Lookup(p)
		if (want != nil) != (id != 0 && t.Best(id) != nil) {
			w.fail("%v: has a best path: %v, want %v", p, want == nil, want != nil)
		}
		if want == nil {
			continue
		}
		best[p.Family]++
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
		w.core.sources[w.core.store.At(got.Post).Key.Neighbor].Mark(&a)
		if x, y := text(&a), text(&want.Attrs); x != y {
			w.fail("%v: attributes %s, want %s", p, x, y)
		}
	}
	for f, table := range w.core.tables[0] {
		if table.BestCount() != best[f] {
			w.fail("%v: %d prefixes with a best path, want %d", prefix.Family(f), table.BestCount(), best[f])
		}
	}
	if w.k != nil {
		w.checkKernel()
	}
	for i, peer := range w.peers {
		if peer == nil {
			continue
		}
		if w.excess(i) {
			w.fail("neighbor %d is above its limit and still up", i)
		}
		if !w.slow[i] {
			w.checkPeer(i, peer)
		}
	}
}

func (w *world) checkPeer(i int, peer *peer) {
	m := w.twin.Neighbors[i-1]
	for _, p := range universe {
		m.NextHop = established(i).NextHop[p.Family].AsSlice()
		if a := w.cfg.Neighbors[i-1].Families[p.Family].NextHopAddr; a.IsValid() {
			m.NextHop = a.AsSlice()
		}
		var want []model.Out
		if w.far[i].families[p.Family] {
			want = w.twin.Advertised(m, p)
		}
		missing := map[string]int{}
		for _, o := range want {
			missing[text(o.Attrs)]++
		}
		left := len(want)
		for r, a := range peer.table {
			if r.Prefix != p {
				continue
			}
			if missing[text(&a)]--; missing[text(&a)] < 0 || (r.PathID != 0) != peer.ids {
				w.fail("neighbor %d has %v #%d with\n%s, want %v", i, p, r.PathID, text(&a), missing)
			}
			left--
		}
		if left > 0 && w.cfg.Neighbors[i-1].Families[p.Family].MaxOut == 0 {
			w.fail("neighbor %d does not have %v with %v", i, p, missing)
		}
	}
	for f, on := range w.far[i].families {
		if peer.eor[f] != on || peer.again[f] != nil {
			w.fail("neighbor %d, %v: End-of-RIB %v, refresh unfinished %v", i, prefix.Family(f), peer.eor[f], peer.again[f] != nil)
		}
		if on {
			w.checkCount(i, prefix.Family(f))
		}
	}
}

// checkCount: an update group has out what suits its members, and as much of
// that as they may be sent.
func (w *world) checkCount(i int, f prefix.Family) {
	m, most, want := w.twin.Neighbors[i-1], w.cfg.Neighbors[i-1].Families[f].MaxOut, 0
	for _, p := range append([]prefix.Prefix{prefix.MustParse("::/0")}, universe...) { // which may be sent by default
		if p.Family == f {
			want += len(w.twin.Suits(m, p))
		}
	}
	g := w.core.neighbors[i].members[f].Group()
	if got := g.Count(); most > 0 && want > most && (got != most || g.Held() != want-most) || (most == 0 || want <= most) && (got != want || g.Held() != 0) {
		w.fail("neighbor %d, %v: its group has %d routes out and holds %d back, of %d and a limit of %d", i, f, got, g.Held(), want, most)
	}
	w.peers[i].most[f] = most
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
	if b.Has&wire.HasOTC == 0 {
		b.OTC = 0
	}
	return fmt.Sprintf("OTC %d origin %d path % x next hop % x med %d pref %d communities % x originator %x clusters % x has %b",
		b.OTC, b.Origin, b.ASPath, b.NextHop, b.MED, b.LocalPref, b.Communities, b.OriginatorID, b.ClusterList, b.Has)
}

// step does one random thing.
func (w *world) step() {
	i := 1 + w.r.IntN(worldNeighbors)
	switch {
	case w.peers[i] != nil:
	case w.far[i].gone:
		w.say("%d is configured again", i)
		w.far[i].gone = false
		w.apply()
		return
	case w.keeps(i) && w.r.IntN(4) == 0:
		w.forget(i)
		if w.r.IntN(2) == 0 {
			w.say("%d is removed", i)
			w.far[i].gone = true
			w.apply()
		}
		return
	default:
		w.up(i)
		w.pressed()
		w.reap()
		return
	}
	switch k := w.r.IntN(220); {
	case k >= 215:
		w.later(uint32(1 + w.r.IntN(40)))
	case k >= 208:
		w.endOfRIB(i)
	case k >= 200:
		w.restarts(i)
	case k < 4:
		w.say("%d goes down", i)
		w.down(i)
	case k < 5:
		w.say("%d is removed", i)
		w.down(i)
		w.far[i].gone = true
		w.apply()
	case k < 16:
		w.slow[i] = !w.slow[i]
		w.say("%d is slow: %v", i, w.slow[i])
		w.peers[i].room = queueLen
		if w.slow[i] {
			w.peers[i].room = 1 + w.r.IntN(queueLen)
		}
	case k < 26:
		for range 1 + w.r.IntN(3) {
			w.edit()
		}
		w.apply()
	case k < 34:
		w.refresh(i)
	case k < 36:
		w.drain(i)
	case k < 40:
		w.validate()
	case k < 43:
		w.verify()
	case k < 66 && w.k != nil:
		w.kernelStep()
	case k < 80:
		w.withdraw(i)
	default:
		w.announce(i)
	}
	w.pressed()
	w.reap()
}

// TestRandom does random things to a router, now and then several before it gets
// to work, and compares its Loc-RIB and every Adj-RIB-Out with the twin's. More
// steps: -steps, other ones: -seed.
func TestRandom(t *testing.T) {
	const each = 2000
	for done, seed := 0, *seedFlag; done < *steps; seed++ {
		w := newWorld(t, seed)
		t.Logf("seed %d", seed)
		for range min(each, *steps-done) {
			w.step()
			switch w.r.IntN(4) {
			case 0:
			case 1:
				w.core.Work()
				w.reap()
			default:
				w.settle()
				w.check()
			}
			if w.k != nil {
				w.checkAnnounced()
			}
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
		} else if i > 0 {
			w.forget(i)
		}
	}
	for p := range w.announced {
		w.core.Withdraw(0, p)
	}
	w.cfg.Originate, w.cfg.Aggregate, w.cfg.Static = nil, nil, nil
	if w.k != nil {
		w.k.lastly()
	}
	for i := range w.far {
		w.far[i].gone = true // also the default routes for them
	}
	w.apply()
	w.settle()
	if w.k != nil {
		w.calmKernel() // where a deferral went on
	}
	if w.k != nil && len(w.k.routes)+len(w.k.objects.all)+len(w.core.hops.by)+len(w.core.forwards.by)+len(w.core.objects.legs)+len(w.core.objects.groups) > 0 {
		w.fail("the kernel still has %s, and there are next hops %v and forwards %v", w.k.text(), w.core.hops.by, w.core.forwards.list)
	}
	if u := w.core.store.Usage(); u.Blocks != 0 {
		w.fail("%d blocks are left", u.Blocks)
	}
	w.core.all(func(table *table) {
		if table.Len() != 0 || table.PathCount() != 0 || table.BestCount() != 0 {
			w.fail("%d prefixes, %d paths and %d best ones are left", table.Len(), table.PathCount(), table.BestCount())
		}
	})
}
