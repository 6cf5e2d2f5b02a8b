package api

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TraceEvent is a message, or what has happened to a session besides.
type TraceEvent struct {
	At            time.Time
	Note          string // "" with a message
	Sent          bool   // by us, else received
	Local, Remote netip.AddrPort
	Message       []byte
	Agreed        *wire.Options // how UPDATEs are to be read, nil if not known yet
	Lost          uint64        // events before this one
}

func traceEvent(e TraceEvent) *pb.TraceEvent {
	m := &pb.TraceEvent{At: timestamp(e.At), Note: Printable(e.Note), Sent: e.Sent, Local: portText(e.Local), Remote: portText(e.Remote),
		Message: e.Message, Lost: e.Lost}
	if e.Note == "" {
		m.Type, m.Text = DescribeMessage(e.Message, e.Agreed)
	}
	return m
}

// maxListed is how many prefixes of one UPDATE are listed.
const maxListed = 100

var messageNames = map[uint8]string{
	wire.MsgOpen: "OPEN", wire.MsgUpdate: "UPDATE", wire.MsgNotification: "NOTIFICATION", wire.MsgKeepalive: "KEEPALIVE", wire.MsgRefresh: "ROUTE-REFRESH",
}

// DescribeMessage says what a BGP message is and what it says, a fact on each
// line. o is how its UPDATEs are to be read, nil if that is not known yet.
func DescribeMessage(msg []byte, o *wire.Options) (name string, text []string) {
	if len(msg) < wire.HeaderLen {
		return "", []string{"no message: it is too short", hexText(msg)}
	}
	typ, n, err := wire.ParseHeader(msg, wire.MaxExtendedLen)
	if err == nil && n != len(msg) {
		err = &wire.Error{Code: wire.CodeHeader, Subcode: 2, Why: "the length is wrong"}
	}
	if err != nil {
		return "", []string{fmt.Sprintf("no message: %s", err), hexText(msg)}
	}
	body := msg[wire.HeaderLen:]
	switch typ {
	case wire.MsgOpen:
		text = openText(body)
	case wire.MsgUpdate:
		text = updateText(body, o)
	case wire.MsgNotification:
		if n, err := wire.ParseNotification(body); err == nil {
			text = []string{n.String()}
		} else {
			text = malformed(err, body)
		}
	case wire.MsgRefresh:
		text = refreshText(body)
	}
	for i := range text {
		text[i] = Printable(text[i])
	}
	return messageNames[typ], text
}

func malformed(err *wire.Error, body []byte) []string {
	return []string{"malformed: " + err.Error(), hexText(body)}
}

func hexText(b []byte) string {
	const shown = 64
	if len(b) > shown {
		return fmt.Sprintf("%d bytes: %x…", len(b), b[:shown])
	}
	return fmt.Sprintf("%d bytes: %x", len(b), b)
}

func openText(body []byte) []string {
	o, err := wire.ParseOpen(body)
	if err != nil && len(body) < 10 {
		return malformed(err, body)
	}
	text := []string{fmt.Sprintf("version %d, AS %d, hold time %d s, router ID %s", body[0], o.ASN, o.HoldTime, addr4Text(o.ID))}
	for _, c := range wire.OpenCapabilities(body) {
		m := capability(Capability{Code: c.Code, Value: c.Value})
		line := "capability " + m.Name
		if m.Text != "" {
			line += ": " + m.Text
		}
		text = append(text, line)
	}
	if err != nil {
		text = append(text, malformed(err, body)...)
	}
	return text
}

func refreshText(body []byte) []string {
	r, err := wire.ParseRefresh(body)
	if err != nil {
		return malformed(err, body)
	}
	what, ok := map[uint8]string{
		wire.RefreshRequest: "asks for all routes of ", wire.RefreshBegin: "begins to send all routes of ", wire.RefreshEnd: "has sent all routes of ",
	}[r.Subtype]
	if !ok {
		what = fmt.Sprintf("subtype %d of ", r.Subtype)
	}
	return []string{what + r.FamilyID.String()}
}

