package packet

import (
	"net/netip"
	"testing"
)

func TestRender(t *testing.T) {
	p := New()
	defer p.Release()
	p.Data = append(p.Data, "aa..bb..cc..dd"...)
	p.Segments = []Segment{{End: 4}, {End: 8, Skip: 1}, {End: 12, Only: 2}, {End: 14}}
	p.NextHops = []Field{{2, 2}, {6, 2}, {10, 2}}
	xx := &NextHop{Own: []byte("XX")}
	for id, want := range map[ID]string{1: "aaXXdd", 2: "aaXXbbXXccXXdd", 3: "aaXXbbXXdd"} {
		if got := string(p.Render(nil, id, xx)); got != want {
			t.Errorf("member %d gets %q, want %q", id, got, want)
		}
		if p.Plain(id, xx) {
			t.Errorf("member %d: plain, although its next hop differs", id)
		}
	}
	p.NextHops = nil
	if got := string(p.Render([]byte("-"), 3, nil)); got != "-aa..bb..dd" {
		t.Errorf("without a next hop: %q", got)
	}
	if p.Plain(1, nil) || !p.Plain(2, nil) || p.Plain(3, nil) {
		t.Error("Plain disagrees with the segments")
	}
}

// TestNextHop: what a member that shares a link with us is told.
func TestNextHop(t *testing.T) {
	addrs := func(list ...string) (b []byte) {
		for _, s := range list {
			b = append(b, netip.MustParseAddr(s).AsSlice()...)
		}
		return b
	}
	own6 := addrs("2001:db8::1", "fe80::1")
	v4 := &NextHop{Own: addrs("192.0.2.1"), Link: netip.MustParsePrefix("192.0.2.0/24"), Peer: netip.MustParseAddr("192.0.2.9")}
	v6 := &NextHop{Own: own6, Link: netip.MustParsePrefix("2001:db8::/64"), Peer: netip.MustParseAddr("2001:db8::9")}
	far := &NextHop{Own: addrs("192.0.2.1")}
	for _, c := range []struct {
		name        string
		to          *NextHop
		field, want []byte
	}{
		{"on the link", v4, addrs("192.0.2.7"), addrs("192.0.2.7")},
		{"elsewhere", v4, addrs("198.51.100.7"), addrs("192.0.2.1")},
		{"its own address", v4, addrs("192.0.2.9"), addrs("192.0.2.1")},
		{"nothing received", v4, addrs("0.0.0.0"), addrs("192.0.2.1")},
		{"no link", far, addrs("192.0.2.7"), addrs("192.0.2.1")},
		{"IPv6 with link-local", v6, addrs("2001:db8::7", "fe80::7"), addrs("2001:db8::7", "fe80::7")},
		{"IPv6 without", v6, addrs("2001:db8::7"), addrs("2001:db8::7")},
		{"IPv6 elsewhere", v6, addrs("2001:db8:1::7", "fe80::7"), own6},
		{"IPv6 elsewhere, without link-local", v6, addrs("2001:db8:1::7"), own6[:16]},
		{"its own IPv6 address", v6, addrs("2001:db8::9", "fe80::9"), own6},
	} {
		p := New()
		p.Data = append(p.Data, c.field...)
		p.Segments, p.NextHops = []Segment{{End: len(p.Data)}}, []Field{{0, len(p.Data)}}
		if got := p.Render(nil, 1, c.to); string(got) != string(c.want) {
			t.Errorf("%s: % x, want % x", c.name, got, c.want)
		}
		if got, want := p.Plain(1, c.to), string(c.field) == string(c.want); got != want {
			t.Errorf("%s: plain: %v", c.name, got)
		}
		p.Release()
	}
}
