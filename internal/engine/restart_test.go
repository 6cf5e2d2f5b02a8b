package engine

import (
	"slices"
	"testing"

	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// endOfRIB has a neighbor say that it has sent all.
func (d *desk) endOfRIB(i int) {
	for f := range prefix.Family(prefix.Families) {
		d.core.Messages(packet.ID(i), wire.AppendEndOfRIB(nil, f))
	}
}

// graceful is a neighbor with graceful restart.
func graceful(e *session.Established) { e.Restart.Agreed = true }

// sent reports whether a neighbor was sent anything.
func (d *desk) sent(i int) bool { return d.peers[i].updates > 0 }

// newRestarted is a router that begins anew on a kernel with routes of ours,
// whose neighbors were up before; names are n1, n2, ….
func newRestarted(t *testing.T, n int, kept ...fib.Route) *kernelDesk {
	cfg := withKernel(ebgpConfig(t, n))
	d := Deferral{Come: 30, End: 90}
	for i := range cfg.Neighbors {
		cfg.Neighbors[i].Name = "n" + string(rune('1'+i))
		d.Await = append(d.Await, cfg.Neighbors[i].Name)
	}
	k := &kernelDesk{k: newFakeKernel()}
	k.desk = &desk{t: t, core: NewCore(quiet()), cfg: cfg, peers: make([]*peer, n+1)}
	k.k.core = k.core
	for _, r := range kept {
		k.k.routes[slot(&r)] = r
	}
	k.core.UseKernel(k.k.out, true)
	k.core.KernelNews(snapshot())
	k.core.Configure(cfg)
	k.core.Adopt(kept, nil, 120)
	k.core.Defer(d)
	k.core.Announce(Origination{Prefix: prefix.MustParse("192.0.2.0/24"), Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}})
	return k
}

func ours(p, gateway string) fib.Route { return via(p, gateway, 2, kernelMetric).Route }

// TestDeferral: after a restart nobody is sent anything, not even what we
// originate or an End-of-RIB, and the kernel keeps what it has, until all have
// sent all theirs. Then the kernel is written what differs, and nothing else.
func TestDeferral(t *testing.T) {
	d := newRestarted(t, 3, ours("10.8.0.0/16", "10.1.1.2"), ours("10.9.0.0/16", "10.1.1.2"), ours("10.10.0.0/16", "10.1.1.2"))
	for i := 1; i <= 3; i++ {
		d.upWith(i, graceful)
	}
	d.announce(1, "10.8.0.0/16", route(1, 65001, 7))
	d.announce(2, "10.9.0.0/16", route(2, 65002, 7, 8)) // not by 1 any more, or not yet
	d.endOfRIB(1)
	d.endOfRIB(2)
	d.settle()
	if !d.core.Deferring() || d.sent(1) || d.sent(2) || d.sent(3) || d.k.writes > 0 {
		t.Fatalf("deferring: %v, sent: %v %v %v, kernel writes: %d", d.core.Deferring(), d.sent(1), d.sent(2), d.sent(3), d.k.writes)
	}
	d.announce(3, "10.9.0.0/16", route(3, 65003))
	d.k.held = true
	d.endOfRIB(3)
	d.settle()
	if d.core.Deferring() {
		t.Fatal("all have sent theirs, and it is not over")
	}
	d.want(2, "10.8.0.0/16", true)  // the kernel has had it all the time
	d.want(1, "10.9.0.0/16", false) // it has yet to say that this one has moved
	if d.want(1, "192.0.2.0/24", true); d.peers[1].eor[prefix.IPv4] {
		t.Error("End-of-RIB is ahead of a route that the kernel has not answered about")
	}
	d.k.held = false
	d.core.SetNow(1)
	d.settle()
	d.want(1, "10.9.0.0/16", true)
	for i := 1; i <= 3; i++ {
		if p := d.peers[i]; !p.eor[prefix.IPv4] || !p.eor[prefix.IPv6] || p.wild > 0 {
			t.Errorf("neighbor %d: End-of-RIB %v, %d withdrawals of nothing", i, p.eor, p.wild)
		}
	}
	d.wantKernel("254 10.8.0.0/16 metric 20 unicast via 10.1.1.2 link 2", "254 10.9.0.0/16 metric 20 unicast via 10.1.3.2 link 3")
	if d.k.writes != 2 { // one route has moved, one is gone
		t.Errorf("%d kernel writes", d.k.writes)
	}
	d.core.Withdraw(0, prefix.MustParse("192.0.2.0/24"))
	d.empty()
}

