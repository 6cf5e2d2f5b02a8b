// Package lint finds what a valid configuration most likely does not mean: a
// session without a limit, our own prefixes accepted from outside, a leak. It
// goes by what policies do with a few routes, not by how they are written.
//
// Warnings are few: equal ones of many neighbors are one. Each can be answered
// by writing the choice down, such as max_prefixes = 0 or a rule that names what
// it accepts.
package lint

import (
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// Check finds what is doubtful in a configuration without errors.
func Check(c *config.Config) config.Diagnostics {
	l := &linter{cfg: c, groups: map[string]*config.Group{}, said: map[key]*finding{}, odd: map[oddity]bool{}, imports: map[side]*program{}, exports: map[side]*program{}}
	for _, g := range c.Groups {
		l.groups[g.Name] = g
	}
	l.all = slices.Clone(c.Neighbors)
	for _, g := range c.Ranges {
		l.all = append(l.all, examples(c, g)...)
	}
	l.collectOwn()
	l.oddOnes()
	for _, n := range l.all {
		if l.outside(n) {
			l.settings(n)
			l.accepted(n)
		}
	}
	l.leaks()
	return l.diagnostics()
}

// examples are neighbors that might connect from a range, one of each family.
func examples(c *config.Config, g *config.Range) (all []*config.Neighbor) {
	var seen [prefix.Families]bool
	for _, p := range g.Addresses {
		f := prefix.FamilyOf(p.Addr())
		if seen[f] {
			continue
		}
		seen[f] = true
		all = append(all, c.Member(g, p.Addr().Next(), g.Example.Transport.ASN))
	}
	return all
}

type linter struct {
	cfg    *config.Config
	groups map[string]*config.Group
	all    []*config.Neighbor // with those of ranges
	own    []prefix.Prefix    // that nobody else may announce to us
	odd    map[oddity]bool    // told already

	findings []*finding
	said     map[key]*finding

	imports, exports map[side]*program
}

// finding is a warning about all neighbors to which it applies.
type finding struct {
	kind kind
	at   config.Pos
	// rule accepts, in the findings about policies.
	rule policy.Label
	who  []*config.Neighbor
	what []string
}

type kind uint8

const (
	noLimit kind = iota
	noRole
	defaultUp
	ownAccepted
	bogonAccepted
	privateAccepted
	anyAccepted
	deafened
	leak
	oddOne
)

// key is what findings have in common that are told as one.
type key struct {
	kind kind
	what string // of sessions
	at   config.Pos
}

// say notes that something holds for a neighbor.
func (l *linter) say(f finding, k key, n *config.Neighbor, what string) {
	have := l.said[k]
	if have == nil {
		have = &f
		l.said[k], l.findings = have, append(l.findings, have)
	}
	if len(have.who) == 0 || have.who[len(have.who)-1] != n { // they come in order
		have.who = append(have.who, n)
	}
	if !slices.Contains(have.what, what) {
		have.what = append(have.what, what)
	}
}

// session notes something about a neighbor's settings; its group tells it once.
func (l *linter) session(k kind, n *config.Neighbor, what string) {
	group := config.Pos{}
	if g := l.groups[n.Group]; g != nil {
		group = g.Pos
	}
	l.say(finding{kind: k, at: n.Pos}, key{k, what, group}, n, what)
}

// decided notes what a rule lets pass.
func (l *linter) decided(k kind, rule policy.Label, n *config.Neighbor, what string) {
	l.say(finding{kind: k, at: rule.Pos, rule: rule}, key{k, "", rule.Pos}, n, what)
}

// outside reports whether a session leaves the networks of one organisation:
// between two private AS numbers there is nobody to be careful of.
func (l *linter) outside(n *config.Neighbor) bool {
	return n.EBGP() && !n.Shutdown && !(private(n.Transport.ASN) && private(n.Transport.LocalASN))
}

// private is for private use (RFC 6996).
func private(asn uint32) bool {
	return 64512 <= asn && asn <= 65534 || 4200000000 <= asn && asn <= 4294967294
}

// documentation is for examples (RFC 5398).
func documentation(asn uint32) bool {
	return 64496 <= asn && asn <= 64511 || 65536 <= asn && asn <= 65551
}

// written reports whether a setting stands anywhere for a neighbor's family.
func (l *linter) written(n *config.Neighbor, f prefix.Family, has func(*config.Settings) bool) bool {
	from := []*config.Settings{&n.Own, n.OwnFamily[f]}
	if g := l.groups[n.Group]; g != nil {
		from = append(from, &g.Settings, g.Families[f])
	}
	return slices.ContainsFunc(from, func(s *config.Settings) bool { return s != nil && has(s) })
}

func (l *linter) limited(n *config.Neighbor, f prefix.Family) bool {
	return l.written(n, f, func(s *config.Settings) bool { return s.MaxPrefixes != nil })
}

func (l *linter) hasRole(n *config.Neighbor) bool {
	return l.written(n, prefix.IPv4, func(s *config.Settings) bool { return s.LocalRole != nil })
}

// settings judges what a neighbor has, without its policies.
func (l *linter) settings(n *config.Neighbor) {
	var without []string
	all := true
	for _, f := range families(n) {
		fam := &n.Families[f]
		switch {
		case len(fam.Import) == 0 || l.odd[oddity{n, "no " + limitOf(f)}]:
		case l.limited(n, f):
			all = false
		default:
			without = append(without, f.String())
		}
		if fam.DefaultOriginate && upwards(n) {
			l.session(defaultUp, n, n.Transport.Role.String())
		}
	}
	switch {
	case len(without) > 0 && all:
		l.session(noLimit, n, "")
	case len(without) > 0:
		l.session(noLimit, n, " for "+strings.Join(without, " and "))
	}
	if !l.hasRole(n) && !l.odd[oddity{n, "no " + theRole}] {
		l.session(noRole, n, "")
	}
}

// upwards reports whether a neighbor may get only our own and our customers'
// routes. A route server gives everybody's to all.
func upwards(n *config.Neighbor) bool {
	r := n.Transport.Role
	return r != config.RoleRS && (r.Relation() == policy.Provider || r.Relation() == policy.Peer)
}

func families(n *config.Neighbor) (all []prefix.Family) {
	for f, on := range n.Transport.Families {
		if on {
			all = append(all, prefix.Family(f))
		}
	}
	return all
}

func (l *linter) diagnostics() (ds config.Diagnostics) {
	for _, f := range l.findings {
		message, fix := f.text()
		ds = append(ds, config.Diagnostic{Severity: config.Warning, Pos: l.place(f), Message: message, Fix: fix})
	}
	ds.Sort()
	return ds
}

// place is that of the group if the whole group is meant.
func (l *linter) place(f *finding) config.Pos {
	if g := l.groups[f.who[0].Group]; g != nil && f.rule.Rule == "" && len(f.who) > 1 && len(f.who) == len(l.members(g.Name)) {
		return g.Pos
	}
	return f.at
}

// members are the neighbors of a group that are not shut down.
func (l *linter) members(group string) (all []*config.Neighbor) {
	for _, n := range l.all {
		if n.Group == group && !n.Shutdown {
			all = append(all, n)
		}
	}
	return all
}

func (f *finding) text() (message, fix string) {
	who, several := names(f.who)
	have := "has"
	if several {
		have = "have"
	}
	what := strings.Join(f.what[:min(len(f.what), 2)], " and ")
	if more := len(f.what) - 2; more > 0 && f.kind == ownAccepted {
		what += fmt.Sprintf(" and %d more", more)
	}
	rule := fmt.Sprintf("rule %q of policy %q", f.rule.Rule, f.rule.Policy)
	switch f.kind {
	case noLimit:
		return fmt.Sprintf("%s %s no max_prefixes%s: nothing stops a flood of routes", who, have, what),
			"add max_prefixes = 1000, well above what is expected, or max_prefixes = 0 if any number is meant"
	case noRole:
		return fmt.Sprintf("%s %s no local_role, so that no route leak is noticed (RFC 9234)", who, have),
			`add what we are to it: local_role = "customer", "provider", "peer", or "none" if it is none of them`
	case defaultUp:
		return fmt.Sprintf("%s: default_originate sends a default route to a network for which we are a %s", who, what),
			"remove it: default routes are for customers"
	case ownAccepted:
		return fmt.Sprintf("%s accepts %s from %s", rule, what, who),
			"reject it with all that is inside (le 32, le 128) in a rule before; if it is meant, accept it in a rule that names it"
	case bogonAccepted:
		return fmt.Sprintf("%s accepts addresses that nobody may announce, such as %s, from %s", rule, what, who),
			"reject prefix_set.builtin-bogons in a rule before; if some are meant, accept them in a rule that names them"
	case privateAccepted:
		return fmt.Sprintf("%s accepts routes with private AS numbers, such as the path %s, from %s", rule, what, who),
			"reject as_path_contains = as_set.builtin-bogon-asns in a rule before; if some are meant, accept them in a rule that names them"
	case anyAccepted:
		return fmt.Sprintf("%s accepts any prefix of customers (%s), who could take over whole networks", rule, who),
			"accept prefix = neighbor.prefixes only, and give the neighbor its prefixes; if any is meant, name them in that rule"
	case deafened:
		return fmt.Sprintf("%s rejects every route of %s, because its own AS number, %s, is a private one", rule, who, what),
			"for this neighbor, use a policy without that rule"
	case leak:
		return fmt.Sprintf("%s sends routes of %s to %s: a route leak (RFC 7908)", rule, what, who),
			`accept source = ["originated", "customer"] only; if it is meant, name the source in that rule`
	}
	return what, "make it like the others, or give it a group of its own"
}

// names are the neighbors of a warning, without listing many, and whether they
// are several.
func names(who []*config.Neighbor) (text string, several bool) {
	const most = 3
	group, kind := who[0].Group, "neighbors "
	var all []string
	for _, n := range who {
		name := fmt.Sprintf("neighbor %q", n.Name)
		if n.Range != "" {
			name, kind = fmt.Sprintf("neighbor_range %q", n.Range), ""
		}
		if n.Group != group {
			group = ""
		}
		if !slices.Contains(all, name) { // a range may be there for each family
			all = append(all, name)
		}
	}
	more := len(all) - most
	switch {
	case len(all) == 1:
		return all[0], false
	case more > 0 && group != "":
		return fmt.Sprintf("%d neighbors of group %q", len(all), group), true
	}
	if kind != "" {
		for i := range all {
			all[i] = strings.TrimPrefix(all[i], "neighbor ")
		}
	}
	if more > 0 {
		return fmt.Sprintf("%s%s and %d more", kind, strings.Join(all[:most], ", "), more), true
	}
	last := len(all) - 1
	return kind + strings.Join(all[:last], ", ") + " and " + all[last], true
}
