package policy

import (
	"bytes"
	"slices"
	"testing"

	"holdfast/internal/prefix"
)

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"65001", "^ 1 .* (2|3)+ [4-5 9]{2,} $", "(1{9}){9}", "[^1]?", "((", "1{0,1000}", "^$", "|", "1++*?"} {
		f.Add(s, path("1 2 {3 4} 5"))
	}
	f.Fuzz(func(t *testing.T, text string, path []byte) {
		p, err := CompilePattern(text)
		if err != nil {
			return
		}
		got := p.Match(path)
		// The same pattern in one more pair of parentheses, and as an
		// alternative of itself, matches the same.
		for _, same := range []string{"(" + text + ")", text + "|" + text} {
			if q, err := CompilePattern(same); err == nil && q.Match(path) != got {
				t.Fatalf("%q and %q differ", text, same)
			}
		}
		// A slow matcher agrees, where it is not too slow.
		n, err := parsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		var hops [][]uint32
		for h := (pathHops{path: path}); h.next(); {
			var hop []uint32
			for b := h.hop; len(b) >= 4; b = b[4:] {
				hop = append(hop, standard.get(b)[0])
			}
			hops = append(hops, hop)
		}
		if n.size*len(hops) < 200 && ends(n, hops, 0)[len(hops)] != got {
			t.Fatalf("%q matches %v: %v", text, hops, got)
		}
	})
}

func FuzzReadPrefixes(f *testing.F) {
	f.Add([]byte("# ours\n203.0.113.0/24\n198.51.100.0/22 ge 23 le 24 # x\r\n2001:db8::/32 le 48\n\n"))
	f.Add([]byte("10.0.0.0/8 ge 8\n::/0 le 128"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readPrefixes(bytes.NewReader(data), "f")
		if err != nil {
			return
		}
		var lines []byte
		for r, pos := range s.All() {
			if pos.Line < 1 || pos.File != "f" {
				t.Fatalf("%v is at %v", r, pos)
			}
			if !s.Contains(prefix.New(r.Prefix.Family, r.Prefix.Hi, r.Prefix.Lo, r.Ge)) || r.Ge < r.Prefix.Bits || r.Le > r.Prefix.Family.MaxBits() {
				t.Fatalf("the set does not have its entry %v", r)
			}
			lines = append(append(lines, r.String()...), '\n')
		}
		again, err := readPrefixes(bytes.NewReader(lines), "f")
		if err != nil || again.Len() != s.Len() {
			t.Fatalf("%q does not read back: %v", lines, err)
		}
		again.close()
		if s.close(); again.digest != s.digest {
			t.Fatalf("%q reads back as something else", lines)
		}
	})
}

func FuzzReadCommunities(f *testing.F) {
	f.Add([]byte("1:2\nno-export\nrt:1:2\nsoo:192.0.2.1:*\n1:2:*\n0x0002000100000002\nrt:*:1 # x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readCommunities(bytes.NewReader(data), "f")
		if err != nil {
			return
		}
		s.close()
		for i := range s.entries {
			e := &s.entries[i]
			for _, p := range e.patterns {
				// What an entry stands for, the set has; and it prints as itself.
				b := p.value.appendTo(nil, p.kind)
				if !s.any(p.kind, b) {
					t.Fatalf("the set does not have its entry %q", e.text)
				}
				back, err := parseCommunity(communityString(p.kind, b))
				if err != nil || !slices.Equal(back, []communityPattern{{p.kind, fullMask[p.kind], p.value}}) {
					t.Fatalf("%q prints as %q", e.text, communityString(p.kind, b))
				}
			}
		}
	})
}

func FuzzReadASNs(f *testing.F) {
	f.Add([]byte("1\nAS2\n3-5\n1.2 - 1.5\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := readASNs(bytes.NewReader(data), "f")
		if err != nil {
			return
		}
		for r := range s.All() {
			if r.Max < r.Min || !s.Contains(r.Min) || !s.Contains(r.Max) {
				t.Fatalf("the set does not have its entry %v", r)
			}
		}
		for i := 1; i < len(s.ranges); i++ {
			if uint64(s.ranges[i].Min) <= uint64(s.ranges[i-1].Max)+1 {
				t.Fatalf("ranges %v", s.ranges)
			}
		}
	})
}
