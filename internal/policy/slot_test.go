package policy

import (
	"strings"
	"testing"
)

// TestCommunitiesWithTheNeighborsAS: entries with neighbor.asn, for a neighbor in
// an AS of two bytes and for one in AS 200000, which standard communities have no
// room for.
func TestCommunitiesWithTheNeighborsAS(t *testing.T) {
	any := func(entries ...string) Condition {
		return Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, entries...)}}
	}
	all := func(entries ...string) Condition {
		return Condition{Kind: CondCommunityAll, Communities: []*CommunitySet{comms(t, entries...)}}
	}
	for _, c := range []struct {
		cond         Condition
		route        string
		small, large bool
	}{
		{any("0:neighbor.asn"), "0:64700", true, false},
		{any("0:neighbor.asn"), "0:64701", false, false},
		{any("0:neighbor.asn", "64500:0:neighbor.asn"), "64500:0:200000", false, true},
		{any("64500:*:neighbor.asn"), "64500:7:64700", true, false},
		{any("rt:neighbor.asn:9"), "rt:200000:9", false, true},
		{any("neighbor.asn:neighbor.asn"), "64700:64700", true, false},
		{any("0:neighbor.asn", "1:1"), "1:1", true, true},
		{all("0:neighbor.asn", "1:1"), "0:64700 1:1", true, false},
		{all("0:neighbor.asn", "1:1"), "1:1", false, false},
	} {
		for asn, want := range map[uint32]bool{64700: c.small, 200000: c.large} {
			p := mustCompile(t, Context{NeighborASN: asn}, one(c.cond))
			if got := check(t, p, "10.0.0.0/8", attrs(t, strings.Fields(c.route)...), nil); got != want {
				t.Errorf("%v, AS %d, %s: %v", c.cond.Communities[0].entries[0].text, asn, c.route, got)
			}
		}
	}
	set := Actions{RemoveCommunities: []*CommunitySet{comms(t, "*:neighbor.asn", "64500:*:neighbor.asn")}, AddCommunities: comms(t, "9:neighbor.asn", "9:9:neighbor.asn")}
	for asn, want := range map[uint32]string{64700: "1:1 64500:1:200000 9:64700 9:9:64700", 200000: "1:1 0:64700 9:9:200000"} {
		a := attrs(t, "1:1", "0:64700", "64500:1:200000")
		var s Scratch
		p := mustCompile(t, Context{NeighborASN: asn}, actionPolicy(set))
		p.Eval(p.Variant(mp("10.0.0.0/8")), &Route{Attrs: a}, &s)
		if !sameAttrs(a, attrs(t, strings.Fields(want)...)) {
			t.Errorf("AS %d: %+v, want %s", asn, a, want)
		}
	}
}

func TestParseCommunityWithSlot(t *testing.T) {
	for entry, good := range map[string]bool{"0:neighbor.asn": true, "rt:neighbor.asn:5": true, "neighbor.asn": false, "0:neighbor.as": false,
		"0:1neighbor.asn": false, "neighbor.asn:1:2:3": false} {
		s := &CommunitySet{}
		if err := s.Add(entry, Pos{}); (err == nil) != good {
			t.Errorf("%s: %v", entry, err)
		}
	}
	if s := comms(t, "1:1", "0:neighbor.asn"); s.Slot() != "0:neighbor.asn" {
		t.Errorf("the slot is in %q", s.Slot())
	}
	if text, _ := comms(t, "0:neighbor.asn").Wildcard(); text != "" {
		t.Errorf("%s is a single community", text)
	}
}
