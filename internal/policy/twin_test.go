package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// twin is a slow obvious evaluator: it walks the policies as written and keeps
// a route as words.
type twin struct {
	ctx Context

	x           prefix.Prefix
	from        Source
	hops        [][]uint32
	communities []string // in the form of the generator
	med, pref   *uint32
	origin      uint8
	nextHop     netip.Addr
	mode        NextHopMode
	ownMED      bool
	weight      uint32
	validity    rpki.State
	path        rpki.State // of the AS path
}

func (w *twin) run(chain []*Policy) (accept bool, hits []string) {
	for _, p := range chain {
		for i := range p.Rules {
			r := &p.Rules[i]
			if len(r.Match) > 0 && !slices.ContainsFunc(r.Match, w.match) {
				continue
			}
			hits = append(hits, r.Name)
			w.change(&r.Set)
			if r.Then != Continue {
				return r.Then == Accept, hits
			}
		}
	}
	return false, hits
}

func (w *twin) match(m Match) bool {
	for _, c := range m.Conditions {
		if !w.cond(c) {
			return false
		}
	}
	return !slices.ContainsFunc(m.Not, w.match)
}

func (w *twin) cond(c Condition) bool {
	in := func(n uint32) bool {
		return slices.ContainsFunc(c.Ranges, func(r Range) bool { return r.Min <= n && n <= r.Max })
	}
	inSets := func(x prefix.Prefix, slot *PrefixSet) bool {
		sets := c.Prefixes
		if c.Slot {
			sets = append(slices.Clone(sets), slot)
		}
		for _, s := range sets {
			for e := range s.All() {
				if e.Contains(x) {
					return true
				}
			}
		}
		return false
	}
	inAS := func(asn uint32) bool {
		sets := c.ASNs
		if c.Slot {
			sets = append(slices.Clone(sets), w.ctx.OriginASNs)
		}
		for _, s := range sets {
			for r := range s.All() {
				if r.Contains(asn) {
					return true
				}
			}
		}
		return false
	}
	has := func(pattern string) bool { return slices.ContainsFunc(w.communities, fits(pattern)) }
	from := w.from
	if w.ctx.From != nil {
		from = *w.ctx.From
	}
	switch c.Kind {
	case CondPrefix:
		return inSets(w.x, w.ctx.Prefixes)
	case CondPrefixLength:
		return in(uint32(w.x.Bits))
	case CondNextHop:
		return inSets(prefix.FromNetip(netip.PrefixFrom(w.nextHop, w.nextHop.BitLen())), nil)
	case CondNeighbor:
		return slices.Contains(c.Names, from.Neighbor)
	case CondGroup:
		return slices.Contains(c.Names, from.Group)
	case CondSource:
		is := []SourceName{[]SourceName{FromOriginated, FromKernel, FromIBGP, FromEBGP}[from.Kind]}
		if from.Kind == EBGP && from.Relation != NoRelation {
			is = append(is, []SourceName{0, FromCustomer, FromProvider, FromPeer}[from.Relation])
		}
		return slices.ContainsFunc(c.Sources, func(s SourceName) bool { return slices.Contains(is, s) })
	case CondASPath:
		for _, s := range c.Patterns {
			for text := range s.All() {
				n, err := parsePattern(text)
				if err != nil {
					panic(err)
				}
				if ends(n, w.hops, 0)[len(w.hops)] {
					return true
				}
			}
		}
		return false
	case CondASPathContains:
		return slices.ContainsFunc(w.hops, func(hop []uint32) bool { return slices.ContainsFunc(hop, inAS) })
	case CondASPathOrigin:
		if len(w.hops) == 0 {
			return inAS(w.ctx.ASN)
		}
		last := w.hops[len(w.hops)-1]
		return len(last) == 1 && inAS(last[0])
	case CondASPathFirst:
		return len(w.hops) > 0 && slices.ContainsFunc(w.hops[0], inAS)
	case CondASPathLength:
		return in(uint32(len(w.hops)))
	case CondCommunity:
		for _, s := range c.Communities {
			for text := range s.All() {
				if has(text) {
					return true
				}
			}
		}
		return false
	case CondCommunityAll:
		n := 0
		for _, s := range c.Communities {
			for text := range s.All() {
				if n++; !has(text) {
					return false
				}
			}
		}
		return n > 0
	case CondMED:
		return w.med != nil && in(*w.med)
	case CondLocalPref:
		return in(value(w.pref, 100))
	case CondOrigin:
		return slices.Contains(c.Origins, w.origin)
	case CondRPKI:
		return slices.Contains(c.States, w.validity)
	case CondASPA:
		return slices.Contains(c.States, w.path)
	}
	return slices.Contains(c.Families, w.x.Family)
}

