package rpki

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"holdfast/internal/prefix"
)

func vrp(p string, longest uint8, asn uint32) VRP {
	return VRP{prefix.MustParse(p), longest, asn}
}

func set(all ...VRP) *Set {
	var b Builder
	for _, v := range all {
		b.Add(v)
	}
	return b.Set()
}

// TestState has the cases of RFC 6811 section 2 and its appendix, RFC 7607 and
// RFC 6483 section 4.
func TestState(t *testing.T) {
	table := NewTable(set(
		vrp("10.1.0.0/16", 16, 64497), vrp("10.0.0.0/8", 20, 64496), vrp("10.1.0.0/16", 20, 64498),
		vrp("192.0.2.0/24", 24, 0),
		vrp("198.51.100.0/24", 24, 0), vrp("198.51.100.0/24", 26, 64499),
		vrp("2001:db8::/32", 48, 64496), vrp("2001:db8:1:2:3::/80", 128, 64497),
		vrp("0.0.0.0/0", 0, 64510),
	))
	for _, c := range []struct {
		prefix string
		origin uint32
		want   State
	}{
		{"10.0.0.0/8", 64496, Valid},
		{"10.0.0.0/8", 64497, Invalid},
		{"10.1.0.0/16", 64496, Valid}, // by the less specific one
		{"10.1.0.0/16", 64497, Valid},
		{"10.1.0.0/17", 64497, Invalid}, // too long
		{"10.1.0.0/20", 64498, Valid},
		{"10.1.0.0/21", 64498, Invalid},
		{"10.200.0.0/20", 64496, Valid},
		{"10.200.0.0/21", 64496, Invalid},
		{"10.1.0.0/16", 0, Invalid}, // an AS_SET at the end: no origin
		{"192.0.2.0/24", 0, Invalid},
		{"192.0.2.0/24", 64496, Invalid}, // AS 0: nobody
		{"198.51.100.0/25", 64499, Valid},
		{"198.51.100.0/24", 64500, Invalid},
		{"203.0.113.0/24", 64500, Invalid}, // by 0.0.0.0/0
		{"0.0.0.0/0", 64510, Valid},
		{"2001:db8::/48", 64496, Valid},
		{"2001:db8::/49", 64496, Invalid},
		{"2001:db8:1:2:3::/96", 64497, Valid},
		{"2001:db8:1:2:4::/96", 64497, Invalid},
		{"2001:db9::/32", 64496, Unknown},
		{"2001:d00::/24", 64496, Unknown}, // less specific than any
		{"::/0", 64496, Unknown},
	} {
		if got := table.State(prefix.MustParse(c.prefix), c.origin); got != c.want {
			t.Errorf("%s of %d is %s, want %s", c.prefix, c.origin, got, c.want)
		}
	}
	var none *Table
	if s := none.State(prefix.MustParse("10.0.0.0/8"), 1); s != Unknown || none.Bytes() != 0 || none.Set().Len() != 0 {
		t.Errorf("without a table it is %s", s)
	}
	var all []VRP
	for v := range table.Covering(prefix.MustParse("10.1.0.0/24")) {
		all = append(all, v)
	}
	if want := []VRP{vrp("10.1.0.0/16", 20, 64498), vrp("10.1.0.0/16", 16, 64497), vrp("10.0.0.0/8", 20, 64496), vrp("0.0.0.0/0", 0, 64510)}; !slices.Equal(all, want) {
		t.Errorf("covered by %v, want %v", all, want)
	}
}

// random is a VRP in a small part of the address space, so that they nest.
func random(r *rand.Rand) VRP {
	f := prefix.Family(r.IntN(2))
	bits := uint8(r.IntN(int(f.MaxBits()) + 1))
	hi, lo := uint64(0x0a<<56), uint64(0)
	if f == prefix.IPv6 {
		hi, lo = 0x2001_0db8<<32|uint64(r.IntN(4)), uint64(r.IntN(4))<<62|uint64(r.IntN(2))
	}
	hi ^= uint64(r.IntN(4))<<54 | uint64(r.IntN(4))<<40 | uint64(r.IntN(4))<<32
	p := prefix.New(f, hi, lo, bits)
	return VRP{p, bits + uint8(r.IntN(int(f.MaxBits()-bits)+1)), uint32(r.IntN(4))}
}

// naive is RFC 6811 section 2.1 word by word.
func naive(all map[VRP]bool, p prefix.Prefix, origin uint32) State {
	state := Unknown
	for v := range all {
		if v.Prefix.Covers(p) {
			state = max(state, Invalid)
		}
	}
	for v := range all {
		if v.Prefix.Covers(p) && p.Bits <= v.MaxLen && v.ASN == origin && origin != 0 {
			return Valid
		}
	}
	return state
}

