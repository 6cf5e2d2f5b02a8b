package engine

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"holdfast/internal/fib"
)

// NextHop is one that blocks have, and how it is resolved.
type NextHop struct {
	Table TableID
	Addr  netip.Addr // with its interface as zone, where that is part of it
	fib.Resolution
	Links  []string   // names of the interfaces of Hops
	Via    netip.Addr // that a route of our own leads to it by; invalid: none
	Blocks int
}

// CountNextHops counts what NextHops lists.
func (e *Engine) CountNextHops(ctx context.Context) (all, unreachable int, err error) {
	err = e.ask(ctx, func(c *Core) {
		if c.hops == nil {
			return
		}
		for i := range c.hops.list {
			if h := &c.hops.list[i]; h.refs > 0 {
				all++
				if h.Hops == nil {
					unreachable++
				}
			}
		}
	})
	return all, unreachable, err
}

// NextHops returns the next hops that are tracked, in order; false if none are.
func (e *Engine) NextHops(ctx context.Context) (all []NextHop, tracked bool, err error) {
	err = e.ask(ctx, func(c *Core) {
		if tracked = c.hops != nil; !tracked {
			return
		}
		for i := range c.hops.list {
			h := &c.hops.list[i]
			if h.refs == 0 {
				continue
			}
			n := NextHop{Table: h.table, Addr: plainAddr(h.addr), Resolution: h.Resolution, Blocks: h.refs}
			n.Hops = slices.Clone(h.Hops)
			for _, x := range h.Hops {
				n.Links = append(n.Links, c.hops.view.LinkName(x.Link))
			}
			if h.via != 0 {
				n.Via = plainAddr(c.hops.list[h.via].addr)
			}
			all = append(all, n)
		}
	})
	slices.SortFunc(all, func(a, b NextHop) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), a.Addr.Compare(b.Addr))
	})
	return all, tracked, err
}

// plainAddr is an IPv4 address with an interface as people write it.
func plainAddr(a netip.Addr) netip.Addr {
	if a.Is4In6() && a.Zone() == "" {
		return a.Unmap()
	}
	return a
}
