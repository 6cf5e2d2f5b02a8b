package api

import (
	"net/netip"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func family(f prefix.Family) pb.Family { return pb.Family(f) + pb.Family_FAMILY_IPV4 }

func portText(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func each[A, B any](all []A, f func(A) B) []B {
	if len(all) == 0 {
		return nil
	}
	out := make([]B, len(all))
	for i, a := range all {
		out[i] = f(a)
	}
	return out
}

func position(p Position) *pb.Position {
	if p == (Position{}) {
		return nil
	}
	return &pb.Position{File: p.File, Line: uint32(p.Line)}
}

func ruleRef(r *RuleRef) *pb.RuleRef {
	if r == nil {
		return nil
	}
	return &pb.RuleRef{Policy: r.Policy, Rule: r.Rule, Position: position(r.Position)}
}

func summary(s Summary) *pb.GetSummaryResponse {
	return &pb.GetSummaryResponse{
		Asn: s.ASN, RouterId: addrText(s.RouterID), ConfigPath: s.ConfigPath, Revision: s.Revision,
		Started: timestamp(s.Started), Configured: timestamp(s.Configured), Listen: each(s.Listen, portText),
		Neighbors: uint32(s.Neighbors), Established: uint32(s.Up), Shutdown: uint32(s.Shutdown),
		Tables: each(s.Tables, func(t TableSummary) *pb.TableSummary {
			m := &pb.TableSummary{Table: t.Table, Family: family(t.Family), Prefixes: t.Prefixes, Paths: t.Paths, Originated: t.Originated}
			if k := t.Kernel; k != nil {
				m.KernelRoutes, m.KernelRefused = &k.Routes, k.Refused
			}
			return m
		}),
		Version: Version().Version,
	}
}

func memory(m Memory) *pb.GetMemoryResponse {
	return &pb.GetMemoryResponse{
		Items: each(m.Items, func(i MemoryItem) *pb.MemoryItem {
			return &pb.MemoryItem{Name: i.Name, Count: i.Count, Bytes: i.Bytes}
		}),
		HeapBytes: m.Heap, ResidentBytes: m.Resident, Paths: m.Paths,
	}
}

func nextHop(n NextHop) *pb.NextHop {
	address, _, _ := strings.Cut(hopText(n.Address), "%")
	return &pb.NextHop{
		Table: n.Table, Address: address, Interface: n.Address.Zone(), Reachable: n.Reachable, Reason: n.Reason,
		Cost: n.Cost, OnLink: n.OnLink, Via: hopText(n.Via), Attributes: n.Attributes,
		Ways: each(n.Ways, func(w NextHopWay) *pb.NextHopWay {
			return &pb.NextHopWay{Gateway: addrText(w.Gateway), Interface: w.Interface, Mac: w.MAC, State: w.State}
		}),
	}
}

// hopText is a next hop, which may be IPv4 on an interface, or an interface alone.
func hopText(a netip.Addr) string {
	zone, plain := a.Zone(), a.WithZone("").Unmap()
	switch {
	case zone == "":
		return addrText(plain)
	case plain.IsUnspecified():
		return "%" + zone
	}
	return plain.String() + "%" + zone
}

func neighbor(n Neighbor) *pb.Neighbor {
	return &pb.Neighbor{
		Name: n.Name, Group: n.Group, Range: n.Range, Interface: n.Interface, GracefulShutdown: n.Draining, Description: n.Description, Address: addrText(n.Address),
		Asn: n.ASN, LocalAsn: n.LocalASN, Internal: n.Internal, RouterId: addrText(n.RouterID), Role: n.Role,
		State: pb.SessionState(n.State) + pb.SessionState_SESSION_STATE_IDLE, Since: timestamp(n.Since),
		Shutdown: n.Shutdown, ShutdownMessage: Printable(n.Message),
		Families: each(n.Families, neighborFamily), LastReset: reset(n.LastReset),
		Held: n.Held, Pending: n.Pending, Tags: n.Tags, Down: downOf(n.Down),
	}
}

func downOf(d *Down) *pb.Down {
	if d == nil {
		return nil
	}
	return &pb.Down{Reason: Printable(d.Reason), By: d.By, Since: timestamp(d.Since), Until: timestamp(d.Until)}
}

func neighborFamily(f NeighborFamily) *pb.NeighborFamily {
	m := &pb.NeighborFamily{
		Family: family(f.Family), Negotiated: f.Negotiated, Received: f.Received, Accepted: f.Accepted,
		Rejected: f.Rejected, Advertised: f.Advertised,
		Stale: f.Stale, StaleSince: timestamp(f.StaleSince), StaleUntil: timestamp(f.StaleUntil), LongLived: f.LongLived,
		EndOfRibReceived: f.EndOfRIBReceived, EndOfRibSent: f.EndOfRIBSent, MaxAdvertised: f.MaxAdvertised, HeldBack: f.HeldBack,
	}
	if l := f.Limit; l != nil {
		m.Limit = &pb.PrefixLimit{Max: l.Max, WarnAt: l.WarnAt, CountsReceived: l.Received, Action: l.Action}
		if l.RestartIn > 0 {
			m.Limit.RestartIn = durationpb.New(l.RestartIn)
		}
	}
	return m
}

func reset(r *Reset) *pb.Reset {
	if r == nil {
		return nil
	}
	m := &pb.Reset{At: timestamp(r.At), Reason: Printable(r.Reason)}
	if n := r.Notification; n != nil {
		m.Notification = &pb.Notification{
			Sent: n.Sent, Code: uint32(n.Code), Subcode: uint32(n.Subcode), Data: n.Data,
			Text:            wire.NotificationName(n.Code, n.Subcode),
			ShutdownMessage: Printable(wire.Notification{Code: n.Code, Subcode: n.Subcode, Data: n.Data}.ShutdownMessage()),
		}
	}
	return m
}

func bfdSession(b BFD) *pb.BfdSession {
	return &pb.BfdSession{
		Neighbor: b.Neighbor, Address: addrText(b.Address), Multihop: b.Multihop,
		State: pb.BfdState(b.State) + 1, RemoteState: pb.BfdState(b.RemoteState) + 1, Diagnostic: uint32(b.Diag), RemoteDiagnostic: uint32(b.RemoteDiag),
		Since: timestamp(b.Since), MinInterval: durationpb.New(b.MinInterval), MinReceive: durationpb.New(b.MinReceive), Multiplier: uint32(b.Multiplier),
		RemoteMinInterval: durationpb.New(b.RemoteMinInterval), RemoteMinReceive: durationpb.New(b.RemoteMinReceive), RemoteMultiplier: uint32(b.RemoteMultiplier),
		Interval: durationpb.New(b.Interval), DetectionTime: durationpb.New(b.Detection),
		Discriminator: b.Discr, RemoteDiscriminator: b.RemoteDiscr, RemoteControlPlaneIndependent: b.RemoteIndependent,
		Ups: b.Ups, Failures: b.Failures, LastFailure: b.LastFailure,
		PacketsSent: b.Sent, PacketsReceived: b.Received, PacketsMissed: b.Missed, Problem: b.Problem,
	}
}

func neighborDetail(n NeighborDetail) *pb.GetNeighborResponse {
	c := n.Counters
	m := &pb.NeighborDetail{
		Local: portText(n.Local), Remote: portText(n.Remote), Passive: n.Passive,
		MultihopTtl: uint32(n.MultihopTTL), Gtsm: n.GTSM, Md5: n.MD5, Import: n.Import, Export: n.Export,
		UpdateGroup:     n.UpdateGroup,
		LastEstablished: timestamp(n.LastEstablished), LastDown: timestamp(n.LastDown),
		CapabilitiesSent: each(n.Sent, capability), CapabilitiesReceived: each(n.Received, capability),
		ConfiguredTimers: timers(n.Configured),
		Counters: &pb.NeighborCounters{
			In: messageCounts(c.In), Out: messageCounts(c.Out), Sessions: c.Sessions,
			TreatAsWithdraw: c.TreatAsWithdraw, AttributesDiscarded: c.Discarded,
			Unsendable: c.Unsendable, Queued: c.Queued, RouteLeaks: c.Leaks,
		},
	}
	if g := n.Negotiated; g != nil {
		m.Negotiated = &pb.Negotiated{
			Timers: timers(g.Timers), Families: each(g.Families, family), AddPathReceive: each(g.AddPath, family), AddPathSend: each(g.AddPathSend, family),
			FourOctetAsn: g.AS4, ExtendedMessages: g.ExtMsg, ExtendedNextHop: g.ExtNH,
			RouteRefresh: g.Refresh, EnhancedRefresh: g.EnhancedRefresh, Role: g.Role,
		}
	}
	if n.BFD != nil {
		m.Bfd = bfdSession(*n.BFD)
	}
	return &pb.GetNeighborResponse{Neighbor: neighbor(n.Neighbor), Detail: m}
}

func timers(t Timers) *pb.Timers {
	return &pb.Timers{
		Hold: durationpb.New(t.Hold), Keepalive: durationpb.New(t.Keepalive),
		SendHold: durationpb.New(t.SendHold), ConnectRetry: durationpb.New(t.ConnectRetry),
	}
}

func messageCounts(c MessageCounts) *pb.MessageCounts {
	return &pb.MessageCounts{
		Open: c.Open, Update: c.Update, Notification: c.Notification,
		Keepalive: c.Keepalive, Refresh: c.Refresh, Bytes: c.Bytes,
	}
}

func route(r *RouteInfo) *pb.Route {
	return &pb.Route{
		Prefix: r.Prefix.String(), Family: family(r.Prefix.Family), PathId: r.PathID,
		Neighbor: r.Neighbor, NeighborAddress: addrText(r.NeighborAddress),
		Source: pb.RouteSource(r.Source) + pb.RouteSource_ROUTE_SOURCE_ORIGINATED,
		Status: pb.RouteStatus(r.Status) + pb.RouteStatus_ROUTE_STATUS_BEST,
		Reason: Printable(r.Reason), Rule: ruleRef(r.Rule), Attributes: AttributesOf(&r.Attrs), Weight: r.Weight,
		Learned: timestamp(r.Learned), Cause: Printable(r.Cause), Discard: r.Discard, Interface: r.Interface, Rpki: r.RPKI,
		StaleSince: timestamp(r.Stale),
	}
}

func candidate(c *Candidate) *pb.Candidate {
	m := &pb.Candidate{Route: route(&c.RouteInfo), Findings: each(c.Findings, finding), Covering: each(c.Covering, vrp), Aspa: c.ASPA}
	if d := c.Lost; d != nil {
		m.Lost = &pb.Decision{Step: uint32(d.Step), Rule: d.Rule, Detail: d.Detail, To: d.To}
	}
	return m
}

func finding(f Finding) *pb.Finding {
	return &pb.Finding{Text: f.Text, Position: position(f.Position)}
}

func sending(s Sending) *pb.Sending {
	m := &pb.Sending{Neighbor: s.Neighbor, Sent: s.Sent, Reason: s.Reason, Rule: ruleRef(s.Rule), PathId: s.PathID}
	if s.Sent {
		m.Attributes = AttributesOf(&s.Attrs)
	}
	return m
}

func ruleAction(then string) pb.RuleAction {
	return map[string]pb.RuleAction{
		"accept": pb.RuleAction_RULE_ACTION_ACCEPT, "reject": pb.RuleAction_RULE_ACTION_REJECT,
		"continue": pb.RuleAction_RULE_ACTION_CONTINUE,
	}[then]
}

func policy(p Policy) *pb.Policy {
	return &pb.Policy{
		Name: p.Name, Position: position(p.Position), DefaultHits: p.DefaultHits, ImportOf: p.ImportOf, ExportOf: p.ExportOf, UsedBy: p.UsedBy,
		Rules: each(p.Rules, func(r Rule) *pb.PolicyRule {
			return &pb.PolicyRule{
				Name: r.Name, Position: position(r.Position), Match: r.Match, Set: r.Set,
				Then: ruleAction(r.Then), Hits: r.Hits,
			}
		}),
	}
}

// PolicyResultOf converts the result of testing a policy.
func PolicyResultOf(t PolicyTest, r PolicyResult) *pb.TestPolicyResponse {
	m := &pb.TestPolicyResponse{
		Accepted: r.Accepted, Before: AttributesOf(&t.Attrs), Weight: r.Weight,
		Steps: each(r.Steps, func(s PolicyStep) *pb.PolicyStep {
			return &pb.PolicyStep{
				Rule: ruleRef(&s.Rule), Matched: s.Matched, Then: ruleAction(s.Then), Changes: s.Changes,
				Findings: each(s.Findings, finding),
			}
		}),
	}
	if r.Accepted { // what a rejected route has become is of no use
		m.After = AttributesOf(&r.Attrs)
	}
	return m
}

// PolicyTestOf reads a request.
func PolicyTestOf(m *pb.TestPolicyRequest) (PolicyTest, error) {
	t := PolicyTest{Policy: m.Policy, Neighbor: m.Neighbor, To: m.To, RPKI: m.Rpki, ASPA: m.Aspa}
	var err error
	if t.Prefix, err = parsePrefix(m.Prefix); err != nil {
		return t, err
	}
	if t.Attrs, err = WireAttrs(m.Attributes); err != nil {
		return t, err
	}
	switch {
	case m.Source < 0 || m.Source > pb.RouteSource_ROUTE_SOURCE_CONNECTED:
		return t, Invalid("there is no source %d", m.Source)
	case m.Source == pb.RouteSource_ROUTE_SOURCE_UNSPECIFIED:
		t.Source = SourceEBGP
	default:
		t.Source = Source(m.Source - pb.RouteSource_ROUTE_SOURCE_ORIGINATED)
	}
	return t, nil
}

func change(c Change) *pb.Change {
	return &pb.Change{
		Kind: map[string]pb.ChangeKind{
			"added": pb.ChangeKind_CHANGE_KIND_ADDED, "removed": pb.ChangeKind_CHANGE_KIND_REMOVED,
			"changed": pb.ChangeKind_CHANGE_KIND_CHANGED,
		}[c.Kind],
		Object: c.Object, Detail: c.Detail, Position: position(c.Position),
	}
}

// DiagnosticOf converts a finding.
func DiagnosticOf(d Diagnostic) *pb.Diagnostic {
	m := &pb.Diagnostic{Severity: pb.Severity_SEVERITY_ERROR, Position: position(d.Position), Message: d.Message, Mend: d.Mend, Source: d.Source, Width: uint32(d.Width)}
	if d.Warning {
		m.Severity = pb.Severity_SEVERITY_WARNING
	}
	if m.Position != nil {
		m.Position.Column = uint32(d.Column)
	}
	return m
}

func parsePrefix(s string) (prefix.Prefix, error) {
	p, err := prefix.Parse(s)
	if err == nil {
		return p, nil
	}
	if a, e := netip.ParseAddr(s); e == nil {
		return p, Invalid("%s is an address: write it with a length, %s/%d, or find its route with lookup", a, a, a.BitLen())
	}
	return p, Invalid("%s", err)
}

// query reads and checks a query.
func query(m *pb.RouteQuery) (RouteQuery, error) {
	if m == nil {
		m = &pb.RouteQuery{}
	}
	q := RouteQuery{
		View: View(m.View), Table: m.Table, Match: PrefixMatch(m.Match), Neighbor: m.Neighbor,
		Communities: m.Communities, ASPath: m.AsPath, OriginAS: m.OriginAsn, RPKI: m.Rpki,
	}
	if m.View < 0 || m.View > pb.RouteView_ROUTE_VIEW_ADVERTISED {
		return q, Invalid("there is no view %d", m.View)
	}
	if m.Match < 0 || m.Match > pb.PrefixMatch_PREFIX_MATCH_SHORTER {
		return q, Invalid("there is no prefix match %d", m.Match)
	}
	if m.Family < 0 || m.Family > pb.Family_FAMILY_IPV6 {
		return q, Invalid("there is no family %d", m.Family)
	}
	if m.Family != pb.Family_FAMILY_UNSPECIFIED {
		f := prefix.Family(m.Family - pb.Family_FAMILY_IPV4)
		q.Family = &f
	}
	if m.Prefix != "" {
		p, err := parsePrefix(m.Prefix)
		if err != nil {
			return q, err
		}
		if q.Family != nil && *q.Family != p.Family {
			return q, Invalid("%s is not an %s prefix", p, *q.Family)
		}
		q.Prefix = &p
	}
	if q.View == ViewAdvertised && q.Neighbor == "" {
		return q, Invalid("routes are advertised to a neighbor: name one")
	}
	return q, nil
}
