package wire

import "encoding/binary"

// Bits of Attrs.partial.
const (
	partialAggregator = 1 << iota
	partialCommunities
	partialExtCommunities
	partialIPv6Communities
	partialLarge
	partialOTC
)

// MaxBlock is how long an attribute block can be that still fits the longest
// message. Blocks that Append makes can be longer: they cannot be sent.
const MaxBlock = MaxExtendedLen - HeaderLen - minUpdate

// Parse reads a block that comes from Validate or Append. nextHop, if there is
// one, is that of MP_REACH_NLRI and takes the place of NEXT_HOP.
func Parse(block, nextHop []byte, a *Attrs) {
	*a = Attrs{}
	copied := false // Other is not a part of block
	for i := 0; i < len(block); {
		flags, typ, head, n := attrHeader(block[i:])
		end := i + head + n
		if head == 0 || end > len(block) {
			break
		}
		v := block[i+head : end : end]
		partial := flags&flagPartial != 0
		switch {
		case typ == attrOrigin && n == 1:
			a.Origin = v[0]
			a.Has |= HasOrigin
		case typ == attrASPath:
			a.ASPath = v
			a.Has |= HasASPath
		case typ == attrNextHop && n == 4:
			a.NextHop = v
		case typ == attrMED && n == 4:
			a.MED = binary.BigEndian.Uint32(v)
			a.Has |= HasMED
		case typ == attrLocalPref && n == 4:
			a.LocalPref = binary.BigEndian.Uint32(v)
			a.Has |= HasLocalPref
		case typ == attrAtomicAggregate && n == 0:
			a.Has |= HasAtomicAggregate
		case typ == attrAggregator && n == 8:
			a.AggregatorAS = binary.BigEndian.Uint32(v)
			a.AggregatorID = binary.BigEndian.Uint32(v[4:])
			a.Has |= HasAggregator
			a.setPartial(partial, partialAggregator)
		case typ == attrCommunities:
			a.Communities = v
			a.setPartial(partial, partialCommunities)
		case typ == attrOriginatorID && n == 4:
			a.OriginatorID = binary.BigEndian.Uint32(v)
			a.Has |= HasOriginatorID
		case typ == attrClusterList:
			a.ClusterList = v
		case typ == attrExtCommunities:
			a.ExtCommunities = v
			a.setPartial(partial, partialExtCommunities)
		case typ == attrIPv6Communities:
			a.IPv6Communities = v
			a.setPartial(partial, partialIPv6Communities)
		case typ == attrAIGP:
			a.parseAIGP(v)
		case typ == attrLarge:
			a.LargeCommunities = v
			a.setPartial(partial, partialLarge)
		case typ == attrOTC && n == 4:
			a.OTC = binary.BigEndian.Uint32(v)
			a.Has |= HasOTC
			a.setPartial(partial, partialOTC)
		case len(a.Other) == 0:
			a.Other = block[i:end:end]
		case !copied && &block[i-len(a.Other)] == &a.Other[0]:
			a.Other = block[i-len(a.Other) : end : end]
		default: // not in one piece: the only case that costs memory
			a.Other = append(a.Other, block[i:end]...)
			copied = true
		}
		i = end
	}
	if len(nextHop) > 0 {
		a.NextHop = nextHop
	}
}

func (a *Attrs) setPartial(on bool, bit uint8) {
	if on {
		a.partial |= bit
	}
}

// parseAIGP takes the first AIGP TLV (RFC 7311 section 3). Other TLVs have to
// be passed on with it.
func (a *Attrs) parseAIGP(v []byte) {
	for b := v; len(b) >= 3; {
		n := int(binary.BigEndian.Uint16(b[1:]))
		if n < 3 || n > len(b) {
			return
		}
		if b[0] == 1 && n == aigpTLVLen {
			a.AIGP = binary.BigEndian.Uint64(b[3:])
			a.Has |= HasAIGP
			if len(v) != aigpTLVLen {
				a.aigpTLVs = v
			}
			return
		}
		b = b[n:]
	}
}

const aigpTLVLen = 11

// Append writes the attributes: those known here in the order of their types,
// then Other. NEXT_HOP is left out if mp is set, as the routes' next hop is
// then in MP_REACH_NLRI, which the caller writes.
func (a *Attrs) Append(dst []byte, mp bool) []byte { return a.append(dst, mp, true) }

// AppendAS2 is Append for neighbors with two-byte AS numbers: AS_TRANS stands
// for larger ones, which AS4_PATH and AS4_AGGREGATOR have (RFC 6793 section
// 4.2.2).
func (a *Attrs) AppendAS2(dst []byte, mp bool) []byte { return a.append(dst, mp, false) }

