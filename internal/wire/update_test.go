package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/prefix"
)

// update builds the body of an UPDATE.
func update(withdrawn, attrs, nlri []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(withdrawn)))
	b = append(b, withdrawn...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(attrs)))
	return append(append(b, attrs...), nlri...)
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func nlri(prefixes ...string) (b []byte) {
	for _, s := range prefixes {
		b = AppendPrefix(b, prefix.MustParse(s))
	}
	return b
}

var both = [prefix.Families]bool{true, true}

const (
	hexOrigin  = "400101 00"
	hexPath    = "400206 0201 0000fde9"
	hexNextHop = "400304 0a000002"
	hexReach6  = "800e1b 0002 01 10 20010db8000000000000000000000001 00 2020010db8 00"
)

func TestSplitKeepsWhatItCan(t *testing.T) {
	body := update(nlri("10.0.0.0/8"), unhex(hexOrigin+hexReach6+hexPath), nil)
	var u Update
	if err := Split(body, &Options{AS4: true, Families: both}, &u); err != nil {
		t.Fatal(err)
	}
	routes, err := u.Reach.Decode(nil)
	if err != nil || len(routes) != 2 || routes[0].Prefix.String() != "2001:db8::/32" || routes[1].Prefix.String() != "::/0" {
		t.Errorf("reach %v %v", routes, err)
	}
	if got, want := u.Block(nil), unhex(hexOrigin+hexPath); !bytes.Equal(got, want) {
		t.Errorf("block %x, want %x", got, want)
	}
	if u.Suspect || u.Ignored || !u.HasReach || u.HasUnreach || len(u.ReachNextHop) != 16 {
		t.Errorf("%+v", u)
	}
}

func TestSplitIgnoresOtherFamilies(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
		body []byte
	}{
		{"IPv6", Options{Families: [2]bool{true, false}}, update(nil, unhex(hexReach6+"800f04 0002 01 00"), nil)},
		{"IPv4", Options{Families: [2]bool{false, true}}, update(nlri("10.0.0.0/8"), unhex(hexOrigin), nlri("11.0.0.0/8"))},
		{"VPN", Options{Families: both}, update(nil, unhex("800e06 0001 80 00 00 ff"), nil)},
	} {
		var u Update
		if err := Split(c.body, &c.o, &u); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if !u.Ignored || u.HasReach || u.HasUnreach || len(u.Announced.Data)+len(u.Withdrawn.Data) > 0 {
			t.Errorf("%s: %+v", c.name, u)
		}
		if _, ok := u.EndOfRIB(); ok {
			t.Errorf("%s: End-of-RIB", c.name)
		}
	}
}

// TestBlockAliases: nothing is copied where the rest is in one piece.
func TestBlockAliases(t *testing.T) {
	for _, c := range []struct {
		attrs, want string
		copied      bool
	}{
		{hexReach6 + hexOrigin + hexPath, hexOrigin + hexPath, false},
		{hexOrigin + hexPath + hexReach6, hexOrigin + hexPath, false},
		{hexOrigin + hexReach6 + hexPath, hexOrigin + hexPath, true},
		{hexOrigin + hexPath + hexNextHop + hexReach6, hexOrigin + hexPath, false},
		{hexReach6, "", false},
	} {
		body := update(nil, unhex(c.attrs), nil)
		var u Update
		if err := Split(body, &Options{AS4: true, Families: both}, &u); err != nil {
			t.Fatal(err)
		}
		scratch := make([]byte, 0, 100)
		b := u.Block(scratch)
		if !bytes.Equal(b, unhex(c.want)) {
			t.Errorf("%s: %x, want %s", c.attrs, b, c.want)
		}
		if copied := len(b) > 0 && &b[0] == &scratch[:1][0]; copied != c.copied {
			t.Errorf("%s: copied %v", c.attrs, copied)
		}
	}
}

