package daemon

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
)

// Monitor implements api.Router.
func (r *router) Monitor(ctx context.Context, q api.MonitorQuery, fn func([]api.Event) error) error {
	f := engine.MonitorFilter{Prefix: q.Prefix, Longer: q.Longer, BestOnly: q.BestOnly}
	if q.Neighbor != "" {
		_, id, err := r.find(q.Neighbor)
		if err != nil {
			return err
		}
		f.Neighbor = id
	}
	started := false
	names := r.names() // and those that a reload removes meanwhile
	err := r.engine.Monitor(ctx, f, func(all []engine.Observation, missed uint64) error {
		s := r.shown()
		maps.Copy(names, s.neighbors)
		s.neighbors = names
		var events []api.Event
		if !started {
			started = true
			events = append(events, api.Event{At: time.Now(), Kind: api.EventStarted})
		}
		for i := range all {
			events = append(events, s.event(&all[i]))
		}
		if missed > 0 {
			events = append(events, api.Event{At: time.Now(), Kind: api.EventMissed, Missed: missed})
		}
		return fn(events)
	})
	if errors.Is(err, engine.ErrMonitors) {
		return api.Refused("as many monitors as there may be are running: end one of them")
	}
	return err
}

func (s *selection) event(o *engine.Observation) api.Event {
	e := api.Event{At: o.At}
	switch o.Kind {
	case engine.NeighborUp:
		e.Kind = api.EventNeighborUp
	case engine.NeighborDown:
		e.Kind, e.Reason = api.EventNeighborDown, o.Reason.String()
	default:
		e.Kind, e.Prefix = api.EventRoute, o.Prefix
		if names := s.router.tables(); int(o.Table) < len(names) {
			e.Table = names[o.Table]
		}
		e.Cause = causeText(o.Cause, s.neighbors)
		e.Old, e.New = s.bestOf(o.Old), s.bestOf(o.New)
		return e
	}
	if n := s.neighbors[o.Neighbor]; n != nil {
		e.Neighbor, e.NeighborAddress = n.Name, n.Transport.Address
	}
	return e
}

func (s *selection) bestOf(x *engine.Route) *api.RouteInfo {
	if x == nil {
		return nil
	}
	info, _ := s.info(x) // of a neighbor that came and went, without its name
	return &info
}

// causeText is a cause in words.
func causeText(c rib.Cause, neighbors map[packet.ID]*config.Neighbor) string {
	name := func() string {
		if n := neighbors[packet.ID(c.Subject())]; n != nil {
			return n.Name
		}
		return "a neighbor that is gone"
	}
	switch k := c.Kind(); k {
	case rib.CauseNone:
		return ""
	case rib.CauseRevision:
		return k.String() + " " + strconv.FormatUint(uint64(c.Subject()), 10)
	case rib.CauseOperator:
		if c.Subject() == 0 {
			return k.String()
		}
		return k.String() + ", about " + name()
	case rib.CauseUpdate, rib.CauseDown, rib.CauseUp, rib.CauseRefresh, rib.CauseLimit:
		return k.String() + " " + name()
	default:
		return k.String()
	}
}
