package engine

import (
	"errors"
	"slices"

	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/rib"
)

// What is lost, a neighbor or a link or an object itself, is taken out of the
// nexthop objects first, as packets go by them.

// writeObjects has the kernel told what there is to tell.
func (c *Core) writeObjects() {
	o := c.objects
	if len(o.todo) == 0 || o.flying || c.frozen {
		return
	}
	o.flying = true
	b := &Batch{Objects: o.todo, ObjectErrs: make([]error, len(o.todo)), own: true}
	o.todo = nil
	c.writer.out(b)
}

// loseLegs leads the packets of a neighbor's routes elsewhere at once.
func (c *Core) loseLegs(neighbor packet.ID) {
	if c.objects == nil {
		return
	}
	c.dropGroups(c.objects.lose(c.objects.which(func(l *leg) bool { return l.neighbor == neighbor })...))
	c.writeObjects()
}

// objectNews follows what has happened to objects without us: the kernel removes
// legs with their link.
func (c *Core) objectNews(e fib.Event) {
	o := c.objects
	if e.Snapshot || e.Links != nil || e.Gone != nil {
		c.loseDown()
	}
	for _, id := range e.ObjectsLost {
		var gone []uint32
		if l := o.legs[id]; l != nil && !l.lost {
			groups := slices.Clone(l.groups)
			gone = o.lose(id)
			c.withGroups(groups, (*installer).touch)
		}
		c.dropGroups(append(gone, o.loseGroup(id)...))
	}
}

// loseDown follows links that are down, or are not there.
func (c *Core) loseDown() {
	c.dropGroups(c.objects.lose(c.objects.which(func(l *leg) bool { return !c.hops.view.Up(l.hop.Link) })...))
}

// dropGroups writes routes again that have gone with their groups.
func (c *Core) dropGroups(gone []uint32) {
	if len(gone) == 0 {
		return
	}
	c.withGroups(gone, (*installer).dropped)
	c.all(func(t *table) {
		if t.install != nil {
			t.install.retry() // what was refused for the lack of a group
		}
	})
}

// withGroups calls f for the prefixes whose routes use some groups.
func (c *Core) withGroups(ids []uint32, f func(*installer, rib.ID)) {
	use, any := make([]bool, len(c.forwards.list)), false
	for i := range c.forwards.list {
		object := c.forwards.list[i].Object
		use[i] = object != 0 && slices.Contains(ids, object)
		any = any || use[i]
	}
	if !any {
		return
	}
	c.all(func(t *table) {
		if t.install == nil {
			return
		}
		for i := range t.install.state.Len() {
			if use[*t.install.state.At(i)] {
				f(t.install, rib.ID(i))
			}
		}
	})
}

// lookAgain looks at those that had to wait until it was certain what an object
// does.
func (c *Core) lookAgain() {
	c.all(func(t *table) {
		if x := t.install; x != nil && x.unsure.Len() > 0 {
			for id, ok := x.unsure.Next(0); ok; id, ok = x.unsure.Next(id + 1) {
				x.settled(rib.ID(id), false)
			}
			x.unsure.Reset()
		}
	})
}

// complainObject logs that the kernel has refused an object, once in ten seconds at
// the most.
func (c *Core) complainObject(err error) {
	if errors.Is(err, fib.ErrObjectTaken) || c.objectBad > c.now {
		return
	}
	c.objectBad = c.now + 10
	c.log.Warn("the kernel does not take a nexthop object: routes go without standby", "event", events.ObjectRefused, "error", err)
}
