package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
	"holdfast/internal/view"
)

func (a *app) showCommand() *cobra.Command {
	return parent("show", "Look at the running router",
		a.showSummary(), a.showNeighbors(), a.showNeighbor(), a.showRoutes(), a.showPolicy(), a.showAnnouncements(), a.showNextHops(), a.showRPKI(), a.showBFD(), a.showMemory())
}

func (a *app) showSummary() *cobra.Command {
	return &cobra.Command{
		Use: "summary", Short: "The router at a glance", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.GetSummary(ctx, connect.NewRequest(&pb.GetSummaryRequest{}))
				return show(m, err, a.view().Summary)
			})
		},
	}
}

// show shows an answer.
func show[T any](m *connect.Response[T], err error, how func(*T) error) error {
	if err != nil {
		return err
	}
	return how(m.Msg)
}

func (a *app) showNeighbors() *cobra.Command {
	var tags []string
	c := &cobra.Command{
		Use: "neighbors", Short: "All neighbors with state and counts", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.ListNeighbors(ctx, connect.NewRequest(&pb.ListNeighborsRequest{}))
				if err == nil {
					m.Msg.Neighbors = slices.DeleteFunc(m.Msg.Neighbors, func(n *pb.Neighbor) bool {
						return slices.ContainsFunc(tags, func(tag string) bool { return !slices.Contains(n.Tags, tag) })
					})
				}
				return show(m, err, a.view().Neighbors)
			})
		},
	}
	c.Flags().StringArrayVar(&tags, "tag", nil, "only those with this `tag`; all of them if repeated")
	complete(c, "tag", a.completeTags)
	return c
}

func (a *app) showNeighbor() *cobra.Command {
	return &cobra.Command{
		Use: "neighbor NAME", Short: "All about one neighbor, by name or address", Args: between(1, 1),
		ValidArgsFunction: a.completeNeighbors(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.GetNeighbor(ctx, connect.NewRequest(&pb.GetNeighborRequest{Neighbor: args[0]}))
				return show(m, err, a.view().Neighbor)
			})
		},
	}
}

func (a *app) showPolicy() *cobra.Command {
	return &cobra.Command{
		Use: "policy [NAME]", Short: "Policies, their rules and how often each was hit", Args: between(0, 1),
		ValidArgsFunction: a.completePolicies,
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.ListPolicies(ctx, connect.NewRequest(&pb.ListPoliciesRequest{Policy: strings.Join(args, "")}))
				return show(m, err, a.view().Policies)
			})
		},
	}
}

func (a *app) showBFD() *cobra.Command {
	return &cobra.Command{
		Use: "bfd", Short: "The neighbors that BFD watches", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.ListBfd(ctx, connect.NewRequest(&pb.ListBfdRequest{}))
				return show(m, err, a.view().BFD)
			})
		},
	}
}

func (a *app) showNextHops() *cobra.Command {
	unreachable := false
	c := &cobra.Command{
		Use: "nexthops", Short: "The next hops of all paths, and how each is reached", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.ListNextHops(ctx, connect.NewRequest(&pb.ListNextHopsRequest{}))
				if err == nil && unreachable {
					m.Msg.NextHops = slices.DeleteFunc(m.Msg.NextHops, (*pb.NextHop).GetReachable)
				}
				return show(m, err, func(m *pb.ListNextHopsResponse) error { return a.view().NextHops(m, unreachable) })
			})
		},
	}
	c.Flags().BoolVar(&unreachable, "unreachable", false, "only those that cannot be reached")
	return c
}

var rpkiStates = cobra.FixedCompletions([]string{"valid", "invalid", "unknown"}, cobra.ShellCompDirectiveNoFileComp)

func (a *app) showRPKI() *cobra.Command {
	var origin asNumber
	c := &cobra.Command{
		Use: "rpki [PREFIX]", Short: "The sources of VRPs, and what they say of a prefix", Args: between(0, 1),
		Long: `Shows where VRPs and ASPAs come from and how these sources are. With a prefix it
shows instead the VRPs that cover it, and whether --origin-as may originate it.`,
		Example: `  holdfast show rpki
  holdfast show rpki 193.0.0.0/21 --origin-as 3333`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && c.Flags().Changed("origin-as") {
				return errors.New("--origin-as needs a prefix")
			}
			req := &pb.GetRPKIRequest{Prefix: strings.Join(args, ""), Asn: uint32(origin)}
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.GetRPKI(ctx, connect.NewRequest(req))
				return show(m, err, func(m *pb.GetRPKIResponse) error { return a.view().RPKI(m, req) })
			})
		},
	}
	c.Flags().Var(&origin, "origin-as", "the `AS` that originates it")
	return c
}

