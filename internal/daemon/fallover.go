package daemon

import (
	"context"
	"fmt"
	"net/netip"

	"holdfast/internal/fib"
	"holdfast/internal/kernel"
)

// fallOver ends sessions with their links and our addresses, until ctx is done.
// It listens by itself, so that it is there without kernel routes, and no routes
// stand before what it waits for.
func (d *daemon) fallOver(ctx context.Context) {
	w := &linkWatch{}
	d.keepWatching(ctx, "the kernel tells nothing of links any more: asking again", func() error {
		return kernel.WatchLinks(ctx, func(e fib.Event) {
			w.update(e)
			d.sessions.CheckLinks(w.fault)
		})
	})
}

// linkWatch knows the links, and our addresses.
type linkWatch struct {
	view fib.View
	own  map[netip.Addr]bool // that there were before the last news
	gone map[netip.Addr]bool // of them, those that are not any more
}

func (w *linkWatch) update(e fib.Event) {
	w.view.Update(e)
	if w.own == nil {
		w.own = map[netip.Addr]bool{}
	}
	for _, a := range e.Addrs {
		w.own[a.Prefix.Addr()] = true
	}
	w.gone = map[netip.Addr]bool{}
	for a := range w.own {
		if !w.view.Own(a) {
			w.gone[a] = true
			delete(w.own, a)
		}
	}
}

// fault is why a session cannot go on, "" if it can. An address that no
// interface has is none: the kernel may take packets for it all the same, as for
// all of 127.0.0.0/8.
func (w *linkWatch) fault(link string, local netip.Addr) string {
	if link != "" {
		switch l, ok := w.view.Link(link); {
		case !ok:
			return "interface " + link + " is gone"
		case !l.Up:
			return "interface " + link + " is down"
		}
	}
	if a := local.WithZone(""); w.gone[a] {
		return fmt.Sprintf("our address %v is gone", a)
	}
	return ""
}
