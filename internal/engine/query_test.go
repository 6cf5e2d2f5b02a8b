package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/wire"
	"holdfast/testkit/feed"
)

// running runs a core in its loop until the returned function is called. The
// core must be left alone meanwhile.
func running(core *Core) (e *Engine, stop func()) {
	e = New(quiet())
	e.core = core
	ctx, cancel := context.WithCancel(context.Background())
	go e.Run(ctx)
	return e, func() {
		cancel()
		<-e.done
	}
}

// asked runs a query.
func asked(t testing.TB, core *Core, q Query) (routes []Route) {
	t.Helper()
	e, stop := running(core)
	defer stop()
	err := e.Routes(context.Background(), q, func(r *Route) error {
		routes = append(routes, *r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	prefixes, paths, err := e.CountRoutes(context.Background(), q)
	if err != nil || int(paths) != len(routes) {
		t.Fatalf("%d routes in %d prefixes are counted, %d found: %v", paths, prefixes, len(routes), err)
	}
	return routes
}

// TestQueriesOfRandomWorlds compares what queries show with what the twin says
// and what neighbors have got.
func TestQueriesOfRandomWorlds(t *testing.T) {
	for _, seed := range []uint64{0, 1, 2, 3} {
		w := newWorld(t, seed)
		for step := range 400 {
			w.step()
			w.settle()
			if step%10 == 0 {
				w.checkQueries()
			}
		}
	}
}

func (w *world) checkQueries() {
	for f := range prefix.Family(prefix.Families) {
		w.checkTable(f)
		for i, peer := range w.peers {
			if i == 0 {
				continue
			}
			id := packet.ID(i)
			e, stop := running(w.core)
			s, err := e.State(context.Background(), id)
			stop()
			if err != nil || s.Up != (peer != nil) {
				w.fail("state of %d: %+v, %v", i, s, err)
			}
			received := asked(w.t, w.core, Query{View: ViewReceived, Family: f, Neighbor: id})
			rejected := asked(w.t, w.core, Query{View: ViewRejected, Family: f, Neighbor: id})
			usable := asked(w.t, w.core, Query{Family: f, Neighbor: id})
			sent := asked(w.t, w.core, Query{View: ViewAdvertised, Family: f, Neighbor: id})
			if k := s.Families[f]; k.Paths != len(received) || k.Accepted != len(usable) || len(received) != len(rejected)+len(usable) || k.Advertised != len(sent) {
				w.fail("neighbor %d: state %+v, but %d received, %d rejected, %d usable, %d sent", i, k, len(received), len(rejected), len(usable), len(sent))
			}
			if peer == nil || w.slow[i] || w.core.Deferring() { // what is shown may have yet to be sent
				continue
			}
			n := 0
			for p := range peer.table {
				if p.Prefix.Family == f {
					n++
				}
			}
			if n != len(sent) {
				w.fail("neighbor %d has %d routes, %d are shown", i, n, len(sent))
			}
			for _, r := range sent {
				if got := peer.table[wire.Route{Prefix: r.Prefix, PathID: r.PathID}]; text(&got) != text(&r.Attrs) {
					w.fail("neighbor %d has %v with\n%s, shown is\n%s", i, r.Prefix, text(&got), text(&r.Attrs))
				}
			}
		}
	}
}

// checkTable compares the Loc-RIB with the twin's.
func (w *world) checkTable(f prefix.Family) {
	w.twin.Changed()
	all := asked(w.t, w.core, Query{Family: f})
	best := asked(w.t, w.core, Query{View: ViewBest, Family: f})
	for _, p := range universe {
		if p.Family != f {
			continue
		}
		want := w.twin.Best(p)
		i := slices.IndexFunc(best, func(r Route) bool { return r.Prefix == p })
		if (want != nil) != (i >= 0) {
			w.fail("%v is shown: %v, want %v", p, i >= 0, want != nil)
		}
		if want != nil && text(&best[i].Attrs) != text(&want.Attrs) {
			w.fail("%v is shown with %s, want %s", p, text(&best[i].Attrs), text(&want.Attrs))
		}
		e, stop := running(w.core)
		n := 0
		_, err := e.Explain(context.Background(), 0, p, func(c *Candidate) error {
			out := c.Rejected || c.Unreachable != ""
			if (n == 0 && !out) != c.Best || (c.Lost == nil) != (c.Best || out) {
				w.fail("%v: candidate %d is %+v", p, n, c)
			}
			if !c.Rejected {
				n++
			}
			return nil
		})
		stop()
		usable := 0
		for _, r := range all {
			if r.Prefix == p {
				usable++
			}
		}
		if err != nil || n != usable {
			w.fail("%v: %d candidates are explained, %d paths shown: %v", p, n, usable, err)
		}
	}
	if !slices.IsSortedFunc(all, func(a, b Route) int { return prefix.Compare(a.Prefix, b.Prefix) }) {
		w.fail("not in order: %v", all)
	}
}

// lab3 is a router with three neighbors, the first of which has a policy.
func lab3(t *testing.T) (*Core, []*peer) {
	core := NewCore(quiet())
	cfg := ebgpConfig(t, 3)
	cfg.Originate = []Origination{{Prefix: prefix.MustParse("198.51.100.0/24")}}
	cfg.Neighbors[0].Families[0].Import = program(t, &policy.Policy{Name: "in", Rules: []policy.Rule{
		{Name: "small", Then: policy.Reject, Match: []policy.Match{{Conditions: []policy.Condition{{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 25, Max: 32}}}}}}},
		{Name: "prefer", Then: policy.Continue, Set: policy.Actions{LocalPref: policy.Adjust{Op: policy.SetTo, Value: 200}}},
		{Name: "rest", Then: policy.Accept, Match: []policy.Match{{Conditions: []policy.Condition{{Kind: policy.CondPrefixLength, Ranges: []policy.Range{{Min: 0, Max: 20}}}}}}},
	}}, &cfg.Neighbors[0].Source)
	cfg.Neighbors[0].Families[0].Limit = Limit{Max: 1000}
	core.Configure(cfg)
	peers := make([]*peer, 4)
	for i := 1; i <= 3; i++ {
		peers[i] = newPeer(t, packet.ID(i))
		est := established(i)
		est.EnhancedRefresh = true
		core.Up(packet.ID(i), est, peers[i])
	}
	for i, l := range []string{"", "10.0.0.0/8 10.1.0.0/16 10.1.2.0/25 0.0.0.0/0", "10.1.0.0/16 10.2.0.0/16 192.0.2.0/24", "10.1.0.0/16"} {
		for _, s := range strings.Fields(l) {
			path := []uint32{65000 + uint32(i)}
			if i == 3 {
				path = append(path, 65000) // a loop
			}
			core.Messages(packet.ID(i), announcement(s, i, path...))
		}
	}
	core.Settle()
	return core, peers
}

// announcement is an UPDATE of neighbor i.
func announcement(p string, i int, path ...uint32) []byte {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 1, byte(i), 2}}
	a.ASPath = []byte{wire.SegSequence, byte(len(path))}
	for _, asn := range path {
		a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, asn)
	}
	return wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, wire.AppendPrefix(nil, prefix.MustParse(p)))
}

