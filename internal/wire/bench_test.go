package wire

import (
	"testing"

	"holdfast/internal/prefix"
)

// message is an UPDATE like those of a full table: five prefixes, five
// communities and two large ones.
func message(f prefix.Family) (body []byte, o Options) {
	var list []byte
	a := Attrs{Has: HasOrigin | HasASPath | HasMED, MED: 20,
		NextHop: []byte{192, 0, 2, 1}, Communities: make([]byte, 20),
		LargeCommunities: append(LargeCommunity{1, 2, 4}.Append(nil), LargeCommunity{1, 2, 3}.Append(nil)...)}
	a.ASPath, _ = ParsePath("65001 3356 1299 64496")
	if f == prefix.IPv4 {
		list = nlri("203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "10.0.0.0/8", "172.16.0.0/12")
		body = AppendUpdate(nil, f, nil, a.Append(nil, false), nil, list)
	} else {
		list = nlri("2001:db8::/32", "2001:db8:1::/48", "2001:db8:2::/48", "2001:db8:3::/48", "2001:db8:4::/46")
		body = AppendUpdate(nil, f, nil, a.Append(nil, true), unhex("20010db8000000000000000000000001"), list)
	}
	return body[HeaderLen:], Options{EBGP: true, AS4: true, Families: both}
}

func TestAllocs(t *testing.T) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		body, o := message(f)
		mp := f == prefix.IPv6
		var u Update
		var a Attrs
		var block []byte
		routes, scratch, out := make([]Route, 0, 16), make([]byte, 0, 4096), make([]byte, 0, 4096)
		for name, do := range map[string]func(){
			"Split": func() {
				if Split(body, &o, &u) != nil || u.Suspect {
					t.Fatal("bad message")
				}
			},
			"Block": func() { block = u.Block(scratch) },
			"Decode": func() {
				l := u.Announced
				if mp {
					l = u.Reach
				}
				if r, err := l.Decode(routes); err != nil || len(r) != 5 {
					t.Fatal(err)
				}
			},
			"Validate": func() {
				b, v := u.Validate(&o, mp, scratch)
				if v.Action != Accept {
					t.Fatal(v.Why)
				}
				block = b
			},
			"Parse":     func() { Parse(block, u.ReachNextHop, &a) },
			"Append":    func() { out = a.Append(out[:0], mp) },
			"AppendAS2": func() { out = a.AppendAS2(out[:0], mp) },
			"paths": func() {
				n := PathLen(a.ASPath) + PathContains(a.ASPath, 1299)
				for it := Path(a.ASPath); it.Next(); {
					n++
				}
				out = Prepend(out[:0], a.ASPath, uint32(n), 3)
			},
			"AppendKeepalive": func() { out = AppendEndOfRIB(AppendKeepalive(out[:0]), f) },
		} {
			Split(body, &o, &u)
			block = u.Block(scratch)
			Parse(block, u.ReachNextHop, &a)
			if n := testing.AllocsPerRun(100, do); n != 0 {
				t.Errorf("%s of %s: %v allocations", name, f, n)
			}
		}
	}
}

func bench(b *testing.B, do func(u *Update, o *Options, body []byte, mp bool, a *Attrs, buf []byte)) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		b.Run(f.String(), func(b *testing.B) {
			body, o := message(f)
			var u Update
			var a Attrs
			Split(body, &o, &u)
			buf := make([]byte, 0, 4096)
			Parse(u.Block(nil), u.ReachNextHop, &a)
			b.ReportAllocs()
			for b.Loop() {
				do(&u, &o, body, f == prefix.IPv6, &a, buf)
			}
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	bench(b, func(u *Update, o *Options, body []byte, _ bool, _ *Attrs, _ []byte) { Split(body, o, u) })
}

func BenchmarkBlock(b *testing.B) {
	bench(b, func(u *Update, _ *Options, _ []byte, _ bool, _ *Attrs, buf []byte) { u.Block(buf) })
}

func BenchmarkValidate(b *testing.B) {
	bench(b, func(u *Update, o *Options, _ []byte, mp bool, _ *Attrs, buf []byte) { u.Validate(o, mp, buf) })
}

func BenchmarkParse(b *testing.B) {
	bench(b, func(u *Update, _ *Options, _ []byte, _ bool, a *Attrs, buf []byte) { Parse(u.Attrs, u.ReachNextHop, a) })
}

func BenchmarkAppend(b *testing.B) {
	bench(b, func(_ *Update, _ *Options, _ []byte, mp bool, a *Attrs, buf []byte) { a.Append(buf, mp) })
}

func BenchmarkAppendAS2(b *testing.B) {
	bench(b, func(_ *Update, _ *Options, _ []byte, mp bool, a *Attrs, buf []byte) { a.AppendAS2(buf, mp) })
}

// BenchmarkDecode reports the time of one prefix.
func BenchmarkDecode(b *testing.B) {
	for _, f := range []prefix.Family{prefix.IPv4, prefix.IPv6} {
		b.Run(f.String(), func(b *testing.B) {
			body, o := message(f)
			var u Update
			Split(body, &o, &u)
			l, n := u.Announced, 0
			if f == prefix.IPv6 {
				l = u.Reach
			}
			one := l.Data
			for range 40 {
				l.Data = append(l.Data[:len(l.Data):len(l.Data)], one...)
			}
			routes := make([]Route, 0, 256)
			for b.Loop() {
				r, _ := l.Decode(routes[:0])
				n += len(r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/prefix")
		})
	}
}

func BenchmarkAppendPrefix(b *testing.B) {
	for _, s := range []string{"203.0.113.0/24", "2001:db8:1::/48"} {
		b.Run(s, func(b *testing.B) {
			p := prefix.MustParse(s)
			buf := make([]byte, 0, 32)
			for b.Loop() {
				buf = AppendPrefix(buf[:0], p)
			}
		})
	}
}
