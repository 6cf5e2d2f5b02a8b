package policy

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

	"holdfast/internal/wire"
)

type communityKind uint8

const (
	standard communityKind = iota
	extended
	large
	communityKinds
)

func (k communityKind) size() int { return int(k+1) * 4 }

// community is one of any kind: one, two or three words of 32 bits.
type community [3]uint32

func (k communityKind) get(b []byte) (c community) {
	c[0] = binary.BigEndian.Uint32(b)
	if k >= extended {
		c[1] = binary.BigEndian.Uint32(b[4:])
	}
	if k == large {
		c[2] = binary.BigEndian.Uint32(b[8:])
	}
	return c
}

func (c community) appendTo(b []byte, k communityKind) []byte {
	for i := range k + 1 {
		b = binary.BigEndian.AppendUint32(b, c[i])
	}
	return b
}

func (c community) less(d community) bool {
	if c[0] != d[0] {
		return c[0] < d[0]
	}
	if c[1] != d[1] {
		return c[1] < d[1]
	}
	return c[2] < d[2]
}

func (c community) compare(d community) int {
	return cmp.Or(cmp.Compare(c[0], d[0]), cmp.Compare(c[1], d[1]), cmp.Compare(c[2], d[2]))
}

// communityPattern stands for the communities of a kind that have the bits of
// value where mask has ones.
type communityPattern struct {
	kind        communityKind
	mask, value community
}

func (p *communityPattern) matches(c community) bool {
	return (c[0]^p.value[0])&p.mask[0]|(c[1]^p.value[1])&p.mask[1]|(c[2]^p.value[2])&p.mask[2] == 0
}

var fullMask = [communityKinds]community{{^uint32(0)}, {^uint32(0), ^uint32(0)}, {^uint32(0), ^uint32(0), ^uint32(0)}}

func (p *communityPattern) exact() bool { return p.mask == fullMask[p.kind] }

// parseCommunity reads a community or a pattern of a configuration:
//
//	64500:100      standard (RFC 1997); no-export and the other names of IANA
//	64500:1:2      large (RFC 8092)
//	rt:64500:100   extended (RFC 4360): rt or soo, with an AS or an IPv4 address
//	0x0002fbf400000064   extended, its eight bytes
//
// Each number may be * instead, which stands for any.
func parseCommunity(text string) ([]communityPattern, error) {
	if v, ok := wire.WellKnownCommunity(text); ok {
		return []communityPattern{{standard, fullMask[standard], community{v}}}, nil
	}
	if hex, ok := strings.CutPrefix(text, "0x"); ok {
		v, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || len(hex) != 16 {
			return nil, fmt.Errorf("%q is not an extended community: 0x and sixteen digits are needed", text)
		}
		return []communityPattern{{extended, fullMask[extended], community{uint32(v >> 32), uint32(v)}}}, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) == 3 {
		switch strings.ToLower(parts[0]) {
		case "rt":
			return parseExtended(text, 0x02, parts[1:])
		case "soo":
			return parseExtended(text, 0x03, parts[1:])
		}
	}
	var v, mask community
	for i, part := range parts {
		var ok bool
		if v[min(i, 2)], mask[min(i, 2)], ok = numberOrAny(part); !ok || i > 2 {
			return nil, badCommunity(text)
		}
	}
	switch len(parts) {
	case 3:
		return []communityPattern{{large, mask, v}}, nil
	case 2:
		if v[0] > math.MaxUint16 || v[1] > math.MaxUint16 {
			return nil, fmt.Errorf("%q does not fit a standard community, whose numbers end at 65535: use a large one like %s:0", text, text)
		}
		return []communityPattern{{standard, community{mask[0]<<16 | mask[1]&math.MaxUint16}, community{v[0]<<16 | v[1]}}}, nil
	}
	return nil, badCommunity(text)
}

// numberOrAny reads a number, or * as a mask of zeros.
func numberOrAny(s string) (v, mask uint32, ok bool) {
	if s == "*" {
		return 0, 0, true
	}
	n, ok := number(s, math.MaxUint32)
	return uint32(n), ^uint32(0), ok
}

// Types of extended communities (RFC 4360 section 3.1 and 3.2, RFC 5668).
const (
	twoByteAS  = 0
	address    = 1
	fourByteAS = 2
)

// parseExtended reads the two fields behind rt: and soo:. How they share six
// bytes depends on the type.
func parseExtended(text string, subtype uint32, parts []string) ([]communityPattern, error) {
	local, localMask, ok := numberOrAny(parts[1])
	if !ok {
		return nil, badCommunity(text)
	}
	// wide is an administrator of four bytes and a local part of two.
	wide := func(typ, admin, adminMask uint32) communityPattern {
		return communityPattern{extended,
			community{math.MaxUint16<<16 | adminMask>>16, adminMask<<16 | localMask&math.MaxUint16},
			community{typ<<24 | subtype<<16 | admin>>16, admin<<16 | local}}
	}
	narrow := func(admin, adminMask uint32) communityPattern {
		return communityPattern{extended, community{math.MaxUint16<<16 | adminMask&math.MaxUint16, localMask},
			community{twoByteAS<<24 | subtype<<16 | admin, local}}
	}
	if a, err := netip.ParseAddr(parts[0]); err == nil && a.Is4() {
		if local > math.MaxUint16 {
			return nil, fmt.Errorf("%q: behind an address the number ends at 65535", text)
		}
		b := a.As4()
		return []communityPattern{wide(address, binary.BigEndian.Uint32(b[:]), ^uint32(0))}, nil
	}
	admin, adminMask, ok := numberOrAny(parts[0])
	switch {
	case !ok:
		return nil, badCommunity(text)
	case adminMask == 0 && local > math.MaxUint16:
		return []communityPattern{narrow(0, 0)}, nil
	case adminMask == 0:
		return []communityPattern{narrow(0, 0), wide(address, 0, 0), wide(fourByteAS, 0, 0)}, nil
	case admin <= math.MaxUint16:
		return []communityPattern{narrow(admin, adminMask)}, nil
	case local > math.MaxUint16:
		return nil, fmt.Errorf("%q: behind an AS number above 65535 the number ends at 65535", text)
	}
	return []communityPattern{wide(fourByteAS, admin, adminMask)}, nil
}
