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
			api.CommunityText(want.Communities[0]), api.ExtCommunityText(want.ExtCommunities[0]), api.LargeCommunityText(want.LargeCommunities[0]),
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

func TestNotifications(t *testing.T) {
	for code, want := range map[[2]uint8]string{
		{4, 0}: "hold timer expired", {6, 2}: "cease: administrative shutdown", {6, 99}: "cease: subcode 99",
		{2, 6}: "OPEN message error: unacceptable hold time", {77, 1}: "code 77/1",
	} {
		if got := api.NotificationText(code[0], code[1]); got != want {
			t.Errorf("%v is %q, want %q", code, got, want)
		}
	}
	message := func(s string) []byte { return append([]byte{byte(len(s))}, s...) }
	for _, c := range []struct {
		code, subcode uint8
		data          []byte
		want          string
	}{
		{6, 2, message("maintenance"), "maintenance"},
		{6, 4, message("naïve"), "naïve"},
		{6, 2, message("a\x1b[2Jb\nc"), "a\ufffd[2Jb\ufffdc"},
		{6, 2, []byte{5, 'a'}, ""},
		{6, 2, []byte{2, 0xff, 0xfe}, ""},
		{6, 2, nil, ""},
		{6, 1, message("no"), ""},
	} {
		if got := api.ShutdownMessage(c.code, c.subcode, c.data); got != c.want {
			t.Errorf("%d/%d %q says %q, want %q", c.code, c.subcode, c.data, got, c.want)
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
			api.CapabilityText(api.Capability{Code: kind, Value: b}), api.ShutdownMessage(6, kind, b), api.Printable(string(b)),
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
