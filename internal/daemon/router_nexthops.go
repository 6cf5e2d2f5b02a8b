package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"holdfast/internal/api"
	"holdfast/internal/engine"
	"holdfast/internal/kernel"
)

// tables are the names of all tables that there have been, by their numbers.
func (d *daemon) tables() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.ids.tables...)
}

// onLinks is who the kernel knows on its links.
func (d *daemon) onLinks() ([]kernel.Neighbor, error) {
	if d.kernel == nil {
		return nil, nil
	}
	return d.kernel.Neighbors()
}

// tableID finds a table by name, "" being the main one.
func (r *router) tableID(name string) (engine.TableID, error) {
	if name == "" {
		return 0, nil
	}
	cfg, _, _ := r.current()
	for i, t := range r.tables() {
		if t == name && (i == 0 || cfg.Table(name) != nil) {
			return engine.TableID(i), nil
		}
	}
	return 0, api.NotFound("there is no table %q", name)
}

// NextHops implements api.Router.
func (r *router) NextHops(ctx context.Context) (all []api.NextHop, tracked bool, err error) {
	hops, tracked, err := r.engine.NextHops(ctx)
	if err != nil || !tracked {
		return nil, tracked, err
	}
	known, err := r.onLinks()
	if err != nil {
		return nil, true, fmt.Errorf("cannot ask the kernel who is on its links: %w", err)
	}
	type place struct {
		addr netip.Addr
		link int
	}
	who := map[place]*kernel.Neighbor{}
	for i := range known {
		who[place{known[i].Addr, known[i].Link}] = &known[i]
	}
	names := r.tables()
	for i := range hops {
		h := &hops[i]
		n := api.NextHop{Address: h.Addr, Reachable: h.Hops != nil, Reason: h.Why, Cost: h.Cost, OnLink: h.OnLink, Via: h.Via, Attributes: uint64(h.Blocks)}
		if int(h.Table) < len(names) {
			n.Table = names[h.Table]
		}
		for k, x := range h.Hops {
			w := api.NextHopWay{Gateway: x.Gateway, Interface: h.Links[k]}
			if on := who[place{x.Gateway, x.Link}]; on != nil {
				w.State = on.State
				if len(on.MAC) > 0 {
					w.MAC = net.HardwareAddr(on.MAC).String()
				}
			}
			n.Ways = append(n.Ways, w)
		}
		all = append(all, n)
	}
	return all, true, nil
}
