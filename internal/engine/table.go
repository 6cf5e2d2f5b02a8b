package engine

import (
	"slices"

	"holdfast/internal/export"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
)

// TableID numbers the router's tables. 0 is the main one.
type TableID uint8

// table is one of the router's tables in one family, with what hangs on it.
type table struct {
	*rib.Table
	id         TableID
	env        *export.Env
	groups     []*export.Group
	aggregates []*aggregate
	leaks      []*leak    // out of this table
	install    *installer // nil where nothing goes to the kernel
	// standing are the blocks of this router's own routes, but for aggregates.
	standing [localKinds]handles
	// announced are those that operators stand in the place of originated ones.
	announced handles
}

func (c *Core) newTable(id TableID, f prefix.Family) *table {
	t := &table{Table: rib.New(f, c.store, &c.infos), id: id}
	if c.hops != nil {
		t.Hops = &c.hops.Hops
	}
	t.IsFirst = protects(c.cfg.Protect)
	t.env = &export.Env{Store: c.store, Table: t.Table, Neighbors: &c.infos, Sources: &c.sources, VRPs: &c.vrps,
		Unsendable: c.unsendable, Limited: c.limited, Referenced: t.referenced}
	return t
}

// growTables makes sure that there are n tables.
func (c *Core) growTables(n int) {
	for len(c.tables) < n {
		var pair [prefix.Families]*table
		for f := range prefix.Family(prefix.Families) {
			pair[f] = c.newTable(TableID(len(c.tables)), f)
		}
		c.tables = append(c.tables, pair)
	}
}

// of is the table that a neighbor's routes are in.
func (c *Core) of(n *neighbor, f prefix.Family) *table { return c.tables[n.Table][f] }

// all calls f for every table, in order.
func (c *Core) all(f func(t *table)) {
	for _, pair := range c.tables {
		for _, t := range pair {
			f(t)
		}
	}
}

// referenced asks the groups that get their turn last first: while one has not
// looked at a prefix, the others need not be asked.
func (t *table) referenced(id rib.ID) bool {
	for _, g := range slices.Backward(t.groups) {
		if g.Needs(id) {
			return true
		}
	}
	return t.install != nil && t.install.needs(id)
}

// group finds an update group with these parameters, nil if there is none.
func (t *table) group(p export.Params) *export.Group {
	for _, g := range t.groups {
		if g.Params == p {
			return g
		}
	}
	return nil
}
