package wire

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"

	"holdfast/internal/prefix"
)

// bodies are the bodies of the vectors' messages of a type.
func bodies(f *testing.F, typ uint8) (all [][]byte) {
	for _, v := range readVectors(f) {
		if b, err := hex.DecodeString(v.Hex); err == nil && len(b) > HeaderLen && b[18] == typ {
			all = append(all, b[HeaderLen:])
		}
	}
	return all
}

// optionBits makes options of a number.
func optionBits(n uint8) Options {
	return Options{EBGP: n&1 != 0, AS4: n&2 == 0, Confed: n&4 != 0, ExtNH: n&8 != 0, ExtMsg: true,
		AddPath: [prefix.Families]bool{n&16 != 0, n&32 != 0}, Families: [prefix.Families]bool{n&64 == 0, n&128 == 0}}
}

// FuzzUpdate: nothing breaks the decoder, and what it accepts is canonical: it
// is accepted again as it stands, and can be written and read without loss.
func FuzzUpdate(f *testing.F) {
	for i, b := range bodies(f, MsgUpdate) {
		f.Add(uint8(i), b)
		f.Add(uint8(i&1), b)
	}
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		o := optionBits(n)
		var u Update
		if len(body) > MaxExtendedLen-HeaderLen || Split(body, &o, &u) != nil {
			return
		}
		u.EndOfRIB()
		var routes [4][]Route
		for i, l := range [4]NLRI{u.Withdrawn, u.Announced, u.Reach, u.Unreach} {
			var err *Error
			if routes[i], err = l.Decode(nil); err != nil {
				return
			}
			checkRoutes(t, l, routes[i])
		}
		raw := bytes.Clone(u.Block(nil))
		for _, mp := range []bool{false, true} {
			block, v := u.Validate(&o, mp, make([]byte, 0, 64))
			if (v.Action >= TreatAsWithdraw) != (block == nil) && len(raw) > 0 && len(block) > 0 ||
				(v.Action == Reset) != (v.Err != nil) || (v.Action == Accept) != (v.Why == "") {
				t.Fatalf("%+v with block %x", v, block)
			}
			if block == nil || mp && !u.HasReach || !mp && len(u.Announced.Data) == 0 {
				continue
			}
			var nextHop []byte
			if mp {
				nextHop = u.ReachNextHop
			}
			family := u.Reach.Family
			if !mp {
				family = prefix.IPv4
			}
			if len(routes[1])+len(routes[2]) > 0 {
				checkCanonical(t, o, family, block, nextHop)
			}
			checkRoundTrip(t, o, family, block, nextHop)
		}
		if !bytes.Equal(raw, u.Block(nil)) {
			t.Fatal("the message was written to")
		}
	})
}

// checkRoutes encodes routes again: the same but for bits behind lengths.
func checkRoutes(t *testing.T, l NLRI, routes []Route) {
	var b []byte
	for _, r := range routes {
		if r.Prefix != prefix.New(r.Prefix.Family, r.Prefix.Hi, r.Prefix.Lo, r.Prefix.Bits) {
			t.Fatalf("%+v has bits behind its length", r)
		}
		if l.AddPath {
			b = append(b, byte(r.PathID>>24), byte(r.PathID>>16), byte(r.PathID>>8), byte(r.PathID))
		}
		b = AppendPrefix(b, r.Prefix)
	}
	again, err := NLRI{Data: b, Family: l.Family, AddPath: l.AddPath}.Decode(nil)
	if err != nil || len(b) != len(l.Data) || !reflect.DeepEqual(again, routes) {
		t.Fatalf("%x became %x", l.Data, b)
	}
}

// checkCanonical: a block that is known needs no second look.
func checkCanonical(t *testing.T, o Options, f prefix.Family, block, nextHop []byte) {
	o.AS4, o.Families, o.AddPath = true, both, [prefix.Families]bool{}
	m := AppendUpdate(nil, f, nil, block, nextHop, []byte{0})
	if len(m) > MaxExtendedLen {
		return
	}
	var u Update
	if err := Split(m[HeaderLen:], &o, &u); err != nil {
		t.Fatal(err)
	}
	again, v := u.Validate(&o, nextHop != nil, nil)
	if v.Action != Accept || !bytes.Equal(again, block) || !bytes.Equal(u.Block(nil), block) || u.Suspect && nextHop == nil {
		t.Fatalf("%x became %x, %+v", block, again, v)
	}
}

