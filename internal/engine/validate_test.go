package engine

import (
	"encoding/binary"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// rejectInvalid is a policy that asks for the validation state.
func rejectInvalid() *policy.Policy {
	return &policy.Policy{Name: "rpki", Rules: []policy.Rule{
		rule(policy.Actions{}, policy.Reject, policy.Condition{Kind: policy.CondRPKI, States: []rpki.State{rpki.Invalid}}),
		rule(policy.Actions{}, policy.Accept)}}
}

// pathTo is a path from a neighbor to an origin.
func pathTo(asns ...uint32) []byte {
	b := []byte{wire.SegSequence, byte(len(asns))}
	for _, a := range asns {
		b = binary.BigEndian.AppendUint32(b, a)
	}
	return b
}

func vrps(c *Core, all ...rpki.VRP) {
	var b rpki.Builder
	for _, v := range all {
		b.Add(v)
	}
	s := b.Set()
	c.Validate(rpki.NewTable(s), rpki.NewTable(rpki.Difference(c.VRPs().Set(), s)))
	c.Settle()
}

func vrpOf(p string, longest uint8, asn uint32) rpki.VRP {
	return rpki.VRP{Prefix: prefix.MustParse(p), MaxLen: longest, ASN: asn}
}

// TestValidate: where the policy that asks is, on import, on export or between two
// tables, routes follow the VRPs, and nothing is sent about the others.
func TestValidate(t *testing.T) {
	for name, set := range map[string]func(cfg *Config){
		"import": func(cfg *Config) {
			cfg.Neighbors[0].Families[prefix.IPv4].Import = program(t, rejectInvalid(), &cfg.Neighbors[0].Source)
		},
		"export": func(cfg *Config) { cfg.Neighbors[1].Families[prefix.IPv4].Export = program(t, rejectInvalid(), nil) },
		"table": func(cfg *Config) {
			cfg.Tables = []Table{{Name: "main"}, {Name: "other"}}
			cfg.Neighbors[1].Table = 1
			cfg.Leaks = []Leak{{From: 0, To: 1, Policy: program(t, rejectInvalid(), nil)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := NewCore(quiet())
			cfg := ebgpConfig(t, 2)
			set(&cfg)
			c.Configure(cfg)
			peers := []*peer{newPeer(t, 1), newPeer(t, 2)}
			for i, p := range peers {
				c.Up(packet.ID(i+1), established(i+1), p)
			}
			for i, p := range []string{"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"} {
				a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: pathTo(65001, 64601+uint32(i)), NextHop: []byte{10, 1, 1, 2}}
				c.Messages(1, wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, wire.AppendPrefix(nil, prefix.MustParse(p))))
			}
			c.Settle()
			has := func(n, updates int) {
				t.Helper()
				before := peers[1].updates
				c.Settle()
				peers[1].read()
				if len(peers[1].table) != n || updates >= 0 && peers[1].updates-before != updates {
					t.Fatalf("it has %d routes, by %d updates; want %d by %d", len(peers[1].table), peers[1].updates-before, n, updates)
				}
			}
			has(3, -1)
			vrps(c, vrpOf("10.1.0.0/16", 16, 64999))
			has(2, 1)
			// Another reason for the same result, and VRPs of nobody.
			vrps(c, vrpOf("10.1.0.0/16", 16, 0), vrpOf("192.0.2.0/24", 24, 1))
			has(2, 0)
			vrps(c, vrpOf("10.1.0.0/16", 16, 0), vrpOf("10.1.0.0/16", 16, 64601), vrpOf("10.0.0.0/8", 15, 64602))
			has(1, 2) // 10.1.0.0/16 is valid now, the others are too long
			vrps(c)
			has(3, 2)
		})
	}
}

// TestValidateBusy: VRPs that change during a walk are the next one's, however
// often that is.
func TestValidateBusy(t *testing.T) {
	c := NewCore(quiet())
	c.pace.walk = 1
	cfg := ebgpConfig(t, 1)
	cfg.Neighbors[0].Families[prefix.IPv4].Import = program(t, rejectInvalid(), &cfg.Neighbors[0].Source)
	c.Configure(cfg)
	c.Up(1, established(1), newPeer(t, 1))
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: pathTo(65001, 64601), NextHop: []byte{10, 1, 1, 2}}
	for i := range byte(20) {
		c.Messages(1, wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, []byte{16, 10, i}))
	}
	c.Settle()
	var b rpki.Builder
	for i := range uint64(20) {
		b.Add(rpki.VRP{Prefix: prefix.New(prefix.IPv4, (10<<56)|i<<48, 0, 16), MaxLen: 16, ASN: 1})
		s := rpki.Union(c.VRPs().Set(), b.Set())
		c.Validate(rpki.NewTable(s), rpki.NewTable(rpki.Difference(c.VRPs().Set(), s)))
		if jobs := len(c.jobs); jobs > 3 {
			t.Fatalf("%d jobs", jobs)
		}
		c.Work()
	}
	c.Settle()
	if n := c.tables[0][prefix.IPv4].BestCount(); n != 0 || c.validating || c.changed != nil || c.revising != 0 {
		t.Errorf("%d routes are left that are invalid", n)
	}
}

// BenchmarkValidate is the first load of VRPs for every route.
func BenchmarkValidate(b *testing.B) {
	const routes = 200_000
	c := NewCore(quiet())
	cfg := ebgpConfig(b, 2)
	for i := range cfg.Neighbors {
		cfg.Neighbors[i].Families[prefix.IPv4].Import = program(b, rejectInvalid(), &cfg.Neighbors[i].Source)
	}
	c.Configure(cfg)
	c.Up(1, established(1), newPeer(b, 1))
	var all rpki.Builder
	for i := range uint32(routes) {
		p := prefix.New(prefix.IPv4, uint64(0x0a000000+i<<8)<<32, 0, 24)
		origin := 1 + i%50_000
		a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: pathTo(65001, origin), NextHop: []byte{10, 1, 1, 2}}
		c.Messages(1, wire.AppendUpdate(nil, prefix.IPv4, nil, a.Append(nil, false), nil, wire.AppendPrefix(nil, p)))
		all.Add(rpki.VRP{Prefix: p, MaxLen: 24, ASN: origin})
	}
	c.Settle()
	full, none := rpki.NewTable(all.Set()), rpki.NewTable(nil)
	for b.Loop() {
		c.Validate(full, full)
		c.Settle()
		c.Validate(none, full)
		c.Settle()
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/2/routes, "ns/route")
}
