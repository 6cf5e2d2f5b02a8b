package wire

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"holdfast/internal/prefix"
)

// spec has the flags that attributes must have, and in its low bits how grave
// others are. 0 is an attribute that is not known here.
var spec = [256]uint8{
	attrOrigin: flagTransitive, attrASPath: flagTransitive, attrNextHop: flagTransitive,
	attrMED: flagOptional, attrLocalPref: flagTransitive | discardEBGP, attrAtomicAggregate: flagTransitive,
	attrAggregator: maskType, attrCommunities: maskType,
	attrOriginatorID: flagOptional | discardEBGP, attrClusterList: flagOptional | discardEBGP,
	attrReach: flagOptional, attrUnreach: flagOptional, attrExtCommunities: maskType,
	// RFC 6793 section 6, RFC 7311 section 3.
	attrAS4Path: maskType | discard, attrAS4Aggregator: maskType | discard, attrAIGP: flagOptional | discard,
	attrIPv6Communities: maskType, attrLarge: maskType, attrOTC: maskType,
	// Of features that are not here: PMSI_TUNNEL, TUNNEL_ENCAP, BGP-LS, BGPsec_Path,
	// PREFIX_SID, ATTR_SET (RFC 6514, 9012, 9552, 8205, 8669, 6368).
	22: maskType, 23: maskType, 29: flagOptional | discard, 33: flagOptional, attrPrefixSID: maskType | discard, 128: maskType,
}

const (
	discard     = 1
	discardEBGP = 2
)

type typeSet [4]uint64

func (s *typeSet) has(t uint8) bool { return s[t>>6]&(1<<(t&63)) != 0 }
func (s *typeSet) add(t uint8)      { s[t>>6] |= 1 << (t & 63) }

// judge is the state of Validate.
type judge struct {
	Verdict
	o       *Options
	update  *Update
	seen    typeSet
	drop    typeSet // left out of the block
	changed bool    // the block is not what Block returns

	path, path4, aggregator, aggregator4, large []byte
}

func (j *judge) raise(a Action, format string, args ...any) {
	if a > j.Action {
		j.Action, j.Why = a, fmt.Sprintf(format, args...)
	}
}

func (j *judge) withdraw(format string, args ...any) { j.raise(TreatAsWithdraw, format, args...) }

// discard leaves an attribute out because it is wrong.
func (j *judge) discard(t uint8, format string, args ...any) {
	j.raise(AttributeDiscard, format, args...)
	j.ignore(t)
}

// ignore leaves an attribute out without a word.
func (j *judge) ignore(t uint8) {
	j.drop.add(t)
	j.changed = true
}

func (j *judge) reset(sub uint8, data []byte, format string, args ...any) {
	if j.Action < Reset {
		j.raise(Reset, format, args...)
		j.Err = &Error{Code: CodeUpdate, Subcode: sub, Data: data, Why: j.Why}
	}
}

// Validate judges the attributes of an UPDATE (RFC 7606) and returns them in
// canonical form for the routes of MP_REACH_NLRI (mp) or of the NLRI field:
// four-byte AS numbers, without MP attributes, without NEXT_HOP for mp, without
// what was discarded or does not go any further. Where nothing had to change
// that is u.Block. The block is nil if the routes cannot be used. It is put
// together in scratch (its capacity) where it cannot alias the message.
//
// Attributes that are not known here stay as received: the Partial bit is for
// those who pass them on.
//
// The verdict is about the whole UPDATE. Without announced routes it matters
// only if u.Suspect is set.
func (u *Update) Validate(o *Options, mp bool, scratch []byte) (block []byte, v Verdict) {
	j := judge{o: o, update: u}
	other := j.attributes()
	reach := len(u.Announced.Data) > 0 || len(u.Reach.Data) > 0 || u.ignoredReach
	if reach {
		j.mandatory()
	}
	if j.Action == TreatAsWithdraw && !reach && other {
		// RFC 7606 section 5.2: it cannot be known which routes were meant.
		why := j.Why
		j.reset(subAttrList, nil, "%s, in an UPDATE without routes", why)
	}
	if j.Action >= TreatAsWithdraw {
		return nil, j.Verdict
	}
	if mp && len(u.Announced.Data) > 0 {
		j.ignore(attrNextHop)
	} else if len(u.Announced.Data) == 0 {
		j.drop.add(attrNextHop) // Block leaves it out too
	}
	if !o.AS4 {
		j.mergeAS4()
	}
	if !j.changed {
		return u.Block(scratch), j.Verdict
	}
	block = j.rewrite(scratch[:0])
	if len(block) > MaxBlock { // of a path that four-byte AS numbers made longer
		j.withdraw("the attributes have %d bytes", len(block))
		return nil, j.Verdict
	}
	return block, j.Verdict
}

