// Package fakerouter is a small router with fixed contents behind the api, for
// tests of what shows them.
package fakerouter

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/prefix"
)

// Now is the time at which the contents were looked at.
var Now = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// Router is an api.Router. Calls has what it was told to do, and Queries what
// was asked of its routes.
type Router struct {
	mu      sync.Mutex
	calls   []string
	queries []api.RouteQuery
	// Fail, if set, is what every method returns.
	Fail error
	// Repeat is how often the list of routes is gone through; 0 counts as 1.
	Repeat int
}

var _ api.Router = (*Router)(nil)

// Serve runs the api with r on a socket that it makes; stop ends it.
func Serve(socket string, r api.Router) (stop func() error, err error) {
	l, err := api.Listen(socket, api.GroupOnly)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.Serve(ctx, l, r, slog.New(slog.DiscardHandler)) }()
	return sync.OnceValue(func() error {
		cancel()
		return <-done
	}), nil
}

func (r *Router) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

// Calls returns what the router was told to do.
func (r *Router) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// Queries returns what was asked of its routes.
func (r *Router) Queries() []api.RouteQuery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.queries)
}

// Summary is that of the fixed contents.
func (r *Router) Summary(context.Context) (api.Summary, error) {
	return api.Summary{
		ASN: 64500, RouterID: netip.MustParseAddr("192.0.2.1"), ConfigPath: "/etc/holdfast/holdfast.hcl", Revision: 7,
		Started: Now.Add(-76*time.Hour - 30*time.Minute), Configured: Now.Add(-25 * time.Minute),
		Listen:    []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:179"), netip.MustParseAddrPort("[2001:db8::1]:179")},
		Neighbors: 4, Up: 2, Shutdown: 1,
		Tables: []api.TableSummary{
			{Table: "main", Family: prefix.IPv4, Prefixes: 1043127, Paths: 2086011, Originated: 2, Kernel: &api.KernelSummary{Routes: 1043125, Refused: 3}},
			{Table: "main", Family: prefix.IPv6, Prefixes: 231872, Paths: 463001, Originated: 1, Kernel: &api.KernelSummary{Routes: 231871}},
		},
	}, r.Fail
}

// Neighbors are four, in different states.
func (r *Router) Neighbors(context.Context) ([]api.Neighbor, error) {
	var all []api.Neighbor
	for _, n := range neighbors {
		all = append(all, n.Neighbor)
	}
	return all, r.Fail
}

// Neighbor is one of Neighbors.
func (r *Router) Neighbor(_ context.Context, name string) (api.NeighborDetail, error) {
	n, err := find(name)
	if r.Fail != nil {
		err = r.Fail
	}
	return n, err
}

func find(name string) (api.NeighborDetail, error) {
	for _, n := range neighbors {
		if n.Name == name || n.Address.String() == name {
			if i := slices.IndexFunc(bfd, func(b api.BFD) bool { return b.Neighbor == n.Name }); i >= 0 {
				n.BFD = &bfd[i]
			}
			return n, nil
		}
	}
	return api.NeighborDetail{}, api.NotFound("there is no neighbor %q: \"holdfast show neighbors\" lists them", name)
}

func selects(q api.RouteQuery, i *api.RouteInfo) bool {
	switch {
	case q.Family != nil && *q.Family != i.Prefix.Family,
		q.Neighbor != "" && q.Neighbor != i.Neighbor,
		q.View == api.ViewRejected && i.Status != api.StatusRejected,
		q.View == api.ViewBest && i.Status != api.StatusBest,
		q.View == api.ViewTable && i.Status == api.StatusRejected:
		return false
	case q.Prefix == nil:
		return true
	}
	switch q.Match {
	case api.MatchLonger:
		return q.Prefix.Covers(i.Prefix)
	case api.MatchShorter:
		return i.Prefix.Covers(*q.Prefix)
	}
	return *q.Prefix == i.Prefix
}

// Routes has those that fit by family, prefix, view and neighbor.
func (r *Router) Routes(ctx context.Context, q api.RouteQuery, fn func(api.RouteInfo) error) error {
	r.mu.Lock()
	r.queries = append(r.queries, q)
	r.mu.Unlock()
	var n uint64
	for range max(r.Repeat, 1) {
		for i := range routes {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !selects(q, &routes[i]) {
				continue
			}
			if err := fn(routes[i]); err != nil {
				return err
			}
			if n++; n == q.Limit {
				return r.Fail
			}
		}
	}
	return r.Fail
}

