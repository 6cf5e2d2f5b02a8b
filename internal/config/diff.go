package config

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"holdfast/internal/policy"
)

// Difference is an object that two configurations do not have in common.
type Difference struct {
	Kind   DifferenceKind
	Object string // as its block begins: `neighbor "transit-a"`
	Detail string // of a change: what changed, on one line
	Pos    Pos    // in the new configuration; of what was removed, in the old one
}

// DifferenceKind says what happened to an object.
type DifferenceKind uint8

const (
	Added DifferenceKind = iota
	Removed
	Changed
)

func (k DifferenceKind) String() string { return [...]string{"added", "removed", "changed"}[k] }

// Diff lists what makes new another configuration than old, in the order of
// Print. Comments, layout and places make no difference. A neighbor that only
// its group or the router block changes is not listed beside them.
func Diff(old, new *Config) []Difference {
	d := &differ{}
	if detail := textDiff(printed(routerBlock, &old.Router), printed(routerBlock, &new.Router)); detail != "" {
		d.all = append(d.all, Difference{Changed, "router", detail, new.Router.Pos})
	}
	diffSets(d, prefixSets, old, new, (*policy.PrefixSet).All)
	diffSets(d, asSets, old, new, (*policy.ASSet).All)
	diffSets(d, communitySets, old, new, (*policy.CommunitySet).All)
	diffSets(d, asPathSets, old, new, (*policy.ASPathSet).All)
	diffBlocks(d, "table", written(old.Tables), written(new.Tables), tableBlock, func(t *Table) (string, Pos) { return t.Name, t.Pos })
	diffBlocks(d, "static", old.Statics, new.Statics, staticBlock, func(s *Static) (string, Pos) { return s.Name, s.Pos })
	diffBlocks(d, "originate", old.Originates, new.Originates, originateBlock, func(o *Originate) (string, Pos) { return o.Name, o.Pos })
	diffBlocks(d, "aggregate", old.Aggregates, new.Aggregates, aggregateBlock, func(a *Aggregate) (string, Pos) { return a.Name, a.Pos })
	diffBlocks(d, "protect", old.Protects, new.Protects, protectBlock, func(p *Protect) (string, Pos) { return p.Name, p.Pos })
	diffBlocks(d, "rpki", old.RPKI, new.RPKI, rpkiBlock, func(s *RPKI) (string, Pos) { return s.Name, s.Pos })
	diffObjects(d, "policy", old.Policies, new.Policies, func(p *policy.Policy) (string, Pos) { return p.Name, p.Pos }, policyDiff)
	diffObjects(d, "group", old.Groups, new.Groups, func(g *Group) (string, Pos) { return g.Name, g.Pos }, func(a, b *Group) string {
		return textDiff(printed(groupBlock, &party{settings: a.Settings, families: a.Families}),
			printed(groupBlock, &party{settings: b.Settings, families: b.Families}))
	})
	diffObjects(d, "neighbor", old.Neighbors, new.Neighbors, func(n *Neighbor) (string, Pos) { return n.Name, n.Pos }, func(a, b *Neighbor) string {
		detail := textDiff(printed(neighborBlock, &party{settings: a.Own, families: a.OwnFamily}),
			printed(neighborBlock, &party{settings: b.Own, families: b.OwnFamily}))
		if detail == "" && a.Transport.Password != b.Transport.Password {
			return "another password"
		}
		return detail
	})
	diffObjects(d, "neighbor_range", old.Ranges, new.Ranges, func(g *Range) (string, Pos) { return g.Name, g.Pos }, func(a, b *Range) string {
		detail := textDiff(printed(rangeBlock, &party{settings: a.Own, families: a.OwnFamily}),
			printed(rangeBlock, &party{settings: b.Own, families: b.OwnFamily}))
		if detail == "" && a.Example.Transport.Password != b.Example.Transport.Password {
			return "another password"
		}
		return detail
	})
	return d.all
}

// written leaves out a main table without a block.
func written(all []*Table) []*Table {
	if all[0].Pos.Line == 0 {
		return all[1:]
	}
	return all
}

type differ struct{ all []Difference }

// diffObjects compares objects by name.
func diffObjects[T any](d *differ, kind string, old, new []T, id func(T) (string, Pos), detail func(a, b T) string) {
	before := map[string]T{}
	for _, o := range old {
		name, _ := id(o)
		before[name] = o
	}
	for _, n := range new {
		name, pos := id(n)
		object := kind + " " + quote(name)
		o, was := before[name]
		delete(before, name)
		if !was {
			d.all = append(d.all, Difference{Added, object, "", pos})
		} else if text := detail(o, n); text != "" {
			d.all = append(d.all, Difference{Changed, object, text, pos})
		}
	}
	for _, o := range old {
		if name, pos := id(o); contains(before, name) {
			d.all = append(d.all, Difference{Removed, kind + " " + quote(name), "", pos})
		}
	}
}

func contains[V any](m map[string]V, name string) bool {
	_, ok := m[name]
	return ok
}

func diffBlocks[T any](d *differ, kind string, old, new []*T, s schema[T], id func(*T) (string, Pos)) {
	diffObjects(d, kind, old, new, id, func(a, b *T) string { return textDiff(printed(s, a), printed(s, b)) })
}

