// Package prefix has the address blocks that routes are about, as small
// pointer-free values for tables of millions.
package prefix

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Family is an address family with unicast routes. Its values are dense, so
// that arrays can be indexed by them.
type Family uint8

const (
	IPv4 Family = iota
	IPv6
	// Families is how many there are.
	Families = 2
)

// AFI is the family's number on the wire (RFC 4760); its SAFI is always 1.
func (f Family) AFI() uint16 { return uint16(f) + 1 }

// MaxBits is the length of an address in bits.
func (f Family) MaxBits() uint8 {
	if f == IPv4 {
		return 32
	}
	return 128
}

func (f Family) String() string {
	if f == IPv4 {
		return "ipv4"
	}
	return "ipv6"
}

// FamilyByAFI is the inverse of AFI.
func FamilyByAFI(afi uint16) (Family, bool) { return Family(afi - 1), afi == 1 || afi == 2 }

// Prefix is an address block. Address bits start at the top of Hi, IPv6
// continues in Lo; bits behind the length are zero. Comparable with ==.
type Prefix struct {
	Hi, Lo uint64
	Bits   uint8
	Family Family
}

// New is the block of the given length around an address: bits behind the
// length are cleared, as RFC 4271 section 4.3 calls them irrelevant.
func New(f Family, hi, lo uint64, bits uint8) Prefix {
	switch {
	case bits == 0:
		hi, lo = 0, 0
	case bits <= 64:
		hi &= ^uint64(0) << (64 - bits)
		lo = 0
	case bits < 128:
		lo &= ^uint64(0) << (128 - bits)
	}
	return Prefix{hi, lo, bits, f}
}

// FamilyOf is the family of a valid address. IPv4 in IPv6 counts as IPv6.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// FromNetip converts a valid netip.Prefix and clears its host bits. Addresses
// that are IPv4 in IPv6 count as IPv6.
func FromNetip(p netip.Prefix) Prefix {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		return New(IPv4, uint64(binary.BigEndian.Uint32(a[:]))<<32, 0, uint8(p.Bits()))
	}
	a := p.Addr().As16()
	return New(IPv6, binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(a[8:]), uint8(p.Bits()))
}

// Parse reads "192.0.2.0/24". Host bits that are set are an error: what was
// meant cannot be known.
func Parse(s string) (Prefix, error) {
	n, err := netip.ParsePrefix(s)
	if err != nil {
		return Prefix{}, fmt.Errorf("%q is not a prefix like 192.0.2.0/24 or 2001:db8::/32", s)
	}
	if n.Masked() != n {
		return Prefix{}, fmt.Errorf("%s has bits set behind its length: write %s", s, n.Masked())
	}
	return FromNetip(n), nil
}

// MustParse is Parse for constants; it panics where Parse fails.
func MustParse(s string) Prefix {
	p, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return p
}

// Addr is the first address of the block.
func (p Prefix) Addr() netip.Addr {
	if p.Family == IPv4 {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], uint32(p.Hi>>32))
		return netip.AddrFrom4(a)
	}
	var a [16]byte
	binary.BigEndian.PutUint64(a[:8], p.Hi)
	binary.BigEndian.PutUint64(a[8:], p.Lo)
	return netip.AddrFrom16(a)
}

// Netip converts to the standard library's type.
func (p Prefix) Netip() netip.Prefix { return netip.PrefixFrom(p.Addr(), int(p.Bits)) }

func (p Prefix) String() string { return p.Netip().String() }

// Covers reports whether q lies inside p (or is p).
func (p Prefix) Covers(q Prefix) bool {
	return p.Family == q.Family && p.Bits <= q.Bits && New(q.Family, q.Hi, q.Lo, p.Bits) == p
}

// Truncate is the covering block of the given, not larger, length.
func (p Prefix) Truncate(bits uint8) Prefix { return New(p.Family, p.Hi, p.Lo, bits) }

// Compare orders by family, address and length, as people list them.
func Compare(a, b Prefix) int {
	return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(a.Hi, b.Hi),
		cmp.Compare(a.Lo, b.Lo), cmp.Compare(a.Bits, b.Bits))
}
