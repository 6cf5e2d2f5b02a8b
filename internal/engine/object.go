package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"holdfast/internal/fib"
	"holdfast/internal/packet"
)

// objects are the kernel's nexthop objects. A leg is the way to a next hop of a
// neighbor; a group has the legs that routes go by, and behind them a standby: the
// way of the next best path. A neighbor or next hop that is lost is one leg less,
// and a next hop that is reached another way is one leg changed, so that one
// message moves all routes of it (prefix-independent convergence). The walk that
// follows puts each of them into its lasting group, which is nothing to packets.
//
// A group's key says which paths it is for. Once a leg of it is lost it has none
// any more: what it has left is not what a new route should go by.
type objects struct {
	on     bool
	legs   map[uint32]*leg   // by ID
	groups map[uint32]*group // by ID
	legOf  map[legKey]uint32
	of     map[uint32][]uint32 // legs by the number of the next hop
	by     map[string]uint32   // groups by key
	found  map[string]uint32   // groups of an earlier run that nobody has claimed, by what they contain
	free   []uint32
	next   uint32
	// todo is what the kernel is to be told besides what goes with routes, and
	// flying says that it has yet to answer.
	todo   []fib.ObjectChange
	flying bool
	held   uint32 // after a refusal none is made until then
	key    []byte

	scratch []way
}

type legKey struct {
	neighbor packet.ID
	number   uint32 // of the next hop; 0: it is not to be followed any more
	hop      fib.Hop
}

type leg struct {
	legKey
	groups  []uint32
	made    bool // the kernel has it, or will
	lost    bool
	taken   bool // the ID is somebody else's
	pending int  // changes that the kernel has yet to answer
}

type group struct {
	key     string
	found   string // its place in objects.found
	legs    []fib.Share
	ways    int // the legs before the standby
	refs    int // forwards
	made    bool
	lost    bool // it has no leg any more
	taken   bool
	pending int
}

// way is a leg that a group should have.
type way struct {
	legKey
	standby bool
}

func newObjects(on bool) *objects {
	return &objects{on: on, legs: map[uint32]*leg{}, groups: map[uint32]*group{}, legOf: map[legKey]uint32{}, of: map[uint32][]uint32{},
		by: map[string]uint32{}, found: map[string]uint32{}}
}

// id is a free one, 0 if there is none.
func (o *objects) id() uint32 {
	if n := len(o.free); n > 0 {
		id := o.free[n-1]
		o.free = o.free[:n-1]
		return id
	}
	for o.next < fib.MaxObjects {
		id := fib.FirstObject + o.next
		o.next++
		if o.legs[id] == nil && o.groups[id] == nil {
			return id
		}
	}
	return 0
}

// group finds or makes the one of some ways, 0 if there can be none. It is valid
// until the next sweep of forwards unless one has it.
func (o *objects) group(ways []way, now uint32) uint32 {
	b := o.key[:0]
	for _, w := range ways {
		b = binary.BigEndian.AppendUint32(b, uint32(w.neighbor))
		b = binary.BigEndian.AppendUint32(b, w.number)
		if w.standby {
			b = append(b, 1)
		}
	}
	o.key = b
	if id := o.by[string(b)]; id != 0 {
		return id
	}
	if now < o.held {
		return 0
	}
	key, shares := string(b), sharesOf(ways)
	if id := o.claim(ways, shares); id != 0 {
		o.groups[id].key, o.by[key] = key, id
		return id
	}
	id := o.id()
	if id == 0 {
		return 0
	}
	g := &group{key: key, legs: shares, ways: countWays(ways)}
	o.groups[id], o.by[key] = g, id
	for i, w := range ways {
		l := o.leg(w.legKey)
		if l == 0 {
			g.legs = g.legs[:i]
			o.drop(id)
			return 0
		}
		g.legs[i].Leg = l
		o.legs[l].groups = append(o.legs[l].groups, id)
	}
	return id
}

func countWays(ways []way) (n int) {
	for _, w := range ways {
		if !w.standby {
			n++
		}
	}
	return n
}