// attributes looks at each attribute. other tells whether there are any
// besides MP_UNREACH_NLRI.
func (j *judge) attributes() (other bool) {
	b := j.update.Attrs
	for i := 0; i < len(b); {
		flags, t, head, n := attrHeader(b[i:])
		if head == 0 {
			// RFC 7606 section 4.
			j.withdraw("the attributes end within a header")
			return other || len(b)-i > 2
		}
		other = other || t != attrUnreach
		if n > len(b)-i-head {
			j.withdraw("%s overruns the attributes", AttrName(t))
			return other
		}
		whole := b[i : i+head+n]
		i += head + n
		if j.seen.has(t) { // RFC 7606 section 3 (g)
			j.raise(AttributeDiscard, "%s is there twice", AttrName(t))
			j.changed = true
			continue
		}
		j.seen.add(t)
		s := spec[t]
		switch {
		case s == 0 && flags&flagOptional == 0:
			j.reset(subUnrecognized, whole, "unknown well-known attribute %d", t)
			continue
		case s == 0:
			if flags&flagTransitive == 0 {
				j.ignore(t) // RFC 4271 section 5
			} else if flags&^(maskType|flagPartial|flagExtended) != 0 {
				j.changed = true
			}
			continue
		case s&maskType != flags&maskType:
			// RFC 7606 section 3 (c).
			if s&discard != 0 || s&discardEBGP != 0 && j.o.EBGP {
				j.discard(t, "%s has wrong flags %#02x", AttrName(t), flags)
				continue
			}
			j.withdraw("%s has wrong flags %#02x", AttrName(t), flags)
		}
		j.value(t, whole[head:])
		if flags&0x0f != 0 && t != attrReach && t != attrUnreach {
			j.changed = true // RFC 4271 section 4.3: zero when sent
		}
	}
	return other
}

// value judges an attribute of a known type.
func (j *judge) value(t uint8, v []byte) {
	n := len(v)
	switch t {
	case attrOrigin: // RFC 7606 section 7.1
		if n != 1 {
			j.wrongLength(t, n)
		} else if v[0] > OriginIncomplete {
			j.withdraw("ORIGIN is %d", v[0])
		}
	case attrASPath:
		j.asPath(v)
	case attrNextHop:
		if n != 4 { // section 7.3
			j.wrongLength(t, n)
		} else if len(j.update.Announced.Data) > 0 && !validHost(v) {
			j.withdraw("NEXT_HOP %d.%d.%d.%d is no host's address", v[0], v[1], v[2], v[3])
		}
	case attrMED, attrOTC: // section 7.4, RFC 9234 section 5
		if n != 4 {
			j.wrongLength(t, n)
		}
	case attrLocalPref, attrOriginatorID: // sections 7.5, 7.9
		if j.o.EBGP && !(j.o.Confed && t == attrLocalPref) {
			j.discard(t, "%s from an external neighbor", AttrName(t))
		} else if n != 4 {
			j.wrongLength(t, n)
		}
	case attrClusterList: // section 7.10
		if j.o.EBGP {
			j.discard(t, "%s from an external neighbor", AttrName(t))
		} else if n == 0 || n%4 != 0 {
			j.wrongLength(t, n)
		}
	case attrAtomicAggregate: // section 7.6
		if n != 0 {
			j.discard(t, "ATOMIC_AGGREGATE has %d bytes", n)
		}
	case attrAggregator:
		j.aggregatorAttr(v)
	case attrCommunities: // section 7.8
		if n == 0 || n%4 != 0 {
			j.wrongLength(t, n)
		}
	case attrExtCommunities: // section 7.14
		if n == 0 || n%8 != 0 {
			j.wrongLength(t, n)
		}
	case attrIPv6Communities: // section 7.15
		if n == 0 || n%20 != 0 {
			j.wrongLength(t, n)
		}
	case attrLarge: // RFC 8092 section 6
		if n == 0 || n%12 != 0 {
			j.wrongLength(t, n)
		} else if !distinctLarge(v) {
			j.large = v
			j.changed = true
		}
	case attrAIGP:
		if !validAIGP(v) {
			j.discard(t, "AIGP is malformed")
		} else if j.o.EBGP {
			// RFC 7311 section 3.3: as if it were unknown.
			j.ignore(t)
		}
	case attrAS4Path, attrAS4Aggregator:
		j.as4Attr(t, v)
	case attrReach, attrUnreach: // Split has looked at them
	case attrPrefixSID:
		if !validTLVs(v) {
			j.discard(t, "PREFIX_SID is malformed")
		}
	default:
		if s := spec[t]; s&flagTransitive == 0 {
			j.ignore(t) // RFC 4271 section 5
		}
	}
}

