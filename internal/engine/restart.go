package engine

import (
	"strings"

	"holdfast/internal/events"
	"holdfast/internal/prefix"
)

// quietFor is how many seconds without news make a neighbor count as one that has
// sent all its routes, if it does not promise to say so.
const quietFor = 5

// Deferral is how long, after a restart, nothing is announced and the kernel
// keeps what it has: until neighbors have sent what they have (RFC 4724 section
// 4.1). Times are seconds from its beginning.
type Deferral struct {
	// Await are the names of neighbors that were up before the restart. Until Come
	// it is waited for those to be up again.
	Await []string
	Come  uint32
	// End is when it is over in any case.
	End uint32
}

// Defer begins a deferral, right after the first Configure.
func (c *Core) Defer(d Deferral) {
	d.Come, d.End = c.now+d.Come, c.now+d.End
	c.deferral = &d
}

// Deferring reports whether a deferral goes on.
func (c *Core) Deferring() bool { return c.deferral != nil }

// checkDeferral ends the deferral when nobody is waited for any more.
func (c *Core) checkDeferral() {
	d := c.deferral
	var missing []string
	for _, n := range c.cfg.Neighbors {
		if c.loads(c.neighbors[n.ID]) {
			missing = append(missing, n.Name)
		}
	}
	switch {
	case c.now < d.End && (len(missing)+len(c.jobs) > 0 || c.now < d.Come && len(d.absent(c)) > 0):
		return
	case len(missing) > 0:
		c.log.Warn("the restart is over, though not all neighbors have sent all their routes", "event", events.RestartIncomplete, "seconds", c.now, "missing", strings.Join(missing, ","))
	default:
		c.log.Info("the restart is over: neighbors are sent their routes", "event", events.RestartOver, "seconds", c.now, "missing", strings.Join(d.absent(c), ","))
	}
	c.deferral = nil
}

// absent are the neighbors that were up before the restart and are not now.
func (d *Deferral) absent(c *Core) (names []string) {
	up := map[string]bool{}
	for _, n := range c.cfg.Neighbors {
		up[n.Name] = c.neighbors[n.ID].up
	}
	for _, name := range d.Await {
		if !up[name] {
			names = append(names, name)
		}
	}
	return names
}

// loads reports whether a neighbor that is up has yet to send routes. One that
// has restarted itself waits for us.
func (c *Core) loads(n *neighbor) bool {
	if !n.up || n.closing || n.est.Restart.Restarting {
		return false
	}
	ended, paths := true, 0
	for f, on := range n.est.Read.Families {
		ended = ended && (!on || n.counts[f].endOfRIB)
		paths += n.counts[f].paths
	}
	if ended || n.est.Restart.Agreed {
		return !ended
	}
	if paths != n.heard.paths || n.heard.since == 0 {
		n.heard.paths, n.heard.since = paths, c.now+1
	}
	return c.now+1 < n.heard.since+quietFor
}

// KernelCount is how many routes of ours the kernel has.
func (c *Core) KernelCount() (n [prefix.Families]int) {
	c.all(func(t *table) {
		if t.install != nil {
			n[t.Family()] += t.install.count
		}
	})
	return n
}

// Freeze leaves everything as it is: the kernel has its routes and neighbors have
// theirs, whatever sessions end from now on.
func (c *Core) Freeze() { c.frozen = true }

// Told is how many neighbors are up, and how many of them have been sent all that
// there is.
func (c *Core) Told() (told, up int) {
	for _, n := range c.neighbors {
		if !n.up {
			continue
		}
		up++
		all := true
		for f := range prefix.Family(prefix.Families) {
			if m := n.members[f]; m != nil {
				all = all && m.Told()
			}
		}
		if all {
			told++
		}
	}
	return told, up
}