// sharesOf are the weights of a group's legs. A standby's share is less than half
// of a bucket whatever the others' weights are.
func sharesOf(ways []way) []fib.Share {
	most := uint16(1)
	for _, w := range ways {
		if !w.standby {
			most = max(most, w.hop.Weight)
		}
	}
	all := make([]fib.Share, len(ways))
	for i, w := range ways {
		if all[i].Weight = 1; !w.standby {
			all[i].Weight = max(w.hop.Weight, 1) * (256 / most)
		}
	}
	return all
}

func (o *objects) leg(k legKey) uint32 {
	if id := o.legOf[k]; id != 0 {
		return id
	}
	id := o.id()
	if id != 0 {
		o.legs[id] = &leg{legKey: k}
		o.know(id)
	}
	return id
}

// contents is what a group of an earlier run is known by.
func contents(hops []fib.Hop, shares []fib.Share) string {
	var b []byte
	for i, h := range hops {
		b = append(append(b, byte(h.Gateway.BitLen())), h.Gateway.AsSlice()...)
		b = binary.BigEndian.AppendUint32(b, uint32(h.Link))
		b = binary.BigEndian.AppendUint16(b, shares[i].Weight)
		if h.OnLink {
			b = append(b, 1)
		}
	}
	return string(b)
}

// claim takes a group of an earlier run that has these ways.
func (o *objects) claim(ways []way, shares []fib.Share) uint32 {
	if len(o.found) == 0 {
		return 0
	}
	hops := make([]fib.Hop, len(ways))
	for i := range ways {
		hops[i] = ways[i].hop
	}
	id := o.found[contents(hops, shares)]
	if id == 0 {
		return 0
	}
	g := o.groups[id]
	for i, s := range g.legs {
		if l := o.legs[s.Leg]; (l.neighbor != 0 || l.number != 0) && l.legKey != ways[i].legKey {
			return 0 // another group has claimed the leg
		}
	}
	o.unkey(id)
	for i, s := range g.legs {
		if l := o.legs[s.Leg]; l.legKey != ways[i].legKey {
			l.legKey = ways[i].legKey
			o.know(s.Leg)
		}
	}
	g.ways = countWays(ways)
	return id
}

// hold counts a forward that has a group.
func (o *objects) hold(id uint32) {
	if g := o.groups[id]; g != nil {
		g.refs++
	}
}

// release gives up what hold has counted.
func (o *objects) release(id uint32) {
	if g := o.groups[id]; g != nil {
		if g.refs--; g.refs == 0 {
			o.drop(id)
		}
	}
}

// drop removes a group that nothing refers to, and legs that no group has then.
func (o *objects) drop(id uint32) {
	g := o.groups[id]
	o.unkey(id)
	if g.made {
		g.made = false
		g.pending++
		o.todo = append(o.todo, fib.ObjectChange{Object: fib.Object{ID: id}, Delete: true})
	}
	for _, s := range g.legs {
		l := o.legs[s.Leg]
		l.groups = slices.DeleteFunc(l.groups, func(x uint32) bool { return x == id })
		o.tidy(s.Leg)
	}
	g.legs = nil
	o.tidyGroup(id)
}

// unkey keeps new routes from a group.
func (o *objects) unkey(id uint32) {
	g := o.groups[id]
	if g.key != "" {
		delete(o.by, g.key)
	}
	if o.found[g.found] == id {
		delete(o.found, g.found)
	}
	g.key, g.found = "", ""
}

func (o *objects) tidyGroup(id uint32) {
	if g := o.groups[id]; g.refs == 0 && g.pending == 0 && !g.made {
		delete(o.groups, id)
		if !g.taken {
			o.free = append(o.free, id)
		}
	}
}

// tidy removes a leg that no group has.
func (o *objects) tidy(id uint32) {
	l := o.legs[id]
	if len(l.groups) > 0 {
		return
	}
	o.forget(id, l)
	o.remove(id, l)
	if l.pending == 0 {
		delete(o.legs, id)
		if !l.taken {
			o.free = append(o.free, id)
		}
	}
}

