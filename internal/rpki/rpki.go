// Package rpki validates who originates a route (RFC 6811): sets of validated
// ROA payloads, what differs between two of them, and a table that finds those
// that cover a prefix. And it verifies AS paths by what ASes say of their providers
// (draft-ietf-sidrops-aspa-verification). Sets and tables never change once they
// are made, so that any number of goroutines may ask them.
package rpki

import (
	"cmp"
	"fmt"

	"holdfast/internal/prefix"
)

// State is what the VRPs say of a route (RFC 6811 section 2), or ASPAs of a path.
type State uint8

const (
	Unknown State = iota // no VRP covers the prefix: NotFound
	Valid                // one that covers it has its origin, and allows its length
	Invalid              // some cover it, and none of them has both
	States               // how many there are
)

var stateNames = [States]string{"unknown", "valid", "invalid"}

func (s State) String() string { return stateNames[s] }

// StateByName is the inverse of String.
func StateByName(name string) (State, bool) {
	for s, n := range stateNames {
		if n == name {
			return State(s), true
		}
	}
	return 0, false
}

// VRP is a validated ROA payload: ASN may originate Prefix, and its parts of up
// to MaxLen bits. AS 0 may never (RFC 6483 section 4).
type VRP struct {
	Prefix prefix.Prefix
	MaxLen uint8
	ASN    uint32
}

func (v VRP) String() string {
	if v.MaxLen == v.Prefix.Bits {
		return fmt.Sprintf("%s AS%d", v.Prefix, v.ASN)
	}
	return fmt.Sprintf("%s-%d AS%d", v.Prefix, v.MaxLen, v.ASN)
}

// Check says what is wrong with a VRP, if anything is.
func (v VRP) Check() error {
	if v.MaxLen < v.Prefix.Bits || v.MaxLen > v.Prefix.Family.MaxBits() {
		return fmt.Errorf("the longest length of %s is from %d to %d, not %d", v.Prefix, v.Prefix.Bits, v.Prefix.Family.MaxBits(), v.MaxLen)
	}
	return nil
}

// Matches reports whether a VRP that covers a prefix makes it valid for an
// origin.
func (v VRP) Matches(bits uint8, origin uint32) bool {
	return matches(v.ASN, v.MaxLen, bits, origin)
}

func matches(asn uint32, most, bits uint8, origin uint32) bool {
	return asn == origin && bits <= most && origin != 0
}

// vrp4 and vrp6 are VRPs in 12 and 24 bytes.
type vrp4 struct {
	addr, asn uint32
	bits, max uint8
}

type vrp6 struct {
	hi, lo    uint64
	asn       uint32
	bits, max uint8
}

func (v vrp4) get() VRP {
	return VRP{prefix.Prefix{Hi: uint64(v.addr) << 32, Bits: v.bits, Family: prefix.IPv4}, v.max, v.asn}
}

func (v vrp6) get() VRP {
	return VRP{prefix.Prefix{Hi: v.hi, Lo: v.lo, Bits: v.bits, Family: prefix.IPv6}, v.max, v.asn}
}

func pack4(v VRP) vrp4 { return vrp4{uint32(v.Prefix.Hi >> 32), v.ASN, v.Prefix.Bits, v.MaxLen} }
func pack6(v VRP) vrp6 {
	return vrp6{v.Prefix.Hi, v.Prefix.Lo, v.ASN, v.Prefix.Bits, v.MaxLen}
}

// place orders by address and then by length: a block stands before its parts.
func (v vrp4) place(o vrp4) int {
	a, b := uint64(v.addr)<<8|uint64(v.bits), uint64(o.addr)<<8|uint64(o.bits)
	return cmp.Compare(a, b)
}

func (v vrp6) place(o vrp6) int {
	if v.hi != o.hi {
		return cmp.Compare(v.hi, o.hi)
	}
	if v.lo != o.lo {
		return cmp.Compare(v.lo, o.lo)
	}
	return cmp.Compare(v.bits, o.bits)
}

func compare4(a, b vrp4) int {
	if c := a.place(b); c != 0 {
		return c
	}
	return cmp.Compare(uint64(a.asn)<<8|uint64(a.max), uint64(b.asn)<<8|uint64(b.max))
}

func compare6(a, b vrp6) int {
	if c := a.place(b); c != 0 {
		return c
	}
	return cmp.Compare(uint64(a.asn)<<8|uint64(a.max), uint64(b.asn)<<8|uint64(b.max))
}

func (v vrp4) covers(o vrp4) bool {
	return v.bits <= o.bits && (v.addr^o.addr)>>(32-v.bits) == 0
}

func (v vrp6) covers(o vrp6) bool {
	switch {
	case v.bits > o.bits:
		return false
	case v.bits <= 64:
		return (v.hi^o.hi)>>(64-v.bits) == 0
	}
	return v.hi == o.hi && (v.lo^o.lo)>>(128-v.bits) == 0
}
