package engine

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"holdfast/internal/attr"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// Queries run in slices between which routing goes on. A slice shows one
// moment; two of them may show different ones. What they found is handed out
// outside of the loop, so that a slow reader holds nothing up.
const (
	querySlice   = 4096     // prefixes
	queryPaths   = 8 * 4096 // paths looked at, give or take those of one prefix
	queryRows    = 2 * 4096 // routes copied, likewise
	mostCompared = 1 << 20  // pairs of paths, to say why they lost
)

// errStopped is what a query says once the loop has ended.
var errStopped = errors.New("the router is stopping")

// View says which routes a Query is about.
type View uint8

const (
	ViewUsable     View = iota // all that may be used, as the import policy made them
	ViewBest                   // the best ones
	ViewReceived               // what neighbors sent, as received
	ViewRejected               // what was refused, as received
	ViewAdvertised             // what Query.Neighbor is sent, as sent
)

// Match says how routes relate to Query.Prefix.
type Match uint8

const (
	MatchExact   Match = iota
	MatchLonger        // the prefix and all inside it
	MatchShorter       // the prefix and all that cover it
)

// Query selects routes of one family.
type Query struct {
	View     View
	Table    TableID
	Family   prefix.Family
	Prefix   *prefix.Prefix // nil: all
	Match    Match
	Neighbor packet.ID // 0: all
	// Unsorted leaves routes in the order of the table, which is none.
	Unsorted bool
}

// Route is what a query shows of a path.
type Route struct {
	Prefix   prefix.Prefix
	PathID   uint32
	Neighbor packet.ID // 0: the router itself
	Best     bool
	Rejected bool
	Reason   uint8 // why rejected
	// Unreachable is why its next hop cannot be reached, "" if it can.
	Unreachable string
	Interface   string // of the next hop of a route of our own
	Source      policy.Source
	// Judged: a policy accepted or rejected it. Rule did so; if it is zero, the
	// end of the policies.
	Judged  bool
	Rule    policy.Label
	Attrs   wire.Attrs
	Discard bool // packets are dropped (policy.NextHopDiscard)
	Weight  uint32
	Learned time.Time // zero if not known
	// Stale is since when the session that it came from has ended, if it is kept
	// and has not come again.
	Stale time.Time
}

// page is what a slice of a query found, out of the loop's reach.
type page struct {
	rows []row
	data []byte // blocks and next hops
}

type row struct {
	Route
	learned, stale    uint32          // seconds since the start, + 1
	at, size, nextHop int             // of the block in data; size 0: Attrs are there
	from              export.Neighbor // of a route after import
}

func (pg *page) reset() { pg.rows, pg.data = pg.rows[:0], pg.data[:0] }

// sort puts the routes of each prefix in an order that does not depend on how
// they came to be: the best one, then by neighbor.
func (pg *page) sort() {
	for from := 0; from < len(pg.rows); {
		to := from + 1
		for to < len(pg.rows) && pg.rows[to].Prefix == pg.rows[from].Prefix {
			to++
		}
		slices.SortStableFunc(pg.rows[from:to], func(a, b row) int {
			if a.Best != b.Best {
				if a.Best {
					return -1
				}
				return 1
			}
			return cmp.Or(cmp.Compare(a.Neighbor, b.Neighbor), cmp.Compare(a.PathID, b.PathID))
		})
		from = to
	}
}

// route completes a row with what need not be done in the loop.
func (pg *page) route(i int, start time.Time) *Route {
	r := &pg.rows[i]
	if r.size > 0 {
		block := pg.data[r.at : r.at+r.size]
		wire.Parse(block, pg.data[r.at+r.size:r.at+r.size+r.nextHop], &r.Attrs)
		r.from.Mark(&r.Attrs)
	}
	if r.learned > 0 {
		r.Learned = start.Add(time.Duration(r.learned-1) * time.Second)
	}
	if r.stale > 0 {
		r.Stale = start.Add(time.Duration(r.stale-1) * time.Second)
	}
	return &r.Route
}

// ask is Do for queries.
func (e *Engine) ask(ctx context.Context, f func(*Core)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !e.Do(f) {
		return errStopped
	}
	return nil
}

// Routes calls fn for every route that q selects, in the order of prefixes,
// outside of the loop. What fn is given is valid during the call; its error
// ends the query.
func (e *Engine) Routes(ctx context.Context, q Query, fn func(*Route) error) error {
	keys, err := e.prefixes(ctx, &q)
	if err != nil {
		return err
	}
	if !q.Unsorted {
		slices.SortFunc(keys, prefix.Compare)
	}
	var pg page
	for len(keys) > 0 {
		n := 0
		if err := e.ask(ctx, func(c *Core) { n = c.page(&q, keys, &pg) }); err != nil {
			return err
		}
		keys = keys[n:]
		pg.sort()
		for i := range pg.rows {
			if err := fn(pg.route(i, e.start)); err != nil {
				return err
			}
		}
	}
	return nil
}

