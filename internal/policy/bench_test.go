package policy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// randomPrefixes is prefixes as in a full table, mostly /24.
func randomPrefixes(n int, v6 bool) []prefix.Prefix {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]prefix.Prefix, n)
	for i := range out {
		if v6 {
			out[i] = prefix.New(prefix.IPv6, 0x2000<<48|r.Uint64()>>3, r.Uint64(), uint8(32+r.IntN(17)))
		} else {
			out[i] = prefix.New(prefix.IPv4, uint64(r.Uint32())<<32, 0, uint8(24-max(0, r.IntN(20)-10)))
		}
	}
	return out
}

func setOf(ps []prefix.Prefix, more uint8) *PrefixSet {
	s := &PrefixSet{}
	for _, p := range ps {
		s.Add(PrefixRange{p, p.Bits, max(p.Bits, min(p.Bits+more, 24))}, Pos{File: "x"})
	}
	s.close()
	return s
}

func BenchmarkVariant(b *testing.B) {
	for _, c := range []struct {
		name    string
		n       int
		more    uint8
		v6, hit bool
	}{
		{"1000-exact/hit", 1000, 0, false, true},
		{"1000-exact/miss", 1000, 0, false, false},
		{"1000-v6-exact/hit", 1000, 0, true, true},
		{"1000-le24/hit", 1000, 8, false, true},
		{"1000-le24/miss", 1000, 8, false, false},
		{"1M-exact/hit", 1000000, 0, false, true},
		{"1M-exact/miss", 1000000, 0, false, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			ps := randomPrefixes(c.n, c.v6)
			p := mustCompile(b, Context{}, one(Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{setOf(ps, c.more)}}))
			ask := ps
			if !c.hit {
				ask = randomPrefixes(c.n+1, c.v6)
			}
			rand.New(rand.NewPCG(2, 2)).Shuffle(len(ask), func(i, j int) { ask[i], ask[j] = ask[j], ask[i] })
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Variant(ask[i%len(ask)])
			}
		})
	}
}

// edgePolicy is what an import policy of an edge router looks like.
func edgePolicy(t testing.TB) []*Policy {
	rule := func(then Then, set Actions, conds ...Condition) Rule {
		return Rule{Match: []Match{{Conditions: conds}}, Set: set, Then: then}
	}
	return []*Policy{{Rules: []Rule{
		rule(Reject, Actions{}, Condition{Kind: CondPrefix, Prefixes: []*PrefixSet{prefixes(t, "10.0.0.0/8 le 32", "0.0.0.0/0", "192.168.0.0/16 le 32")}}),
		rule(Reject, Actions{}, Condition{Kind: CondPrefixLength, Ranges: []Range{{25, 32}}}),
		rule(Reject, Actions{}, Condition{Kind: CondASPathContains, ASNs: []*ASSet{asns(t, "23456", "64496-131071", "4200000000-4294967295")}}),
		rule(Reject, Actions{}, Condition{Kind: CondASPathLength, Ranges: []Range{{50, 255}}}),
		rule(Reject, Actions{}, Condition{Kind: CondASPath, Patterns: []*ASPathSet{patterns(t, ".* 174 .* 3356 .*")}}),
		rule(Continue, Actions{LocalPref: Adjust{SetTo, 80}}, Condition{Kind: CondCommunity, Communities: []*CommunitySet{comms(t, "6939:80", "6939:*:80")}}),
	}}, {Rules: []Rule{{Name: "rest", Then: Accept}}}}
}

func edgeRoute(t testing.TB, words ...string) *wire.Attrs {
	return attrs(t, append([]string{"path=6939 174 2914 9002 12389", "med=10", "nh=192.0.2.1", "6939:1", "6939:2", "174:21000", "174:22013"}, words...)...)
}

func BenchmarkEval(b *testing.B) {
	for name, extra := range map[string][]string{"unchanged": nil, "changed": {"6939:80"}} {
		b.Run(name, func(b *testing.B) {
			p := mustCompile(b, Context{}, edgePolicy(b)...)
			given := edgeRoute(b, extra...)
			v := p.Variant(mp("1.0.0.0/24"))
			var s Scratch
			b.ReportAllocs()
			for b.Loop() {
				a := *given
				if r := p.Eval(v, &Route{Attrs: &a}, &s); !r.Accept || r.Changed != (extra != nil) {
					b.Fatal(r)
				}
			}
		})
	}
}