func TestValidateChangesTheBlock(t *testing.T) {
	basic := hexOrigin + hexPath + hexNextHop
	ebgp, ibgp, two := Options{EBGP: true, AS4: true}, Options{AS4: true}, Options{EBGP: true}
	for _, c := range []struct {
		name        string
		o           Options
		attrs, want string
		action      Action
	}{
		{"nothing", ebgp, basic, basic, Accept},
		{"odd but fine: extended lengths, Partial, order", ebgp, "500300040a000002 6002060201 0000fde9 50010001 00", "500300040a000002 60020602010000fde9 5001000100", Accept},
		{"LOCAL_PREF", ebgp, basic + "400504 00000064", basic, AttributeDiscard},
		{"LOCAL_PREF inside", ibgp, basic + "400504 00000064", basic + "400504 00000064", Accept},
		{"the first of two", ebgp, basic + "800404 00000001 800404 00000002", basic + "800404 00000001", AttributeDiscard},
		{"unknown, transitive", ebgp, basic + "c0f002 aabb", basic + "c0f002 aabb", Accept},
		{"unused flag bits", ebgp, basic + "cff002 aabb" + "c2f101 00", basic + "c0f002 aabb" + "c0f101 00", Accept},
		{"unknown, not transitive", ebgp, basic + "80f002 aabb", basic, Accept},
		{"AIGP from outside", ebgp, basic + "801a0b 01000b 0000000000000001", basic, Accept},
		{"AIGP inside", ibgp, basic + "801a0b 01000b 0000000000000001", basic + "801a0b 01000b0000000000000001", Accept},
		{"large communities once", ebgp, basic + "c02024 000000020000000000000000 000000010000000000000000 000000020000000000000000",
			basic + "c02018 000000010000000000000000 000000020000000000000000", Accept},
		{"AS4_PATH where it may not be", ebgp, basic + "c01106 0201 00030d40", basic, AttributeDiscard},
		{"two-byte path", two, hexOrigin + "400206 0202 fde9 fdea" + hexNextHop, hexOrigin + "40020a 0202 0000fde9 0000fdea" + hexNextHop, Accept},
		{"AS4_PATH", two, hexOrigin + "400208 0203 fde9 5ba0 fdea" + hexNextHop + "c0110a 0202 00030d40 0000fdea",
			hexOrigin + "40020e 0203 0000fde9 00030d40 0000fdea" + hexNextHop, Accept},
		{"AS4_PATH longer than the path", two, hexOrigin + "400204 0201 fde9" + hexNextHop + "c0110a 0202 00030d40 0000fdea",
			hexOrigin + hexPath + hexNextHop, Accept},
		{"AS4_PATH with AS 0", two, hexOrigin + "400204 0201 fde9" + hexNextHop + "c01106 0201 00000000",
			hexOrigin + hexPath + hexNextHop, AttributeDiscard},
		{"AS4_AGGREGATOR", two, hexOrigin + "400204 0201 5ba0" + hexNextHop + "c00706 5ba0 0a000001 c01106 0201 00030d40 c01208 00030d40 0a000002",
			hexOrigin + "400206 0201 00030d40" + hexNextHop + "c00708 00030d40 0a000002", Accept},
		{"AS4_AGGREGATOR that is stale", two, hexOrigin + "400204 0201 5ba0" + hexNextHop + "c00706 0001 0a000001 c01106 0201 00030d40 c01208 00030d40 0a000002",
			hexOrigin + "400206 0201 00005ba0" + hexNextHop + "c00708 00000001 0a000001", Accept},
		{"AS4_AGGREGATOR alone", two, hexOrigin + "400204 0201 fde9" + hexNextHop + "c01208 00030d40 0a000002", hexOrigin + hexPath + hexNextHop, Accept},
	} {
		var u Update
		c.o.Families = both
		if err := Split(update(nil, unhex(c.attrs), nlri("192.0.2.0/24")), &c.o, &u); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		block, v := u.Validate(&c.o, false, nil)
		if !bytes.Equal(block, unhex(c.want)) || v.Action != c.action {
			t.Errorf("%s: %x, action %d (%s), want %x, action %d", c.name, block, v.Action, v.Why, unhex(c.want), c.action)
		}
	}
}

// TestVerdictIsOfTheWholeUpdate: what is wrong with the routes in one form
// withdraws those in the other (RFC 7606 section 2).
func TestVerdictIsOfTheWholeUpdate(t *testing.T) {
	o := Options{EBGP: true, AS4: true, Families: both}
	for _, c := range []struct {
		name, nextHop string
		want          Action
	}{{"good", hexNextHop, Accept}, {"bad", "400304 7f000001", TreatAsWithdraw}, {"missing", "", TreatAsWithdraw}} {
		var u Update
		if err := Split(update(nil, unhex(hexOrigin+hexPath+c.nextHop+hexReach6), nlri("192.0.2.0/24")), &o, &u); err != nil {
			t.Fatal(err)
		}
		for _, mp := range []bool{false, true} {
			block, v := u.Validate(&o, mp, nil)
			if v.Action != c.want || !u.Suspect {
				t.Errorf("%s, mp %v: %d %s, suspect %v", c.name, mp, v.Action, v.Why, u.Suspect)
			}
			if has := bytes.Contains(block, unhex(hexNextHop)); block != nil && has == mp {
				t.Errorf("%s, mp %v: %x", c.name, mp, block)
			}
		}
	}
}