func TestQuery(t *testing.T) {
	core, _ := lab3(t)
	at := func(s string) *prefix.Prefix { p := prefix.MustParse(s); return &p }
	for _, c := range []struct {
		q    Query
		want string
	}{
		{Query{}, "0.0.0.0/0 of 1*, 10.0.0.0/8 of 1*, 10.1.0.0/16 of 1*, 10.1.0.0/16 of 2, 10.2.0.0/16 of 2*, 192.0.2.0/24 of 2*, 198.51.100.0/24 of 0*"},
		{Query{View: ViewBest, Neighbor: 2}, "10.2.0.0/16 of 2*, 192.0.2.0/24 of 2*"},
		{Query{Neighbor: 2}, "10.1.0.0/16 of 2, 10.2.0.0/16 of 2*, 192.0.2.0/24 of 2*"},
		{Query{View: ViewRejected}, "10.1.0.0/16 of 3 own AS, 10.1.2.0/25 of 1 by in/small"},
		{Query{View: ViewReceived, Neighbor: 3}, "10.1.0.0/16 of 3 own AS"},
		{Query{View: ViewReceived, Prefix: at("10.1.0.0/16")}, "10.1.0.0/16 of 1*, 10.1.0.0/16 of 2, 10.1.0.0/16 of 3 own AS"},
		{Query{Prefix: at("10.0.0.0/8"), Match: MatchLonger}, "10.0.0.0/8 of 1*, 10.1.0.0/16 of 1*, 10.1.0.0/16 of 2, 10.2.0.0/16 of 2*"},
		{Query{Prefix: at("10.1.2.0/24"), Match: MatchShorter}, "0.0.0.0/0 of 1*, 10.0.0.0/8 of 1*, 10.1.0.0/16 of 1*, 10.1.0.0/16 of 2"},
		{Query{Prefix: at("10.1.2.0/24")}, ""},
		{Query{Family: prefix.IPv6}, ""},
		{Query{View: ViewAdvertised, Neighbor: 2}, "0.0.0.0/0 of 1*, 10.0.0.0/8 of 1*, 10.1.0.0/16 of 1*, 198.51.100.0/24 of 0*"},
		{Query{View: ViewAdvertised, Neighbor: 77}, ""},
		{Query{Neighbor: 77}, ""},
	} {
		var got []string
		for _, r := range asked(t, core, c.q) {
			s := fmt.Sprintf("%v of %d", r.Prefix, r.Neighbor)
			switch {
			case r.Best:
				s += "*"
			case r.Rejected && r.Reason == OwnAS:
				s += " own AS"
			case r.Rejected:
				s += " by " + r.Rule.Policy + "/" + r.Rule.Rule
			}
			got = append(got, s)
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%+v:\n%s, want\n%s", c.q, s, c.want)
		}
	}
}

