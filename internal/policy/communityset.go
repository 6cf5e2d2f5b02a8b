package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// slotASN stands for the neighbor's AS number in an entry, such as
// 0:neighbor.asn.
const slotASN = "neighbor.asn"

// CommunitySet is a set of communities of all three kinds and of patterns for
// them. It is filled by Add and Read, then used; the first use closes it. A
// closed set is safe for concurrent use.
type CommunitySet struct {
	Name string
	Pos  Pos

	places
	entries []communityEntry
	once    sync.Once
	exact   [communityKinds][]community // sorted
	wild    [communityKinds][]communityPattern
	digest  digest
}

// communityEntry is what one text means: usually one pattern, but a route
// target with any AS has three encodings. One that has a slot means nothing
// before it is filled, and afterwards if the AS number is too large for it.
type communityEntry struct {
	text     string
	slot     bool
	patterns []communityPattern
	at       place
}

// Add puts a community or a pattern in, see parseCommunity.
func (s *CommunitySet) Add(text string, pos Pos) error {
	if s.exact[standard] != nil {
		panic("BUG: entry added to a community set in use")
	}
	sample := withASN(text, 1)
	patterns, err := parseCommunity(sample)
	slot := sample != text
	switch {
	case err != nil && slot:
		return badCommunity(text)
	case err != nil:
		return err
	case slot:
		patterns = nil
	}
	s.entries = append(s.entries, communityEntry{text, slot, patterns, s.pack(pos)})
	return nil
}

// withASN puts an AS number into the slots of an entry.
func withASN(text string, asn uint32) string {
	parts := strings.Split(text, ":")
	for i := range parts {
		if parts[i] == slotASN {
			parts[i] = strconv.FormatUint(uint64(asn), 10)
		}
	}
	return strings.Join(parts, ":")
}

// Slot is an entry with neighbor.asn, "" if there is none.
func (s *CommunitySet) Slot() string {
	for i := range s.entries {
		if s.entries[i].slot {
			return s.entries[i].text
		}
	}
	return ""
}

// fill is the set for a neighbor of an AS: itself if no entry asks for that.
func (s *CommunitySet) fill(asn uint32) *CommunitySet {
	if s.Slot() == "" {
		return s
	}
	out := &CommunitySet{Name: s.Name, Pos: s.Pos, places: s.places, entries: slices.Clone(s.entries)}
	for i := range out.entries {
		if e := &out.entries[i]; e.slot {
			e.slot, e.text = false, withASN(e.text, asn)
			e.patterns, _ = parseCommunity(e.text) // none: no community has room for it
		}
	}
	return out
}

// Read adds the entries of a text file: one a line, # begins a comment. An
// error names the line.
func (s *CommunitySet) Read(r io.Reader, file string) error {
	return eachLine(r, file, func(line []byte, pos Pos) error { return s.Add(string(line), pos) })
}

// Len is how many entries were put in.
func (s *CommunitySet) Len() int { return len(s.entries) }

// All is the entries with where they were written, in the order of the source.
func (s *CommunitySet) All() iter.Seq2[string, Pos] {
	return func(yield func(string, Pos) bool) {
		for _, e := range s.entries {
			if !yield(e.text, s.pos(e.at)) {
				return
			}
		}
	}
}

// Wildcard is an entry that stands for more than one community, "" if there is
// none. Such a set cannot be added to a route.
func (s *CommunitySet) Wildcard() (text string, pos Pos) {
	for _, e := range s.entries {
		if len(e.patterns) > 1 || len(e.patterns) == 1 && !e.patterns[0].exact() {
			return e.text, s.pos(e.at)
		}
	}
	return "", Pos{}
}

// has reports whether an entry stands for a community.
func (s *CommunitySet) has(kind communityKind, c community) bool {
	exact := s.exact[kind]
	if len(exact) > 0 {
		lo, hi := 0, len(exact)
		for lo < hi {
			mid := int(uint(lo+hi) >> 1)
			if exact[mid].less(c) {
				lo = mid + 1
			} else {
				hi = mid
			}
		}
		if lo < len(exact) && exact[lo] == c {
			return true
		}
	}
	for i := range s.wild[kind] {
		if s.wild[kind][i].matches(c) {
			return true
		}
	}
	return false
}

// any reports whether one of the communities is in the set.
func (s *CommunitySet) any(kind communityKind, list []byte) bool {
	if len(s.exact[kind]) == 0 && len(s.wild[kind]) == 0 {
		return false
	}
	for n := kind.size(); len(list) >= n; list = list[n:] {
		if s.has(kind, kind.get(list)) {
			return true
		}
	}
	return false
}

// in reports whether one of the communities is what the entry stands for.
func (e *communityEntry) in(lists *[communityKinds][]byte) bool {
	for i := range e.patterns {
		p := &e.patterns[i]
		n := p.kind.size()
		for list := lists[p.kind]; len(list) >= n; list = list[n:] {
			if p.matches(p.kind.get(list)) {
				return true
			}
		}
	}
	return false
}

func (s *CommunitySet) close() {
	s.once.Do(func() {
		for k := range s.exact {
			s.exact[k] = []community{}
		}
		for _, e := range s.entries {
			for _, p := range e.patterns {
				if p.exact() {
					s.exact[p.kind] = append(s.exact[p.kind], p.value)
				} else {
					s.wild[p.kind] = append(s.wild[p.kind], p)
				}
			}
		}
		h := sha256.New()
		for k := range s.exact {
			slices.SortFunc(s.exact[k], community.compare)
			s.exact[k] = slices.Compact(s.exact[k])
			slices.SortFunc(s.wild[k], func(a, b communityPattern) int {
				return cmp.Or(a.value.compare(b.value), a.mask.compare(b.mask))
			})
			s.wild[k] = slices.Compact(s.wild[k])
			var b []byte
			b = binary.BigEndian.AppendUint32(b, uint32(len(s.exact[k])))
			b = binary.BigEndian.AppendUint32(b, uint32(len(s.wild[k])))
			for _, c := range s.exact[k] {
				b = c.appendTo(b, large)
			}
			for _, p := range s.wild[k] {
				b = p.mask.appendTo(p.value.appendTo(b, large), large)
			}
			h.Write(b)
		}
		s.digest = digest(h.Sum(nil))
	})
}

// appendSource appends the entries as written, for a key: what "all of them"
// means depends on the entries and not only on what they cover.
func (s *CommunitySet) appendSource(b []byte) []byte {
	var entries [][]byte
	for _, e := range s.entries {
		var t []byte
		for _, p := range e.patterns {
			t = append(t, byte(p.kind))
			t = p.mask.appendTo(p.value.appendTo(t, large), large)
		}
		entries = append(entries, t)
	}
	slices.SortFunc(entries, slices.Compare[[]byte])
	entries = slices.CompactFunc(entries, slices.Equal[[]byte])
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	for _, t := range entries {
		b = binary.BigEndian.AppendUint32(b, uint32(len(t)))
		b = append(b, t...)
	}
	return b
}

// find is the first entry that stands for one of the communities, for people.
func (s *CommunitySet) find(lists *[communityKinds][]byte) (string, Pos, bool) {
	for i := range s.entries {
		if s.entries[i].in(lists) {
			return s.entries[i].text, s.pos(s.entries[i].at), true
		}
	}
	return "", Pos{}, false
}

func badCommunity(text string) error {
	return fmt.Errorf("%q is not a community like 64500:100, 64500:1:2, rt:64500:100 or no-export (numbers may be *)", text)
}
