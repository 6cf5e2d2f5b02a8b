package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// otcOf is the attribute of a route, 0 for none.
func otcOf(a *wire.Attrs) uint32 {
	if a.Has&wire.HasOTC == 0 {
		return 0
	}
	return a.OTC
}

// TestOnlyToCustomer: RFC 9234 section 5 for each role of ours. Neighbor 1 (AS
// 65001) sends a route, neighbor 2 (AS 65002) and neighbor 3 in our AS (65000) get it.
func TestOnlyToCustomer(t *testing.T) {
	const leak, none = 1, 0
	for _, c := range []struct {
		from, to Role   // ours
		otc      uint32 // as it comes, 0: without
		here     uint32 // in the table; leak: not used
		sent     uint32 // to 2; leak: not at all
	}{
		{RoleNone, RoleNone, none, none, none},
		{RoleNone, RoleNone, 64777, 64777, 64777},
		// From a customer.
		{RoleProvider, RoleNone, none, none, none},
		{RoleProvider, RoleNone, 65001, leak, leak},
		{RoleProvider, RoleCustomer, none, none, none},
		{RoleProvider, RolePeer, none, none, 65000},
		{RoleProvider, RoleProvider, none, none, 65000},
		{RoleProvider, RoleRSClient, none, none, none},
		// From a peer.
		{RolePeer, RoleNone, none, 65001, 65001},
		{RolePeer, RoleNone, 65001, 65001, 65001},
		{RolePeer, RoleNone, 64777, leak, leak},
		{RolePeer, RoleProvider, none, 65001, 65001},
		{RolePeer, RolePeer, none, 65001, leak},
		{RolePeer, RoleCustomer, 65001, 65001, leak},
		// From a provider.
		{RoleCustomer, RoleProvider, none, 65001, 65001},
		{RoleCustomer, RoleProvider, 64777, 64777, 64777},
		{RoleCustomer, RoleCustomer, none, 65001, leak},
		{RoleCustomer, RolePeer, 64777, 64777, leak},
		{RoleCustomer, RoleRSClient, none, 65001, leak},
		// A route server and its client.
		{RoleRS, RoleRS, none, none, 65000},
		{RoleRS, RoleRS, 65001, leak, leak},
		{RoleRSClient, RoleProvider, none, 65001, 65001},
		{RoleRSClient, RoleProvider, 64777, 64777, 64777},
		{RoleRSClient, RolePeer, none, 65001, leak},
		// Without a role on the other side, it goes by as it is.
		{RoleNone, RoleCustomer, 64777, 64777, leak},
		{RoleNone, RolePeer, none, none, 65000},
	} {
		t.Run(fmt.Sprintf("%d to %d with %d", c.from, c.to, c.otc), func(t *testing.T) {
			cfg := ebgpConfig(t, 3)
			cfg.Neighbors[0].Role, cfg.Neighbors[1].Role = c.from, c.to
			n := &cfg.Neighbors[2]
			n.EBGP, n.ASN, n.Source.Kind = false, 65000, policy.IBGP
			d := newDesk(t, cfg)
			a := route(1, 65001)
			if c.otc != 0 {
				a.OTC, a.Has = c.otc, a.Has|wire.HasOTC
			}
			d.announce(1, "198.51.100.0/24", a)
			d.settle()
			used := asked(t, d.core, Query{Family: prefix.IPv4, View: ViewUsable})
			switch {
			case c.here == leak:
				refused := asked(t, d.core, Query{Family: prefix.IPv4, View: ViewRejected})
				if len(used) > 0 || len(refused) != 1 || refused[0].Reason != RouteLeak || otcOf(&refused[0].Attrs) != c.otc {
					t.Errorf("used are %+v, refused %+v", used, refused)
				}
				if leaks := d.core.state(1, time.Time{}).Bad.Leaks; leaks != 1 {
					t.Errorf("%d leaks are counted", leaks)
				}
			case len(used) != 1 || otcOf(&used[0].Attrs) != c.here:
				t.Errorf("the table has %+v", used)
			default:
				if a := d.want(3, "198.51.100.0/24", true); otcOf(&a) != c.here {
					t.Errorf("inside our AS it has OTC %d", otcOf(&a))
				}
			}
			if a := d.want(2, "198.51.100.0/24", c.sent != leak); c.sent != leak && otcOf(&a) != c.sent {
				t.Errorf("it is sent with OTC %d", otcOf(&a))
			}
			if s := d.core.sending(2, prefix.MustParse("198.51.100.0/24")); c.sent == leak && c.here != leak && (len(s) != 1 || s[0].Reason != export.RouteLeak) {
				t.Errorf("it is not sent: %+v", s)
			}
			d.empty()
		})
	}
}

