package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
)

var policyBlock = schema[policy.Policy]{blocks: []nested[policy.Policy]{{
	name: "rule", label: `"NAME"`,
	read: func(r *reader, b *hclsyntax.Block, to *policy.Policy) {
		name, ok := r.label(b)
		if !ok {
			return
		}
		for _, other := range to.Rules {
			if other.Name == name {
				r.errorf(b.LabelRanges[0], "rename one: hit counts and explanations go by these names",
					"%s has two rules %s; the first is at %s", "policy "+quote(to.Name), quote(name), other.Pos)
				return
			}
		}
		rule := policy.Rule{Name: name, Pos: pos(b.TypeRange)}
		decode(r, ruleBlock, "rule "+quote(name), b.DefRange(), b.Body, &rule)
		to.Rules = append(to.Rules, rule)
	},
	write: func(p *printer, from *policy.Policy) {
		for i := range from.Rules {
			p.open("rule " + quote(from.Rules[i].Name))
			write(p, ruleBlock, &from.Rules[i])
			p.close()
		}
	},
}}}

var thens = codec[policy.Then]{
	read: func(v value) (policy.Then, bool) {
		i, ok := choice[uint8]("accept", "reject", "continue").read(v)
		return []policy.Then{policy.Accept, policy.Reject, policy.Continue}[i], ok
	},
	write: func(t policy.Then) string { return quote(t.String()) },
}

var ruleBlock = schema[policy.Rule]{
	blocks: []nested[policy.Rule]{
		{
			name: "match", first: true,
			read:  func(r *reader, b *hclsyntax.Block, to *policy.Rule) { to.Match = append(to.Match, r.match(b)) },
			write: func(p *printer, from *policy.Rule) { p.matches("match", from.Match) },
		},
		{
			name: "set", once: true, first: true,
			read:  func(r *reader, b *hclsyntax.Block, to *policy.Rule) { to.Set = r.actions(b) },
			write: func(p *printer, from *policy.Rule) { p.actions(&from.Set) },
		},
	},
	arguments: []argument[policy.Rule]{
		required(plain("then", thens, func(r *policy.Rule) *policy.Then { return &r.Then }, nil), `"accept", "reject" or "continue"`),
	},
}

// inMatch is what a match or not block may have. Blocks inside blocks would
// make a variable refer to itself.
func inMatch() schema[policy.Match] {
	s := matchBlock
	s.blocks = []nested[policy.Match]{{
		name:  "not",
		read:  func(r *reader, b *hclsyntax.Block, to *policy.Match) { to.Not = append(to.Not, r.match(b)) },
		write: func(p *printer, from *policy.Match) { p.matches("not", from.Not) },
	}}
	return s
}

func (r *reader) match(b *hclsyntax.Block) policy.Match {
	r.unlabeled(b)
	m := policy.Match{Pos: pos(b.TypeRange)}
	decode(r, inMatch(), b.Type+" block", b.DefRange(), b.Body, &m)
	// The order of a match block means nothing: one order makes equals equal.
	slices.SortStableFunc(m.Conditions, func(a, b policy.Condition) int { return int(a.Kind) - int(b.Kind) })
	if b.Type == "not" && len(b.Body.Attributes)+len(b.Body.Blocks) == 0 {
		r.errorf(b.TypeRange, "say what is excluded, or remove the block", "an empty not block excludes everything")
	}
	return m
}

// condition is an argument of a match block.
func condition[V any](kind policy.Kind, c codec[V], put func(*policy.Condition, V), get func(*policy.Condition) V) argument[policy.Match] {
	return argument[policy.Match]{
		name: kind.String(),
		read: func(v value, to *policy.Match) {
			if t, isList := v.expr.(*hclsyntax.TupleConsExpr); isList && len(t.Exprs) == 0 {
				v.fail("name what it selects, or remove it", "an empty %s selects nothing", v.name)
				return
			}
			if x, ok := c.read(v); ok {
				k := policy.Condition{Kind: kind, Pos: pos(v.at())}
				put(&k, x)
				to.Conditions = append(to.Conditions, k)
			}
		},
		write: func(from *policy.Match) string {
			for i := range from.Conditions {
				if from.Conditions[i].Kind == kind {
					return c.write(get(&from.Conditions[i]))
				}
			}
			return ""
		},
	}
}

// mixed is sets, the last without a name for what stands in place, and a
// neighbor's slot.
type mixed[S any] struct {
	sets []*S
	slot bool
}

// mixedCodec reads both. slot is "" where the neighbor has none to fill.
func mixedCodec[S any](k setKind[S], slot string) codec[mixed[S]] {
	return codec[mixed[S]]{
		read: func(v value) (mixed[S], bool) {
			var m mixed[S]
			var rest []value
			for _, e := range v.elements() {
				if f, ok := e.reference(); ok && slot != "" && f == (ref{"neighbor", slot}) {
					m.slot = true
				} else {
					rest = append(rest, e)
				}
			}
			sets, members, ok := k.members(v, rest)
			m.sets = sets
			if len(members.Inline) > 0 {
				m.sets = append(m.sets, members.Set)
			}
			return m, ok
		},
		write: func(m mixed[S]) string {
			var all []string
			if m.slot {
				all = append(all, "neighbor."+slot)
			}
			for _, s := range m.sets {
				all = append(all, k.setTexts(s)...)
			}
			return oneOrMany(all)
		},
	}
}