func (a *Attrs) append(dst []byte, mp, as4 bool) []byte {
	const wellKnown, optional, transitive = flagTransitive, flagOptional, flagOptional | flagTransitive
	if a.Has&HasOrigin != 0 {
		dst = append(dst, wellKnown, attrOrigin, 1, a.Origin)
	}
	lossy := false
	if a.Has&HasASPath != 0 || len(a.ASPath) > 0 {
		if as4 {
			dst = appendAttr(dst, wellKnown, attrASPath, a.ASPath)
		} else {
			at := len(dst)
			dst = append(dst, wellKnown, attrASPath, 0)
			dst, lossy = appendPath2(dst, a.ASPath)
			dst = finishAttr(dst, at)
		}
	}
	if !mp && len(a.NextHop) > 0 {
		dst = appendAttr(dst, wellKnown, attrNextHop, a.NextHop)
	}
	if a.Has&HasMED != 0 {
		dst = appendUint32(dst, optional, attrMED, a.MED)
	}
	if a.Has&HasLocalPref != 0 {
		dst = appendUint32(dst, wellKnown, attrLocalPref, a.LocalPref)
	}
	if a.Has&HasAtomicAggregate != 0 {
		dst = append(dst, wellKnown, attrAtomicAggregate, 0)
	}
	if a.Has&HasAggregator != 0 {
		flags := transitive | a.flag(partialAggregator)
		if as4 {
			dst = append(dst, flags, attrAggregator, 8)
			dst = binary.BigEndian.AppendUint32(dst, a.AggregatorAS)
		} else {
			dst = append(dst, flags, attrAggregator, 6)
			dst = binary.BigEndian.AppendUint16(dst, as2(a.AggregatorAS))
		}
		dst = binary.BigEndian.AppendUint32(dst, a.AggregatorID)
	}
	if len(a.Communities) > 0 {
		dst = appendAttr(dst, transitive|a.flag(partialCommunities), attrCommunities, a.Communities)
	}
	if a.Has&HasOriginatorID != 0 {
		dst = appendUint32(dst, optional, attrOriginatorID, a.OriginatorID)
	}
	if len(a.ClusterList) > 0 {
		dst = appendAttr(dst, optional, attrClusterList, a.ClusterList)
	}
	if len(a.ExtCommunities) > 0 {
		dst = appendAttr(dst, transitive|a.flag(partialExtCommunities), attrExtCommunities, a.ExtCommunities)
	}
	if lossy {
		at := len(dst)
		dst = append(dst, transitive, attrAS4Path, 0)
		dst = finishAttr(appendPath4(dst, a.ASPath), at)
	}
	if !as4 && a.Has&HasAggregator != 0 && a.AggregatorAS > 0xffff {
		dst = append(dst, transitive|a.flag(partialAggregator), attrAS4Aggregator, 8)
		dst = binary.BigEndian.AppendUint32(dst, a.AggregatorAS)
		dst = binary.BigEndian.AppendUint32(dst, a.AggregatorID)
	}
	if len(a.IPv6Communities) > 0 {
		dst = appendAttr(dst, transitive|a.flag(partialIPv6Communities), attrIPv6Communities, a.IPv6Communities)
	}
	if a.Has&HasAIGP != 0 {
		dst = a.appendAIGP(dst)
	}
	if len(a.LargeCommunities) > 0 {
		dst = appendAttr(dst, transitive|a.flag(partialLarge), attrLarge, a.LargeCommunities)
	}
	if a.Has&HasOTC != 0 {
		dst = appendUint32(dst, transitive|a.flag(partialOTC), attrOTC, a.OTC)
	}
	return append(dst, a.Other...)
}

// flag is the Partial bit, which nobody on the way may clear (RFC 4271 section
// 5).
func (a *Attrs) flag(bit uint8) uint8 {
	if a.partial&bit != 0 {
		return flagPartial
	}
	return 0
}

func (a *Attrs) appendAIGP(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, flagOptional, attrAIGP, 0, 1, 0, aigpTLVLen)
	dst = binary.BigEndian.AppendUint64(dst, a.AIGP)
	found := false
	for b := a.aigpTLVs; len(b) >= 3; {
		n := int(binary.BigEndian.Uint16(b[1:]))
		if n < 3 || n > len(b) {
			break
		}
		if b[0] == 1 && !found {
			found = true
		} else {
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return finishAttr(dst, at)
}

func as2(asn uint32) uint16 {
	if asn > 0xffff {
		return ASTrans
	}
	return uint16(asn)
}

// appendAttr writes an attribute. A value too long for any attribute makes the
// block longer than MaxBlock, so that it is not used.
func appendAttr(dst []byte, flags, typ uint8, v []byte) []byte {
	if n := len(v); n > 0xff {
		n = min(n, 0xffff)
		dst = append(dst, flags|flagExtended, typ, byte(n>>8), byte(n))
	} else {
		dst = append(dst, flags, typ, byte(n))
	}
	return append(dst, v...)
}

func appendUint32(dst []byte, flags, typ uint8, v uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, flags, typ, 4), v)
}

// finishAttr sets the length of the attribute that begins at at with a header
// of three bytes, and makes it four where the length asks for that.
func finishAttr(dst []byte, at int) []byte {
	n := len(dst) - at - 3
	if n <= 0xff {
		dst[at+2] = byte(n)
		return dst
	}
	dst = append(dst, 0)
	copy(dst[at+4:], dst[at+3:])
	n = min(n, 0xffff)
	dst[at] |= flagExtended
	binary.BigEndian.PutUint16(dst[at+2:], uint16(n))
	return dst
}
