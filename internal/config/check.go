package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// check judges what can only be judged when everything has been read.
func (r *reader) check() {
	r.checkReferences()
	for _, p := range r.cfg.Policies {
		r.checkReachable(p)
	}
	r.checkAddresses()
	r.checkRanges()
	r.checkRPKI()
	for _, o := range r.cfg.Originates {
		r.checkOnce("originate "+quote(o.Name), o.Pos, len("originate"), o.Policy)
		r.checkOwn("originate "+quote(o.Name), o.Pos, len("originate"), o.Policy)
		r.checkOwnSet("originate "+quote(o.Name), o.Set)
	}
	for _, a := range r.cfg.Aggregates {
		r.checkOnce("aggregate "+quote(a.Name), a.Pos, len("aggregate"), a.Policy)
		r.checkOwn("aggregate "+quote(a.Name), a.Pos, len("aggregate"), a.Policy)
		r.checkOwnSet("aggregate "+quote(a.Name), a.Set)
	}
	for _, t := range r.cfg.Tables {
		r.checkOwn("table "+quote(t.Name), t.Pos, len("table"), t.Install)
		r.checkOwn("table "+quote(t.Name), t.Pos, len("table"), t.Redistribute)
		r.checkOnce("table "+quote(t.Name), t.Pos, len("table"), t.Redistribute)
		for _, i := range t.Imports {
			r.checkOwn("table "+quote(t.Name), i.Pos, len("import"), i.Policy)
		}
	}
	for _, p := range r.cfg.Protects {
		r.checkProtect(p)
	}
}

// checkReferences finds names that are not declared, and declared ones that
// nothing uses.
func (r *reader) checkReferences() {
	used := map[ref]bool{}
	var builtin []ref
	for _, s := range r.cfg.builtinPrefixes {
		builtin = append(builtin, ref{prefixSets.block, s.Name})
	}
	for _, s := range r.cfg.builtinASNs {
		builtin = append(builtin, ref{asSets.block, s.Name})
	}
	for _, u := range r.uses {
		used[u.ref] = true
		if _, ok := r.declared[u.ref]; ok || slices.Contains(builtin, u.ref) || u.ref == (ref{"table", MainTable}) {
			continue
		}
		var names []string
		for _, f := range slices.AppendSeq(slices.Clone(builtin), maps.Keys(r.declared)) {
			if f.kind == u.kind {
				names = append(names, f.name)
			}
		}
		slices.Sort(names)
		fix := fmt.Sprintf("declare it: %s %s { … }", u.kind, quote(u.name))
		if near := suggest(u.name, names); near != "" {
			fix = "did you mean " + ref{u.kind, near}.String() + "?"
		}
		r.errorf(u.at, fix, "there is no %s %s", u.kind, quote(u.name))
	}
	if r.diags.HasErrors() {
		return // a use may be what could not be read
	}
	for f, at := range r.declared {
		switch f.kind {
		case "prefix_set", "as_set", "community_set", "as_path_set", "policy", "group":
			if !used[f] {
				r.warnf(at, "use it as "+f.String()+", or remove it", "nothing uses %s %s", f.kind, quote(f.name))
			}
		}
	}
}

// endsAll reports whether a rule decides about every route that reaches it.
func endsAll(rule *policy.Rule) bool {
	always := func(m policy.Match) bool { return len(m.Conditions) == 0 && len(m.Not) == 0 }
	return rule.Then != policy.Continue && (len(rule.Match) == 0 || slices.ContainsFunc(rule.Match, always))
}

func (r *reader) checkReachable(p *policy.Policy) {
	for i := range p.Rules[:max(0, len(p.Rules)-1)] {
		if endsAll(&p.Rules[i]) {
			next := p.Rules[i+1]
			r.warnf(r.at(next.Pos, len("rule")), "move it up, or remove it", "rule %s is never reached: rule %s at %s decides about every route",
				quote(next.Name), quote(p.Rules[i].Name), p.Rules[i].Pos)
			return
		}
	}
}

