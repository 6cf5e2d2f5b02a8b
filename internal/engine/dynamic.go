package engine

import (
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
)

// Join adds a neighbor to the configuration as Configure would, but looks at no
// route: none is its own. Its ID is new, or one that Unused has returned.
func (c *Core) Join(n Neighbor) {
	c.cfg.Neighbors = append(slices.Clip(c.cfg.Neighbors), n)
	c.setNeighbors([]Neighbor{n})
	shared := sharedNeighborAS(c.cfg.Neighbors)
	c.all(func(t *table) {
		// What has been compared so far had no paths of this neighbor.
		t.Decision.SharedNeighborAS = t.Decision.SharedNeighborAS || shared
		c.setDefault(t)
	})
}

// Leave takes a neighbor out, whose session must be down. Its routes may still
// be on their way out.
func (c *Core) Leave(id packet.ID) {
	c.cfg.Neighbors = slices.DeleteFunc(slices.Clone(c.cfg.Neighbors), func(n Neighbor) bool { return n.ID == id })
	c.distribute() // what has happened is known before a prefix is given back
	c.all(c.dropDefault)
}

// Unused returns those of ids that may be given to other neighbors, now that
// theirs have left: no route, block or work of them is there any more. It walks
// over all blocks, however many ids there are.
func (c *Core) Unused(ids []packet.ID) []packet.ID {
	used := map[packet.ID]bool{}
	for _, j := range c.jobs {
		used[j.neighbor] = true
	}
	c.store.Each(func(_ attr.Handle, r *attr.Record) { used[r.Key.Neighbor] = true })
	var free []packet.ID
	for _, id := range ids {
		if n := c.neighbors[id]; used[id] || n.up || n.hasPaths() {
			continue
		}
		c.neighbors[id], c.infos[id], c.sources[id] = &neighbor{}, rib.NeighborInfo{}, export.Neighbor{}
		free = append(free, id)
	}
	return free
}
