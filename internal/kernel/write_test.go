//go:build interop

package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"holdfast/internal/fib"
)

// own reads our routes back.
func own(t *testing.T, k *Kernel) []fib.Route {
	t.Helper()
	var all []fib.Route
	if err := k.Own(func(r fib.Route) { all = append(all, r) }); err != nil {
		t.Fatal(err)
	}
	return all
}

// at returns what the kernel has at the place of a change, all protocols.
func at(t *testing.T, k *Kernel, c fib.Change) []route {
	t.Helper()
	var all []route
	err := k.routes(query{family: familyOf(c.Prefix.Family), table: c.Table}, func(r *route) {
		if keyOf(&r.Route) == keyOf(&c.Route) {
			all = append(all, *r)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// link is the index of an interface.
func link(t testing.TB, name string) int {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return i.Index
}

// TestKinds writes each kind of route, reads it back, replaces it by each other
// kind of its family and removes it.
func TestKinds(t *testing.T) {
	world(t)
	k := open(t)
	links := map[int]int{2: link(t, "a0"), 3: link(t, "b0")}
	var all []fib.Route
	for _, c := range kinds {
		r := c.route
		r.Hops = slices.Clone(r.Hops)
		for i := range r.Hops {
			r.Hops[i].Link = links[r.Hops[i].Link]
		}
		t.Run(c.name, func(t *testing.T) {
			mustWrite(t, k, fib.Change{Route: r})
			if got := own(t, k); len(got) != 1 || !reflect.DeepEqual(got[0], r) {
				t.Errorf("the kernel has %+v, want %+v", got, r)
			}
			mustWrite(t, k, fib.Change{Route: r}) // again
			mustWrite(t, k, fib.Change{Route: fib.Route{Table: r.Table, Metric: r.Metric, Prefix: r.Prefix}, Delete: true})
			if got := own(t, k); len(got) != 0 {
				t.Errorf("the kernel still has %+v", got)
			}
		})
		all = append(all, r)
	}
	for _, a := range all {
		for _, b := range all {
			if a.Prefix.Family != b.Prefix.Family {
				continue
			}
			b.Prefix, b.Table, b.Metric = a.Prefix, a.Table, a.Metric
			mustWrite(t, k, fib.Change{Route: a}, fib.Change{Route: b})
			if got := own(t, k); len(got) != 1 || !reflect.DeepEqual(got[0], b) {
				t.Errorf("the kernel has %+v, want %+v in the place of %+v", got, b, a)
			}
			mustWrite(t, k, fib.Change{Route: a, Delete: true})
		}
	}
}

// TestMetrics: routes of ours of different metrics and tables are different
// routes, and what is not there can be removed.
func TestMetrics(t *testing.T) {
	world(t)
	k := open(t)
	for _, p := range []string{"198.51.100.0/24", "2001:db8:100::/48"} {
		gateway := "10.1.0.2"
		if strings.Contains(p, ":") {
			gateway = "2001:db8:1::2"
		}
		a, b, c := put(p, gateway), put(p, gateway), put(p, gateway)
		b.Metric, c.Table = 30, 1000
		mustWrite(t, k, a, b, c)
		if got := own(t, k); len(got) != 3 {
			t.Errorf("the kernel has %+v", got)
		}
		mustWrite(t, k, without(b), without(b))
		if got := own(t, k); len(got) != 2 {
			t.Errorf("the kernel has %+v", got)
		}
		d := put(p)
		d.Table = 1001 // no such table
		mustWrite(t, k, without(a), without(c), without(d))
	}
	// To the kernel a removal without metric is one of any metric.
	some, none := put("198.51.100.0/24", "10.1.0.2"), put("198.51.100.0/24", "10.2.0.2")
	none.Metric = 0
	mustWrite(t, k, some)
	mustWrite(t, k, without(none))
	if got := own(t, k); len(got) != 1 {
		t.Errorf("the kernel has %+v", got)
	}
	mustWrite(t, k, none)
	mustWrite(t, k, without(none))
	if got := own(t, k); len(got) != 1 || got[0].Metric != 20 {
		t.Errorf("the kernel has %+v", got)
	}
	mustWrite(t, k, without(some))

	// IPv6 has no metric 0.
	zero := put("2001:db8:100::/48", "2001:db8:1::2")
	zero.Metric = 0
	mustWrite(t, k, zero)
	if got := own(t, k); len(got) != 1 || got[0].Metric != 1024 {
		t.Errorf("the kernel has %+v", got)
	}
	mustWrite(t, k, without(zero))
	if got := own(t, k); len(got) != 0 {
		t.Errorf("the kernel has %+v", got)
	}
}

// TestTaken: a route of somebody else stays, whatever is written, known to
// Watch or not, before ours or after.
func TestTaken(t *testing.T) {
	for _, c := range []struct {
		name, theirs string
		ours         fib.Change
		again        fib.Change
	}{
		{"ipv4", "198.51.100.0/24 via 10.2.0.9", put("198.51.100.0/24", "10.1.0.2"), put("198.51.100.0/24", "10.1.0.3")},
		{"ipv4 the same way", "198.51.100.0/24 via 10.1.0.2", put("198.51.100.0/24", "10.1.0.2"), put("198.51.100.0/24", "10.1.0.3")},
		{"ipv4 blackhole", "blackhole 198.51.100.0/24", put("198.51.100.0/24", "10.1.0.2"), put("198.51.100.0/24", "10.1.0.3")},
		{"ipv6", "2001:db8:100::/48 via 2001:db8:2::9", put("2001:db8:100::/48", "2001:db8:1::2"), put("2001:db8:100::/48", "2001:db8:1::3")},
		{"ipv6 the same way", "2001:db8:100::/48 via 2001:db8:1::2", put("2001:db8:100::/48", "2001:db8:1::2"), put("2001:db8:100::/48", "2001:db8:1::3")},
		{"ipv6 blackhole", "blackhole 2001:db8:100::/48", put("2001:db8:100::/48", "2001:db8:1::2"), put("2001:db8:100::/48", "2001:db8:1::3")},
		{"ipv6 ecmp", "2001:db8:100::/48 via 2001:db8:2::9", put("2001:db8:100::/48", "2001:db8:1::2", "2001:db8:1::3"), put("2001:db8:100::/48", "2001:db8:1::3")},
	} {
		t.Run(c.name, func(t *testing.T) {
			theirsAlone := func(k *Kernel, why string) {
				t.Helper()
				got := at(t, k, c.ours)
				if len(got) != 1 || got[0].Protocol != unix.RTPROT_STATIC || len(got[0].Hops) > 1 {
					t.Errorf("%s: the kernel has %+v", why, got)
				}
			}
			theirs := c.theirs + " metric 20 proto static"

			world(t)
			sh(t, "ip route add "+theirs)
			k := open(t)
			for _, change := range []fib.Change{c.ours, c.again} {
				if err := write(k, change); !errors.Is(err, ErrTaken) {
					t.Errorf("error %v, want ErrTaken", err)
				}
				theirsAlone(k, "nobody watches")
			}
			mustWrite(t, k, without(c.ours))
			theirsAlone(k, "a removal")

			// Theirs in the place of ours, or beside it.
			for _, verb := range []string{"replace", "append", "prepend"} {
				world(t)
				k := open(t)
				w := watchOf(t, k)
				mustWrite(t, k, c.ours)
				w.next("a snapshot", func(e fib.Event) bool { return e.Snapshot })
				// IPv6 takes no second way through the same gateway.
				if c.name == "ipv6 the same way" && verb != "replace" {
					continue
				}
				sh(t, "ip route "+verb+" "+theirs)
				w.next("their route", func(e fib.Event) bool {
					return slices.ContainsFunc(e.Routes, func(f fib.Foreign) bool { return f.Prefix == c.ours.Prefix })
				})
				if err := write(k, c.again); !errors.Is(err, ErrTaken) {
					t.Errorf("%s: error %v, want ErrTaken", verb, err)
				}
				theirsAlone(k, verb)

				world(t)
				k = open(t)
				w = watchOf(t, k)
				mustWrite(t, k, c.ours)
				w.next("a snapshot", func(e fib.Event) bool { return e.Snapshot })
				sh(t, "ip route "+verb+" "+theirs)
				w.next("their route", func(e fib.Event) bool { return len(e.Routes) > 0 })
				mustWrite(t, k, without(c.ours))
				theirsAlone(k, verb+", and a removal")
			}
		})
	}
}

// TestAdopted: a route of ours that an earlier process has left is replaced.
func TestAdopted(t *testing.T) {
	world(t)
	before := open(t)
	for _, p := range []string{"198.51.100.0/24", "203.0.113.0/24"} {
		mustWrite(t, before, put(p, "10.1.0.2"))
	}
	for _, p := range []string{"2001:db8:100::/48", "2001:db8:200::/48"} {
		mustWrite(t, before, put(p, "2001:db8:1::2", "2001:db8:2::2"))
	}
	k := open(t)
	mustWrite(t, k, put("198.51.100.0/24", "10.2.0.2"), put("2001:db8:100::/48", "2001:db8:2::2"), put("192.0.2.0/24", "10.1.0.2"))
	if got := at(t, k, put("2001:db8:100::/48")); len(got) != 1 || len(got[0].Hops) != 1 || got[0].Hops[0].Gateway != netip.MustParseAddr("2001:db8:2::2") {
		t.Errorf("the kernel has %+v", got)
	}
	if got := own(t, k); len(got) != 5 {
		t.Errorf("%d routes, want 5: %+v", len(got), got)
	}
	for _, r := range own(t, k) {
		mustWrite(t, k, fib.Change{Route: r, Delete: true})
	}
}

// TestLostReplacement: what is not there any more is put in again.
func TestLostReplacement(t *testing.T) {
	world(t)
	k := open(t)
	a, b := put("198.51.100.0/24", "10.1.0.2"), put("2001:db8:100::/48", "2001:db8:1::2")
	mustWrite(t, k, a, b)
	sh(t, "ip route flush proto 144; ip -6 route flush proto 144")
	mustWrite(t, k, a, b)
	if got := own(t, k); len(got) != 2 {
		t.Errorf("the kernel has %+v", got)
	}
}

// TestBatch writes many routes, some of which the kernel cannot take.
func TestBatch(t *testing.T) {
	world(t)
	const routes = 10_000
	sh(t, "ip route add "+numbered(777).String()+" via 10.2.0.9 metric 20 proto static")
	k := open(t)
	batch, errs := make([]fib.Change, routes), make([]error, routes)
	bad := map[int]func(error) bool{
		0: func(err error) bool {
			return errors.Is(err, unix.ENETUNREACH) && strings.Contains(err.Error(), "on no link")
		},
		255:  func(err error) bool { return errors.Is(err, unix.ENODEV) },
		256:  func(err error) bool { return strings.Contains(err.Error(), "needs a next hop") },
		777:  func(err error) bool { return errors.Is(err, ErrTaken) },
		9999: func(err error) bool { return errors.Is(err, unix.EINVAL) && strings.Contains(err.Error(), "source") },
	}
	for i := range batch {
		batch[i] = put("10.9.0.0/16", "10.1.0.2")
		batch[i].Prefix = numbered(i)
	}
	batch[0].Hops[0].Gateway = netip.MustParseAddr("192.0.2.77")
	batch[255].Hops[0] = fib.Hop{Link: 9999}
	batch[256].Hops = nil
	batch[9999].Source = netip.MustParseAddr("192.0.2.78")
	for range 2 {
		k.Write(batch, errs)
		for i, err := range errs {
			if f := bad[i]; err == nil != (f == nil) || err != nil && !f(err) {
				t.Errorf("route %d: error %v", i, err)
			}
		}
		if got := own(t, k); len(got) != routes-len(bad) {
			t.Errorf("%d routes, want %d", len(got), routes-len(bad))
		}
	}
	for i := range batch {
		batch[i].Delete = true
	}
	mustWrite(t, k, batch...)
	if got := own(t, k); len(got) != 0 {
		t.Errorf("%d routes are left", len(got))
	}
	if got := at(t, k, batch[777]); len(got) != 1 {
		t.Errorf("their route: %+v", got)
	}
}

// TestManyHops has bursts of large messages, and routes as large as the kernel
// gives back.
func TestManyHops(t *testing.T) {
	world(t)
	k := open(t)
	var batch []fib.Change
	for i := range 100 {
		four := put("10.9.0.0/16")
		four.Prefix = numbered(i)
		six := put(fmt.Sprintf("2001:db8:%x::/48", 0x100+i))
		for j := range maxHops {
			four.Hops = append(four.Hops, fib.Hop{Gateway: netip.MustParseAddr(fmt.Sprintf("10.1.0.%d", 2+j)), Link: link(t, "a0"), Weight: 1})
			six.Hops = append(six.Hops, fib.Hop{Gateway: netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%x", 2+j)), Link: link(t, "a0"), Weight: 1})
		}
		batch = append(batch, four, six)
	}
	mustWrite(t, k, batch...)
	got := own(t, k)
	for _, r := range got {
		if len(r.Hops) != maxHops {
			t.Errorf("%s has %d hops", r.Prefix, len(r.Hops))
		}
	}
	for i := range batch {
		batch[i].Delete = true
	}
	mustWrite(t, k, batch...)
	if left := own(t, k); len(got) != len(batch) || len(left) != 0 {
		t.Errorf("%d routes, %d after their end, want %d and none", len(got), len(left), len(batch))
	}
}

// TestNeighbors reads what the kernel knows on its links.
func TestNeighbors(t *testing.T) {
	world(t)
	sh(t, "ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev a0; ip neigh add 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev a0")
	all, err := open(t).Neighbors()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"10.1.0.2", "2001:db8:1::2"} {
		want := Neighbor{netip.MustParseAddr(a), link(t, "a0"), []byte{2, 0, 0, 0, 0, 2}, "permanent"}
		if !slices.ContainsFunc(all, func(n Neighbor) bool { return reflect.DeepEqual(n, want) }) {
			t.Errorf("no %+v in %+v", want, all)
		}
	}
}

// writer puts one route in and prints what came of it.
func writer() {
	k, err := Open(Options{})
	if err == nil {
		err = write(k, put("198.51.100.0/24", "10.1.0.2"))
	}
	fmt.Println(err)
}

// TestPrivileges: CAP_NET_ADMIN is enough, and its lack is said.
func TestPrivileges(t *testing.T) {
	world(t)
	const nobody, netAdmin = 65534, unix.CAP_NET_ADMIN
	for _, c := range []struct {
		capabilities []uintptr
		want         string
	}{{nil, "CAP_NET_ADMIN"}, {[]uintptr{netAdmin}, "<nil>"}} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{inside + "=writer"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: c.capabilities}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) {
			t.Errorf("with %v: %v: %s", c.capabilities, err, out)
		}
	}
}