// tableFlag lets a command ask about another table.
func (a *app) tableFlag(c *cobra.Command, to *string) {
	c.Flags().StringVar(to, "table", "", "of this `table`; if not given the main one")
	complete(c, "table", a.completeTables)
}

func (a *app) showMemory() *cobra.Command {
	return &cobra.Command{
		Use: "memory", Short: "What takes how much memory", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.GetMemory(ctx, connect.NewRequest(&pb.GetMemoryRequest{}))
				return show(m, err, a.view().Memory)
			})
		},
	}
}

// routeFlags are the flags of show routes.
type routeFlags struct {
	longer, shorter                      bool
	best, received, rejected, advertised bool
	count, communities                   bool
	family                               string
	originAS                             asNumber
	query                                pb.RouteQuery
	limit                                uint64
}

func (a *app) showRoutes() *cobra.Command {
	o := &routeFlags{}
	c := &cobra.Command{
		Use:   "routes [PREFIX]",
		Short: "Routes, filtered by what they are",
		Long: `Shows the paths that may be used, the best of each prefix marked with ">".
Of --best, --received, --rejected and --advertised one can be given. What is
rejected is marked "x" and what has an unreachable next hop "!".`,
		Example: `  holdfast show routes 203.0.113.0/24 --longer
  holdfast show routes --neighbor transit-a --rejected
  holdfast show routes --neighbor customer-7 --advertised --count
  holdfast show routes --community 64500:100 --origin-as 64496 --family ipv6`,
		Args: between(0, 1),
	}
	f := c.Flags()
	f.BoolVar(&o.longer, "longer", false, "the prefix and all inside it")
	f.BoolVar(&o.shorter, "shorter", false, "the prefix and all that cover it")
	f.BoolVar(&o.best, "best", false, "only the best path of each prefix")
	f.BoolVar(&o.received, "received", false, "what neighbors sent, before policy")
	f.BoolVar(&o.rejected, "rejected", false, "what was rejected, and why")
	f.BoolVar(&o.advertised, "advertised", false, "what --neighbor is sent")
	f.BoolVar(&o.count, "count", false, "only how many there are")
	f.BoolVar(&o.communities, "communities", false, "show communities as well")
	f.StringVar(&o.family, "family", "", "only this `family`, ipv4 or ipv6")
	a.tableFlag(c, &o.query.Table)
	f.StringVar(&o.query.Neighbor, "neighbor", "", "only of this neighbor, by `name` or address")
	f.StringArrayVar(&o.query.Communities, "community", nil, "only with this `community`, such as 64500:100 or 64500:*; all if repeated")
	f.StringVar(&o.query.AsPath, "as-path", "", "only where this `pattern` describes the whole AS path, such as \"64601 .*\" or \".* 3356 .*\"")
	f.Var(&o.originAS, "origin-as", "only from this origin `AS`, the last of the path")
	f.StringArrayVar(&o.query.Rpki, "rpki", nil, "only with this `state` of the origin: valid, invalid or unknown; any of them if repeated")
	f.Uint64Var(&o.limit, "limit", 0, "no more than this `number` of paths")
	complete(c, "neighbor", a.completeNeighborFlag)
	complete(c, "rpki", rpkiStates)
	complete(c, "family", cobra.FixedCompletions([]string{"ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp))
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := cmp.Or(oneOf(c, "longer", "shorter"), oneOf(c, "best", "received", "rejected", "advertised"),
			oneOf(c, "count", "limit"), o.finish(args, c.Flags().Changed("origin-as"))); err != nil {
			return err
		}
		if o.count {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.CountRoutes(ctx, connect.NewRequest(&pb.CountRoutesRequest{Query: &o.query}))
				return show(m, err, a.view().RouteCount)
			})
		}
		return a.listRoutes(c.Context(), o)
	}
	return c
}

