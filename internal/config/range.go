package config

import (
	"math"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// DefaultRangeLimit is how many neighbors a range has at the most.
const DefaultRangeLimit = 100

// Range is a neighbor_range block: who connects from one of its addresses, and
// is in an AS that it allows, becomes a neighbor.
type Range struct {
	Name      string
	Pos       Pos
	Group     string // "" for none
	Addresses []netip.Prefix
	Limit     int
	// Example is a neighbor of the range: what its session is like before the
	// neighbor has said which AS it is in.
	Example *Neighbor

	// What the block itself says.
	Own       Settings
	OwnFamily FamilySettings
}

// neverDialed are the arguments that mean nothing where we do not connect.
var neverDialed = []string{"passive", "port", "local_address", "connect_retry", "idle_hold"}

var rangeBlock = schema[party]{
	arguments: slices.DeleteFunc(sessionArguments(
		optional("group", one("group"), func(s *Settings) **string { return &s.Group }),
		required(optional("addresses", list(addressPrefix), func(s *Settings) **[]netip.Prefix { return &s.Addresses }), `["192.0.2.0/24"]`),
		optional("asns", asSets.codec(), func(s *Settings) **Members[policy.ASSet] { return &s.ASNs }),
		optional("limit", number[uint16](1, math.MaxUint16), func(s *Settings) **uint16 { return &s.Limit }),
		optional("prefixes", prefixSets.codec(), func(s *Settings) **Members[policy.PrefixSet] { return &s.Prefixes }),
		optional("origin_asns", asSets.codec(), func(s *Settings) **Members[policy.ASSet] { return &s.OriginASNs }),
	), func(a argument[party]) bool { return slices.Contains(neverDialed, a.name) }),
	blocks: familyBlocks,
}

// addressPrefix is where neighbors may connect from.
var addressPrefix = codec[netip.Prefix]{
	read: func(v value) (netip.Prefix, bool) {
		s, ok := v.str("address prefixes in quotes", `["192.0.2.0/24"]`)
		if !ok {
			return netip.Prefix{}, false
		}
		if a, err := netip.ParseAddr(s); err == nil {
			v.fail("write "+quote(netip.PrefixFrom(a, a.BitLen()).String())+", or use a neighbor block", "%s has no length", quote(s))
			return netip.Prefix{}, false
		}
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil || p.Addr().Is4In6():
			v.fail(`write it like "192.0.2.0/24" or "2001:db8::/64"`, "%s is no address prefix", quote(s))
		case p != p.Masked():
			v.fail("write "+quote(p.Masked().String()), "%s has bits behind its length", quote(s))
		case p.Addr().IsMulticast() || p.Addr().IsLinkLocalUnicast() && p.Addr().Is6():
			v.fail("neighbors with link-local addresses have neighbor blocks with an interface", "no neighbor can connect from %s", quote(s))
		default:
			return p, true
		}
		return netip.Prefix{}, false
	},
	write: func(p netip.Prefix) string { return quote(p.String()) },
}

func (r *reader) neighborRange(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	what := "neighbor_range " + quote(name)
	p := &party{head: b.DefRange()}
	decode(r, rangeBlock, what, p.head, b.Body, p)
	r.checkFamilyBlocks(p, what)
	s := &p.settings
	g := &Range{Name: name, Pos: pos(b.TypeRange), Group: or(s.Group, ""), Addresses: or(s.Addresses, nil),
		Limit: int(or(s.Limit, DefaultRangeLimit)), Own: *s, OwnFamily: p.families}
	group := r.groups[g.Group]
	if group == nil {
		group = &party{}
	}
	r.cfg.Ranges = append(r.cfg.Ranges, g)
	r.checkRange(g, p, group)
}

// member is a neighbor of the range.
func (g *Range) member(router *Router, group *party, a netip.Addr, asn uint32) *Neighbor {
	passive := true
	n := &Neighbor{Name: g.Name + "/" + a.String(), Pos: g.Pos, Group: g.Group, Range: g.Name, Own: g.Own, OwnFamily: g.OwnFamily}
	n.Own.Address, n.Own.ASN, n.Own.Passive = &a, &asn, &passive
	resolve(router, n, group)
	return n
}

// Member is the neighbor that somebody becomes who has connected from a range.
func (c *Config) Member(g *Range, from netip.Addr, asn uint32) *Neighbor {
	group := &party{}
	for _, o := range c.Groups {
		if o.Name == g.Group {
			group = &party{settings: o.Settings, families: o.Families}
		}
	}
	return g.member(&c.Router, group, from, asn)
}

// Allows reports whether neighbors of the range may be in an AS. Our own, in
// which everything passes without a policy, must be named by asn.
func (g *Range) Allows(asn uint32) bool {
	t := &g.Example.Transport
	ours := asn == t.LocalASN || asn == t.OtherASN
	if g.Own.ASNs == nil {
		return asn == t.ASN || ours && !g.Example.EBGP() // RFC 7705 section 4.2: by either number
	}
	return !ours && g.Own.ASNs.Set.Contains(asn)
}

