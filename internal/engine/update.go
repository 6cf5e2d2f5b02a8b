package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"

	"holdfast/internal/attr"
	"holdfast/internal/events"
	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// Reasons for which a route received is not used, beside policies.
const (
	Accepted uint8 = iota
	ByPolicy
	NoPolicy     // eBGP without an import policy (RFC 8212)
	FirstAS      // the path does not begin with the neighbor's AS
	OwnAS        // our AS is in the path (RFC 4271 section 9.1.2)
	OwnOrigin    // ORIGINATOR_ID or CLUSTER_LIST is ours (RFC 4456 section 8)
	PathTooLong  // max_as_path_length
	HasASSet     // reject_as_sets (RFC 9774)
	OwnNextHop   // the next hop is this session's own address (RFC 4271 section 6.3)
	TooLarge     // the policy made attributes that fit no message
	RouteLeak    // OTC says that it has come against the roles (RFC 9234 section 5)
	reasonsCount // how many there are
)

var reasonTexts = [reasonsCount]string{"", "rejected by the import policy",
	"no import policy, so nothing passes (RFC 8212)", "the AS path does not begin with the neighbor's AS",
	"our own AS is in the path", "it was reflected back to us", "the AS path is too long",
	"the AS path has an AS_SET (RFC 9774)", "the next hop is our own address", "the policy made attributes that fit no message",
	"a route leak: by its attribute OTC, this neighbor must not pass it on to us (RFC 9234)"}

// ReasonText is a reason for people.
func ReasonText(r uint8) string { return reasonTexts[r] }

// Messages takes UPDATE and ROUTE-REFRESH messages of a neighbor, whole ones,
// one behind the other, with their headers.
func (c *Core) Messages(id packet.ID, data []byte) {
	n := c.neighbors[id]
	for len(data) >= wire.HeaderLen && n.up && !n.closing {
		size := int(binary.BigEndian.Uint16(data[16:]))
		body := data[wire.HeaderLen:size]
		var err *wire.Error
		if data[18] == wire.MsgUpdate {
			err = c.update(n, body)
		} else {
			c.flush(n)
			err = c.refresh(n, body)
		}
		if err != nil {
			c.flush(n)
			c.close(n, session.Close{Code: err.Code, Subcode: err.Subcode, Data: append([]byte(nil), err.Data...), Text: err.Why})
			return
		}
		data = data[size:]
	}
	c.flush(n)
}

// update takes one UPDATE apart. What it says is queued in c.ops.
func (c *Core) update(n *neighbor, body []byte) *wire.Error {
	o := &n.est.Read
	u := &c.msg
	if err := wire.Split(body, o, u); err != nil {
		return err
	}
	// All prefixes are decoded before the first is used: an UPDATE that ends
	// the session changes nothing.
	var cut [4]int
	c.routes = c.routes[:0]
	for i, l := range [4]*wire.NLRI{&u.Withdrawn, &u.Unreach, &u.Announced, &u.Reach} {
		if i == 1 && !u.HasUnreach || i == 3 && !u.HasReach {
			cut[i] = len(c.routes)
			continue
		}
		var err *wire.Error
		if c.routes, err = l.Decode(c.routes); err != nil {
			return err
		}
		cut[i] = len(c.routes)
	}
	gone, here, mp := c.routes[:cut[1]], c.routes[cut[1]:cut[2]], c.routes[cut[2]:cut[3]]
	if len(gone) > 0 {
		c.withdraw(n, prefix.IPv4, c.routes[:cut[0]])
		c.withdraw(n, u.Unreach.Family, c.routes[cut[0]:cut[1]])
	}
	if len(here) > 0 {
		if err := c.announce(n, u, prefix.IPv4, false, here); err != nil {
			return err
		}
	}
	if len(mp) > 0 {
		if err := c.announce(n, u, u.Reach.Family, true, mp); err != nil {
			return err
		}
	}
	if len(here)+len(mp) > 0 {
		return nil
	}
	if len(u.Attrs) == 0 || u.HasUnreach {
		if f, ok := u.EndOfRIB(); ok {
			n.counts[f].endOfRIB = true
			if n.counts[f].kept.since != 0 {
				c.sweepStale(n, f, "the neighbor has not announced them again")
			}
			return nil
		}
	}
	// Attributes without routes: an error in them cannot be contained (RFC 7606
	// section 5.2).
	if len(u.Attrs) > 0 {
		if _, v := u.Validate(o, u.HasReach, c.canon[:0]); v.Action == wire.Reset {
			return v.Err
		}
	}
	return nil
}

