package feed

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"net/netip"
	"slices"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

var nextHops = [prefix.Families]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")}

var families = [...]prefix.Family{prefix.IPv4, prefix.IPv6}

// message is what the tests need of an UPDATE.
type message struct {
	attrs    map[byte][]byte // without MP_REACH_NLRI
	nextHop  []byte
	prefixes []prefix.Prefix
}

// read is a slow decoder that trusts nothing of the encoder's code.
func read(t testing.TB, f prefix.Family, m []byte) message {
	t.Helper()
	if len(m) > 4096 || int(binary.BigEndian.Uint16(m[16:])) != len(m) || m[18] != 2 ||
		!bytes.Equal(m[:16], bytes.Repeat([]byte{0xff}, 16)) || m[19] != 0 || m[20] != 0 {
		t.Fatalf("no UPDATE: %x", m)
	}
	n := 23 + int(binary.BigEndian.Uint16(m[21:]))
	attrs, nlri := m[23:n], m[n:]
	out := message{attrs: map[byte][]byte{}}
	for last := byte(0); len(attrs) > 0; {
		kind, at, size := attrs[1], 3, int(attrs[2])
		if attrs[0]&0x10 != 0 {
			at, size = 4, int(binary.BigEndian.Uint16(attrs[2:]))
		}
		value := attrs[at : at+size]
		attrs = attrs[at+size:]
		switch {
		case kind == 14:
			if last != 0 || !bytes.Equal(value[:4], []byte{0, 2, 1, 16}) || value[20] != 0 {
				t.Fatalf("MP_REACH_NLRI: %x", value)
			}
			out.nextHop, nlri = value[4:20], value[21:]
			continue
		case kind <= last:
			t.Fatalf("attribute %d behind %d", kind, last)
		case kind == 3:
			out.nextHop = value
		}
		out.attrs[kind], last = value, kind
	}
	for len(nlri) > 0 {
		var a [16]byte
		size := int(nlri[0]+7) / 8
		copy(a[:], nlri[1:1+size])
		p := prefix.New(f, binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(a[8:]), nlri[0])
		out.prefixes = append(out.prefixes, p)
		nlri = nlri[1+size:]
	}
	return out
}

// Every sender announces each prefix of the table once, in its own order, with
// paths that begin with its own AS and end at the same origin.
func TestSenders(t *testing.T) {
	for _, f := range families {
		table := New(7, f, 20000)
		want := slices.SortedFunc(slices.Values(table.Prefixes()), prefix.Compare)
		if len(slices.Compact(slices.Clone(want))) != 20000 {
			t.Fatalf("%v: prefixes occur twice", f)
		}
		origins := map[prefix.Prefix]uint32{}
		var orders [2][]prefix.Prefix
		for i, as := range []uint32{65001, 200000} {
			for m := range table.Sender(as, nextHops[f]).Updates() {
				u := read(t, f, m)
				if !bytes.Equal(u.nextHop, nextHops[f].AsSlice()) || len(u.prefixes) == 0 {
					t.Fatalf("%v: next hop %x, %d prefixes", f, u.nextHop, len(u.prefixes))
				}
				path := u.attrs[2]
				if first := binary.BigEndian.Uint32(path[2:]); first != as {
					t.Fatalf("%v: the path begins with %d", f, first)
				}
				origin := binary.BigEndian.Uint32(path[len(path)-4:])
				for _, p := range u.prefixes {
					if o, ok := origins[p]; ok && o != origin {
						t.Fatalf("%v has the origins %d and %d", p, o, origin)
					}
					origins[p] = origin
				}
				orders[i] = append(orders[i], u.prefixes...)
			}
			if !slices.Equal(slices.SortedFunc(slices.Values(orders[i]), prefix.Compare), want) {
				t.Errorf("%v: AS%d does not announce the table exactly once", f, as)
			}
		}
		if slices.Equal(orders[0], orders[1]) {
			t.Errorf("%v: both senders have the same order", f)
		}
	}
}

