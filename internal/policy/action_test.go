package policy

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"holdfast/internal/wire"
)

func TestActions(t *testing.T) {
	addr4, addr6 := netip.MustParseAddr("192.0.2.9"), netip.MustParseAddr("2001:db8::9")
	long := strings.TrimSpace(strings.Repeat("7 ", 254))
	for _, c := range []struct {
		name         string
		set          Actions
		x            string // 10.0.0.0/8 unless set
		before, want string
		changed      bool
		res          Result // MED, NextHop and Weight
	}{
		{name: "nothing", before: "med=5", want: "med=5"},
		{name: "local_pref set", set: Actions{LocalPref: Adjust{SetTo, 200}}, want: "lp=200", changed: true},
		{name: "local_pref to what it is", set: Actions{LocalPref: Adjust{SetTo, 200}}, before: "lp=200", want: "lp=200"},
		{name: "local_pref to the default", set: Actions{LocalPref: Adjust{SetTo, 100}}, want: "lp=100", changed: true},
		{name: "local_pref add", set: Actions{LocalPref: Adjust{Add, 20}}, before: "lp=200", want: "lp=220", changed: true},
		{name: "local_pref add to none", set: Actions{LocalPref: Adjust{Add, 20}}, want: "lp=120", changed: true},
		{name: "local_pref subtract", set: Actions{LocalPref: Adjust{Subtract, 20}}, before: "lp=200", want: "lp=180", changed: true},
		{name: "local_pref below nothing", set: Actions{LocalPref: Adjust{Subtract, 300}}, before: "lp=200", want: "lp=0", changed: true},
		{name: "med set", set: Actions{MED: Adjust{SetTo, 7}}, want: "med=7", changed: true, res: Result{MED: true}},
		{name: "med to what it is", set: Actions{MED: Adjust{SetTo, 7}}, before: "med=7", want: "med=7", res: Result{MED: true}},
		{name: "med add", set: Actions{MED: Adjust{Add, 7}}, before: "med=7", want: "med=14", changed: true, res: Result{MED: true}},
		{name: "med add to none", set: Actions{MED: Adjust{Add, 7}}, want: "med=7", changed: true, res: Result{MED: true}},
		{name: "med add too much", set: Actions{MED: Adjust{Add, math.MaxUint32}}, before: "med=7", want: "med=4294967295", changed: true, res: Result{MED: true}},
		{name: "med subtract from none", set: Actions{MED: Adjust{Subtract, 7}}, want: "med=0", changed: true, res: Result{MED: true}},
		{name: "med none", set: Actions{MED: Adjust{Op: Remove}}, before: "med=7", want: "", changed: true},
		{name: "med none of none", set: Actions{MED: Adjust{Op: Remove}}},
		{name: "add communities", set: Actions{AddCommunities: comms(t, "1:1", "rt:2:2", "3:3:3", "1:2")}, before: "1:2", want: "1:2 1:1 rt:2:2 3:3:3", changed: true},
		{name: "add what is there", set: Actions{AddCommunities: comms(t, "1:1")}, before: "1:1 1:2", want: "1:1 1:2"},
		{name: "remove communities", set: Actions{RemoveCommunities: []*CommunitySet{comms(t, "1:*", "*:*:3"), comms(t, "rt:*:2")}},
			before: "1:1 2:1 1:2 3:3:3 3:3:4 rt:2:2 rt:2:3", want: "2:1 3:3:4 rt:2:3", changed: true},
		{name: "remove the last", set: Actions{RemoveCommunities: []*CommunitySet{comms(t, "*:*")}}, before: "1:1 1:2", want: "", changed: true},
		{name: "remove what is not there", set: Actions{RemoveCommunities: []*CommunitySet{comms(t, "9:*")}}, before: "1:1", want: "1:1"},
		{name: "remove, then add", set: Actions{RemoveCommunities: []*CommunitySet{comms(t, "1:*")}, AddCommunities: comms(t, "1:5")}, before: "1:1", want: "1:5", changed: true},
		{name: "replace communities", set: Actions{ReplaceCommunities: comms(t, "9:9", "9:9:9")}, before: "1:1 rt:2:2 3:3:3 ip6comm", want: "9:9 9:9:9", changed: true},
		{name: "replace by the same", set: Actions{ReplaceCommunities: comms(t, "9:9")}, before: "9:9", want: "9:9"},
		{name: "replace by none", set: Actions{ReplaceCommunities: comms(t)}, before: "1:1 rt:2:2 3:3:3", want: "", changed: true},
		{name: "prepend own", set: Actions{Prepend: Prepend{Count: 2}}, before: "path=1,2", want: "path=64500,64500,1,2", changed: true},
		{name: "prepend other", set: Actions{Prepend: Prepend{65001, 1}}, before: "path=1,2", want: "path=65001,1,2", changed: true},
		{name: "prepend the first", set: Actions{Prepend: Prepend{Count: 2}, PrependFirst: true}, before: "path=1,2", want: "path=1,1,1,2", changed: true},
		{name: "prepend the first to nothing", set: Actions{Prepend: Prepend{Count: 1}, PrependFirst: true}, want: "path=64500", changed: true},
		{name: "prepend the first to a set", set: Actions{Prepend: Prepend{Count: 1}, PrependFirst: true}, before: "path={1,2}", want: "path=64500,{1,2}", changed: true},
		{name: "prepend to nothing", set: Actions{Prepend: Prepend{65001, 3}}, want: "path=65001,65001,65001", changed: true},
		{name: "prepend before a set", set: Actions{Prepend: Prepend{65001, 1}}, before: "path={1,2}", want: "path=65001,{1,2}", changed: true},
		{name: "prepend into a full segment", set: Actions{Prepend: Prepend{65001, 2}}, before: "path=" + strings.ReplaceAll(long, " ", ","),
			want: "path=65001,65001,|," + strings.ReplaceAll(long, " ", ","), changed: true},
		{name: "next_hop self", set: Actions{NextHop: NextHop{Mode: NextHopSelf}}, before: "nh=192.0.2.1", want: "nh=192.0.2.1", res: Result{NextHop: NextHopSelf}},
		{name: "next_hop unchanged", set: Actions{NextHop: NextHop{Mode: NextHopUnchanged}}, before: "nh=192.0.2.1", want: "nh=192.0.2.1", res: Result{NextHop: NextHopUnchanged}},
		{name: "next_hop discard", set: Actions{NextHop: NextHop{Mode: NextHopDiscard}}, before: "nh=192.0.2.1", want: "nh=192.0.2.1", res: Result{NextHop: NextHopDiscard}},
		{name: "next_hop address", set: Actions{NextHop: NextHop{NextHopAddress, addr4, addr6}}, before: "nh=192.0.2.1", want: "nh=192.0.2.9", changed: true, res: Result{NextHop: NextHopAddress}},
		{name: "next_hop the same address", set: Actions{NextHop: NextHop{NextHopAddress, addr4, addr6}}, before: "nh=192.0.2.9", want: "nh=192.0.2.9", res: Result{NextHop: NextHopAddress}},
		{name: "next_hop address v6", set: Actions{NextHop: NextHop{NextHopAddress, addr4, addr6}}, x: "2001:db8::/32", before: "nh=::1,fe80::1", want: "nh=2001:db8::9", changed: true, res: Result{NextHop: NextHopAddress}},
		{name: "next_hop of the other family", set: Actions{NextHop: NextHop{Mode: NextHopAddress, IPv4: addr4}}, x: "2001:db8::/32", before: "nh=::1", want: "nh=::1"},
		{name: "origin", set: Actions{Origin: ptr[uint8](wire.OriginIncomplete)}, want: "origin=incomplete", changed: true},
		{name: "origin as it is", set: Actions{Origin: ptr[uint8](wire.OriginEGP)}, before: "origin=egp", want: "origin=egp"},
		{name: "weight", set: Actions{Weight: ptr[uint32](9)}, res: Result{Weight: 9}},
		{name: "weight 0", set: Actions{Weight: ptr[uint32](0)}, res: Result{Weight: 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parse := func(s string) *wire.Attrs {
				words := strings.Fields(s)
				for i := range words {
					if strings.HasPrefix(words[i], "path=") {
						words[i] = strings.ReplaceAll(words[i], ",", " ")
					}
				}
				return attrs(t, words...)
			}
			if c.x == "" {
				c.x = "10.0.0.0/8"
			}
			p := mustCompile(t, Context{}, actionPolicy(c.set))
			got, untouched := parse(c.before), parse(c.before)
			given := *got
			var s Scratch
			weight := uint32(3)
			if c.set.Weight == nil {
				c.res.Weight = weight
			}
			res := p.Eval(p.Variant(mp(c.x)), &Route{Attrs: got, Weight: weight}, &s)
			want := parse(c.want)
			if !sameAttrs(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if !sameAttrs(&given, untouched) {
				t.Error("the bytes of the given attributes were written to")
			}
			if res.Changed != c.changed || res.MED != c.res.MED || res.NextHop != c.res.NextHop || res.Weight != c.res.Weight || !res.Accept {
				t.Errorf("result %+v", res)
			}
			// What Explain shows agrees with what is done.
			again := parse(c.before)
			steps, explained := p.Explain(mp(c.x), &Route{Attrs: again, Weight: weight})
			if explained.Trace = res.Trace; explained != res || !sameAttrs(again, want) {
				t.Errorf("Explain: %+v %+v", explained, again)
			}
			if says := len(steps[0].Changes) > 0; says != (res.Changed || res.Weight != weight || res.NextHop != NextHopDefault) {
				t.Errorf("changes: %q", steps[0].Changes)
			}
		})
	}
}

// sameAttrs compares what is sent.
func sameAttrs(a, b *wire.Attrs) bool {
	same := func(x, y []byte) bool { return bytes.Equal(x, y) }
	if !same(a.ASPath, b.ASPath) || !same(a.NextHop, b.NextHop) || !same(a.Communities, b.Communities) ||
		!same(a.ExtCommunities, b.ExtCommunities) || !same(a.LargeCommunities, b.LargeCommunities) || !same(a.IPv6Communities, b.IPv6Communities) {
		return false
	}
	x, y := *a, *b
	for _, z := range []*wire.Attrs{&x, &y} {
		z.ASPath, z.NextHop, z.Communities, z.ExtCommunities, z.LargeCommunities, z.IPv6Communities = nil, nil, nil, nil, nil, nil
	}
	return reflect.DeepEqual(x, y)
}

func TestActionsBuildOnEachOther(t *testing.T) {
	p := mustCompile(t, Context{}, &Policy{Rules: []Rule{
		{Set: Actions{AddCommunities: comms(t, "1:1"), Prepend: Prepend{Count: 1}, MED: Adjust{SetTo, 5}, NextHop: NextHop{Mode: NextHopSelf}, Weight: ptr[uint32](1)}},
		{Set: Actions{AddCommunities: comms(t, "1:2"), Prepend: Prepend{65001, 1}, MED: Adjust{Op: Remove}, NextHop: NextHop{Mode: NextHopUnchanged}, Weight: ptr[uint32](2)}},
		{Set: Actions{RemoveCommunities: []*CommunitySet{comms(t, "1:1")}, LocalPref: Adjust{Add, 1}}},
		{Set: Actions{LocalPref: Adjust{Add, 1}}, Then: Accept},
	}})
	a, want := attrs(t, "path=7", "2:2"), attrs(t, "path=65001 64500 7", "2:2", "1:2", "lp=102")
	var s Scratch
	got := p.Eval(0, &Route{Attrs: a}, &s)
	if !sameAttrs(a, want) {
		t.Errorf("got  %+v\nwant %+v", a, want)
	}
	if got.MED || got.NextHop != NextHopUnchanged || got.Weight != 2 || !got.Accept || !got.Changed {
		t.Errorf("result %+v", got)
	}
}