func value(n *uint32, otherwise uint32) uint32 {
	if n == nil {
		return otherwise
	}
	return *n
}

// fits compares by text, part by part.
func fits(pattern string) func(string) bool {
	return func(c string) bool {
		want, got := strings.Split(pattern, ":"), strings.Split(c, ":")
		if len(want) != len(got) || (want[0] == "rt") != (got[0] == "rt") {
			return false
		}
		for i := range want {
			if want[i] != "*" && want[i] != got[i] {
				return false
			}
		}
		return true
	}
}

func (w *twin) change(s *Actions) {
	adjust := func(d Adjust, n *uint32, missing uint32) *uint32 {
		now := int64(value(n, missing))
		switch d.Op {
		case Keep:
			return n
		case Remove:
			return nil
		case SetTo:
			now = int64(d.Value)
		case Add:
			now += int64(d.Value)
		case Subtract:
			now -= int64(d.Value)
		}
		return ptr(uint32(min(max(now, 0), 1<<32-1)))
	}
	w.pref, w.med = adjust(s.LocalPref, w.pref, 100), adjust(s.MED, w.med, 0)
	if s.MED.Op != Keep {
		w.ownMED = s.MED.Op != Remove
	}
	add := func(set *CommunitySet) {
		for text := range set.All() {
			if !slices.Contains(w.communities, text) {
				w.communities = append(slices.Clone(w.communities), text)
			}
		}
	}
	if s.ReplaceCommunities != nil {
		w.communities = nil
		add(s.ReplaceCommunities)
	}
	for _, set := range s.RemoveCommunities {
		for text := range set.All() {
			w.communities = slices.DeleteFunc(slices.Clone(w.communities), fits(text))
		}
	}
	if s.AddCommunities != nil {
		add(s.AddCommunities)
	}
	for range s.Prepend.Count {
		asn := s.Prepend.ASN
		if asn == 0 {
			asn = w.ctx.ASN
		}
		w.hops = slices.Insert(slices.Clone(w.hops), 0, []uint32{asn})
	}
	switch s.NextHop.Mode {
	case NextHopAddress:
		a := s.NextHop.IPv4
		if w.x.Family == prefix.IPv6 {
			a = s.NextHop.IPv6
		}
		if a.IsValid() {
			w.nextHop, w.mode = a, NextHopAddress
		}
	case NextHopSelf, NextHopUnchanged, NextHopDiscard:
		w.mode = s.NextHop.Mode
	}
	if s.Origin != nil {
		w.origin = *s.Origin
	}
	if s.Weight != nil {
		w.weight = *s.Weight
	}
}

func (w *twin) variant(p *Program) uint32 {
	if p.Validates() {
		return Validated(p.Variant(w.x), w.validity)
	}
	return p.Variant(w.x)
}

// state is what counts about a route afterwards.
func (w *twin) state() string {
	slices.Sort(w.communities)
	show := func(n *uint32) string {
		if n == nil {
			return "none"
		}
		return strconv.Itoa(int(*n))
	}
	return fmt.Sprintf("%v %v med %s %v pref %s origin %d nh %s %s weight %d",
		w.hops, w.communities, show(w.med), w.ownMED, show(w.pref), w.origin, w.nextHop, w.mode, w.weight)
}

