package cli

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/config"
	"holdfast/internal/daemon"
)

// testFlags are the flags of test policy: the route.
type testFlags struct {
	config                        string
	path, nextHop, origin, source string
	neighbor, to                  string
	rpki, aspa                    string
	communities                   []string
	med, localPref                uint32
}

var origins = []string{"igp", "egp", "incomplete"}

var sources = []string{"originated", "kernel", "ibgp", "ebgp", "customer", "provider", "peer", "static", "connected"}

func (a *app) testCommand() *cobra.Command {
	o := &testFlags{}
	c := &cobra.Command{
		Use:   "policy NAME PREFIX",
		Short: "Try a policy on a route",
		Long: `Says which rules of a policy a route meets, whether it is accepted, and what
becomes of its attributes. With --config a file is tried and no router needs to
run; otherwise the policy is that of the running router. Hits are not counted.`,
		Example: `  holdfast test policy from-transit 203.0.113.0/24 --as-path "64601 3356" --community 64601:20
  holdfast test policy to-transit 2001:db8::/32 --source customer --to transit-a --config new.hcl`,
		Args:              between(2, 2),
		ValidArgsFunction: a.completePolicies,
	}
	f := c.Flags()
	f.StringVar(&o.config, "config", "", "try the policy of this `path`, not of the running router")
	f.StringVar(&o.path, "as-path", "", "AS `path`, such as \"64601 3356 {64512,64513}\"")
	f.StringArrayVar(&o.communities, "community", nil, "a `community` of any kind; may be repeated")
	f.Uint32Var(&o.med, "med", 0, "MED, a `number`")
	f.Uint32Var(&o.localPref, "local-pref", 0, "local preference, a `number`")
	f.StringVar(&o.origin, "origin", "igp", "origin `attribute`: igp, egp or incomplete")
	f.StringVar(&o.nextHop, "next-hop", "", "next hop `address`")
	f.StringVar(&o.neighbor, "neighbor", "", "`name` of the neighbor that the route comes from")
	f.StringVar(&o.source, "source", "", "`where` it comes from, if not from a neighbor that is named: "+list(sources)+" (default ebgp)")
	f.StringVar(&o.rpki, "rpki", "", "`state` of its origin: valid, invalid or unknown; if not given, as the running router knows it")
	f.StringVar(&o.aspa, "aspa", "", "`state` of its AS path: valid, invalid or unknown; if not given, as the running router knows it of --neighbor")
	f.StringVar(&o.to, "to", "", "`name` of the neighbor that the route goes to")
	complete(c, "neighbor", a.completeNeighborFlag)
	complete(c, "to", a.completeNeighborFlag)
	complete(c, "rpki", rpkiStates)
	complete(c, "aspa", rpkiStates)
	complete(c, "origin", cobra.FixedCompletions(origins, cobra.ShellCompDirectiveNoFileComp))
	complete(c, "source", cobra.FixedCompletions(sources, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) error {
		if err := oneOf(c, "neighbor", "source"); err != nil {
			return err
		}
		req, err := o.request(c, args)
		if err != nil {
			return err
		}
		if o.config != "" {
			return a.testFile(o.config, req)
		}
		return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
			m, err := r.TestPolicy(ctx, connect.NewRequest(req))
			return show(m, err, a.view().PolicyTest)
		})
	}
	return parent("test", "Try out what a configuration does", c)
}

func (o *testFlags) request(c *cobra.Command, args []string) (*pb.TestPolicyRequest, error) {
	attrs := &pb.Attributes{NextHop: o.nextHop}
	var err error
	if attrs.AsPath, err = api.ParseASPath(o.path); err != nil {
		return nil, err
	}
	for _, s := range o.communities {
		if err := api.AddCommunity(attrs, s); err != nil {
			return nil, err
		}
	}
	if c.Flags().Changed("med") {
		attrs.Med = &o.med
	}
	if c.Flags().Changed("local-pref") {
		attrs.LocalPref = &o.localPref
	}
	i := slices.Index(origins, o.origin)
	if i < 0 {
		return nil, fmt.Errorf("there is no origin %q: choose %s", o.origin, list(origins))
	}
	attrs.Origin = pb.Origin_ORIGIN_IGP + pb.Origin(i)
	req := &pb.TestPolicyRequest{Policy: args[0], Prefix: args[1], Attributes: attrs, Neighbor: o.neighbor, To: o.to, Rpki: o.rpki, Aspa: o.aspa}
	if o.source != "" {
		i := slices.Index(sources, o.source)
		if i < 0 {
			return nil, fmt.Errorf("there is no source %q: choose %s", o.source, list(sources))
		}
		req.Source = pb.RouteSource_ROUTE_SOURCE_ORIGINATED + pb.RouteSource(i)
	}
	return req, nil
}

// testFile tries a policy of a configuration that need not run.
func (a *app) testFile(path string, req *pb.TestPolicyRequest) error {
	t, err := api.PolicyTestOf(req)
	if err != nil {
		return err
	}
	cfg, found := config.Load(path)
	if err := found.Err(); err != nil {
		return err
	}
	res, err := daemon.TestPolicy(cfg, nil, t)
	if err != nil {
		return err
	}
	return a.view().PolicyTest(api.PolicyResultOf(t, res))
}
