package wire

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/prefix"
)

func TestParseHeader(t *testing.T) {
	for _, c := range []struct {
		name      string
		typ       uint8
		length    int
		max       int
		code, sub uint8
	}{
		{"KEEPALIVE", MsgKeepalive, 19, MaxMsgLen, 0, 0},
		{"KEEPALIVE with something", MsgKeepalive, 20, MaxMsgLen, 1, 2},
		{"short OPEN", MsgOpen, 28, MaxMsgLen, 1, 2},
		{"OPEN", MsgOpen, 29, MaxMsgLen, 0, 0},
		{"extended OPEN", MsgOpen, 4097, MaxExtendedLen, 1, 2},
		{"short UPDATE", MsgUpdate, 22, MaxMsgLen, 1, 2},
		{"long UPDATE", MsgUpdate, 4097, MaxMsgLen, 1, 2},
		{"extended UPDATE", MsgUpdate, 65535, MaxExtendedLen, 0, 0},
		{"short NOTIFICATION", MsgNotification, 20, MaxMsgLen, 1, 2},
		{"short ROUTE-REFRESH", MsgRefresh, 22, MaxMsgLen, 1, 2},
		{"ROUTE-REFRESH with something", MsgRefresh, 24, MaxMsgLen, 0, 0}, // RFC 7313 section 5
		{"type 0", 0, 19, MaxMsgLen, 1, 3},
		{"type 6", 6, 19, MaxMsgLen, 1, 3},
		{"type 6, too short", 6, 18, MaxMsgLen, 1, 2},
	} {
		b := AppendHeader(nil, c.typ)
		b[16], b[17] = byte(c.length>>8), byte(c.length)
		typ, n, err := ParseHeader(b, c.max)
		switch {
		case c.code == 0:
			if err != nil || typ != c.typ || n != c.length {
				t.Errorf("%s: %d %d %v", c.name, typ, n, err)
			}
		case err == nil || err.Code != c.code || err.Subcode != c.sub:
			t.Errorf("%s: %v", c.name, err)
		case c.sub == 2 && !bytes.Equal(err.Data, b[16:18]) || c.sub == 3 && !bytes.Equal(err.Data, b[18:19]):
			t.Errorf("%s: data %x", c.name, err.Data)
		}
	}
	b := AppendKeepalive(nil)
	if typ, n, err := ParseHeader(b, MaxMsgLen); err != nil || typ != MsgKeepalive || n != len(b) {
		t.Errorf("%x: %v", b, err)
	}
	b[3] = 0
	if _, _, err := ParseHeader(b, MaxMsgLen); err == nil || err.Code != 1 || err.Subcode != 1 {
		t.Errorf("marker: %v", err)
	}
}

func fullOpen() Open {
	v4, v6, vpn := UnicastID(prefix.IPv4), UnicastID(prefix.IPv6), FamilyID{1, 128}
	return Open{ASN: 4200000000, HoldTime: 90, ID: 0xc0000201, Capabilities: Capabilities{
		Families: []FamilyID{v4, v6, vpn}, RouteRefresh: true, EnhancedRefresh: true, ExtendedMessages: true,
		AS4: true, ASN: 4200000000, HasRole: true, Role: RoleCustomer,
		AddPath:          []AddPathFamily{{v4, AddPathReceive}, {v6, AddPathBoth}},
		ExtendedNextHops: []ExtendedNextHop{{v4, 2}, {vpn, 2}},
		GracefulRestart: &GracefulRestart{Restarting: true, Notification: true, Time: 4095,
			Families: []RestartFamily{{v4, true}, {v6, false}}},
		LongLived: []LongLivedFamily{{v4, true, 1<<24 - 1}, {v6, false, 3600}},
		Hostname:  "edge1", Domain: "example.net",
		Unknown: []Capability{{75, []byte("holdfast")}, {128, []byte{}}},
	}}
}

func TestOpenRoundTrip(t *testing.T) {
	long := fullOpen()
	for i := range 5 {
		long.Capabilities.Unknown = append(long.Capabilities.Unknown, Capability{200 + uint8(i), make([]byte, 100*i)[:min(100*i, 255)]})
	}
	for name, o := range map[string]Open{
		"full": fullOpen(), "RFC 9072": long, "plain": {ASN: 65001, HoldTime: 0, ID: 1},
	} {
		b := AppendOpen([]byte("before"), &o)[6:]
		if typ, n, err := ParseHeader(b, MaxMsgLen); err != nil || typ != MsgOpen || n != len(b) {
			t.Fatalf("%s: %d %d %v", name, typ, n, err)
		}
		if extended := b[HeaderLen+9] == 255 && b[HeaderLen+10] == 255; extended != (name == "RFC 9072") {
			t.Errorf("%s: extended %v", name, extended)
		}
		got, err := ParseOpen(b[HeaderLen:])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, o) {
			t.Errorf("%s:\n%+v, want\n%+v", name, got, o)
		}
		for i := range len(b) - HeaderLen {
			if _, err := ParseOpen(b[HeaderLen : len(b)-1-i]); err == nil {
				t.Errorf("%s: without the last %d bytes it is still good", name, i+1)
			}
		}
	}
}

func TestOpenQuestions(t *testing.T) {
	o := fullOpen()
	c := &o.Capabilities
	if !c.Has(prefix.IPv4) || !c.Has(prefix.IPv6) || c.AddPathMode(prefix.IPv6) != AddPathBoth || !c.HasExtendedNextHop() {
		t.Errorf("%+v", c)
	}
	c = new(Capabilities)
	if !c.Has(prefix.IPv4) || c.Has(prefix.IPv6) || c.AddPathMode(prefix.IPv4) != 0 || c.HasExtendedNextHop() {
		t.Error("no capabilities must mean IPv4 alone")
	}
	if s := UnicastID(prefix.IPv6).String() + (FamilyID{1, 128}).String(); s != "ipv61/128" {
		t.Error(s)
	}
}

func TestCapabilitiesThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		name, caps string
		sub        int // of the error, -1 for none
		unknown    int
	}{
		{"role of two bytes", "0902 0001", -1, 1},
		{"the same role twice", "090103 090103", -1, 0},
		{"two roles", "090103 090100", 11, 0}, // RFC 9234 section 4.2
		{"add-path of five bytes", "4505 0001010300", -1, 1},
		{"add-path mode 4", "4504 00010104", -1, 0},
		{"extended next hop of five bytes", "0505 0001000100", -1, 1},
		{"graceful restart of one byte", "4001 00", -1, 1},
		{"long-lived of six bytes", "4706 000101000000", -1, 1},
		{"name that overruns", "4903 09 61 00", -1, 1},
		{"two-byte AS number", "4102 fde9", 0, 0},
		{"AS 0", "4104 00000000", 2, 0},
	} {
		caps := unhex(c.caps)
		body := append(unhex("04 fde9 005a 0a000001"), byte(len(caps)+2), 2, byte(len(caps)))
		o, err := ParseOpen(append(body, caps...))
		if got := -1; err != nil {
			if got = int(err.Subcode); got != c.sub || err.Code != CodeOpen {
				t.Errorf("%s: %v", c.name, err)
			}
		} else if c.sub != -1 || len(o.Capabilities.Unknown) != c.unknown || len(o.Capabilities.AddPath) > 0 {
			t.Errorf("%s: %+v", c.name, o)
		}
	}
}

func TestNotification(t *testing.T) {
	shutdown, err := ShutdownData("Wartung \u2014 back at 5\x1b[2J")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code, sub uint8
		data      []byte
		want      string
	}{
		{6, 2, shutdown, `Cease: administrative shutdown (6/2), "Wartung — back at 5\x1b[2J"`},
		{6, 2, []byte{0}, "Cease: administrative shutdown (6/2)"},
		{6, 4, nil, "Cease: administrative reset (6/4)"},
		{6, 2, []byte{9, 'a'}, "Cease: administrative shutdown (6/2), data 0961"},
		{6, 2, []byte{1, 0xff}, "Cease: administrative shutdown (6/2), data 01ff"},
		{6, 9, HardResetData(6, 2, shutdown), `Cease: hard reset (6/9), Cease: administrative shutdown (6/2), "Wartung — back at 5\x1b[2J"`},
		{6, 9, HardResetData(6, 9, []byte{6, 9}), "Cease: hard reset (6/9), data 06090609"},
		{6, 10, nil, "Cease: BFD down (6/10)"},
		{4, 0, nil, "hold timer expired (4/0)"},
		{8, 0, nil, "send hold timer expired (8/0)"},
		{2, 11, nil, "OPEN message error: role mismatch (2/11)"},
		{3, 10, []byte{1}, "UPDATE message error: invalid network field (3/10), data 01"},
		{3, 99, nil, "UPDATE message error: unknown subcode (3/99)"},
		{99, 0, bytes.Repeat([]byte{0xab}, 40), "unknown error (99/0), data " + strings.Repeat("ab", 32) + "… (40 bytes)"},
	} {
		b := AppendNotification(nil, c.code, c.sub, c.data)
		if typ, n, err := ParseHeader(b, MaxMsgLen); err != nil || typ != MsgNotification || n != len(b) {
			t.Fatalf("%x: %v", b, err)
		}
		n, err := ParseNotification(b[HeaderLen:])
		if err != nil || n.Code != c.code || n.Subcode != c.sub || !bytes.Equal(n.Data, c.data) || n.String() != c.want {
			t.Errorf("%s, want %s", n, c.want)
		}
	}
	if _, err := ParseNotification([]byte{6}); err == nil {
		t.Error("one byte is a NOTIFICATION")
	}
	if b := AppendNotification(nil, 6, 2, make([]byte, 5000)); len(b) != MaxMsgLen {
		t.Errorf("%d bytes", len(b))
	}
}

func TestShutdownData(t *testing.T) {
	if b, err := ShutdownData(strings.Repeat("x", 255)); err != nil || len(b) != 256 || b[0] != 255 {
		t.Error(err)
	}
	if b, err := ShutdownData(""); err != nil || b != nil {
		t.Errorf("%x %v", b, err)
	}
	for _, s := range []string{strings.Repeat("x", 256), "\xff"} {
		if _, err := ShutdownData(s); err == nil {
			t.Errorf("%q passes", s)
		}
	}
}

func TestRefresh(t *testing.T) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		for _, sub := range []uint8{RefreshRequest, RefreshBegin, RefreshEnd} {
			b := AppendRefresh(nil, f, sub)
			typ, n, err := ParseHeader(b, MaxMsgLen)
			if err != nil || typ != MsgRefresh || n != len(b) {
				t.Fatalf("%x: %v", b, err)
			}
			r, err := ParseRefresh(b[HeaderLen:])
			if got, ok := r.Family(); err != nil || !ok || got != f || r.Subtype != sub {
				t.Errorf("%+v %v", r, err)
			}
		}
	}
	_, err := ParseRefresh([]byte{0, 1, 0, 1, 9})
	if want := slices.Concat([]byte(marker), []byte{0, 24, MsgRefresh, 0, 1, 0, 1, 9}); err == nil || err.Code != 7 || err.Subcode != 1 || !bytes.Equal(err.Data, want) {
		t.Errorf("%v", err)
	}
}