func (r *reader) checkAddresses() {
	seen := map[any]*Neighbor{}
	found := map[string]*Neighbor{} // on an interface
	for _, n := range r.cfg.Neighbors {
		t := &n.Transport
		if name := cmp.Or(t.Interface, t.Address.Zone()); name != "" {
			if first := found[name]; first != nil && (t.Interface != "" || first.Transport.Interface != "") {
				r.errorf(r.at(n.Pos, len("neighbor")), "give both an address, or remove one of them",
					"neighbor %s is on interface %s, as is neighbor %s at %s: a neighbor without an address has it alone", quote(n.Name), name, quote(first.Name), first.Pos)
				continue
			}
			found[name] = n
		}
		a := t.Address
		if !a.IsValid() {
			continue
		}
		if first := seen[a]; first != nil {
			r.errorf(r.at(n.Pos, len("neighbor")), "remove one of them, or mend the address",
				"neighbor %s has the address of neighbor %s at %s", quote(n.Name), quote(first.Name), first.Pos)
			continue
		}
		seen[a] = n
	}
}

func (r *reader) checkProtect(p *Protect) {
	for _, a := range p.AnnouncedTo {
		members := uint32(0)
		for _, n := range r.cfg.Neighbors {
			if n.Group == a.Group {
				members++
			}
		}
		if _, ok := r.declared[ref{"group", a.Group}]; ok && a.AtLeast > members {
			r.warnf(r.at(a.Pos, len("announced_to")), "add neighbors, or lower at_least",
				"protect %s wants %d members of group %s, which has %d", quote(p.Name), a.AtLeast, quote(a.Group), members)
		}
	}
}

// checkNeighbor judges what a neighbor has become by its group and defaults.
func (r *reader) checkNeighbor(n *Neighbor, own, group *party) {
	who, t := "neighbor "+quote(n.Name), &n.Transport
	// at is where a setting comes from, which may be the group.
	at := func(name string) hcl.Range {
		for _, p := range []*party{own, group} {
			if place, ok := r.where[p][name]; ok {
				return place
			}
		}
		return own.head
	}
	_, given := r.where[own]["asn"]
	_, inherited := r.where[group]["asn"]
	if !given && !inherited {
		r.errorf(own.head, "add asn = 64501 with its own number, here or in its group", "%s has no asn", who)
	}
	if n.Own.Group != nil && r.groups[n.Group] == nil || t.ASN == 0 || r.cfg.Router.ASN == 0 || !t.Address.IsValid() && t.Interface == "" {
		return // the rest would follow from what has been said already
	}

	switch {
	case t.Address.Is6() && t.Address.IsLinkLocalUnicast() && t.Address.Zone() == "":
		r.errorf(at("address"), `add interface = "eth0" with the right name`, "%s has a link-local address and no interface", who)
	case t.Address.Zone() != "" && !t.Address.IsLinkLocalUnicast():
		r.errorf(at("interface"), "remove it, or use local_address", "interface is for link-local addresses only, and %s has %s", who, t.Address.WithZone(""))
	}
	if l := t.LocalAddress; l.IsValid() && l.Is4() != t.Address.Is4() {
		r.errorf(at("local_address"), "write two addresses of one family", "%s has an address and a local_address of different families", who)
	} else if l.IsValid() && l == t.Address {
		r.errorf(at("address"), "write the neighbor's address", "%s has our own address", who)
	}
	if t.LocalASN != r.cfg.Router.ASN && t.ASN == t.LocalASN {
		r.errorf(at("local_asn"), "remove local_asn, or mend asn; dual_as = true is for neighbors inside of an AS that changes its number",
			"%s is in AS %d, which is also the local_asn: this is no session with another AS", who, t.ASN)
	}
	for _, name := range []string{"local_asn_options", "dual_as"} {
		if place, given := r.where[own][name]; given && t.LocalASN == r.cfg.Router.ASN && t.OtherASN == 0 {
			r.warnf(place, "add local_asn = 64502 with the other number", "%s does nothing for %s, which knows us by our own AS number only", name, who)
		}
	}
	if t.RequireRole && t.Role == NoRole && n.EBGP() {
		r.errorf(at("require_role"), `add local_role = "customer" if it is our provider`, "%s has require_role and no local_role: roles go both ways (RFC 9234)", who)
	}
	if t.HoldTime > 0 && t.Keepalive >= t.HoldTime {
		r.errorf(at("keepalive"), "a third of the hold time is usual", "keepalive (%s) must be shorter than hold_time (%s)", seconds(t.Keepalive), seconds(t.HoldTime))
	}
	for _, name := range []string{"bfd_interval", "bfd_min_receive", "bfd_multiplier"} {
		if place, given := r.where[own][name]; given && !n.BFD.On {
			r.warnf(place, "add bfd = true", "%s does nothing for %s, which has no BFD", name, who)
		}
	}
	for _, name := range []string{"graceful_restart_time", "stale_routes_time", "long_lived_graceful_restart"} {
		if place, given := r.where[own][name]; given && t.GracefulRestart == RestartOff {
			r.warnf(place, "remove graceful_restart = false", "%s does nothing for %s, which has no graceful restart", name, who)
		}
	}
	if place, given := r.where[own]["fast_fallover"]; given && n.FastFallover && !n.OneHop() && n.EBGP() {
		r.warnf(place, "remove it, or multihop", "fast_fallover does little for %s, which may be several hops away: only the loss of our own address ends its session", who)
	}
	_, multihop := r.where[own]["multihop"]
	_, security := r.where[own]["ttl_security"]
	multihop, security = multihop || or(group.settings.Multihop, 0) > 0, security || or(group.settings.TTLSecurity, 0) > 0
	if multihop && security {
		// RFC 5082 section 3
		r.errorf(at("ttl_security"), "remove multihop: ttl_security says how many hops away the neighbor is", "%s has both multihop and ttl_security", who)
	}
	r.checkKind(n, own, group)
	for f := range n.Families {
		if t.Families[f] {
			r.checkFamily(n, own, group, prefix.Family(f))
		}
	}
	r.checkUnfiltered(n, own)
	r.checkSlots(n, own)
	r.checkASPA(n, own)
	exports, what := slices.Concat(n.Families[prefix.IPv4].Export, n.Families[prefix.IPv6].Export), "neighbor "+quote(n.Name)+", export"
	r.checkDiscards(what, own.head, exports)
	r.checkNoASPA(what, own.head, exports)
}

