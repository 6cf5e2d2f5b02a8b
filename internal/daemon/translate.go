package daemon

import (
	"encoding/binary"
	"net/netip"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/export"
	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

func id32(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// engineConfig compiles a configuration for the engine.
func engineConfig(cfg *config.Config, ids *numbers, revision uint32) (engine.Config, error) {
	r := &cfg.Router
	out := engine.Config{
		Revision: revision, ASN: r.ASN, RouterID: id32(r.ID), ClusterID: id32(r.ClusterID), MeshedClients: !r.ClientReflection,
		Decision: rib.Options{AlwaysCompareMED: r.AlwaysCompareMED, DefaultLocalPref: r.DefaultLocalPref},
	}
	if err := engineTables(cfg, ids, &out); err != nil {
		return out, err
	}
	for _, n := range cfg.Neighbors {
		en, err := engineNeighbor(cfg, n, ids)
		if err != nil {
			return out, err
		}
		out.Neighbors = append(out.Neighbors, en)
	}
	for _, p := range cfg.Protects {
		out.Protect = append(out.Protect, p.Prefixes.Set)
	}
	for _, o := range cfg.Originates {
		table, err := ids.table(o.Table)
		if err != nil {
			return out, err
		}
		while := uint32(0)
		if o.WhileInKernel {
			while = cfg.Table(o.Table).ID
		}
		for _, p := range o.List {
			a, ok, err := localAttrs(cfg, o.Name, p, o.Set, o.Policy)
			if err != nil {
				return out, err
			}
			if ok {
				out.Originate = append(out.Originate, engine.Origination{Table: table, Prefix: p, Attrs: a, WhileInKernel: while})
			}
		}
	}
	for _, g := range cfg.Aggregates {
		table, err := ids.table(g.Table)
		if err != nil {
			return out, err
		}
		a, ok, err := localAttrs(cfg, g.Name, g.Prefix, g.Set, g.Policy)
		if err != nil {
			return out, err
		}
		if ok {
			// RFC 4271 section 9.2.2.2: the paths of the parts are left out.
			a.Has |= wire.HasAtomicAggregate | wire.HasAggregator
			a.AggregatorAS, a.AggregatorID = r.ASN, out.RouterID
			out.Aggregate = append(out.Aggregate, engine.Aggregate{Table: table, Prefix: g.Prefix, Attrs: a, Suppress: g.Suppress})
		}
	}
	return out, nil
}

func source(n *config.Neighbor) policy.Source {
	s := policy.Source{Kind: policy.IBGP, Neighbor: n.Name, Group: n.Group, Relation: n.Transport.Role.Relation()}
	if n.EBGP() {
		s.Kind = policy.EBGP
	}
	return s
}

func engineNeighbor(cfg *config.Config, n *config.Neighbor, ids *numbers) (engine.Neighbor, error) {
	id, err := ids.of(n)
	if err != nil {
		return engine.Neighbor{}, err
	}
	table, err := ids.table(n.Table)
	if err != nil {
		return engine.Neighbor{}, err
	}
	t := &n.Transport
	out := engine.Neighbor{
		ID: id, Name: n.Name, Table: table, Shutdown: n.Shutdown, Addr: configuredAddress(t), ASN: t.ASN, LocalASN: t.LocalASN, EBGP: n.EBGP(), Role: engine.Role(t.Role), Source: source(n), Verification: n.Verification(),
		LongLived: uint32(t.LongLived / time.Second),
		SendBoth:  n.SendBoth, PrependLocal: n.PrependInbound, Drain: n.GracefulShutdown, HonorShutdown: n.AcceptShutdown,
		Checks: engine.Checks{EnforceFirstAS: n.EnforceFirstAS, AllowOwnAS: int(n.AllowOwnAS), MaxPathLength: int(n.MaxASPathLength), RejectASSets: n.RejectASSets},
	}
	if t.GracefulRestart != config.RestartOff {
		out.StaleTime = uint32(n.StaleTime / time.Second)
	}
	for f := range prefix.Family(prefix.Families) {
		c := &n.Families[f]
		out.AddPath = out.AddPath || t.AddPathReceive[f]
		e := &out.Families[f]
		if e.Import, err = compile(cfg, n, c.Import, &out.Source); err != nil {
			return out, err
		}
		if e.Export, err = compile(cfg, n, c.Export, nil); err != nil {
			return out, err
		}
		e.NextHop, e.NextHopAddr = nextHop(c.NextHop)
		e.Limit = limit(c.MaxPrefixes)
		e.RemovePrivate, e.ASOverride, e.DefaultOriginate = c.RemovePrivateAS, c.ASOverride, c.DefaultOriginate
		e.MaxOut, e.SendSuppressed, e.PathsOut = int(c.MaxPrefixesOut), c.SendSuppressed, c.AddPathSend
		e.Client, e.RouteServer = c.RouteReflectorClient, c.RouteServerClient
	}
	return out, nil
}

// configuredAddress is invalid for a neighbor that is found on an interface: its
// routes do not depend on where that is.
func configuredAddress(t *config.Transport) netip.Addr {
	if t.Interface != "" {
		return netip.Addr{}
	}
	return t.Address
}

// sessionNeighbor is the session's part of a neighbor.
func sessionNeighbor(n *config.Neighbor, id packet.ID) session.Neighbor {
	t := &n.Transport
	return session.Neighbor{
		ID: id, Name: n.Name, Range: n.Range, Interface: t.Interface, Shutdown: n.Shutdown, ShutdownMessage: n.ShutdownReason, FastFallover: n.FastFallover,
		Machine: fsm.Config{
			LocalASN: t.LocalASN, OtherASN: t.OtherASN, RemoteASN: t.ASN, LocalID: id32(t.RouterID), Passive: t.Passive,
			HoldTime: t.HoldTime, KeepaliveTime: t.Keepalive, ConnectRetryTime: n.ConnectRetry, IdleHoldTime: n.IdleHold,
			Families: t.Families, AddPathReceive: t.AddPathReceive, AddPathSend: t.AddPathSend,
			ExtendedMessage: t.ExtendedMessages, ExtendedNextHop: t.ExtendedNextHop,
			Restart: fsm.Restart{Mode: fsm.RestartMode(t.GracefulRestart), Time: t.RestartTime, LongLived: t.LongLived},
			HasRole: t.Role != config.NoRole, Role: t.Role.Capability(), StrictRole: t.RequireRole,
		},
		Transport: sessionTransport(t),
	}
}

func sessionTransport(t *config.Transport) session.Transport {
	return session.Transport{
		Remote: t.Address, Port: t.Port, Local: t.LocalAddress, TTL: t.TTL, MinTTL: t.MinTTL,
		MSS: t.MSS, DSCP: t.DSCP, Password: t.Password.Reveal(), UserTimeout: t.UserTimeout,
	}
}

// compile returns nil where no policy was given.
func compile(cfg *config.Config, n *config.Neighbor, names []string, from *policy.Source) (*policy.Program, error) {
	if names == nil {
		return nil, nil
	}
	return policy.Compile(cfg.Chain(names), policy.Context{
		ASN: cfg.Router.ASN, DefaultLocalPref: cfg.Router.DefaultLocalPref, From: from, Neighbor: n.Name, Prefixes: n.Prefixes, OriginASNs: n.OriginASNs, NeighborASN: n.Transport.ASN,
	})
}

func nextHop(n config.NextHop) (export.NextHopKind, netip.Addr) {
	switch n.Mode {
	case policy.NextHopSelf:
		return export.NextHopSelf, netip.Addr{}
	case policy.NextHopUnchanged:
		return export.NextHopUnchanged, netip.Addr{}
	case policy.NextHopAddress:
		return export.NextHopSelf, n.Address
	}
	return export.NextHopAuto, netip.Addr{}
}

func limit(m config.MaxPrefixes) engine.Limit {
	l := engine.Limit{Max: int(m.Limit), Warn: int(uint64(m.Limit) * uint64(m.Warn) / 100), AfterPolicy: m.Accepted, RestartIn: m.RestartAfter}
	switch m.Action {
	case config.LimitShutdown:
		l.Action = engine.LimitShutdown
	case config.LimitWarn:
		l.Action = engine.LimitWarn
	case config.LimitRestart:
		l.Action = engine.LimitRestart
	}
	return l
}

// localAttrs are the attributes of a route of our own, by the set block and the
// policies of what makes it. A policy may reject it: ok is false then.
func localAttrs(cfg *config.Config, name string, p prefix.Prefix, set policy.Actions, names []string) (a wire.Attrs, ok bool, err error) {
	a.Has = wire.HasOrigin | wire.HasASPath
	then := policy.Accept
	if len(names) > 0 {
		then = policy.Continue
	}
	chain := append([]*policy.Policy{{Name: name, Rules: []policy.Rule{{Name: "set", Set: set, Then: then}}}}, cfg.Chain(names)...)
	program, err := policy.Compile(chain, policy.Context{
		ASN: cfg.Router.ASN, DefaultLocalPref: cfg.Router.DefaultLocalPref, From: &policy.Source{Kind: policy.Originated},
	})
	if err != nil {
		return a, false, err
	}
	var scratch policy.Scratch
	r := program.Eval(program.Variant(p), &policy.Route{Attrs: &a}, &scratch)
	return cloneAttrs(a), r.Accept, nil
}

// cloneAttrs copies what aliases a store or a scratch.
func cloneAttrs(a wire.Attrs) wire.Attrs {
	for _, b := range []*[]byte{&a.ASPath, &a.NextHop, &a.Communities, &a.ExtCommunities, &a.LargeCommunities, &a.IPv6Communities, &a.ClusterList, &a.Other} {
		*b = append([]byte(nil), *b...)
	}
	return a
}
