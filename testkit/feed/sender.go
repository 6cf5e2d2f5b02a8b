package feed

import (
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"net/netip"

	"holdfast/internal/prefix"
)

// Attribute flags and types (RFC 4271 section 4.3).
const (
	optional   = 0x80
	transitive = 0x40
	extended   = 0x10

	attrOrigin          = 1
	attrASPath          = 2
	attrNextHop         = 3
	attrMED             = 4
	attrAtomicAggregate = 6
	attrAggregator      = 7
	attrCommunities     = 8
	attrMPReach         = 14
	attrLarge           = 32

	headerLen = 19
	maxLen    = 4096
)

// Sender is a neighbor that announces a Table.
type Sender struct {
	table   *Table
	as      uint32
	nextHop []byte
}

// Sender makes the view of the neighbor with that AS number and next hop. The
// paths depend on the AS number only. The next hop is of the table's family.
func (t *Table) Sender(as uint32, nextHop netip.Addr) *Sender {
	return &Sender{t, as, nextHop.AsSlice()}
}

// Updates yields the table as UPDATE messages with four-byte AS numbers. A
// message is valid until the next one.
func (s *Sender) Updates() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		r := rand.New(rand.NewPCG(s.table.seed, uint64(s.as)<<8|uint64(s.table.family)))
		transits := rand.NewZipf(r, 1.2, 4, uint64(len(s.table.transits)-1))
		var attrs, msg []byte
		order := make([]prefix.Prefix, 0, 4096)
		for _, i := range r.Perm(len(s.table.bundles)) {
			b := s.table.bundles[i]
			attrs = s.attributes(attrs[:0], r, transits, b.origin)
			order = append(order[:0], s.table.prefixes[b.from:b.to]...)
			r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			for rest := order; len(rest) > 0; {
				var n int
				msg, n = s.update(msg[:0], attrs, rest)
				rest = rest[n:]
				if !yield(msg) {
					return
				}
			}
		}
	}
}

// Stream is all of Updates, one behind the other.
func (s *Sender) Stream() []byte {
	var out []byte
	for m := range s.Updates() {
		out = append(out, m...)
	}
	return out
}

// update encodes as many prefixes as fit a message and says how many.
func (s *Sender) update(msg, attrs []byte, ps []prefix.Prefix) ([]byte, int) {
	for range 16 {
		msg = append(msg, 0xff)
	}
	msg = append(msg, 0, 0, 2, 0, 0, 0, 0)
	n := 0
	if s.table.family == prefix.IPv4 {
		msg = append(msg, attrs...)
		binary.BigEndian.PutUint16(msg[headerLen+2:], uint16(len(attrs)))
		for ; n < len(ps) && len(msg)+5 <= maxLen; n++ {
			msg = appendPrefix(msg, ps[n])
		}
	} else {
		// RFC 7606 section 5.1: MP_REACH_NLRI comes first.
		at := len(msg)
		msg = append(msg, optional|extended, attrMPReach, 0, 0, 0, 2, 1, byte(len(s.nextHop)))
		msg = append(append(msg, s.nextHop...), 0)
		for ; n < len(ps) && len(msg)+17+len(attrs) <= maxLen; n++ {
			msg = appendPrefix(msg, ps[n])
		}
		binary.BigEndian.PutUint16(msg[at+2:], uint16(len(msg)-at-4))
		msg = append(msg, attrs...)
		binary.BigEndian.PutUint16(msg[headerLen+2:], uint16(len(msg)-at))
	}
	binary.BigEndian.PutUint16(msg[16:], uint16(len(msg)))
	return msg, n
}

func appendPrefix(dst []byte, p prefix.Prefix) []byte {
	var a [16]byte
	binary.BigEndian.PutUint64(a[:], p.Hi)
	binary.BigEndian.PutUint64(a[8:], p.Lo)
	return append(append(dst, p.Bits), a[:(p.Bits+7)/8]...)
}

// attributes draws and encodes what a bundle is sent with: everything but
// MP_REACH_NLRI.
func (s *Sender) attributes(dst []byte, r *rand.Rand, transits *rand.Zipf, origin uint32) []byte {
	code := byte(0) // IGP
	switch n := r.IntN(200); {
	case n < 1:
		code = 1 // EGP
	case n < 20:
		code = 2 // INCOMPLETE
	}
	dst = append(dst, transitive, attrOrigin, 1, code)
	dst = s.path(dst, r, transits, origin)
	if s.table.family == prefix.IPv4 {
		dst = append(append(dst, transitive, attrNextHop, 4), s.nextHop...)
	}
	if r.IntN(5) == 0 {
		dst = append(dst, optional, attrMED, 4)
		dst = binary.BigEndian.AppendUint32(dst, r.Uint32N(20)*50)
	}
	if r.IntN(16) == 0 {
		if r.IntN(2) == 0 {
			dst = append(dst, transitive, attrAtomicAggregate, 0)
		}
		dst = append(dst, optional|transitive, attrAggregator, 8)
		dst = binary.BigEndian.AppendUint32(dst, origin)
		dst = binary.BigEndian.AppendUint32(dst, 11<<24|r.Uint32N(1<<24))
	}
	if r.IntN(3) == 0 {
		n := 1 + min(r.IntN(8), r.IntN(20))
		dst = append(dst, optional|transitive, attrCommunities, byte(4*n))
		for range n {
			dst = binary.BigEndian.AppendUint16(dst, uint16(s.as))
			dst = binary.BigEndian.AppendUint16(dst, uint16(r.IntN(300)*10))
		}
	}
	if r.IntN(20) == 0 {
		n := 1 + r.IntN(4)
		dst = append(dst, optional|transitive, attrLarge, byte(12*n))
		for range n {
			dst = binary.BigEndian.AppendUint32(dst, s.as)
			dst = binary.BigEndian.AppendUint32(dst, r.Uint32N(10))
			dst = binary.BigEndian.AppendUint32(dst, r.Uint32N(5000))
		}
	}
	return dst
}

// path encodes an AS_PATH of 2 to 7 numbers: the sender, transits among which
// a few carry most, and the origin, which one in eight prepends.
func (s *Sender) path(dst []byte, r *rand.Rand, transits *rand.Zipf, origin uint32) []byte {
	start := len(dst)
	dst = append(dst, transitive, attrASPath, 0, 2, 0) // one AS_SEQUENCE
	dst = binary.BigEndian.AppendUint32(dst, s.as)
	count, last := 1, s.as
	for range r.IntN(2) + r.IntN(2) + r.IntN(2) + r.IntN(2) {
		if as := s.table.transits[transits.Uint64()]; as != last && as != origin {
			dst = binary.BigEndian.AppendUint32(dst, as)
			count, last = count+1, as
		}
	}
	repeat := 1
	if r.IntN(8) == 0 {
		repeat = min(1+r.IntN(4), 7-count)
	}
	for range repeat {
		dst = binary.BigEndian.AppendUint32(dst, origin)
		count++
	}
	dst[start+2], dst[start+4] = byte(2+4*count), byte(count)
	return dst
}
