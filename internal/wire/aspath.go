package wire

import (
	"encoding/binary"
	"slices"
)

// Types of AS_PATH segments (RFC 4271 section 4.3, RFC 5065 section 3).
const (
	SegSet            = 1
	SegSequence       = 2
	SegConfedSequence = 3
	SegConfedSet      = 4
)

// ASTrans stands for AS numbers that need four bytes where there are two
// (RFC 6793 section 9).
const ASTrans = 23456

const maxSegment = 255 // AS numbers in a segment

// nextSegment takes the first segment off a path whose AS numbers have width
// bytes. ok is false at its end, and where it is cut off.
func nextSegment(path []byte, width int) (typ uint8, asns, rest []byte, ok bool) {
	if len(path) < 2 {
		return 0, nil, nil, false
	}
	end := 2 + width*int(path[1])
	if end > len(path) {
		return 0, nil, nil, false
	}
	return path[0], path[2:end], path[end:], true
}

// NextSegment takes the first segment off a path: asns has four bytes for each
// AS number. ok is false at the end.
func NextSegment(path []byte) (typ uint8, asns, rest []byte, ok bool) {
	return nextSegment(path, 4)
}

// PathIter walks over the AS numbers of a path:
//
//	for it := Path(p); it.Next(); {
//		it.ASN …
//	}
type PathIter struct {
	ASN   uint32
	Type  uint8 // of the segment
	First bool  // the AS number is the first of its segment

	asns, rest []byte
}

// Path begins a walk.
func Path(path []byte) PathIter { return PathIter{rest: path} }

// Next goes to the next AS number and reports whether there is one.
func (it *PathIter) Next() bool {
	it.First = false
	for len(it.asns) < 4 {
		var ok bool
		if it.Type, it.asns, it.rest, ok = NextSegment(it.rest); !ok {
			return false
		}
		it.First = true
	}
	it.ASN = binary.BigEndian.Uint32(it.asns)
	it.asns = it.asns[4:]
	return true
}

// PathLen is the length of a path as the decision process counts it: a set is
// one, confederation segments are none (RFC 4271 section 9.1.2.2, RFC 5065
// section 5.3).
func PathLen(path []byte) int { return pathLen(path, 4) }

func pathLen(path []byte, width int) int {
	n := 0
	for {
		typ, asns, rest, ok := nextSegment(path, width)
		if !ok {
			return n
		}
		switch typ {
		case SegSequence:
			n += len(asns) / width
		case SegSet:
			n++
		}
		path = rest
	}
}

// PathHasSet reports whether a path has an AS_SET or AS_CONFED_SET (RFC 9774).
func PathHasSet(path []byte) bool {
	for {
		typ, _, rest, ok := NextSegment(path)
		switch {
		case !ok:
			return false
		case typ == SegSet || typ == SegConfedSet:
			return true
		}
		path = rest
	}
}

// FirstAS is the neighboring AS: the first AS number of a path, behind any
// confederation segments. A path that begins with a set has none.
func FirstAS(path []byte) (uint32, bool) {
	for {
		typ, asns, rest, ok := NextSegment(path)
		switch {
		case !ok || typ == SegSet:
			return 0, false
		case typ == SegSequence && len(asns) > 0:
			return binary.BigEndian.Uint32(asns), true
		}
		path = rest
	}
}

// OriginAS is the AS that originated the route: the last AS number, if the
// last segment is a sequence (RFC 6811 section 2).
func OriginAS(path []byte) (asn uint32, ok bool) {
	for {
		typ, asns, rest, more := NextSegment(path)
		if !more {
			return asn, ok
		}
		asn, ok = 0, false
		if typ == SegSequence && len(asns) > 0 {
			asn, ok = binary.BigEndian.Uint32(asns[len(asns)-4:]), true
		}
		path = rest
	}
}

// PathContains counts how often an AS number is in a path.
func PathContains(path []byte, asn uint32) int {
	n := 0
	for {
		_, asns, rest, ok := NextSegment(path)
		if !ok {
			return n
		}
		for ; len(asns) >= 4; asns = asns[4:] {
			if binary.BigEndian.Uint32(asns) == asn {
				n++
			}
		}
		path = rest
	}
}

// Prepend appends to dst the path with asn in front, n times.
func Prepend(dst, path []byte, asn uint32, n int) []byte {
	have := 0 // in the first segment, as far as it can be added to
	if len(path) >= 2 && path[0] == SegSequence {
		have = int(path[1])
	}
	total := n + have
	for n > 0 {
		// The first of the segments takes what does not fill the others, so
		// that a path never has segments that it could do without.
		k := (total-1)%maxSegment + 1
		if k > n {
			break
		}
		dst = append(dst, SegSequence, byte(k))
		for range k {
			dst = binary.BigEndian.AppendUint32(dst, asn)
		}
		n -= k
		total -= k
	}
	if n > 0 {
		dst = append(dst, SegSequence, byte(n+have))
		for range n {
			dst = binary.BigEndian.AppendUint32(dst, asn)
		}
		path = path[2:]
	}
	return append(dst, path...)
}