func TestQueryAttributes(t *testing.T) {
	core, _ := lab3(t)
	p := prefix.MustParse("10.1.0.0/16")
	for _, c := range []struct {
		view View
		path string
		pref uint32
		rule string
	}{{ViewReceived, "65001", 0, "rest"}, {ViewBest, "65001", 200, "rest"}, {ViewAdvertised, "65000 65001", 0, "rest"}} {
		q := Query{View: c.view, Prefix: &p, Neighbor: 1}
		if c.view == ViewAdvertised {
			q.Neighbor = 2
		}
		r := asked(t, core, q)
		if len(r) != 1 || wire.PathText(r[0].Attrs.ASPath) != c.path || r[0].Attrs.LocalPref != c.pref {
			t.Fatalf("view %d: %+v", c.view, r)
		}
		if !r[0].Judged || r[0].Rule.Rule != c.rule {
			t.Errorf("view %d: accepted by %+v (%v)", c.view, r[0].Rule, r[0].Judged)
		}
	}
	// Nothing decided about this one before the end of the policy.
	core.Messages(1, announcement("0.0.0.0/0", 1, 65001))
	zero := prefix.MustParse("0.0.0.0/0")
	cfg := core.cfg
	cfg.Neighbors = slices.Clone(cfg.Neighbors)
	cfg.Neighbors[0].Families[0].Import = program(t, &policy.Policy{Name: "none", Rules: []policy.Rule{{Name: "pass", Then: policy.Continue}}}, &cfg.Neighbors[0].Source)
	core.Configure(cfg)
	core.Settle()
	if r := asked(t, core, Query{View: ViewRejected, Prefix: &zero}); len(r) != 1 || !r[0].Judged || r[0].Rule != (policy.Label{}) {
		t.Errorf("rejected by the end: %+v", r)
	}
}

func TestQueryLookup(t *testing.T) {
	core, _ := lab3(t)
	e, stop := running(core)
	defer stop()
	for a, want := range map[string]string{"10.1.2.3": "10.1.0.0/16 1 10.1.0.0/16 2", "10.9.0.0": "10.0.0.0/8 1", "8.8.8.8": "0.0.0.0/0 1", "2001:db8::": ""} {
		var got []string
		found, err := e.Lookup(context.Background(), 0, netip.MustParseAddr(a), func(r *Route) error {
			got = append(got, fmt.Sprint(r.Prefix, r.Neighbor))
			return nil
		})
		if s := strings.Join(got, " "); err != nil || s != want || found != (want != "") {
			t.Errorf("%s: %s, want %s (%v, %v)", a, s, want, found, err)
		}
	}
}

