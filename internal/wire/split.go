package wire

import (
	"encoding/binary"
	"fmt"

	"holdfast/internal/prefix"
)

// Attribute flags (RFC 4271 section 4.3).
const (
	flagOptional   = 0x80
	flagTransitive = 0x40
	flagPartial    = 0x20
	flagExtended   = 0x10
)

// Attribute types.
const (
	attrOrigin          = 1
	attrASPath          = 2
	attrNextHop         = 3
	attrMED             = 4
	attrLocalPref       = 5
	attrAtomicAggregate = 6
	attrAggregator      = 7
	attrCommunities     = 8
	attrOriginatorID    = 9
	attrClusterList     = 10
	attrReach           = 14
	attrUnreach         = 15
	attrExtCommunities  = 16
	attrAS4Path         = 17
	attrAS4Aggregator   = 18
	attrIPv6Communities = 25
	attrAIGP            = 26
	attrLarge           = 32
	attrOTC             = 35
	attrPrefixSID       = 40
)

// Subcodes of UPDATE Message Error (RFC 4271 section 6.3).
const (
	subAttrList     = 1
	subUnrecognized = 2
	subOptionalAttr = 9
	subNetworkField = 10
)

const (
	minUpdate  = 4 // the two length fields
	minReach   = 5
	minUnreach = 3
	maskType   = flagOptional | flagTransitive // flags that say what kind an attribute is
)

func updateError(sub uint8, format string, args ...any) *Error {
	return &Error{Code: CodeUpdate, Subcode: sub, Why: fmt.Sprintf(format, args...)}
}

// Split takes the body of an UPDATE (without the header) apart. It looks at
// lengths only and allocates nothing; prefixes are read by Decode, attributes
// judged by Validate. Routes of families that were not negotiated are left out
// and u.Ignored is set: the neighbor may not send them (RFC 4760 section 8),
// but they harm nobody.
func Split(body []byte, o *Options, u *Update) *Error {
	*u = Update{}
	if len(body) < minUpdate {
		return &Error{Code: CodeHeader, Subcode: 2, Why: "UPDATE is too short",
			Data: binary.BigEndian.AppendUint16(nil, uint16(len(body)+HeaderLen))}
	}
	w := int(binary.BigEndian.Uint16(body))
	if w > len(body)-minUpdate {
		return updateError(subAttrList, "the withdrawn routes' length %d overruns the UPDATE", w)
	}
	n := int(binary.BigEndian.Uint16(body[2+w:]))
	if n > len(body)-minUpdate-w {
		return updateError(subAttrList, "the attributes' length %d overruns the UPDATE", n)
	}
	withdrawn, announced := body[2:2+w:2+w], body[4+w+n:]
	u.Attrs = body[4+w : 4+w+n : 4+w+n]
	if !o.Families[prefix.IPv4] && len(withdrawn)+len(announced) > 0 {
		u.Ignored, u.ignoredReach = true, len(announced) > 0
		withdrawn, announced = nil, nil
	}
	u.Withdrawn = NLRI{Data: withdrawn, AddPath: o.AddPath[prefix.IPv4]}
	u.Announced = NLRI{Data: announced, AddPath: o.AddPath[prefix.IPv4]}
	return u.splitAttrs(o)
}

func (u *Update) splitAttrs(o *Options) *Error {
	b := u.Attrs
	nextHop := -1 // its place in u.cut
	others := false
	var hasReach, hasUnreach bool
	for i := 0; i < len(b); {
		flags, typ, head, n := attrHeader(b[i:])
		if head == 0 || n > len(b)-i-head {
			// RFC 7606 section 3 (j): without these attributes' ends, their
			// NLRI cannot be found.
			if head != 0 && (typ == attrReach || typ == attrUnreach) {
				return updateError(subAttrList, "%s overruns the attributes", AttrName(typ))
			}
			u.Suspect = true
			break
		}
		end := i + head + n
		switch typ {
		case attrReach, attrUnreach:
			if flags&maskType != flagOptional {
				u.Suspect = true
			}
			v := b[i+head : end : end]
			var dup bool
			var err *Error
			if typ == attrReach {
				dup, hasReach = hasReach, true
				others = true
				err = u.splitReach(v, o)
			} else {
				dup, hasUnreach = hasUnreach, true
				err = u.splitUnreach(v, o)
			}
			if dup { // RFC 7606 section 3 (g)
				return updateError(subAttrList, "%s is there twice", AttrName(typ))
			}
			if err != nil {
				return err
			}
			u.cut[u.cuts] = span{i, end}
			u.cuts++
		case attrNextHop:
			others = true
			if nextHop < 0 {
				nextHop = u.cuts
				u.cut[u.cuts] = span{i, end}
				u.cuts++
			}
			if n != 4 || flags&maskType != flagTransitive {
				u.Suspect = true
			}
		default:
			others = true
		}
		i = end
	}
	if len(u.Announced.Data) > 0 && nextHop >= 0 {
		copy(u.cut[nextHop:], u.cut[nextHop+1:])
		u.cuts--
	}
	// A malformed attribute makes the routes of both forms withdrawn, and ends
	// the session where there are none (RFC 7606 sections 2 and 5.2).
	both := len(u.Announced.Data) > 0 && hasReach
	none := others && len(u.Announced.Data) == 0 && len(u.Reach.Data) == 0
	if both || none {
		u.Suspect = true
	}
	return nil
}