// Settings that make sense with neighbors of one kind only.
var (
	ebgpOnly = []string{"local_role", "require_role", "local_asn_options", "as_override", "remove_private_as", "enforce_first_as", "accept_graceful_shutdown", "route_server_client"}
	ibgpOnly = []string{"route_reflector_client"}
)

func (r *reader) checkKind(n *Neighbor, own, group *party) {
	names, kind, fix := ibgpOnly, "eBGP", "it is for neighbors in our own AS"
	if !n.EBGP() {
		names, kind, fix = ebgpOnly, "iBGP", "it is for neighbors in another AS"
	}
	for _, s := range []any{own, n.OwnFamily[0], n.OwnFamily[1], group, group.families[0], group.families[1]} {
		for _, name := range names {
			if at, ok := r.where[s][name]; ok {
				r.errorf(at, fix, "%s makes no sense for neighbor %s: the session is %s", name, quote(n.Name), kind)
			}
		}
	}
}

func (r *reader) checkFamily(n *Neighbor, own, group *party, f prefix.Family) {
	fam, t := &n.Families[f], &n.Transport
	at := func(name string) hcl.Range {
		for _, s := range []any{n.OwnFamily[f], group.families[f], own, group} {
			if place, ok := r.where[s][name]; ok {
				return place
			}
		}
		return own.head
	}
	if fam.RouteServerClient {
		r.checkRouteServerClient(n, f, at)
	}
	if a := fam.NextHop.Address; a.IsValid() {
		place := at("next_hop")
		switch {
		case f == prefix.IPv6 && a.Is4():
			r.errorf(place, `write an IPv6 address, or write this one into family "ipv4" { … }`, "neighbor %s: next hop %s is of no use for ipv6", quote(n.Name), a)
		case f == prefix.IPv4 && a.Is6() && !t.ExtendedNextHop:
			r.errorf(place, `write an IPv4 address, or write this one into family "ipv6" { … }; extended_next_hop = true allows it`, "neighbor %s: next hop %s is of no use for ipv4", quote(n.Name), a)
		}
	}
	limited := fam.MaxPrefixes.Limit > 0
	for _, name := range []string{"max_prefixes_warn", "max_prefixes_count", "max_prefixes_action", "max_prefixes_restart"} {
		place, given := r.where[n.OwnFamily[f]][name]
		if !given {
			// What stands outside of the family blocks may be for another family.
			place, given = r.where[own][name]
			limited = slices.ContainsFunc(n.Families[:], func(f Family) bool { return f.MaxPrefixes.Limit > 0 })
		}
		switch {
		case given && !limited:
			r.warnf(place, "add max_prefixes = 1000", "%s does nothing for neighbor %s, which has no max_prefixes", name, quote(n.Name))
		case given && name == "max_prefixes_restart" && fam.MaxPrefixes.Limit > 0 && fam.MaxPrefixes.Action != LimitRestart:
			r.warnf(place, `add max_prefixes_action = "restart"`, "%s does nothing for neighbor %s, whose max_prefixes_action is %s", name, quote(n.Name), quote(fam.MaxPrefixes.Action.String()))
		}
	}
	if n.OwnFamily[f] != nil || group.families[f] != nil {
		for _, a := range perFamily.arguments {
			place, mine := r.where[own][a.name]
			_, theirs := r.where[group.families[f]][a.name]
			_, again := r.where[n.OwnFamily[f]][a.name]
			if mine && theirs && !again {
				r.warnf(place, fmt.Sprintf("write it into family %s { … } of this neighbor", quote(f.String())),
					"%s does nothing for %s: the family block of group %s goes first", a.name, f, quote(n.Group))
			}
		}
	}
}