// The shape is that of the Internet, within what chance allows.
func TestShape(t *testing.T) {
	for _, f := range families {
		table := New(1, f, 100000)
		messages, sets := 0, map[uint64]bool{}
		lengths, hops, with := map[uint8]int{}, map[int]int{}, map[byte]int{}
		for m := range table.Sender(65001, nextHops[f]).Updates() {
			u := read(t, f, m)
			h := fnv.New64()
			messages++
			for kind := range byte(40) {
				if v, ok := u.attrs[kind]; ok {
					with[kind]++
					h.Write(append([]byte{kind}, v...))
				}
			}
			sets[h.Sum64()] = true
			hops[int(u.attrs[2][1])]++
			if len(u.attrs[2]) != 2+4*int(u.attrs[2][1]) {
				t.Fatalf("AS_PATH %x", u.attrs[2])
			}
			for _, p := range u.prefixes {
				lengths[p.Bits]++
			}
		}
		within := func(what string, got int, of, low, high float64) {
			t.Helper()
			if share := float64(got) / of; share < low || share > high {
				t.Errorf("%v: %s: %.3f, want %.3f to %.3f", f, what, share, low, high)
			}
		}
		if f == prefix.IPv4 {
			within("/24", lengths[24], 100000, 0.58, 0.62)
			within("/16", lengths[16], 100000, 0.007, 0.02)
		} else {
			within("/48", lengths[48], 100000, 0.45, 0.51)
			within("/32", lengths[32], 100000, 0.11, 0.15)
		}
		within("sets of attributes", len(sets), 100000, 0.15, 0.22)
		within("sets and bundles", len(sets), float64(table.Bundles()), 0.95, 1)
		within("communities", with[8], float64(messages), 0.31, 0.36)
		within("large communities", with[32], float64(messages), 0.03, 0.07)
		within("MED", with[4], float64(messages), 0.18, 0.22)
		within("aggregators", with[7], float64(messages), 0.04, 0.08)
		within("origins", with[1], float64(messages), 1, 1)
		for n := range hops {
			if n < 2 || n > 7 {
				t.Errorf("%v: %d paths of %d hops", f, hops[n], n)
			}
		}
		within("long paths", hops[6]+hops[7], float64(messages), 0.03, 0.2)
		within("short paths", hops[2], float64(messages), 0.02, 0.15)
		large := 0
		for _, b := range table.bundles {
			if b.to-b.from > 500 {
				large++
			}
		}
		if large == 0 {
			t.Errorf("%v: no large bundle", f)
		}
	}
}

// The codec has nothing to say against any message.
func TestValid(t *testing.T) {
	o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{true, true}}
	for _, f := range families {
		routes := 0
		for m := range New(3, f, 20000).Sender(65001, nextHops[f]).Updates() {
			if typ, n, err := wire.ParseHeader(m, wire.MaxMsgLen); err != nil || typ != wire.MsgUpdate || n != len(m) {
				t.Fatal(typ, n, err)
			}
			var u wire.Update
			if err := wire.Split(m[wire.HeaderLen:], &o, &u); err != nil || u.Suspect {
				t.Fatalf("%x: %v", m, err)
			}
			list := u.Announced
			if u.HasReach {
				list = u.Reach
			}
			got, err := list.Decode(nil)
			if err != nil {
				t.Fatal(err)
			}
			routes += len(got)
			if _, v := u.Validate(&o, u.HasReach, nil); v.Action != wire.Accept {
				t.Fatalf("%x: %s", m, v.Why)
			}
		}
		if routes != 20000 {
			t.Errorf("%v: %d routes", f, routes)
		}
	}
}

// The same seed gives the same bytes, today and in a year.
func TestDeterministic(t *testing.T) {
	want := [...]uint64{0x18c506d144c0a42a, 0x85bd360bbfe834c8}
	for _, f := range families {
		h := fnv.New64a()
		h.Write(New(42, f, 3000).Sender(65010, nextHops[f]).Stream())
		if h.Sum64() != want[f] {
			t.Errorf("%v: the stream is another: %#x", f, h.Sum64())
		}
		if slices.Equal(New(43, f, 3000).Prefixes(), New(42, f, 3000).Prefixes()) {
			t.Errorf("%v: the seed changes nothing", f)
		}
	}
}

func BenchmarkStream(b *testing.B) {
	s := New(1, prefix.IPv4, 100000).Sender(65001, nextHops[0])
	for b.Loop() {
		b.SetBytes(int64(len(s.Stream())))
	}
}