func (u *Update) splitReach(v []byte, o *Options) *Error {
	if len(v) < minReach {
		return updateError(subOptionalAttr, "MP_REACH_NLRI is too short")
	}
	nh := int(v[3])
	if nh > len(v)-minReach {
		return updateError(subOptionalAttr, "the next hop of MP_REACH_NLRI overruns it")
	}
	nextHop, data := v[4:4+nh:4+nh], v[minReach+nh:]
	f, ok := negotiated(v, o)
	if !ok {
		u.Ignored = true
		u.ignoredReach = u.ignoredReach || len(data) > 0
		return nil
	}
	// RFC 7606 section 7.11; RFC 2545 section 3, RFC 8950 section 3.
	if nh != 16 && nh != 32 && (nh != 4 || f != prefix.IPv4) {
		return updateError(subOptionalAttr, "MP_REACH_NLRI has a next hop of %d bytes for %s", nh, f)
	}
	if f == prefix.IPv4 && nh != 4 && !o.ExtNH {
		u.Suspect = true
	}
	u.HasReach, u.ReachNextHop = true, nextHop
	u.Reach = NLRI{Data: data, Family: f, AddPath: o.AddPath[f], MP: true}
	return nil
}

func (u *Update) splitUnreach(v []byte, o *Options) *Error {
	if len(v) < minUnreach {
		return updateError(subOptionalAttr, "MP_UNREACH_NLRI is too short")
	}
	f, ok := negotiated(v, o)
	if !ok {
		u.Ignored = true
		return nil
	}
	u.HasUnreach = true
	u.Unreach = NLRI{Data: v[minUnreach:], Family: f, AddPath: o.AddPath[f], MP: true}
	return nil
}

// negotiated reads the AFI and SAFI that v begins with.
func negotiated(v []byte, o *Options) (prefix.Family, bool) {
	f, ok := prefix.FamilyByAFI(binary.BigEndian.Uint16(v))
	if !ok || v[2] != 1 || !o.Families[f] {
		return 0, false
	}
	return f, true
}

// attrHeader reads the header of the attribute that b begins with. head is 0
// if b is too short for one.
func attrHeader(b []byte) (flags, typ uint8, head, n int) {
	if len(b) < 3 {
		return 0, 0, 0, 0
	}
	if b[0]&flagExtended == 0 {
		return b[0], b[1], 4 - 1, int(b[2])
	}
	if len(b) < 4 {
		return 0, 0, 0, 0
	}
	return b[0], b[1], 4, int(binary.BigEndian.Uint16(b[2:]))
}

// Block is the attributes without the MP attributes, and without NEXT_HOP
// where only MP_REACH_NLRI announces. It aliases Attrs if what is left is in
// one piece, and is put together in scratch (its capacity) otherwise.
func (u *Update) Block(scratch []byte) []byte {
	from := 0
	var piece span
	pieces := 0
	for _, c := range u.cut[:u.cuts] {
		if c.from > from {
			piece = span{from, c.from}
			pieces++
		}
		from = c.to
	}
	if from < len(u.Attrs) {
		piece = span{from, len(u.Attrs)}
		pieces++
	}
	if pieces <= 1 {
		return u.Attrs[piece.from:piece.to:piece.to]
	}
	out := scratch[:0]
	from = 0
	for _, c := range u.cut[:u.cuts] {
		out = append(out, u.Attrs[from:c.from]...)
		from = c.to
	}
	return append(out, u.Attrs[from:]...)
}

// EndOfRIB reports whether the UPDATE is an End-of-RIB marker (RFC 4724
// section 2), and of which family.
func (u *Update) EndOfRIB() (prefix.Family, bool) {
	if len(u.Withdrawn.Data)+len(u.Announced.Data) > 0 || u.Ignored || u.HasReach || u.Suspect {
		return 0, false
	}
	if u.HasUnreach {
		return u.Unreach.Family, len(u.Unreach.Data) == 0 && u.cuts == 1 && u.cut[0] == span{0, len(u.Attrs)}
	}
	return prefix.IPv4, len(u.Attrs) == 0
}

func (n NLRI) fail(format string, args ...any) *Error {
	// RFC 7606 section 5.3, RFC 4760 section 7.
	if n.MP {
		return updateError(subOptionalAttr, "MP attribute: "+format, args...)
	}
	return updateError(subNetworkField, format, args...)
}

// Decode appends all routes of n to dst. Bits behind a prefix's length are
// cleared.
func (n NLRI) Decode(dst []Route) ([]Route, *Error) {
	b, maxBits := n.Data, n.Family.MaxBits()
	for i := 0; i < len(b); {
		var id uint32
		if n.AddPath { // RFC 7911 section 3
			if len(b)-i <= 4 {
				return dst, n.fail("a path identifier is cut off")
			}
			id = binary.BigEndian.Uint32(b[i:])
			i += 4
		}
		bits := b[i]
		i++
		if bits > maxBits {
			return dst, n.fail("prefix length %d in %s", bits, n.Family)
		}
		size := int(bits+7) / 8
		if size > len(b)-i {
			return dst, n.fail("prefix length %d overruns the field", bits)
		}
		var hi, lo uint64
		switch {
		case len(b)-i >= 16:
			hi = binary.BigEndian.Uint64(b[i:])
			if bits > 64 {
				lo = binary.BigEndian.Uint64(b[i+8:])
			}
		default:
			var tmp [16]byte
			copy(tmp[:], b[i:i+size])
			hi, lo = binary.BigEndian.Uint64(tmp[:]), binary.BigEndian.Uint64(tmp[8:])
		}
		i += size
		dst = append(dst, Route{prefix.New(n.Family, hi, lo, bits), id})
	}
	return dst, nil
}