// CountRoutes counts what Routes would find.
func (e *Engine) CountRoutes(ctx context.Context, q Query) (prefixes, paths uint64, err error) {
	err = e.scan(ctx, &q, func(found []finding) {
		for _, f := range found {
			prefixes++
			paths += uint64(f.paths)
		}
	})
	return prefixes, paths, err
}

// prefixes are those of which q may select routes.
func (e *Engine) prefixes(ctx context.Context, q *Query) ([]prefix.Prefix, error) {
	if keys, ok := q.few(); ok {
		return keys, nil
	}
	var keys []prefix.Prefix
	err := e.scan(ctx, q, func(found []finding) {
		for _, f := range found {
			keys = append(keys, f.prefix)
		}
	})
	return keys, err
}

// few lists the prefixes of a query that needs no scan of the table.
func (q *Query) few() (keys []prefix.Prefix, ok bool) {
	switch {
	case q.Prefix == nil || q.Match == MatchLonger:
		return nil, false
	case q.Match == MatchExact:
		return []prefix.Prefix{*q.Prefix}, true
	}
	for bits := range q.Prefix.Bits + 1 {
		keys = append(keys, q.Prefix.Truncate(bits))
	}
	return keys, true
}

// finding is a prefix and how many of its paths are selected.
type finding struct {
	prefix prefix.Prefix
	paths  int
}

// scan calls fn, outside of the loop, with what q selects.
func (e *Engine) scan(ctx context.Context, q *Query, fn func([]finding)) error {
	found := make([]finding, 0, querySlice)
	if keys, ok := q.few(); ok {
		err := e.ask(ctx, func(c *Core) {
			for _, k := range keys {
				found = c.find(q, c.queried(q).Lookup(k), found)
			}
		})
		fn(found)
		return err
	}
	for from := rib.ID(1); from != 0; {
		found = found[:0]
		if err := e.ask(ctx, func(c *Core) { found, from = c.scan(q, from, found) }); err != nil {
			return err
		}
		fn(found)
	}
	return nil
}

// scan looks at a slice of the table and returns where to go on, 0 at the end.
func (c *Core) scan(q *Query, from rib.ID, found []finding) ([]finding, rib.ID) {
	t := c.queried(q)
	paths := 0
	for id := from; id <= t.Top(); id++ {
		if id-from == querySlice || paths >= queryPaths {
			return found, id
		}
		if !t.Live(id) || q.Prefix != nil && !q.Prefix.Covers(t.Prefix(id)) {
			continue
		}
		paths += t.PathsOf(id)
		found = c.find(q, id, found)
	}
	return found, 0
}

func (c *Core) find(q *Query, id rib.ID, found []finding) []finding {
	n := 0
	c.each(q, id, func(*rib.Path, attr.Handle) { n++ })
	if n > 0 {
		found = append(found, finding{c.queried(q).Prefix(id), n})
	}
	return found
}

// each calls f for the paths of a prefix that q selects, with the block to
// show. The path is nil where what is advertised is no path any more.
func (c *Core) each(q *Query, id rib.ID, f func(*rib.Path, attr.Handle)) {
	t := c.queried(q)
	if !t.Live(id) {
		return
	}
	switch best := t.Best(id); q.View {
	case ViewAdvertised:
		if m := c.member(q); m != nil {
			m.Sent(id, func(s export.SentRoute) { f(s.Path, s.Block) })
		}
	case ViewBest:
		if best != nil && (q.Neighbor == 0 || q.Neighbor == best.Neighbor) {
			f(best, best.Post)
		}
	default:
		t.Paths(id, func(p *rib.Path) bool {
			if q.Neighbor != 0 && q.Neighbor != p.Neighbor || c.infos[p.Neighbor].Gone[q.Family] {
				return true
			}
			switch {
			case q.View == ViewUsable && p.Post != 0:
				f(p, p.Post)
			case q.View == ViewReceived && p.Neighbor != 0, q.View == ViewRejected && p.Post == 0:
				f(p, p.Pre)
			}
			return true
		})
	}
}

// queried is the table that a query is about.
func (c *Core) queried(q *Query) *table {
	if int(q.Table) >= len(c.tables) {
		return c.tables[0][q.Family]
	}
	return c.tables[q.Table][q.Family]
}

// member is the neighbor of q in an update group, nil if it is in none.
func (c *Core) member(q *Query) *export.Member {
	if int(q.Neighbor) >= len(c.neighbors) {
		return nil
	}
	return c.neighbors[q.Neighbor].members[q.Family]
}

