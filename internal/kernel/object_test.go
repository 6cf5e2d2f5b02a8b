//go:build interop

package kernel

import (
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/fib"
)

const first = fib.FirstObject

// leg is a leg by a gateway.
func leg(t testing.TB, id uint32, gateway, dev string) fib.ObjectChange {
	return fib.ObjectChange{Object: fib.Object{ID: id, Hop: fib.Hop{Gateway: netip.MustParseAddr(gateway), Link: link(t, dev)}}}
}

// pair is a group of a leg and its standby.
func pair(id, leg, standby uint32) fib.ObjectChange {
	return fib.ObjectChange{Object: fib.Object{ID: id, Legs: []fib.Share{{Leg: leg, Weight: 256}, {Leg: standby, Weight: 1}}}}
}

func gone(id uint32) fib.ObjectChange {
	return fib.ObjectChange{Object: fib.Object{ID: id}, Delete: true}
}

func mustObjects(t testing.TB, k *Kernel, changes ...fib.ObjectChange) {
	t.Helper()
	errs := make([]error, len(changes))
	k.WriteObjects(changes, errs)
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// through is a change to a route by an object.
func through(p string, id uint32) fib.Change {
	c := put(p)
	c.Object = id
	return c
}

// way is the address of ours from which packets to an address leave.
func way(t *testing.T, to string) string {
	t.Helper()
	_, after, _ := strings.Cut(sh(t, "ip route get "+to+" 2>/dev/null || true"), " src ")
	return strings.Fields(after + " none")[0]
}

// objectsWorld has a group by a0, with b0 for its standby, and one in IPv6, and
// routes to them.
func objectsWorld(t *testing.T) *Kernel {
	world(t)
	k := open(t)
	t.Cleanup(func() { sh(t, "ip nexthop flush proto 144 >/dev/null; ip nexthop flush >/dev/null") })
	mustObjects(t, k, leg(t, first, "10.1.0.2", "a0"), leg(t, first+1, "10.2.0.2", "b0"), pair(first+2, first, first+1),
		leg(t, first+3, "2001:db8:1::2", "a0"), leg(t, first+4, "fe80::2", "b0"), pair(first+5, first+3, first+4))
	mustWrite(t, k, through("198.51.100.0/24", first+2), through("2001:db8:100::/48", first+5))
	return k
}

func (k *Kernel) ids(t *testing.T) (ids []uint32) {
	t.Helper()
	all, err := k.Objects()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range all {
		ids = append(ids, o.ID-first)
	}
	slices.Sort(ids)
	return ids
}

// TestObjects: what is written is read back, also by the next process, and a
// standby gets no packet.
func TestObjects(t *testing.T) {
	k := objectsWorld(t)
	if !k.TakesObjects() {
		t.Fatal("this kernel has no nexthop objects")
	}
	next := open(t)
	all, err := next.Objects()
	if err != nil || len(all) != 6 || !reflect.DeepEqual(all[0].Hop, leg(t, first, "10.1.0.2", "a0").Hop) ||
		!reflect.DeepEqual(all[2].Legs, pair(0, first, first+1).Legs) {
		t.Errorf("read back: %+v, %v", all, err)
	}
	want := []fib.Route{through("198.51.100.0/24", first+2).Route, through("2001:db8:100::/48", first+5).Route}
	if got := own(t, next); !reflect.DeepEqual(got, want) {
		t.Errorf("the kernel has %+v, want %+v", got, want)
	}
	if n := strings.Count(sh(t, "ip nexthop bucket show id 1212547074"), "nhid 1212547072"); n != fib.Buckets {
		t.Errorf("the first leg has %d buckets of %d", n, fib.Buckets)
	}
	// Another kind of route in its place, and back.
	for range 2 {
		mustWrite(t, next, put("198.51.100.0/24", "10.2.0.2"), put("2001:db8:100::/48", "2001:db8:2::2"))
		mustWrite(t, next, through("198.51.100.0/24", first+2), through("2001:db8:100::/48", first+5))
		if got := own(t, next); !reflect.DeepEqual(got, want) {
			t.Errorf("the kernel has %+v, want %+v", got, want)
		}
	}
	mustWrite(t, next, fib.Change{Route: want[0], Delete: true}, fib.Change{Route: want[1], Delete: true})
	mustObjects(t, next, gone(first+2), gone(first+5), gone(first), gone(first+1), gone(first+3), gone(first+4), gone(first+7))
	if ids := next.ids(t); len(ids) > 0 {
		t.Errorf("objects are left: %v", ids)
	}
}

// TestOneChangeMovesAll: a leg that is removed, or changed, moves all routes.
func TestOneChangeMovesAll(t *testing.T) {
	k := objectsWorld(t)
	if got := way(t, "198.51.100.7"); got != "10.1.0.1" {
		t.Errorf("packets leave from %s", got)
	}
	other := leg(t, first, "10.2.0.3", "b0")
	other.Replace = true
	mustObjects(t, k, other)
	if text := sh(t, "ip route get 198.51.100.7"); !strings.Contains(text, "via 10.2.0.3") {
		t.Errorf("the changed leg is not the way: %s", text)
	}
	mustObjects(t, k, gone(first), gone(first+3))
	if got := way(t, "198.51.100.7"); got != "10.2.0.1" {
		t.Errorf("packets leave from %s", got)
	}
	if text := sh(t, "ip -6 route get 2001:db8:100::1"); !strings.Contains(text, "via fe80::2 dev b0") {
		t.Errorf("the standby is not the way: %s", text)
	}
	if n := len(own(t, k)); n != 2 {
		t.Errorf("%d routes are left", n)
	}
}

// TestLinkLost: where the link of a leg goes, the kernel itself turns to the
// standby, and without one it drops the routes.
func TestLinkLost(t *testing.T) {
	for _, how := range []string{"ip link set a1 down", "ip link set a0 down", "ip link del a0"} {
		t.Run(how, func(t *testing.T) {
			k := objectsWorld(t)
			w := watchOf(t, k)
			w.next("a snapshot", snapshot)
			sh(t, how)
			w.next("the link", func(e fib.Event) bool { l, ok := named(e, "a0"); return ok && !l.Up || len(e.Gone) > 0 })
			if got := way(t, "198.51.100.7"); got != "10.2.0.1" {
				t.Errorf("packets leave from %q", got)
			}
			if n, ids := len(own(t, k)), k.ids(t); n != 2 || !slices.Equal(ids, []uint32{1, 2, 4, 5}) {
				t.Errorf("%d routes and the objects %v are left", n, ids)
			}
			sh(t, "ip link set b1 down")
			w.next("the other link", func(e fib.Event) bool { l, ok := named(e, "b0"); return ok && !l.Up })
			if n, ids := len(own(t, k)), k.ids(t); n != 0 || len(ids) != 0 {
				t.Errorf("%d routes and the objects %v are left", n, ids)
			}
			sh(t, "ip link set b1 up")
			w.next("the other link", func(e fib.Event) bool { l, _ := named(e, "b0"); return l.Up })
			mustObjects(t, k, leg(t, first+1, "10.2.0.2", "b0"), fib.ObjectChange{Object: fib.Object{ID: first + 2, Legs: []fib.Share{{Leg: first + 1, Weight: 256}}}})
			mustWrite(t, k, through("198.51.100.0/24", first+2)) // which the driver believes to be there
			if got := way(t, "198.51.100.7"); got != "10.2.0.1" {
				t.Errorf("packets leave from %q", got)
			}
		})
	}
}

// TestObjectTaken: an ID that somebody else uses is left alone.
func TestObjectTaken(t *testing.T) {
	world(t)
	k := open(t)
	sh(t, "ip nexthop add id 1212547072 via 10.1.0.9 dev a0 proto 11")
	t.Cleanup(func() { sh(t, "ip nexthop flush >/dev/null") })
	if ids := k.ids(t); len(ids) > 0 {
		t.Errorf("taken for ours: %v", ids)
	}
	errs := make([]error, 1)
	k.WriteObjects([]fib.ObjectChange{leg(t, first, "10.1.0.2", "a0")}, errs)
	if !errors.Is(errs[0], fib.ErrObjectTaken) {
		t.Errorf("the error is %v", errs[0])
	}
	if text := sh(t, "ip nexthop show"); !strings.Contains(text, "10.1.0.9") {
		t.Errorf("the kernel has %s", text)
	}
}

// TestObjectRemovedByOthers: what somebody else removes is told; what we remove,
// and what is not ours, is not.
func TestObjectRemovedByOthers(t *testing.T) {
	k := objectsWorld(t)
	w := watchOf(t, k)
	w.next("a snapshot", snapshot)
	sh(t, "ip nexthop add id 7 via 10.1.0.9 dev a0; ip nexthop del id 7")
	mustObjects(t, k, gone(first+3))
	sh(t, "ip nexthop del id 1212547074")
	e := w.next("an object", func(e fib.Event) bool { return len(e.ObjectsLost) > 0 })
	if !slices.Equal(e.ObjectsLost, []uint32{first + 2}) {
		t.Errorf("lost: %v", e.ObjectsLost)
	}
	if got := own(t, k); len(got) != 1 {
		t.Errorf("the kernel has %+v", got)
	}
}

// TestObjectBesideOthers: a route of ours through an object goes from beside one
// of others, which stays.
func TestObjectBesideOthers(t *testing.T) {
	k := objectsWorld(t)
	w := watchOf(t, k)
	w.next("a snapshot", snapshot)
	sh(t, `ip -6 route append 2001:db8:100::/48 via 2001:db8:1::9 metric 20 proto 11`)
	w.next("theirs", func(e fib.Event) bool { _, ok := routeTo(e.Routes, "2001:db8:100::/48"); return ok })
	mustWrite(t, k, without(through("2001:db8:100::/48", first+5)))
	if got := at(t, k, put("2001:db8:100::/48")); len(got) != 1 || got[0].Protocol != 11 {
		t.Errorf("the kernel has %+v", got)
	}
}
