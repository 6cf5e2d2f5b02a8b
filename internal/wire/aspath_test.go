package wire

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func path(t testing.TB, s string) []byte {
	t.Helper()
	p, err := ParsePath(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPath(t *testing.T) {
	for _, c := range []struct {
		text          string
		length        int
		first, origin uint32 // 0: none
		has65001      int
	}{
		{"", 0, 0, 0, 0},
		{"65001", 1, 65001, 65001, 1},
		{"65001 65001 4200000000", 3, 65001, 4200000000, 2},
		{"65002 {65001,3}", 2, 65002, 0, 1},
		{"{65001,3} 65002", 2, 0, 65002, 1},
		{"(65001 65002) [7,8] 65003 65001", 2, 65003, 65001, 2},
		{"65003 (65001)", 1, 65003, 0, 1},
		{"{1} {2}", 2, 0, 0, 0},
	} {
		p := path(t, c.text)
		if got := PathText(p); got != c.text {
			t.Errorf("%q became %q", c.text, got)
		}
		first, ok1 := FirstAS(p)
		origin, ok2 := OriginAS(p)
		if PathLen(p) != c.length || first != c.first || ok1 != (c.first != 0) || origin != c.origin ||
			ok2 != (c.origin != 0) || PathContains(p, 65001) != c.has65001 {
			t.Errorf("%q: length %d, first %d, origin %d, contains %d", c.text, PathLen(p), first, origin, PathContains(p, 65001))
		}
	}
}

func TestParsePathErrors(t *testing.T) {
	for _, s := range []string{"0", "x", "4294967296", "{1", "{}", "1 }", "(1", "1,2", "-1", "{1,x}"} {
		if p, err := ParsePath(s); err == nil {
			t.Errorf("%q is %x", s, p)
		}
	}
}

func TestPathIter(t *testing.T) {
	type step struct {
		asn   uint32
		typ   uint8
		first bool
	}
	var got []step
	for it := Path(path(t, "1 2 {3,4} {5}")); it.Next(); {
		got = append(got, step{it.ASN, it.Type, it.First})
	}
	want := []step{{1, SegSequence, true}, {2, SegSequence, false}, {3, SegSet, true}, {4, SegSet, false}, {5, SegSet, true}}
	if !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	cut := Path([]byte{SegSequence, 2, 0, 0, 0, 1})
	if cut.Next() {
		t.Error("a segment that is cut off has an AS number")
	}
}

// TestPrepend: the path reads as expected, in as few segments as possible.
func TestPrepend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tail := rapid.SampledFrom([]string{"", "{1,2}", "(9) 7"}).Draw(t, "tail")
		have := rapid.IntRange(0, 600).Draw(t, "have")
		n := rapid.IntRange(0, 600).Draw(t, "n")
		before := strings.TrimSpace(strings.Repeat("5 ", have) + tail)
		p, err := ParsePath(before)
		if err != nil {
			t.Fatal(err)
		}
		dst := Prepend([]byte("x"), p, 6, n)
		if got, want := PathText(dst[1:]), strings.TrimSpace(strings.Repeat("6 ", n)+before); got != want || dst[0] != 'x' {
			t.Fatalf("%q, want %q", got, want)
		}
		if why := checkPath(dst[1:], 4); why != "" {
			t.Fatal(why)
		}
		if segments(dst[1:]) > segments(p)+(n+254)/255 {
			t.Fatalf("%d segments from %d and %d times", segments(dst[1:]), segments(p), n)
		}
	})
}

func segments(p []byte) (n int) {
	for {
		_, _, rest, ok := NextSegment(p)
		if !ok {
			return n
		}
		n++
		p = rest
	}
}

// TestMergePath has RFC 6793 section 4.2.3 in examples.
func TestMergePath(t *testing.T) {
	for _, c := range []struct{ path2, path4, want string }{
		{"1 2 3", "", "1 2 3"},
		{"1 23456 3", "70000 3", "1 70000 3"},
		{"23456 3", "70000 70001 3", "23456 3"},
		{"1 {2,3} 23456", "70000", "1 {2,3} 70000"},
		{"1 {2,3} 23456", "{70001} 70000", "1 {70001} 70000"},
		{"(9) 1 23456", "70000", "(9) 1 70000"},
		{"1 23456", "(8) 70000", "1 70000"},
	} {
		p2, _ := appendPath2(nil, path(t, c.path2))
		if got := PathText(mergePath(nil, p2, path(t, c.path4))); got != c.want {
			t.Errorf("%s with %s: %s, want %s", c.path2, c.path4, got, c.want)
		}
	}
	long := strings.TrimSpace(strings.Repeat("1 ", 300))
	p2, _ := appendPath2(nil, path(t, long))
	if got := mergePath(nil, p2, nil); PathText(got) != long || got[1] != 255 {
		t.Errorf("%s", PathText(got))
	}
}

func TestTwoByteRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		asn := rapid.OneOf(rapid.Uint32Range(1, 65535), rapid.Uint32Range(65536, 1<<32-1), rapid.Just(uint32(ASTrans)))
		w := pathWriter{seg: -1}
		for range rapid.IntRange(0, 6).Draw(t, "segments") {
			typ := rapid.SampledFrom([]uint8{SegSet, SegSequence}).Draw(t, "type")
			for i, a := range rapid.SliceOfN(asn, 1, 5).Draw(t, "asns") {
				w.add(typ, i == 0, a)
			}
		}
		p2, lossy := appendPath2(nil, w.dst)
		var p4 []byte
		if lossy {
			p4 = appendPath4(nil, w.dst)
		}
		if got := mergePath(nil, p2, p4); !bytes.Equal(got, w.dst) {
			t.Fatalf("%s became %s", PathText(w.dst), PathText(got))
		}
	})
}

func TestPathHasSet(t *testing.T) {
	for typ, want := range map[byte]bool{SegSequence: false, SegSet: true, SegConfedSequence: false, SegConfedSet: true} {
		path := []byte{SegSequence, 1, 0, 0, 253, 233, typ, 1, 0, 0, 253, 234}
		if got := PathHasSet(path); got != want {
			t.Errorf("segment type %d: %v", typ, got)
		}
	}
	if PathHasSet(nil) {
		t.Error("an empty path")
	}
}
