package policy

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"holdfast/internal/wire"
)

func TestPatterns(t *testing.T) {
	for _, c := range []struct{ pattern, yes, no string }{
		{"65001", "65001", "65001 65001|65002||65001 2|2 65001|6500|650011"},
		{"^65001$", "65001", "65001 1|"},
		{"^ 65001 .* $", "65001|65001 2 3", "2 65001|"},
		{".* 65001 .*", "65001|1 65001|65001 1|1 2 65001 3", "|1 2 3"},
		{".* 65001", "65001|1 65001", "65001 1|"},
		{"^$", "", "1"},
		{"^65001 .*", "65001|65001 2", "2 65001"},
		{".* 65001$", "65001|2 65001", "65001 2"},
		{".*", "|1|1 2 3|{1 2}", ""},
		{".+", "1|1 2", ""},
		{".", "1|{1 2 3}", "1 2|"},
		{"1 2?", "1|1 2", "1 2 2|2"},
		{"1+ 2", "1 2|1 1 1 2", "2|1 1"},
		{"(1 2)+", "1 2|1 2 1 2", "1|1 2 1|"},
		{"1 (2 | 3 4) 5", "1 2 5|1 3 4 5", "1 5|1 2 3 4 5|1 3 5"},
		{"1|2", "1|2", "1 2|3|"},
		{"^1$|^2$", "1|2", "3"},
		{"|1", "|1", "2"},
		{"1{3}", "1 1 1", "1 1|1 1 1 1"},
		{"1{2,}", "1 1|1 1 1 1", "1"},
		{"1{0,2} 2", "2|1 2|1 1 2", "1 1 1 2"},
		{"1{0} 2", "2", "1 2"},
		{"1{0,}", "|1|1 1", "2"},
		{"(1{2}){2}", "1 1 1 1", "1 1 1"},
		{"1**", "|1|1 1", "2"},
		{"(1? 2?)*", "|1|2|2 1 1 2", "3"},
		{"[1-3]", "1|2|3", "0|4"},
		{"[1-3 7, 9]", "2|7|9", "8"},
		{"[^1-3]", "0|4|4294967295", "1|2|3"},
		{"[64512-65534] .*", "64512|65534 1", "65535 1|64511"},
		{"[4294967295]", "4294967295", "0"},
		{".{2,4}", "1 2|1 2 3 4", "1|1 2 3 4 5"},
		{"1 2 .*", "1 {2 3} 4|1 2", "1 {3 4}"},
		{".* 3", "{1 2 3}|5 {3 4}", "{3 4} 5"},
		{".* 65001 65001{3,} .*", "1 65001 65001 65001 65001 2", "65001 65001 65001"},
	} {
		p, err := CompilePattern(c.pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, s := range strings.Split(c.yes, "|") {
			if c.yes == "" && c.pattern != "^$" {
				break
			}
			if !p.Match(path(s)) {
				t.Errorf("%q does not match %q", c.pattern, s)
			}
		}
		for _, s := range strings.Split(c.no, "|") {
			if c.no == "" && c.pattern != ".+" {
				break
			}
			if p.Match(path(s)) {
				t.Errorf("%q matches %q", c.pattern, s)
			}
		}
	}
}

func TestPatternSegments(t *testing.T) {
	p, err := CompilePattern("1 2 3")
	if err != nil {
		t.Fatal(err)
	}
	if !p.Match(path("1 | 2 3")) {
		t.Error("a path in two segments is one path")
	}
	confed := append([]byte{wire.SegConfedSequence, 1, 0, 0, 0, 9}, path("1 2 3")...)
	if !p.Match(confed) {
		t.Error("confederation segments are no hops")
	}
	if p.Match(append([]byte{wire.SegSet, 0}, path("1 2")...)) {
		t.Error("an empty set is a hop")
	}
}

func TestPatternErrors(t *testing.T) {
	for _, c := range []struct{ pattern, want string }{
		{"", "is empty: write ^$"},
		{"  ", "is empty"},
		{"_65001_", "at character 1: numbers are whole AS numbers here: leave _ out"},
		{"*", "there is nothing before *"},
		{"1 | +", "at character 5: there is nothing before +"},
		{"(1", "at character 3: a ) is missing"},
		{"1)", "at character 2: there is no ( before this )"},
		{"[1", "an AS number is expected here"},
		{"[]", "these brackets stand for no AS at all"},
		{"[^0-4294967295]", "these brackets stand for no AS at all"},
		{"[5-3]", "the range 5-3 is empty"},
		{"[a]", "an AS number is expected here"},
		{"4294967296", "at character 1: an AS number is expected here"},
		{"01", "an AS number is expected here"},
		{"1{2", "a } is missing"},
		{"1{}", "write {2}, {2,} or {2,5}"},
		{"1{3,2}", "write {2}, {2,} or {2,5}"},
		{"1{-1}", "write {2}, {2,} or {2,5}"},
		{"1{99999999999}", "write {2}, {2,} or {2,5}"},
		{"1 $ 2", "nothing can follow $"},
		{"^65001 2", "write 65001 2 .* for paths that begin so, or 65001 2 for this path alone"},
		{"65001$", "write .* 65001 for paths that end so, or 65001 for this path alone"},
		{"1|^2", "write 2 .* for paths that begin so"},
		{"1 ^ 2", "^ can only stand at an end of the pattern"},
		{"(^1)", "^ can only stand at an end of the pattern"},
		{"AS1", "'A' is neither an AS number nor one of"},
		{"(1{200}){200}", "is too large with its repetitions written out"},
		{"((((1{9}){9}){9}){9}){9}", "is too large"},
		{strings.Repeat("1 ", 1025), "is too large"},
		{strings.Repeat("(", 100) + strings.Repeat(")", 100), "more than 64 parentheses"},
		{strings.Repeat("((){9}){9}", 60), "is too large"},
	} {
		if _, err := CompilePattern(c.pattern); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40q: got %v, want %s", c.pattern, err, c.want)
		}
	}
	if _, err := CompilePattern(strings.Repeat("1 ", 1000)); err != nil {
		t.Errorf("1000 AS numbers: %v", err)
	}
}

