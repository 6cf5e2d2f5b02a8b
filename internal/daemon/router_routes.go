package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// errEnough ends a query whose limit is reached.
var errEnough = errors.New("enough")

// Routes implements api.Router. Prefixes come in order, however many they are.
func (r *router) Routes(ctx context.Context, q api.RouteQuery, fn func(api.RouteInfo) error) error {
	s, err := r.selection(&q)
	if err != nil {
		return err
	}
	n := uint64(0)
	err = s.each(ctx, func(x *engine.Route) error {
		info, ok := s.info(x)
		if !ok {
			return nil
		}
		if err := fn(info); err != nil {
			return err
		}
		if n++; n == q.Limit {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// CountRoutes implements api.Router.
func (r *router) CountRoutes(ctx context.Context, q api.RouteQuery) (c api.RouteCount, err error) {
	s, err := r.selection(&q)
	if err != nil {
		return c, err
	}
	if s.filter == nil {
		for _, eq := range s.queries {
			prefixes, paths, err := r.engine.CountRoutes(ctx, eq)
			if err != nil {
				return c, err
			}
			c.Prefixes, c.Paths = c.Prefixes+prefixes, c.Paths+paths
		}
		return c, nil
	}
	for i := range s.queries {
		s.queries[i].Unsorted = true
	}
	last := prefix.Prefix{Bits: 0xff}
	err = s.each(ctx, func(x *engine.Route) error {
		if x.Prefix != last {
			last = x.Prefix
			c.Prefixes++
		}
		c.Paths++
		return nil
	})
	return c, err
}

// Lookup implements api.Router.
func (r *router) Lookup(ctx context.Context, table string, addr netip.Addr, fn func(api.RouteInfo) error) error {
	id, err := r.tableID(table)
	if err != nil {
		return err
	}
	s := r.shown()
	found, err := r.engine.Lookup(ctx, id, addr, func(x *engine.Route) error {
		if info, ok := s.info(x); ok {
			return fn(info)
		}
		return nil
	})
	if err == nil && !found {
		return api.NotFound("no route leads to %s", addr)
	}
	return err
}

// Explain implements api.Router.
func (r *router) Explain(ctx context.Context, table string, p prefix.Prefix, fn func(api.Candidate) error) error {
	id, err := r.tableID(table)
	if err != nil {
		return err
	}
	s := r.shown()
	found, err := r.engine.Explain(ctx, id, p, func(x *engine.Candidate) error {
		info, ok := s.info(&x.Route)
		if !ok {
			return nil
		}
		c := api.Candidate{RouteInfo: info, Findings: s.findings(&x.Route), Covering: covering(s.vrps, p, policy.Origin(x.Attrs.ASPath, s.cfg.Router.ASN))}
		if from := s.neighbors[x.Neighbor]; from != nil && s.aspas.Len() > 0 && from.Verification().Direction != rpki.Unverified {
			c.ASPA = x.Path.String()
		}
		if l := x.Lost; l != nil {
			c.Lost = &api.Decision{Step: int(l.Step), Rule: l.Step.String(), Detail: l.Detail}
			if n := s.neighbors[l.To]; n != nil {
				c.Lost.To = n.Name
			}
		}
		return fn(c)
	})
	if err == nil && !found {
		return api.NotFound("there is no route for exactly %s: lookup finds the one that covers an address", p)
	}
	return err
}

// Sending implements api.Router.
func (r *router) Sending(ctx context.Context, neighbor string, p prefix.Prefix) ([]api.Sending, error) {
	n, id, err := r.find(neighbor)
	if err != nil {
		return nil, err
	}
	list, err := r.engine.Sending(ctx, id, p)
	out := make([]api.Sending, len(list))
	for i := range list {
		out[i] = r.sending(n, p, &list[i])
	}
	return out, err
}

func (r *router) sending(n *config.Neighbor, p prefix.Prefix, x *engine.Sending) api.Sending {
	out := api.Sending{Neighbor: n.Name, PathID: x.PathID}
	switch {
	case !x.Up:
		out.Reason = fmt.Sprintf("there is no session for %s", p.Family)
	case x.Reason == export.Sent:
		out.Sent, out.Attrs = true, x.Attrs
	default:
		out.Reason = export.ReasonText(x.Reason)
	}
	if x.Rule.Policy != "" {
		out.Rule = &api.RuleRef{Policy: x.Rule.Policy, Rule: x.Rule.Rule, Position: position(x.Rule.Pos)}
	} else if chain := r.shown().cfg.Chain(n.Families[p.Family].Export); x.Reason == export.ByPolicy && len(chain) > 0 {
		last := chain[len(chain)-1] // its end
		out.Rule = &api.RuleRef{Policy: last.Name, Position: position(last.Pos)}
	}
	return out
}

// selection is a query that has been understood.
type selection struct {
	router    *router
	queries   []engine.Query  // one for each family
	filter    *policy.Program // that routes must pass; nil: all do
	scratch   policy.Scratch
	cfg       *config.Config
	neighbors map[packet.ID]*config.Neighbor
	vrps      *rpki.Table
	aspas     *rpki.ASPAs
	asSent    bool // as it is on the wire, not as the decision sees it
}

// shown is a selection that only shows.
func (r *router) shown() *selection {
	cfg, _, _ := r.current()
	return &selection{router: r, cfg: cfg, neighbors: r.names(), vrps: r.vrps.Table(), aspas: r.vrps.ASPAs()}
}

var views = map[api.View]engine.View{
	api.ViewTable: engine.ViewUsable, api.ViewBest: engine.ViewBest, api.ViewReceived: engine.ViewReceived,
	api.ViewRejected: engine.ViewRejected, api.ViewAdvertised: engine.ViewAdvertised,
}

var matches = map[api.PrefixMatch]engine.Match{
	api.MatchExact: engine.MatchExact, api.MatchLonger: engine.MatchLonger, api.MatchShorter: engine.MatchShorter,
}

func (r *router) selection(q *api.RouteQuery) (*selection, error) {
	s := r.shown()
	s.asSent = q.View != api.ViewTable && q.View != api.ViewBest
	view, ok := views[q.View]
	match, ok2 := matches[q.Match]
	if !ok || !ok2 {
		return nil, api.Invalid("there is no view %d with match %d", q.View, q.Match)
	}
	eq := engine.Query{View: view, Match: match, Prefix: q.Prefix}
	table := q.Table
	if q.Neighbor != "" {
		n, id, err := r.find(q.Neighbor)
		if err != nil {
			return nil, err
		}
		if eq.Neighbor = id; table == "" {
			table = n.Table
		}
	} else if q.View == api.ViewAdvertised {
		return nil, api.Invalid("routes are advertised to a neighbor: name one")
	}
	var err error
	if eq.Table, err = r.tableID(table); err != nil {
		return nil, err
	}
	for _, f := range families {
		if (q.Family == nil || *q.Family == f) && (q.Prefix == nil || q.Prefix.Family == f) {
			eq.Family = f
			s.queries = append(s.queries, eq)
		}
	}
	s.filter, err = routeFilter(q, s.cfg)
	return s, err
}

// routeFilter makes a policy of what a query asks of attributes, so that it
// means what it means in the configuration.
func routeFilter(q *api.RouteQuery, cfg *config.Config) (*policy.Program, error) {
	var m policy.Match
	if len(q.Communities) > 0 {
		set := &policy.CommunitySet{}
		for _, c := range q.Communities {
			if err := set.Add(c, policy.Pos{}); err != nil {
				return nil, api.Invalid("%v", err)
			}
		}
		m.Conditions = append(m.Conditions, policy.Condition{Kind: policy.CondCommunityAll, Communities: []*policy.CommunitySet{set}})
	}
	if q.ASPath != "" {
		set := &policy.ASPathSet{}
		if err := set.Add(q.ASPath, policy.Pos{}); err != nil {
			return nil, api.Invalid("%v", err)
		}
		m.Conditions = append(m.Conditions, policy.Condition{Kind: policy.CondASPath, Patterns: []*policy.ASPathSet{set}})
	}
	if q.OriginAS != nil {
		set := &policy.ASSet{}
		set.Add(policy.Range{Min: *q.OriginAS, Max: *q.OriginAS}, policy.Pos{})
		m.Conditions = append(m.Conditions, policy.Condition{Kind: policy.CondASPathOrigin, ASNs: []*policy.ASSet{set}})
	}
	if len(q.RPKI) > 0 {
		var states []rpki.State
		for _, word := range q.RPKI {
			state, err := rpkiState("origin", word)
			if err != nil {
				return nil, err
			}
			states = append(states, state)
		}
		m.Conditions = append(m.Conditions, policy.Condition{Kind: policy.CondRPKI, States: states})
	}
	if len(m.Conditions) == 0 {
		return nil, nil
	}
	p := &policy.Policy{Name: "query", Rules: []policy.Rule{{Name: "query", Match: []policy.Match{m}, Then: policy.Accept}}}
	program, err := policy.Compile([]*policy.Policy{p}, policy.Context{ASN: cfg.Router.ASN, From: &policy.Source{}})
	if err != nil {
		return nil, api.Invalid("%v", err)
	}
	return program, nil
}

// each calls fn for what is selected.
func (s *selection) each(ctx context.Context, fn func(*engine.Route) error) error {
	for _, q := range s.queries {
		err := s.router.engine.Routes(ctx, q, func(x *engine.Route) error {
			if s.filter != nil && !s.passes(x) {
				return nil
			}
			return fn(x)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// passes asks the filter, which asks nothing else of the prefix.
func (s *selection) passes(x *engine.Route) bool {
	variant := uint32(0)
	if s.filter.Validates() {
		variant = policy.Validated(variant, s.validity(x))
	}
	return s.filter.Eval(variant, &policy.Route{Attrs: &x.Attrs}, &s.scratch).Accept
}

func (s *selection) validity(x *engine.Route) rpki.State {
	return validity(s.vrps, x.Prefix, x.Attrs.ASPath, s.cfg.Router.ASN)
}

// info shows a route. It is false for one of a neighbor that a new
// configuration has just removed.
func (s *selection) info(x *engine.Route) (api.RouteInfo, bool) {
	out := api.RouteInfo{
		Prefix: x.Prefix, PathID: x.PathID, Source: apiSource(x.Source), Interface: x.Interface, Status: api.StatusBackup,
		Attrs: x.Attrs, Discard: x.Discard, Weight: x.Weight, Learned: x.Learned, Stale: x.Stale,
	}
	if s.vrps != nil {
		out.RPKI = s.validity(x).String()
	}
	from := s.neighbors[x.Neighbor]
	if from != nil {
		out.Neighbor, out.NeighborAddress, out.Source = from.Name, from.Transport.Address, apiSource(source(from))
	} else if x.Neighbor != 0 {
		return out, false
	}
	if !s.asSent && !x.Rejected && out.Attrs.Has&wire.HasLocalPref == 0 {
		out.Attrs.Has |= wire.HasLocalPref
		out.Attrs.LocalPref = s.cfg.Router.DefaultLocalPref
	}
	switch {
	case x.Rejected:
		out.Status, out.Reason = api.StatusRejected, engine.ReasonText(x.Reason)
	case x.Unreachable != "":
		out.Status, out.Reason = api.StatusUnreachable, x.Unreachable
	case x.Best:
		out.Status = api.StatusBest
	}
	if x.Judged {
		out.Rule = s.rule(x, from)
	}
	return out, true
}

// rule is the rule that decided about a route, or the end of its policies.
func (s *selection) rule(x *engine.Route, from *config.Neighbor) *api.RuleRef {
	if x.Rule.Policy != "" {
		return &api.RuleRef{Policy: x.Rule.Policy, Rule: x.Rule.Rule, Position: position(x.Rule.Pos)}
	}
	if from == nil {
		return nil
	}
	// Nothing that is advertised was rejected, so the end is one of import.
	chain := s.cfg.Chain(from.Families[x.Prefix.Family].Import)
	if len(chain) == 0 {
		return nil
	}
	last := chain[len(chain)-1]
	return &api.RuleRef{Policy: last.Name, Position: position(last.Pos)}
}

// findings is what the rule that rejected a route found, such as the entry of a
// set. There are none if the policy has changed since.
func (s *selection) findings(x *engine.Route) []api.Finding {
	from := s.neighbors[x.Neighbor]
	if !x.Rejected || x.Rule.Policy == "" || from == nil {
		return nil
	}
	src := source(from)
	p, err := compile(s.cfg, from, from.Families[x.Prefix.Family].Import, &src)
	if err != nil || p == nil {
		return nil
	}
	attrs := x.Attrs
	steps, _ := p.Explain(x.Prefix, &policy.Route{Attrs: &attrs, Source: &src, Validity: s.validity(x), Path: from.Verification().State(s.aspas, attrs.ASPath)})
	if n := len(steps); n > 0 && steps[n-1].Matched && steps[n-1].Label == x.Rule {
		return findings(steps[n-1].Why)
	}
	return nil
}

func apiSource(s policy.Source) api.Source {
	switch {
	case s.Kind == policy.Originated:
		return api.SourceOriginated
	case s.Kind == policy.Kernel:
		return api.SourceKernel
	case s.Kind == policy.IBGP:
		return api.SourceIBGP
	case s.Kind == policy.Static:
		return api.SourceStatic
	case s.Kind == policy.Connected:
		return api.SourceConnected
	case s.Relation == policy.Customer:
		return api.SourceCustomer
	case s.Relation == policy.Provider:
		return api.SourceProvider
	case s.Relation == policy.Peer:
		return api.SourcePeer
	}
	return api.SourceEBGP
}
