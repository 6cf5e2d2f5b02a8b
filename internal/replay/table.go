package replay

import (
	"math"

	"holdfast/internal/mrt"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// table is what is played of a dump: routes in groups that share their
// attributes, each group's routes in the order of the dump.
type table struct {
	groups []group
	routes []route
	index  map[string]uint32 // key of a group → its number; only while loading
	count  [prefix.Families]int
	all    bool // hops of groups are wanted

	block, key []byte // scratch
}

// group is a list of routes with the same attributes.
type group struct {
	// key is family and width of AS numbers, length of the next hop, next hop,
	// and the attributes as mrt.Normalize makes them.
	key   string
	hops  int    // length of the path, for choosing among all neighbors
	first uint32 // in table.routes, counted from 1
	last  uint32
}

func (g *group) family() prefix.Family { return prefix.Family(g.key[0] >> 1) }
func (g *group) as4() bool             { return g.key[0]&1 != 0 }

// update is the group as an UPDATE would announce it, put together in scratch.
func (g *group) update(scratch []byte) wire.Update {
	b := append(scratch[:0], g.key[2:]...)
	nh := int(g.key[1])
	return mrt.Announcement(g.family(), b[nh:], b[:nh])
}

// route is 32 bytes, for tables of millions.
type route struct {
	hi, lo uint64
	group  uint32
	next   uint32 // of the same group, counted from 1; 0 ends the list
	pathID uint32
	bits   uint8
	extra  bool // another path of a prefix that has one: only for add-path
}

func (r *route) prefix(f prefix.Family) prefix.Prefix {
	return prefix.Prefix{Hi: r.hi, Lo: r.lo, Bits: r.bits, Family: f}
}

// load reads the table of one neighbor, or of all.
func load(file string, s Selection, from From, families [prefix.Families]bool, progress func(int64) error) (*table, error) {
	t := &table{all: s.All, index: make(map[string]uint32), routes: make([]route, 0, from.Routes)}
	var seen map[prefix.Prefix]uint32 // → its place in t.routes
	if s.All {
		seen = make(map[prefix.Prefix]uint32, from.Routes)
	}
	_, _, err := walk(file, progress, func(r *mrt.Reader, rec *mrt.Record) error {
		if rec.Kind != mrt.RIB || !families[rec.Prefix.Family] {
			return nil
		}
		found := false
		for i := range rec.Entries {
			e := &rec.Entries[i]
			if !s.All {
				if r.Neighbors()[e.Neighbor] == from.Neighbor {
					t.add(rec.Prefix, t.group(rec, e), e.PathID, found)
					found = true
				}
				continue
			}
			g := t.group(rec, e)
			if at, ok := seen[rec.Prefix]; !ok {
				seen[rec.Prefix] = uint32(len(t.routes))
				t.add(rec.Prefix, g, 0, false)
			} else if old := &t.routes[at]; t.groups[g].hops < t.groups[old.group].hops {
				old.group = g
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	t.link()
	return t, nil
}

func (t *table) add(p prefix.Prefix, group, pathID uint32, extra bool) {
	t.routes = append(t.routes, route{hi: p.Hi, lo: p.Lo, bits: p.Bits, group: group, pathID: pathID, extra: extra})
	t.count[p.Family]++
}

// group finds or makes the group of a path.
func (t *table) group(rec *mrt.Record, e *mrt.Entry) uint32 {
	var nextHop []byte
	t.key = append(t.key[:0], byte(rec.Prefix.Family)<<1)
	if rec.AS4 {
		t.key[0] |= 1
	}
	t.block, nextHop = e.Normalize(t.block[:0])
	t.key = append(t.key, byte(len(nextHop)))
	t.key = append(append(t.key, nextHop...), t.block...)
	g, ok := t.index[string(t.key)]
	if !ok {
		g = uint32(len(t.groups))
		t.groups = append(t.groups, group{key: string(t.key)})
		t.index[t.groups[g].key] = g
		if t.all {
			t.groups[g].hops = t.groups[g].pathLen()
		}
	}
	return g
}

// link makes the lists of the groups, and lets go of what only loading needs.
func (t *table) link() {
	for i := range t.routes {
		g, at := &t.groups[t.routes[i].group], uint32(i+1)
		if g.first == 0 {
			g.first = at
		} else {
			t.routes[g.last-1].next = at
		}
		g.last = at
	}
	t.index, t.block, t.key = nil, nil, nil
}

// pathLen is the length of the group's path, very large if it has none.
func (g *group) pathLen() int {
	u := g.update(nil)
	block, v := u.Validate(&wire.Options{AS4: g.as4(), ExtNH: true}, u.HasReach, nil)
	var a wire.Attrs
	if wire.Parse(block, nil, &a); v.Action >= wire.TreatAsWithdraw {
		return math.MaxInt
	}
	return wire.PathLen(a.ASPath)
}
