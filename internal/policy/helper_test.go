package policy

import (
	"encoding/binary"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// path encodes "65001 65002 {1 2}"; a segment of its own begins at |.
func path(text string) []byte {
	var out, seq []byte
	flush := func() {
		if len(seq) > 0 {
			out = append(append(out, wire.SegSequence, byte(len(seq)/4)), seq...)
			seq = nil
		}
	}
	set := false
	for _, word := range strings.Fields(strings.NewReplacer("{", " { ", "}", " } ", "|", " | ").Replace(text)) {
		switch word {
		case "{", "|":
			flush()
			set = word == "{"
			continue
		case "}":
			out = append(append(out, wire.SegSet, byte(len(seq)/4)), seq...)
			seq, set = nil, false
			continue
		}
		n, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			panic(err)
		}
		seq = binary.BigEndian.AppendUint32(seq, uint32(n))
		if !set && len(seq) == 255*4 {
			flush()
		}
	}
	flush()
	return out
}

func prefixes(t testing.TB, entries ...string) *PrefixSet {
	t.Helper()
	s := &PrefixSet{}
	for i, e := range entries {
		r, err := ParsePrefixRange(e)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(r, Pos{"test.hcl", i + 1, 3})
	}
	return s
}

func asns(t testing.TB, entries ...string) *ASSet {
	t.Helper()
	s := &ASSet{}
	for i, e := range entries {
		r, err := ParseASRange(e)
		if err != nil {
			t.Fatal(err)
		}
		s.Add(r, Pos{"test.hcl", i + 1, 3})
	}
	return s
}

func comms(t testing.TB, entries ...string) *CommunitySet {
	t.Helper()
	s := &CommunitySet{}
	for i, e := range entries {
		if err := s.Add(e, Pos{"test.hcl", i + 1, 3}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func patterns(t testing.TB, entries ...string) *ASPathSet {
	t.Helper()
	s := &ASPathSet{}
	for i, e := range entries {
		if err := s.Add(e, Pos{"test.hcl", i + 1, 3}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// attrs builds attributes from words: path=1,2 med=5 lp=200 origin=egp nh=ADDR
// and communities of any kind.
func attrs(t testing.TB, words ...string) *wire.Attrs {
	t.Helper()
	a := &wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(n)
	}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "path":
			a.ASPath = path(value)
		case "med":
			a.MED, a.Has = number(value), a.Has|wire.HasMED
		case "lp":
			a.LocalPref, a.Has = number(value), a.Has|wire.HasLocalPref
		case "origin":
			a.Origin = map[string]uint8{"igp": 0, "egp": 1, "incomplete": 2}[value]
		case "nh":
			for _, part := range strings.Split(value, ",") {
				a.NextHop = append(a.NextHop, netip.MustParseAddr(part).AsSlice()...)
			}
		case "ip6comm":
			a.IPv6Communities = make([]byte, 20)
		default:
			c, err := parseCommunity(w)
			if err != nil || len(c) != 1 || !c[0].exact() {
				t.Fatalf("bad word %q: %v", w, err)
			}
			to := []*[]byte{&a.Communities, &a.ExtCommunities, &a.LargeCommunities}[c[0].kind]
			*to = c[0].value.appendTo(*to, c[0].kind)
		}
	}
	return a
}

func mustCompile(t testing.TB, ctx Context, chain ...*Policy) *Program {
	t.Helper()
	if ctx.ASN == 0 {
		ctx.ASN = 64500
	}
	p, err := Compile(chain, ctx)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// one is a policy of a single rule with a single condition that accepts.
func one(c Condition) *Policy {
	return &Policy{Name: "one", Rules: []Rule{{Name: "r", Match: []Match{{Conditions: []Condition{c}}}, Then: Accept}}}
}

// actionPolicy changes everything and accepts.
func actionPolicy(set Actions) *Policy {
	return &Policy{Name: "act", Rules: []Rule{{Name: "r", Set: set, Then: Accept}}}
}

func mp(s string) prefix.Prefix { return prefix.MustParse(s) }

func ptr[T any](v T) *T { return &v }

// reads fills a set with the entries of a text file.
func reads[S interface{ Read(io.Reader, string) error }](s S, r io.Reader, file string) (S, error) {
	return s, s.Read(r, file)
}

func readPrefixes(r io.Reader, file string) (*PrefixSet, error) {
	return reads(&PrefixSet{Pos: Pos{File: file}}, r, file)
}

func readASNs(r io.Reader, file string) (*ASSet, error) {
	return reads(&ASSet{Pos: Pos{File: file}}, r, file)
}

func readCommunities(r io.Reader, file string) (*CommunitySet, error) {
	return reads(&CommunitySet{Pos: Pos{File: file}}, r, file)
}
