package daemon

import (
	"cmp"
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/fsm"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

var families = [...]prefix.Family{prefix.IPv4, prefix.IPv6}

// Neighbors implements api.Router.
func (r *router) Neighbors(ctx context.Context) ([]api.Neighbor, error) {
	states, err := r.engine.States(ctx)
	if err != nil {
		return nil, err
	}
	cfg, _, _ := r.current()
	all := make([]api.Neighbor, 0, len(cfg.Neighbors))
	for _, n := range cfg.Neighbors {
		st, _ := r.sessions.Status(r.id(n))
		all = append(all, r.withDown(neighborLine(n, &st, states[r.id(n)])))
	}
	slices.SortFunc(all, func(a, b api.Neighbor) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

// details is all about all neighbors, by name.
func (r *router) details(ctx context.Context) ([]api.NeighborDetail, error) {
	states, err := r.engine.States(ctx)
	if err != nil {
		return nil, err
	}
	cfg, _, _ := r.current()
	bfds := r.bfd()
	all := make([]api.NeighborDetail, 0, len(cfg.Neighbors))
	for _, n := range cfg.Neighbors {
		id := r.id(n)
		st, _ := r.sessions.Status(id)
		out := neighborDetail(n, &st, states[id])
		out.BFD = watched(bfds, n.Name)
		all = append(all, out)
	}
	return all, nil
}

// Neighbor implements api.Router.
func (r *router) Neighbor(ctx context.Context, name string) (api.NeighborDetail, error) {
	n, id, err := r.find(name)
	if err != nil {
		return api.NeighborDetail{}, err
	}
	state, err := r.engine.State(ctx, id)
	st, _ := r.sessions.Status(id)
	out := neighborDetail(n, &st, state)
	out.Neighbor = r.withDown(out.Neighbor)
	out.BFD = watched(r.bfd(), n.Name)
	return out, err
}

// withDown adds who keeps a session down.
func (r *router) withDown(n api.Neighbor) api.Neighbor {
	if e, ok := r.downed(n.Name); ok {
		n.Down = &api.Down{Reason: e.Reason, By: e.By, Since: e.Since, Until: e.Until.Time()}
	}
	return n
}

func neighborLine(n *config.Neighbor, st *session.Status, s engine.NeighborState) api.Neighbor {
	out := api.Neighbor{
		Name: n.Name, Group: n.Group, Range: n.Range, Interface: n.Transport.Interface, Description: n.Description, Tags: n.Tags, Address: n.Transport.Address,
		ASN: n.Transport.ASN, LocalASN: n.Transport.LocalASN, Internal: !n.EBGP(), State: api.State(st.State), Since: st.Since,
		Shutdown: st.Shutdown, LastReset: lastReset(st), Message: message(st),
		Held: st.Stopped && !st.Shutdown, Pending: st.Pending, Draining: s.Draining,
	}
	if n.Transport.Role != config.NoRole {
		out.Role = n.Transport.Role.String()
	}
	if e := st.Established; e != nil {
		out.RouterID, out.ASN, out.LocalASN = addr4(e.RemoteID), e.RemoteASN, e.LocalASN
	}
	for _, f := range families {
		if n.Transport.Families[f] {
			out.Families = append(out.Families, neighborFamily(f, &n.Families[f], &s.Families[f]))
		}
	}
	return out
}

func neighborFamily(f prefix.Family, c *config.Family, s *engine.FamilyState) api.NeighborFamily {
	out := api.NeighborFamily{
		Family: f, Negotiated: s.Negotiated, Received: uint64(s.Paths), Accepted: uint64(s.Accepted),
		Rejected: uint64(s.Paths - s.Accepted), Advertised: uint64(s.Advertised), MaxAdvertised: uint64(c.MaxPrefixesOut), HeldBack: uint64(s.Held),
		Stale: uint64(s.Stale), StaleSince: s.StaleSince, StaleUntil: s.StaleUntil, LongLived: s.LongLived,
		EndOfRIBReceived: s.EndOfRIBReceived, EndOfRIBSent: s.EndOfRIBSent,
	}
	if m := &c.MaxPrefixes; m.Limit > 0 {
		l := limit(*m)
		out.Limit = &api.PrefixLimit{Max: uint64(l.Max), WarnAt: uint64(l.Warn), Received: !l.AfterPolicy, Action: m.Action.String(), RestartIn: l.RestartIn}
	}
	return out
}

// message is what an administrator said about a session that is down, here or
// there.
func message(st *session.Status) string {
	switch e := st.LastReset; {
	case st.Shutdown:
		return st.ShutdownMessage
	case st.Established == nil && e != nil && e.Reason.Kind == fsm.NotificationReceived &&
		e.Reason.Code == wire.CodeCease && e.Reason.Subcode == wire.CeaseShutdown:
		return e.Reason.Text
	}
	return ""
}

// lastReset is the end of the last session. While there is none, a refusal that
// came after it, or without any session before, says more: the neighbor has
// another AS, or nobody answers.
func lastReset(st *session.Status) *api.Reset {
	e := st.LastReset
	if x := st.LastError; x != nil && st.Established == nil {
		if e == nil || x.Reason.Code != 0 && x.At.After(e.At) {
			e = x
		}
	}
	if e == nil {
		return nil
	}
	out := &api.Reset{At: e.At, Reason: e.Reason.String()}
	if k := e.Reason.Kind; k == fsm.NotificationSent || k == fsm.NotificationReceived {
		out.Notification = &api.Notification{
			Sent: k == fsm.NotificationSent, Code: e.Reason.Code, Subcode: e.Reason.Subcode, Data: []byte(e.Reason.Data),
		}
	}
	return out
}

func neighborDetail(n *config.Neighbor, st *session.Status, s engine.NeighborState) api.NeighborDetail {
	t := &n.Transport
	out := api.NeighborDetail{
		Neighbor: neighborLine(n, st, s), Local: st.Local, Remote: st.Remote, Passive: t.Passive,
		GTSM: t.MinTTL > 0, MD5: t.Password.Reveal() != "",
		LastEstablished: st.LastEstablished, Sent: capabilities(st.Sent), Received: capabilities(st.Received),
		Configured: api.Timers{
			Hold: t.HoldTime, Keepalive: t.Keepalive, SendHold: sendHold(t.HoldTime), ConnectRetry: n.ConnectRetry,
		},
		Counters: api.Counters{
			In: messageCounts(st.In), Out: messageCounts(st.Out), Sessions: st.Sessions, Queued: uint64(st.Queued),
			TreatAsWithdraw: s.Bad.Withdrawn, Discarded: s.Bad.Discarded, Unsendable: s.Bad.Unsendable, Leaks: s.Bad.Leaks,
		},
	}
	if e := st.LastReset; e != nil {
		out.LastDown = e.At
	}
	if usual := map[bool]uint8{true: 1, false: 255}[n.EBGP()]; t.MinTTL == 0 && t.TTL != usual {
		out.MultihopTTL = t.TTL
	}
	for _, f := range families {
		if t.Families[f] {
			out.Import = union(out.Import, n.Families[f].Import)
			out.Export = union(out.Export, n.Families[f].Export)
		}
		out.UpdateGroup = cmp.Or(out.UpdateGroup, s.Families[f].Group)
	}
	if st.Established != nil {
		out.Negotiated = negotiated(st.Established)
	}
	return out
}

// sendHold is what a session uses (RFC 9687 sections 4.1 and 4.3).
func sendHold(hold time.Duration) time.Duration {
	if hold == 0 {
		return 0
	}
	return max(8*time.Minute, 2*hold)
}

func negotiated(e *session.Established) *api.Negotiated {
	out := &api.Negotiated{
		Timers: api.Timers{Hold: e.Hold, Keepalive: e.Keepalive, SendHold: e.SendHold},
		AS4:    e.Read.AS4, ExtMsg: e.Read.ExtMsg, ExtNH: e.Write.ExtNH, Refresh: e.Refresh, EnhancedRefresh: e.EnhancedRefresh,
	}
	for _, f := range families {
		if e.Read.Families[f] {
			out.Families = append(out.Families, f)
		}
		if e.Read.AddPath[f] {
			out.AddPath = append(out.AddPath, f)
		}
		if e.Write.AddPath[f] {
			out.AddPathSend = append(out.AddPathSend, f)
		}
	}
	if e.RemoteRole >= 0 {
		out.Role = wire.RoleName(uint8(e.RemoteRole))
	}
	return out
}

func capabilities(all []session.Capability) []api.Capability {
	out := make([]api.Capability, len(all))
	for i, c := range all {
		out[i] = api.Capability{Code: c.Code, Value: c.Value}
	}
	return out
}

func messageCounts(c session.Counts) api.MessageCounts {
	return api.MessageCounts{
		Open: c.Open, Update: c.Update, Notification: c.Notification, Keepalive: c.Keepalive, Refresh: c.Refresh, Bytes: c.Bytes,
	}
}

// union adds what is not there yet.
func union(to, more []string) []string {
	for _, s := range more {
		if !slices.Contains(to, s) {
			to = append(to, s)
		}
	}
	return to
}

func addr4(id uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], id)
	return netip.AddrFrom4(b)
}
