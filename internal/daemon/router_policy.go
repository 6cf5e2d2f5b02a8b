package daemon

import (
	"context"
	"slices"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/policy"
)

// Policies implements api.Router.
func (r *router) Policies(ctx context.Context, name string) ([]api.Policy, error) {
	cfg, _, _ := r.current()
	if name != "" && cfg.Policy(name) == nil {
		return nil, api.NotFound("there is no policy %q", name)
	}
	hits, err := r.engine.Hits(ctx)
	if err != nil {
		return nil, err
	}
	var all []api.Policy
	for _, p := range cfg.Policies {
		if name != "" && p.Name != name {
			continue
		}
		h := hits[p.Name]
		if h == nil {
			h = &engine.PolicyHits{} // nobody has it
		}
		out := showPolicy(p, h)
		for _, n := range cfg.Neighbors {
			if uses(n, p.Name, func(f *config.Family) []string { return f.Import }) {
				out.ImportOf = append(out.ImportOf, n.Name)
			}
			if uses(n, p.Name, func(f *config.Family) []string { return f.Export }) {
				out.ExportOf = append(out.ExportOf, n.Name)
			}
		}
		out.UsedBy = usedBy(cfg, p.Name)
		all = append(all, out)
	}
	return all, nil
}

// usedBy lists what uses a policy beside neighbors, and as what.
func usedBy(cfg *config.Config, name string) (all []string) {
	has := func(policies []string, what string) {
		if slices.Contains(policies, name) {
			all = append(all, what)
		}
	}
	for _, t := range cfg.Tables {
		has(t.Install, "table "+t.Name+" (install)")
		has(t.Redistribute, "table "+t.Name+" (redistribute)")
		for _, i := range t.Imports {
			has(i.Policy, "table "+t.Name+" (import from "+i.From+")")
		}
	}
	for _, g := range cfg.Ranges {
		if uses(g.Example, name, func(f *config.Family) []string { return f.Import }) {
			all = append(all, "neighbor_range "+g.Name+" (import)")
		}
		if uses(g.Example, name, func(f *config.Family) []string { return f.Export }) {
			all = append(all, "neighbor_range "+g.Name+" (export)")
		}
	}
	for _, o := range cfg.Originates {
		has(o.Policy, "originate "+o.Name)
	}
	for _, a := range cfg.Aggregates {
		has(a.Policy, "aggregate "+a.Name)
	}
	return all
}

func showPolicy(p *policy.Policy, h *engine.PolicyHits) api.Policy {
	out := api.Policy{Name: p.Name, Position: position(p.Pos), DefaultHits: h.End}
	for i := range p.Rules {
		r := &p.Rules[i]
		rule := api.Rule{Name: r.Name, Position: position(r.Pos), Then: r.Then.String(), Hits: h.Rules[r.Name]}
		rule.Match, rule.Set = config.Describe(r)
		out.Rules = append(out.Rules, rule)
	}
	return out
}

// uses reports whether a neighbor has a policy in one of its families.
func uses(n *config.Neighbor, name string, of func(*config.Family) []string) bool {
	for _, f := range families {
		if n.Transport.Families[f] && slices.Contains(of(&n.Families[f]), name) {
			return true
		}
	}
	return false
}

// TestPolicy implements api.Router.
func (r *router) TestPolicy(_ context.Context, t api.PolicyTest) (api.PolicyResult, error) {
	cfg, _, _ := r.current()
	return TestPolicy(cfg, r.vrps, t)
}
