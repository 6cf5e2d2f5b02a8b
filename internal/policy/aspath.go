package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"io"
	"iter"
	"math/bits"
	"slices"

	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

func trailing(w uint64) int { return bits.TrailingZeros64(w) }

// pathHops walks over an encoded path, neighbor first. An AS_SET is one hop
// (RFC 4271 section 9.1.2.2); confederation segments are none (RFC 5065
// section 5.3).
type pathHops struct {
	path []byte
	hop  []byte // AS numbers of this hop: one, or those of an AS_SET
	set  bool
	left []byte // of the AS_SEQUENCE it stands in
}

func (h *pathHops) next() bool {
	for len(h.left) < 4 {
		typ, asns, rest, ok := wire.NextSegment(h.path)
		if !ok {
			return false
		}
		h.path = rest
		switch {
		case typ == wire.SegSequence:
			h.left = asns
		case typ == wire.SegSet && len(asns) > 0:
			h.hop, h.set = asns, true
			return true
		}
	}
	h.hop, h.left, h.set = h.left[:4], h.left[4:], false
	return true
}

// any reports whether an AS of the hop is in one of the ranges.
func (h *pathHops) any(ranges []Range) bool {
	for hop := h.hop; len(hop) >= 4; hop = hop[4:] {
		asn := binary.BigEndian.Uint32(hop)
		for _, r := range ranges {
			if r.Min <= asn && asn <= r.Max {
				return true
			}
		}
	}
	return false
}

// pathOrigin is the AS that originated a path as RFC 6811 section 2 finds it:
// own for an empty path, none where the path ends with an AS_SET.
func pathOrigin(path []byte, own uint32) (asn uint32, ok bool) {
	if wire.PathLen(path) == 0 {
		return own, true
	}
	return wire.OriginAS(path)
}

// Verification is how the AS paths of a neighbor are verified (draft-ietf-sidrops-
// aspa-verification section 6). The zero value is for one whose role is not known.
type Verification struct {
	Direction rpki.Direction
	First     uint32 // the AS that they begin with; 0: any, as from a route server
}

// State is that of a path.
func (v Verification) State(by *rpki.ASPAs, path []byte) rpki.State {
	if v.Direction == rpki.Unverified || by.Len() == 0 {
		return rpki.Unknown
	}
	var buf [64]uint32
	asns := buf[:0]
	for h := (pathHops{path: path}); h.next(); {
		asn := binary.BigEndian.Uint32(h.hop)
		if h.set {
			return rpki.Invalid
		}
		if n := len(asns); n == 0 || asns[n-1] != asn {
			asns = append(asns, asn)
		}
	}
	if len(asns) == 0 || v.First != 0 && asns[0] != v.First {
		return rpki.Invalid
	}
	return by.Verify(v.Direction, asns)
}

// pathContains reports whether an AS of the path is in one of the sets.
func pathContains(path []byte, sets []*ASSet) bool {
	for h := (pathHops{path: path}); h.next(); {
		if h.in(sets) {
			return true
		}
	}
	return false
}

// pathFirst reports whether the leftmost AS is in one of the sets.
func pathFirst(path []byte, sets []*ASSet) bool {
	h := pathHops{path: path}
	return h.next() && h.in(sets)
}

func (h *pathHops) in(sets []*ASSet) bool {
	for hop := h.hop; len(hop) >= 4; hop = hop[4:] {
		if inASSets(binary.BigEndian.Uint32(hop), sets) {
			return true
		}
	}
	return false
}

func inASSets(asn uint32, sets []*ASSet) bool {
	for _, s := range sets {
		if s.Contains(asn) {
			return true
		}
	}
	return false
}

// ASPathSet is a list of AS-path patterns. It is filled by Add and Read, then
// used; it is safe for concurrent use then.
type ASPathSet struct {
	Name string
	Pos  Pos

	places
	entries []pathEntry
}

type pathEntry struct {
	text string
	a    *automaton
	at   place
}

// Add puts a pattern in.
func (s *ASPathSet) Add(pattern string, pos Pos) error {
	a, err := compilePattern(pattern)
	if err == nil {
		s.entries = append(s.entries, pathEntry{pattern, a, s.pack(pos)})
	}
	return err
}

// Read adds the patterns of a text file: one a line, # begins a comment. An
// error names the line.
func (s *ASPathSet) Read(r io.Reader, file string) error {
	return eachLine(r, file, func(line []byte, pos Pos) error { return s.Add(string(line), pos) })
}

// Len is how many patterns were put in.
func (s *ASPathSet) Len() int { return len(s.entries) }

// All is the patterns with where they were written, in the order of the source.
func (s *ASPathSet) All() iter.Seq2[string, Pos] {
	return func(yield func(string, Pos) bool) {
		for _, e := range s.entries {
			if !yield(e.text, s.pos(e.at)) {
				return
			}
		}
	}
}

// Match reports whether a path is what one of the patterns describes.
func (s *ASPathSet) Match(path []byte) bool {
	_, _, ok := s.Find(path)
	return ok
}

// Find is the first pattern that describes a path.
func (s *ASPathSet) Find(path []byte) (string, Pos, bool) {
	for i := range s.entries {
		if e := &s.entries[i]; e.a.match(path) {
			return e.text, s.pos(e.at), true
		}
	}
	return "", Pos{}, false
}

func (s *ASPathSet) sum() digest {
	var keys []digest
	for _, e := range s.entries {
		keys = append(keys, sha256.Sum256(e.a.appendKey(nil)))
	}
	slices.SortFunc(keys, func(a, b digest) int { return slices.Compare(a[:], b[:]) })
	keys = slices.Compact(keys)
	h := sha256.New()
	for _, k := range keys {
		h.Write(k[:])
	}
	return digest(h.Sum(nil))
}
