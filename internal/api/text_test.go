package api_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

func TestCommunityText(t *testing.T) {
	for text, want := range map[string]*pb.Attributes{
		"64500:100":          {Communities: []uint32{64500<<16 | 100}},
		"no-export":          {Communities: []uint32{0xffffff01}},
		"65535:0":            {Communities: []uint32{0xffff0000}},
		"64500:1:4294967295": {LargeCommunities: []*pb.LargeCommunity{{Global: 64500, Local1: 1, Local2: 1<<32 - 1}}},
		"rt:64500:100":       {ExtCommunities: []uint64{0x0002fbf400000064}},
		"soo:64500:100000":   {ExtCommunities: []uint64{0x0003fbf4000186a0}},
		"rt:4200000000:7":    {ExtCommunities: []uint64{0x0202fa56ea000007}},
		"rt:192.0.2.1:7":     {ExtCommunities: []uint64{0x0102c00002010007}},
		"0x4300000000000001": {ExtCommunities: []uint64{0x4300000000000001}},
	} {
		a := &pb.Attributes{}
		if err := api.AddCommunity(a, text); err != nil || !proto.Equal(a, want) {
			t.Errorf("%s is %v, %v; want %v", text, a, err, want)
		}
	}
	for _, text := range []string{
		"", "1", "65536:1", "1:65536", "1:2:3:4", "1:2:4294967296", "-1:2", "a:b", "rt:1", "rt:x:1", "rt:1.2.3.4:65536",
		"rt:65536:65536", "rt:1:4294967296", "0x12", "0x430000000000000g", "No-Such-Name", "rt:::1:1",
	} {
		if err := api.AddCommunity(&pb.Attributes{}, text); err == nil {
			t.Errorf("%q was taken for a community", text)
		}
	}
}

// TestCommunityRoundTrip reads back what was written, whatever the bytes.
func TestCommunityRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &pb.Attributes{
			Communities:    []uint32{rapid.Uint32().Draw(t, "standard")},
			ExtCommunities: []uint64{rapid.Uint64().Draw(t, "extended") & rapid.SampledFrom([]uint64{^uint64(0), 0x0303ffffffffffff}).Draw(t, "mask")},
			LargeCommunities: []*pb.LargeCommunity{{
				Global: rapid.Uint32().Draw(t, "global"), Local1: rapid.Uint32().Draw(t, "local1"), Local2: rapid.Uint32().Draw(t, "local2"),
			}},
		}
		got := &pb.Attributes{}
		for _, text := range []string{
			wire.CommunityText(want.Communities[0]), wire.ExtCommunity(want.ExtCommunities[0]).String(), api.LargeCommunityText(want.LargeCommunities[0]),
		} {
			if err := api.AddCommunity(got, text); err != nil {
				t.Fatal(err)
			}
		}
		if !proto.Equal(got, want) {
			t.Fatalf("%v came back as %v", want, got)
		}
	})
}

func TestASPathText(t *testing.T) {
	for _, text := range []string{"", "64601", "64601 3356 4200000000", "64601 {1,2} 3", "{1}"} {
		path, err := api.ParseASPath(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := api.ASPathText(path); got != text {
			t.Errorf("%q came back as %q", text, got)
		}
	}
	for _, text := range []string{"AS64601", "1 {2", "4294967296", "1 } 2", "1 -2"} {
		if _, err := api.ParseASPath(text); err == nil {
			t.Errorf("%q was taken for a path", text)
		}
	}
	confederation := []*pb.AsPathSegment{
		{Type: pb.SegmentType_SEGMENT_TYPE_CONFED_SEQUENCE, Asns: []uint32{65001, 65002}},
		{Type: pb.SegmentType_SEGMENT_TYPE_CONFED_SET, Asns: []uint32{65003, 65004}},
		{Type: pb.SegmentType_SEGMENT_TYPE_SEQUENCE, Asns: []uint32{1, 2}},
	}
	if got, want := api.ASPathText(confederation), "(65001 65002) [65003,65004] 1 2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// attributes draws what a policy can be tried on.
func attributes(t *rapid.T) *pb.Attributes {
	asns := rapid.SliceOfN(rapid.Uint32(), 1, 300)
	a := &pb.Attributes{
		Origin:          pb.Origin(rapid.IntRange(1, 3).Draw(t, "origin")),
		NextHop:         rapid.SampledFrom([]string{"", "192.0.2.1", "2001:db8::1"}).Draw(t, "next hop"),
		Communities:     rapid.SliceOfN(rapid.Uint32(), 0, 4).Draw(t, "communities"),
		ExtCommunities:  rapid.SliceOfN(rapid.Uint64(), 0, 4).Draw(t, "extended"),
		AtomicAggregate: rapid.Bool().Draw(t, "atomic"),
	}
	if rapid.Bool().Draw(t, "path") {
		a.AsPath = []*pb.AsPathSegment{{Type: pb.SegmentType(rapid.IntRange(1, 4).Draw(t, "type")), Asns: asns.Draw(t, "asns")}}
	}
	if a.NextHop == "2001:db8::1" {
		a.NextHopLinkLocal = "fe80::1"
	}
	for _, p := range []**uint32{&a.Med, &a.LocalPref, &a.OnlyToCustomer} {
		if rapid.Bool().Draw(t, "present") {
			*p = proto.Uint32(rapid.Uint32().Draw(t, "value"))
		}
	}
	if rapid.Bool().Draw(t, "large") {
		a.LargeCommunities = []*pb.LargeCommunity{{Global: rapid.Uint32().Draw(t, "global"), Local2: 7}}
	}
	return a
}

func TestAttributesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := attributes(t)
		a, err := api.WireAttrs(want)
		if err != nil {
			t.Fatal(err)
		}
		got := api.AttributesOf(&a)
		// A segment of more than 255 comes back as two that say the same.
		if len(got.AsPath) == 2 {
			got.AsPath = []*pb.AsPathSegment{{Type: got.AsPath[0].Type, Asns: append(got.AsPath[0].Asns, got.AsPath[1].Asns...)}}
		}
		if !proto.Equal(got, want) {
			t.Fatalf("%v came back as %v", want, got)
		}
	})
}