func (j *judge) wrongLength(t uint8, n int) { j.withdraw("%s has %d bytes", AttrName(t), n) }

func (j *judge) width() int {
	if j.o.AS4 {
		return 4
	}
	return 2
}

// asPath: RFC 7606 section 7.2.
func (j *judge) asPath(v []byte) {
	if why := checkPath(v, j.width()); why != "" {
		j.withdraw("AS_PATH: %s", why)
		return
	}
	if !j.o.Confed && hasConfed(v, j.width()) { // RFC 5065 section 5
		j.withdraw("AS_PATH: confederation segment from a neighbor outside of any")
		return
	}
	j.path = v
}

// aggregatorAttr: RFC 7606 section 7.7, RFC 7607 section 2.
func (j *judge) aggregatorAttr(v []byte) {
	if len(v) != j.width()+4 {
		j.discard(attrAggregator, "AGGREGATOR has %d bytes", len(v))
		return
	}
	if bytes.Count(v[:j.width()], []byte{0}) == j.width() {
		j.discard(attrAggregator, "AGGREGATOR has AS number 0")
		return
	}
	j.aggregator = v
}

// as4Attr judges AS4_PATH and AS4_AGGREGATOR (RFC 6793 sections 4.1 and 6, RFC
// 7607 section 2).
func (j *judge) as4Attr(t uint8, v []byte) {
	switch {
	case j.o.AS4:
		j.discard(t, "%s from a neighbor with four-byte AS numbers", AttrName(t))
	case t == attrAS4Aggregator && len(v) != 8:
		j.discard(t, "AS4_AGGREGATOR has %d bytes", len(v))
	case t == attrAS4Aggregator && binary.BigEndian.Uint32(v) == 0:
		j.discard(t, "AS4_AGGREGATOR has AS number 0")
	case t == attrAS4Aggregator:
		j.aggregator4 = v
	case len(v) < 6:
		j.discard(t, "AS4_PATH has %d bytes", len(v))
	default:
		if why := checkPath(v, 4); why != "" {
			j.discard(t, "AS4_PATH: %s", why)
			return
		}
		if hasConfed(v, 4) {
			j.raise(AttributeDiscard, "AS4_PATH: confederation segment")
		}
		j.path4 = v
	}
}

// mandatory: RFC 7606 section 3 (d).
func (j *judge) mandatory() {
	u := j.update
	for _, t := range [...]uint8{attrOrigin, attrASPath, attrNextHop} {
		if !j.seen.has(t) && (t != attrNextHop || len(u.Announced.Data) > 0) {
			j.withdraw("%s is missing", AttrName(t))
		}
	}
	if nh := u.ReachNextHop; u.HasReach && (allZero(nh) || len(nh) == 4 && !validHost(nh)) {
		j.withdraw("the next hop of MP_REACH_NLRI is no host's address")
	} else if u.HasReach && u.Reach.Family == prefix.IPv4 && len(nh) != 4 && !j.o.ExtNH {
		// RFC 8950 section 4: not without the capability.
		j.withdraw("IPv4 routes with an IPv6 next hop, which was not negotiated")
	}
}

// mergeAS4 decides what AS4_PATH and AS4_AGGREGATOR are worth (RFC 6793
// section 4.2.3).
func (j *judge) mergeAS4() {
	j.drop.add(attrAS4Path)
	j.drop.add(attrAS4Aggregator)
	j.changed = true
	if j.aggregator == nil {
		j.aggregator4 = nil
	} else if j.aggregator4 != nil && binary.BigEndian.Uint16(j.aggregator) != ASTrans {
		j.aggregator4, j.path4 = nil, nil
	}
}