func (c *Core) withdraw(n *neighbor, f prefix.Family, routes []wire.Route) {
	for i := range routes {
		c.push(n, f, rib.Op{Prefix: routes[i].Prefix, PathID: routes[i].PathID, Neighbor: n.ID})
	}
}

func (c *Core) push(n *neighbor, f prefix.Family, op rib.Op) {
	c.ops[f] = append(c.ops[f], op)
	if len(c.ops[f]) >= batchOps {
		c.flushFamily(n, f)
	}
}

// announce queues routes that share the attributes of one UPDATE.
func (c *Core) announce(n *neighbor, u *wire.Update, f prefix.Family, mp bool, routes []wire.Route) *wire.Error {
	key := attr.Key{Neighbor: n.ID, Family: f}
	var nextHop []byte
	if mp {
		nextHop = u.ReachNextHop
	}
	// A block that is known, byte for byte, from this neighbor and family has
	// been validated before.
	c.block = c.block[:0]
	block := u.Block(c.block)
	var h attr.Handle
	if n.est.Read.AS4 && !u.Suspect {
		h = c.store.Find(key, block, nextHop)
	}
	if h == 0 {
		valid, v := u.Validate(&n.est.Read, mp, c.canon[:0])
		switch v.Action {
		case wire.Reset:
			return v.Err
		case wire.TreatAsWithdraw:
			n.bad.Withdrawn++
			c.complain(n, events.UpdateMalformed, "malformed UPDATE: its routes count as withdrawn (RFC 7606)", v.Why, "prefix", routes[0].Prefix, "prefixes", len(routes))
			c.withdraw(n, f, routes)
			return nil
		case wire.AttributeDiscard:
			n.bad.Discarded++
			c.complain(n, events.AttributeDiscarded, "malformed attribute discarded (RFC 7606)", v.Why, "prefix", routes[0].Prefix, "prefixes", len(routes))
		}
		h = c.store.Intern(key, valid, nextHop)
	}
	// One reference for each route; the one that we have is the first's.
	c.store.Retain(h, len(routes)-1)
	program := n.Families[f].Import
	variants := program != nil && program.Variants() > 1
	variant, origin := uint32(0), uint32(0)
	validated := validates(program)
	if validated {
		origin = export.Origin(program, c.store, h)
	}
	var r attr.Result
	for i := range routes {
		last := variant
		if variants {
			variant = program.Variant(routes[i].Prefix)
		}
		if validated {
			variant = policy.Validated(variant, c.vrps.State(routes[i].Prefix, origin))
		}
		if variant != last || i == 0 {
			r = c.judge(n, program, h, variant)
		}
		switch {
		case r.Reason == RouteLeak:
			n.bad.Leaks++
			c.complain(n, events.RouteLeak, "route leak: the route is not used", "by its attribute OTC, the neighbor must not pass it on to us (RFC 9234)", "prefix", routes[i].Prefix)
		case program != nil && r.Reason <= ByPolicy:
			program.Count(r.Trace, 1)
		}
		c.push(n, f, rib.Op{Prefix: routes[i].Prefix, PathID: routes[i].PathID, Neighbor: n.ID, Pre: h, Post: r.To, Reason: r.Reason})
	}
	return nil
}

// complain logs what is wrong with routes of a neighbor or for it, for each once
// a second at the most: where there is one there are many. The counters have
// them all.
func (c *Core) complain(n *neighbor, id events.ID, what, why string, args ...any) {
	if n.complained == c.now+1 {
		return
	}
	n.complained = c.now + 1
	c.log.Warn(what, append([]any{"event", id, "neighbor", n.Name, "error", why}, args...)...)
}

