package engine

import (
	"testing"

	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// crowd is how many prefixes are lost beside protected ones.
const crowd = 5_000

func crowded(i int) prefix.Prefix {
	return prefix.Prefix{Hi: (0x14000000 + uint64(i)<<8) << 32, Bits: 24}
}

// guarded are the protected prefixes of the tests, by a range.
var guarded = []prefix.Prefix{prefix.MustParse("203.0.113.0/24"), prefix.MustParse("203.0.113.0/28"), prefix.MustParse("203.0.113.64/26")}

// newCrowdDesk has many prefixes of neighbors 1 and 2, and the protected ones, which
// come last. Neighbor 3 is told.
func newCrowdDesk(t *testing.T) *kernelDesk {
	cfg := withKernel(ebgpConfig(t, 3))
	cfg.Protect = prefixes("203.0.113.0/24 le 28")
	d := newKernelDesk(t, cfg)
	for i := 1; i <= 2; i++ {
		a := route(i, 65000+uint32(i), 7)
		if i == 1 {
			a = route(1, 65001)
		}
		for at := 0; at < crowd; at += 500 {
			var ps []prefix.Prefix
			for k := range 500 {
				ps = append(ps, crowded(at+k))
			}
			d.core.Messages(packet.ID(i), update4(a, ps...))
			d.settle()
		}
		d.core.Messages(packet.ID(i), update4(a, guarded...))
		d.settle()
	}
	return d
}

// moved counts the prefixes of neighbor 3 that go by neighbor 2.
func (d *kernelDesk) moved(ps ...prefix.Prefix) (n int) {
	for _, p := range ps {
		if a, ok := d.peers[3].table[wire.Route{Prefix: p}]; ok && wire.PathLen(a.ASPath) == 3 {
			n++
		}
	}
	return n
}

// TestProtectedFirst: what is protected leaves before all else when a neighbor or a
// next hop is lost, to neighbors and to the kernel; also what has waited before
// stands behind it.
func TestProtectedFirst(t *testing.T) {
	others := make([]prefix.Prefix, crowd)
	for i := range others {
		others[i] = crowded(i)
	}
	for name, lose := range map[string]func(*kernelDesk){
		"neighbor": func(d *kernelDesk) { d.down(1) },
		"next hop": func(d *kernelDesk) {
			gone := via("10.1.1.2/32", "10.1.3.9", 3, 5)
			gone.Action, gone.Hops = fib.Unreachable, nil
			d.core.KernelNews(fib.Event{Routes: []fib.Foreign{gone}})
		},
		"neighbor, with a queue": func(d *kernelDesk) {
			d.core.tables[0][prefix.IPv4].install.touchAll()
			for _, g := range d.core.tables[0][prefix.IPv4].groups {
				g.RedoAll(false)
			}
			d.down(1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newCrowdDesk(t)
			d.k.waiting = nil
			lose(d)
			for n := 0; d.moved(guarded...) == 0; n++ {
				if n == 100 {
					t.Fatal("protected prefixes are not announced by the other way")
				}
				d.core.Work()
				for _, b := range d.k.waiting {
					d.core.Written(b)
					for i := range b.Changes {
						if ch := &b.Changes[i]; !d.core.tables[0][prefix.IPv4].IsFirst(ch.Prefix) {
							t.Fatalf("the kernel is told of %v first", ch.Prefix)
						}
					}
				}
				d.k.waiting = nil
				if d.peers[3].read(); d.moved(others...) > d.moved(guarded...) {
					t.Fatalf("%d others are announced before", d.moved(others...))
				}
			}
			if n := d.moved(guarded...); n != len(guarded) {
				t.Errorf("%d protected prefixes are announced at first", n)
			}
			d.settle()
			if n := d.moved(others...); n != crowd {
				t.Errorf("%d others are announced by the other way", n)
			}
			d.empty()
		})
	}
}

// TestProtectEdited: what is protected follows the configuration, and prefixes that
// come and go.
func TestProtectEdited(t *testing.T) {
	d := newCrowdDesk(t)
	first := &d.core.tables[0][prefix.IPv4].First
	want := func(n int) {
		t.Helper()
		if d.settle(); first.Len() != n {
			t.Errorf("%d prefixes are protected, want %d", first.Len(), n)
		}
	}
	want(3)
	for i := 1; i <= 2; i++ {
		d.withdraw(i, "203.0.113.0/28")
	}
	want(2)
	d.edit(func(c *Config) { c.Protect = append(prefixes("20.0.0.0/16 ge 24"), c.Protect...) })
	want(2 + 256)
	d.announce(1, "20.0.7.128/25", route(1, 65001))
	want(2 + 257)
	d.edit(func(c *Config) { c.Protect = nil })
	want(0)
	d.edit(func(c *Config) { c.Protect = []*policy.PrefixSet{prefixes("20.0.0.0/24")[0]} })
	want(1)
	d.empty()
}