func TestValidateTooLongForFourBytes(t *testing.T) {
	path := []byte{0x50, attrASPath, 0, 0}
	for range 120 {
		path = append(path, SegSequence, 255)
		path = append(path, bytes.Repeat([]byte{0xfd, 0xe9}, 255)...)
	}
	binary.BigEndian.PutUint16(path[2:], uint16(len(path)-4))
	o := Options{EBGP: true, ExtMsg: true, Families: both}
	var u Update
	if err := Split(update(nil, slices.Concat(unhex(hexOrigin+hexNextHop), path), nlri("192.0.2.0/24")), &o, &u); err != nil {
		t.Fatal(err)
	}
	if block, v := u.Validate(&o, false, nil); v.Action != TreatAsWithdraw || block != nil {
		t.Errorf("%d bytes, %+v", len(block), v)
	}
}

func TestDistinctLarge(t *testing.T) {
	var sorted, mixed []byte
	for i := range uint32(1000) {
		sorted = LargeCommunity{1, i, 0}.Append(sorted)
		mixed = LargeCommunity{1, (i * 7) % 1009, 0}.Append(mixed)
	}
	twice := append(slices.Clone(mixed), mixed[24:36]...)
	for name, c := range map[string]struct {
		list []byte
		want bool
	}{"sorted": {sorted, true}, "mixed": {mixed, true}, "twice": {twice, false}, "short": {slices.Concat(mixed[:48], mixed[12:24]), false}} {
		if distinctLarge(c.list) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
	if got := appendDistinctLarge(nil, twice); len(got) != len(mixed) || !distinctLarge(got) {
		t.Errorf("%d bytes", len(got))
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct {
		data    string
		f       prefix.Family
		addPath bool
		mp      bool
		sub     uint8
	}{
		{"21 0a000000 00", prefix.IPv4, false, false, 10},
		{"20 0a0000", prefix.IPv4, false, false, 10},
		{"00000001", prefix.IPv4, true, false, 10},
		{"0000", prefix.IPv4, true, true, 9},
		{"81 20010db8000000000000000000000000 00", prefix.IPv6, false, true, 9},
		{"20 2001", prefix.IPv6, false, true, 9},
	} {
		_, err := NLRI{Data: unhex(c.data), Family: c.f, AddPath: c.addPath, MP: c.mp}.Decode(nil)
		if err == nil || err.Code != 3 || err.Subcode != c.sub || err.Error() == "" {
			t.Errorf("%s: %v", c.data, err)
		}
	}
}

// TestDecode reads each length, with and without bytes behind it.
func TestDecode(t *testing.T) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		var b []byte
		var want []Route
		for round := range 2 {
			for bits := range int(f.MaxBits()) + 1 {
				p := prefix.New(f, ^uint64(0)>>round, ^uint64(0), uint8(bits))
				if f == prefix.IPv4 {
					p = prefix.New(f, uint64(0xffffffff>>round)<<32, 0, uint8(bits))
				}
				id := uint32(bits * 1e6)
				b = AppendPrefix(binary.BigEndian.AppendUint32(b, id), p)
				if bits%8 != 0 { // RFC 4271 section 4.3: what stands there does not matter
					b[len(b)-1] |= 1
				}
				want = append(want, Route{p, id})
				got, err := NLRI{Data: b[len(b)-int(bits+7)/8-5:], Family: f, AddPath: true}.Decode(nil)
				if err != nil || got[0] != want[len(want)-1] {
					t.Fatalf("%v %v, want %v", got, err, want[len(want)-1])
				}
			}
		}
		got, err := NLRI{Data: b, Family: f, AddPath: true}.Decode(nil)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%v: %v %v, want %v", f, got, err, want)
		}
	}
}

func TestAppendUpdate(t *testing.T) {
	nextHop := unhex("20010db8000000000000000000000001")
	attrs := unhex(hexOrigin + hexPath)
	for _, c := range []struct {
		name             string
		f                prefix.Family
		nextHop          []byte
		withdrawn, nlris []byte
	}{
		{"IPv4", prefix.IPv4, nil, nlri("10.0.0.0/8"), nlri("11.0.0.0/8", "0.0.0.0/0")},
		{"IPv4 over IPv6", prefix.IPv4, nextHop, nlri("10.0.0.0/8"), nlri("11.0.0.0/8")},
		{"IPv6", prefix.IPv6, nextHop, nlri("2001:db8:1::/48"), nlri("2001:db8:2::/48")},
		{"IPv6, many", prefix.IPv6, nextHop, nlri("2001:db8:1::/48"), bytes.Repeat(nlri("2001:db8:2::/48"), 100)},
		{"withdrawal", prefix.IPv6, nil, nlri("2001:db8:1::/48"), nil},
	} {
		a := attrs
		if c.nextHop == nil && len(c.nlris) > 0 {
			a = append(slices.Clone(attrs), unhex(hexNextHop)...)
		}
		if len(c.nlris) == 0 {
			a = nil
		}
		m := AppendUpdate([]byte("before"), c.f, c.withdrawn, a, c.nextHop, c.nlris)[6:]
		typ, n, err := ParseHeader(m, MaxMsgLen)
		if err != nil || typ != MsgUpdate || n != len(m) {
			t.Fatalf("%s: %d %d %v", c.name, typ, n, err)
		}
		o := Options{AS4: true, ExtNH: true, Families: both}
		var u Update
		if err := Split(m[HeaderLen:], &o, &u); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := append(slices.Clone(u.Announced.Data), u.Reach.Data...); !bytes.Equal(got, c.nlris) {
			t.Errorf("%s: announced %x", c.name, got)
		}
		if got := append(slices.Clone(u.Withdrawn.Data), u.Unreach.Data...); !bytes.Equal(got, c.withdrawn) {
			t.Errorf("%s: withdrawn %x", c.name, got)
		}
		if block, v := u.Validate(&o, u.HasReach, nil); v.Action != Accept || !bytes.Equal(block, a) || !bytes.Equal(u.ReachNextHop, c.nextHop) {
			t.Errorf("%s: %x %+v", c.name, block, v)
		}
	}
}

