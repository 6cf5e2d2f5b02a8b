package daemon

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"holdfast/internal/config"
	"holdfast/internal/events"
	"holdfast/internal/radv"
)

// links are the interfaces of neighbors that have no address: we advertise
// ourselves there, and take the address of who does as well.
type links struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	ends   map[string]context.CancelFunc
}

func newLinks() *links {
	l := &links{ends: map[string]context.CancelFunc{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// close returns when nothing is advertised any more.
func (l *links) close() {
	l.cancel()
	l.wg.Wait()
}

// watchLinks advertises on the interfaces that cfg has neighbors on, and no
// others.
func (d *daemon) watchLinks(cfg *config.Config) {
	l := d.links
	wanted := map[string]bool{}
	for _, n := range cfg.Neighbors {
		if name := n.Transport.Interface; name != "" {
			wanted[name] = true
		}
	}
	for name, end := range l.ends {
		if !wanted[name] {
			end()
			delete(l.ends, name)
		}
	}
	for name := range wanted {
		if l.ends[name] != nil {
			continue
		}
		ctx, end := context.WithCancel(l.ctx)
		l.ends[name] = end
		l.wg.Go(func() {
			radv.Watch(ctx, name, d.Log, func(from netip.Addr) { d.found(ctx, name, from) })
		})
	}
}

// found is told of each router advertisement. A session stays with the address
// that it has.
func (d *daemon) found(ctx context.Context, name string, from netip.Addr) {
	d.applying.Lock()
	defer d.applying.Unlock()
	i := onLink(d.running, name)
	if i < 0 || ctx.Err() != nil || d.running.Neighbors[i].Transport.Address == from {
		return
	}
	n := *d.running.Neighbors[i]
	if st, _ := d.sessions.Status(d.id(&n)); st.Established != nil && st.Remote.Addr() != from {
		return
	}
	n.Transport.Address = from
	d.setMembers(func(all []*config.Neighbor) []*config.Neighbor {
		all[i] = &n
		return all
	})
	d.Log.Info("neighbor found", "event", events.NeighborFound, "neighbor", n.Name, "address", from)
	if err := d.setSession(&n); err != nil && ctx.Err() == nil {
		d.Log.Error("cannot connect to a neighbor", "event", events.NeighborRefused, "neighbor", n.Name, "error", err)
	}
}

// onLink is the index of the neighbor that an interface has for itself, -1 if
// there is none.
func onLink(cfg *config.Config, name string) int {
	return slices.IndexFunc(cfg.Neighbors, func(n *config.Neighbor) bool { return n.Transport.Interface == name })
}

// keepFound gives neighbors of a new configuration the addresses that were
// found for the old one.
func keepFound(cfg, was *config.Config) {
	if was == nil {
		return
	}
	for i, n := range cfg.Neighbors {
		name := n.Transport.Interface
		if name == "" {
			continue
		}
		if at := onLink(was, name); at >= 0 {
			with := *n
			with.Transport.Address = was.Neighbors[at].Transport.Address
			cfg.Neighbors[i] = &with
		}
	}
}