// remove takes a leg away from the kernel.
func (o *objects) remove(id uint32, l *leg) {
	if l.lost = true; l.made {
		l.made = false
		l.pending++
		o.todo = append(o.todo, fib.ObjectChange{Object: fib.Object{ID: id}, Delete: true})
	}
}

// know lets new groups have a leg.
func (o *objects) know(id uint32) {
	l := o.legs[id]
	if o.legOf[l.legKey] == 0 {
		o.legOf[l.legKey] = id
	}
	o.of[l.number] = append(o.of[l.number], id)
}

// forget keeps new groups from a leg.
func (o *objects) forget(id uint32, l *leg) {
	if o.legOf[l.legKey] == id {
		delete(o.legOf, l.legKey)
	}
	if of := slices.DeleteFunc(o.of[l.number], func(x uint32) bool { return x == id }); len(of) > 0 {
		o.of[l.number] = of
	} else {
		delete(o.of, l.number)
	}
}

// which are the legs that f wants.
func (o *objects) which(f func(*leg) bool) (ids []uint32) {
	for _, id := range sortedKeys(o.legs) {
		if f(o.legs[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// lose removes legs, and returns the groups that have none left.
func (o *objects) lose(ids ...uint32) (gone []uint32) {
	for _, id := range ids {
		l := o.legs[id]
		if l == nil || l.lost {
			continue
		}
		o.forget(id, l)
		o.remove(id, l)
		for _, at := range l.groups {
			o.unkey(at)
			if g := o.groups[at]; !g.lost && !slices.ContainsFunc(g.legs, func(s fib.Share) bool { return !o.legs[s.Leg].lost }) {
				g.lost, gone = true, append(gone, at)
			}
		}
	}
	return gone
}

// moved follows a next hop that is reached another way. Where one way has become
// another one, its legs are changed; else new groups are made for its routes.
func (o *objects) moved(number uint32, hops []fib.Hop) (gone []uint32) {
	if len(o.of[number]) == 0 {
		return nil
	}
	if len(hops) == 0 {
		return o.lose(slices.Sorted(slices.Values(o.of[number]))...)
	}
	of := map[packet.ID][]uint32{}
	for _, id := range o.of[number] {
		n := o.legs[id].neighbor
		of[n] = append(of[n], id)
	}
	for _, n := range sortedKeys(of) {
		ids := of[n]
		l := o.legs[ids[0]]
		if len(ids) == 1 && len(hops) == 1 && l.made && fits(hops[0]) && hops[0].Gateway.Is4() == l.hop.Gateway.Is4() {
			o.forget(ids[0], l)
			l.hop = hops[0]
			o.know(ids[0])
			l.pending++
			o.todo = append(o.todo, fib.ObjectChange{Object: fib.Object{ID: ids[0], Hop: l.hop}, Replace: true})
			continue
		}
		for _, id := range ids {
			for _, at := range o.legs[id].groups {
				o.unkey(at)
			}
		}
	}
	return nil
}

// unfollow forgets the number of a next hop, which may be that of another one soon.
func (o *objects) unfollow(number uint32) {
	for _, id := range slices.Clone(o.of[number]) {
		l := o.legs[id]
		o.forget(id, l)
		l.number = 0
		for _, at := range l.groups {
			o.unkey(at)
		}
	}
}

// fits reports whether a way can be a leg.
func fits(h fib.Hop) bool { return h.Gateway.IsValid() && h.Link != 0 }

// ways are those by which a group sends packets, as far as the kernel has
// answered. It reports false while that is not certain.
func (o *objects) ways(id uint32, buf []fib.Hop) (hops []fib.Hop, sure bool) {
	g := o.groups[id]
	for i, s := range g.legs {
		if i >= g.ways && len(buf) > 0 {
			break // the standby stands by
		}
		l := o.legs[s.Leg]
		if l.pending > 0 {
			return nil, false
		}
		if !l.lost {
			buf = append(buf, l.hop)
		}
	}
	return buf, !g.lost
}

// changes are what makes a group that routes are about to use.
func (o *objects) changes(id uint32) (all []fib.ObjectChange) {
	g := o.groups[id]
	if g == nil || g.made || g.lost {
		return nil
	}
	for _, s := range g.legs {
		if l := o.legs[s.Leg]; !l.made && !l.lost {
			l.made = true
			all = append(all, fib.ObjectChange{Object: fib.Object{ID: s.Leg, Hop: l.hop}})
		}
	}
	g.made = true
	return append(all, fib.ObjectChange{Object: fib.Object{ID: id, Legs: g.legs}})
}

// answered takes the kernel's answer to a change, and returns groups that have no
// leg, and whether something has become certain.
func (o *objects) answered(ch *fib.ObjectChange, err error, now uint32) (gone []uint32, sure bool) {
	if err != nil && !errors.Is(err, fib.ErrObjectTaken) {
		const pause = 10 // seconds
		o.held = now + pause
	}
	asked := ch.Delete || ch.Replace
	if l := o.legs[ch.ID]; l != nil {
		if asked {
			l.pending--
		}
		if err != nil && !ch.Delete {
			l.made, l.taken = ch.Replace, l.taken || errors.Is(err, fib.ErrObjectTaken)
			gone = o.lose(ch.ID)
		}
		o.tidy(ch.ID)
		return gone, asked && l.pending == 0
	}
	g := o.groups[ch.ID]
	if g == nil {
		return nil, false
	}
	if asked {
		g.pending--
	} else if err != nil {
		g.made, g.taken = false, errors.Is(err, fib.ErrObjectTaken)
		gone = o.loseGroup(ch.ID)
	}
	o.tidyGroup(ch.ID)
	return gone, false
}

// loseGroup says that the kernel does not have a group any more.
func (o *objects) loseGroup(id uint32) (gone []uint32) {
	if g := o.groups[id]; g != nil && !g.lost {
		o.unkey(id)
		g.lost, gone = true, []uint32{id}
	}
	return gone
}

// adopt takes over what an earlier run has left.
func (o *objects) adopt(all []fib.Object) {
	for i := range all {
		if a := &all[i]; a.Legs == nil {
			o.legs[a.ID] = &leg{legKey: legKey{hop: a.Hop}, made: true}
		}
	}
	for i := range all {
		a := &all[i]
		if a.Legs == nil {
			continue
		}
		g := &group{legs: a.Legs, ways: waysOf(a.Legs), made: true}
		var hops []fib.Hop
		for _, s := range a.Legs {
			l := o.legs[s.Leg]
			if l == nil {
				g = nil // it has another's leg: no group of ours
				break
			}
			hops = append(hops, l.hop)
		}
		if g == nil {
			continue
		}
		g.found = contents(hops, a.Legs)
		o.groups[a.ID], o.found[g.found] = g, a.ID
		for _, s := range a.Legs {
			l := o.legs[s.Leg]
			l.groups = append(l.groups, a.ID)
		}
	}
}

// waysOf is how many legs there are before a standby.
func waysOf(legs []fib.Share) int {
	last, sum := len(legs)-1, 0
	for _, s := range legs {
		sum += int(s.Weight)
	}
	if last > 0 && 2*fib.Buckets*int(legs[last].Weight) < sum {
		return last
	}
	return len(legs)
}

// endWaiting removes what an earlier run has left and nobody has claimed.
func (o *objects) endWaiting() {
	clear(o.found)
	for _, id := range sortedKeys(o.groups) {
		g := o.groups[id]
		if g.found = ""; g.refs == 0 && g.made {
			o.drop(id)
		}
	}
	for _, id := range sortedKeys(o.legs) {
		o.tidy(id)
	}
}

// sortedKeys makes what follows from a map the same each time.
func sortedKeys[K cmp.Ordered, T any](m map[K]T) []K { return slices.Sorted(maps.Keys(m)) }
