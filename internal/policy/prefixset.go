package policy

import (
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"holdfast/internal/prefix"
)

// PrefixRange is an entry of a prefix set: the block itself and what is inside
// it, as far as its length is from Ge to Le.
type PrefixRange struct {
	Prefix prefix.Prefix
	Ge, Le uint8
}

// Exact reports whether the entry is its own block and nothing else.
func (r PrefixRange) Exact() bool { return r.Ge == r.Prefix.Bits && r.Le == r.Prefix.Bits }

// Contains reports whether the entry selects p.
func (r PrefixRange) Contains(p prefix.Prefix) bool {
	return r.Ge <= p.Bits && p.Bits <= r.Le && r.Prefix.Covers(p)
}

// String is the form that ParsePrefixRange reads.
func (r PrefixRange) String() string {
	s := r.Prefix.String()
	if r.Exact() {
		return s
	}
	if r.Ge != r.Prefix.Bits {
		s += fmt.Sprintf(" ge %d", r.Ge)
	}
	if r.Le != r.Prefix.Family.MaxBits() || r.Ge == r.Prefix.Bits {
		s += fmt.Sprintf(" le %d", r.Le)
	}
	return s
}

// ParsePrefixRange reads "192.0.2.0/24", "192.0.2.0/24 le 28",
// "192.0.2.0/24 ge 25" and "192.0.2.0/24 ge 25 le 28". Without ge the block
// itself is the shortest; with ge alone the longest is a single address.
func ParsePrefixRange(s string) (PrefixRange, error) {
	text, rest, ranged := strings.Cut(s, " ")
	p, err := prefix.Parse(text)
	if err != nil {
		return PrefixRange{}, err
	}
	r := PrefixRange{p, p.Bits, p.Bits}
	if !ranged {
		return r, nil
	}
	words, top := strings.Fields(rest), p.Family.MaxBits()
	bad := fmt.Errorf("%q is not a prefix with a range of lengths like %s ge %d le %d", s, p, p.Bits, top)
	bound := func(word string, to *uint8) bool {
		if len(words) < 2 || words[0] != word {
			return false
		}
		n, ok := number(words[1], uint64(top))
		*to, words = uint8(n), words[2:]
		if !ok {
			err = bad
		}
		return true
	}
	ge, le := bound("ge", &r.Ge), bound("le", &r.Le)
	if ge && !le {
		r.Le = top
	}
	switch {
	case err != nil || len(words) > 0 || !ge && !le:
		return PrefixRange{}, bad
	case r.Ge < p.Bits:
		return PrefixRange{}, fmt.Errorf("%q: ge %d is shorter than the prefix itself", s, r.Ge)
	case r.Le < r.Ge:
		return PrefixRange{}, fmt.Errorf("%q selects nothing: le %d is less than %d", s, r.Le, r.Ge)
	}
	return r, nil
}

// PrefixSet is a set of blocks and ranges of blocks of both families. It is
// filled by Add and Read, then used; the first use closes it. A closed set is
// safe for concurrent use.
type PrefixSet struct {
	Name string
	Pos  Pos

	places
	v4   []entry4
	v6   []entry6
	once sync.Once
	index4
	index6
	digest digest
}

// The entries as written: no pointers, since there may be a million.
type entry4 struct {
	addr         uint32
	bits, ge, le uint8
	at           place
}

type entry6 struct {
	hi, lo       uint64
	bits, ge, le uint8
	at           place
}

func (e *entry4) get() PrefixRange {
	return PrefixRange{prefix.Prefix{Hi: uint64(e.addr) << 32, Bits: e.bits}, e.ge, e.le}
}

func (e *entry6) get() PrefixRange {
	return PrefixRange{prefix.Prefix{Hi: e.hi, Lo: e.lo, Bits: e.bits, Family: prefix.IPv6}, e.ge, e.le}
}

// Add puts an entry in. It must be valid, as from ParsePrefixRange.
func (s *PrefixSet) Add(r PrefixRange, pos Pos) {
	if s.closed() {
		panic("BUG: entry added to a prefix set in use")
	}
	p, at := r.Prefix, s.pack(pos)
	if p.Family == prefix.IPv4 {
		s.v4 = append(s.v4, entry4{uint32(p.Hi >> 32), p.Bits, r.Ge, r.Le, at})
	} else {
		s.v6 = append(s.v6, entry6{p.Hi, p.Lo, p.Bits, r.Ge, r.Le, at})
	}
}

// Read adds the entries of a text file: one a line in the form of
// ParsePrefixRange, # begins a comment. An error names the line.
func (s *PrefixSet) Read(r io.Reader, file string) error {
	return eachLine(r, file, func(line []byte, pos Pos) error {
		r, err := ParsePrefixRange(string(line))
		if err == nil {
			s.Add(r, pos)
		}
		return err
	})
}

// Len is how many entries were put in.
func (s *PrefixSet) Len() int { return len(s.v4) + len(s.v6) }

// All is the entries with where they were written: IPv4 first, each family in
// the order of the source.
func (s *PrefixSet) All() iter.Seq2[PrefixRange, Pos] {
	return func(yield func(PrefixRange, Pos) bool) {
		for i := range s.v4 {
			if !yield(s.v4[i].get(), s.pos(s.v4[i].at)) {
				return
			}
		}
		for i := range s.v6 {
			if !yield(s.v6[i].get(), s.pos(s.v6[i].at)) {
				return
			}
		}
	}
}

// Contains reports whether an entry selects p.
func (s *PrefixSet) Contains(p prefix.Prefix) bool {
	s.close()
	if p.Family == prefix.IPv4 {
		return s.index4.contains(uint32(p.Hi>>32), p.Bits)
	}
	return s.index6.contains(s.v6, p)
}

// Equal reports whether two sets have the same entries.
func (s *PrefixSet) Equal(t *PrefixSet) bool {
	s.close()
	t.close()
	return s.digest == t.digest
}

// Find is the first entry that selects p. It looks at each: for people.
func (s *PrefixSet) Find(p prefix.Prefix) (PrefixRange, Pos, bool) {
	for r, pos := range s.All() {
		if r.Contains(p) {
			return r, pos, true
		}
	}
	return PrefixRange{}, Pos{}, false
}

func (s *PrefixSet) closed() bool { return s.index4.slots != nil }

// close builds what Contains and digests need.
func (s *PrefixSet) close() {
	s.once.Do(func() {
		s.index6.build(s.v6)
		s.index4.build(s.v4)
		s.digest = s.sum()
	})
}
