package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/events"
	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

const (
	// keepLeft is how long a neighbor of a range stays without a session, for
	// people to see why, and so that one that flaps is not another one each
	// time.
	keepLeft = time.Minute
	// settled is how long it must have been without one to go for somebody else:
	// one that has just come has none yet.
	settled = 5 * time.Second
	// sweepEvery is how often those are looked for that have gone.
	sweepEvery = 10 * time.Second
	// fewLeft numbers wait until it is worth a walk over all blocks to see
	// whether they can be used again.
	fewLeft = 64
)

// ranges are the session's part of neighbor ranges.
func ranges(cfg *config.Config) []session.Range {
	var all []session.Range
	for _, g := range cfg.Ranges {
		t := sessionTransport(&g.Example.Transport)
		t.Remote = netip.Addr{}
		// So many may come back at once.
		all = append(all, session.Range{Name: g.Name, Addresses: g.Addresses, Limit: max(g.Limit, 16), Transport: t})
	}
	return all
}

// withMembers is cfg with what has been found out since: the neighbors of ranges
// that are here and that cfg still wants, and addresses of those on interfaces.
func (d *daemon) withMembers(cfg *config.Config) *config.Config {
	running := *cfg
	running.Neighbors = slices.Clone(cfg.Neighbors)
	for _, n := range members(d.running) {
		t := &n.Transport
		g := cfg.RangeOf(t.Address)
		if g != nil && g.Name == n.Range && g.Allows(t.ASN) && configured(cfg, t.Address.String()) == nil {
			running.Neighbors = append(running.Neighbors, cfg.Member(g, t.Address, t.ASN))
		}
	}
	keepFound(&running, d.running)
	return &running
}

// members are the neighbors that have come from ranges.
func members(cfg *config.Config) []*config.Neighbor {
	if cfg == nil {
		return nil
	}
	var all []*config.Neighbor
	for _, n := range cfg.Neighbors {
		if n.Range != "" {
			all = append(all, n)
		}
	}
	return all
}

// setMembers makes change, which gets a copy, to the neighbors that run.
func (d *daemon) setMembers(change func([]*config.Neighbor) []*config.Neighbor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	running := *d.running
	running.Neighbors = change(slices.Clone(running.Neighbors))
	d.running = &running
}

// welcome decides about a router that has connected from a range. It is a
// session.Welcome.
func (d *daemon) welcome(_ string, from netip.Addr, asn uint32) *session.Close {
	d.applying.Lock()
	defer d.applying.Unlock()
	rejected := func(format string, args ...any) *session.Close { // RFC 4486 section 4
		return &session.Close{Code: wire.CodeCease, Subcode: wire.CeaseRejected, Text: fmt.Sprintf(format, args...)}
	}
	cfg := d.cfg
	if cfg == nil { // the first one could not be had: the router ends
		return rejected("the router has not started")
	}
	g := cfg.RangeOf(from)
	switch {
	case configured(d.running, from.String()) != nil: // a reload was quicker
		return nil
	case g == nil:
		return rejected("it is in no neighbor_range any more")
	case g.Example.Shutdown:
		c := fsm.Shutdown(g.Example.ShutdownReason)
		return &c
	case !g.Allows(asn): // RFC 4271 section 6.2
		return &session.Close{Code: wire.CodeOpen, Subcode: 2, Text: fmt.Sprintf("AS %d is none of the range's", asn)}
	case !d.roomIn(g):
		return rejected("the range has %d neighbors, which is its limit", g.Limit)
	}
	n := cfg.Member(g, from, asn)
	if err := d.join(cfg, n); err != nil {
		d.Log.Error("cannot take a neighbor in", "event", events.NeighborRefused, "neighbor", n.Name, "error", err)
		return &session.Close{Code: wire.CodeCease, Subcode: wire.CeaseOutOfResource, Text: err.Error()}
	}
	d.Log.Info("neighbor joined", "event", events.NeighborJoined, "neighbor", n.Name, "range", g.Name, "asn", asn)
	return nil
}

