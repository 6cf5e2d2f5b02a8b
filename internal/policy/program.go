package policy

import (
	"math"
	"slices"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// Program is a chain of policies compiled for a Context. It belongs to one
// goroutine: Variant, Eval and Count learn as they go.
type Program struct {
	rules []rule
	tests []test
	key   string
	asn   uint32 // the router's own
	pref  uint32 // LOCAL_PREF of a route without
	// validates: a rule asks for the validation state.
	validates bool
	// verifies: one asks for the state of the AS path.
	verifies bool

	variants
	traces
}

// rule is a compiled Rule.
type rule struct {
	label   Label
	matches []match // none selects all
	never   bool    // no route is selected, or none gets here
	actions actions
	then    Then
}

// Label says where a rule stands.
type Label struct {
	Policy, Rule string
	Pos          Pos
}

// match is a compiled Match.
type match struct {
	pos    Pos
	conds  []cond
	nots   []match
	fixed  bool // known for this context: always or never
	always bool
}

// cond is a compiled Condition. The lists are those of its source.
type cond struct {
	src      *Condition
	fixed    bool // known for this context
	value    bool // what it is then
	test     int  // of prefix, prefix_length and family
	mask     uint32
	prefixes []*PrefixSet
	asns     []*ASSet
	// communities have their slots filled.
	communities []*CommunitySet
}

// Key names what the program does: programs with equal keys do the same with
// every route. Names and positions do not count.
func (p *Program) Key() string { return p.key }

// Equal reports whether q does the same as p, so that nothing changes when it
// takes p's place.
func (p *Program) Equal(q *Program) bool { return p.key == q.key }

// Prepends reports whether p puts AS numbers in front of the path of some route.
func (p *Program) Prepends() bool {
	return slices.ContainsFunc(p.rules, func(r rule) bool { return !r.never && len(r.actions.prepend) > 0 })
}

// Relabel gives p the names and positions of an equal program, as after an edit
// of nothing but comments. The hit counts stay.
func (p *Program) Relabel(q *Program) {
	if p.Equal(q) {
		p.rules, p.tests = q.rules, q.tests
	}
}

// Eval judges a route. variant is Variant's of its prefix, with what Validated
// adds. It changes r.Attrs in place, whose new slices are valid until s is used
// again.
func (p *Program) Eval(variant uint32, r *Route, s *Scratch) Result {
	if p.validates {
		r.Validity, variant = rpki.State(variant&validityMask), variant>>validityBits
	}
	s.buf = s.buf[:0]
	res := Result{Weight: r.Weight}
	vector := p.vector(variant)
	for i := range p.rules {
		rule := &p.rules[i]
		if rule.never || !p.selects(rule, vector, r) {
			continue
		}
		res.Trace = p.follow(res.Trace, i)
		rule.actions.apply(p, vector, r.Attrs, s, &res)
		if rule.then != Continue {
			res.Accept = rule.then == Accept
			return res
		}
	}
	return res
}

func (p *Program) selects(rule *rule, vector []uint64, r *Route) bool {
	for i := range rule.matches {
		if p.holds(&rule.matches[i], vector, r) {
			return true
		}
	}
	return len(rule.matches) == 0
}

func (p *Program) holds(m *match, vector []uint64, r *Route) bool {
	if m.fixed {
		return m.always
	}
	for i := range m.conds {
		if !p.is(&m.conds[i], vector, r) {
			return false
		}
	}
	for i := range m.nots {
		if p.holds(&m.nots[i], vector, r) {
			return false
		}
	}
	return true
}

// is decides about one condition.
func (p *Program) is(c *cond, vector []uint64, r *Route) bool {
	if c.fixed {
		return c.value
	}
	a := r.Attrs
	switch c.src.Kind {
	case CondPrefix, CondPrefixLength, CondFamily:
		return bit(vector, c.test)
	case CondNextHop:
		x, ok := nextHopPrefix(a.NextHop)
		return ok && inPrefixSets(x, c.prefixes)
	case CondNeighbor:
		return r.Source != nil && named(r.Source.Neighbor, c.src.Names)
	case CondGroup:
		return r.Source != nil && named(r.Source.Group, c.src.Names)
	case CondSource:
		return c.mask&r.Source.words() != 0
	case CondASPath:
		for _, s := range c.src.Patterns {
			for i := range s.entries {
				if s.entries[i].a.match(a.ASPath) {
					return true
				}
			}
		}
		return false
	case CondASPathContains:
		return pathContains(a.ASPath, c.asns)
	case CondASPathOrigin:
		asn, ok := pathOrigin(a.ASPath, p.asn)
		return ok && inASSets(asn, c.asns)
	case CondASPathFirst:
		return pathFirst(a.ASPath, c.asns)
	case CondASPathLength:
		return inRanges(uint32(wire.PathLen(a.ASPath)), c.src.Ranges)
	case CondCommunity:
		for _, s := range c.communities {
			if s.any(standard, a.Communities) || s.any(extended, a.ExtCommunities) || s.any(large, a.LargeCommunities) {
				return true
			}
		}
		return false
	case CondCommunityAll:
		lists, any := communities(a), false
		for _, s := range c.communities {
			for i := range s.entries {
				if !s.entries[i].in(&lists) {
					return false
				}
				any = true
			}
		}
		return any
	case CondMED:
		return a.Has&wire.HasMED != 0 && inRanges(a.MED, c.src.Ranges)
	case CondLocalPref:
		return inRanges(p.localPref(a), c.src.Ranges)
	case CondOrigin:
		return c.mask&(1<<min(a.Origin, 31)) != 0
	case CondRPKI:
		return c.mask&(1<<r.Validity) != 0
	case CondASPA:
		return c.mask&(1<<r.Path) != 0
	}
	panic("BUG: unknown condition") // Compile has refused it
}

func (p *Program) localPref(a *wire.Attrs) uint32 {
	if a.Has&wire.HasLocalPref == 0 {
		return p.pref
	}
	return a.LocalPref
}

// words is which names of the condition "source" fit.
func (s *Source) words() uint32 {
	if s == nil {
		return 1 << FromOriginated
	}
	switch s.Kind {
	case Originated:
		return 1 << FromOriginated
	case Kernel:
		return 1 << FromKernel
	case IBGP:
		return 1 << FromIBGP
	case Static:
		return 1 << FromStatic
	case Connected:
		return 1 << FromConnected
	}
	switch s.Relation {
	case Customer:
		return 1<<FromEBGP | 1<<FromCustomer
	case Provider:
		return 1<<FromEBGP | 1<<FromProvider
	case Peer:
		return 1<<FromEBGP | 1<<FromPeer
	}
	return 1 << FromEBGP
}

func named(name string, names []string) bool {
	if name == "" {
		return false
	}
	for _, n := range names {
		if n == name {
			return true
		}
	}
	return false
}

func inRanges(n uint32, ranges []Range) bool {
	for _, r := range ranges {
		if r.Contains(n) {
			return true
		}
	}
	return false
}

func inPrefixSets(x prefix.Prefix, sets []*PrefixSet) bool {
	for _, s := range sets {
		if s.Contains(x) {
			return true
		}
	}
	return false
}

// nextHopPrefix is a next hop as a block of one address: the global one where
// a link-local one follows it (RFC 2545 section 3).
func nextHopPrefix(b []byte) (prefix.Prefix, bool) {
	be := func(b []byte) (v uint64) {
		for _, c := range b {
			v = v<<8 | uint64(c)
		}
		return v
	}
	switch len(b) {
	case 4:
		return prefix.Prefix{Hi: be(b) << 32, Bits: 32}, true
	case 16, 32:
		return prefix.Prefix{Hi: be(b[:8]), Lo: be(b[8:16]), Bits: 128, Family: prefix.IPv6}, true
	}
	return prefix.Prefix{}, false
}

func communities(a *wire.Attrs) [communityKinds][]byte {
	return [communityKinds][]byte{a.Communities, a.ExtCommunities, a.LargeCommunities}
}

// test is a question about the prefix: in one of the sets, of a length in one
// of the ranges, or of one of the families.
type test struct {
	key      string
	sets     []*PrefixSet
	ranges   []Range
	families uint8
}

func (t *test) is(x prefix.Prefix) bool {
	return t.families&(1<<x.Family) != 0 || inPrefixSets(x, t.sets) || inRanges(uint32(x.Bits), t.ranges)
}

// variants numbers the combinations of answers to the tests. A combination is
// found by walking a binary tree, one level a test; only combinations that
// prefixes really have are in it.
type variants struct {
	tree    [][2]uint32 // the next node, or on the last level the variant + 1
	vectors []uint64    // answers of each variant, width words each
	width   int
}

func bit(vector []uint64, i int) bool { return vector[i/64]>>(i%64)&1 != 0 }

// The lowest bits of a variant of a program that validates are the state.
const (
	validityBits = 2
	validityMask = 1<<validityBits - 1
)

// Validates reports whether a rule asks for the validation state of routes. Their
// Variant wants it by Validated then.
func (p *Program) Validates() bool { return p.validates }

// Validated is a variant of a program that validates, for routes of a state. What
// Variant returns is for those that are unknown.
func Validated(variant uint32, s rpki.State) uint32 { return variant | uint32(s) }

// Verifies reports whether a rule asks for the state of the AS path, Route.Path.
func (p *Program) Verifies() bool { return p.verifies }

// Origin is the AS that a route with this path is validated for, 0 if it has
// none (RFC 6811 section 2). An empty path is our own (RFC 8481 section 3).
func (p *Program) Origin(path []byte) uint32 { return Origin(path, p.asn) }

// Origin is Program.Origin for a router in AS own.
func Origin(path []byte, own uint32) uint32 {
	asn, _ := pathOrigin(path, own)
	return asn
}

// Variants is 1 if no rule asks for the prefix or the validation state, and
// otherwise how many variants there may be.
func (p *Program) Variants() int {
	n := len(p.tests)
	if p.validates {
		n += validityBits
	}
	if n < 30 {
		return 1 << n
	}
	return math.MaxInt32
}

// Variant is a small dense number for the answers to all questions that rules
// ask about a prefix. Eval treats prefixes of one variant alike.
func (p *Program) Variant(x prefix.Prefix) uint32 {
	if p.validates {
		return p.ofPrefix(x) << validityBits
	}
	return p.ofPrefix(x)
}

func (p *Program) ofPrefix(x prefix.Prefix) uint32 {
	if len(p.tests) == 0 {
		return 0
	}
	at := uint32(0)
	for i := range p.tests {
		way := 0
		if p.tests[i].is(x) {
			way = 1
		}
		if at = p.tree[at][way]; at == 0 {
			return p.learn(p.answers(x))
		}
	}
	return at - 1
}

// answers asks all tests.
func (p *Program) answers(x prefix.Prefix) []uint64 {
	vector := make([]uint64, (len(p.tests)+63)/64)
	for i := range p.tests {
		if p.tests[i].is(x) {
			vector[i/64] |= 1 << (i % 64)
		}
	}
	return vector
}

// learn enters a combination that has not been seen.
func (p *Program) learn(vector []uint64) uint32 {
	at := uint32(0)
	for i := range p.tests {
		way := 0
		if bit(vector, i) {
			way = 1
		}
		if p.tree[at][way] == 0 {
			if i == len(p.tests)-1 {
				p.vectors = append(p.vectors, vector...)
				p.tree[at][way] = uint32(len(p.vectors) / p.width)
			} else {
				p.tree = append(p.tree, [2]uint32{})
				p.tree[at][way] = uint32(len(p.tree) - 1)
			}
		}
		at = p.tree[at][way]
	}
	return at - 1
}

func (v *variants) vector(variant uint32) []uint64 {
	from := int(variant) * v.width
	return v.vectors[from : from+v.width]
}
