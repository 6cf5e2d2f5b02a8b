package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// party is a group or neighbor block while it is read.
type party struct {
	settings Settings
	families FamilySettings
	ranges   [prefix.Families]hcl.Range // of the family blocks
	head     hcl.Range
}

func sessionArguments(more ...argument[Settings]) []argument[party] {
	return lift(func(p *party) *Settings { return &p.settings }, slices.Concat(more, perSession, perFamily.arguments))
}

// lift makes arguments of a part arguments of the whole.
func lift[T, P any](part func(*T) *P, from []argument[P]) []argument[T] {
	var all []argument[T]
	for _, a := range from {
		all = append(all, argument[T]{
			name: a.name, required: a.required,
			read:  func(v value, to *T) { a.read(v, part(to)) },
			write: func(t *T) string { return a.write(part(t)) },
		})
	}
	return all
}

var familyBlocks = []nested[party]{{
	name: "family", label: `"ipv4"`,
	read: func(r *reader, b *hclsyntax.Block, to *party) {
		name, ok := r.label(b)
		if !ok {
			return
		}
		f := prefix.IPv4
		switch name {
		case "ipv4":
		case "ipv6":
			f = prefix.IPv6
		default:
			r.errorf(b.LabelRanges[0], `it is "ipv4" or "ipv6"`, "there is no family %s", quote(name))
			return
		}
		if to.families[f] != nil {
			r.errorf(b.LabelRanges[0], "put everything into one block", "a second block for family %s; the first is at line %d", quote(name), to.ranges[f].Start.Line)
			return
		}
		to.families[f], to.ranges[f] = &Settings{}, b.LabelRanges[0]
		for _, a := range b.Body.Attributes {
			if slices.ContainsFunc(perSession, func(k argument[Settings]) bool { return k.name == a.Name }) {
				r.errorf(a.NameRange, "write it outside of the family block", "%s belongs to the whole session", a.Name)
				delete(b.Body.Attributes, a.Name)
			}
		}
		decode(r, perFamily, "family "+quote(name), b.DefRange(), b.Body, to.families[f])
	},
	write: func(p *printer, from *party) {
		for f, s := range from.families {
			if s != nil {
				p.open("family " + quote(prefix.Family(f).String()))
				write(p, perFamily, s)
				p.close()
			}
		}
	},
}}

var groupBlock = schema[party]{arguments: sessionArguments(), blocks: familyBlocks}

var neighborBlock = schema[party]{
	arguments: sessionArguments(
		optional("group", one("group"), func(s *Settings) **string { return &s.Group }),
		optional("address", address, func(s *Settings) **netip.Addr { return &s.Address }),
		optional("interface", interfaceName, func(s *Settings) **string { return &s.Interface }),
		optional("prefixes", prefixSets.codec(), func(s *Settings) **Members[policy.PrefixSet] { return &s.Prefixes }),
		optional("origin_asns", asSets.codec(), func(s *Settings) **Members[policy.ASSet] { return &s.OriginASNs }),
	),
	blocks: familyBlocks,
}

func (r *reader) group(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	p := &party{head: b.DefRange()}
	decode(r, groupBlock, "group "+quote(name), p.head, b.Body, p)
	r.checkFamilyBlocks(p, "group "+quote(name))
	r.groups[name] = p
	r.cfg.Groups = append(r.cfg.Groups, &Group{Name: name, Pos: pos(b.TypeRange), Settings: p.settings, Families: p.families})
}

func (r *reader) neighbor(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	p := &party{head: b.DefRange()}
	decode(r, neighborBlock, "neighbor "+quote(name), p.head, b.Body, p)
	r.checkFamilyBlocks(p, "neighbor "+quote(name))
	_, addressed := r.where[p]["address"]
	if _, found := r.where[p]["interface"]; !addressed && !found {
		r.errorf(p.head, `add address = "192.0.2.9", or interface = "eth1" for the router at the other end of that link`, "neighbor %s has no address", quote(name))
	}
	n := &Neighbor{Name: name, Pos: pos(b.TypeRange), Own: p.settings, OwnFamily: p.families}
	group := &party{}
	if p.settings.Group != nil {
		n.Group = *p.settings.Group
		if g := r.groups[n.Group]; g != nil {
			group = g
		}
	}
	r.cfg.Neighbors = append(r.cfg.Neighbors, n)
	resolve(&r.cfg.Router, n, group)
	r.checkNeighbor(n, p, group)
}

