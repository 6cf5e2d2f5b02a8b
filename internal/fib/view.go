package fib

import (
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"holdfast/internal/prefix"
)

// View is what the kernel has said: links, addresses, and the routes of others
// in order of their metric. The zero value knows nothing.
type View struct {
	links  map[int]Link
	names  map[string]int
	addrs  map[netip.Addr][]Address
	tables map[uint32]*bart.Table[[]Foreign]
}

// Key is a prefix of a kernel table.
type Key struct {
	Table  uint32
	Prefix prefix.Prefix
}

// Update takes news in. It returns the prefixes of which others' routes may be
// different now.
func (v *View) Update(e Event) (changed []Key) {
	if e.Snapshot || v.links == nil {
		for id, t := range v.tables {
			for p := range t.All() {
				changed = append(changed, Key{id, prefix.FromNetip(p)})
			}
		}
		*v = View{links: map[int]Link{}, names: map[string]int{}, addrs: map[netip.Addr][]Address{}, tables: map[uint32]*bart.Table[[]Foreign]{}}
	}
	moved := map[int]bool{} // links
	for _, i := range e.Gone {
		moved[i] = true
		v.dropLink(i)
	}
	for _, l := range e.Links {
		if old := v.links[l.Index]; old.Up != l.Up || old.Name != l.Name {
			moved[l.Index] = true
		}
		v.dropLink(l.Index)
		v.links[l.Index], v.names[l.Name] = l, l.Index
	}
	for _, a := range e.AddrGone {
		v.dropAddr(a)
		changed = v.host(changed, a)
	}
	for _, a := range e.Addrs {
		v.dropAddr(a)
		v.addrs[a.Prefix.Addr()] = append(v.addrs[a.Prefix.Addr()], a)
		changed = v.host(changed, a)
	}
	if len(moved) > 0 {
		changed = append(changed, v.over(moved)...)
	}
	for i := range e.Lost {
		v.drop(&e.Lost[i].Route)
		changed = append(changed, Key{e.Lost[i].Table, e.Lost[i].Prefix})
	}
	for i := range e.Routes {
		v.put(&e.Routes[i])
		changed = append(changed, Key{e.Routes[i].Table, e.Routes[i].Prefix})
	}
	return changed
}

func (v *View) dropLink(index int) {
	if old, ok := v.links[index]; ok {
		delete(v.links, index)
		if v.names[old.Name] == index {
			delete(v.names, old.Name)
		}
	}
}

func (v *View) dropAddr(a Address) {
	k := a.Prefix.Addr()
	all := slices.DeleteFunc(v.addrs[k], func(x Address) bool { return x.Link == a.Link && x.Prefix == a.Prefix })
	if v.addrs[k] = all; len(all) == 0 {
		delete(v.addrs, k)
	}
}

// hostMetric is no metric of a route that the kernel has made for an address.
const hostMetric = 1<<32 - 1

// host makes a connected route of an IPv4 address that is a network of its own,
// such as one of the loopback interface: unlike those of IPv6, the kernel has it
// among its local addresses only. It adds the prefix to changed.
func (v *View) host(changed []Key, a Address) []Key {
	if !a.Prefix.Addr().Is4() || !a.Prefix.IsSingleIP() {
		return changed
	}
	f := Foreign{Protocol: kernelProtocol, Scope: 254, Route: Route{Table: MainTable, Metric: hostMetric, Prefix: prefix.FromNetip(a.Prefix)}}
	v.drop(&f.Route)
	for _, x := range v.addrs[a.Prefix.Addr()] {
		if x.Prefix == a.Prefix {
			f.Hops = []Hop{{Link: x.Link}}
			v.put(&f)
		}
	}
	return append(changed, Key{f.Table, f.Prefix})
}

// over finds the prefixes with routes over some links.
func (v *View) over(links map[int]bool) (found []Key) {
	for id, t := range v.tables {
		for p, all := range t.All() {
			if slices.ContainsFunc(all, func(f Foreign) bool {
				return slices.ContainsFunc(f.Hops, func(h Hop) bool { return links[h.Link] })
			}) {
				found = append(found, Key{id, prefix.FromNetip(p)})
			}
		}
	}
	return found
}

func (v *View) table(id uint32) *bart.Table[[]Foreign] {
	t := v.tables[id]
	if t == nil {
		t = new(bart.Table[[]Foreign])
		v.tables[id] = t
	}
	return t
}

// without is a list of routes but for the one with a metric.
func without(all []Foreign, metric uint32) []Foreign {
	return slices.DeleteFunc(slices.Clone(all), func(f Foreign) bool { return f.Metric == metric })
}