// TestDeferralEnds: who is not waited for, and how long others are.
func TestDeferralEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		second func(d *kernelDesk) // what becomes of the second neighbor
		over   uint32              // when the deferral ends
	}{
		{"it has sent all", func(d *kernelDesk) { d.upWith(2, graceful); d.endOfRIB(2) }, 0},
		{"it never ends", func(d *kernelDesk) { d.upWith(2, graceful) }, 90},
		{"it does not come back", func(*kernelDesk) {}, 30},
		{"it comes back and goes away", func(d *kernelDesk) { d.upWith(2, graceful); d.down(2) }, 30},
		{"it has restarted too, and waits for us", func(d *kernelDesk) {
			d.upWith(2, func(e *session.Established) { e.Restart.Agreed, e.Restart.Restarting = true, true })
		}, 0},
		{"it does without End-of-RIB", func(d *kernelDesk) { d.up(2) }, quietFor},
		{"it was up before, and is not configured any more", func(d *kernelDesk) {
			d.edit(func(c *Config) { c.Neighbors = c.Neighbors[:1] })
		}, 30}, // whose name it is we cannot know: it may be one of a range
	} {
		d := newRestarted(t, 2)
		d.upWith(1, graceful)
		d.endOfRIB(1)
		c.second(d)
		over := uint32(0)
		for d.settle(); d.core.Deferring() && over < 200; d.settle() {
			if d.sent(1) {
				t.Errorf("%s: there is an UPDATE after %d s", c.name, over)
			}
			over++
			d.core.SetNow(over)
		}
		if over != c.over {
			t.Errorf("%s: it is over after %d s, want %d", c.name, over, c.over)
		}
		d.want(1, "192.0.2.0/24", true)
	}
}

// TestDeferralWhileRoutesCome: a neighbor without graceful restart that still
// sends is waited for.
func TestDeferralWhileRoutesCome(t *testing.T) {
	d := newRestarted(t, 1)
	d.up(1)
	for now := range uint32(20) {
		d.core.SetNow(now)
		p := prefix.Prefix{Family: prefix.IPv4, Hi: uint64(0x0a000000+now<<8) << 32, Bits: 24}
		d.announce(1, p.String(), route(1, 65001))
		if d.settle(); !d.core.Deferring() {
			t.Fatalf("it is over after %d s", now)
		}
	}
	d.core.SetNow(19 + quietFor)
	if d.settle(); d.core.Deferring() {
		t.Error("it goes on")
	}
}

// TestFreeze: when the process ends, sessions that end one after the other
// withdraw nothing from those that are still there, and nothing from the kernel.
func TestFreeze(t *testing.T) {
	d := newKernelDesk(t, withKernel(ebgpConfig(t, 3)))
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.announce(2, "10.9.0.0/16", route(2, 65002))
	d.settle()
	before := d.peers[3].updates
	d.core.Freeze()
	d.down(1)
	d.down(2)
	d.settle()
	d.core.SetNow(1000)
	d.settle()
	d.want(3, "10.8.0.0/16", true)
	d.want(3, "10.9.0.0/16", true)
	if d.peers[3].updates != before || len(d.k.routes) != 2 {
		t.Errorf("%d UPDATEs; the kernel has %s", d.peers[3].updates-before, d.k.text())
	}
	d.core.FlushKernel() // as for good
	d.settle()
	d.wantKernel()
}

// TestDrain: all neighbors are asked to prefer other ways, also those that come
// later, and are not any more when that is taken back.
func TestDrain(t *testing.T) {
	cfg := ebgpConfig(t, 4)
	ibgp(t, &cfg.Neighbors[2])
	cfg.Neighbors[3].Drain = true // this one always
	d := newDesk(t, cfg)
	d.announce(1, "10.8.0.0/16", route(1, 65001))
	d.settle()
	state := func(i int) (marked bool, pref uint32) {
		a := d.want(i, "10.8.0.0/16", true)
		return slices.Equal(a.Communities, []byte{0xff, 0xff, 0, 0}), a.LocalPref
	}
	check := func(on bool) {
		t.Helper()
		for i, want := range map[int]bool{2: on, 3: on, 4: true} {
			marked, pref := state(i)
			if marked != want || i == 3 && pref != map[bool]uint32{true: 0, false: 100}[on] {
				t.Errorf("draining %v: neighbor %d has the community: %v, LOCAL_PREF %d", on, i, marked, pref)
			}
		}
		if told, up := d.core.Told(); told != 4 || up != 4 {
			t.Errorf("%d of %d have been told", told, up)
		}
	}
	check(false)
	d.core.Drain(true)
	if told, _ := d.core.Told(); told > 2 { // what 1 hears is of 1, and 4 has heard it
		t.Errorf("%d have been told before anything was sent", told)
	}
	d.settle()
	check(true)
	d.down(2)
	d.up(2)
	d.settle()
	check(true)
	d.core.Drain(false)
	d.settle()
	check(false)
	d.core.Drain(false)
	d.empty()
}