// roomIn reports whether a range may have one neighbor more. The one that has
// been without a session for longest has to go for it, one that may be restarting
// only if there is no other.
func (d *daemon) roomIn(g *config.Range) bool {
	var there []*config.Neighbor
	for _, m := range members(d.running) {
		if m.Range == g.Name {
			there = append(there, m)
		}
	}
	if len(there) < g.Limit {
		return true
	}
	var idle [2]*config.Neighbor // [1]: its routes are kept
	since := [2]time.Time{time.Now().Add(-settled), time.Now().Add(-settled)}
	kept := d.kept()
	for _, m := range there {
		id, i := d.id(m), 0
		if kept[id] {
			i = 1
		}
		if st, ok := d.sessions.Status(id); ok && hasLeft(&st) && st.Since.Before(since[i]) {
			idle[i], since[i] = m, st.Since
		}
	}
	goes := cmp.Or(idle[0], idle[1])
	if goes == nil {
		return false
	}
	d.leave([]*config.Neighbor{goes})
	return len(there)-1 < g.Limit
}

// kept are the neighbors whose routes are kept, as they may be restarting.
func (d *daemon) kept() (ids map[packet.ID]bool) {
	d.engine.Do(func(c *engine.Core) { ids = c.Kept() })
	return ids
}

// mayCome reports whether a neighbor of this name may connect from a range.
func mayCome(cfg *config.Config, name string) bool {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return false
	}
	from, err := netip.ParseAddr(name[i+1:])
	g := cfg.RangeOf(from)
	return err == nil && g != nil && g.Name == name[:i]
}

// hasLeft reports whether nothing is to be kept of a neighbor that came by
// itself: it has no session and begins none, and nobody keeps it down.
func hasLeft(st *session.Status) bool {
	return st.Established == nil && st.State < fsm.OpenSent && !st.Shutdown && !st.Stopped && !st.Refusing
}

// join makes n a neighbor.
func (d *daemon) join(cfg *config.Config, n *config.Neighbor) error {
	d.mu.Lock()
	full := d.ids.full()
	d.mu.Unlock()
	if full {
		d.findUnused()
	}
	d.mu.Lock()
	en, err := engineNeighbor(cfg, n, d.ids)
	d.mu.Unlock()
	if err != nil {
		return err
	}
	d.engine.Do(func(c *engine.Core) { c.Join(en) })
	d.setMembers(func(all []*config.Neighbor) []*config.Neighbor { return append(all, n) })
	if err := d.setSession(n); err != nil {
		d.leave([]*config.Neighbor{n})
		return err
	}
	return nil
}

// leave ends neighbors that have come from ranges.
func (d *daemon) leave(all []*config.Neighbor) {
	var ids []packet.ID
	var going sync.WaitGroup
	for _, n := range all {
		id := d.id(n)
		ids = append(ids, id)
		going.Go(func() { d.sessions.Remove(id) })
		d.Log.Info("neighbor left", "event", events.NeighborLeft, "neighbor", n.Name)
	}
	going.Wait()
	d.engine.Do(func(c *engine.Core) {
		for _, id := range ids {
			c.Leave(id)
		}
	})
	d.setMembers(func(now []*config.Neighbor) []*config.Neighbor {
		return slices.DeleteFunc(now, func(n *config.Neighbor) bool { return slices.Contains(all, n) })
	})
	d.watchByBFD()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range all {
		d.ids.leave(n)
	}
}

// sweep removes neighbors of ranges that have gone, until ctx is done.
func (d *daemon) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.sweepOnce(now)
		}
	}
}

func (d *daemon) sweepOnce(now time.Time) {
	d.applying.Lock()
	defer d.applying.Unlock()
	var left []*config.Neighbor
	kept := d.kept() // which go when they have not come back in time
	for _, n := range members(d.running) {
		id := d.id(n)
		if st, ok := d.sessions.Status(id); ok && hasLeft(&st) && now.Sub(st.Since) >= keepLeft && !kept[id] {
			left = append(left, n)
		}
	}
	if len(left) > 0 {
		d.leave(left)
	}
	d.mu.Lock()
	worth := len(d.ids.left) >= fewLeft
	d.mu.Unlock()
	if worth {
		d.findUnused()
	}
}

// findUnused asks the engine which numbers of those that have left can be given
// to others.
func (d *daemon) findUnused() {
	d.mu.Lock()
	left := slices.Clone(d.ids.left)
	d.mu.Unlock()
	var free []packet.ID
	d.engine.Do(func(c *engine.Core) { free = c.Unused(left) })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ids.unused(free)
}