// RangeOf is the range that an address is in, the most specific one; nil if
// there is none.
func (c *Config) RangeOf(a netip.Addr) *Range {
	var found *Range
	bits := -1
	for _, g := range c.Ranges {
		for _, p := range g.Addresses {
			if p.Bits() > bits && p.Contains(a) {
				found, bits = g, p.Bits()
			}
		}
	}
	return found
}

// checkRange judges neighbors of a range, one of each family, as if they had
// blocks of their own.
func (r *reader) checkRange(g *Range, own, group *party) {
	if own.settings.ASNs != nil && own.settings.ASN != nil {
		r.errorf(r.place(own, "asn"), "remove one of them", "neighbor_range %s has both asn and asns", quote(g.Name))
	}
	asn := or(own.settings.ASN, or(group.settings.ASN, 0))
	if own.settings.ASNs != nil {
		asn = another(own.settings.ASNs.Set, or(own.settings.LocalASN, or(group.settings.LocalASN, r.cfg.Router.ASN)), r.cfg.Router.ASN)
		if asn == 0 {
			r.errorf(r.place(own, "asns"), "for neighbors in our own AS, write asn", "neighbor_range %s allows no AS: our own is never one of asns", quote(g.Name))
		}
		r.where[own]["asn"] = r.place(own, "asns") // where checkNeighbor looks
	} else if asn == 0 {
		r.errorf(own.head, `add asns = ["64512-65534"] with the numbers that are allowed, or asn`, "neighbor_range %s does not say which AS its neighbors are in", quote(g.Name))
	}
	before := len(r.diags)
	for f := range prefix.Family(prefix.Families) {
		i := slices.IndexFunc(g.Addresses, func(p netip.Prefix) bool { return p.IsValid() && p.Addr().Is4() == (f == prefix.IPv4) })
		if i < 0 {
			continue
		}
		n := g.member(&r.cfg.Router, group, g.Addresses[i].Addr().Next(), asn)
		n.Name = g.Name + "/…"
		g.Example = n
		if asn != 0 {
			r.checkNeighbor(n, own, group)
		}
	}
	said := map[Diagnostic]bool{}
	kept := slices.DeleteFunc(r.diags[before:], func(d Diagnostic) bool {
		again := said[d]
		said[d] = true
		return again
	})
	r.diags = r.diags[:before+len(kept)]
}

// another is an AS number of a set that is not ours, 0 if there is none.
func another(set *policy.ASSet, ours ...uint32) uint32 {
	for e := range set.All() {
		for _, asn := range []uint32{e.Min, min(e.Min+1, e.Max), e.Max} {
			if asn != 0 && !slices.Contains(ours, asn) {
				return asn
			}
		}
	}
	return 0
}

// checkRanges finds addresses that two claim, and passwords that the kernel
// cannot keep apart.
func (r *reader) checkRanges() {
	place := func(g *Range) hcl.Range { return r.at(g.Pos, len("neighbor_range")) }
	claims := map[netip.Prefix]*Range{}
	for _, g := range r.cfg.Ranges {
		for _, p := range g.Addresses {
			if first := claims[p]; first != nil {
				r.errorf(place(g), "remove it from one of them", "neighbor_range %s has the addresses %s of neighbor_range %s at %s", quote(g.Name), p, quote(first.Name), first.Pos)
				continue
			}
			claims[p] = g
		}
	}
	password := func(n *Neighbor) bool { return n != nil && n.Transport.Password != Secret{} }
	// above is the nearest range with a password around an address.
	above := func(a netip.Addr, bits int) *Range {
		var found *Range
		most := -1
		for p, g := range claims {
			if p.Bits() < bits && p.Bits() > most && p.Contains(a) && password(g.Example) {
				found, most = g, p.Bits()
			}
		}
		return found
	}
	said := map[*Range]bool{}
	for p, g := range claims {
		if outer := above(p.Addr(), p.Bits()); outer != nil && !password(g.Example) && !said[g] {
			said[g] = true
			r.errorf(place(g), "add a password_file, too", "neighbor_range %s is inside of neighbor_range %s, whose password the kernel demands of all its addresses", quote(g.Name), quote(outer.Name))
		}
	}
	for _, n := range r.cfg.Neighbors {
		a, at := n.Transport.Address.WithZone(""), r.at(n.Pos, len("neighbor"))
		if g := claims[netip.PrefixFrom(a, a.BitLen())]; g != nil {
			r.errorf(at, "remove one of them", "neighbor %s has the only address of neighbor_range %s at %s", quote(n.Name), quote(g.Name), g.Pos)
		} else if outer := above(a, a.BitLen()); outer != nil && !password(n) {
			r.warnf(at, "add a password_file, too", "neighbor %s cannot connect to us: it is inside of neighbor_range %s, whose password the kernel demands of all its addresses", quote(n.Name), quote(outer.Name))
		}
		for _, g := range r.cfg.Ranges {
			if strings.HasPrefix(n.Name, g.Name+"/") {
				r.errorf(at, "rename one of them", "the name of neighbor %s is one that neighbors of neighbor_range %s get", quote(n.Name), quote(g.Name))
			}
		}
	}
}
