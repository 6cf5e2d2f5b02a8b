package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"sync"
)

// ParseASN reads an AS number: plain, or with a dot as in RFC 5396. A leading
// "AS" is allowed, as registries write it.
func ParseASN(s string) (uint32, error) {
	t := s
	if len(t) > 2 && strings.EqualFold(t[:2], "as") {
		t = t[2:]
	}
	if hi, lo, dotted := strings.Cut(t, "."); dotted {
		h, ok1 := number(hi, math.MaxUint16)
		l, ok2 := number(lo, math.MaxUint16)
		if ok1 && ok2 {
			return uint32(h<<16 | l), nil
		}
	} else if n, ok := number(t, math.MaxUint32); ok {
		return uint32(n), nil
	}
	return 0, fmt.Errorf("%q is not an AS number like 64500", s)
}

// ParseASRange reads an AS number or a range like "64512-65534".
func ParseASRange(s string) (Range, error) {
	from, to, ranged := strings.Cut(s, "-")
	lo, err := ParseASN(strings.TrimSpace(from))
	if err != nil || !ranged {
		return Range{lo, lo}, err
	}
	hi, err := ParseASN(strings.TrimSpace(to))
	if err == nil && hi < lo {
		err = fmt.Errorf("%q is empty: its end is before its beginning", s)
	}
	return Range{lo, hi}, err
}

// ASSet is a set of AS numbers and ranges of them. It is filled by Add and
// Read, then used; the first use closes it. A closed set is safe for concurrent
// use.
type ASSet struct {
	Name string
	Pos  Pos

	places
	entries []asEntry
	once    sync.Once
	ranges  []Range // sorted, apart
	digest  digest
}

type asEntry struct {
	Range
	at place
}

// Add puts numbers in.
func (s *ASSet) Add(r Range, pos Pos) {
	if s.ranges != nil {
		panic("BUG: entry added to an AS set in use")
	}
	s.entries = append(s.entries, asEntry{r, s.pack(pos)})
}

// Read adds the entries of a text file: one a line in the form of ParseASRange,
// # begins a comment. An error names the line.
func (s *ASSet) Read(r io.Reader, file string) error {
	return eachLine(r, file, func(line []byte, pos Pos) error {
		r, err := ParseASRange(string(line))
		if err == nil {
			s.Add(r, pos)
		}
		return err
	})
}

// Len is how many entries were put in.
func (s *ASSet) Len() int { return len(s.entries) }

// All is the entries with where they were written, in the order of the source.
func (s *ASSet) All() iter.Seq2[Range, Pos] {
	return func(yield func(Range, Pos) bool) {
		for _, e := range s.entries {
			if !yield(e.Range, s.pos(e.at)) {
				return
			}
		}
	}
}

// Contains reports whether asn is in the set.
func (s *ASSet) Contains(asn uint32) bool {
	s.close()
	lo, hi := 0, len(s.ranges)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		switch r := &s.ranges[mid]; {
		case asn < r.Min:
			hi = mid
		case asn > r.Max:
			lo = mid + 1
		default:
			return true
		}
	}
	return false
}

// Find is the first entry that has asn, for people.
func (s *ASSet) Find(asn uint32) (Range, Pos, bool) {
	for r, pos := range s.All() {
		if r.Contains(asn) {
			return r, pos, true
		}
	}
	return Range{}, Pos{}, false
}

func (s *ASSet) close() {
	s.once.Do(func() {
		all := make([]Range, 0, len(s.entries))
		for _, e := range s.entries {
			all = append(all, e.Range)
		}
		s.ranges = mergeRanges(all)
		h := sha256.New()
		for _, r := range s.ranges {
			var b [8]byte
			binary.BigEndian.PutUint32(b[:4], r.Min)
			binary.BigEndian.PutUint32(b[4:], r.Max)
			h.Write(b[:])
		}
		s.digest = digest(h.Sum(nil))
	})
}

// mergeRanges sorts ranges and joins those that overlap or touch. The result
// is never nil.
func mergeRanges(all []Range) []Range {
	slices.SortFunc(all, func(a, b Range) int { return cmp.Compare(a.Min, b.Min) })
	out := make([]Range, 0, len(all))
	for _, r := range all {
		if n := len(out); n > 0 && uint64(r.Min) <= uint64(out[n-1].Max)+1 {
			out[n-1].Max = max(out[n-1].Max, r.Max)
			continue
		}
		out = append(out, r)
	}
	return out
}
