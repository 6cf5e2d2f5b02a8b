package engine

import (
	"context"
	"time"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
)

// NeighborState is what the engine knows of a neighbor.
type NeighborState struct {
	Up       bool
	Draining bool // traffic is led elsewhere (RFC 8326)
	Families [prefix.Families]FamilyState
	Bad      BadUpdates
}

// FamilyState is what a neighbor has in one family.
type FamilyState struct {
	Negotiated bool
	Paths      int // received
	Accepted   int // of them
	Advertised int // prefixes
	Held       int // prefixes that are held back by Family.MaxOut
	// Stale are paths that are kept since a session that has ended at StaleSince,
	// until StaleUntil at the most; LongLived as a last resort (RFC 9494).
	Stale                  int
	StaleSince, StaleUntil time.Time
	LongLived              bool
	Group                  uint32
	// EndOfRIBReceived and EndOfRIBSent are about the current session.
	EndOfRIBReceived, EndOfRIBSent bool
}

// States returns the state of every neighbor of the running configuration.
func (e *Engine) States(ctx context.Context) (map[packet.ID]NeighborState, error) {
	states := map[packet.ID]NeighborState{}
	err := e.ask(ctx, func(c *Core) {
		for _, n := range c.cfg.Neighbors {
			states[n.ID] = c.state(n.ID, e.start)
		}
	})
	return states, err
}

// State returns the state of one neighbor; it is zero for one that the engine
// does not know.
func (e *Engine) State(ctx context.Context, id packet.ID) (s NeighborState, err error) {
	err = e.ask(ctx, func(c *Core) { s = c.state(id, e.start) })
	return s, err
}

func (c *Core) state(id packet.ID, start time.Time) NeighborState {
	if int(id) >= len(c.neighbors) {
		return NeighborState{}
	}
	n := c.neighbors[id]
	s := NeighborState{Up: n.up, Draining: c.draining(n), Bad: n.bad}
	for f := range s.Families {
		k := &n.counts[f]
		s.Families[f] = FamilyState{Negotiated: n.up && n.est.Read.Families[f], Paths: k.paths, Accepted: k.accepted}
		if x := &s.Families[f]; k.kept.since != 0 {
			at := func(seconds uint32) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
			x.Stale, x.StaleSince, x.StaleUntil, x.LongLived = k.kept.paths, at(k.kept.since-1), at(k.kept.until), k.kept.long
		}
		if n.up {
			s.Families[f].EndOfRIBReceived = k.endOfRIB
		}
		if m := n.members[f]; m != nil {
			x, g := &s.Families[f], m.Group()
			x.Advertised, x.Held, x.EndOfRIBSent, x.Group = m.Count(), g.Held(), m.SentEndOfRIB(), g.Number
		}
	}
	return s
}

// TableState counts a family.
type TableState struct {
	Prefixes   uint64 // with a best path
	Paths      uint64 // rejected ones included
	Originated uint64 // by this router, aggregates included
	Groups     int    // update groups
	Behind     int    // their members that catch up
	Installs   bool   // routes go to the kernel:
	Installed  int    // that are there,
	Refused    int    // and that it does not take
}

// Tables counts both families of all tables.
func (e *Engine) Tables(ctx context.Context) (s [][prefix.Families]TableState, err error) {
	err = e.ask(ctx, func(c *Core) {
		c.distribute() // which counts
		s = make([][prefix.Families]TableState, len(c.tables))
		for i, pair := range c.tables {
			for f, t := range pair {
				s[i][f] = TableState{Prefixes: uint64(t.BestCount()), Paths: uint64(t.PathCount()), Originated: t.originated(),
					Groups: len(t.groups), Behind: t.behind()}
				if x := t.install; x != nil {
					s[i][f].Installs, s[i][f].Installed, s[i][f].Refused = true, x.count, len(x.failed)
				}
			}
		}
	})
	return s, err
}

// behind counts the members of update groups that catch up.
func (t *table) behind() (n int) {
	for _, g := range t.groups {
		for _, m := range g.Members() {
			if m.Busy() {
				n++
			}
		}
	}
	return n
}

// originated counts the routes of this router's own that stand.
func (t *table) originated() (n uint64) {
	n = uint64(len(t.standing[localOriginated]))
	for p := range t.announced {
		if t.standing[localOriginated][p] == 0 {
			n++
		}
	}
	for _, a := range t.aggregates {
		if a.contributors > 0 {
			n++
		}
	}
	return n
}

// PolicyHits is what the programs of all neighbors and update groups counted
// for one policy.
type PolicyHits struct {
	Rules map[string]uint64 // by name
	End   uint64            // routes that came to the end
}

// Hits sums the counters of policies by name.
func (e *Engine) Hits(ctx context.Context) (map[string]*PolicyHits, error) {
	hits := map[string]*PolicyHits{}
	err := e.ask(ctx, func(c *Core) {
		for p := range c.programs() {
			of := func(name string) *PolicyHits {
				h := hits[name]
				if h == nil {
					h = &PolicyHits{Rules: map[string]uint64{}}
					hits[name] = h
				}
				return h
			}
			for _, r := range p.Hits() {
				of(r.Policy).Rules[r.Rule] += r.Hits
			}
			for name, n := range p.Ends() {
				of(name).End += n
			}
		}
	})
	return hits, err
}

