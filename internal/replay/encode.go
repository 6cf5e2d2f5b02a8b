package replay

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

const (
	// chunkSize is what is written at once.
	chunkSize = 256 << 10
	// ahead is how many chunks the encoder makes in advance.
	ahead = 8
)

// encoder turns routes into messages for one session. Its run has a goroutine;
// its results are to be read when that has ended.
type encoder struct {
	chunks chan chunk
	free   chan []byte

	localAS  uint32
	remoteAS uint32
	ebgp     bool
	as4      bool
	extNH    bool
	maxLen   int
	families [prefix.Families]bool
	addPath  [prefix.Families]bool
	nextHop  [prefix.Families][]byte // nil keeps what the dump has

	out  []byte
	done int
	due  time.Duration

	announced, withdrawn [prefix.Families]int
	kept, own            [prefix.Families]int // with the dump's next hop; with the router's AS in the path
	messages, skipped    int
	reason               string

	// scratch, of types that would be allocated for each group
	u                                   wire.Update
	a                                   wire.Attrs
	judged                              wire.Options
	routes                              []wire.Route
	block, path, canonical, attrs, nlri []byte
}

// encoder makes the encoder of a session, after judging what it can carry.
func (p *player) encoder(s *speaker) (*encoder, error) {
	open, caps := p.open(), &s.remote.Capabilities
	e := &encoder{
		chunks:    make(chan chunk, ahead),
		free:      make(chan []byte, ahead),
		localAS:   p.sum.LocalAS,
		remoteAS:  s.remote.ASN,
		ebgp:      s.ebgp,
		as4:       caps.AS4,
		extNH:     open.Capabilities.HasExtendedNextHop() && caps.HasExtendedNextHop(),
		maxLen:    wire.MaxMsgLen,
		block:     make([]byte, 0, wire.MaxExtendedLen),
		canonical: make([]byte, 0, wire.MaxExtendedLen),
	}
	if caps.ExtendedMessages {
		e.maxLen = wire.MaxExtendedLen
	}
	any := false
	for f := range prefix.Family(prefix.Families) {
		e.families[f] = p.o.Families[f] && caps.Has(f)
		any = any || e.families[f]
		if p.table != nil && p.table.count[f] > 0 && !e.families[f] {
			p.note("the router does not take %v: %d routes are left out", f, p.table.count[f])
			p.total -= int64(p.table.count[f])
		}
		e.addPath[f] = open.Capabilities.AddPathMode(f)&wire.AddPathSend != 0 && caps.AddPathMode(f)&wire.AddPathReceive != 0
		if p.contents.AddPath[f] && e.families[f] && !e.addPath[f] {
			p.note("the session has no add-path for %v: of several paths the first is sent, of updates the last", f)
		}
		e.nextHop[f] = p.nextHop(f, s)
	}
	if !any {
		return nil, fmt.Errorf("the router takes neither of the families that are to be played")
	}
	return e, nil
}

// nextHop is what all routes of a family get, nil for their own.
func (p *player) nextHop(f prefix.Family, s *speaker) []byte {
	a := p.o.NextHop.Addr[f]
	switch {
	case a.IsValid():
	case p.o.NextHop.Keep:
		return nil
	default:
		// RFC 4271 section 6.3: a loopback address is nobody's next hop.
		if a = s.local(); a.BitLen() != int(f.MaxBits()) || a.IsLoopback() {
			return nil
		}
	}
	return a.AsSlice()
}

// report adds to the summary what was encoded.
func (p *player) report(e *encoder) {
	s := &p.sum
	s.Announced, s.Withdrawn = e.announced, e.withdrawn
	s.Messages, s.Skipped, s.Reason = e.messages, e.skipped, e.reason
	for f := range prefix.Family(prefix.Families) {
		if e.kept[f] > 0 && !p.o.NextHop.Keep {
			p.note("our end of the session has no address for %v next hops: %d routes keep those of the dump", f, e.kept[f])
		}
		if e.own[f] > 0 {
			p.note("%d %v routes have the router's AS%d in their path, for which it will refuse them", e.own[f], f, e.remoteAS)
		}
	}
}

// run encodes all that p plays, and End-of-RIB of each family.
func (e *encoder) run(ctx context.Context, p *player) error {
	var err error
	if p.table != nil {
		err = e.table(ctx, p.table)
	} else {
		err = e.updates(ctx, p)
	}
	if err != nil {
		return err
	}
	for f := range prefix.Family(prefix.Families) {
		if e.families[f] {
			e.out = wire.AppendEndOfRIB(e.out, f)
			e.messages++
		}
	}
	return e.flush(ctx)
}

// flush hands the messages so far over.
func (e *encoder) flush(ctx context.Context) error {
	if len(e.out) == 0 {
		return ctx.Err()
	}
	select {
	case e.chunks <- chunk{e.out, e.done, e.due}:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case e.out = <-e.free:
	default:
		e.out = make([]byte, 0, chunkSize+wire.MaxMsgLen)
	}
	return nil
}

