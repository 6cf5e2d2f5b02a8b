package policy

import "slices"

// maxTraces bounds what is kept about combinations of rules. A neighbor could
// make a new one with every route.
const maxTraces = 1 << 16

// traces numbers the sequences of rules that have selected routes: each is
// another one and one rule more. Trace 0 is no rule at all.
type traces struct {
	before []trace
	next   map[trace]uint32
	hits   []uint64
}

type trace struct{ before, rule uint32 }

// follow is the trace of a route that rule selects after those of t.
func (ts *traces) follow(t uint32, rule int) uint32 {
	k := trace{t, uint32(rule)}
	if n, ok := ts.next[k]; ok {
		return n
	}
	if len(ts.before) >= maxTraces && t != 0 {
		return ts.follow(0, rule) // only the last rule is counted then
	}
	if ts.next == nil {
		ts.next, ts.before = map[trace]uint32{}, make([]trace, 1)
	}
	n := uint32(len(ts.before))
	ts.next[k], ts.before = n, append(ts.before, k)
	return n
}

// Count adds n routes to the hits of the rules of a Trace.
func (p *Program) Count(t uint32, n uint64) {
	if int(t) >= len(p.hits) {
		p.hits = append(p.hits, make([]uint64, int(t)+1-len(p.hits))...)
	}
	p.hits[t] += n
}

// RuleHits is how many routes a rule has selected.
type RuleHits struct {
	Label
	Hits uint64
}

// Hits is the count of every rule, in the order of the chain.
func (p *Program) Hits() []RuleHits {
	out := make([]RuleHits, len(p.rules))
	for i := range p.rules {
		out[i].Label = p.rules[i].label
	}
	for t, n := range p.hits {
		for at := uint32(t); n > 0 && at != 0; at = p.before[at].before {
			out[p.before[at].rule].Hits += n
		}
	}
	return out
}

// Matched is the rules of a Trace, in order: the last one decided. If it is
// empty, or the last one continues, the end of the chain rejected the route.
func (p *Program) Matched(t uint32) []Label {
	var out []Label
	for ; t != 0; t = p.before[t].before {
		out = append(out, p.rules[p.before[t].rule].label)
	}
	slices.Reverse(out)
	return out
}

// Last is the rule of a Trace that decided. It is false if none did, so that
// the end of the chain rejected the route.
func (p *Program) Last(t uint32) (Label, bool) {
	if t == 0 {
		return Label{}, false
	}
	r := &p.rules[p.before[t].rule]
	return r.label, r.then != Continue
}

// Ends is how many routes came to the end of each policy of the chain, because
// no rule of it or before it decided. A policy without rules is left out.
func (p *Program) Ends() map[string]uint64 {
	out := map[string]uint64{}
	for i := range p.rules {
		if i == len(p.rules)-1 || p.rules[i+1].label.Policy != p.rules[i].label.Policy {
			out[p.rules[i].label.Policy] += p.passed(i)
		}
	}
	return out
}

// passed is how many routes no rule up to this one has decided about.
func (p *Program) passed(rule int) (sum uint64) {
	for t, n := range p.hits {
		decided := false
		if t > 0 {
			last := int(p.before[t].rule)
			decided = last <= rule && p.rules[last].then != Continue
		}
		if !decided {
			sum += n
		}
	}
	return sum
}