func TestEndOfRIB(t *testing.T) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		m := AppendEndOfRIB(nil, f)
		var u Update
		if err := Split(m[HeaderLen:], &Options{Families: both}, &u); err != nil {
			t.Fatal(err)
		}
		if got, ok := u.EndOfRIB(); !ok || got != f || len(m) != int(binary.BigEndian.Uint16(m[16:])) {
			t.Errorf("%v: %v %v", f, got, ok)
		}
	}
	for name, body := range map[string][]byte{
		"a withdrawal":               update(nil, unhex("800f08 0002 01 20 20010db8"), nil),
		"attributes":                 update(nil, unhex("800f03 0002 01"+hexOrigin), nil),
		"attributes without routes":  update(nil, unhex(hexOrigin), nil),
		"an IPv4 withdrawal":         update(nlri("10.0.0.0/8"), unhex("800f03 0002 01"), nil),
		"MP_REACH_NLRI of no routes": update(nil, unhex("800e15 0002 01 10 20010db8000000000000000000000001 00"), nil),
	} {
		var u Update
		if err := Split(body, &Options{Families: both}, &u); err != nil {
			t.Fatal(name, err)
		}
		if _, ok := u.EndOfRIB(); ok {
			t.Errorf("%s is End-of-RIB", name)
		}
	}
}

// TestOtherInPieces: attributes that are not known may stand between others.
func TestOtherInPieces(t *testing.T) {
	block := unhex("c0f001 01 c0f101 02" + hexOrigin + "c0f201 03" + hexPath + "c0f301 04")
	keep := slices.Clone(block)
	var a Attrs
	Parse(block, nil, &a)
	if want := unhex("c0f00101 c0f10102 c0f20103 c0f30104"); !bytes.Equal(a.Other, want) {
		t.Errorf("%x", a.Other)
	}
	if !bytes.Equal(block, keep) {
		t.Errorf("the block became %x", block)
	}
	if got, want := a.Append(nil, false), unhex(hexOrigin+hexPath+"c0f00101 c0f10102 c0f20103 c0f30104"); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

func TestAppendAS2(t *testing.T) {
	block := unhex(hexOrigin + "40020e 0203 0000fde9 00030d40 0000fdea" + hexNextHop + "e00708 00030d40 0a000002 c0f00101")
	var a Attrs
	Parse(block, nil, &a)
	want := unhex(hexOrigin + "400208 0203 fde9 5ba0 fdea" + hexNextHop + "e00706 5ba0 0a000002" +
		"c0110e 0203 0000fde9 00030d40 0000fdea" + "e01208 00030d40 0a000002 c0f00101")
	if got := a.AppendAS2(nil, false); !bytes.Equal(got, want) {
		t.Errorf("%x, want %x", got, want)
	}
	if got := a.Append(nil, false); !bytes.Equal(got, block) {
		t.Errorf("%x", got)
	}
}

func TestAIGPKeepsOtherTLVs(t *testing.T) {
	block := unhex("801a12 09000401 01000b 0000000000000007 020003")
	var a Attrs
	Parse(block, nil, &a)
	if a.Has&HasAIGP == 0 || a.AIGP != 7 {
		t.Fatalf("%+v", a)
	}
	a.AIGP = 8
	if got, want := a.Append(nil, false), unhex("801a12 01000b 0000000000000008 09000401 020003"); !bytes.Equal(got, want) {
		t.Errorf("%x", got)
	}
}

// TestOversizedBlock: what cannot be sent is longer than MaxBlock, and reading
// it does no harm.
func TestOversizedBlock(t *testing.T) {
	a := Attrs{Has: HasOrigin, Communities: make([]byte, 70000)}
	b := a.Append(nil, true)
	if len(b) <= MaxBlock {
		t.Errorf("%d bytes", len(b))
	}
	Parse(b, nil, &a)
}