// checkRouteServerClient refuses what a route server does not do: it is neither in
// the paths that it sends nor in the way of packets (RFC 7947 section 2.2).
func (r *reader) checkRouteServerClient(n *Neighbor, f prefix.Family, at func(string) hcl.Range) {
	fam := &n.Families[f]
	for _, x := range []struct {
		name, why string
		wrong     bool
	}{
		{"next_hop", "a route server leaves next hops as they are", fam.NextHop.Mode == policy.NextHopSelf || fam.NextHop.Mode == policy.NextHopAddress},
		{"remove_private_as", "a route server leaves AS paths as they are", fam.RemovePrivateAS},
		{"as_override", "a route server leaves AS paths as they are", fam.ASOverride},
		{"local_asn_options", "a route server is in no AS path", n.EBGP() && (n.SendBoth || n.PrependInbound)},
		{"local_role", `to its clients, a route server is "rs"`, n.EBGP() && n.Transport.Role != NoRole && n.Transport.Role != RoleRS},
	} {
		if x.wrong {
			r.errorf(at(x.name), "remove "+x.name+", or route_server_client", "neighbor %s: %s makes no sense with route_server_client: %s", quote(n.Name), x.name, x.why)
		}
	}
}

// checkUnfiltered warns of sessions on which nothing passes.
func (r *reader) checkUnfiltered(n *Neighbor, own *party) {
	if !n.EBGP() || n.Shutdown {
		return
	}
	for _, direction := range []struct {
		name, effect string
		of           func(*Family) []string
	}{
		{"import", "accepted from it", func(f *Family) []string { return f.Import }},
		{"export", "sent to it", func(f *Family) []string { return f.Export }},
	} {
		var without []string
		all := true
		for f := range n.Families {
			if n.Transport.Families[f] {
				if len(direction.of(&n.Families[f])) == 0 {
					without = append(without, prefix.Family(f).String())
				} else {
					all = false
				}
			}
		}
		if len(without) == 0 {
			continue
		}
		where := ""
		if !all {
			where = " for " + strings.Join(without, " and ")
		}
		r.warnf(own.head, "add "+direction.name+" = policy.NAME", "neighbor %s has no %s policy%s: nothing is %s (RFC 8212)",
			quote(n.Name), direction.name, where, direction.effect)
	}
}