func TestQueryExplain(t *testing.T) {
	core, _ := lab3(t)
	core.Messages(2, announcement("10.2.0.0/16", 2, 65002, 65009))
	core.Messages(3, announcement("10.2.0.0/16", 3, 65003, 65009, 65008))
	core.Messages(1, announcement("10.2.0.0/16", 1, 65001, 65009, 65008, 65007))
	core.Messages(2, announcement("10.3.0.0/16", 2, 65002))
	core.Messages(3, announcement("10.3.0.0/16", 3, 65003))
	core.Settle()
	e, stop := running(core)
	defer stop()
	for p, want := range map[string][]string{
		"10.2.0.0/16":    {"1 best", "2 higher local preference over 1: 200 > 100", "3 higher local preference over 1: 200 > 100"},
		"10.3.0.0/16":    {"2 best", "3 lower router ID over 2: 10.0.0.2 < 10.0.0.3"},
		"10.1.0.0/16":    {"1 best", "2 higher local preference over 1: 200 > 100", "3 rejected: our own AS is in the path"},
		"203.0.113.0/24": nil,
	} {
		var got []string
		found, err := e.Explain(context.Background(), 0, prefix.MustParse(p), func(c *Candidate) error {
			s := fmt.Sprintf("%d best", c.Neighbor)
			if c.Lost != nil {
				s = fmt.Sprintf("%d %v over %d: %s", c.Neighbor, c.Lost.Step, c.Lost.To, c.Lost.Detail)
			} else if c.Rejected {
				s = fmt.Sprintf("%d rejected: %s", c.Neighbor, ReasonText(c.Reason))
			}
			got = append(got, s)
			return nil
		})
		if err != nil || found != (want != nil) || !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q (%v, %v)", p, got, want, found, err)
		}
	}
}

// TestCompared goes through the steps that decide seldom.
func TestCompared(t *testing.T) {
	core, _ := lab3(t)
	id := core.tables[0][0].Lookup(prefix.MustParse("10.1.0.0/16"))
	ranked := core.tables[0][0].Rank(nil, id)
	for step, want := range map[rib.Step]string{
		rib.StepWeight: "0 > 0", rib.StepLocal: "", rib.StepPathLen: "1 < 1", rib.StepOrigin: "igp < igp", rib.StepMED: "0 < 0",
		rib.StepEBGP: "", rib.StepClusterLen: "0 < 0", rib.StepAddress: "10.1.1.2 < 10.1.2.2", rib.StepPathID: "0 < 0",
	} {
		if s := core.compared(step, ranked[0], ranked[1]); !strings.EqualFold(s, want) {
			t.Errorf("%v: %q, want %q", step, s, want)
		}
	}
}

// TestQuerySlices asks for more than a slice, while the table changes.
func TestQuerySlices(t *testing.T) {
	const n = 3*querySlice + 5
	table := feed.New(1, prefix.IPv4, n)
	core := NewCore(quiet())
	core.Configure(ebgpConfig(t, 3))
	for i := 1; i <= 3; i++ {
		core.Up(packet.ID(i), established(i), &drain{})
	}
	streams := map[int][][]byte{}
	for i := 1; i <= 2; i++ {
		streams[i] = chunks(table.Sender(65000+uint32(i), netip.AddrFrom4([4]byte{10, 1, byte(i), 2})).Stream())
	}
	for _, s := range streams[1] {
		core.Messages(1, s)
	}
	core.Settle()
	e, stop := running(core)
	defer stop()
	churn := make(chan struct{})
	go func() {
		defer close(churn)
		for range 5 {
			for _, s := range streams[2] {
				b := session.GetBuffer()
				b.Data = append(b.Data, s...)
				e.Deliver(2, b)
			}
			e.Down(2, sessionReason)
			e.Up(2, established(2), &drain{})
		}
	}()
	for range 5 {
		var got []prefix.Prefix
		err := e.Routes(context.Background(), Query{View: ViewReceived, Neighbor: 1}, func(r *Route) error {
			got = append(got, r.Prefix)
			return nil
		})
		want := slices.SortedFunc(slices.Values(table.Prefixes()), prefix.Compare)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("%d prefixes, want %d, all in order: %v", len(got), n, err)
		}
		if p, paths, err := e.CountRoutes(context.Background(), Query{View: ViewReceived, Neighbor: 1}); p != n || paths != n || err != nil {
			t.Fatalf("%d prefixes, %d paths, want %d: %v", p, paths, n, err)
		}
	}
	<-churn
	tables, err := e.Tables(context.Background())
	if err != nil || tables[0][0].Prefixes != n || tables[0][1] != (TableState{Groups: 1}) {
		t.Fatalf("tables %+v: %v", tables, err)
	}
}