// TestOwnRoutesGoDown: what we originate is marked for those who must not pass it
// on to others than their customers.
func TestOwnRoutesGoDown(t *testing.T) {
	cfg := ebgpConfig(t, 3)
	cfg.Neighbors[0].Role, cfg.Neighbors[1].Role, cfg.Neighbors[2].Role = RoleProvider, RolePeer, RoleCustomer
	cfg.Originate = []Origination{{Prefix: prefix.MustParse("192.0.2.0/24"), Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}}}
	d := newDesk(t, cfg)
	for i, want := range []uint32{65000, 65000, 0} {
		if a := d.want(i+1, "192.0.2.0/24", true); otcOf(&a) != want {
			t.Errorf("neighbor %d has OTC %d, want %d", i+1, otcOf(&a), want)
		}
	}
	d.empty()
}

// TestRoleEdit: with a new role what is there is judged again, and nothing more is
// sent than what differs.
func TestRoleEdit(t *testing.T) {
	cfg := ebgpConfig(t, 3)
	n := &cfg.Neighbors[2]
	n.EBGP, n.ASN, n.Source.Kind = false, 65000, policy.IBGP
	d := newDesk(t, cfg)
	leak := route(1, 65001)
	leak.OTC, leak.Has = 64777, leak.Has|wire.HasOTC
	d.announce(1, "203.0.113.0/24", leak)
	d.announce(1, "198.51.100.0/24", route(1, 65001))
	d.announce(2, "192.0.2.0/24", route(2, 65002))
	d.settle()
	before := d.peers[3].updates
	d.edit(func(c *Config) { c.Neighbors[0].Role = RolePeer })
	d.settle()
	d.want(3, "203.0.113.0/24", false)
	if a := d.want(3, "198.51.100.0/24", true); otcOf(&a) != 65001 {
		t.Errorf("the route of a peer has OTC %d", otcOf(&a))
	}
	if a := d.want(1, "192.0.2.0/24", true); otcOf(&a) != 65000 {
		t.Errorf("a peer is sent OTC %d", otcOf(&a))
	}
	if n := d.peers[3].updates - before; n != 2 {
		t.Errorf("neighbor 3 was sent %d UPDATEs for a withdrawal and a change", n)
	}
	d.edit(func(c *Config) { c.Neighbors[0].Role = RoleNone })
	d.settle()
	d.want(3, "203.0.113.0/24", true)
	if a := d.want(3, "198.51.100.0/24", true); otcOf(&a) != 0 {
		t.Errorf("without the role, it still has OTC %d", otcOf(&a))
	}
	d.empty()
}

// TestLeaksAreToldOnce: the log has one line a second for a neighbor, the counter
// has them all.
func TestLeaksAreToldOnce(t *testing.T) {
	var log bytes.Buffer
	core := NewCore(slog.New(slog.NewTextHandler(&log, nil)))
	cfg := ebgpConfig(t, 1)
	cfg.Neighbors[0].Role = RoleProvider
	core.Configure(cfg)
	core.Up(1, established(1), newPeer(t, 1))
	a := route(1, 65001)
	a.OTC, a.Has = 65001, a.Has|wire.HasOTC
	for i := range 10 {
		core.SetNow(uint32(i / 5))
		core.Messages(packet.ID(1), update4(a, prefix.MustParse(fmt.Sprintf("10.%d.0.0/16", i))))
	}
	if told := bytes.Count(log.Bytes(), []byte("event=route-leak")); told != 2 || core.state(1, time.Time{}).Bad.Leaks != 10 {
		t.Errorf("told %d times, counted %d:\n%s", told, core.state(1, time.Time{}).Bad.Leaks, &log)
	}
}