// checkPath says what is wrong with a path of AS numbers of width bytes, "" if
// nothing is (RFC 7606 section 7.2, RFC 7607 section 2).
func checkPath(path []byte, width int) string {
	for len(path) > 0 {
		typ, asns, rest, ok := nextSegment(path, width)
		switch {
		case !ok:
			return "a segment is cut off"
		case typ < SegSet || typ > SegConfedSet:
			return "unknown segment type"
		case len(asns) == 0:
			return "a segment is empty"
		}
		if width == 4 {
			for ; len(asns) >= 4; asns = asns[4:] {
				if binary.BigEndian.Uint32(asns) == 0 {
					return "AS number 0"
				}
			}
		} else {
			for ; len(asns) >= 2; asns = asns[2:] {
				if binary.BigEndian.Uint16(asns) == 0 {
					return "AS number 0"
				}
			}
		}
		path = rest
	}
	return ""
}

// hasConfed reports whether a path has confederation segments.
func hasConfed(path []byte, width int) bool {
	for {
		typ, _, rest, ok := nextSegment(path, width)
		if !ok {
			return false
		}
		if typ == SegConfedSequence || typ == SegConfedSet {
			return true
		}
		path = rest
	}
}

// pathWriter appends a path AS number by AS number; sequences that follow each
// other become one.
type pathWriter struct {
	dst []byte
	seg int // where the open segment begins, -1 without
}

func (w *pathWriter) add(typ uint8, first bool, asn uint32) {
	if w.seg < 0 || w.dst[w.seg] != typ || w.dst[w.seg+1] == maxSegment || first && typ != SegSequence {
		w.seg = len(w.dst)
		w.dst = append(w.dst, typ, 0)
	}
	w.dst[w.seg+1]++
	w.dst = binary.BigEndian.AppendUint32(w.dst, asn)
}

// mergePath appends the real path of a route from a neighbor with two-byte AS
// numbers, who sent AS_PATH and perhaps AS4_PATH (RFC 6793 section 4.2.3).
func mergePath(dst, path2, path4 []byte) []byte {
	w := pathWriter{dst, -1}
	take := pathLen(path2, 2)
	if n := PathLen(path4); n > take {
		path4 = nil // older than AS_PATH: ignored
	} else {
		take -= n
	}
	if len(path4) == 0 {
		take = len(path2)
	}
	for {
		typ, asns, rest, ok := nextSegment(path2, 2)
		confed := typ == SegConfedSequence || typ == SegConfedSet
		if !ok || take == 0 && !confed {
			break
		}
		switch {
		case typ == SegSequence:
			asns = asns[:2*min(take, len(asns)/2)]
			take -= len(asns) / 2
		case !confed:
			take--
		}
		for i := 0; i+2 <= len(asns); i += 2 {
			w.add(typ, i == 0, uint32(binary.BigEndian.Uint16(asns[i:])))
		}
		path2 = rest
	}
	for it := Path(path4); it.Next(); {
		// RFC 6793 section 6: confederation segments do not belong there.
		if it.Type == SegSequence || it.Type == SegSet {
			w.add(it.Type, it.First, it.ASN)
		}
	}
	return w.dst
}

// appendPath2 appends a path with two-byte AS numbers.
func appendPath2(dst, path []byte) (out []byte, lossy bool) {
	for {
		typ, asns, rest, ok := NextSegment(path)
		if !ok {
			return dst, lossy
		}
		dst = append(dst, typ, byte(len(asns)/4))
		for ; len(asns) >= 4; asns = asns[4:] {
			asn := binary.BigEndian.Uint32(asns)
			if asn > 0xffff {
				asn, lossy = ASTrans, true
			}
			dst = binary.BigEndian.AppendUint16(dst, uint16(asn))
		}
		path = rest
	}
}

// appendPath4 appends what belongs into AS4_PATH: the path without
// confederation segments (RFC 6793 section 4.2.2).
func appendPath4(dst, path []byte) []byte {
	dst = slices.Grow(dst, len(path))
	for {
		typ, _, rest, ok := NextSegment(path)
		if !ok {
			return dst
		}
		if typ == SegSequence || typ == SegSet {
			dst = append(dst, path[:len(path)-len(rest)]...)
		}
		path = rest
	}
}