// rewrite builds the block where it is not simply a part of the message.
func (j *judge) rewrite(dst []byte) []byte {
	var done typeSet
	done.add(attrReach)
	done.add(attrUnreach)
	b := j.update.Attrs
	for i := 0; i < len(b); {
		flags, t, head, n := attrHeader(b[i:])
		whole := b[i : i+head+n]
		i += head + n
		if done.has(t) || j.drop.has(t) {
			continue
		}
		done.add(t)
		switch {
		case t == attrASPath && !j.o.AS4:
			at := len(dst)
			dst = append(dst, flagTransitive, attrASPath, 0)
			dst = finishAttr(mergePath(dst, j.path, j.path4), at)
		case t == attrAggregator && j.aggregator4 != nil:
			dst = append(dst, flags&0xe0, attrAggregator, 8)
			dst = append(dst, j.aggregator4...)
		case t == attrAggregator && !j.o.AS4:
			dst = append(dst, flags&0xe0, attrAggregator, 8, 0, 0)
			dst = append(dst, j.aggregator...)
		case t == attrLarge && j.large != nil:
			at := len(dst)
			dst = append(dst, flags&0xe0, attrLarge, 0)
			dst = finishAttr(appendDistinctLarge(dst, j.large), at)
		default:
			at := len(dst)
			dst = append(dst, whole...)
			dst[at] &= 0xf0
		}
	}
	return dst
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// validHost reports whether an IPv4 address can be a host's (RFC 4271 section
// 6.3): not 0.0.0.0, loopback, multicast or reserved.
func validHost(a []byte) bool { return a[0] != 127 && a[0] < 224 && !allZero(a) }

// validAIGP: RFC 7311 section 3.
func validAIGP(v []byte) bool {
	if len(v) == 0 {
		return false
	}
	first := true
	for len(v) > 0 {
		if len(v) < 3 {
			return false
		}
		n := int(binary.BigEndian.Uint16(v[1:]))
		if n < 3 || n > len(v) {
			return false
		}
		if v[0] == 1 && first {
			if n != aigpTLVLen {
				return false
			}
			first = false
		}
		v = v[n:]
	}
	return true
}

// validTLVs: RFC 8669 section 6. Broken ones are not passed on to others.
func validTLVs(v []byte) bool {
	ok := len(v) > 0
	for ok && len(v) > 0 {
		if ok = len(v) >= 3 && 3+int(binary.BigEndian.Uint16(v[1:])) <= len(v); ok {
			v = v[3+int(binary.BigEndian.Uint16(v[1:])):]
		}
	}
	return ok
}

// distinctLarge reports whether no large community is there twice.
func distinctLarge(v []byte) bool {
	ascending := true
	for i := 12; i < len(v) && ascending; i += 12 {
		ascending = bytes.Compare(v[i-12:i], v[i:i+12]) < 0
	}
	if ascending {
		return true
	}
	if len(v) > 16*12 {
		return len(sortedLarge(v)) == len(v)/12
	}
	for i := 0; i < len(v); i += 12 {
		for k := 0; k < i; k += 12 {
			if string(v[k:k+12]) == string(v[i:i+12]) {
				return false
			}
		}
	}
	return true
}

// appendDistinctLarge appends each large community once (RFC 8092 section 5),
// in order.
func appendDistinctLarge(dst, v []byte) []byte {
	for _, c := range sortedLarge(v) {
		dst = append(dst, c[:]...)
	}
	return dst
}

func sortedLarge(v []byte) [][12]byte {
	s := make([][12]byte, len(v)/12)
	for i := range s {
		s[i] = [12]byte(v[12*i:])
	}
	slices.SortFunc(s, func(a, b [12]byte) int {
		return cmp.Or(cmp.Compare(binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:])),
			cmp.Compare(binary.BigEndian.Uint32(a[8:]), binary.BigEndian.Uint32(b[8:])))
	})
	return slices.Compact(s)
}

// AttrName is the name of an attribute of the given type.
func AttrName(t uint8) string {
	if s := attrNames[t]; s != "" {
		return s
	}
	return fmt.Sprintf("attribute %d", t)
}

var attrNames = [256]string{
	attrOrigin: "ORIGIN", attrASPath: "AS_PATH", attrNextHop: "NEXT_HOP", attrMED: "MULTI_EXIT_DISC",
	attrLocalPref: "LOCAL_PREF", attrAtomicAggregate: "ATOMIC_AGGREGATE", attrAggregator: "AGGREGATOR",
	attrCommunities: "COMMUNITIES", attrOriginatorID: "ORIGINATOR_ID", attrClusterList: "CLUSTER_LIST",
	attrReach: "MP_REACH_NLRI", attrUnreach: "MP_UNREACH_NLRI", attrExtCommunities: "EXTENDED COMMUNITIES",
	attrAS4Path: "AS4_PATH", attrAS4Aggregator: "AS4_AGGREGATOR", 22: "PMSI_TUNNEL", 23: "TUNNEL_ENCAP",
	attrIPv6Communities: "IPV6_EXT_COMMUNITIES", attrAIGP: "AIGP", 29: "BGP-LS", attrLarge: "LARGE_COMMUNITY",
	33: "BGPsec_Path", attrOTC: "OTC", attrPrefixSID: "PREFIX_SID", 128: "ATTR_SET",
}