func TestQueryEnds(t *testing.T) {
	core, _ := lab3(t)
	e, stop := running(core)
	wrong := errors.New("enough")
	if err := e.Routes(context.Background(), Query{}, func(*Route) error { return wrong }); err != wrong {
		t.Errorf("error of the callback: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := e.CountRoutes(ctx, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	stop()
	if _, err := e.Tables(context.Background()); err != errStopped {
		t.Errorf("after the end: %v", err)
	}
	if _, err := e.Explain(context.Background(), 0, prefix.Prefix{}, nil); err != errStopped {
		t.Errorf("after the end: %v", err)
	}
}

func TestHits(t *testing.T) {
	core, _ := lab3(t)
	core.Messages(1, announcement("10.9.9.0/24", 1, 65001))
	e, stop := running(core)
	defer stop()
	hits, err := e.Hits(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	in := hits["in"]
	if want := map[string]uint64{"small": 1, "prefer": 4, "rest": 3}; in == nil || !reflect.DeepEqual(in.Rules, want) || in.End != 1 {
		t.Errorf("policy in: %+v, want %v and 1 at the end", in, want)
	}
	if all := hits["all"]; all == nil || all.Rules["rest"] == 0 || all.End != 0 {
		t.Errorf("policy all: %+v", all)
	}
}

func TestMemory(t *testing.T) {
	core, _ := lab3(t)
	e, stop := running(core)
	defer stop()
	items, paths, err := e.Memory(context.Background())
	if err != nil || paths != 9 {
		t.Fatalf("%d paths: %v", paths, err)
	}
	names := map[string]bool{}
	for _, i := range items {
		if names[i.Name] || i.Bytes == 0 {
			t.Errorf("item %+v", i)
		}
		names[i.Name] = true
	}
	for _, n := range []string{"ipv4 prefixes with their best paths", "attribute blocks", "import results", "ipv4 Adj-RIB-Out of update groups"} {
		if !names[n] {
			t.Errorf("%q is missing in %+v", n, items)
		}
	}
}

func TestSoftClear(t *testing.T) {
	core, peers := lab3(t)
	peers[2].read()
	before := len(peers[2].table)
	clear(peers[2].table)
	e, stop := running(core)
	for _, f := range []func(context.Context, ...packet.ID) ([]packet.ID, error){e.SoftIn, e.SoftOut} {
		if up, err := f(context.Background(), 99, 2); !slices.Equal(up, []packet.ID{2}) || err != nil {
			t.Fatal(up, err)
		}
	}
	stop()
	core.Settle()
	peers[2].read()
	core.Settle()
	peers[2].read()
	if got := len(peers[2].table); got != before || before == 0 {
		t.Errorf("%d routes after sending all again, %d before", got, before)
	}
	if !slices.Equal(peers[2].refreshed, []prefix.Family{prefix.IPv4, prefix.IPv6}) {
		t.Errorf("asked for %v again", peers[2].refreshed)
	}
	core.Down(2, sessionReason)
	e, stop = running(core)
	defer stop()
	if up, err := e.SoftOut(context.Background(), 2); up != nil || err != nil {
		t.Errorf("up %v: %v", up, err)
	}
}

// BenchmarkRoutes shows a large table.
func BenchmarkRoutes(b *testing.B) {
	core := NewCore(quiet())
	core.Configure(ebgpConfig(b, 2))
	core.Up(1, established(1), &drain{})
	core.Up(2, established(2), &drain{})
	for _, s := range chunks(feed.New(1, prefix.IPv4, 500_000).Sender(65001, netip.MustParseAddr("10.1.1.2")).Stream()) {
		core.Messages(1, s)
		core.Settle()
	}
	e, stop := running(core)
	defer stop()
	for name, q := range map[string]Query{"best": {View: ViewBest}, "advertised": {View: ViewAdvertised, Neighbor: 2}, "unsorted": {Unsorted: true}} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := e.Routes(context.Background(), q, func(*Route) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("count", func(b *testing.B) {
		for range b.N {
			if _, _, err := e.CountRoutes(context.Background(), Query{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
