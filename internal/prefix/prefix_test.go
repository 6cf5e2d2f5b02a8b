package prefix

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.0/24":    "192.0.2.0/24",
		"0.0.0.0/0":       "0.0.0.0/0",
		"2001:db8::/32":   "2001:db8::/32",
		"::/0":            "::/0",
		"2001:db8::1/128": "2001:db8::1/128",
	} {
		p, err := Parse(in)
		if err != nil || p.String() != want {
			t.Errorf("Parse(%q) = %v, %v", in, p, err)
		}
	}
	for _, in := range []string{"", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0", "x/8"} {
		if p, err := Parse(in); err == nil {
			t.Errorf("Parse(%q) = %v, want an error", in, p)
		}
	}
}

// draw gives any prefix of either family.
func draw(t *rapid.T) netip.Prefix {
	if rapid.Bool().Draw(t, "v6") {
		var a [16]byte
		copy(a[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "addr"))
		return netip.PrefixFrom(netip.AddrFrom16(a), rapid.IntRange(0, 128).Draw(t, "bits"))
	}
	var a [4]byte
	copy(a[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "addr"))
	return netip.PrefixFrom(netip.AddrFrom4(a), rapid.IntRange(0, 32).Draw(t, "bits"))
}

func TestAgreesWithNetip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		p, q := FromNetip(a), FromNetip(b)
		if p.Netip() != a.Masked() {
			t.Fatalf("%v became %v", a, p)
		}
		if got, want := p.Covers(q), a.Bits() <= b.Bits() && a.Masked().Contains(b.Addr()); got != want {
			t.Fatalf("%v covers %v: %v, want %v", p, q, got, want)
		}
		if Compare(p, q) != -Compare(q, p) || (Compare(p, q) == 0) != (p == q) {
			t.Fatalf("Compare(%v, %v) is not an order", p, q)
		}
	})
}

func TestOrder(t *testing.T) {
	want := []string{"10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "::/0", "2001:db8::/32"}
	var ps []Prefix
	for _, s := range want {
		ps = append(ps, MustParse(s))
	}
	slices.Reverse(ps)
	slices.SortFunc(ps, Compare)
	for i, p := range ps {
		if p.String() != want[i] {
			t.Fatalf("order %v, want %v", ps, want)
		}
	}
}
