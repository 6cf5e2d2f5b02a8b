package daemon

import (
	"strings"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/lint"
	"holdfast/internal/policy"
	"holdfast/internal/rtr"
)

// TestPolicy tries a policy of a configuration on a route. What is running and
// what is only in a file are tried alike; known is what the router knows, if any.
func TestPolicy(cfg *config.Config, known *rtr.Sources, t api.PolicyTest) (api.PolicyResult, error) {
	p := cfg.Policy(t.Policy)
	if p == nil {
		var names []string
		for _, q := range cfg.Policies {
			names = append(names, q.Name)
		}
		return api.PolicyResult{}, api.NotFound("there is no policy %q; there are: %s", t.Policy, strings.Join(names, ", "))
	}
	from := policySource(t.Source)
	var paths policy.Verification
	ctx := policy.Context{ASN: cfg.Router.ASN, DefaultLocalPref: cfg.Router.DefaultLocalPref}
	for _, name := range []string{t.Neighbor, t.To} {
		if name == "" {
			continue
		}
		n := configured(cfg, name)
		if n == nil {
			return api.PolicyResult{}, api.NotFound("there is no neighbor %q", name)
		}
		// The slots are those of the other side of the session.
		ctx.Neighbor, ctx.Prefixes, ctx.OriginASNs, ctx.NeighborASN = n.Name, n.Prefixes, n.OriginASNs, n.Transport.ASN
		if name == t.Neighbor {
			from = policy.Source{Kind: policy.IBGP, Neighbor: n.Name, Group: n.Group, Relation: n.Transport.Role.Relation()}
			if n.EBGP() {
				from.Kind = policy.EBGP
			}
			paths = n.Verification()
		}
	}
	route := policy.Route{Attrs: &t.Attrs, Source: &from}
	if t.To == "" {
		ctx.From = &from
	}
	program, err := policy.Compile([]*policy.Policy{p}, ctx)
	if err != nil {
		hint := ""
		if t.Neighbor == "" && t.To == "" {
			hint = " with --neighbor or --to"
		}
		return api.PolicyResult{}, api.Invalid("cannot use policy %q: %s%s", t.Policy, err, hint)
	}
	route.Validity = validity(known.Table(), t.Prefix, t.Attrs.ASPath, cfg.Router.ASN)
	if t.RPKI != "" {
		if route.Validity, err = rpkiState("origin", t.RPKI); err != nil {
			return api.PolicyResult{}, err
		}
	}
	route.Path = paths.State(known.ASPAs(), t.Attrs.ASPath)
	if t.ASPA != "" {
		if route.Path, err = rpkiState("AS path", t.ASPA); err != nil {
			return api.PolicyResult{}, err
		}
	}
	steps, res := program.Explain(t.Prefix, &route)
	return api.PolicyResult{Accepted: res.Accept, Attrs: t.Attrs, Weight: res.Weight, Steps: policySteps(p, steps)}, nil
}

// policySteps lists the rules up to the one that decided, and the end of the
// policy if none did.
func policySteps(p *policy.Policy, steps []policy.Step) []api.PolicyStep {
	var out []api.PolicyStep
	for i, s := range steps {
		step := api.PolicyStep{
			Rule: api.RuleRef{Policy: s.Policy, Rule: s.Rule, Position: position(s.Pos)},
			Then: p.Rules[i].Then.String(), Matched: s.Matched, Changes: s.Changes,
		}
		step.Findings = findings(s.Why)
		out = append(out, step)
	}
	if n := len(steps); n > 0 && steps[n-1].Matched && steps[n-1].Then != policy.Continue {
		return out
	}
	return append(out, api.PolicyStep{
		Rule: api.RuleRef{Policy: p.Name, Position: position(p.Pos)}, Matched: true, Then: policy.Reject.String(),
	})
}

func findings(why []policy.Reason) (all []api.Finding) {
	for _, w := range why {
		all = append(all, api.Finding{Position: position(w.Pos), Text: w.Text})
	}
	return all
}

// configured finds a neighbor by name or address.
func configured(cfg *config.Config, name string) *config.Neighbor {
	for _, n := range cfg.Neighbors {
		if n.Name == name || n.Transport.Address.String() == name {
			return n
		}
	}
	return nil
}

func policySource(s api.Source) policy.Source {
	switch s {
	case api.SourceOriginated:
		return policy.Source{Kind: policy.Originated}
	case api.SourceKernel:
		return policy.Source{Kind: policy.Kernel}
	case api.SourceIBGP:
		return policy.Source{Kind: policy.IBGP}
	case api.SourceStatic:
		return policy.Source{Kind: policy.Static}
	case api.SourceConnected:
		return policy.Source{Kind: policy.Connected}
	case api.SourceCustomer:
		return policy.Source{Kind: policy.EBGP, Relation: policy.Customer}
	case api.SourceProvider:
		return policy.Source{Kind: policy.EBGP, Relation: policy.Provider}
	case api.SourcePeer:
		return policy.Source{Kind: policy.EBGP, Relation: policy.Peer}
	}
	return policy.Source{Kind: policy.EBGP}
}

func position(p policy.Pos) api.Position { return api.Position{File: p.File, Line: p.Line} }

// Check reads a configuration and finds what is wrong with it, and what it most
// likely does not mean.
func Check(path string) (*config.Config, config.Diagnostics) {
	cfg, ds := config.Load(path)
	if !ds.HasErrors() {
		ds = append(ds, lint.Check(cfg)...)
		ds.Sort()
	}
	return cfg, ds
}

// Diagnostics converts what was found about a configuration.
func Diagnostics(ds config.Diagnostics) []api.Diagnostic {
	var out []api.Diagnostic
	for _, d := range ds {
		out = append(out, api.Diagnostic{
			Warning: d.Severity == config.Warning, Position: position(d.Pos), Column: d.Pos.Column,
			Message: d.Message, Mend: d.Fix, Source: d.Source, Width: d.Width,
		})
	}
	return out
}
