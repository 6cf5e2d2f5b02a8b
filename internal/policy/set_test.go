package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"holdfast/internal/prefix"
)

func TestParsePrefixRange(t *testing.T) {
	for _, c := range []struct {
		text   string
		ge, le uint8
		back   string // "" for the same
	}{
		{"192.0.2.0/24", 24, 24, ""},
		{"192.0.2.0/24 le 28", 24, 28, ""},
		{"192.0.2.0/24 ge 26", 26, 32, ""},
		{"192.0.2.0/24 ge 25 le 28", 25, 28, ""},
		{"192.0.2.0/24  ge  25\tle 28", 25, 28, "192.0.2.0/24 ge 25 le 28"},
		{"192.0.2.0/24 ge 24", 24, 32, "192.0.2.0/24 le 32"},
		{"192.0.2.0/24 ge 24 le 24", 24, 24, "192.0.2.0/24"},
		{"0.0.0.0/0", 0, 0, ""},
		{"0.0.0.0/0 le 24", 0, 24, ""},
		{"2001:db8::/32 ge 48 le 64", 48, 64, ""},
		{"::/0 ge 1", 1, 128, ""},
	} {
		r, err := ParsePrefixRange(c.text)
		if err != nil || r.Ge != c.ge || r.Le != c.le {
			t.Errorf("%q: got %v, %v", c.text, r, err)
			continue
		}
		if c.back == "" {
			c.back = c.text
		}
		if r.String() != c.back {
			t.Errorf("%q prints as %q", c.text, r)
		}
		if again, err := ParsePrefixRange(r.String()); err != nil || again != r {
			t.Errorf("%q reads back as %v, %v", r, again, err)
		}
	}
	for _, bad := range []string{"", "x", "192.0.2.1/24", "192.0.2.0/24 ", "192.0.2.0/24 le", "192.0.2.0/24 le 33",
		"192.0.2.0/24 le 23", "192.0.2.0/24 ge 23", "192.0.2.0/24 ge 28 le 26", "192.0.2.0/24 le 28 ge 26",
		"192.0.2.0/24 or 3", "192.0.2.0/24 ge 25 le 28 x", "2001:db8::/32 le 129", "192.0.2.0/24+", "192.0.2.0/24 ge -1",
		"192.0.2.0/24 ge 025", "192.0.2.0"} {
		if r, err := ParsePrefixRange(bad); err == nil {
			t.Errorf("%q is read as %v", bad, r)
		}
	}
}

// genPrefix draws from few bits, so that blocks and routes often meet.
func genPrefix(t *rapid.T, label string) prefix.Prefix {
	f := prefix.Family(rapid.IntRange(0, 1).Draw(t, label+" family"))
	top := rapid.SampledFrom([]uint8{0, 1, 3, 8, 16, 24, 31, 32}).Draw(t, label+" length")
	if f == prefix.IPv6 {
		top *= rapid.SampledFrom([]uint8{1, 2, 4}).Draw(t, label+" scale")
	}
	bits := rapid.SampledFrom([]uint64{0, 1 << 63, 0xc000020000000000, 0xc000020100000000, 0xffffffff00000000, 0x20010db800000000}).Draw(t, label+" bits")
	lo := uint64(0)
	if f == prefix.IPv6 {
		lo = rapid.SampledFrom([]uint64{0, 1, 1 << 63, ^uint64(0)}).Draw(t, label+" low")
	}
	return prefix.New(f, bits, lo, top)
}

func genEntry(t *rapid.T) PrefixRange {
	p := genPrefix(t, "entry")
	r := PrefixRange{p, p.Bits, p.Bits}
	if rapid.Bool().Draw(t, "ranged") {
		r.Ge = uint8(rapid.IntRange(int(p.Bits), int(p.Family.MaxBits())).Draw(t, "ge"))
		r.Le = uint8(rapid.IntRange(int(r.Ge), int(p.Family.MaxBits())).Draw(t, "le"))
	}
	return r
}

func TestPrefixSetAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		entries := rapid.SliceOfN(rapid.Custom(genEntry), 0, 40).Draw(t, "entries")
		s := &PrefixSet{}
		for i, e := range entries {
			s.Add(e, Pos{fmt.Sprint("file", i%3), i + 1, i % 5})
		}
		for range 50 {
			x := genPrefix(t, "route")
			first := slices.IndexFunc(entries, func(e PrefixRange) bool { return e.Contains(x) })
			if got := s.Contains(x); got != (first >= 0) {
				t.Fatalf("Contains(%v) = %v", x, got)
			}
			e, pos, ok := s.Find(x)
			if ok != (first >= 0) || ok && !e.Contains(x) {
				t.Fatalf("Find(%v) = %v, %v", x, e, ok)
			}
			if ok && (entries[pos.Line-1] != e || pos.File != fmt.Sprint("file", (pos.Line-1)%3) || pos.Column != (pos.Line-1)%5) {
				t.Fatalf("Find(%v) = %v at %v", x, e, pos)
			}
		}
		// Order, repetition and names do not matter to what a set is.
		other := &PrefixSet{Name: "other"}
		for _, e := range slices.Backward(entries) {
			other.Add(e, Pos{})
			other.Add(e, Pos{Line: 7})
		}
		s.close()
		other.close()
		if s.digest != other.digest {
			t.Fatal("equal sets have different digests")
		}
		more := &PrefixSet{}
		extra := genEntry(t)
		for _, e := range append(entries, extra) {
			more.Add(e, Pos{})
		}
		more.close()
		if (more.digest == s.digest) != slices.Contains(entries, extra) {
			t.Fatalf("digest with %v", extra)
		}
		if other.Len() != 2*len(entries) {
			t.Fatalf("%d entries", other.Len())
		}
	})
}