func updateText(body []byte, o *wire.Options) []string {
	if o == nil { // it comes too early: as most routers would mean it
		o = &wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true, true}}
	}
	var u wire.Update
	if err := wire.Split(body, o, &u); err != nil {
		return malformed(err, body)
	}
	if f, ok := u.EndOfRIB(); ok {
		return []string{"End-of-RIB " + f.String()}
	}
	var text []string
	for _, n := range []struct {
		what string
		wire.NLRI
		on bool
	}{{"withdraws", u.Withdrawn, len(u.Withdrawn.Data) > 0}, {"withdraws", u.Unreach, u.HasUnreach}, {"announces", u.Announced, len(u.Announced.Data) > 0}, {"announces", u.Reach, u.HasReach}} {
		if !n.on {
			continue
		}
		line, err := prefixesText(n.NLRI)
		if err != nil {
			return append(text, malformed(err, body)...)
		}
		text = append(text, n.what+" "+line)
	}
	if u.Ignored {
		text = append(text, "has routes of a family that was not negotiated")
	}
	// The NLRI field has its next hop among the attributes.
	mp := len(u.Announced.Data) == 0
	block, v := u.Validate(o, mp, nil)
	if len(block) > 0 {
		var a wire.Attrs
		nextHop := []byte(nil)
		if mp {
			nextHop = u.ReachNextHop
		}
		wire.Parse(block, nextHop, &a)
		text = append(text, attributesText(&a)...)
	}
	switch v.Action {
	case wire.AttributeDiscard:
		text = append(text, "attributes discarded (RFC 7606): "+v.Why)
	case wire.TreatAsWithdraw:
		text = append(text, "treated as withdrawn (RFC 7606): "+v.Why, hexText(u.Attrs))
	case wire.Reset:
		text = append(text, malformed(v.Err, body)...)
	}
	return text
}

func prefixesText(n wire.NLRI) (string, *wire.Error) {
	routes, err := n.Decode(nil)
	var words []string
	for _, r := range routes[:min(len(routes), maxListed)] {
		s := r.Prefix.String()
		if n.AddPath {
			s += fmt.Sprintf(" #%d", r.PathID)
		}
		words = append(words, s)
	}
	if more := len(routes) - maxListed; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, ", "), err
}

// attributesText has a line for the attributes that everybody looks for, and one
// for each kind of the others.
func attributesText(a *wire.Attrs) []string {
	var first []string
	add := func(on bool, format string, args ...any) {
		if on {
			first = append(first, fmt.Sprintf(format, args...))
		}
	}
	global, linkLocal := nextHops(a.NextHop)
	add(a.Has&wire.HasOrigin != 0, "origin %s", wire.OriginName(a.Origin))
	add(a.Has&wire.HasASPath != 0, "path %s", pathOrEmpty(a.ASPath))
	add(global != "", "next hop %s", global)
	add(linkLocal != "", "and %s", linkLocal)
	add(a.Has&wire.HasMED != 0, "MED %d", a.MED)
	add(a.Has&wire.HasLocalPref != 0, "local pref %d", a.LocalPref)
	add(a.Has&wire.HasAtomicAggregate != 0, "atomic aggregate")
	add(a.Has&wire.HasAggregator != 0, "aggregator AS %d %s", a.AggregatorAS, addr4Text(a.AggregatorID))
	add(a.Has&wire.HasOriginatorID != 0, "originator %s", addr4Text(a.OriginatorID))
	add(a.Has&wire.HasOTC != 0, "only to customer %d", a.OTC)
	add(a.Has&wire.HasAIGP != 0, "AIGP %d", a.AIGP)
	var text []string
	if len(first) > 0 {
		text = append(text, strings.Join(first, ", "))
	}
	for _, k := range []struct {
		name string
		b    []byte
		size int
		one  func([]byte) string
	}{
		{"cluster list", a.ClusterList, 4, func(b []byte) string { return netip.AddrFrom4([4]byte(b)).String() }},
		{"communities", a.Communities, 4, func(b []byte) string { return wire.CommunityText(binary.BigEndian.Uint32(b)) }},
		{"large communities", a.LargeCommunities, 12, func(b []byte) string { return wire.LargeAt(b).String() }},
		{"extended communities", a.ExtCommunities, 8, func(b []byte) string { return wire.ExtAt(b).String() }},
		{"IPv6 communities", a.IPv6Communities, 20, wire.IPv6CommunityText},
	} {
		if len(k.b) >= k.size {
			text = append(text, k.name+" "+list(k.b, k.size, k.one))
		}
	}
	for _, o := range others(a.Other) {
		text = append(text, fmt.Sprintf("attribute %d, flags %02x, %s", o.Type, o.Flags, hexText(o.Value)))
	}
	return text
}

func pathOrEmpty(path []byte) string {
	if len(path) == 0 {
		return "(empty)"
	}
	return wire.PathText(path)
}
