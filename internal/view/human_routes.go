package view

import (
	"bufio"
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

// marks stand before routes.
var marks = map[pb.RouteStatus]cell{
	pb.RouteStatus_ROUTE_STATUS_BEST:        {">", good},
	pb.RouteStatus_ROUTE_STATUS_BACKUP:      {" ", plain},
	pb.RouteStatus_ROUTE_STATUS_REJECTED:    {"x", bad},
	pb.RouteStatus_ROUTE_STATUS_UNREACHABLE: {"!", bad},
}

func (h *human) Routes(c RouteColumns) Routes {
	w := bufio.NewWriterSize(h.w, 64<<10)
	headings := []string{" ", "PREFIX", "NEXT HOP", "NEIGHBOR", ">PREF", ">MED", "ORIGIN", "AS PATH"}
	if c.Communities {
		headings = append(headings, "COMMUNITIES")
	}
	if c.Reasons {
		headings = append(headings, "REASON")
	}
	return &humanRoutes{w: w, columns: c, t: newTable(w, h.o.Color, headings...)}
}

// humanRoutes is a table with a line for each path.
type humanRoutes struct {
	w       *bufio.Writer
	t       *table
	columns RouteColumns
	any     bool
}

func (r *humanRoutes) Add(m *pb.Route) error {
	r.any = true
	a := m.Attributes
	p := m.Prefix
	if m.PathId != 0 {
		p += " #" + strconv.FormatUint(uint64(m.PathId), 10)
	}
	mark := marks[m.Status]
	if m.StaleSince != nil {
		mark.text += "s"
	}
	row := []cell{
		mark, {text: p}, {text: nextHop(m)}, {text: from(m)},
		{text: number(a.GetLocalPref(), a != nil && a.LocalPref != nil)},
		{text: number(a.GetMed(), a != nil && a.Med != nil)},
		{text: word(a.GetOrigin())}, {text: path(m)},
	}
	if r.columns.Communities {
		row = append(row, cell{text: strings.Join(communities(a), " ")})
	}
	if r.columns.Reasons {
		row = append(row, cell{text: reason(m)})
	}
	r.t.row(row...)
	return r.t.err
}

func (r *humanRoutes) Close() error {
	if !r.any {
		_, err := fmt.Fprintln(r.w, "no routes")
		return cmp.Or(err, r.w.Flush())
	}
	if err := r.t.close(); err != nil {
		return err
	}
	return r.w.Flush()
}

func number(v uint32, present bool) string {
	if !present {
		return ""
	}
	return strconv.FormatUint(uint64(v), 10)
}

func nextHop(m *pb.Route) string {
	if m.Discard {
		return "discard"
	}
	global, linkLocal := nextHops(m.Attributes)
	s := cmp.Or(global, linkLocal, "-")
	if m.Interface != "" {
		s += "%" + m.Interface
	}
	return s
}

// nextHops are the addresses of a next hop. Who has a link-local one only sends it
// beside ::, or twice.
func nextHops(a *pb.Attributes) (global, linkLocal string) {
	switch global, linkLocal = a.GetNextHop(), a.GetNextHopLinkLocal(); {
	case global == "::" && linkLocal != "":
		return "", linkLocal
	case global == linkLocal:
		return global, ""
	}
	return global, linkLocal
}

// from is the neighbor, or how else the route came here.
func from(m *pb.Route) string {
	if m.Neighbor != "" {
		return m.Neighbor
	}
	return "(" + word(m.Source) + ")"
}

func path(m *pb.Route) string {
	if s := api.ASPathText(m.Attributes.GetAsPath()); s != "" {
		return s
	}
	return "(empty)"
}

func communities(a *pb.Attributes) []string {
	var all []string
	for _, c := range a.GetCommunities() {
		all = append(all, wire.CommunityText(c))
	}
	for _, c := range a.GetLargeCommunities() {
		all = append(all, api.LargeCommunityText(c))
	}
	for _, c := range a.GetExtCommunities() {
		all = append(all, wire.ExtCommunity(c).String())
	}
	for _, c := range a.GetIpv6Communities() {
		all = append(all, ipv6Community(c))
	}
	return all
}

func ipv6Community(c []byte) string {
	if len(c) != 20 { // RFC 5701 section 2
		return fmt.Sprintf("0x%x", c)
	}
	return wire.IPv6CommunityText(c)
}

// reason is why a route is not used, with the rule.
func reason(m *pb.Route) string {
	switch {
	case m.Rule != nil && m.Status == pb.RouteStatus_ROUTE_STATUS_REJECTED:
		return ruleText(m.Rule)
	case m.Reason != "":
		return m.Reason
	case m.Status == pb.RouteStatus_ROUTE_STATUS_UNREACHABLE:
		return "next hop unreachable"
	}
	return ""
}

func (h *human) RouteCount(m *pb.CountRoutesResponse) error {
	return h.printf("%s, %s\n", plural(m.Prefixes, "prefix", "prefixes"), plural(m.Paths, "path", "paths"))
}

func (h *human) Lookup(m *pb.LookupResponse) error {
	if err := h.printf("%s, %s\n\n", m.Prefix, plural(uint64(len(m.Routes)), "path", "paths")); err != nil {
		return err
	}
	list := h.Routes(RouteColumns{Communities: true})
	for _, r := range m.Routes {
		if err := list.Add(r); err != nil {
			return err
		}
	}
	return list.Close()
}

func (h *human) Explain(m *pb.ExplainResponse) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", m.Prefix, plural(uint64(len(m.Candidates)), "path", "paths"))
	own := "" // the best of this router's own
	for _, c := range m.Candidates {
		if c.Route.Neighbor == "" {
			own = from(c.Route)
			break
		}
	}
	for i, c := range m.Candidates {
		r := c.Route
		mark := marks[r.Status]
		if h.o.Color && mark.paint != plain {
			mark.text = string(mark.paint) + mark.text + reset
		}
		id := ""
		if r.PathId != 0 {
			id = fmt.Sprintf(", path id %d", r.PathId)
		}
		where := ""
		if r.NeighborAddress != "" {
			where = " (" + r.NeighborAddress + ")"
		}
		fmt.Fprintf(&b, "\n%s %d. %s%s%s: %s\n", mark.text, i+1, from(r), where, id, verdict(c, own))
		var f facts
		if r.Status == pb.RouteStatus_ROUTE_STATUS_REJECTED {
			f.add("Rejected by", ruleText(r.Rule))
			var why []string
			for _, x := range c.Findings {
				why = append(why, x.Text)
			}
			f.add("Because", strings.Join(why, "; "))
		} else {
			f.add("Accepted by", ruleText(r.Rule))
		}
		h.attributes(&f, r.Attributes, r.Weight)
		f.add("Interface", r.Interface)
		if r.Discard {
			f.add("Packets", "are discarded")
		}
		f.add("RPKI", validityText(c))
		f.add("ASPA", c.Aspa)
		f.add("Source", word(r.Source))
		if r.Learned != nil {
			f.add("Learned", h.ago(r.Learned)+" ago ("+clock(r.Learned)+")")
		}
		if r.StaleSince != nil {
			f.add("Stale", "for "+h.ago(r.StaleSince)+": the neighbor may be restarting, or has not announced it again yet")
		}
		f.add("Last change", r.Cause)
		f.write(&b, "     ")
	}
	if s := m.Sending; s != nil {
		h.sending(&b, s)
	}
	for _, s := range m.AlsoSent {
		h.sending(&b, s)
	}
	return h.print(&b)
}