// Monitor has some of everything, and then ends.
func (r *Router) Monitor(_ context.Context, q api.MonitorQuery, fn func([]api.Event) error) error {
	var all []api.Event
	for _, e := range events {
		if q.Neighbor == "" || e.Kind == api.EventStarted || e.Neighbor == q.Neighbor {
			all = append(all, e)
		}
	}
	if err := fn(all); err != nil {
		return err
	}
	return r.Fail
}

// Shutdown goes through all phases.
func (r *Router) Shutdown(_ context.Context, drain time.Duration, reason string, fn func(api.ShutdownProgress) error) error {
	r.note("shutdown %v %q", drain, reason)
	if r.Fail != nil {
		return r.Fail
	}
	all := []api.ShutdownProgress{{Phase: api.Leaving, Neighbors: 2, Told: 2}, {Phase: api.Gone}}
	if drain > 0 {
		all = append([]api.ShutdownProgress{{Neighbors: 2, Left: drain}, {Neighbors: 2, Told: 2, Left: drain / 2}}, all...)
	}
	for _, p := range all {
		if err := fn(p); err != nil {
			return err
		}
	}
	return nil
}

// CountRoutes counts Routes.
func (r *Router) CountRoutes(ctx context.Context, q api.RouteQuery) (c api.RouteCount, err error) {
	var last prefix.Prefix
	err = r.Routes(ctx, q, func(i api.RouteInfo) error {
		if c.Paths++; i.Prefix != last {
			c.Prefixes++
		}
		last = i.Prefix
		return nil
	})
	return c, err
}

// Lookup finds the longest prefix.
func (r *Router) Lookup(_ context.Context, _ string, a netip.Addr, fn func(api.RouteInfo) error) error {
	var best *prefix.Prefix
	host := prefix.FromNetip(netip.PrefixFrom(a, a.BitLen()))
	for i := range routes {
		if p := routes[i].Prefix; p.Covers(host) && routes[i].Status == api.StatusBest && (best == nil || p.Bits > best.Bits) {
			best = &p
		}
	}
	if best == nil {
		return api.NotFound("no route to %s", a)
	}
	for i := range routes {
		if routes[i].Prefix == *best && routes[i].Status != api.StatusRejected {
			if err := fn(routes[i]); err != nil {
				return err
			}
		}
	}
	return r.Fail
}

// Sending is a refusal for shop, and the first route for all others.
func (r *Router) Sending(_ context.Context, neighbor string, _ prefix.Prefix) ([]api.Sending, error) {
	if neighbor == "shop" {
		return []api.Sending{{Neighbor: neighbor, Reason: "max_prefixes_out is reached"}}, r.Fail
	}
	return []api.Sending{{Neighbor: neighbor, Sent: true, Rule: routes[0].Rule, Attrs: routes[0].Attrs}}, r.Fail
}

// Explain has the paths of a prefix; the second one has lost by step 5.
func (r *Router) Explain(_ context.Context, _ string, p prefix.Prefix, fn func(api.Candidate) error) error {
	n := 0
	for i := range routes {
		if routes[i].Prefix != p {
			continue
		}
		c := api.Candidate{RouteInfo: routes[i]}
		if c.RPKI != "" {
			c.Covering = []api.VRP{{Prefix: p, MaxLen: p.Bits, ASN: 64999}, {Prefix: p.Truncate(22), MaxLen: 24, ASN: 64700, Matches: c.RPKI == "valid"}}
		}
		if c.Source == api.SourceProvider {
			c.ASPA = c.RPKI
		}
		if c.Status == api.StatusRejected {
			c.Findings = []api.Finding{{Text: `as_path_contains: AS 64500 of the path "4200000002 64500 64999" is in the list: 64500`, Position: c.Rule.Position}}
		}
		if c.Status == api.StatusBackup {
			c.Lost = &api.Decision{Step: 5, Rule: "shorter AS path", Detail: "3 < 4", To: routes[0].Neighbor}
		}
		n++
		if err := fn(c); err != nil {
			return err
		}
	}
	if n == 0 {
		return api.NotFound("no path for %s", p)
	}
	return r.Fail
}

// Policies are two.
func (r *Router) Policies(_ context.Context, name string) ([]api.Policy, error) {
	if r.Fail != nil || name == "" {
		return policies, r.Fail
	}
	for _, p := range policies {
		if p.Name == name {
			return []api.Policy{p}, nil
		}
	}
	return nil, api.NotFound("there is no policy %q", name)
}

