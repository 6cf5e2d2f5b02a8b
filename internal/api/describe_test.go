package api

import (
	"encoding/hex"
	"strings"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// agreed is how the UPDATEs of these tests are to be read.
var agreed = &wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true, true}, AddPath: [prefix.Families]bool{false, true}}

func update(f prefix.Family, a *wire.Attrs, withdrawn, nlri string) []byte {
	list := func(s string) (b []byte) {
		for _, p := range strings.Fields(s) {
			if f == prefix.IPv6 {
				b = append(b, 0, 0, 0, 9) // a path ID
			}
			b = wire.AppendPrefix(b, prefix.MustParse(p))
		}
		return b
	}
	if a == nil {
		return wire.AppendUpdate(nil, f, list(withdrawn), nil, nil, nil)
	}
	if f == prefix.IPv4 {
		return wire.AppendUpdate(nil, f, list(withdrawn), a.Append(nil, false), nil, list(nlri))
	}
	return wire.AppendUpdate(nil, f, list(withdrawn), a.Append(nil, true), a.NextHop, list(nlri))
}

func TestDescribeMessage(t *testing.T) {
	path, err := wire.ParsePath("64601 3356 {64512,64513}")
	if err != nil {
		t.Fatal(err)
	}
	full := &wire.Attrs{
		Has:    wire.HasOrigin | wire.HasASPath | wire.HasMED | wire.HasAtomicAggregate | wire.HasAggregator | wire.HasOTC,
		ASPath: path, NextHop: []byte{192, 0, 2, 9}, MED: 5, OTC: 64601, AggregatorAS: 64601, AggregatorID: 0xc0000201,
		Communities: []byte{0xff, 0xff, 2, 0x9a, 0xfc, 0x59, 0, 20}, LargeCommunities: []byte{0, 0, 0xfb, 0xf4, 0, 0, 0, 1, 0, 0, 0, 2},
		ExtCommunities: []byte{0, 2, 0xfb, 0xf4, 0, 0, 0, 100}, Other: []byte{0xc0, 99, 2, 0xab, 0xcd},
	}
	six := &wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: append(prefix6("2001:db8::9"), prefix6("fe80::9")...)}
	open := wire.AppendOpen(nil, &wire.Open{ASN: 4200000001, HoldTime: 90, ID: 0xc0000201, Capabilities: wire.Capabilities{
		Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4)}, RouteRefresh: true, AS4: true, HasRole: true, Role: wire.RoleCustomer}})
	badOpen := append([]byte(nil), open...)
	badOpen[19] = 3
	lost := update(prefix.IPv4, &wire.Attrs{Has: wire.HasOrigin, NextHop: []byte{192, 0, 2, 9}}, "", "10.0.0.0/8")
	for _, c := range []struct {
		msg  []byte
		want string
	}{
		{wire.AppendKeepalive(nil), "KEEPALIVE"},
		{open, "OPEN\nversion 4, AS 4200000001, hold time 90 s, router ID 192.0.2.1\ncapability multiprotocol: ipv4\ncapability route refresh\ncapability role: customer\ncapability four-octet AS number: 4200000001"},
		{badOpen, "OPEN\nversion 3, AS 0, hold time 0 s, router ID 0.0.0.0\ncapability multiprotocol: ipv4\ncapability route refresh\ncapability role: customer\ncapability four-octet AS number: 4200000001\nmalformed: OPEN has BGP version 3 (2/1)\n"},
		{wire.AppendNotification(nil, 6, 2, append([]byte{5}, "works"...)), "NOTIFICATION\nCease: administrative shutdown (6/2), \"works\""},
		{wire.AppendRefresh(nil, prefix.IPv6, wire.RefreshRequest), "ROUTE-REFRESH\nasks for all routes of ipv6"},
		{wire.AppendRefresh(nil, prefix.IPv6, wire.RefreshEnd), "ROUTE-REFRESH\nhas sent all routes of ipv6"},
		{wire.AppendEndOfRIB(nil, prefix.IPv6), "UPDATE\nEnd-of-RIB ipv6"},
		{update(prefix.IPv4, nil, "10.0.0.0/8 10.1.0.0/16", ""), "UPDATE\nwithdraws 10.0.0.0/8, 10.1.0.0/16"},
		{update(prefix.IPv4, full, "10.2.0.0/16", "10.0.0.0/8 10.1.0.0/16"), `UPDATE
withdraws 10.2.0.0/16
announces 10.0.0.0/8, 10.1.0.0/16
origin igp, path 64601 3356 {64512,64513}, next hop 192.0.2.9, MED 5, atomic aggregate, aggregator AS 64601 192.0.2.1, only to customer 64601
communities blackhole, 64601:20
large communities 64500:1:2
extended communities rt:64500:100
attribute 99, flags c0, 2 bytes: abcd`},
		{update(prefix.IPv6, six, "", "2001:db8::/32"), "UPDATE\nannounces 2001:db8::/32 #9\norigin igp, path (empty), next hop 2001:db8::9, and fe80::9"},
		{lost, "UPDATE\nannounces 10.0.0.0/8\ntreated as withdrawn (RFC 7606): "},
		{append(wire.AppendHeader(nil, wire.MsgUpdate)[:19], 0, 9, 0, 0)[:23], "\nno message: "},
		{finished(wire.MsgUpdate, 0, 9, 0, 0), "UPDATE\nmalformed: the withdrawn routes' length 9 overruns the UPDATE (3/1)\n4 bytes: 00090000"},
		{finished(wire.MsgRefresh, 0, 1), "\nno message: "},
	} {
		name, text := DescribeMessage(c.msg, agreed)
		got := strings.Join(append([]string{name}, text...), "\n")
		if got != c.want && !((strings.HasSuffix(c.want, ": ") || strings.HasSuffix(c.want, "\n")) && strings.HasPrefix(got, c.want)) {
			t.Errorf("%x is\n%s\nwant\n%s", c.msg, got, c.want)
		}
	}
	if _, text := DescribeMessage(update(prefix.IPv4, full, "", "10.0.0.0/8"), nil); !strings.Contains(strings.Join(text, "\n"), "announces 10.0.0.0/8") {
		t.Errorf("before the session it is %q", text)
	}
}

func prefix6(s string) []byte { b := prefix.MustParse(s + "/128").Netip().Addr().As16(); return b[:] }

func finished(typ uint8, body ...byte) []byte {
	b := append(wire.AppendHeader(nil, typ), body...)
	wire.Finish(b, 0)
	return b
}

// FuzzDescribeMessage: whatever comes, it is described in printable lines.
func FuzzDescribeMessage(f *testing.F) {
	for _, s := range []string{
		"ffffffffffffffffffffffffffffffff001304", "ffffffffffffffffffffffffffffffff0015030602",
		"ffffffffffffffffffffffffffffffff001d0104fde9005ac000020100", "ffffffffffffffffffffffffffffffff003a020000001f4001010040020a02020000fc5900000d1c400304c0000209c00804fc59001418c63364",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, msg []byte, known bool) {
		o := agreed
		if !known {
			o = nil
		}
		_, text := DescribeMessage(msg, o)
		for _, line := range text {
			if line == "" || line != Printable(line) {
				t.Errorf("%x: line %q", msg, line)
			}
		}
	})
}