// judgePrefix is what import makes of a block for a prefix.
func (c *Core) judgePrefix(n *neighbor, f prefix.Family, h attr.Handle, p prefix.Prefix) attr.Result {
	program := n.Families[f].Import
	variant := uint32(0)
	if program != nil {
		variant = c.variant(program, h, p)
	}
	return c.judge(n, program, h, variant)
}

// judge is what import makes of a block for all prefixes of a variant.
func (c *Core) judge(n *neighbor, program *policy.Program, h attr.Handle, variant uint32) attr.Result {
	r, ok := c.imports.Get(h, variant)
	if !ok {
		r = c.evaluate(n, program, h, variant)
		c.imports.Put(h, variant, r)
		if r.To != 0 && r.To != h {
			c.store.Release(r.To) // the memo holds it now
		}
	}
	return r
}

// evaluate returns a block with a reference to it, unless it is h itself.
func (c *Core) evaluate(n *neighbor, program *policy.Program, h attr.Handle, variant uint32) attr.Result {
	a := &c.attrs
	c.store.Parse(h, a)
	if reason := c.check(n, a); reason != Accepted {
		return attr.Result{Reason: reason}
	}
	r := policy.Result{Accept: true, Weight: c.store.At(h).Key.Weight}
	switch {
	case program != nil:
		route := policy.Route{Attrs: a, Weight: r.Weight}
		if program.Verifies() {
			route.Path = n.Verification.State(c.aspas, a.ASPath)
		}
		r = program.Eval(variant, &route, &c.scratch)
	case n.EBGP:
		return attr.Result{Reason: NoPolicy}
	}
	last(n, a, &r)
	if n.PrependLocal && n.est.LocalASN != c.cfg.ASN {
		// RFC 7705 section 3.3. Policies see the path as it came.
		a.ASPath, r.Changed = wire.Prepend(nil, a.ASPath, n.est.LocalASN, 1), true
	}
	return c.verdict(h, a, r)
}

// verdict is what a policy's result makes of a block, whose attributes are a by
// now: a block with a reference to it, unless it is h itself.
func (c *Core) verdict(h attr.Handle, a *wire.Attrs, r policy.Result) attr.Result {
	if !r.Accept {
		return attr.Result{Reason: ByPolicy, Trace: r.Trace}
	}
	was := c.store.At(h).Key
	key := was
	key.Weight = r.Weight
	switch r.NextHop {
	case policy.NextHopSelf, policy.NextHopDiscard:
		key.NextHop = r.NextHop
	case policy.NextHopAddress, policy.NextHopUnchanged:
		key.NextHop = policy.NextHopDefault // the one in the attributes
	}
	if !r.Changed && key == was {
		return attr.Result{To: h, Trace: r.Trace}
	}
	key.Made = true
	if out := c.store.InternAttrs(key, a); out != 0 {
		return attr.Result{To: out, Trace: r.Trace}
	}
	return attr.Result{Reason: TooLarge, Trace: r.Trace}
}

// check refuses what no policy may let in.
func (c *Core) check(n *neighbor, a *wire.Attrs) uint8 {
	if n.EBGP && n.Checks.EnforceFirstAS {
		if first, ok := wire.FirstAS(a.ASPath); !ok || first != n.ASN {
			return FirstAS
		}
	}
	if wire.PathContains(a.ASPath, n.LocalASN) > n.Checks.AllowOwnAS ||
		n.LocalASN != c.cfg.ASN && wire.PathContains(a.ASPath, c.cfg.ASN) > n.Checks.AllowOwnAS {
		return OwnAS
	}
	if !n.EBGP {
		if a.Has&wire.HasOriginatorID != 0 && a.OriginatorID == c.cfg.RouterID {
			return OwnOrigin
		}
		for l := a.ClusterList; len(l) >= 4; l = l[4:] {
			if binary.BigEndian.Uint32(l) == c.cfg.ClusterID {
				return OwnOrigin
			}
		}
	}
	if n.leaks(a) {
		return RouteLeak
	}
	if limit := n.Checks.MaxPathLength; limit > 0 && wire.PathLen(a.ASPath) > limit {
		return PathTooLong
	}
	if n.Checks.RejectASSets && wire.PathHasSet(a.ASPath) {
		return HasASSet
	}
	for _, own := range n.est.NextHop {
		b := own.AsSlice()
		if len(b) > 0 && (len(b) == 4) == (len(a.NextHop) == 4) && bytes.HasPrefix(a.NextHop, b) {
			return OwnNextHop
		}
	}
	return Accepted
}

