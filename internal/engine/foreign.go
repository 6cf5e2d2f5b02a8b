package engine

import (
	"holdfast/internal/attr"
	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// What others have in the kernel becomes routes of tables here, by policies, and
// is what conditional originations wait for; and static routes stand beside it.

// redistribute takes changed routes of others into tables or out of them.
func (c *Core) redistribute(changed []fib.Key) {
	cause := rib.NewCause(rib.CauseKernel, 0)
	for i := range c.cfg.Tables {
		cfg := &c.cfg.Tables[i]
		if cfg.Redistribute == nil {
			continue
		}
		for _, k := range changed {
			if k.Table == cfg.From {
				t := c.tables[i][k.Prefix.Family]
				c.standOne(t, localKernel, k.Prefix, c.redistributed(t, cfg, k.Prefix, c.hops.view.Routes(k)), cause)
			}
		}
	}
}

// setRedistribution makes the redistributed routes those that the policies of
// the configuration take.
func (c *Core) setRedistribution(cause rib.Cause) {
	if c.hops == nil {
		return
	}
	l := locals{}
	for i := range c.cfg.Tables {
		cfg := &c.cfg.Tables[i]
		if cfg.Redistribute == nil {
			continue
		}
		c.hops.view.All(cfg.From, func(p prefix.Prefix, routes []fib.Foreign) {
			t := c.tables[i][p.Family]
			if h := c.redistributed(t, cfg, p, routes); h != 0 {
				l.put(c.store, t, p, h)
			}
		})
	}
	c.stand(localKernel, l, cause)
}

// redistributed is the block of what the policy of a table makes of the first
// of some routes that can be used, with a reference; 0 if it takes none.
func (c *Core) redistributed(t *table, cfg *Table, p prefix.Prefix, routes []fib.Foreign) attr.Handle {
	if !routable(p) {
		return 0
	}
	for i := range routes {
		f := &routes[i]
		hop, mode, ok := c.foreignHop(f)
		if !ok {
			continue
		}
		source := policy.Source{Kind: foreignSource(f)}
		a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, Origin: wire.OriginIncomplete, NextHop: hop}
		r := cfg.Redistribute.Eval(cfg.Redistribute.Variant(p), &policy.Route{Attrs: &a, Source: &source}, &c.scratch)
		cfg.Redistribute.Count(r.Trace, 1)
		if !r.Accept {
			return 0
		}
		a.NextHop = hop // by which packets go; export policies change what is sent
		return c.local(t, source.Kind, mode, a)
	}
	return 0
}

// routable reports whether a prefix is one that leaves a link.
func routable(p prefix.Prefix) bool {
	a := p.Addr()
	return !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsLoopback()
}

func foreignSource(f *fib.Foreign) policy.SourceKind {
	const boot, static = 3, 4 // RTPROT_BOOT, RTPROT_STATIC
	switch {
	case f.Connected():
		return policy.Connected
	case f.Protocol == boot || f.Protocol == static:
		return policy.Static
	}
	return policy.Kernel
}

// foreignHop is the next hop of a kernel route as a block has it. False: it
// leads over links that are down.
func (c *Core) foreignHop(f *fib.Foreign) (hop []byte, mode policy.NextHopMode, ok bool) {
	if f.Action != fib.Unicast {
		return nil, policy.NextHopDiscard, true
	}
	for _, h := range f.Hops {
		if !c.hops.view.Up(h.Link) {
			continue
		}
		link := c.hops.view.LinkName(h.Link)
		if h.Gateway.IsValid() && !h.OnLink && !h.Gateway.IsLinkLocalUnicast() {
			return localHop(h.Gateway, ""), policy.NextHopDefault, true
		}
		return localHop(h.Gateway, link), policy.NextHopSelf, true
	}
	return nil, 0, false
}

// setStatics makes the configured static routes those that stand.
func (c *Core) setStatics(want []Static, cause rib.Cause) {
	l := locals{}
	for _, s := range want {
		t := c.tables[s.Table][s.Prefix.Family]
		a := wire.Attrs{Origin: wire.OriginIncomplete}
		mode := policy.NextHopDefault
		switch {
		case s.Discard:
			mode = policy.NextHopDiscard
		case s.Interface != "":
			mode = policy.NextHopSelf // no other router knows our interface
			fallthrough
		default:
			a.NextHop = localHop(s.NextHop, s.Interface)
		}
		l.put(c.store, t, s.Prefix, c.local(t, policy.Static, mode, a))
	}
	c.stand(localStatic, l, cause)
}

// inKernel reports whether somebody else has a usable kernel route for an
// origination's prefix.
func (c *Core) inKernel(o *Origination) bool {
	for _, f := range c.hops.view.Routes(fib.Key{Table: o.WhileInKernel, Prefix: o.Prefix}) {
		if _, _, ok := c.foreignHop(&f); ok {
			return true
		}
	}
	return false
}

// checkPresence follows changed kernel routes with the originations that want
// one.
func (c *Core) checkPresence(changed []fib.Key) {
	for _, k := range changed {
		o, ok := c.present[k]
		if !ok {
			continue
		}
		t := c.tables[o.Table][o.Prefix.Family]
		stands, is := t.standing[localOriginated][o.Prefix] != 0, c.inKernel(&o)
		switch {
		case is && !stands:
			c.log.Info("origination active again", "event", events.OriginationActive, "prefix", o.Prefix, "table", k.Table)
			c.standOne(t, localOriginated, o.Prefix, c.local(t, policy.Originated, policy.NextHopDefault, o.Attrs), rib.NewCause(rib.CauseKernel, 0))
		case !is && stands:
			c.log.Warn("origination inactive: the kernel route for the prefix is gone", "event", events.OriginationInactive, "prefix", o.Prefix, "table", k.Table)
			c.standOne(t, localOriginated, o.Prefix, 0, rib.NewCause(rib.CauseKernel, 0))
		}
	}
}