// checkSlots finds policies that ask for what the neighbor does not have, and
// policies in a chain that are never reached.
func (r *reader) checkSlots(n *Neighbor, own *party) {
	said := map[string]bool{}
	for f := range n.Families {
		if !n.Transport.Families[f] {
			continue
		}
		for _, chain := range [][]string{n.Families[f].Import, n.Families[f].Export} {
			for i, name := range chain {
				p := r.cfg.policiesByName[name]
				if p == nil || said[name] {
					continue
				}
				said[name] = true
				for _, slot := range slots(p) {
					has, fix := n.Prefixes != nil, "add prefixes = prefix_set.NAME"
					switch slot {
					case slotOriginASNs:
						has, fix = n.OriginASNs != nil, "add origin_asns = as_set.NAME"
					case slotASN:
						continue // every neighbor has one
					}
					if !has {
						r.errorf(own.head, fix, "neighbor %s does not say what %s is, for which policy %s asks", quote(n.Name), slot, quote(name))
					}
				}
				if i < len(chain)-1 && slices.ContainsFunc(p.Rules, func(rule policy.Rule) bool { return endsAll(&rule) }) {
					r.warnf(own.head, "put it last, or let its last rule continue", "neighbor %s: policy %s decides about every route, and policy %s behind it is never reached",
						quote(n.Name), quote(name), quote(chain[i+1]))
				}
			}
		}
	}
}

// checkDiscards refuses policies that drop packets where no route is received.
func (r *reader) checkDiscards(what string, at hcl.Range, chain []string) {
	for i, name := range chain {
		p := r.cfg.policiesByName[name]
		if p != nil && !slices.Contains(chain[:i], name) && slices.ContainsFunc(p.Rules, func(rule policy.Rule) bool { return rule.Set.NextHop.Mode == policy.NextHopDiscard }) {
			r.errorf(at, "use another policy here", `%s: policy %s has next_hop = "discard", which is for routes that are received`, what, quote(name))
		}
	}
}

// checkOwn refuses policies that ask a neighbor for its slots where there is no
// neighbor.
func (r *reader) checkOwn(what string, at Pos, width int, chain []string) {
	r.checkDiscards(what, r.at(at, width), chain)
	r.checkNoASPA(what, r.at(at, width), chain)
	for _, name := range chain {
		if p := r.cfg.policiesByName[name]; p != nil && len(slots(p)) > 0 {
			r.errorf(r.at(at, width), "use a policy that names its sets", "%s: policy %s asks for what a neighbor has (%s), and here is no neighbor", what, quote(name), slots(p)[0])
		}
	}
}

// checkOwnSet refuses a set block that asks a neighbor where there is none.
func (r *reader) checkOwnSet(what string, set policy.Actions) {
	if asks := slots(&policy.Policy{Rules: []policy.Rule{{Set: set}}}); len(asks) > 0 {
		r.errorf(r.at(set.Pos, len("set")), "write the number", "%s: %s is what a neighbor has, and here is no neighbor", what, asks[0])
	}
}

// What policies may ask a neighbor for.
const (
	slotPrefixes   = "neighbor.prefixes"
	slotOriginASNs = "neighbor.origin_asns"
	slotASN        = "neighbor.asn" // inside communities
)

// slots are what a policy asks for.
func slots(p *policy.Policy) []string {
	var names []string
	add := func(name string) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	inCommunities := func(sets ...*policy.CommunitySet) {
		for _, s := range sets {
			if s != nil && s.Slot() != "" {
				add(slotASN)
			}
		}
	}
	var visit func(all []policy.Match)
	visit = func(all []policy.Match) {
		for _, m := range all {
			for _, c := range m.Conditions {
				switch {
				case !c.Slot:
				case c.Kind == policy.CondASPathOrigin:
					add(slotOriginASNs)
				default:
					add(slotPrefixes)
				}
				inCommunities(c.Communities...)
			}
			visit(m.Not)
		}
	}
	for _, rule := range p.Rules {
		visit(rule.Match)
		inCommunities(rule.Set.RemoveCommunities...)
		inCommunities(rule.Set.ReplaceCommunities, rule.Set.AddCommunities)
	}
	return names
}
