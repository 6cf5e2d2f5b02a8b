package engine

import (
	"maps"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// Configure makes cfg the running configuration. Sessions stay as they are;
// what neighbors are sent and what is accepted from them is worked out again
// from what is stored, and only differences are sent. Sessions of neighbors
// that cfg has no more must be down.
func (c *Core) Configure(cfg Config) {
	cause := rib.NewCause(rib.CauseRevision, cfg.Revision)
	old := c.cfg
	c.cfg = cfg
	c.growTables(len(cfg.Tables))
	c.infos[0].RouterID = cfg.RouterID
	c.sources[0].Source = policy.Source{Kind: policy.Originated}
	e := c.setNeighbors(cfg.Neighbors)
	e.sources = e.sources || old.MeshedClients != cfg.MeshedClients
	c.endKeeping()
	decision := cfg.Decision
	decision.SharedNeighborAS = sharedNeighborAS(cfg.Neighbors)
	again := e.order
	c.all(func(t *table) {
		again = again || t.Decision != decision
		t.Decision = decision
		t.env.ClusterID, t.env.MeshedClients = cfg.ClusterID, cfg.MeshedClients
		c.setDefault(t)
	})
	if old.ASN != cfg.ASN || old.ClusterID != cfg.ClusterID || old.RouterID != cfg.RouterID {
		for i := range c.neighbors {
			e.revise[packet.ID(i)] = true
		}
	}
	if c.hops != nil && !slices.EqualFunc(old.Tables, cfg.Tables, func(a, b Table) bool { return slices.Equal(a.Resolve, b.Resolve) }) {
		c.reresolveAll()
	}
	c.revise(e.revise, cause, true)
	if again {
		c.redecide(cause)
	}
	c.setProtected(old.Protect)
	c.setInstallers(e.sources)
	c.setOriginations(cfg.Originate, cause)
	c.setStatics(cfg.Static, cause)
	c.setRedistribution(cause)
	c.setAggregates(cfg.Aggregate, cause)
	c.setLeaks(cfg.Leaks, e.sources, cause)
	c.distribute() // what has happened is known before groups give prefixes back
	c.regroup(old.ClusterID != cfg.ClusterID || old.Decision.DefaultLocalPref != cfg.Decision.DefaultLocalPref)
	if e.sources {
		c.all(func(t *table) {
			for _, g := range t.groups {
				g.Reconsider()
				for _, id := range e.resend {
					g.Resend(id)
				}
			}
		})
	}
	c.all(c.dropDefault)
	c.jobs = append(c.jobs, job{0, c.checkLimits})
}

// edits are what new settings of neighbors ask for.
type edits struct {
	revise  map[packet.ID]bool // whose routes must be judged again
	order   bool               // best paths may be others
	sources bool               // export policies may decide otherwise
	resend  []packet.ID        // whose routes look different
}

// setNeighbors takes the neighbors' settings over.
func (c *Core) setNeighbors(want []Neighbor) (e edits) {
	e.revise = map[packet.ID]bool{}
	configured := map[packet.ID]bool{}
	for _, w := range want {
		for int(w.ID) >= len(c.neighbors) {
			c.neighbors = append(c.neighbors, &neighbor{})
			c.infos = append(c.infos, rib.NeighborInfo{})
			c.sources = append(c.sources, export.Neighbor{})
		}
		n := c.neighbors[w.ID]
		configured[w.ID] = true
		changed := n.Checks != w.Checks || n.ASN != w.ASN || n.LocalASN != w.LocalASN || n.PrependLocal != w.PrependLocal || n.EBGP != w.EBGP ||
			n.Drain != w.Drain || n.Role != w.Role || n.HonorShutdown != w.HonorShutdown || n.Verification != w.Verification
		for f := range w.Families {
			was, is := &n.Families[f], &w.Families[f]
			var same bool
			if is.Import, same = keep(was.Import, is.Import); !same {
				changed = true
			}
			is.Export, _ = keep(was.Export, is.Export)
		}
		known := n.ID != 0
		n.Neighbor = w
		if changed {
			e.revise[w.ID] = true
		}
		info, addr := &c.infos[w.ID], n.address().As16()
		e.order = e.order || known && (info.EBGP != w.EBGP || info.Addr != addr)
		info.EBGP, info.Addr = w.EBGP, addr
		source := export.Neighbor{Source: w.Source, OTC: w.onlyToCustomer()}
		for f := range w.Families {
			source.Client[f] = w.Families[f].Client
		}
		if known && c.sources[w.ID].OTC != source.OTC {
			e.resend = append(e.resend, w.ID)
		}
		e.sources = e.sources || known && c.sources[w.ID] != source
		c.sources[w.ID] = source
	}
	for id, n := range c.neighbors {
		n.drained = n.drained && configured[packet.ID(id)] // the next with this ID is another one
	}
	return e
}

func (n *neighbor) hasPaths() bool {
	return n.counts[prefix.IPv4].paths+n.counts[prefix.IPv6].paths > 0
}

// keep prefers the program that runs, with its counters, to an equal one.
func keep(old, new *policy.Program) (p *policy.Program, same bool) {
	if old == nil || new == nil {
		return new, old == new
	}
	if !old.Equal(new) {
		return new, false
	}
	old.Relabel(new)
	return old, true
}

// sharedNeighborAS reports whether two paths may have come through the same
// neighbor AS, so that MED may decide between them.
func sharedNeighborAS(neighbors []Neighbor) bool {
	seen := map[uint32]bool{}
	for _, n := range neighbors {
		if !n.EBGP || n.AddPath || n.PrependLocal || !n.Checks.EnforceFirstAS || seen[n.ASN] {
			return true
		}
		seen[n.ASN] = true
		for f := range n.Families {
			if p := n.Families[f].Import; p != nil && p.Prepends() {
				return true
			}
		}
	}
	return false
}

// setDefault makes the block and the pinned prefix of default-originate.
func (c *Core) setDefault(t *table) {
	if c.wantsDefault(t) && t.env.DefaultRoute == 0 {
		t.env.DefaultRoute = c.local(t, policy.Originated, policy.NextHopDefault, wire.Attrs{})
		t.Pin(prefix.Prefix{Family: t.Family()})
	}
}

// wantsDefault reports whether a neighbor is to be sent a default route.
func (c *Core) wantsDefault(t *table) bool {
	return slices.ContainsFunc(c.cfg.Neighbors, func(n Neighbor) bool {
		return c.tables[n.Table][t.Family()] == t && n.Families[t.Family()].DefaultOriginate
	})
}

// dropDefault gives both back when nobody is sent the default route any more.
func (c *Core) dropDefault(t *table) {
	e := t.env
	if e.DefaultRoute == 0 || c.wantsDefault(t) {
		return
	}
	c.store.Release(e.DefaultRoute)
	e.DefaultRoute = 0
	id := t.Lookup(prefix.Prefix{Family: t.Family()})
	t.Unpin(id)
	if t.Best(id) == nil && !t.referenced(id) {
		t.Collect(id)
	}
}

// revise judges the routes of some neighbors again. Their memos are dropped
// first: nothing of the old policies is left. hits says to count them for the
// rules, which is right for programs that have not seen them.
func (c *Core) revise(which map[packet.ID]bool, cause rib.Cause, hits bool) {
	if len(which) == 0 {
		return
	}
	// Blocks may outlive the paths of a session: their memos go in any case.
	c.forgetImports(which)
	maps.DeleteFunc(which, func(id packet.ID, _ bool) bool { return !c.neighbors[id].hasPaths() })
	if len(which) == 0 {
		return
	}
	c.revising++
	c.eachSlice(func(t *table, from rib.ID) rib.ID {
		return c.reviseSlice(t, from, cause, func(id packet.ID) bool { return which[id] }, hits)
	})
	c.jobs = append(c.jobs, job{0, func() bool {
		c.revising--
		return c.checkLimits()
	}})
}

// checkLimits holds all neighbors to their limits.
func (c *Core) checkLimits() (done bool) {
	for _, n := range c.neighbors {
		for f := range prefix.Family(prefix.Families) {
			c.limit(n, f)
		}
	}
	return true
}

// forgetImports drops what is known of blocks of neighbors.
func (c *Core) forgetImports(of map[packet.ID]bool) {
	var stale []attr.Handle
	c.store.Each(func(h attr.Handle, r *attr.Record) {
		if of[r.Key.Neighbor] && r.Key.Neighbor != 0 {
			stale = append(stale, h)
		}
	})
	for _, h := range stale {
		c.store.Retain(h, 1) // forgetting one may free another
	}
	for _, h := range stale {
		c.imports.Forget(h)
	}
	for _, h := range stale {
		c.store.Release(h)
	}
}

func (c *Core) redecide(cause rib.Cause) {
	c.eachSlice(func(t *table, from rib.ID) rib.ID { return t.Redecide(from, c.pace.walk, cause) })
}

// eachSlice walks over all tables as a job.
func (c *Core) eachSlice(step func(*table, rib.ID) rib.ID) {
	c.all(func(t *table) {
		from := rib.ID(1)
		c.jobs = append(c.jobs, job{0, func() bool {
			from = step(t, from)
			return from == 0
		}})
	})
}

// regroup puts the members of the update groups where they belong now.
func (c *Core) regroup(encoding bool) {
	c.all(func(t *table) {
		for _, g := range slices.Clone(t.groups) {
			c.regroupOne(t, g, encoding)
		}
	})
}

func (c *Core) regroupOne(t *table, g *export.Group, encoding bool) {
	encoding = encoding && !g.EBGP // LOCAL_PREF and CLUSTER_LIST
	type place struct {
		p       export.Params
		nextHop *packet.NextHop
	}
	places := map[*export.Member]place{}
	first, alike := export.Params{}, true
	for i, m := range g.Members() {
		p, nextHop := c.params(c.neighbors[m.ID], g.Family)
		places[m] = place{p, nextHop}
		if i == 0 {
			first = p
		}
		alike = alike && p == first
	}
	if alike && first == g.Params {
		if encoding {
			g.RedoAll(true)
		}
		for m, pl := range places {
			m.SetNextHop(pl.nextHop)
		}
		return
	}
	if alike && t.group(first) == nil && first.RouteServer == g.RouteServer {
		// The usual case: a policy that all of them have in common was edited.
		old := g.Params
		old.Policy, old.MaxOut, old.SendSuppressed, old.AddPath = first.Policy, first.MaxOut, first.SendSuppressed, first.AddPath
		g.Replace(first, c.neighbors[g.Members()[0].ID].Families[g.Family].Export, encoding || old != first)
		for m, pl := range places {
			m.SetNextHop(pl.nextHop)
		}
		return
	}
	for m, pl := range places {
		if pl.p == g.Params {
			m.SetNextHop(pl.nextHop)
			continue
		}
		n := c.neighbors[m.ID]
		old := g.Params
		old.Policy, old.MaxOut, old.SendSuppressed, old.AddPath = pl.p.Policy, pl.p.MaxOut, pl.p.SendSuppressed, pl.p.AddPath
		n.members[g.Family] = c.group(pl.p, n).Move(m, pl.nextHop, encoding || old != pl.p)
	}
	if encoding && len(g.Members()) > 0 {
		g.RedoAll(true)
	}
	t.dropEmpty(g)
}