// finish makes a query of the flags.
func (o *routeFlags) finish(args []string, origin bool) error {
	q := &o.query
	if len(args) > 0 {
		q.Prefix = args[0]
	}
	if f, given, err := parseFamily(o.family); err != nil {
		return err
	} else if given {
		q.Family = pb.Family_FAMILY_IPV4 + pb.Family(f)
	}
	switch {
	case o.longer:
		q.Match = pb.PrefixMatch_PREFIX_MATCH_LONGER
	case o.shorter:
		q.Match = pb.PrefixMatch_PREFIX_MATCH_SHORTER
	}
	if q.Match != 0 && q.Prefix == "" {
		return errors.New("--longer and --shorter need a prefix")
	}
	switch {
	case o.best:
		q.View = pb.RouteView_ROUTE_VIEW_BEST
	case o.received:
		q.View = pb.RouteView_ROUTE_VIEW_RECEIVED
	case o.rejected:
		q.View = pb.RouteView_ROUTE_VIEW_REJECTED
	case o.advertised:
		q.View = pb.RouteView_ROUTE_VIEW_ADVERTISED
		if q.Neighbor == "" {
			return errors.New("--advertised needs --neighbor: to whom?")
		}
	}
	if origin {
		q.OriginAsn = (*uint32)(&o.originAS)
	}
	return nil
}

// parseFamily reads --family; given is false if it is not there.
func parseFamily(s string) (f prefix.Family, given bool, err error) {
	switch s {
	case "":
		return f, false, nil
	case "ipv4":
		return prefix.IPv4, true, nil
	case "ipv6":
		return prefix.IPv6, true, nil
	}
	return f, false, fmt.Errorf("there is no family %q: write ipv4 or ipv6", s)
}

// listRoutes shows routes as they come.
func (a *app) listRoutes(ctx context.Context, o *routeFlags) error {
	r := api.Dial(a.socket)
	defer r.Close()
	p := a.progress("waiting for the first routes")
	defer p.stop()
	stream, err := r.ListRoutes(ctx, connect.NewRequest(&pb.ListRoutesRequest{Query: &o.query, Limit: o.limit}))
	if err != nil {
		return r.Error(err)
	}
	defer stream.Close()
	var n uint64
	var out view.Routes
	for stream.Receive() {
		if out == nil {
			if terminal(a.Out) {
				p.stop() // the routes themselves show that it goes on
			}
			out = a.view().Routes(o.columns())
		}
		for _, route := range stream.Msg().Routes {
			if err := out.Add(route); err != nil {
				return err
			}
		}
		n += uint64(len(stream.Msg().Routes))
		p.say(view.Count(n) + " routes")
	}
	if err := stream.Err(); err != nil {
		return r.Error(err)
	}
	if out == nil {
		out = a.view().Routes(o.columns())
	}
	return out.Close()
}

func (o *routeFlags) columns() view.RouteColumns {
	return view.RouteColumns{Communities: o.communities, Reasons: o.rejected || o.received}
}

func (a *app) lookupCommand() *cobra.Command {
	req := &pb.LookupRequest{}
	c := &cobra.Command{
		Use: "lookup ADDRESS", Short: "The longest prefix that holds an address, with its paths", Args: between(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				req.Address = args[0]
				m, err := r.Lookup(ctx, connect.NewRequest(req))
				return show(m, err, a.view().Lookup)
			})
		},
	}
	a.tableFlag(c, &req.Table)
	return c
}

func (a *app) explainCommand() *cobra.Command {
	req := &pb.ExplainRequest{}
	c := &cobra.Command{
		Use: "explain PREFIX|ADDRESS", Short: "Every path of a prefix, and the step that decided about it", Args: between(1, 1),
		Long: `Shows every path of a prefix, or of the longest prefix that holds an address, in
the order of preference. Each that is not the best has the step of the decision
at which it lost, and each that was rejected the rule that did it. With --to it
also says what a neighbor is sent, or why it is not.`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				req.Prefix = args[0]
				m, err := r.Explain(ctx, connect.NewRequest(req))
				return show(m, err, a.view().Explain)
			})
		},
	}
	a.tableFlag(c, &req.Table)
	c.Flags().StringVar(&req.To, "to", "", "what the neighbor of this `name` is sent, or why it is not")
	complete(c, "to", a.completeNeighborFlag)
	return c
}