// flush carries out what is queued.
func (c *Core) flush(n *neighbor) {
	for f := range c.ops {
		if len(c.ops[f]) > 0 {
			c.flushFamily(n, prefix.Family(f))
		}
	}
}

func (c *Core) flushFamily(n *neighbor, f prefix.Family) {
	d := c.of(n, f).Apply(c.ops[f], c.now, rib.NewCause(rib.CauseUpdate, uint32(n.ID)))
	c.ops[f] = c.ops[f][:0]
	if d.Excess > 0 {
		c.complain(n, events.PathsExcess, "routes not taken", fmt.Sprintf("more than %d paths for a prefix", rib.MaxPaths), "routes", d.Excess)
	}
	if d.Full > 0 {
		c.log.Error("the table is full: routes are lost", "event", events.TableFull, "family", f, "neighbor", n.Name, "routes", d.Full, "limit", rib.MaxPrefixes)
	}
	c.count(n, f, d)
}

// count keeps a neighbor's numbers and its limit.
func (c *Core) count(n *neighbor, f prefix.Family, d rib.Delta) {
	n.counts[f].add(d)
	c.limit(n, f)
}

func (c *Core) limit(n *neighbor, f prefix.Family) {
	k, l := &n.counts[f], &n.Families[f].Limit
	if l.Max == 0 || !n.up || n.closing || l.AfterPolicy && c.revising > 0 {
		return
	}
	if k.sweep.stale > 0 { // which comes back to this
		return
	}
	have := k.paths
	if l.AfterPolicy {
		have = k.accepted
	}
	warn := l.Warn
	if warn == 0 {
		warn = math.MaxInt
	}
	switch {
	case have > l.Max && l.Action != LimitWarn && k.kept.since != 0:
		// It has gone by what it announces now.
		c.sweepStale(n, f, "with what the neighbor announces now there are too many prefixes")
	case have > l.Max && l.Action != LimitWarn:
		c.log.Error("too many prefixes: the session ends", "event", events.PrefixLimit, "neighbor", n.Name, "family", f, "prefixes", have, "limit", l.Max)
		// RFC 4486: AFI, SAFI and the limit as data.
		data := binary.BigEndian.AppendUint16(nil, f.AFI())
		data = binary.BigEndian.AppendUint32(append(data, 1), uint32(l.Max))
		cl := session.Close{Code: 6, Subcode: 1, Data: data}
		if l.Action == LimitShutdown {
			cl.StayDown = true
		} else {
			cl.After = l.RestartIn
		}
		c.close(n, cl)
	case have > min(warn, l.Max):
		if !k.warned {
			k.warned = true
			c.log.Warn("many prefixes", "event", events.PrefixWarning, "neighbor", n.Name, "family", f, "prefixes", have, "limit", l.Max)
		}
	default:
		k.warned = false
	}
}

// close asks the session to end. What it has sent already counts no more.
func (c *Core) close(n *neighbor, cl session.Close) {
	n.closing = true
	n.out.Close(cl)
}

// refresh answers a ROUTE-REFRESH (RFC 2918, RFC 7313).
func (c *Core) refresh(n *neighbor, body []byte) *wire.Error {
	r, err := wire.ParseRefresh(body)
	if err != nil {
		return err
	}
	f, ok := prefix.FamilyByAFI(r.AFI)
	if !ok || r.SAFI != 1 || !n.est.Read.Families[f] {
		return nil // RFC 2918 section 4: not advertised, so ignored
	}
	switch r.Subtype {
	case wire.RefreshRequest:
		if m := n.members[f]; m != nil {
			m.Refresh(n.est.EnhancedRefresh)
		}
	case wire.RefreshBegin:
		if n.est.EnhancedRefresh {
			c.beginRefresh(n, f)
		}
	case wire.RefreshEnd:
		c.endRefresh(n, f)
	}
	return nil
}
