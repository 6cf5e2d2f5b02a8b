package config

import (
	"math"
	"net/netip"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

var routerBlock = schema[Router]{arguments: []argument[Router]{
	required(plain("asn", asNumber, func(r *Router) *uint32 { return &r.ASN }, nil), "64500"),
	required(plain("id", routerID, func(r *Router) *netip.Addr { return &r.ID }, nil), `"192.0.2.1"`),
	plain("cluster_id", routerID, func(r *Router) *netip.Addr { return &r.ClusterID }, nil),
	plain("client_to_client_reflection", boolean, func(r *Router) *bool { return &r.ClientReflection }, nil),
	plain("listen", list(listenOn(DefaultPort)), func(r *Router) *[]netip.AddrPort { return &r.Listen }, nil),
	plain("metrics", list(listenOn(DefaultMetricsPort)), func(r *Router) *[]netip.AddrPort { return &r.Metrics }, nowhere),
	plain("kernel", boolean, func(r *Router) *bool { return &r.Kernel }, nil),
	plain("on_stop", choice[OnStop](onStops...), func(r *Router) *OnStop { return &r.OnStop }, isZero[OnStop]),
	plain("default_local_pref", number[uint32](0, math.MaxUint32), func(r *Router) *uint32 { return &r.DefaultLocalPref }, nil),
	plain("always_compare_med", boolean, func(r *Router) *bool { return &r.AlwaysCompareMED }, nil),
}}

func (r *reader) router(b *hclsyntax.Block) {
	r.unlabeled(b)
	if first := r.cfg.Router.Pos; first.Line > 0 {
		r.errorf(b.TypeRange, "put everything into one block", "there are two router blocks; the first is at %s", first)
		return
	}
	c := &r.cfg.Router
	*c = Router{
		Pos:              pos(b.TypeRange),
		Listen:           []netip.AddrPort{netip.MustParseAddrPort("[::]:179"), netip.MustParseAddrPort("0.0.0.0:179")},
		ClientReflection: true, Kernel: true, DefaultLocalPref: policy.DefaultLocalPref,
	}
	decode(r, routerBlock, "router", b.DefRange(), b.Body, c)
	if !c.ClusterID.IsValid() {
		c.ClusterID = c.ID // RFC 4456 section 8
	}
	if at, given := r.where[c]["on_stop"]; given && c.OnStop != KeepRoutes && !c.Kernel {
		r.warnf(at, `remove it; "holdfast shutdown" leaves for good`, "on_stop does nothing with kernel = false: each stop is that of a router that comes back")
	}
}

// setBlockOf is a set block in a block that announces something itself.
func setBlockOf[T any](field func(*T) *policy.Actions) []nested[T] {
	return []nested[T]{{
		name: "set", once: true,
		read:  func(r *reader, b *hclsyntax.Block, to *T) { *field(to) = r.actions(b) },
		write: func(p *printer, from *T) { p.actions(field(from)) },
	}}
}

func nowhere(a []netip.AddrPort) bool { return len(a) == 0 }

func noNames(s []string) bool { return len(s) == 0 }

var originateBlock = schema[Originate]{
	arguments: []argument[Originate]{
		required(plain("prefixes", prefixSets.codec(), func(o *Originate) *Prefixes { return &o.Prefixes }, nil), "prefix_set.NAME"),
		plain("table", one("table"), func(o *Originate) *string { return &o.Table }, isZero[string]),
		plain("while_in_kernel", boolean, func(o *Originate) *bool { return &o.WhileInKernel }, isZero[bool]),
		plain("policy", refs("policy"), func(o *Originate) *[]string { return &o.Policy }, noNames),
	},
	blocks: setBlockOf(func(o *Originate) *policy.Actions { return &o.Set }),
}

func (r *reader) originate(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	o := &Originate{Name: name, Pos: pos(b.TypeRange)}
	decode(r, originateBlock, "originate "+quote(name), b.DefRange(), b.Body, o)
	r.cfg.Originates = append(r.cfg.Originates, o)
	if o.WhileInKernel && !r.cfg.Router.Kernel {
		r.errorf(b.TypeRange, "remove kernel = false from the router block, or while_in_kernel here", "originate %s asks the kernel, which this router does not use", quote(name))
	}
	if o.Prefixes.Set == nil {
		return
	}
	for _, p := range r.exact(o.Prefixes.Set, "originate "+quote(name)+" cannot announce") {
		k := inTable(o.Table, p)
		if first, twice := r.originated[k]; twice && first.Name != name {
			r.errorf(r.at(o.Pos, len("originate")), "remove it from one of them", "%s is originated twice: by originate %s and by originate %s at %s",
				p, quote(name), quote(first.Name), first.Pos)
			continue
		}
		r.originated[k] = o
		o.List = append(o.List, p)
	}
}

var onePrefix = codec[prefix.Prefix]{
	read: func(v value) (prefix.Prefix, bool) {
		s, ok := v.str("a prefix", `"203.0.112.0/20"`)
		if !ok {
			return prefix.Prefix{}, false
		}
		p, err := prefix.Parse(s)
		if err != nil {
			v.fail("", "%v", err)
		}
		return p, err == nil
	},
	write: func(p prefix.Prefix) string { return quote(p.String()) },
}

var aggregateBlock = schema[Aggregate]{
	arguments: []argument[Aggregate]{
		required(plain("prefix", onePrefix, func(a *Aggregate) *prefix.Prefix { return &a.Prefix }, nil), `"203.0.112.0/20"`),
		plain("table", one("table"), func(a *Aggregate) *string { return &a.Table }, isZero[string]),
		plain("policy", refs("policy"), func(a *Aggregate) *[]string { return &a.Policy }, noNames),
		plain("suppress", boolean, func(a *Aggregate) *bool { return &a.Suppress }, isZero[bool]),
	},
	blocks: setBlockOf(func(a *Aggregate) *policy.Actions { return &a.Set }),
}

func (r *reader) aggregate(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	a := &Aggregate{Name: name, Pos: pos(b.TypeRange)}
	decode(r, aggregateBlock, "aggregate "+quote(name), b.DefRange(), b.Body, a)
	for _, other := range r.cfg.Aggregates {
		if other.Prefix == a.Prefix && other.Table == a.Table && a.Prefix != (prefix.Prefix{}) {
			r.errorf(b.TypeRange, "remove one of them", "%s is already the prefix of aggregate %s at %s", a.Prefix, quote(other.Name), other.Pos)
		}
	}
	r.cfg.Aggregates = append(r.cfg.Aggregates, a)
}

var announcedToBlock = schema[AnnouncedTo]{arguments: []argument[AnnouncedTo]{
	required(plain("group", one("group"), func(a *AnnouncedTo) *string { return &a.Group }, nil), "group.NAME"),
	plain("at_least", number[uint32](1, math.MaxUint16), func(a *AnnouncedTo) *uint32 { return &a.AtLeast }, nil),
}}

var protectBlock = schema[Protect]{
	arguments: []argument[Protect]{
		required(plain("prefixes", prefixSets.codec(), func(p *Protect) *Prefixes { return &p.Prefixes }, nil), "prefix_set.NAME"),
	},
	blocks: []nested[Protect]{{
		name: "announced_to",
		read: func(r *reader, b *hclsyntax.Block, to *Protect) {
			r.unlabeled(b)
			a := AnnouncedTo{Pos: pos(b.TypeRange), AtLeast: 1}
			decode(r, announcedToBlock, "announced_to", b.DefRange(), b.Body, &a)
			to.AnnouncedTo = append(to.AnnouncedTo, a)
		},
		write: func(p *printer, from *Protect) {
			for i := range from.AnnouncedTo {
				p.open("announced_to")
				write(p, announcedToBlock, &from.AnnouncedTo[i])
				p.close()
			}
		},
	}},
}

func (r *reader) protect(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	p := &Protect{Name: name, Pos: pos(b.TypeRange)}
	decode(r, protectBlock, "protect "+quote(name), b.DefRange(), b.Body, p)
	if len(p.AnnouncedTo) > 0 {
		r.warnf(b.TypeRange, "its prefixes come first when something is lost, and that is all", "protect %s does not watch who is announced them: this version of holdfast does not act on announced_to", quote(name))
	}
	r.cfg.Protects = append(r.cfg.Protects, p)
}