// TestPolicy accepts and prefers everything but default routes.
func (r *Router) TestPolicy(_ context.Context, t api.PolicyTest) (api.PolicyResult, error) {
	r.note("test %s on %s from %q to %q, source %d, attributes %+v", t.Policy, t.Prefix, t.Neighbor, t.To, t.Source, t.Attrs)
	at := api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 12}
	if t.Prefix.Bits == 0 {
		return api.PolicyResult{Steps: []api.PolicyStep{{Rule: api.RuleRef{Policy: t.Policy, Rule: "no default", Position: at}, Matched: true, Then: "reject"}}}, r.Fail
	}
	res := api.PolicyResult{Accepted: true, Attrs: t.Attrs, Weight: 10, Steps: []api.PolicyStep{
		{
			Rule: api.RuleRef{Policy: t.Policy, Rule: "no default", Position: at}, Then: "reject",
			Findings: []api.Finding{{Text: "prefix_length: 24 is not in 0", Position: at}},
		},
		{
			Rule: api.RuleRef{Policy: t.Policy, Rule: "prefer", Position: api.Position{File: at.File, Line: 16}}, Matched: true, Then: "accept",
			Findings: []api.Finding{{Text: "source: the route is from provider"}, {Text: "community: the route has 64500:1"}},
			Changes:  []string{"local_pref set to 250"},
		},
	}}
	res.Attrs.Has |= hasLocalPref
	res.Attrs.LocalPref = 250
	return res, r.Fail
}

// RPKI has a source of each kind.
func (r *Router) RPKI(_ context.Context, p *prefix.Prefix, origin uint32) (api.RPKI, error) {
	out := api.RPKI{VRPs: [prefix.Families]int{497_101, 151_022}, ASPAs: 1_203, Sources: []api.RPKISource{
		{Name: "routinator", Address: netip.MustParseAddrPort("192.0.2.10:323"), State: "up", Since: Now.Add(-26 * time.Hour), Version: 2, ASPAs: 1_203, Session: 4711, Serial: 88,
			VRPs: [prefix.Families]int{497_101, 151_020}, Updated: Now.Add(-7 * time.Minute), Expires: Now.Add(113 * time.Minute)},
		{Name: "exceptions", File: "/etc/holdfast/vrps.json", State: "up", Since: Now.Add(-26 * time.Hour), VRPs: [prefix.Families]int{0, 2}, Updated: Now.Add(-900 * time.Hour)},
		{Name: "second", Address: netip.MustParseAddrPort("[2001:db8::10]:8282"), State: "down", Since: Now.Add(-3 * time.Minute), Error: "cannot connect: connection refused"},
	}}
	if p != nil {
		out.State = "invalid"
		for _, v := range []api.VRP{{Prefix: *p, MaxLen: p.Bits, ASN: 64700}, {Prefix: p.Truncate(16), MaxLen: 24, ASN: 0}} {
			if v.Matches = v.ASN == origin && origin != 0; v.Matches {
				out.State = "valid"
			}
			out.Covering = append(out.Covering, v)
		}
	}
	return out, r.Fail
}

// bfd is one session that is up and one that is down.
var bfd = []api.BFD{
	{
		Neighbor: "core-1", Address: netip.MustParseAddr("198.51.100.1"), Multihop: true, State: 1, RemoteState: 1, Diag: 1, Since: Now.Add(-42 * time.Second),
		MinInterval: 300 * time.Millisecond, MinReceive: 300 * time.Millisecond, Multiplier: 3, Interval: time.Second, Discr: 0x1f00a1,
		Ups: 2, Failures: 2, LastFailure: "no BFD packet for 900ms", Sent: 1200, Received: 1100, Missed: 12,
	},
	{
		Neighbor: "transit-a", Address: netip.MustParseAddr("192.0.2.9"), State: 3, RemoteState: 3, Since: Now.Add(-26 * time.Hour),
		MinInterval: 300 * time.Millisecond, MinReceive: 300 * time.Millisecond, Multiplier: 3,
		RemoteMinInterval: 100 * time.Millisecond, RemoteMinReceive: 50 * time.Millisecond, RemoteMultiplier: 5,
		Interval: 300 * time.Millisecond, Detection: 1500 * time.Millisecond, Discr: 0x2e9d0b11, RemoteDiscr: 7, RemoteIndependent: true,
		Ups: 1, Sent: 356_000, Received: 356_100,
	},
}

// BFD has two sessions.
func (r *Router) BFD(context.Context) ([]api.BFD, error) { return bfd, r.Fail }

