// Package feed makes tables of the Internet's shape for tests and benchmarks:
// the same seed gives the same bytes on every machine.
//
// A Table is the world: prefixes in bundles that share their origin and its
// wishes, most bundles small and a few very large. A Sender is one neighbor's
// view of it: the same prefixes behind its own paths, in its own order, as
// UPDATE messages.
package feed

import (
	"math/rand/v2"

	"holdfast/internal/prefix"
)

// Table is a set of prefixes with origins. It is immutable.
type Table struct {
	seed     uint64
	family   prefix.Family
	prefixes []prefix.Prefix
	bundles  []bundle
	transits []uint32
}

// bundle is a run of prefixes with the same attributes, whoever sends them.
type bundle struct {
	from, to int // in Table.prefixes
	origin   uint32
}

// shape is how many of 1,000 prefixes have a length.
type shape []struct{ bits, share int }

var (
	shapeIPv4 = shape{
		{24, 600}, {23, 100}, {22, 112}, {21, 52}, {20, 45}, {19, 27}, {18, 15}, {17, 9},
		{16, 14}, {15, 6}, {14, 5}, {13, 4}, {12, 4}, {11, 3}, {10, 2}, {9, 1}, {8, 1},
	}
	shapeIPv6 = shape{
		{48, 480}, {44, 90}, {40, 85}, {32, 130}, {36, 50}, {46, 35}, {47, 30}, {29, 30},
		{45, 15}, {42, 15}, {43, 8}, {33, 8}, {34, 8}, {38, 6}, {56, 4}, {64, 3}, {28, 2}, {20, 1},
	}
)

// bits draws a length.
func (s shape) bits(r *rand.Rand) uint8 {
	n := r.IntN(1000)
	for _, e := range s {
		if n -= e.share; n < 0 {
			return uint8(e.bits)
		}
	}
	return uint8(s[0].bits)
}

// New makes a table of n different prefixes.
func New(seed uint64, f prefix.Family, n int) *Table {
	r := rand.New(rand.NewPCG(seed, uint64(f)))
	t := &Table{seed: seed, family: f, prefixes: make([]prefix.Prefix, 0, n)}
	for range 400 {
		t.transits = append(t.transits, drawAS(r))
	}
	seen := make(map[prefix.Prefix]bool, n)
	for len(t.prefixes) < n {
		b := bundle{from: len(t.prefixes), origin: drawAS(r)}
		for range min(bundleSize(r), n-b.from) {
			p := t.draw(r, b.from, seen)
			seen[p] = true
			t.prefixes = append(t.prefixes, p)
		}
		b.to = len(t.prefixes)
		t.bundles = append(t.bundles, b)
	}
	return t
}

// Family is the address family of all prefixes.
func (t *Table) Family() prefix.Family { return t.family }

// Prefixes are all prefixes, in the order of their making. Not to be changed.
func (t *Table) Prefixes() []prefix.Prefix { return t.prefixes }

// Bundles is how many different sets of attributes a Sender sends at the most.
func (t *Table) Bundles() int { return len(t.bundles) }

// draw makes a prefix that is not there yet: next to the bundle's last one, as
// networks get their addresses in rows, or elsewhere.
func (t *Table) draw(r *rand.Rand, bundleFrom int, seen map[prefix.Prefix]bool) prefix.Prefix {
	if len(t.prefixes) > bundleFrom && r.IntN(10) < 6 {
		last := t.prefixes[len(t.prefixes)-1]
		p := last
		p.Hi += 1 << (64 - p.Bits)
		if !seen[p] && p.Hi > last.Hi && p.Hi>>56 == last.Hi>>56 {
			return p
		}
	}
	for {
		var p prefix.Prefix
		if t.family == prefix.IPv4 {
			// 11.0.0.0 to 126.255.255.255 and 128.0.0.0 to 168.255.255.255: no
			// block with a special meaning that policies drop.
			a := 11 + r.Uint64N(158)
			if a >= 127 {
				a++
			}
			p = prefix.New(prefix.IPv4, a<<56|r.Uint64N(1<<24)<<32, 0, shapeIPv4.bits(r))
		} else {
			blocks := [...]uint64{0x240, 0x260, 0x280, 0x2a0, 0x2c0}
			p = prefix.New(prefix.IPv6, blocks[r.IntN(len(blocks))]<<52|r.Uint64N(1<<52), 0, shapeIPv6.bits(r))
		}
		if !seen[p] {
			return p
		}
	}
}

// bundleSize has a mean of about 5 and a tail into the thousands.
func bundleSize(r *rand.Rand) int {
	n := 1
	for n < 4096 && r.Float64() < 0.5 {
		n *= 2
	}
	return n - r.IntN((n+1)/2)
}

// drawAS draws a number that is no private or reserved one; every third needs
// four bytes.
func drawAS(r *rand.Rand) uint32 {
	if r.IntN(3) == 0 {
		return 131072 + r.Uint32N(270000)
	}
	return 100 + r.Uint32N(63000-100)
}