// setTexts is a set as it stands in a list: its name, or its entries.
func (k setKind[S]) setTexts(s *S) []string {
	if name := k.name(s); name != "" {
		return []string{ref{k.block, name}.String()}
	}
	return k.texts(s)
}

// onSets is a condition on sets of one kind.
func onSets[S any](kind policy.Kind, k setKind[S], slot string, field func(*policy.Condition) *[]*S) argument[policy.Match] {
	return condition(kind, mixedCodec(k, slot),
		func(c *policy.Condition, m mixed[S]) { *field(c), c.Slot = m.sets, m.slot },
		func(c *policy.Condition) mixed[S] { return mixed[S]{*field(c), c.Slot} })
}

// onList is a condition on a list of plain values.
func onList[V any](kind policy.Kind, c codec[V], field func(*policy.Condition) *[]V) argument[policy.Match] {
	return condition(kind, many(c),
		func(c *policy.Condition, all []V) { *field(c) = all },
		func(c *policy.Condition) []V { return *field(c) })
}

// many is list, with a single value written without brackets.
func many[V any](c codec[V]) codec[[]V] {
	l := list(c)
	return codec[[]V]{read: l.read, write: func(all []V) string {
		if len(all) == 1 {
			return c.write(all[0])
		}
		return l.write(all)
	}}
}

func prefixesOf(c *policy.Condition) *[]*policy.PrefixSet       { return &c.Prefixes }
func asnsOf(c *policy.Condition) *[]*policy.ASSet               { return &c.ASNs }
func communitiesOf(c *policy.Condition) *[]*policy.CommunitySet { return &c.Communities }
func patternsOf(c *policy.Condition) *[]*policy.ASPathSet       { return &c.Patterns }
func rangesOf(c *policy.Condition) *[]policy.Range              { return &c.Ranges }
func namesOf(c *policy.Condition) *[]string                     { return &c.Names }

var matchBlock = schema[policy.Match]{arguments: []argument[policy.Match]{
	onSets(policy.CondPrefix, prefixSets, "prefixes", prefixesOf),
	onList(policy.CondPrefixLength, numbers(0, 128), rangesOf),
	onSets(policy.CondNextHop, addressSets, "", prefixesOf),
	onList(policy.CondNeighbor, one("neighbor"), namesOf),
	onList(policy.CondGroup, one("group"), namesOf),
	onList(policy.CondSource, sourceWord, func(c *policy.Condition) *[]policy.SourceName { return &c.Sources }),
	onSets(policy.CondASPath, asPathSets, "", patternsOf),
	onSets(policy.CondASPathContains, asSets, "", asnsOf),
	onSets(policy.CondASPathOrigin, asSets, "origin_asns", asnsOf),
	onSets(policy.CondASPathFirst, asSets, "", asnsOf),
	onList(policy.CondASPathLength, numbers(0, math.MaxUint32), rangesOf),
	onSets(policy.CondCommunity, communitySets, "", communitiesOf),
	onSets(policy.CondCommunityAll, communitySets, "", communitiesOf),
	onList(policy.CondMED, numbers(0, math.MaxUint32), rangesOf),
	onList(policy.CondLocalPref, numbers(0, math.MaxUint32), rangesOf),
	onList(policy.CondOrigin, origin, func(c *policy.Condition) *[]uint8 { return &c.Origins }),
	onList(policy.CondRPKI, rpkiState, func(c *policy.Condition) *[]rpki.State { return &c.States }),
	onList(policy.CondASPA, rpkiState, func(c *policy.Condition) *[]rpki.State { return &c.States }),
	onList(policy.CondFamily, choice[prefix.Family]("ipv4", "ipv6"), func(c *policy.Condition) *[]prefix.Family { return &c.Families }),
}}

var sourceWord = func() codec[policy.SourceName] {
	var words []string
	for s := policy.FromOriginated; s <= policy.FromConnected; s++ {
		words = append(words, s.String())
	}
	return choice[policy.SourceName](words...)
}()

// origin has its words in the order of wire.OriginIGP and so on.
var origin = choice[uint8]("igp", "egp", "incomplete")

// numbers is a number, or a range of them in quotes.
func numbers(low, high uint32) codec[policy.Range] {
	return codec[policy.Range]{
		read: func(v value) (policy.Range, bool) {
			s, isText := v.text()
			if !isText {
				n, ok := v.number(uint64(low), uint64(high))
				return policy.Range{Min: uint32(n), Max: uint32(n)}, ok
			}
			from, to, ranged := strings.Cut(s, "-")
			a, errA := strconv.ParseUint(strings.TrimSpace(from), 10, 32)
			b, errB := strconv.ParseUint(strings.TrimSpace(to), 10, 32)
			switch {
			case !ranged || errA != nil || errB != nil:
				v.fail(`write a number, or a range like "8-24"`, "%s is no range of numbers", quote(s))
			case a > b:
				v.fail(fmt.Sprintf(`write "%d-%d"`, b, a), "the range %s ends before it begins", quote(s))
			case a < uint64(low) || b > uint64(high):
				v.fail("", "%s must be from %d to %d, not %s", v.name, low, high, quote(s))
			default:
				return policy.Range{Min: uint32(a), Max: uint32(b)}, true
			}
			return policy.Range{}, false
		},
		write: func(r policy.Range) string {
			if r.Min == r.Max {
				return r.String()
			}
			return quote(r.String())
		},
	}
}