// page copies what q selects of some prefixes, at least the first, and returns
// how many of them.
func (c *Core) page(q *Query, keys []prefix.Prefix, pg *page) int {
	pg.reset()
	t := c.queried(q)
	for i, k := range keys {
		if i == querySlice || len(pg.rows) >= queryRows {
			return i
		}
		id := t.Lookup(k)
		switch {
		case id == 0:
		case q.View == ViewAdvertised && c.member(q) != nil:
			c.member(q).Sent(id, func(s export.SentRoute) { c.copySent(q, id, s, pg) })
		default:
			c.each(q, id, func(p *rib.Path, h attr.Handle) { c.copy(q, id, p, h, pg) })
		}
	}
	return len(keys)
}

// copy adds a row.
func (c *Core) copy(q *Query, id rib.ID, p *rib.Path, h attr.Handle, pg *page) {
	t := c.queried(q)
	rec := c.store.At(h)
	pg.rows = append(pg.rows, row{})
	r := &pg.rows[len(pg.rows)-1]
	r.Prefix, r.Neighbor, r.Weight, r.Source = t.Prefix(id), rec.Key.Neighbor, rec.Key.Weight, c.source(rec)
	if p != nil {
		r.learned, r.stale = p.Learned+1, c.staleSince(t, p)
		r.Best, r.Rejected, r.Reason = p == t.Best(id), p.Post == 0, p.Reason
		if p.Neighbor != 0 && c.home(t, p) { // else it is a number of ours
			r.PathID = p.PathID
		}
	}
	if q.View == ViewAdvertised {
		return
	}
	if p != nil && p.Post != 0 && !t.Reachable(p) {
		r.Unreachable = c.hops.list[c.store.At(p.Post).Hop].Why
	}
	c.ruling(q.Family, r, p)
	r.Discard = rec.Key.NextHop == policy.NextHopDiscard
	block, nextHop := c.store.Block(h)
	if isLocalHop(rec.Key, nextHop) {
		var a netip.Addr
		a, r.Interface = readLocalHop(nextHop)
		if nextHop = nil; !a.IsUnspecified() {
			nextHop = a.Unmap().AsSlice()
		}
	}
	if q.View != ViewReceived && !r.Rejected {
		r.from = c.sources[rec.Key.Neighbor]
	}
	r.at, r.size, r.nextHop = len(pg.data), len(block), len(nextHop)
	pg.data = append(append(pg.data, block...), nextHop...)
}

// copySent is copy for what a neighbor is sent.
func (c *Core) copySent(q *Query, id rib.ID, s export.SentRoute, pg *page) {
	c.copy(q, id, s.Path, s.Block, pg)
	r, m := &pg.rows[len(pg.rows)-1], c.member(q)
	r.Attrs = m.Attrs(s.Block)
	if r.PathID = s.PathID; r.PathID == 0 {
		r.Best = true // nothing else is advertised
	}
	r.Rule, r.Judged = m.Group().AcceptedBy(id, s)
}

// ruling says what the import policy did with a path, as far as the memo knows
// it.
func (c *Core) ruling(f prefix.Family, r *row, p *rib.Path) {
	program := c.neighbors[p.Neighbor].Families[f].Import
	if program == nil || p.Reason > ByPolicy {
		return
	}
	m, ok := c.imports.Get(p.Pre, c.variant(program, p.Pre, r.Prefix))
	if !ok || m.To != p.Post && !c.keptLong(f, p) || m.Reason != p.Reason {
		return // a new policy, which has not come to this path yet
	}
	r.Judged = true
	if rule, decided := program.Last(m.Trace); decided {
		r.Rule = rule
	}
}

// Lookup calls fn for the usable paths of the longest prefix with a best path
// that holds an address, the best path first. It reports whether there is one.
func (e *Engine) Lookup(ctx context.Context, table TableID, a netip.Addr, fn func(*Route) error) (found bool, err error) {
	p := prefix.FromNetip(netip.PrefixFrom(a, a.BitLen()))
	q := Query{Table: table, Family: p.Family, Prefix: &p, Match: MatchShorter}
	var pg page
	err = e.ask(ctx, func(c *Core) {
		t := c.queried(&q)
		keys, _ := q.few()
		for _, k := range slices.Backward(keys) {
			if id := t.Lookup(k); id != 0 && t.Best(id) != nil {
				c.page(&q, []prefix.Prefix{k}, &pg)
				return
			}
		}
	})
	pg.sort()
	for i := range pg.rows {
		if err := fn(pg.route(i, e.start)); err != nil {
			return true, err
		}
	}
	return len(pg.rows) > 0, err
}