func diffSets[S any, E comparable](d *differ, k setKind[S], old, new *Config, all func(*S) iter.Seq2[E, Pos]) {
	diffObjects(d, k.block, *k.list(old), *k.list(new), func(s *Set[S]) (string, Pos) { return s.Name, s.Pos }, func(a, b *Set[S]) string {
		if detail := entriesDiff(a.Set, b.Set, all); detail != "" {
			return detail
		}
		if a.File != b.File || len(a.Inline) != len(b.Inline) {
			return "the same entries, written elsewhere"
		}
		return ""
	})
}

// mostNamed is how many differences of one object are named; the rest is
// counted.
const mostNamed = 5

// entriesDiff says which entries came and went.
func entriesDiff[S any, E comparable](a, b *S, all func(*S) iter.Seq2[E, Pos]) string {
	if equalSets(a, b, all) {
		return ""
	}
	before := map[E]bool{}
	for e := range all(a) {
		before[e] = true
	}
	l := few{}
	for e := range all(b) {
		if kept, was := before[e]; !was {
			l.add("+%v", e)
		} else if kept {
			before[e] = false
		}
	}
	for e := range all(a) {
		if before[e] {
			before[e] = false
			l.add("-%v", e)
		}
	}
	if l.n == 0 {
		return "the order of entries"
	}
	return l.String()
}

// few is a list of which only the beginning is kept.
type few struct {
	named []string
	n     int
}

func (l *few) add(format string, args ...any) {
	if l.n++; l.n <= mostNamed {
		l.named = append(l.named, fmt.Sprintf(format, args...))
	}
}

func (l *few) String() string {
	s := strings.Join(l.named, ", ")
	if more := l.n - len(l.named); more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// policyDiff compares rule by rule.
func policyDiff(a, b *policy.Policy) string {
	before := map[string]string{}
	for i := range a.Rules {
		before[a.Rules[i].Name] = printed(ruleBlock, &a.Rules[i])
	}
	l := few{}
	var kept []string // by name, in the new order
	for i := range b.Rules {
		r := &b.Rules[i]
		text, was := before[r.Name]
		switch {
		case !was:
			l.add("rule %s added", quote(r.Name))
			continue
		case text != printed(ruleBlock, r):
			l.add("rule %s: %s", quote(r.Name), textDiff(text, printed(ruleBlock, r)))
		}
		kept = append(kept, r.Name)
	}
	at := 0
	moved := false
	for i := range a.Rules {
		name := a.Rules[i].Name
		switch {
		case at < len(kept) && kept[at] == name:
			at++
		case slices.Contains(kept, name):
			moved = true
		default:
			l.add("rule %s removed", quote(name))
		}
	}
	if moved {
		l.add("the order of rules")
	}
	return l.String()
}

// joined puts lists that are printed over several lines on one.
var joined = strings.NewReplacer("[\n", "[", ",\n]", "]", ",\n", ", ")

// printed is the inside of a block as Print writes it, one argument a line.
func printed[T any](s schema[T], from *T) string {
	p := &printer{}
	write(p, s, from)
	return joined.Replace(p.String())
}

// settingsOf takes the inside of a block apart. Those of blocks inside it have
// the way to them in their names.
func settingsOf(text string) (names []string, values map[string]string) {
	values = map[string]string{}
	var way []string
	times := map[string]int{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasSuffix(line, "{"):
			name := strings.TrimSpace(strings.TrimSuffix(line, "{"))
			whole := strings.Join(append(way[:len(way):len(way)], name), " ")
			if times[whole]++; times[whole] > 1 { // as with match blocks
				name = fmt.Sprintf("%s %d", name, times[whole])
			}
			way = append(way[:len(way):len(way)], name)
		case line == "}":
			way = way[:len(way)-1]
		default:
			name, value, _ := strings.Cut(line, " = ")
			name = strings.Join(append(way[:len(way):len(way)], name), " ")
			names, values[name] = append(names, name), value
		}
	}
	return names, values
}

// textDiff says which settings differ between the insides of two blocks, ""
// for none.
func textDiff(a, b string) string {
	if a == b {
		return ""
	}
	l := few{}
	before, was := settingsOf(a)
	after, is := settingsOf(b)
	for _, n := range after {
		if old, given := was[n]; !given {
			l.add("%s = %s added", n, is[n])
		} else if old != is[n] {
			l.add("%s %s", n, change(old, is[n]))
		}
	}
	for _, n := range before {
		if !contains(is, n) {
			l.add("%s = %s removed", n, was[n])
		}
	}
	if l.n == 0 {
		return "the order of blocks" // or one that is empty
	}
	return l.String()
}

// change says what became of a value. Of long lists it says what came and went.
func change(old, new string) string {
	const short = 60
	if len(old)+len(new) <= short || !strings.HasPrefix(old, "[") || !strings.HasPrefix(new, "[") {
		return old + " → " + new
	}
	before, after := strings.Split(strings.Trim(old, "[]"), ", "), strings.Split(strings.Trim(new, "[]"), ", ")
	l := few{}
	for _, x := range after {
		if !slices.Contains(before, x) {
			l.add("+%s", x)
		}
	}
	for _, x := range before {
		if !slices.Contains(after, x) {
			l.add("-%s", x)
		}
	}
	if l.n == 0 {
		return "in another order"
	}
	return l.String()
}
