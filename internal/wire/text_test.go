package wire

import (
	"testing"

	"pgregory.net/rapid"
)

func TestCommunityText(t *testing.T) {
	for s, want := range map[string]uint32{"65000:1": 65000<<16 | 1, "0:0": 0, "no-export": 0xffffff01, "blackhole": 0xffff029a, "graceful-shutdown": 0xffff0000} {
		got, err := ParseCommunity(s)
		if err != nil || got != want || CommunityText(got) != s {
			t.Errorf("%s: %08x %v %s", s, got, err, CommunityText(got))
		}
	}
	if c, err := ParseCommunity("65535:65281"); err != nil || CommunityText(c) != "no-export" {
		t.Errorf("%08x %v", c, err)
	}
	for _, s := range []string{"", "1", "1:2:3", "65536:1", "1:65536", "-1:1", "a:b", "1:"} {
		if c, err := ParseCommunity(s); err == nil {
			t.Errorf("%q is %08x", s, c)
		}
		if c, err := ParseLargeCommunity(s); err == nil && s != "1:2:3" {
			t.Errorf("%q is %v", s, c)
		}
	}
}

func TestExtCommunityText(t *testing.T) {
	for s, want := range map[string]ExtCommunity{
		"rt:65000:100":       0x0002fde800000064,
		"RT:65000:100":       0x0002fde800000064,
		"soo:192.0.2.1:7":    0x0103c00002010007,
		"rt:4200000000:5":    0x0202fa56ea000005,
		"0x0202000000010002": 0x0202000000010002, // an AS number that needs no four bytes
		"0x4002fde800000064": 0x4002fde800000064, // not transitive
		"0x0000000000000001": 1,
	} {
		got, err := ParseExtCommunity(s)
		if err != nil || got != want {
			t.Errorf("%s: %016x %v", s, uint64(got), err)
		}
		if text := got.String(); text != s && s != "RT:65000:100" {
			t.Errorf("%s became %s", s, text)
		}
	}
	for _, s := range []string{"", "rt:1", "rt:1:2:3", "xx:1:2", "rt:4200000000:65536", "rt:192.0.2.1:65536", "rt:1:4294967296", "0x12", "0x00000000000000000", "rt:2001:db8::1:1"} {
		if c, err := ParseExtCommunity(s); err == nil {
			t.Errorf("%q is %s", s, c)
		}
	}
}

func TestTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := ExtCommunity(rapid.Uint64().Draw(t, "extended"))
		if rapid.Bool().Draw(t, "named") {
			e = e&^(0xff3e<<48) | 2<<48
		}
		if back, err := ParseExtCommunity(e.String()); err != nil || back != e || ExtAt(e.Append(nil)) != e {
			t.Fatalf("%016x: %s, %016x %v", uint64(e), e, uint64(back), err)
		}
		c := rapid.Uint32().Draw(t, "community")
		if back, err := ParseCommunity(CommunityText(c)); err != nil || back != c {
			t.Fatalf("%08x: %s, %08x %v", c, CommunityText(c), back, err)
		}
		l := LargeCommunity{c, rapid.Uint32().Draw(t, "1"), rapid.Uint32().Draw(t, "2")}
		if back, err := ParseLargeCommunity(l.String()); err != nil || back != l || LargeAt(l.Append(nil)) != l {
			t.Fatalf("%v: %v %v", l, back, err)
		}
	})
}

func TestSmallTexts(t *testing.T) {
	for o := range uint8(3) {
		if back, err := ParseOrigin(OriginName(o)); err != nil || back != o {
			t.Errorf("%d: %s", o, OriginName(o))
		}
	}
	if _, err := ParseOrigin("?"); err == nil {
		t.Error("? is an origin")
	}
	v6 := unhex("0002 20010db8000000000000000000000001 0064")
	if got := IPv6CommunityText(v6); got != "rt:[2001:db8::1]:100" {
		t.Error(got)
	}
	v6[0] = 0x40
	if got := IPv6CommunityText(v6); got != "0x400220010db80000000000000000000000010064" {
		t.Error(got)
	}
	if RoleName(RoleCustomer) != "customer" || RoleName(9) != "9" {
		t.Error(RoleName(RoleCustomer), RoleName(9))
	}
	if AttrName(8) != "COMMUNITIES" || AttrName(250) != "attribute 250" {
		t.Error(AttrName(8), AttrName(250))
	}
}