// table encodes a table, group by group.
func (e *encoder) table(ctx context.Context, t *table) error {
	for i := range t.groups {
		g := &t.groups[i]
		f := g.family()
		if g.first == 0 || !e.families[f] {
			continue
		}
		e.routes = e.routes[:0]
		for at := g.first; at != 0; at = t.routes[at-1].next {
			r := &t.routes[at-1]
			e.done++
			if !r.extra || e.addPath[f] {
				e.routes = append(e.routes, wire.Route{Prefix: r.prefix(f), PathID: r.pathID})
			}
		}
		e.u = g.update(e.block)
		e.announce(&e.u, g.as4(), f, e.routes)
		if len(e.out) >= chunkSize {
			if err := e.flush(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// skip counts what cannot be sent.
func (e *encoder) skip(n int, format string, args ...any) {
	if e.skipped += n; e.reason == "" {
		e.reason = fmt.Sprintf(format, args...)
	}
}

// announce appends UPDATEs for routes with the attributes of u.
func (e *encoder) announce(u *wire.Update, as4 bool, f prefix.Family, routes []wire.Route) {
	if len(routes) == 0 {
		return
	}
	attrs, nextHop, own, why := e.attributes(u, as4, f)
	if why != "" {
		e.skip(len(routes), "%v: %s", routes[0].Prefix, why)
		return
	}
	room := e.room(len(attrs)+len(nextHop)+9, wire.MaxMsgLen) // 9: the rest of MP_REACH_NLRI
	if room < 0 {
		if room = e.room(len(attrs)+len(nextHop)+9, e.maxLen); room < 0 {
			e.skip(len(routes), "%v: its attributes do not fit a message", routes[0].Prefix)
			return
		}
	}
	e.announced[f] += len(routes)
	if own {
		e.own[f] += len(routes)
	}
	if e.nextHop[f] == nil {
		e.kept[f] += len(routes)
	}
	for len(routes) > 0 {
		routes = routes[e.pack(f, routes, room):]
		e.out = wire.AppendUpdate(e.out, f, nil, attrs, nextHop, e.nlri)
		e.messages++
	}
}

// withdraw appends UPDATEs that withdraw routes.
func (e *encoder) withdraw(f prefix.Family, routes []wire.Route) {
	e.withdrawn[f] += len(routes)
	for len(routes) > 0 {
		routes = routes[e.pack(f, routes, e.room(7, wire.MaxMsgLen)):] // 7: the head of MP_UNREACH_NLRI
		e.out = wire.AppendUpdate(e.out, f, e.nlri, nil, nil, nil)
		e.messages++
	}
}

// largestRoute is a path id, a length and an address.
const largestRoute = 4 + 1 + 16

// room is how many bytes of NLRI an UPDATE holds besides others, negative if
// there may not be enough for a single prefix.
func (e *encoder) room(others, maxLen int) int {
	n := maxLen - wire.HeaderLen - 4 - others
	if n < largestRoute {
		return -1
	}
	return n
}

// pack encodes routes into e.nlri while they fit and says how many did.
func (e *encoder) pack(f prefix.Family, routes []wire.Route, room int) int {
	e.nlri = e.nlri[:0]
	for i, r := range routes {
		if len(e.nlri)+largestRoute > room {
			return i
		}
		if e.addPath[f] {
			e.nlri = append(e.nlri, byte(r.PathID>>24), byte(r.PathID>>16), byte(r.PathID>>8), byte(r.PathID))
		}
		e.nlri = wire.AppendPrefix(e.nlri, r.Prefix)
	}
	return len(routes)
}

// attributes are those of u as this session has them, or why it cannot have
// them. nextHop is set for MP_REACH_NLRI. own tells that the router's AS is in
// the path.
func (e *encoder) attributes(u *wire.Update, as4 bool, f prefix.Family) (attrs, nextHop []byte, own bool, why string) {
	fixed := e.nextHop[f]
	if fixed != nil && u.HasReach {
		u.ReachNextHop = fixed
	}
	// As of an internal session, which may have any attribute.
	e.judged = wire.Options{AS4: as4, ExtNH: true}
	block, v := u.Validate(&e.judged, u.HasReach, e.canonical[:0])
	if v.Action >= wire.TreatAsWithdraw {
		return nil, nil, false, v.Why
	}
	a := &e.a
	wire.Parse(block, u.ReachNextHop, a)
	if e.ebgp {
		// RFC 4271 section 5.1.5, RFC 4456 section 8: not to other ASes. The
		// collector has them from its own.
		a.Has &^= wire.HasLocalPref | wire.HasOriginatorID
		a.ClusterList = nil
		// RFC 4271 section 6.3: routers want our AS number in front.
		if first, ok := wire.FirstAS(a.ASPath); !ok || first != e.localAS {
			e.path = wire.Prepend(e.path[:0], a.ASPath, e.localAS, 1)
			a.ASPath = e.path
		}
	} else if a.Has&wire.HasLocalPref == 0 {
		a.Has, a.LocalPref = a.Has|wire.HasLocalPref, 100
	}
	if a.NextHop = a.NextHop[:min(len(a.NextHop), 16)]; fixed != nil { // a link-local one is of another link
		a.NextHop = fixed
	}
	mp := f != prefix.IPv4 || len(a.NextHop) != 4
	if mp && f == prefix.IPv4 && !e.extNH {
		return nil, nil, false, "its next hop is an IPv6 address, which the router does not take for IPv4"
	}
	if f == prefix.IPv6 && len(a.NextHop) != 16 {
		return nil, nil, false, "it has no IPv6 next hop"
	}
	if e.as4 {
		e.attrs = a.Append(e.attrs[:0], mp)
	} else {
		e.attrs = a.AppendAS2(e.attrs[:0], mp)
	}
	if mp {
		nextHop = a.NextHop
	}
	return e.attrs, nextHop, e.ebgp && wire.PathContains(a.ASPath, e.remoteAS) > 0, ""
}