// ends is where a pattern may end that begins at from: a slow obvious matcher.
func ends(n *node, hops [][]uint32, from int) map[int]bool {
	out := map[int]bool{}
	switch n.op {
	case opLetter:
		if from < len(hops) {
			for _, asn := range hops[from] {
				for _, r := range n.as {
					if r.Contains(asn) {
						out[from+1] = true
					}
				}
			}
		}
	case opSequence:
		out[from] = true
		for _, s := range n.sub {
			next := map[int]bool{}
			for at := range out {
				for end := range ends(s, hops, at) {
					next[end] = true
				}
			}
			out = next
		}
	case opEither:
		for _, s := range n.sub {
			for end := range ends(s, hops, from) {
				out[end] = true
			}
		}
	case opMaybe:
		out = ends(n.sub[0], hops, from)
		out[from] = true
	case opRepeat:
		todo := []int{from}
		for len(todo) > 0 {
			at := todo[0]
			todo = todo[1:]
			for end := range ends(n.sub[0], hops, at) {
				if !out[end] {
					out[end] = true
					todo = append(todo, end)
				}
			}
		}
	}
	return out
}

// genPattern draws a pattern as text and as what it means.
func genPattern(t *rapid.T, depth int) (string, *node) {
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if depth == 0 {
		kind %= 4
	}
	asn := func() uint32 { return uint32(rapid.IntRange(1, 4).Draw(t, "asn")) }
	sub := func() (string, *node) { return genPattern(t, depth-1) }
	letter := func(as ...Range) *node { return &node{as: as} }
	switch kind {
	case 0:
		return " . ", letter(Range{0, math.MaxUint32})
	case 1:
		lo := asn()
		return fmt.Sprintf("[%d-%d]", lo, lo+1), letter(Range{lo, lo + 1})
	case 2:
		a := asn()
		return fmt.Sprintf("[^%d]", a), letter(Range{0, a - 1}, Range{a + 1, math.MaxUint32})
	case 3:
		a := asn()
		return fmt.Sprintf(" %d ", a), letter(Range{a, a})
	case 4:
		s, n := sub()
		return "(" + s + ")*", &node{op: opMaybe, sub: []*node{{op: opRepeat, sub: []*node{n}}}}
	case 5:
		s, n := sub()
		return "(" + s + ")+", &node{op: opRepeat, sub: []*node{n}}
	case 6:
		s, n := sub()
		return "(" + s + ")?", &node{op: opMaybe, sub: []*node{n}}
	case 7:
		s1, n1 := sub()
		s2, n2 := sub()
		return "(" + s1 + "|" + s2 + ")", &node{op: opEither, sub: []*node{n1, n2}}
	case 8:
		s, n := sub()
		lo := rapid.IntRange(0, 3).Draw(t, "lo")
		hi := rapid.IntRange(lo, 4).Draw(t, "hi")
		all := &node{op: opEither}
		for k := lo; k <= hi; k++ {
			seq := &node{op: opSequence}
			for range k {
				seq.sub = append(seq.sub, n)
			}
			all.sub = append(all.sub, seq)
		}
		return fmt.Sprintf("(%s){%d,%d}", s, lo, hi), all
	}
	s1, n1 := sub()
	s2, n2 := sub()
	return s1 + s2, &node{op: opSequence, sub: []*node{n1, n2}}
}

// genPath draws a path of small AS numbers, encoded and as hops.
func genPath(t *rapid.T) ([]byte, [][]uint32) {
	var hops [][]uint32
	var words []string
	for range rapid.IntRange(0, 7).Draw(t, "hops") {
		set := rapid.IntRange(0, 5).Draw(t, "set") == 0
		n := 1
		if set {
			n = rapid.IntRange(2, 3).Draw(t, "members") // the twin takes a set of one for a sequence
		}
		var hop []uint32
		var word []string
		for range n {
			asn := uint32(rapid.IntRange(1, 5).Draw(t, "asn"))
			hop, word = append(hop, asn), append(word, fmt.Sprint(asn))
		}
		hops = append(hops, hop)
		if set {
			words = append(words, "{"+strings.Join(word, " ")+"}")
		} else {
			words = append(words, word...)
		}
	}
	return path(strings.Join(words, " ")), hops
}

func TestPatternsAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, n := genPattern(t, 4)
		p, err := CompilePattern(text)
		if err != nil {
			if !strings.Contains(err.Error(), "is too large") {
				t.Fatal(err)
			}
			return
		}
		for range 20 {
			path, hops := genPath(t)
			if got, want := p.Match(path), ends(n, hops, 0)[len(hops)]; got != want {
				t.Fatalf("%q matches %q: %v", text, wire.PathText(path), got)
			}
		}
	})
}