func stateOf(a *wire.Attrs, r Result) string {
	w := twin{origin: a.Origin, mode: r.NextHop, ownMED: r.MED, weight: r.Weight}
	for h := (pathHops{path: a.ASPath}); h.next(); {
		var hop []uint32
		for b := h.hop; len(b) > 0; b = b[4:] {
			hop = append(hop, standard.get(b)[0])
		}
		w.hops = append(w.hops, hop)
	}
	for k, list := range communities(a) {
		for n := communityKind(k).size(); len(list) > 0; list = list[n:] {
			w.communities = append(w.communities, communityString(communityKind(k), list[:n]))
		}
	}
	if a.Has&wire.HasMED != 0 {
		w.med = &a.MED
	}
	if a.Has&wire.HasLocalPref != 0 {
		w.pref = &a.LocalPref
	}
	w.nextHop, _ = netip.AddrFromSlice(a.NextHop)
	return w.state()
}

func genSource(t *rapid.T) Source {
	s := Source{Kind: SourceKind(rapid.IntRange(0, 3).Draw(t, "source"))}
	if s.Kind >= IBGP {
		s.Neighbor = rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "neighbor")
		s.Group = rapid.SampledFrom([]string{"g1", "g2"}).Draw(t, "group")
		s.Relation = Relation(rapid.IntRange(0, 3).Draw(t, "relation"))
	}
	return s
}

var someCommunities = []string{"1:1", "1:2", "2:1", "1:1:1", "1:1:2", "rt:1:1", "rt:1:2", "rt:2:1"}