// NextHops has one of each kind.
func (r *Router) NextHops(context.Context) ([]api.NextHop, bool, error) {
	gateway := netip.MustParseAddr("192.0.2.9")
	return []api.NextHop{
		{Table: "main", Address: gateway, Reachable: true, OnLink: true, Attributes: 181022,
			Ways: []api.NextHopWay{{Gateway: gateway, Interface: "eth0", MAC: "52:54:00:12:34:56", State: "reachable"}}},
		{Table: "main", Address: netip.MustParseAddr("10.255.0.2"), Reachable: true, Cost: 30, Attributes: 5100, Via: netip.MustParseAddr("::ffff:192.0.2.7%eth4"),
			Ways: []api.NextHopWay{{Gateway: netip.MustParseAddr("10.0.1.1"), Interface: "eth1"}, {Gateway: netip.MustParseAddr("10.0.2.1"), Interface: "eth2"}}},
		{Table: "main", Address: netip.MustParseAddr("198.51.100.7"), Reason: "the kernel has no route to it", Attributes: 12},
		{Table: "blue", Address: netip.MustParseAddr("fe80::7%eth3"), Reachable: true, OnLink: true, Attributes: 1,
			Ways: []api.NextHopWay{{Gateway: netip.MustParseAddr("fe80::7"), Interface: "eth3"}}},
		{Table: "main", Address: netip.MustParseAddr("::%eth4"), Reachable: true, OnLink: true, Attributes: 1, Ways: []api.NextHopWay{{Interface: "eth4"}}},
		{Table: "main", Address: netip.MustParseAddr("::ffff:192.0.2.7%eth4"), Reachable: true, OnLink: true, Attributes: 1,
			Ways: []api.NextHopWay{{Gateway: netip.MustParseAddr("192.0.2.7"), Interface: "eth4"}}},
	}, true, r.Fail
}

// Memory is about two million paths.
func (r *Router) Memory(context.Context) (api.Memory, error) {
	return api.Memory{
		Items: []api.MemoryItem{
			{Name: "prefixes", Count: 1274999, Bytes: 50999960}, {Name: "paths", Count: 2549012, Bytes: 81568384},
			{Name: "attributes", Count: 181204, Bytes: 23556520}, {Name: "queues", Bytes: 1 << 20},
		},
		Heap: 171 << 20, Resident: 212 << 20, Paths: 2549012,
	}, r.Fail
}

// Clear notes it.
func (r *Router) Clear(_ context.Context, name string, how api.ClearMode) ([]string, error) {
	r.note("clear %q %d", name, how)
	if name == "" {
		return []string{"transit-a", "core-1"}, r.Fail
	}
	n, err := find(name)
	if r.Fail != nil {
		err = r.Fail
	}
	return []string{n.Name}, err
}

// Down notes it.
func (r *Router) Down(_ context.Context, name, reason string, lifetime time.Duration) error {
	r.note("down %q %q %v", name, reason, lifetime)
	if _, err := find(name); err != nil {
		return err
	}
	return r.Fail
}

// Enable notes it.
func (r *Router) Enable(_ context.Context, name string) error {
	r.note("enable %q", name)
	if _, err := find(name); err != nil {
		return err
	}
	return r.Fail
}

// Trace has three events.
func (r *Router) Trace(_ context.Context, name string, fn func([]api.TraceEvent) error) error {
	if _, err := find(name); err != nil || r.Fail != nil {
		return cmp.Or(err, r.Fail)
	}
	for _, e := range trace {
		if err := fn([]api.TraceEvent{e}); err != nil {
			return err
		}
	}
	return nil
}

// Announce notes it.
func (r *Router) Announce(_ context.Context, all []api.Announcement, lifetime time.Duration) error {
	for _, a := range all {
		r.note("announce %s %q %v %q", a.Prefix, a.Communities, lifetime, a.Reason)
	}
	return r.Fail
}

// Withdraw notes it. The second of its prefixes is also originated.
func (r *Router) Withdraw(_ context.Context, prefixes []prefix.Prefix) (api.Withdrawal, error) {
	r.note("withdraw %v", prefixes)
	return api.Withdrawal{Withdrawn: prefixes, Originated: prefixes[min(1, len(prefixes)):]}, r.Fail
}

// Announcements returns two of them.
func (r *Router) Announcements(context.Context) ([]api.StandingAnnouncement, error) {
	return announcements, r.Fail
}

// Reload notes it.
func (r *Router) Reload(context.Context) (api.ReloadResult, error) {
	r.note("reload")
	return api.ReloadResult{
		Revision: 8, Changed: true, Changes: changes, Reset: []string{"shop"}, Pending: []string{"core-1"},
	}, r.Fail
}

// Check finds the changes of Reload and a warning.
func (r *Router) Check(context.Context) (api.CheckResult, error) {
	return api.CheckResult{
		ConfigPath: "/etc/holdfast/holdfast.hcl", Changes: changes,
		Diagnostics: []api.Diagnostic{{
			Warning: true, Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 40}, Column: 3,
			Message: "rule \"rest\" is never reached", Mend: "remove it, or move it up",
			Source: "\trule \"rest\" { then = \"accept\" }", Width: 11,
		}},
	}, r.Fail
}
