package engine

import (
	"fmt"
	"slices"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// reflector has two clients, 1 and 2, two other internal neighbors, 3 and 4, and an
// external one, 5. With IPv6, 3 is a client too.
func reflector(t *testing.T) *desk {
	cfg := ebgpConfig(t, 5)
	for i := range 4 {
		ibgp(t, &cfg.Neighbors[i])
		for f := range prefix.Family(prefix.Families) {
			cfg.Neighbors[i].Families[f].Client = i < 2 || i == 2 && f == prefix.IPv6
		}
	}
	return newDesk(t, cfg)
}

// TestReflection: which routes go to whom (RFC 4456 section 6). What a neighbor is
// in one family says nothing about the other.
func TestReflection(t *testing.T) {
	for _, c := range []struct {
		from   int
		p      string
		meshed bool // clients have sessions with each other
		to     []int
	}{
		{1, "10.1.0.0/16", false, []int{2, 3, 4, 5}},
		{2, "10.1.0.0/16", false, []int{1, 3, 4, 5}},
		{3, "10.1.0.0/16", false, []int{1, 2, 5}},
		{4, "10.1.0.0/16", false, []int{1, 2, 5}},
		{5, "10.1.0.0/16", false, []int{1, 2, 3, 4}},
		{1, "10.1.0.0/16", true, []int{3, 4, 5}},
		{3, "10.1.0.0/16", true, []int{1, 2, 5}},
		{5, "10.1.0.0/16", true, []int{1, 2, 3, 4}},
		{3, "2001:db8:1::/48", false, []int{1, 2, 4, 5}},
		{4, "2001:db8:1::/48", false, []int{1, 2, 3, 5}},
		{1, "2001:db8:1::/48", true, []int{4, 5}},
	} {
		t.Run(fmt.Sprintf("%d %s meshed %v", c.from, c.p, c.meshed), func(t *testing.T) {
			d := reflector(t)
			x := prefix.MustParse(c.p)
			a := route(c.from, 65000+uint32(c.from))
			var nextHop []byte
			if x.Family == prefix.IPv6 {
				a.NextHop = []byte{0x20, 1, 0xd, 0xb8, 14: byte(c.from), 15: 2}
				nextHop = a.NextHop
			}
			d.core.Messages(packet.ID(c.from), wire.AppendUpdate(nil, x.Family, nil, a.Append(nil, nextHop != nil), nextHop, nlri(x, 0, false)))
			check := func(what string, to []int) {
				t.Helper()
				d.settle()
				var got []int
				for i := 1; i <= 5; i++ {
					if a, ok := d.has(i, c.p); ok {
						got = append(got, i)
						reflected := c.from != 5 && i != 5
						if a.Has&wire.HasOriginatorID != 0 != reflected || len(a.ClusterList) > 0 != reflected {
							t.Errorf("%s: to %d with ORIGINATOR_ID %x and CLUSTER_LIST % x", what, i, a.OriginatorID, a.ClusterList)
						}
					}
				}
				if !slices.Equal(got, to) {
					t.Errorf("%s: it goes to %v, want %v", what, got, to)
				}
			}
			mesh := func(on bool) { d.edit(func(c *Config) { c.MeshedClients = on }) }
			if !c.meshed {
				check("at once", c.to)
			} else {
				everybody := slices.DeleteFunc([]int{1, 2, 3, 4, 5}, func(i int) bool { return i == c.from || c.from == 3 && i == 4 })
				check("before", everybody)
				mesh(true)
				check("meshed", c.to)
				mesh(false)
				check("after", everybody)
			}
			d.empty()
		})
	}
}

// TestReflectedTwice: what reflectors have put into a route (RFC 4456 section 8).
// Ours has the cluster ID 9 and the identifier 1.
func TestReflectedTwice(t *testing.T) {
	for _, c := range []struct {
		name       string
		from       int
		originator uint32
		clusters   []byte
		// What client 2 is sent; nil: nothing.
		wantOriginator uint32
		want           []byte
	}{
		{"from its originator", 1, 0, nil, 0x0a000001, []byte{0, 0, 0, 9}},
		{"from a reflector of another cluster", 3, 77, []byte{0, 0, 0, 8}, 77, []byte{0, 0, 0, 9, 0, 0, 0, 8}},
		{"through several", 4, 77, []byte{0, 0, 0, 8, 0, 0, 0, 7}, 77, []byte{0, 0, 0, 9, 0, 0, 0, 8, 0, 0, 0, 7}},
		{"from a reflector of our cluster", 3, 77, []byte{0, 0, 0, 9}, 0, nil},
		{"has been in our cluster", 3, 77, []byte{0, 0, 0, 8, 0, 0, 0, 9}, 0, nil},
		{"our identifier is no cluster ID", 3, 77, []byte{0, 0, 0, 1}, 77, []byte{0, 0, 0, 9, 0, 0, 0, 1}},
		{"our own", 3, 1, []byte{0, 0, 0, 8}, 0, nil},
		{"our cluster ID is nobody's identifier", 3, 9, []byte{0, 0, 0, 8}, 9, []byte{0, 0, 0, 9, 0, 0, 0, 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := reflector(t)
			d.edit(func(c *Config) { c.ClusterID = 9 })
			a := route(c.from, 64600)
			a.Has |= wire.HasLocalPref | wire.HasMED
			a.LocalPref, a.MED, a.ClusterList = 50, 5, c.clusters
			if c.originator != 0 {
				a.Has |= wire.HasOriginatorID
				a.OriginatorID = c.originator
			}
			d.announce(c.from, "10.1.0.0/16", a)
			d.settle()
			got := d.want(2, "10.1.0.0/16", c.want != nil)
			if got.OriginatorID != c.wantOriginator || !slices.Equal(got.ClusterList, c.want) {
				t.Errorf("ORIGINATOR_ID %x, CLUSTER_LIST % x, want %x and % x", got.OriginatorID, got.ClusterList, c.wantOriginator, c.want)
			}
			// Section 10: the rest is as it came.
			if c.want != nil && (!slices.Equal(got.NextHop, a.NextHop) || !slices.Equal(got.ASPath, a.ASPath) || got.LocalPref != 50 || got.MED != 5) {
				t.Errorf("it is sent as %+v", got)
			}
			d.want(1, "10.1.0.0/16", c.want != nil && c.from != 1)
			d.empty()
		})
	}
}