func genCommunities(t *rapid.T, wild bool) *CommunitySet {
	from := someCommunities
	if wild {
		from = append([]string{"1:*", "*:1", "*:*:2", "1:1:*", "rt:1:*", "rt:*:1"}, from...)
	}
	s := &CommunitySet{}
	for _, text := range rapid.SliceOfN(rapid.SampledFrom(from), 0, 3).Draw(t, "communities") {
		if err := s.Add(text, Pos{}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func genPrefixSet(t *rapid.T) *PrefixSet {
	s := &PrefixSet{}
	for _, e := range rapid.SliceOfN(rapid.Custom(genEntry), 0, 6).Draw(t, "set") {
		s.Add(e, Pos{})
	}
	return s
}

func genASSet(t *rapid.T) *ASSet {
	s := &ASSet{}
	for _, n := range rapid.SliceOfN(rapid.Uint32Range(1, 6), 0, 3).Draw(t, "as set") {
		s.Add(Range{n, n + n%2}, Pos{})
	}
	return s
}

var someAddresses = []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2"}

func genCondition(t *rapid.T) Condition {
	c := Condition{Kind: Kind(rapid.IntRange(0, int(kinds)-1).Draw(t, "kind"))}
	slot := func() bool { return rapid.IntRange(0, 3).Draw(t, "slot") == 0 }
	ranges := func(limit uint32) {
		for range rapid.IntRange(1, 2).Draw(t, "ranges") {
			lo := rapid.Uint32Range(0, limit).Draw(t, "lo")
			c.Ranges = append(c.Ranges, Range{lo, lo + rapid.Uint32Range(0, limit/2).Draw(t, "more")})
		}
	}
	switch c.Kind {
	case CondPrefix:
		c.Prefixes, c.Slot = []*PrefixSet{genPrefixSet(t), genPrefixSet(t)}, slot()
	case CondNextHop:
		s := &PrefixSet{}
		for _, a := range rapid.SliceOfN(rapid.SampledFrom(someAddresses), 0, 2).Draw(t, "next hops") {
			ip := netip.MustParseAddr(a)
			s.Add(PrefixRange{prefix.FromNetip(netip.PrefixFrom(ip, ip.BitLen())), uint8(ip.BitLen()), uint8(ip.BitLen())}, Pos{})
		}
		c.Prefixes = []*PrefixSet{s}
	case CondNeighbor:
		c.Names = rapid.SliceOfN(rapid.SampledFrom([]string{"n1", "n2", "n3"}), 1, 2).Draw(t, "names")
	case CondGroup:
		c.Names = rapid.SliceOfN(rapid.SampledFrom([]string{"g1", "g2", "g3"}), 1, 2).Draw(t, "names")
	case CondSource:
		c.Sources = rapid.SliceOfN(rapid.SampledFrom([]SourceName{0, 1, 2, 3, 4, 5, 6}), 1, 3).Draw(t, "sources")
	case CondASPath:
		text, _ := genPattern(t, 2)
		s := &ASPathSet{}
		if err := s.Add(text, Pos{}); err != nil {
			t.Fatal(err)
		}
		c.Patterns = []*ASPathSet{s}
	case CondASPathContains, CondASPathFirst:
		c.ASNs = []*ASSet{genASSet(t), genASSet(t)}
	case CondASPathOrigin:
		c.ASNs, c.Slot = []*ASSet{genASSet(t)}, slot()
	case CondCommunity, CondCommunityAll:
		c.Communities = []*CommunitySet{genCommunities(t, true), genCommunities(t, true)}
	case CondOrigin:
		c.Origins = rapid.SliceOfN(rapid.Uint8Range(0, 2), 1, 2).Draw(t, "origins")
	case CondFamily:
		c.Families = []prefix.Family{prefix.Family(rapid.IntRange(0, 1).Draw(t, "family"))}
	case CondRPKI, CondASPA:
		c.States = []rpki.State{rpki.State(rapid.IntRange(0, 2).Draw(t, "state"))}
	case CondPrefixLength:
		ranges(64)
	case CondLocalPref:
		ranges(200)
	default:
		ranges(6)
	}
	return c
}

func genMatch(t *rapid.T, depth int) Match {
	m := Match{Conditions: rapid.SliceOfN(rapid.Custom(genCondition), 0, 2).Draw(t, "conditions")}
	if depth > 0 && rapid.IntRange(0, 2).Draw(t, "not") == 0 {
		for range rapid.IntRange(1, 2).Draw(t, "nots") {
			m.Not = append(m.Not, genMatch(t, depth-1))
		}
	}
	return m
}

func genActions(t *rapid.T) (a Actions) {
	some := func(what string) bool { return rapid.IntRange(0, 3).Draw(t, what) == 0 }
	adjust := func(ops int) Adjust {
		return Adjust{AdjustOp(rapid.IntRange(1, ops).Draw(t, "op")), rapid.SampledFrom([]uint32{0, 1, 2, 5, 100, 1<<32 - 1}).Draw(t, "value")}
	}
	if some("local_pref") {
		a.LocalPref = adjust(3)
	}
	if some("med") {
		a.MED = adjust(4)
	}
	if some("replace") {
		a.ReplaceCommunities = genCommunities(t, false)
	}
	if some("remove") {
		a.RemoveCommunities = []*CommunitySet{genCommunities(t, true), genCommunities(t, true)}
	}
	if some("add") {
		a.AddCommunities = genCommunities(t, false)
	}
	if some("prepend") {
		a.Prepend = Prepend{rapid.Uint32Range(0, 5).Draw(t, "asn"), rapid.Uint8Range(1, 3).Draw(t, "count")}
	}
	if some("next_hop") {
		a.NextHop.Mode = NextHopMode(rapid.IntRange(1, 4).Draw(t, "mode"))
		a.NextHop.IPv4 = netip.MustParseAddr("192.0.2.2")
		if rapid.Bool().Draw(t, "both") {
			a.NextHop.IPv6 = netip.MustParseAddr("2001:db8::2")
		}
	}
	if some("origin") {
		a.Origin = ptr(rapid.Uint8Range(0, 2).Draw(t, "origin"))
	}
	if some("weight") {
		a.Weight = ptr(rapid.Uint32Range(0, 3).Draw(t, "weight"))
	}
	return a
}

func genChain(t *rapid.T) []*Policy {
	var chain []*Policy
	for i := range rapid.IntRange(1, 2).Draw(t, "policies") {
		p := &Policy{Name: fmt.Sprint("p", i)}
		for j := range rapid.IntRange(0, 5).Draw(t, "rules") {
			r := Rule{Name: fmt.Sprintf("p%d r%d", i, j), Set: genActions(t), Then: Then(rapid.IntRange(0, 2).Draw(t, "then"))}
			for range rapid.IntRange(0, 2).Draw(t, "matches") {
				r.Match = append(r.Match, genMatch(t, 2))
			}
			p.Rules = append(p.Rules, r)
		}
		chain = append(chain, p)
	}
	return chain
}

func genContext(t *rapid.T) Context {
	ctx := Context{ASN: 5, Prefixes: genPrefixSet(t), OriginASNs: genASSet(t)}
	if rapid.Bool().Draw(t, "import") {
		ctx.From = ptr(genSource(t))
	}
	return ctx
}

// genRoute draws a route for both.
func genRoute(t *rapid.T, ctx Context) (twin, *wire.Attrs) {
	w := twin{ctx: ctx, x: genPrefix(t, "route"), from: genSource(t), weight: rapid.Uint32Range(0, 3).Draw(t, "weight"),
		validity: rpki.State(rapid.IntRange(0, 2).Draw(t, "validity")), path: rpki.State(rapid.IntRange(0, 2).Draw(t, "path"))}
	a := &wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}
	a.ASPath, w.hops = genPath(t)
	w.origin = rapid.Uint8Range(0, 2).Draw(t, "origin")
	a.Origin = w.origin
	if rapid.Bool().Draw(t, "has med") {
		a.MED, a.Has = rapid.Uint32Range(0, 8).Draw(t, "med"), a.Has|wire.HasMED
		w.med = ptr(a.MED)
	}
	if rapid.Bool().Draw(t, "has local_pref") {
		a.LocalPref, a.Has = rapid.Uint32Range(0, 250).Draw(t, "local_pref"), a.Has|wire.HasLocalPref
		w.pref = ptr(a.LocalPref)
	}
	w.nextHop = netip.MustParseAddr(rapid.SampledFrom(someAddresses).Draw(t, "next hop"))
	a.NextHop = w.nextHop.AsSlice()
	w.communities = rapid.SliceOfNDistinct(rapid.SampledFrom(someCommunities), 0, 5, rapid.ID[string]).Draw(t, "communities")
	for _, text := range w.communities {
		c, err := parseCommunity(text)
		if err != nil {
			t.Fatal(err)
		}
		to := []*[]byte{&a.Communities, &a.ExtCommunities, &a.LargeCommunities}[c[0].kind]
		*to = c[0].value.appendTo(*to, c[0].kind)
	}
	return w, a
}

func TestProgramAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx, chain := genContext(t), genChain(t)
		p, err := Compile(chain, ctx)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Compile(chain, ctx)
		if err != nil || !p.Equal(again) {
			t.Fatalf("compiled twice, it differs: %v", err)
		}
		var s Scratch
		hits := map[string]uint64{}
		for range 30 {
			w, a := genRoute(t, ctx)
			given := *a
			weight := w.weight
			start := stateOf(a, Result{Weight: weight})
			want, matched := w.run(chain)

			variant := w.variant(p)
			if int(variant) >= p.Variants() {
				t.Fatalf("variant %d of %d", variant, p.Variants())
			}
			route := Route{Attrs: a, Source: &w.from, Weight: weight, Path: w.path}
			got := p.Eval(variant, &route, &s)
			if got.Accept != want || stateOf(a, got) != w.state() {
				t.Fatalf("got  %v %s\nwant %v %s\nfrom %s", got.Accept, stateOf(a, got), want, w.state(), start)
			}
			if was := stateOf(&given, Result{Weight: weight}); was != start {
				t.Fatalf("the given bytes were written to: %s", was)
			}
			if differs := !sameAttrs(&given, a); differs && !got.Changed {
				t.Fatalf("changed, and does not say so")
			}
			var names []string
			for _, l := range p.Matched(got.Trace) {
				names = append(names, l.Rule)
			}
			if !slices.Equal(names, matched) {
				t.Fatalf("rules %q, want %q", names, matched)
			}
			p.Count(got.Trace, 2)
			for _, name := range matched {
				hits[name] += 2
			}

			copied := given
			steps, explained := p.Explain(w.x, &Route{Attrs: &copied, Source: &w.from, Weight: route.Weight, Validity: w.validity, Path: w.path})
			explained.Trace = got.Trace
			if explained != got || !sameAttrs(&copied, a) {
				t.Fatalf("Explain: %+v, Eval %+v", explained, got)
			}
			names = nil
			for _, step := range steps {
				if step.Matched {
					names = append(names, step.Rule)
				}
			}
			if !slices.Equal(names, matched) {
				t.Fatalf("Explain: rules %q, want %q", names, matched)
			}
		}
		for _, h := range p.Hits() {
			if h.Hits != hits[h.Rule] {
				t.Fatalf("rule %s has %d hits, want %d", h.Rule, h.Hits, hits[h.Rule])
			}
		}
	})
}