// validityText is the state of a route's origin, and by which VRPs.
func validityText(c *pb.Candidate) string {
	var all []string
	for _, v := range c.Covering {
		all = append(all, vrpText(v))
	}
	if len(all) == 0 {
		return c.Route.Rpki
	}
	return c.Route.Rpki + ", by " + strings.Join(all, ", ")
}

// sending says what a neighbor is sent.
func (h *human) sending(b *strings.Builder, s *pb.Sending) {
	var f facts
	if s.Sent {
		fmt.Fprintf(b, "\nSent to %s", s.Neighbor)
		if s.PathId != 0 {
			fmt.Fprintf(b, ", path id %d", s.PathId)
		}
		b.WriteByte('\n')
		f.add("Accepted by", ruleText(s.Rule))
		h.attributes(&f, s.Attributes, 0)
	} else {
		fmt.Fprintf(b, "\nNot sent to %s: %s\n", s.Neighbor, s.Reason)
		f.add("Rejected by", ruleText(s.Rule))
	}
	f.write(b, "     ")
}

// verdict is what the decision process said about a path. own is what paths of
// no neighbor lose to.
func verdict(c *pb.Candidate, own string) string {
	switch c.Route.Status {
	case pb.RouteStatus_ROUTE_STATUS_BEST:
		return "best"
	case pb.RouteStatus_ROUTE_STATUS_REJECTED:
		if c.Route.Reason != "" && c.Route.Rule == nil {
			return "rejected, " + c.Route.Reason
		}
		return "rejected"
	case pb.RouteStatus_ROUTE_STATUS_UNREACHABLE:
		return "not used, next hop unreachable"
	}
	if c.Lost == nil {
		return "not preferred"
	}
	winner := cmp.Or(c.Lost.To, own)
	s := fmt.Sprintf("loses to %s at step %d: %s", winner, c.Lost.Step, c.Lost.Rule)
	if c.Lost.Detail != "" {
		s += " (" + c.Lost.Detail + ")"
	}
	return s
}

// attributes lists what is present.
func (h *human) attributes(f *facts, a *pb.Attributes, weight uint32) {
	if a == nil {
		return
	}
	global, linkLocal := nextHops(a)
	if global != "" && linkLocal != "" {
		global += ", "
	}
	f.add("Next hop", global+linkLocal)
	if s := api.ASPathText(a.AsPath); s != "" {
		f.add("AS path", s)
	} else {
		f.add("AS path", "(empty)")
	}
	f.add("Origin", word(a.Origin))
	f.add("Local pref", number(a.GetLocalPref(), a.LocalPref != nil))
	f.add("MED", number(a.GetMed(), a.Med != nil))
	f.add("Weight", number(weight, weight != 0))
	f.add("Communities", strings.Join(communities(a), " "))
	if a.AtomicAggregate {
		f.add("Atomic aggregate", "yes")
	}
	if g := a.Aggregator; g != nil {
		f.add("Aggregator", fmt.Sprintf("AS %d, %s", g.Asn, g.Address))
	}
	f.add("Originator ID", a.OriginatorId)
	f.add("Cluster list", strings.Join(a.ClusterList, " "))
	f.add("Only to customer", number(a.GetOnlyToCustomer(), a.OnlyToCustomer != nil))
	if a.Aigp != nil {
		f.add("AIGP", strconv.FormatUint(*a.Aigp, 10))
	}
	for _, o := range a.Other {
		f.add(fmt.Sprintf("Attribute %d", o.Type), fmt.Sprintf("flags 0x%02x, 0x%x", o.Flags, o.Value))
	}
}
