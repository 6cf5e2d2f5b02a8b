package fakerouter

import (
	"encoding/binary"
	"net/netip"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

const hasLocalPref = wire.HasLocalPref

var neighbors = []api.NeighborDetail{
	{
		Neighbor: api.Neighbor{
			Name: "transit-a", Group: "transit", Description: "Transit A, contract 17", Tags: []string{"paid", "10g"}, Address: netip.MustParseAddr("192.0.2.9"),
			ASN: 64601, LocalASN: 64500, RouterID: netip.MustParseAddr("192.0.2.9"), Role: "customer",
			State: api.Established, Since: Now.Add(-76 * time.Hour),
			Families: []api.NeighborFamily{
				{
					Family: prefix.IPv4, Negotiated: true, Received: 1042990, Accepted: 1042871, Rejected: 119, Advertised: 12,
					EndOfRIBReceived: true, EndOfRIBSent: true,
					Limit:         &api.PrefixLimit{Max: 1200000, WarnAt: 1080000, Received: true, Action: "restart", RestartIn: 30 * time.Minute},
					MaxAdvertised: 12, HeldBack: 3, Stale: 2, StaleSince: Now.Add(-time.Minute), StaleUntil: Now.Add(5 * time.Minute),
				},
				{Family: prefix.IPv6, Received: 0},
			},
			LastReset: &api.Reset{
				At: Now.Add(-76*time.Hour - 2*time.Minute), Reason: "hold timer expired",
				Notification: &api.Notification{Sent: true, Code: 4},
			},
		},
		Local: netip.MustParseAddrPort("192.0.2.1:179"), Remote: netip.MustParseAddrPort("192.0.2.9:41234"),
		GTSM: true, MD5: true, Import: []string{"common", "from-transit"}, Export: []string{"to-transit"}, UpdateGroup: 3,
		Sent: []api.Capability{
			{Code: 1, Value: []byte{0, 1, 0, 1}}, {Code: 1, Value: []byte{0, 2, 0, 1}}, {Code: 2}, {Code: 6},
			{Code: 9, Value: []byte{3}}, {Code: 65, Value: []byte{0, 0, 0xfb, 0xf4}}, {Code: 69, Value: []byte{0, 1, 1, 1}},
		},
		Received: []api.Capability{
			{Code: 1, Value: []byte{0, 1, 0, 1}}, {Code: 2}, {Code: 9, Value: []byte{0}},
			{Code: 65, Value: []byte{0, 0, 0xfc, 0x59}}, {Code: 64, Value: []byte{0, 120, 0, 1, 1, 0x80}},
			{Code: 73, Value: append([]byte{5}, "edge1\x03net"...)}, {Code: 130, Value: []byte{1, 2}},
		},
		Configured: api.Timers{Hold: 90 * time.Second, Keepalive: 30 * time.Second, SendHold: 8 * time.Minute, ConnectRetry: 120 * time.Second},
		Negotiated: &api.Negotiated{
			Timers:   api.Timers{Hold: 30 * time.Second, Keepalive: 10 * time.Second, SendHold: 8 * time.Minute},
			Families: []prefix.Family{prefix.IPv4}, AS4: true, Refresh: true, Role: "provider",
		},
		Counters: api.Counters{
			In:       api.MessageCounts{Open: 2, Update: 391022, Keepalive: 27360, Bytes: 48123456},
			Out:      api.MessageCounts{Open: 2, Update: 9, Notification: 1, Keepalive: 27371, Refresh: 1, Bytes: 521004},
			Sessions: 2, TreatAsWithdraw: 1, Discarded: 4,
		},
	},
	{
		Neighbor: api.Neighbor{
			Name: "transit-b", Group: "transit", Address: netip.MustParseAddr("2001:db8:ffff:ffff::2"), ASN: 4200000002, LocalASN: 64500,
			Role: "customer", State: api.Active, Since: Now.Add(-95 * time.Second),
			Message:  "maintenance until 14:00",
			Families: []api.NeighborFamily{{Family: prefix.IPv4}, {Family: prefix.IPv6}},
			LastReset: &api.Reset{
				At: Now.Add(-95 * time.Second), Reason: "the neighbor shut the session down",
				Notification: &api.Notification{Code: 6, Subcode: 2, Data: append([]byte{23}, "maintenance until 14:00"...)},
			},
		},
		MultihopTTL: 4, Configured: api.Timers{Hold: 90 * time.Second, Keepalive: 30 * time.Second, ConnectRetry: 120 * time.Second},
	},
	{
		Neighbor: api.Neighbor{
			Name: "shop", Group: "customers", Address: netip.MustParseAddr("192.0.2.30"), ASN: 64700, LocalASN: 64500,
			Role: "provider", State: api.Idle, Shutdown: true, Message: "not paid",
			Down:     &api.Down{Reason: "not paid", By: "alice", Since: Now.Add(-50 * time.Hour), Until: Now.Add(90 * time.Minute)},
			Families: []api.NeighborFamily{{Family: prefix.IPv4}},
		},
		Passive: true, Import: []string{"from-customer"}, Export: []string{"to-customer"},
	},
	{
		Neighbor: api.Neighbor{
			Name: "core-1", Draining: true, Address: netip.MustParseAddr("198.51.100.1"), ASN: 64500, LocalASN: 64500, Internal: true, Pending: true,
			State: api.Established, Since: Now.Add(-12*time.Minute - 7*time.Second),
			Families: []api.NeighborFamily{{
				Family: prefix.IPv4, Negotiated: true, Received: 7, Accepted: 7, Advertised: 1042873, EndOfRIBReceived: true,
			}},
		},
	},
	{
		Neighbor: api.Neighbor{
			Name: "rack/10.0.0.5", Range: "rack", Address: netip.MustParseAddr("10.0.0.5"), ASN: 4200000005, LocalASN: 64500,
			State: api.Established, Since: Now.Add(-40 * time.Second),
			Families: []api.NeighborFamily{{Family: prefix.IPv4, Negotiated: true, Received: 1, Accepted: 1, Advertised: 1}},
		},
		Passive: true, Import: []string{"from-rack"}, Export: []string{"to-rack"},
	},
	{
		Neighbor: api.Neighbor{
			Name: "leaf-1", Interface: "eth1", ASN: 65001, LocalASN: 64500, State: api.Active, Since: Now.Add(-40 * time.Second),
			Families:  []api.NeighborFamily{{Family: prefix.IPv4}, {Family: prefix.IPv6}},
			LastReset: &api.Reset{At: Now.Add(-2 * time.Second), Reason: "no router advertisement has come on eth1"},
		},
	},
}

// path is an AS_PATH of one sequence.
func path(asns ...uint32) []byte { return segment(2, asns...) }

func segment(kind byte, asns ...uint32) []byte {
	b := []byte{kind, byte(len(asns))}
	for _, a := range asns {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

func words(all ...uint32) []byte {
	var b []byte
	for _, v := range all {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

const basic = wire.HasOrigin | wire.HasASPath

var fromTransit = &api.RuleRef{Policy: "from-transit", Rule: "all but our own", Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 31}}

var routes = []api.RouteInfo{
	{
		Prefix: prefix.MustParse("198.51.100.0/24"), Neighbor: "transit-a", NeighborAddress: netip.MustParseAddr("192.0.2.9"),
		Source: api.SourceProvider, Status: api.StatusBest, Rule: fromTransit, Weight: 10, RPKI: "valid",
		Learned: Now.Add(-3 * time.Hour), Cause: "update of transit-a",
		Attrs: wire.Attrs{
			Has: basic | wire.HasMED | wire.HasLocalPref, MED: 20, LocalPref: 100,
			ASPath: path(64601, 3356, 64999), NextHop: []byte{192, 0, 2, 9},
			Communities: words(64601<<16|20, 0xffffff01), LargeCommunities: words(64601, 1, 2),
		},
	},
	{
		Prefix: prefix.MustParse("198.51.100.0/24"), PathID: 2, Neighbor: "core-1", NeighborAddress: netip.MustParseAddr("198.51.100.1"),
		Source: api.SourceIBGP, Status: api.StatusBackup, Learned: Now.Add(-12 * time.Minute),
		Attrs: wire.Attrs{
			Has:       basic | wire.HasLocalPref | wire.HasOriginatorID | wire.HasAggregator | wire.HasAtomicAggregate | wire.HasOTC | wire.HasAIGP,
			LocalPref: 100, OTC: 64601, AIGP: 1000, OriginatorID: 0xc0000205, AggregatorAS: 64999, AggregatorID: 0xc6336401,
			Origin: wire.OriginIncomplete, ASPath: append(path(64602, 3356, 1299), segment(1, 64999, 65010)...), NextHop: []byte{192, 0, 2, 5},
			ExtCommunities: words(0x0002fbf4, 100, 0x0202fffe, 0x00010064, 0x43000000, 1), ClusterList: words(0xc0000201),
			Other: []byte{0xc0, 99, 2, 0xab, 0xcd},
		},
	},
	{
		Prefix: prefix.MustParse("198.51.100.0/24"), Neighbor: "transit-b", NeighborAddress: netip.MustParseAddr("2001:db8:ffff:ffff::2"),
		Source: api.SourceProvider, Status: api.StatusRejected, Reason: "rejected by policy", RPKI: "invalid",
		Rule:  &api.RuleRef{Policy: "common", Rule: "no leaks", Position: api.Position{File: "/etc/holdfast/policies.hcl", Line: 8}},
		Attrs: wire.Attrs{Has: basic, ASPath: path(4200000002, 64500, 64999), NextHop: []byte{192, 0, 2, 10}},
	},
	{
		Prefix: prefix.MustParse("198.51.100.128/25"), Neighbor: "core-1", NeighborAddress: netip.MustParseAddr("198.51.100.1"),
		Source: api.SourceIBGP, Status: api.StatusUnreachable,
		Attrs: wire.Attrs{Has: basic | wire.HasLocalPref, LocalPref: 100, ASPath: path(64700), NextHop: []byte{10, 9, 9, 9}},
	},
	{
		Prefix: prefix.MustParse("203.0.113.0/24"), Source: api.SourceOriginated, Status: api.StatusBest,
		Attrs: wire.Attrs{Has: basic, Origin: wire.OriginIGP},
	},
	{
		Prefix: prefix.MustParse("2001:db8:1000::/36"), Neighbor: "transit-b", NeighborAddress: netip.MustParseAddr("2001:db8:ffff:ffff::2"),
		Source: api.SourceProvider, Status: api.StatusBest, Rule: fromTransit,
		Attrs: wire.Attrs{
			Has: basic, Origin: wire.OriginEGP, ASPath: path(4200000002, 64999),
			NextHop: append(netip.MustParseAddr("2001:db8:ffff:ffff::2").AsSlice(), netip.MustParseAddr("fe80::2").AsSlice()...),
		},
	},
}

var events = func() []api.Event {
	a, other, b := routes[0], routes[0], routes[5]
	other.Attrs.ASPath, other.Attrs.MED, other.Attrs.Communities = path(64601, 7018, 64999), 30, words(64601<<16|30, 0xffffff01)
	elsewhere := b
	elsewhere.Prefix = a.Prefix
	change := func(p prefix.Prefix, old, new *api.RouteInfo, cause string) api.Event {
		return api.Event{At: Now.Add(123 * time.Millisecond), Kind: api.EventRoute, Table: "main", Prefix: p, Old: old, New: new, Cause: cause}
	}
	transit := api.Event{At: Now, Kind: api.EventNeighborUp, Neighbor: "transit-a", NeighborAddress: netip.MustParseAddr("192.0.2.9")}
	down := transit
	down.Kind, down.Reason = api.EventNeighborDown, "hold timer expired"
	return []api.Event{
		{At: Now, Kind: api.EventStarted},
		transit,
		change(a.Prefix, nil, &a, "update from transit-a"),
		change(a.Prefix, &a, &other, "update from transit-a"),
		down,
		change(a.Prefix, &other, &elsewhere, "session down with transit-a"),
		change(b.Prefix, &b, nil, "revision 7"),
		{At: Now, Kind: api.EventMissed, Missed: 1234},
	}
}()

var policies = []api.Policy{
	{
		Name: "from-transit", Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 28}, DefaultHits: 3,
		ImportOf: []string{"transit-a", "transit-b"}, UsedBy: []string{"table blue (import from main)"},
		Rules: []api.Rule{
			{
				Name: "no default", Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 29},
				Match: []string{"prefix_length = [0-7]"}, Then: "reject", Hits: 119,
			},
			{
				Name: "all but our own", Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 31},
				Match: []string{"not { prefix = prefix_set.customers }"}, Set: []string{"local_pref = 100", "med = none"},
				Then: "accept", Hits: 1042871,
			},
		},
	},
	{Name: "unused", Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 50}},
}