func BenchmarkPattern(b *testing.B) {
	for _, text := range []string{".* 3356 .*", "6939 (174|3356)+ .* [64512-65534]{0,3} 12389"} {
		b.Run(text, func(b *testing.B) {
			p, err := CompilePattern(text)
			if err != nil {
				b.Fatal(err)
			}
			x := path("6939 174 2914 9002 12389")
			b.ReportAllocs()
			for b.Loop() {
				p.Match(x)
			}
		})
	}
}

func BenchmarkReadPrefixes1M(b *testing.B) {
	ps := randomPrefixes(1000000, false)
	lines := text(len(ps), func(b *bytes.Buffer, i int) { fmt.Fprintln(b, ps[i]) })
	for b.Loop() {
		s, err := readPrefixes(bytes.NewReader(lines), "x")
		if err != nil {
			b.Fatal(err)
		}
		s.close()
	}
}

func BenchmarkReadASNs1M(b *testing.B) {
	lines := text(1000000, func(b *bytes.Buffer, i int) { fmt.Fprintln(b, i*7) })
	for b.Loop() {
		s, err := readASNs(bytes.NewReader(lines), "x")
		if err != nil {
			b.Fatal(err)
		}
		s.close()
	}
}

func BenchmarkReadCommunities1M(b *testing.B) {
	lines := text(1000000, func(b *bytes.Buffer, i int) { fmt.Fprintf(b, "64500:%d:%d\n", i, i*7) })
	for b.Loop() {
		s, err := readCommunities(bytes.NewReader(lines), "x")
		if err != nil {
			b.Fatal(err)
		}
		s.close()
	}
}

func TestAllocations(t *testing.T) {
	ps := randomPrefixes(1000, false)
	chain := append([]*Policy{{Rules: []Rule{{Match: []Match{{Conditions: []Condition{{Kind: CondPrefix, Prefixes: []*PrefixSet{setOf(ps, 2)}}}}}}}}}, edgePolicy(t)...)
	p := mustCompile(t, Context{}, chain...)
	for _, x := range ps {
		p.Variant(x)
	}
	i := 0
	if n := testing.AllocsPerRun(1000, func() { p.Variant(ps[i%len(ps)]); i++ }); n != 0 {
		t.Errorf("Variant allocates %v times", n)
	}
	var s Scratch
	v := p.Variant(mp("1.0.0.0/24"))
	for name, c := range map[string]struct {
		a   *wire.Attrs
		set Actions
	}{
		"as it is": {edgeRoute(t), Actions{}},
		"changed": {edgeRoute(t, "6939:80"), Actions{MED: Adjust{Add, 1}, Prepend: Prepend{Count: 3}, AddCommunities: comms(t, "1:1", "1:1:1"),
			RemoveCommunities: []*CommunitySet{comms(t, "6939:*")}, NextHop: NextHop{Mode: NextHopAddress, IPv4: netip.MustParseAddr("192.0.2.1")}}},
	} {
		q := mustCompile(t, Context{}, append([]*Policy{{Rules: []Rule{{Set: c.set}}}}, chain...)...)
		v = q.Variant(mp("1.0.0.0/24"))
		if n := testing.AllocsPerRun(1000, func() {
			a := *c.a
			r := q.Eval(v, &Route{Attrs: &a}, &s)
			q.Count(r.Trace, 1)
		}); n != 0 {
			t.Errorf("Eval of a route %s allocates %v times", name, n)
		}
	}
}

// A million entries have a budget: 16 bytes as written, 16 to find them.
func TestMillionPrefixes(t *testing.T) {
	var lines bytes.Buffer
	for i := range uint32(1000000) {
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], i<<8)
		fmt.Fprintf(&lines, "%d.%d.%d.%d/24\n", b[0], b[1], b[2], b[3])
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s, err := readPrefixes(&lines, "x")
	if err != nil {
		t.Fatal(err)
	}
	s.close()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) >> 20; got > 45 {
		t.Errorf("a million prefixes take %d MB", got)
	}
	if s.Len() != 1000000 || !s.Contains(mp("15.66.63.0/24")) || s.Contains(mp("15.66.64.0/24")) {
		t.Errorf("%d entries", s.Len())
	}
	runtime.KeepAlive(&lines)
}