// TestTwin holds sets and tables against maps.
func TestTwin(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		many := 1 + r.IntN(200)
		if seed%20 == 0 {
			many = 6000 // with buckets
		}
		pick := func() (map[VRP]bool, *Set) {
			all, b := map[VRP]bool{}, Builder{}
			for range many {
				v := random(r)
				all[v] = true
				b.Add(v)
			}
			return all, b.Set()
		}
		x, a := pick()
		y, b := pick()
		if a.Len() != len(x) || a.Count(prefix.IPv4)+a.Count(prefix.IPv6) != len(x) {
			t.Fatalf("%d VRPs, want %d", a.Len(), len(x))
		}
		both, one := Union(a, nil, b), Difference(a, b)
		table, affected := NewTable(both), NewTable(one)
		union := map[VRP]bool{}
		for v := range both.All() {
			union[v] = true
			if !x[v] && !y[v] {
				t.Fatalf("the union has %v", v)
			}
			if one.Contains(v) != (x[v] != y[v]) {
				t.Fatalf("the difference has %v: %v", v, one.Contains(v))
			}
		}
		for v := range x {
			if !both.Contains(v) {
				t.Fatalf("the union has no %v", v)
			}
		}
		before := NewTable(a)
		for range 300 {
			p, origin := random(r).Prefix, uint32(r.IntN(4))
			if got, want := table.State(p, origin), naive(union, p, origin); got != want {
				t.Fatalf("seed %d: %v of %d is %s, want %s", seed, p, origin, got, want)
			}
			if before.State(p, origin) != NewTable(b).State(p, origin) && !affected.Covers(p) {
				t.Fatalf("seed %d: %v of %d is another one, and nothing around it has changed", seed, p, origin)
			}
			if many > 1000 {
				break
			}
		}
	}
}

// TestApply holds changes in order against a map.
func TestApply(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		now, s := map[VRP]bool{}, (*Set)(nil)
		for range 10 {
			var changes []Change
			want := map[VRP]bool{}
			for v := range now {
				want[v] = true
			}
			var wrong error
			for range r.IntN(20) {
				c := Change{random(r), r.IntN(2) == 0}
				if len(changes) > 0 && r.IntN(3) == 0 {
					c.VRP = changes[r.IntN(len(changes))].VRP
				}
				if r.IntN(8) > 0 {
					c.Withdraw = want[c.VRP]
				}
				switch {
				case wrong != nil:
				case c.Withdraw && !want[c.VRP]:
					wrong = ErrUnknown
				case !c.Withdraw && want[c.VRP]:
					wrong = ErrTwice
				}
				want[c.VRP] = !c.Withdraw
				if c.Withdraw {
					delete(want, c.VRP)
				}
				changes = append(changes, c)
			}
			next, err := s.Apply(changes)
			if (err != nil) != (wrong != nil) || err != nil && !errors.Is(err, ErrTwice) && !errors.Is(err, ErrUnknown) {
				t.Fatalf("seed %d: %v, want %v", seed, err, wrong)
			}
			if err != nil {
				continue
			}
			s, now = next, want
			if s.Len() != len(now) {
				t.Fatalf("seed %d: %d VRPs, want %d", seed, s.Len(), len(now))
			}
			for v := range s.All() {
				if !now[v] {
					t.Fatalf("seed %d: there is %v", seed, v)
				}
			}
		}
	}
}

func TestSizes(t *testing.T) {
	if a, b := unsafe.Sizeof(vrp4{}), unsafe.Sizeof(vrp6{}); a != 12 || b != 24 {
		t.Errorf("VRPs take %d and %d bytes", a, b)
	}
}

// world is about as many VRPs as the Internet has, and prefixes to ask for.
func world() (*Set, []prefix.Prefix) {
	r := rand.New(rand.NewPCG(1, 1))
	var b Builder
	var ask []prefix.Prefix
	for i := range 600_000 {
		f, bits := prefix.IPv4, uint8(16+r.IntN(9))
		hi := r.Uint64()
		if i%4 == 0 {
			f, bits = prefix.IPv6, uint8(29+r.IntN(20))
			hi = uint64(0x2400+0x200*r.IntN(5)+r.IntN(16))<<48 | hi>>16
		}
		p := prefix.New(f, hi, 0, bits)
		b.Add(VRP{p, bits + uint8(r.IntN(3)), uint32(r.IntN(70_000))})
		if i%10 == 0 {
			ask = append(ask, prefix.New(f, hi, 0, bits+uint8(r.IntN(2))))
		}
	}
	r.Shuffle(len(ask), func(i, j int) { ask[i], ask[j] = ask[j], ask[i] })
	return b.Set(), ask
}

func BenchmarkState(b *testing.B) {
	s, ask := world()
	t := NewTable(s)
	for i := 0; b.Loop(); i++ {
		t.State(ask[i%len(ask)], 1)
	}
	b.ReportMetric(float64(t.Bytes())/float64(s.Len()), "B/VRP")
}

func BenchmarkTable(b *testing.B) {
	s, _ := world()
	for b.Loop() {
		NewTable(s)
	}
}

func BenchmarkUnion(b *testing.B) {
	s, _ := world()
	o, _ := s.Apply([]Change{{VRP: vrp("10.0.0.0/8", 8, 1)}})
	for b.Loop() {
		Union(s, o)
	}
}