func (v *View) put(f *Foreign) {
	v.table(f.Table).Modify(f.Prefix.Netip(), func(all []Foreign, _ bool) ([]Foreign, bool) {
		all = without(all, f.Metric)
		at, _ := slices.BinarySearchFunc(all, f.Metric, func(x Foreign, m uint32) int { return int(int64(x.Metric) - int64(m)) })
		return slices.Insert(all, at, *f), false
	})
}

func (v *View) drop(r *Route) {
	v.table(r.Table).Modify(r.Prefix.Netip(), func(all []Foreign, _ bool) ([]Foreign, bool) {
		all = without(all, r.Metric)
		return all, len(all) == 0
	})
}

// Routes are the routes of others for exactly this prefix, the best one first.
// Not to be changed.
func (v *View) Routes(k Key) []Foreign {
	if t := v.tables[k.Table]; t != nil {
		all, _ := t.Get(k.Prefix.Netip())
		return all
	}
	return nil
}

// All calls f for the routes of others in a table, by prefix.
func (v *View) All(table uint32, f func(p prefix.Prefix, routes []Foreign)) {
	if t := v.tables[table]; t != nil {
		for p, all := range t.All() {
			f(prefix.FromNetip(p), all)
		}
	}
}

// Link is the interface of that name; false if there is none now.
func (v *View) Link(name string) (Link, bool) {
	l, ok := v.links[v.names[name]]
	return l, ok && l.Name == name
}

// LinkName is the name of an interface, "" if there is none now.
func (v *View) LinkName(index int) string { return v.links[index].Name }

// Up reports whether an interface is there and up.
func (v *View) Up(index int) bool { return v.links[index].Up }

// Own reports whether an interface has an address.
func (v *View) Own(a netip.Addr) bool { return v.own(a, 0) }

// own reports whether an address is one of this machine's.
func (v *View) own(a netip.Addr, link int) bool {
	return slices.ContainsFunc(v.addrs[a], func(x Address) bool { return link == 0 || x.Link == link })
}

// Resolution is how an address can be reached.
type Resolution struct {
	Hops   []Hop  // nil: not
	Cost   uint32 // metric of the route, 0 for what is on a link
	OnLink bool   // no router is in between
	Own    bool   // it is an address of this machine
	Bits   uint8  // length of the prefix of the kernel's route
	Why    string // it cannot be reached
}

// Resolve finds the way to an address: on the link of a name where one is given,
// else by the longest prefix of any of some kernel tables.
func (v *View) Resolve(tables []uint32, a netip.Addr, zone string) Resolution {
	if zone != "" {
		l, ok := v.Link(zone)
		switch {
		case !ok:
			return Resolution{Why: "there is no interface " + zone}
		case !l.Up:
			return Resolution{Why: "interface " + zone + " is down"}
		case v.own(a, l.Index):
			return Resolution{Own: true, Why: "it is our own address"}
		}
		h := Hop{Link: l.Index}
		if !a.IsUnspecified() {
			h.Gateway, h.OnLink = a, !a.IsLinkLocalUnicast()
		}
		return Resolution{Hops: []Hop{h}, OnLink: true, Bits: uint8(a.BitLen())}
	}
	if v.own(a, 0) {
		return Resolution{Own: true, Why: "it is our own address"}
	}
	best, found := Resolution{Why: "the kernel has no route to it"}, false
	for _, id := range tables {
		t := v.tables[id]
		if t == nil {
			continue
		}
		for p, all := range t.Supernets(netip.PrefixFrom(a, a.BitLen())) {
			if found && best.Bits >= uint8(p.Bits()) {
				break
			}
			if r, ok := v.through(all, a); ok {
				r.Bits = uint8(p.Bits())
				best, found = r, true
				break
			}
		}
	}
	return best
}

// through is the way to an address by the first of some routes that has one.
// False: all of them lead over links that are down.
func (v *View) through(all []Foreign, a netip.Addr) (Resolution, bool) {
	for i := range all {
		f := &all[i]
		if f.Action != Unicast {
			return Resolution{Why: "the kernel's route is " + f.Action.String()}, true
		}
		r := Resolution{Cost: f.Metric, OnLink: true}
		for _, h := range f.Hops {
			if !v.links[h.Link].Up {
				continue
			}
			if h.Gateway.IsValid() {
				r.OnLink = false
			} else {
				h.Gateway = a
			}
			r.Hops = append(r.Hops, h)
		}
		if len(r.Hops) > 0 {
			if r.OnLink {
				r.Cost = 0
			}
			return r, true
		}
	}
	return Resolution{}, false
}