var changes = []api.Change{
	{Kind: "changed", Object: `neighbor "core-1"`, Detail: "hold_time 90s → 30s", Position: api.Position{File: "/etc/holdfast/holdfast.hcl", Line: 61}},
	{Kind: "added", Object: `neighbor "shop"`},
	{Kind: "removed", Object: `policy "old"`},
}

var announcements = []api.StandingAnnouncement{
	{
		Announcement: api.Announcement{
			Prefix: prefix.MustParse("203.0.113.7/32"), Communities: []string{"blackhole", "64500:1:2"}, MED: new(uint32(10)),
			NextHop: netip.MustParseAddr("192.0.2.1"), Reason: "attack, ticket 4711",
		},
		By: "alice", Since: Now.Add(-90 * time.Second), Until: Now.Add(10 * time.Minute),
	},
	{
		Announcement: api.Announcement{Prefix: prefix.MustParse("2001:db8::/32"), LocalPref: new(uint32(50)), Prepend: 3},
		Since:        Now.Add(-26 * time.Hour),
	},
}

var trace = []api.TraceEvent{
	{At: Now, Note: "the session is Established"},
	{
		At: Now.Add(1234567 * time.Microsecond), Local: netip.MustParseAddrPort("192.0.2.1:40000"), Remote: netip.MustParseAddrPort("192.0.2.9:179"),
		Message: wire.AppendUpdate(nil, prefix.IPv4, nil,
			(&wire.Attrs{Has: basic, ASPath: path(64601, 3356), NextHop: []byte{192, 0, 2, 9}, Communities: words(64601<<16 | 20)}).Append(nil, false),
			nil, []byte{24, 198, 51, 100}),
	},
	{
		At: Now.Add(2 * time.Second), Sent: true, Local: netip.MustParseAddrPort("192.0.2.1:40000"), Remote: netip.MustParseAddrPort("192.0.2.9:179"),
		Message: wire.AppendKeepalive(nil), Lost: 7,
	},
}
