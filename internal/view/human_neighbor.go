package view

import (
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

// state is what a neighbor does, with a colour.
func state(n *pb.Neighbor) cell {
	switch {
	case n.Shutdown:
		return cell{"Shutdown", bad}
	case n.Held:
		return cell{"Held", bad}
	case n.State == pb.SessionState_SESSION_STATE_ESTABLISHED:
		return cell{stateNames[n.State], good}
	}
	return cell{stateNames[n.State], bad}
}

// where is a neighbor's address, or the interface on which it is to be found.
func where(n *pb.Neighbor) string {
	if n.Address == "" {
		return "on " + n.Interface
	}
	return n.Address
}

func (h *human) Neighbors(m *pb.ListNeighborsResponse) error {
	if len(m.Neighbors) == 0 {
		return h.printf("no neighbors\n")
	}
	t := h.table("NEIGHBOR", "ADDRESS", ">AS", "STATE", ">FOR", ">RECEIVED", ">ACCEPTED", ">ADVERTISED", "LAST RESET")
	for _, n := range m.Neighbors {
		var received, accepted, advertised uint64
		for _, f := range n.Families {
			received, accepted, advertised = received+f.Received, accepted+f.Accepted, advertised+f.Advertised
		}
		last := ""
		switch r := n.LastReset; {
		case n.Down != nil:
			last = h.down(n.Down)
		case r != nil:
			last = h.ago(r.At) + " ago: " + r.Reason
		}
		name := n.Name
		if n.Range != "" {
			name += " (dynamic)"
		}
		t.row(cell{text: name}, cell{text: where(n)}, cell{text: strconv.FormatUint(uint64(n.Asn), 10)}, state(n),
			cell{text: h.ago(n.Since)}, cell{text: Count(received)}, cell{text: Count(accepted)},
			cell{text: Count(advertised)}, cell{text: last})
	}
	return t.close()
}

// down is who keeps a session down, until when and why.
func (h *human) down(d *pb.Down) string {
	s := "down"
	if d.By != "" {
		s += " by " + d.By
	}
	s += " since " + clock(d.Since)
	if d.Until != nil {
		s += " until " + clock(d.Until)
	}
	return s + ": " + d.Reason
}

func (h *human) Neighbor(m *pb.GetNeighborResponse) error {
	n, d := m.Neighbor, m.Detail
	var b strings.Builder
	h.neighborFacts(&b, n, d)
	if err := h.print(&b); err != nil {
		return err
	}
	for _, section := range []*table{h.prefixes(n), h.timers(d), h.bfd(d.Bfd), h.capabilities(d), h.counters(d)} {
		if len(section.rows) == 1 {
			continue // headings over nothing
		}
		if err := h.printf("\n"); err != nil {
			return err
		}
		if err := section.close(); err != nil {
			return err
		}
	}
	return h.prefixLimits(n)
}

func (h *human) neighborFacts(b *strings.Builder, n *pb.Neighbor, d *pb.NeighborDetail) {
	kind := "external"
	if n.Internal {
		kind = "internal"
	}
	fmt.Fprintf(b, "Neighbor %s, %s, AS %d, %s\n", n.Name, where(n), n.Asn, kind)
	var f facts
	f.add("Description", n.Description)
	f.add("Tags", strings.Join(n.Tags, ", "))
	f.add("Group", n.Group)
	f.add("Interface", n.Interface)
	if n.Range != "" {
		f.add("Dynamic", "it has connected from neighbor_range "+n.Range)
	}
	s := state(n)
	text := s.text
	if h.o.Color {
		text = string(s.paint) + text + reset
	}
	if n.Shutdown || n.Held {
		text += ", session " + stateNames[n.State]
	}
	if ago := h.ago(n.Since); ago != "" {
		text += " for " + ago
	}
	if n.Held {
		text += ", until \"holdfast clear neighbor " + n.Name + "\""
	}
	f.add("State", text)
	if n.Pending {
		f.add("Pending", "settings that count from the next session on (\"holdfast clear neighbor "+n.Name+"\")")
	}
	if n.GracefulShutdown {
		f.add("Draining", "traffic is led elsewhere (graceful shutdown, RFC 8326)")
	}
	if d := n.Down; d != nil {
		f.add("Kept down", strings.TrimPrefix(h.down(d), "down "))
	} else if n.ShutdownMessage != "" {
		f.add("Message", strconv.Quote(n.ShutdownMessage))
	}
	f.add("Router ID", n.RouterId)
	f.add("Local AS", strconv.FormatUint(uint64(n.LocalAsn), 10))
	if n.Role != "" {
		role := "we are their " + n.Role
		if theirs := d.Negotiated.GetRole(); theirs != "" {
			role += ", they say they are our " + theirs
		}
		f.add("Role", role)
	}
	if d.Local != "" || d.Remote != "" {
		f.add("Connection", d.Local+" to "+d.Remote)
	}
	var transport []string
	for _, t := range []struct {
		on   bool
		text string
	}{
		{d.Passive, "passive"}, {d.MultihopTtl > 0, fmt.Sprintf("multihop, TTL %d", d.MultihopTtl)},
		{d.Gtsm, "TTL security (GTSM)"}, {d.Md5, "MD5 password"},
	} {
		if t.on {
			transport = append(transport, t.text)
		}
	}
	f.add("Transport", strings.Join(transport, "; "))
	f.add("Import", policies(d.Import, n))
	f.add("Export", policies(d.Export, n))
	if d.UpdateGroup > 0 {
		f.add("Update group", strconv.FormatUint(uint64(d.UpdateGroup), 10))
	}
	if r := n.LastReset; r == nil {
		f.add("Last reset", "none since the start")
	} else {
		f.add("Last reset", fmt.Sprintf("%s ago (%s): %s", h.ago(r.At), clock(r.At), r.Reason))
		if n := r.Notification; n != nil && !strings.Contains(r.Reason, fmt.Sprintf("(%d/%d)", n.Code, n.Subcode)) {
			f.add("NOTIFICATION", notification(n))
		}
	}
	f.add("Sessions", Count(d.Counters.GetSessions())+" established since the start")
	f.write(b, "  ")
}

// policies says what stands where none is configured: nothing passes to and
// from another AS (RFC 8212).
func policies(names []string, n *pb.Neighbor) string {
	switch {
	case len(names) > 0:
		return strings.Join(names, ", ")
	case n.Internal:
		return "no policy: everything passes"
	}
	return "no policy: nothing passes"
}

func notification(n *pb.Notification) string {
	if n == nil {
		return ""
	}
	way := "received"
	if n.Sent {
		way = "sent"
	}
	return way + " " + api.Printable(wire.NotificationText(uint8(n.Code), uint8(n.Subcode), n.Data))
}

func (h *human) indented(headings ...string) *table {
	t := h.table(headings...)
	t.indent = "  "
	return t
}

func (h *human) prefixes(n *pb.Neighbor) *table {
	t := h.indented("PREFIXES", ">RECEIVED", ">ACCEPTED", ">REJECTED", ">ADVERTISED", ">LIMIT", "END-OF-RIB")
	for _, f := range n.Families {
		limit := "none"
		if f.Limit != nil {
			limit = Count(f.Limit.Max)
		}
		eor := "not negotiated"
		if f.Negotiated {
			eor = map[[2]bool]string{
				{true, true}: "received, sent", {true, false}: "received", {false, true}: "sent", {false, false}: "none yet",
			}[[2]bool{f.EndOfRibReceived, f.EndOfRibSent}]
		}
		t.texts(familyNames[f.Family], Count(f.Received), Count(f.Accepted), Count(f.Rejected), Count(f.Advertised), limit, eor)
	}
	return t
}

// prefixLimits says what is kept, and what happens at the limits.
func (h *human) prefixLimits(n *pb.Neighbor) error {
	var b strings.Builder
	for _, f := range n.Families {
		if f.StaleUntil != nil {
			kept := "kept"
			if f.LongLived {
				kept = "kept as a last resort"
			}
			fmt.Fprintf(&b, "  Stale %s: %s %s for %s, until %s at the most\n", familyNames[f.Family], plural(f.Stale, "path", "paths"), kept, h.ago(f.StaleSince), clock(f.StaleUntil))
		}
		if f.MaxAdvertised > 0 {
			fmt.Fprintf(&b, "  Limit %s: at most %s advertised: %s held back\n", familyNames[f.Family], Count(f.MaxAdvertised), Count(f.HeldBack))
		}
		l := f.Limit
		if l == nil {
			continue
		}
		what := "accepted"
		if l.CountsReceived {
			what = "received"
		}
		action := l.Action
		if l.RestartIn.AsDuration() > 0 {
			action += " after " + Duration(l.RestartIn.AsDuration())
		}
		fmt.Fprintf(&b, "  Limit %s: more than %s %s: %s", familyNames[f.Family], Count(l.Max), what, action)
		if l.WarnAt > 0 {
			fmt.Fprintf(&b, "; warning at %s", Count(l.WarnAt))
		}
		b.WriteByte('\n')
	}
	if b.Len() == 0 {
		return nil
	}
	return h.printf("\n%s", b.String())
}

func (h *human) timers(d *pb.NeighborDetail) *table {
	t := h.indented("TIMER", ">CONFIGURED", ">NEGOTIATED")
	c, g := d.ConfiguredTimers, d.Negotiated.GetTimers()
	negotiated := func(text string) string {
		if g == nil {
			return ""
		}
		return text
	}
	t.texts("hold", seconds(c.GetHold()), negotiated(seconds(g.GetHold())))
	t.texts("keepalive", seconds(c.GetKeepalive()), negotiated(seconds(g.GetKeepalive())))
	t.texts("send hold", seconds(c.GetSendHold()), negotiated(seconds(g.GetSendHold())))
	t.texts("connect retry", seconds(c.GetConnectRetry()), "")
	return t
}

// capabilities shows both ways side by side: those of one code together.
func (h *human) capabilities(d *pb.NeighborDetail) *table {
	type row struct {
		name  string
		texts [2][]string
		has   [2]bool
	}
	var rows []*row
	byCode := map[uint32]*row{}
	for way, all := range [2][]*pb.Capability{d.CapabilitiesSent, d.CapabilitiesReceived} {
		for _, c := range all {
			r := byCode[c.Code]
			if r == nil {
				r = &row{name: c.Name}
				byCode[c.Code] = r
				rows = append(rows, r)
			}
			r.has[way] = true
			if c.Text != "" {
				r.texts[way] = append(r.texts[way], c.Text)
			}
		}
	}
	t := h.indented("CAPABILITY", "SENT", "RECEIVED")
	for _, r := range rows {
		var shown [2]string
		for way := range shown {
			switch {
			case !r.has[way]:
				shown[way] = "no"
			case r.texts[way] == nil:
				shown[way] = "yes"
			default:
				shown[way] = strings.Join(r.texts[way], ", ")
			}
		}
		t.texts(r.name, shown[0], shown[1])
	}
	return t
}

func (h *human) counters(d *pb.NeighborDetail) *table {
	c := d.Counters
	in, out := c.GetIn(), c.GetOut()
	t := h.indented("MESSAGES", ">RECEIVED", ">SENT")
	for _, r := range []struct {
		name    string
		in, out uint64
	}{
		{"OPEN", in.GetOpen(), out.GetOpen()}, {"UPDATE", in.GetUpdate(), out.GetUpdate()},
		{"NOTIFICATION", in.GetNotification(), out.GetNotification()},
		{"KEEPALIVE", in.GetKeepalive(), out.GetKeepalive()}, {"ROUTE-REFRESH", in.GetRefresh(), out.GetRefresh()},
	} {
		t.texts(r.name, Count(r.in), Count(r.out))
	}
	t.texts("bytes", Count(in.GetBytes()), Count(out.GetBytes()))
	t.texts("treated as withdraw", Count(c.GetTreatAsWithdraw()), "")
	t.texts("attributes discarded", Count(c.GetAttributesDiscarded()), "")
	t.texts("route leaks", Count(c.GetRouteLeaks()), "")
	t.texts("too large to send", "", Count(c.GetUnsendable()))
	t.texts("waiting to be sent", "", Count(c.GetQueued()))
	return t
}