// checkFamilyBlocks refuses a family block for a family that the same block's
// families leave out.
func (r *reader) checkFamilyBlocks(p *party, what string) {
	if p.settings.Families == nil {
		return
	}
	if len(*p.settings.Families) == 0 {
		r.errorf(r.place(p, "families"), `write families = ["ipv4"], or use shutdown = true`, "%s has no family", what)
	}
	for f, s := range p.families {
		if s != nil && !slices.Contains(*p.settings.Families, prefix.Family(f)) {
			r.errorf(p.ranges[f], "add it there, or remove this block", "%s has a block for %s, which its families leave out", what, prefix.Family(f))
		}
	}
}

// place is where an argument of a block was given.
func (r *reader) place(p *party, name string) hcl.Range {
	if at, ok := r.where[p][name]; ok {
		return at
	}
	return p.head
}

// resolve fills in what a neighbor has of its own, of its group and by
// default.
func resolve(router *Router, n *Neighbor, group *party) {
	s := n.Own
	s.take(&group.settings)
	on := enabled(n, group)

	t := &n.Transport
	*t = Transport{
		ASN: or(s.ASN, 0), LocalASN: or(s.LocalASN, router.ASN), RouterID: router.ID,
		Address: or(s.Address, netip.Addr{}), Port: or(s.Port, DefaultPort), LocalAddress: or(s.LocalAddress, netip.Addr{}),
		Passive: or(s.Passive, false), HoldTime: or(s.HoldTime, DefaultHoldTime),
		Families: on, ExtendedMessages: or(s.ExtendedMessages, true), Role: or(s.LocalRole, NoRole), RequireRole: or(s.RequireRole, false),
	}
	if or(s.DualAS, false) && t.LocalASN != router.ASN {
		t.OtherASN = router.ASN
		if t.ASN == t.LocalASN || t.ASN == t.OtherASN {
			// RFC 7705 section 4.2: inside our AS, its new number comes first.
			t.LocalASN, t.OtherASN = t.OtherASN, t.LocalASN
		}
	}
	if s.Interface != nil && s.Address != nil {
		t.Address = t.Address.WithZone(*s.Interface)
	} else {
		t.Interface = or(s.Interface, "")
	}
	if s.Password != nil {
		t.Password = s.Password.Secret
	}
	t.MSS, t.DSCP = or(s.MSS, 0), or(s.DSCP, DefaultDSCP)
	// RFC 4271 section 4.4: a third of the hold time.
	t.Keepalive = or(s.Keepalive, (t.HoldTime / 3).Truncate(time.Second))
	if t.HoldTime == 0 {
		t.Keepalive = 0
	}
	t.UserTimeout = or(s.UserTimeout, defaultUserTimeout(t.HoldTime))
	t.TTL = or(s.Multihop, 255)
	if s.Multihop == nil && n.EBGP() {
		t.TTL = 1
	}
	if s.TTLSecurity != nil {
		// RFC 5082 section 3: 255 less the hops on the way.
		t.TTL, t.MinTTL = 255, uint8(256-int(*s.TTLSecurity))
	}
	t.GracefulRestart, t.RestartTime = or(s.GracefulRestart, RestartBoth), or(s.RestartTime, DefaultRestartTime)
	if t.GracefulRestart != RestartOff {
		t.LongLived = or(s.LongLived, 0)
	}
	n.StaleTime = or(s.StaleTime, DefaultStaleTime)
	// Over IPv6, IPv4 routes need RFC 8950 for a next hop that the session has.
	t.ExtendedNextHop = or(s.ExtendedNextHop, t.Address.Is6() || t.Interface != "") && on[prefix.IPv4]

	n.Table = or(s.Table, "")
	n.ConnectRetry, n.IdleHold = or(s.ConnectRetry, DefaultConnectRetry), or(s.IdleHold, DefaultIdleHold)
	n.FastFallover = or(s.FastFallover, n.OneHop())
	n.BFD = BFD{On: or(s.BFD, false), Interval: or(s.BFDInterval, DefaultBFDInterval), Multiplier: or(s.BFDMultiplier, DefaultBFDMultiplier)}
	n.BFD.MinReceive = or(s.BFDMinReceive, n.BFD.Interval)
	down := or(s.Shutdown, shutdown{})
	n.Shutdown, n.ShutdownReason = down.on, down.reason
	n.Description, n.Tags = or(s.Description, ""), or(s.Tags, nil)
	options := or(s.LocalASNOptions, nil)
	n.SendBoth, n.PrependInbound = slices.Contains(options, sendBoth), slices.Contains(options, prependInbound)
	// RFC 7947 section 2.2.2.1: a route server is not in the paths that it sends.
	n.EnforceFirstAS = or(s.EnforceFirstAS, n.EBGP() && t.Role != RoleRSClient)
	n.RejectASSets = or(s.RejectASSets, false)
	n.GracefulShutdown, n.AcceptShutdown = or(s.GracefulShutdown, false), or(s.AcceptShutdown, n.EBGP())
	n.AllowOwnAS, n.MaxASPathLength = or(s.AllowOwnAS, 0), or(s.MaxASPathLength, 0)
	n.Prefixes, n.OriginASNs = or(s.Prefixes, Members[policy.PrefixSet]{}).Set, or(s.OriginASNs, Members[policy.ASSet]{}).Set

	for f := range n.Families {
		fs := Settings{}
		fs.take(n.OwnFamily[f])
		fs.take(group.families[f])
		fs.take(&s)
		mode := or(fs.AddPath, addPathNone)
		t.AddPathReceive[f] = on[f] && (mode == addPathReceive || mode == addPathBoth)
		t.AddPathSend[f] = on[f] && (mode == addPathSend || mode == addPathBoth)
		n.Families[f] = Family{
			Import: or(fs.Import, nil), Export: or(fs.Export, nil), NextHop: or(fs.NextHop, NextHop{}),
			AddPathSend: int(or(fs.AddPathSend, AllPaths)), MaxPrefixesOut: or(fs.MaxPrefixesOut, 0), SendSuppressed: or(fs.SendSuppressed, false), DefaultOriginate: or(fs.DefaultOriginate, false), RemovePrivateAS: or(fs.RemovePrivateAS, false),
			ASOverride: or(fs.ASOverride, false), RouteReflectorClient: or(fs.RouteReflectorClient, false),
			RouteServerClient: or(fs.RouteServerClient, false),
		}
		if limit := or(fs.MaxPrefixes, 0); limit > 0 {
			m := &n.Families[f].MaxPrefixes
			*m = MaxPrefixes{
				Limit: limit, Warn: or(fs.MaxPrefixesWarn, DefaultLimitWarn),
				Accepted: or(fs.MaxPrefixesCount, countReceived) == countAccepted,
				Action:   or(fs.MaxPrefixesAction, LimitShutdown),
			}
			if m.Action == LimitRestart {
				m.RestartAfter = or(fs.MaxPrefixesRestart, DefaultRestartAfter)
			}
		}
	}
}

// defaultUserTimeout is the least that a neighbor is granted which is alive and
// reads nothing (RFC 9687 section 4.1): to the kernel it is as one that is dead.
func defaultUserTimeout(hold time.Duration) time.Duration { return max(8*time.Minute, 2*hold) }

// enabled says which families a neighbor has: what families says, its own or
// the group's, and its own family blocks; else those with a block; else the
// one of its address, or both where it has none.
func enabled(n *Neighbor, group *party) (on [prefix.Families]bool) {
	listed := n.Own.Families
	if listed == nil {
		listed = group.settings.Families
	}
	for f := range on {
		on[f] = n.OwnFamily[f] != nil || listed == nil && group.families[f] != nil
	}
	if listed != nil {
		for _, f := range *listed {
			on[f] = true
		}
	}
	if on == [prefix.Families]bool{} && listed == nil {
		a := or(n.Own.Address, netip.Addr{})
		on[prefix.IPv4], on[prefix.IPv6] = !a.Is6(), !a.Is4()
	}
	return on
}

func or[V any](p *V, otherwise V) V {
	if p != nil {
		return *p
	}
	return otherwise
}