func checkRoundTrip(t *testing.T, o Options, f prefix.Family, block, nextHop []byte) {
	mp := nextHop != nil
	var a, b, c Attrs
	Parse(block, nextHop, &a)
	out := a.Append(nil, mp)
	Parse(out, nextHop, &b)
	if !reflect.DeepEqual(describe(&a, mp), describe(&b, mp)) || a.Has != b.Has || a.partial != b.partial {
		t.Fatalf("%+v became %+v", a, b)
	}
	if again := b.Append(nil, mp); !bytes.Equal(again, out) {
		t.Fatalf("%x became %x", out, again)
	}
	if !hasConfed(a.ASPath, 4) && len(out) > 0 {
		m := AppendUpdate(nil, f, nil, a.AppendAS2(nil, mp), nextHop, []byte{0})
		if len(m) > MaxExtendedLen {
			return
		}
		o.AS4, o.Families, o.AddPath = false, both, [prefix.Families]bool{}
		var u Update
		if err := Split(m[HeaderLen:], &o, &u); err != nil {
			t.Fatal(err)
		}
		block2, v := u.Validate(&o, mp, nil)
		if v.Action != Accept && a.Has&(HasOrigin|HasASPath) == HasOrigin|HasASPath {
			t.Fatalf("two-byte form of %x: %+v", block, v)
		}
		Parse(block2, nextHop, &c)
		if block2 != nil && !reflect.DeepEqual(describe(&a, mp), describe(&c, mp)) {
			t.Fatalf("%v in two-byte form became %v", describe(&a, mp), describe(&c, mp))
		}
	}
}

// FuzzParse: blocks are trusted, but even broken ones break nothing.
func FuzzParse(f *testing.F) {
	for _, b := range bodies(f, MsgUpdate) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		var a, b Attrs
		Parse(block, nil, &a)
		PathLen(a.ASPath)
		FirstAS(a.ASPath)
		OriginAS(a.ASPath)
		PathContains(a.ASPath, 1)
		PathText(a.ASPath)
		Prepend(nil, nil, 1, 3)
		out := a.Append(nil, false)
		a.AppendAS2(nil, false)
		Parse(out, nil, &b)
		if again := b.Append(nil, false); !bytes.Equal(out, again) {
			t.Fatalf("%x became %x", out, again)
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, b := range bodies(f, MsgOpen) {
		f.Add(b)
	}
	full := fullOpen()
	f.Add(AppendOpen(nil, &full)[HeaderLen:])
	f.Fuzz(func(t *testing.T, body []byte) {
		o, err := ParseOpen(body)
		if err != nil {
			return
		}
		c := &o.Capabilities
		// Lists that came in several capabilities leave in one, as far as they fit.
		if len(c.AddPath) > 63 || len(c.ExtendedNextHops) > 42 || len(c.Hostname) > 64 || len(c.Domain) > 64 {
			return
		}
		b := AppendOpen(nil, &o)
		again, err := ParseOpen(b[HeaderLen:])
		if err != nil || !reflect.DeepEqual(o, again) {
			t.Fatalf("%+v became %+v: %v", o, again, err)
		}
	})
}

func FuzzNotification(f *testing.F) {
	for _, b := range bodies(f, MsgNotification) {
		f.Add(b)
	}
	f.Add(append([]byte{6, 9, 6, 2, 3}, "abc"...))
	f.Fuzz(func(t *testing.T, body []byte) {
		n, err := ParseNotification(body)
		if err != nil {
			return
		}
		if text := n.String(); bytes.ContainsAny([]byte(text), "\n\x1b\x00") {
			t.Fatalf("%q", text)
		}
		b := AppendNotification(nil, n.Code, n.Subcode, n.Data)
		if len(body) <= MaxMsgLen-HeaderLen && !bytes.Equal(b[HeaderLen:], body) {
			t.Fatalf("%x became %x", body, b)
		}
	})
}

func FuzzRefresh(f *testing.F) {
	for _, b := range bodies(f, MsgRefresh) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := ParseRefresh(body)
		if (err == nil) != (len(body) == 4) {
			t.Fatalf("%x: %v", body, err)
		}
		if f, ok := r.Family(); ok && err == nil && !bytes.Equal(AppendRefresh(nil, f, r.Subtype)[HeaderLen:], body) {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add(AppendKeepalive(nil), true)
	f.Fuzz(func(t *testing.T, b []byte, extended bool) {
		if len(b) < HeaderLen {
			return
		}
		limit := MaxMsgLen
		if extended {
			limit = MaxExtendedLen
		}
		if typ, n, err := ParseHeader(b, limit); err == nil && (n < HeaderLen || n > limit || typ < MsgOpen || typ > MsgRefresh) {
			t.Fatalf("%d %d", typ, n)
		}
	})
}

func FuzzTexts(f *testing.F) {
	for _, s := range []string{"65001 {1,2} (3 4) [5,6]", "65000:1", "1:2:3", "rt:1:2", "soo:192.0.2.1:3", "0x0002fde800000064", "no-export"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if p, err := ParsePath(s); err == nil {
			if again, err := ParsePath(PathText(p)); err != nil || !bytes.Equal(p, again) {
				t.Fatalf("%q: %x, %x", s, p, again)
			}
		}
		if c, err := ParseCommunity(s); err == nil {
			if again, err := ParseCommunity(CommunityText(c)); err != nil || c != again {
				t.Fatalf("%q: %x, %x", s, c, again)
			}
		}
		if c, err := ParseLargeCommunity(s); err == nil {
			if again, err := ParseLargeCommunity(c.String()); err != nil || c != again {
				t.Fatalf("%q: %v, %v", s, c, again)
			}
		}
		if c, err := ParseExtCommunity(s); err == nil {
			if again, err := ParseExtCommunity(c.String()); err != nil || c != again {
				t.Fatalf("%q: %v, %v", s, c, again)
			}
		}
	})
}
