package engine

import (
	"errors"
	"maps"
	"slices"

	"holdfast/internal/fib"
)

// fakeObjects are the nexthop objects of a fakeKernel.
type fakeObjects struct {
	all    map[uint32]fib.Object
	taken  map[uint32]bool // IDs that somebody else uses
	down   map[int]bool    // links
	refuse func(fib.ObjectChange) error
}

var errNoObject = errors.New("nexthop id does not exist")

func newFakeKernel() *fakeKernel {
	return &fakeKernel{routes: map[string]fib.Route{}, objects: fakeObjects{all: map[uint32]fib.Object{}, taken: map[uint32]bool{}, down: map[int]bool{}}}
}

func (k *fakeKernel) writeObject(ch *fib.ObjectChange) error {
	o := &k.objects
	if o.refuse != nil && !ch.Delete {
		if err := o.refuse(*ch); err != nil {
			return err
		}
	}
	_, there := o.all[ch.ID]
	switch {
	case ch.Delete:
		k.removeObject(ch.ID)
		return nil
	case ch.Replace && !there:
		return errNoObject
	case !ch.Replace && (there || o.taken[ch.ID]):
		return fib.ErrObjectTaken
	case ch.Legs == nil && o.down[ch.Hop.Link]:
		return errors.New("network is down")
	}
	for _, s := range ch.Legs {
		if l, ok := o.all[s.Leg]; !ok || l.Legs != nil {
			return errNoObject
		}
	}
	o.all[ch.ID] = fib.Object{ID: ch.ID, Hop: ch.Hop, Legs: slices.Clone(ch.Legs)}
	return nil
}

// removeObject does what the kernel does: a leg goes from its groups, and a group
// without legs goes with its routes.
func (k *fakeKernel) removeObject(id uint32) {
	o := &k.objects
	x, there := o.all[id]
	if delete(o.all, id); !there {
		return
	}
	if x.Legs != nil {
		maps.DeleteFunc(k.routes, func(_ string, r fib.Route) bool { return r.Object == id })
		return
	}
	for _, at := range sortedKeys(o.all) {
		g := o.all[at]
		if g.Legs == nil {
			continue
		}
		g.Legs = slices.DeleteFunc(g.Legs, func(s fib.Share) bool { return s.Leg == id })
		if o.all[at] = g; len(g.Legs) == 0 {
			g.Legs = []fib.Share{{}}
			o.all[at] = g
			k.removeObject(at)
		}
	}
}

// left is what the next run finds.
func (k *fakeKernel) left() (all []fib.Object) {
	for _, id := range sortedKeys(k.objects.all) {
		x := k.objects.all[id]
		x.Legs = slices.Clone(x.Legs)
		all = append(all, x)
	}
	return all
}

// setLink takes a link up or down, with what is on it.
func (k *fakeKernel) setLink(i int, down bool) {
	o := &k.objects
	if o.down[i] = down; !down {
		return
	}
	for _, id := range sortedKeys(o.all) {
		if x, ok := o.all[id]; ok && x.Legs == nil && x.Hop.Link == i {
			k.removeObject(id)
		}
	}
}

// outs are the ways of a route's packets.
func (k *fakeKernel) outs(r *fib.Route) (hops []fib.Hop) {
	if r.Object == 0 {
		return r.Hops
	}
	legs, sum, from, share := k.objects.all[r.Object].Legs, 0, 0, 0
	for _, s := range legs {
		sum += int(s.Weight)
	}
	for _, s := range legs {
		share += int(s.Weight)
		if to := (2*fib.Buckets*share + sum) / (2 * sum); to > from {
			hops, from = append(hops, k.objects.all[s.Leg].Hop), to
		}
	}
	return hops
}
