package lint

import (
	"fmt"
	"slices"

	"holdfast/internal/config"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// program is a compiled import or export policy of a neighbor.
type program struct {
	*policy.Program
	chain []*policy.Policy
	slot  *policy.PrefixSet
}

type side struct {
	n *config.Neighbor
	f prefix.Family
}

// importOf is nil for a neighbor from which nothing is accepted.
func (l *linter) importOf(n *config.Neighbor, f prefix.Family) *program {
	from := source(n)
	return l.program(l.imports, n, f, n.Families[f].Import, &from)
}

// exportOf is nil for a neighbor to which nothing is sent.
func (l *linter) exportOf(n *config.Neighbor, f prefix.Family) *program {
	return l.program(l.exports, n, f, n.Families[f].Export, nil)
}

func (l *linter) program(known map[side]*program, n *config.Neighbor, f prefix.Family, names []string, from *policy.Source) *program {
	if p, ok := known[side{n, f}]; ok {
		return p
	}
	var out *program
	chain := l.cfg.Chain(names)
	p, err := policy.Compile(chain, policy.Context{
		ASN: l.cfg.Router.ASN, DefaultLocalPref: l.cfg.Router.DefaultLocalPref, From: from, Neighbor: n.Name, Prefixes: n.Prefixes, OriginASNs: n.OriginASNs, NeighborASN: n.Transport.ASN,
	})
	if err == nil && len(chain) > 0 { // errors are told by whoever runs it
		out = &program{p, chain, n.Prefixes}
	}
	known[side{n, f}] = out
	return out
}

func source(n *config.Neighbor) policy.Source {
	s := policy.Source{Kind: policy.IBGP, Neighbor: n.Name, Group: n.Group, Relation: n.Transport.Role.Relation()}
	if n.EBGP() {
		s.Kind = policy.EBGP
	}
	return s
}

// judge asks a program about a route, which it changes, and says which rule
// decided.
func (p *program) judge(x prefix.Prefix, a *wire.Attrs, from *policy.Source) (accepted bool, rule policy.Label) {
	// The scratch is not used again: what the route has from it stays.
	r := p.Eval(p.Variant(x), &policy.Route{Attrs: a, Source: from}, &policy.Scratch{})
	rule, _ = p.Last(r.Trace)
	return r.Accept, rule
}

// accepts reports whether a route with this path is accepted, and by which rule.
func (p *program) accepts(x prefix.Prefix, path ...uint32) (bool, policy.Label) {
	a := attributes(path...)
	return p.judge(x, &a, nil)
}

func attributes(path ...uint32) wire.Attrs {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}
	for _, asn := range slices.Backward(path) {
		a.ASPath = wire.Prepend(nil, a.ASPath, asn, 1)
	}
	return a
}

// rule finds the rule of a label.
func (p *program) rule(label policy.Label) *policy.Rule {
	for _, c := range p.chain {
		for i := range c.Rules {
			if c.Name == label.Policy && c.Rules[i].Name == label.Rule {
				return &c.Rules[i]
			}
		}
	}
	return nil
}

// conditions are all of a rule, those of its not blocks too.
func conditions(r *policy.Rule) (all []*policy.Condition) {
	var visit func(matches []policy.Match)
	visit = func(matches []policy.Match) {
		for i := range matches {
			for j := range matches[i].Conditions {
				all = append(all, &matches[i].Conditions[j])
			}
			visit(matches[i].Not)
		}
	}
	visit(r.Match)
	return all
}