func TestWireAttrsRefuses(t *testing.T) {
	for _, a := range []*pb.Attributes{
		{Origin: 9}, {Origin: -1}, {NextHop: "here"}, {AsPath: []*pb.AsPathSegment{{Asns: []uint32{1}}}},
	} {
		if _, err := api.WireAttrs(a); err == nil {
			t.Errorf("%v was taken", a)
		}
	}
	if a, err := api.WireAttrs(nil); err != nil || a.Has != wire.HasOrigin|wire.HasASPath {
		t.Errorf("no attributes are %+v, %v", a, err)
	}
}

func TestCapabilityText(t *testing.T) {
	for _, c := range []struct {
		code  uint8
		value string
		want  string
	}{
		{1, "\x00\x02\x00\x01", "ipv6"},
		{1, "\x00\x19\x00\x41", "25/65"},
		{2, "", ""},
		{5, "\x00\x01\x00\x01\x00\x02", "ipv4 by ipv6"},
		{9, "\x03", "customer"},
		{64, "\x80\x78\x00\x01\x01\x80", "120 s, restarted, ipv4"},
		{65, "\x00\x00\xfc\x59", "64601"},
		{69, "\x00\x01\x01\x03", "ipv4 send and receive"},
		{71, "\x00\x01\x01\x80\x00\x0e\x10\x00\x02\x01\x80\x00\x00\x00", "ipv4 3600 s, ipv6 0 s"},
		{73, "\x05edge1\x03net", "edge1.net"},
		{75, "\x03bgp", "bgp"},
		{99, "\x01\x02", "0x0102"},
		{65, "\x01", "0x01"},
	} {
		if got := api.CapabilityText(api.Capability{Code: c.code, Value: []byte(c.value)}); got != c.want {
			t.Errorf("capability %d %q is %q, want %q", c.code, c.value, got, c.want)
		}
	}
}

// FuzzForeign: whatever a neighbor sent can be shown, on a terminal too.
func FuzzForeign(f *testing.F) {
	f.Add(uint8(73), []byte("\x04host\x06domain"))
	f.Add(uint8(64), []byte{0x80, 120, 0, 1, 1, 0x80})
	f.Add(uint8(5), []byte{0, 1, 0, 1, 0, 2})
	f.Add(uint8(75), []byte("\x03bgp"))
	f.Add(uint8(2), []byte("\x09\x1b]0;x\x07abcd"))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		for _, s := range []string{
			api.CapabilityText(api.Capability{Code: kind, Value: b}), api.Printable(string(b)),
		} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || r == 0x9b }) {
				t.Errorf("%d %q is shown as %q", kind, b, s)
			}
		}
		a := api.AttributesOf(&wire.Attrs{
			ASPath: b, NextHop: b, Communities: b, ExtCommunities: b, LargeCommunities: b, IPv6Communities: b, ClusterList: b, Other: b,
		})
		if _, err := proto.Marshal(a); err != nil {
			t.Errorf("%q cannot be sent: %v", b, err)
		}
	})
}