// programs are all that count. A group may run a program that equals that of
// its members without being one of theirs.
func (c *Core) programs() map[*policy.Program]bool {
	all := map[*policy.Program]bool{}
	for _, n := range c.cfg.Neighbors {
		for f := range n.Families {
			// What runs, and not what was asked for: see keep.
			all[c.neighbors[n.ID].Families[f].Import] = true
			all[c.neighbors[n.ID].Families[f].Export] = true
		}
	}
	c.all(func(t *table) {
		for _, g := range t.groups {
			all[g.Program()] = true
		}
		if t.install != nil {
			all[t.install.Policy] = true
		}
	})
	for i := range c.cfg.Tables {
		all[c.cfg.Tables[i].Redistribute] = true
	}
	for _, l := range c.leaks {
		all[l.Policy] = true
	}
	delete(all, nil)
	return all
}

// MemoryItem is what one kind of structure takes.
type MemoryItem struct {
	Name         string
	Count, Bytes uint64
}

// Memory measures the tables and tells how many paths they have.
func (e *Engine) Memory(ctx context.Context) (items []MemoryItem, paths uint64, err error) {
	err = e.ask(ctx, func(c *Core) { items, paths = c.memory() })
	return items, paths, err
}

func (c *Core) memory() (items []MemoryItem, paths uint64) {
	add := func(name string, count int, bytes uint64) {
		if bytes > 0 {
			items = append(items, MemoryItem{name, uint64(count), bytes})
		}
	}
	c.all(func(t *table) {
		name, u := c.memoryName(t), t.Usage()
		add(name+"prefixes with their best paths", t.Len(), u.Entries)
		add(name+"prefix index", t.Len(), u.Index)
		add(name+"other paths", max(t.PathCount()-t.Len(), 0), u.Chunks)
		add(name+"journal", 0, u.Journal)
		paths += uint64(t.PathCount())
	})
	u := c.store.Usage()
	add("attribute blocks", u.Blocks, u.Bytes)
	add("attribute records", u.Blocks, u.Records)
	add("attribute index", u.Blocks, u.Slot)
	add("import results", u.Blocks, c.imports.Bytes())
	c.all(func(t *table) {
		var out, memo, behind uint64
		routes, members := 0, 0
		for _, g := range t.groups {
			o, m := g.Bytes()
			out, memo, routes = out+o, memo+m, routes+g.Count()
			for _, m := range g.Members() {
				if b := m.Bytes(); b > 0 {
					behind, members = behind+b, members+1
				}
			}
		}
		name := c.memoryName(t)
		if t.install != nil {
			add(name+"kernel routes", t.install.count, t.install.bytes())
		}
		add(name+"Adj-RIB-Out of update groups", routes, out)
		if n := t.env.PathIDs(); n > 0 {
			add(name+"path IDs of update groups", 0, n)
		}
		add(name+"export results of update groups", len(t.groups), memo)
		add(name+"neighbors catching up", members, behind)
	})
	return items, paths
}

// memoryName is what the structures of a table are listed under.
func (c *Core) memoryName(t *table) string {
	name := t.Family().String() + " "
	if t.id > 0 && int(t.id) < len(c.cfg.Tables) {
		name = c.cfg.Tables[t.id].Name + " " + name
	}
	return name
}

// SoftIn judges again what neighbors have sent, and asks those for all of it
// that can do that. It returns those whose sessions are up; of others there is
// nothing.
func (e *Engine) SoftIn(ctx context.Context, ids ...packet.ID) (up []packet.ID, err error) {
	err = e.ask(ctx, func(c *Core) {
		which := map[packet.ID]bool{}
		cause := rib.NewCause(rib.CauseOperator, 0)
		for _, n := range c.upOf(ids) {
			for f, on := range n.est.Read.Families {
				if on {
					n.out.Refresh(prefix.Family(f))
				}
			}
			which[n.ID], up = true, append(up, n.ID)
		}
		if len(up) == 1 {
			cause = rib.NewCause(rib.CauseOperator, uint32(up[0]))
		}
		c.revise(which, cause, false)
	})
	return up, err
}

// SoftOut sends neighbors everything again. It returns those whose sessions are
// up.
func (e *Engine) SoftOut(ctx context.Context, ids ...packet.ID) (up []packet.ID, err error) {
	err = e.ask(ctx, func(c *Core) {
		for _, n := range c.upOf(ids) {
			for _, m := range n.members {
				if m != nil {
					m.Refresh(n.est.EnhancedRefresh)
				}
			}
			up = append(up, n.ID)
		}
	})
	return up, err
}

func (c *Core) upOf(ids []packet.ID) (up []*neighbor) {
	for _, id := range ids {
		if int(id) < len(c.neighbors) && c.neighbors[id].up && !c.neighbors[id].closing {
			up = append(up, c.neighbors[id])
		}
	}
	return up
}
