package api

import (
	"context"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
)

// MonitorQuery selects events. Zero fields select everything.
type MonitorQuery struct {
	Neighbor string         // its sessions, and best paths from it or to it
	Prefix   *prefix.Prefix // only changes of this prefix,
	Longer   bool           // and of those inside it
	BestOnly bool           // no sessions
}

// EventKind says what has happened.
type EventKind uint8

const (
	EventStarted EventKind = iota // the first one
	EventRoute
	EventNeighborUp
	EventNeighborDown
	EventMissed // the client reads too slowly
)

// Event is something that has happened.
type Event struct {
	At   time.Time
	Kind EventKind

	// Of EventRoute. Old and New are nil if there was or is no best path.
	Table    string
	Prefix   prefix.Prefix
	Old, New *RouteInfo
	Cause    string

	// Of sessions; Reason of EventNeighborDown.
	Neighbor        string
	NeighborAddress netip.Addr
	Reason          string

	Missed uint64
}

func (s *server) Monitor(ctx context.Context, req *connect.Request[pb.MonitorRequest], out *connect.ServerStream[pb.MonitorResponse]) error {
	m := req.Msg
	q := MonitorQuery{Neighbor: m.Neighbor, Longer: m.Longer, BestOnly: m.BestOnly}
	if m.Prefix != "" {
		p, err := parsePrefix(m.Prefix)
		if err != nil {
			return failed(err)
		}
		q.Prefix = &p
	} else if q.Longer {
		return failed(Invalid("longer needs a prefix"))
	}
	err := s.r.Monitor(ctx, q, func(all []Event) error {
		for len(all) > 0 {
			n := min(len(all), batch)
			if err := out.Send(&pb.MonitorResponse{Events: each(all[:n], event)}); err != nil {
				return err
			}
			all = all[n:]
		}
		return nil
	})
	if err != nil {
		return failed(err)
	}
	return nil
}

func event(e Event) *pb.Event {
	m := &pb.Event{
		At: timestamp(e.At), Kind: pb.EventKind(e.Kind) + pb.EventKind_EVENT_KIND_STARTED, Table: e.Table,
		Cause: Printable(e.Cause), Neighbor: e.Neighbor, NeighborAddress: addrText(e.NeighborAddress),
		Reason: Printable(e.Reason), Missed: e.Missed,
	}
	if e.Kind == EventRoute {
		m.Prefix, m.Family = e.Prefix.String(), family(e.Prefix.Family)
	}
	if e.Old != nil {
		m.Old = route(e.Old)
	}
	if e.New != nil {
		m.New = route(e.New)
	}
	return m
}