func TestReaders(t *testing.T) {
	s, err := readPrefixes(strings.NewReader("# ours\n203.0.113.0/24 # one\r\n\n  198.51.100.0/22 le 24\n2001:db8::/32"), "list.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r, pos := range s.All() {
		got = append(got, pos.String()+" "+r.String())
	}
	want := []string{"list.txt:2 203.0.113.0/24", "list.txt:4 198.51.100.0/22 le 24", "list.txt:5 2001:db8::/32"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	a, err := readASNs(strings.NewReader("64500\nAS64501 - AS64510\n1.10\n"), "as.txt")
	if err != nil || a.Len() != 3 || !a.Contains(64505) || !a.Contains(65546) || a.Contains(64511) {
		t.Errorf("AS set: %v %v", a, err)
	}
	if r, pos, ok := a.Find(64510); !ok || pos.Line != 2 || r != (Range{64501, 64510}) {
		t.Errorf("Find: %v %v %v", r, pos, ok)
	}
	c, err := readCommunities(strings.NewReader("no-export\n64500:*\n"), "c.txt")
	if err != nil || c.Len() != 2 {
		t.Errorf("communities: %v %v", c, err)
	}
	p := &ASPathSet{}
	if err := p.Read(strings.NewReader("64500 .*\n^$ # local\n"), "p.txt"); err != nil || p.Len() != 2 {
		t.Errorf("patterns: %v", err)
	}
}

func TestReaderErrors(t *testing.T) {
	prefixes := func(s string) error { _, err := readPrefixes(strings.NewReader(s), "f"); return err }
	asns := func(s string) error { _, err := readASNs(strings.NewReader(s), "f"); return err }
	communities := func(s string) error { _, err := readCommunities(strings.NewReader(s), "f"); return err }
	for _, c := range []struct {
		read       func(string) error
		text, want string
	}{
		{prefixes, "10.0.0.0/8\n\n10.0.0.1/8\n", "f:3: 10.0.0.1/8 has bits set behind its length: write 10.0.0.0/8"},
		{prefixes, "10.0.0.0/8 ge 4", `f:1: "10.0.0.0/8 ge 4": ge 4 is shorter than the prefix itself`},
		{prefixes, strings.Repeat("x", 5000), "f:1: a line longer than 4096 bytes: is this a text file with one entry a line?"},
		{prefixes, "10.0.0.0/8\n" + strings.Repeat("\x00", 100000), "f:2: a line longer than 4096 bytes: is this a text file with one entry a line?"},
		{asns, "1\n4294967296", `f:2: "4294967296" is not an AS number like 64500`},
		{asns, "5-3", `f:1: "5-3" is empty: its end is before its beginning`},
		{asns, "AS", `f:1: "AS" is not an AS number like 64500`},
		{communities, "1:2\n70000:1", `f:2: "70000:1" does not fit a standard community, whose numbers end at 65535: use a large one like 70000:1:0`},
		{communities, "1:2:3:4", `f:1: "1:2:3:4" is not a community like 64500:100, 64500:1:2, rt:64500:100 or no-export (numbers may be *)`},
	} {
		err := c.read(c.text)
		var at *Error
		if err == nil || err.Error() != c.want || !errors.As(err, &at) || at.Pos.File != "f" {
			t.Errorf("%.20q: got %v\nwant %s", c.text, err, c.want)
		}
	}
	broken := fmt.Errorf("disk on fire")
	if _, err := readPrefixes(failing{broken}, "f"); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestSetInUse(t *testing.T) {
	for name, add := range map[string]func(){
		"prefix":    func() { s := prefixes(t, "10.0.0.0/8"); s.Contains(mp("10.0.0.0/8")); s.Add(PrefixRange{}, Pos{}) },
		"as":        func() { s := asns(t); s.Contains(1); s.Add(Range{1, 1}, Pos{}) },
		"community": func() { s := comms(t); s.close(); _ = s.Add("1:1", Pos{}) },
	} {
		func() {
			defer func() {
				if r, _ := recover().(string); !strings.HasPrefix(r, "BUG: ") {
					t.Errorf("%s: adding to a set in use: %v", name, r)
				}
			}()
			add()
		}()
	}
}

func TestSizes(t *testing.T) {
	if n := unsafe.Sizeof(entry4{}); n != 16 {
		t.Errorf("an IPv4 entry has %d bytes", n)
	}
	if n := unsafe.Sizeof(entry6{}); n != 32 {
		t.Errorf("an IPv6 entry has %d bytes", n)
	}
}

func TestParseCommunity(t *testing.T) {
	for _, c := range []struct {
		text string
		kind communityKind
		want community
	}{
		{"64500:100", standard, community{64500<<16 | 100}},
		{"0:0", standard, community{0}},
		{"no-export", standard, community{0xffffff01}},
		{"NO_ADVERTISE", standard, community{0xffffff02}},
		{"no-export-subconfed", standard, community{0xffffff03}},
		{"no-peer", standard, community{0xffffff04}},
		{"blackhole", standard, community{0xffff029a}},
		{"graceful-shutdown", standard, community{0xffff0000}},
		{"accept-own", standard, community{0xffff0001}},
		{"llgr-stale", standard, community{0xffff0006}},
		{"no-llgr", standard, community{0xffff0007}},
		{"4200000000:1:2", large, community{4200000000, 1, 2}},
		{"rt:64500:70000", extended, community{0x0002<<16 | 64500, 70000}},
		{"RT:70000:1", extended, community{0x0202<<16 | 1, 4464<<16 | 1}},
		{"rt:192.0.2.1:7", extended, community{0x0102<<16 | 0xc000, 0x0201<<16 | 7}},
		{"soo:64500:1", extended, community{0x0003<<16 | 64500, 1}},
		{"0x0002fde800000064", extended, community{0x0002fde8, 0x64}},
	} {
		got, err := parseCommunity(c.text)
		if err != nil || len(got) != 1 || got[0].kind != c.kind || got[0].value != c.want || !got[0].exact() {
			t.Errorf("%q: %v, %v", c.text, got, err)
			continue
		}
		back := communityString(c.kind, c.want.appendTo(nil, c.kind))
		if again, err := parseCommunity(back); err != nil || again[0] != got[0] {
			t.Errorf("%q prints as %q, %v", c.text, back, err)
		}
	}
	for _, bad := range []string{"", "1", "1:", ":1", "1:2:3:4", "65536:1", "1:65536", "a:b", "1:-2", "1:+2", "01:2", "rt:1", "rt:1:2:3",
		"rt:70000:70000", "rt:192.0.2.1:65536", "rt:x:1", "rt:1:x", "0x12", "0xzzzzzzzzzzzzzzzz", "no-such", "1:2:4294967296", "* : *", "rt:2001:db8::1:5"} {
		if _, err := parseCommunity(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestCommunityWildcards(t *testing.T) {
	for _, c := range []struct{ pattern, yes, no string }{
		{"64500:*", "64500:7", "64501:7"},
		{"*:666", "1:666", "666:1"},
		{"*:*", "1:1", "1:1:1"},
		{"64500:1:*", "64500:1:9", "64500:2:9"},
		{"64500:*:9", "64500:3:9", "64500:3:8"},
		{"*:*:*", "4000000000:3:9", "1:1"},
		{"rt:64500:*", "rt:64500:70000", "soo:64500:1"},
		{"rt:*:7", "rt:64500:7", "rt:64500:8"},
		{"rt:*:7", "rt:70000:7", "rt:70000:8"},
		{"rt:*:7", "rt:192.0.2.1:7", "soo:192.0.2.1:7"},
		{"rt:*:70000", "rt:1:70000", "rt:1:4464"},
		{"soo:*:*", "soo:1.2.3.4:5", "rt:1.2.3.4:5"},
		{"rt:192.0.2.1:*", "rt:192.0.2.1:5", "rt:192.0.2.2:5"},
		{"rt:70000:*", "rt:70000:5", "rt:4464:5"},
		{"no-export", "65535:65281", "65535:65282"},
	} {
		s := comms(t, c.pattern)
		s.close()
		has := func(text string) bool {
			a := attrs(t, text)
			return s.any(standard, a.Communities) || s.any(extended, a.ExtCommunities) || s.any(large, a.LargeCommunities)
		}
		if !has(c.yes) || has(c.no) {
			t.Errorf("%s: %s is %v, %s is %v", c.pattern, c.yes, has(c.yes), c.no, has(c.no))
		}
	}
}

// text makes the lines of a set file.
func text(n int, line func(b *bytes.Buffer, i int)) []byte {
	var b bytes.Buffer
	for i := range n {
		line(&b, i)
	}
	return b.Bytes()
}