// names reports whether a policy of the chain is written with x in mind: an
// entry inside of a block has it.
func (p *program) names(x, inside prefix.Prefix) bool {
	for _, c := range p.chain {
		for i := range c.Rules {
			for _, cond := range conditions(&c.Rules[i]) {
				if cond.Kind != policy.CondPrefix {
					continue
				}
				sets := cond.Prefixes
				if cond.Slot {
					sets = append(slices.Clone(sets), p.slot)
				}
				for _, s := range sets {
					if !s.Contains(x) { // asked of an index; All is not
						continue
					}
					for e := range s.All() {
						if e.Contains(x) && inside.Covers(e.Prefix) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// namesPrivate reports whether a policy of the chain is written with a private
// AS number in mind.
func (p *program) namesPrivate(asn uint32) bool {
	for _, c := range p.chain {
		for i := range c.Rules {
			for _, cond := range conditions(&c.Rules[i]) {
				for _, s := range cond.ASNs {
					for r := range s.All() {
						if r.Contains(asn) && private(r.Min) && private(r.Max) {
							return true
						}
					}
				}
			}
		}
	}
	return false
}

// mostOwn is how many of our own prefixes are tried with each policy.
const mostOwn = 256

// collectOwn finds what nobody else may announce to us: what we announce
// ourselves, and what is protected unless a neighbor has it.
func (l *linter) collectOwn() {
	var all []prefix.Prefix
	for _, o := range l.cfg.Originates {
		all = append(all, o.List...)
	}
	for _, a := range l.cfg.Aggregates {
		all = append(all, a.Prefix)
	}
	for _, p := range l.cfg.Protects {
		if p.Prefixes.Set == nil {
			continue
		}
		for e := range p.Prefixes.Set.All() {
			if !slices.ContainsFunc(l.all, func(n *config.Neighbor) bool { return n.Prefixes != nil && n.Prefixes.Contains(e.Prefix) }) {
				all = append(all, e.Prefix)
			}
		}
	}
	// Who announces a default route does not say that it is his.
	all = slices.DeleteFunc(all, func(p prefix.Prefix) bool { return p.Bits == 0 })
	slices.SortFunc(all, prefix.Compare)
	all = slices.Compact(all)
	for i := range min(len(all), mostOwn) {
		l.own = append(l.own, all[i*len(all)/min(len(all), mostOwn)])
	}
}

// parts are a prefix and some that are inside of it.
func parts(p prefix.Prefix) []prefix.Prefix {
	all := []prefix.Prefix{p}
	usual := uint8(24) // as long as others accept
	if p.Family == prefix.IPv6 {
		usual = 48
	}
	for _, bits := range []uint8{p.Bits + 1, usual} {
		if bits > all[len(all)-1].Bits && bits <= p.Family.MaxBits() {
			all = append(all, prefix.New(p.Family, p.Hi, p.Lo, bits))
		}
	}
	return all
}

// usual are prefixes as many on the Internet are.
var usual = [prefix.Families][]prefix.Prefix{
	{prefix.MustParse("45.91.0.0/16"), prefix.MustParse("91.201.12.0/22"), prefix.MustParse("193.0.0.0/21")},
	{prefix.MustParse("2001:67c:2e8::/48"), prefix.MustParse("2606:4700::/44"), prefix.MustParse("2a00:1450::/32")},
}

// bogons are blocks that nobody may announce, and what may come of them: more
// than the block itself, which is all that some filters know.
var bogons = [prefix.Families][]struct {
	block  prefix.Prefix
	routes []prefix.Prefix
}{
	{
		{prefix.MustParse("10.0.0.0/8"), []prefix.Prefix{prefix.MustParse("10.0.0.0/8"), prefix.MustParse("10.20.30.0/24")}},
		{prefix.MustParse("192.168.0.0/16"), []prefix.Prefix{prefix.MustParse("192.168.20.0/24")}},
	},
	{
		{prefix.MustParse("fc00::/7"), []prefix.Prefix{prefix.MustParse("fd00::/16"), prefix.MustParse("fd12:3456:789a::/48")}},
	},
}

const (
	someASN    = 3333  // the origin of the routes that are tried
	privateASN = 65010 // one on their way
)

// accepted judges what an import policy does with routes that should not come.
func (l *linter) accepted(n *config.Neighbor) {
	for _, f := range families(n) {
		p := l.importOf(n, f)
		if p == nil {
			continue
		}
		// try notes that a policy accepts one of some routes, which are inside of
		// a block, unless that is meant.
		try := func(k kind, block prefix.Prefix, routes []prefix.Prefix, what func(prefix.Prefix) string) {
			for _, x := range routes {
				ok, rule := p.accepts(x, n.Transport.ASN, someASN)
				if ok && !(n.Prefixes != nil && n.Prefixes.Contains(x)) && !p.names(x, block) {
					l.decided(k, rule, n, what(x))
					return
				}
			}
		}
		for _, own := range l.own {
			if own.Family == f {
				try(ownAccepted, own, parts(own), func(x prefix.Prefix) string {
					if x == own {
						return "our own " + own.String()
					}
					return x.String() + " of our own " + own.String()
				})
			}
		}
		if n.Transport.Role.Relation() == policy.Customer && l.acceptedAny(n, p, f) {
			continue // which says it all
		}
		for _, b := range bogons[f] {
			if !slices.ContainsFunc(l.own, b.block.Covers) { // as in a laboratory
				try(bogonAccepted, b.block, b.routes, prefix.Prefix.String)
			}
		}
		l.acceptedPaths(n, p, f)
	}
}

// acceptedPaths judges what comes of private AS numbers on the way.
func (l *linter) acceptedPaths(n *config.Neighbor, p *program, f prefix.Family) {
	x, asn := usual[f][0], n.Transport.ASN
	// A policy that is careful about paths would reject all of a neighbor that
	// has such a number itself.
	if !l.cfg.BogonASNs().Contains(asn) {
		if ok, rule := p.accepts(x, asn, privateASN, someASN); ok && !p.namesPrivate(privateASN) {
			l.decided(privateAccepted, rule, n, fmt.Sprintf("\"%d %d %d\"", asn, privateASN, someASN))
		}
		return
	}
	// With numbers for documentation it is an example.
	if was, _ := p.accepts(x, someASN); was && !documentation(asn) {
		if ok, rule := p.accepts(x, asn, someASN); !ok && rule.Rule != "" {
			l.decided(deafened, rule, n, fmt.Sprint(asn))
		}
	}
}

// acceptedAny judges whether a customer may announce what it likes.
func (l *linter) acceptedAny(n *config.Neighbor, p *program, f prefix.Family) bool {
	var by policy.Label
	for _, x := range usual[f] {
		ok, rule := p.accepts(x, n.Transport.ASN)
		r := p.rule(rule)
		if !ok || r == nil || slices.ContainsFunc(conditions(r), func(c *policy.Condition) bool { return c.Kind == policy.CondPrefix }) {
			return false
		}
		by = rule
	}
	l.decided(anyAccepted, by, n, "")
	return true
}

// leaks finds export policies that send routes of a provider or peer to
// another one. The routes come through the import policies, which may mark them.
func (l *linter) leaks() {
	type route struct {
		from *config.Neighbor
		x    prefix.Prefix
		a    wire.Attrs
	}
	type origin struct {
		relation policy.Relation
		group    string
		key      string
	}
	var routes [prefix.Families][]route
	seen := [prefix.Families]map[origin]int{{}, {}}
	for _, n := range l.all {
		if !l.outside(n) || !upwards(n) {
			continue
		}
		for _, f := range families(n) {
			p := l.importOf(n, f)
			if p == nil {
				continue
			}
			// Two of each kind: one may be where the routes go.
			o := origin{n.Transport.Role.Relation(), n.Group, p.Key()}
			if seen[f][o]++; seen[f][o] > 2 {
				continue
			}
			for _, x := range usual[f] {
				a := attributes(n.Transport.ASN, someASN)
				if ok, _ := p.judge(x, &a, nil); ok {
					routes[f] = append(routes[f], route{n, x, a})
				}
			}
		}
	}
	for _, n := range l.all {
		if !l.outside(n) || !upwards(n) {
			continue
		}
		for _, f := range families(n) {
			p := l.exportOf(n, f)
			if p == nil {
				continue
			}
			for _, r := range routes[f] {
				if r.from == n {
					continue
				}
				a, from := r.a, source(r.from)
				if ok, rule := p.judge(r.x, &a, &from); ok && !namesSource(p.rule(rule), &from) {
					l.decided(leak, rule, n, word(&from).String()+"s")
				}
			}
		}
	}
}

// word is what policies call a provider or peer.
func word(from *policy.Source) policy.SourceName {
	if from.Relation == policy.Peer {
		return policy.FromPeer
	}
	return policy.FromProvider
}

// namesSource reports whether a rule is written with routes from there in mind.
func namesSource(r *policy.Rule, from *policy.Source) bool {
	return r != nil && slices.ContainsFunc(conditions(r), func(c *policy.Condition) bool {
		return c.Kind == policy.CondSource && slices.Contains(c.Sources, word(from)) ||
			c.Kind == policy.CondNeighbor && slices.Contains(c.Names, from.Neighbor) ||
			c.Kind == policy.CondGroup && slices.Contains(c.Names, from.Group)
	})
}
