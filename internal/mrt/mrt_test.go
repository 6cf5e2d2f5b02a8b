package mrt

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"holdfast/internal/prefix"
)

// record frames a body.
func record(typ, subtype uint16, body ...byte) []byte {
	return endRecord(append(appendHeader(nil, 1000, typ, subtype), body...), 0)
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, parts ...[]byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(slices.Concat(parts...)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func next(t testing.TB, r *Reader) *Record {
	t.Helper()
	rec, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

const keepalive = "ffffffffffffffffffffffffffffffff 0013 04"

func TestTableDump(t *testing.T) {
	v4 := "0000 0007 0a000000 08 01 000003e8 c0000201 fde8 0004 40010100"
	v6 := "0000 0008 20010db8000000000000000000000000 20 01 000003e9 20010db8000000000000000000000001 fde9 0000"
	r := open(t, record(TypeTableDump, 1, unhex(t, v4)...), record(TypeTableDump, 2, unhex(t, v6)...),
		record(TypeTableDump, 1, unhex(t, v4)...))
	rec := next(t, r)
	if rec.Kind != RIB || rec.Prefix != prefix.MustParse("10.0.0.0/8") || rec.Sequence != 7 || rec.AS4 || len(rec.Entries) != 1 {
		t.Errorf("%+v", rec)
	}
	if e := rec.Entries[0]; e.Neighbor != 0 || e.Originated != 1000 || !bytes.Equal(e.Attrs, []byte{0x40, 1, 1, 0}) {
		t.Errorf("%+v", e)
	}
	rec = next(t, r)
	if rec.Prefix != prefix.MustParse("2001:db8::/32") || rec.Entries[0].Neighbor != 1 {
		t.Errorf("%+v", rec)
	}
	if rec = next(t, r); rec.Entries[0].Neighbor != 0 {
		t.Errorf("the first neighbor again: %+v", rec)
	}
	want := []Neighbor{{Addr: netip.MustParseAddr("192.0.2.1"), AS: 65000}, {Addr: netip.MustParseAddr("2001:db8::1"), AS: 65001}}
	if !slices.Equal(r.Neighbors(), want) {
		t.Errorf("%v", r.Neighbors())
	}
}

func TestPeerIndexTable(t *testing.T) {
	body := "01020304 0003 616263 0004" +
		"00 0a0b0c0d c0000201 fde8" +
		"01 00000000 20010db8000000000000000000000001 fde9" +
		"02 00000000 c0000202 00010000" +
		"03 00000000 20010db8000000000000000000000002 00010001"
	r := open(t, record(TypeTableDumpV2, peerIndexTable, unhex(t, body)...))
	if rec := next(t, r); rec.Kind != Neighbors {
		t.Errorf("%+v", rec)
	}
	want := []Neighbor{
		{netip.MustParseAddr("192.0.2.1"), 65000, [4]byte{10, 11, 12, 13}},
		{Addr: netip.MustParseAddr("2001:db8::1"), AS: 65001},
		{Addr: netip.MustParseAddr("192.0.2.2"), AS: 65536},
		{Addr: netip.MustParseAddr("2001:db8::2"), AS: 65537},
	}
	if !slices.Equal(r.Neighbors(), want) {
		t.Errorf("%v", r.Neighbors())
	}
}

func TestBGP4MPSubtypes(t *testing.T) {
	as2, as4 := "fde8 fde9", "0000fde8 0000fde9"
	rest := "0000 0001 c0000201 c0000202" + keepalive
	for _, c := range []struct {
		subtype             uint16
		as                  string
		as4, local, addPath bool
	}{
		{message, as2, false, false, false},
		{messageAS4, as4, true, false, false},
		{messageLocal, as2, false, true, false},
		{messageAS4Local, as4, true, true, false},
		{messageAddPath, as2, false, false, true},
		{messageAS4AddPath, as4, true, false, true},
		{messageLocalAddPath, as2, false, true, true},
		{messageAS4LocalAddPath, as4, true, true, true},
	} {
		r := open(t, record(TypeBGP4MP, c.subtype, unhex(t, c.as+rest)...),
			record(TypeBGP4MPET, c.subtype, unhex(t, "0001e240"+c.as+rest)...))
		for _, micros := range []uint32{0, 123456} {
			rec := next(t, r)
			if rec.Kind != Message || rec.PeerAS != 65000 || rec.LocalAS != 65001 ||
				rec.PeerAddr != netip.MustParseAddr("192.0.2.1") || rec.LocalAddr != netip.MustParseAddr("192.0.2.2") ||
				rec.AS4 != c.as4 || rec.Local != c.local || rec.AddPath != c.addPath || rec.Micros != micros ||
				!bytes.Equal(rec.Message, unhex(t, keepalive)) {
				t.Errorf("subtype %d: %+v", c.subtype, rec)
			}
			if got := rec.Time().UnixMicro(); got != 1000*1000000+int64(micros) {
				t.Errorf("subtype %d: time %d", c.subtype, got)
			}
		}
	}
}

func TestStates(t *testing.T) {
	v6 := "20010db8000000000000000000000001 20010db8000000000000000000000002"
	r := open(t, record(TypeBGP4MP, stateChange, unhex(t, "fde8 fde9 0000 0002"+v6+"0003 0006")...),
		record(TypeBGP4MP, stateChangeAS4, unhex(t, "00010000 00010001 0000 0002"+v6+"0006 0001")...))
	if rec := next(t, r); rec.Kind != State || rec.OldState != Active || rec.NewState != Established || rec.PeerAS != 65000 {
		t.Errorf("%+v", rec)
	}
	if rec := next(t, r); rec.NewState != Idle || rec.LocalAS != 65537 || rec.LocalAddr != netip.MustParseAddr("2001:db8::2") {
		t.Errorf("%+v", rec)
	}
}

// Every error but the last kind leaves the reader at the next record.
func TestMalformed(t *testing.T) {
	index := record(TypeTableDumpV2, peerIndexTable, unhex(t, "01020304 0000 0001 02 00000000 c0000202 00010000")...)
	for name, bad := range map[string][]byte{
		"unknown neighbor":     record(TypeTableDumpV2, ribIPv4Unicast, unhex(t, "00000001 08 0a 0001 0001 00000000 0000")...),
		"entry cut short":      record(TypeTableDumpV2, ribIPv4Unicast, unhex(t, "00000001 08 0a 0002 0000 00000000 0000")...),
		"attributes cut short": record(TypeTableDumpV2, ribIPv4Unicast, unhex(t, "00000001 08 0a 0001 0000 00000000 0001")...),
		"prefix too long":      record(TypeTableDumpV2, ribIPv4Unicast, unhex(t, "00000001 21 0a00000000 0000")...),
		"no count":             record(TypeTableDumpV2, ribIPv6Unicast, unhex(t, "00000001 08 20")...),
		"table dump cut short": record(TypeTableDump, 1, unhex(t, "0000 0007 0a000000")...),
		"index cut short":      record(TypeTableDumpV2, peerIndexTable, unhex(t, "01020304 0000 0002 02 00000000 c0000202 00010000")...),
		"message cut short":    record(TypeBGP4MP, message, unhex(t, "fde8 fde9 0000 0001 c0000201 c0000202 ffff")...),
		"message length":       record(TypeBGP4MP, message, unhex(t, "fde8 fde9 0000 0001 c0000201 c0000202 ffffffffffffffffffffffffffffffff 0014 04")...),
		"message length small": record(TypeBGP4MP, message, unhex(t, "fde8 fde9 0000 0001 c0000201 c0000202 ffffffffffffffffffffffffffffffff 0012 04")...),
		"address family":       record(TypeBGP4MP, message, unhex(t, "fde8 fde9 0000 0003 c0000201 c0000202"+keepalive)...),
		"microseconds":         record(TypeBGP4MPET, stateChange, unhex(t, "000f4240 fde8 fde9 0000 0001 c0000201 c0000202 0001 0002")...),
		"state change cut":     record(TypeBGP4MP, stateChange, unhex(t, "fde8 fde9 0000 0001 c0000201 c0000202 0001")...),
		"microseconds cut":     record(TypeBGP4MPET, stateChange, 0, 0),
		"no body":              record(TypeBGP4MP, message),
		"table dump too long":  record(TypeTableDump, 1, unhex(t, "0000 0007 0a000000 21 01 000003e8 c0000201 fde8 0000")...),
	} {
		good := record(TypeBGP4MP, message, unhex(t, "fde8 fde9 0000 0001 c0000201 c0000202"+keepalive)...)
		r := open(t, index, bad, good)
		next(t, r)
		_, err := r.Next()
		var fe *FormatError
		if !errors.As(err, &fe) || fe.Record != 2 || fe.Offset != int64(len(index)) || fe.Why == "" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if rec := next(t, r); rec.Kind != Message {
			t.Errorf("%s: then %+v", name, rec)
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end %v", name, err)
		}
	}
}

func TestInputEnds(t *testing.T) {
	whole := record(TypeBGP4MP, message, unhex(t, "fde8 fde9 0000 0001 c0000201 c0000202"+keepalive)...)
	for n := 1; n < len(whole); n++ {
		r := open(t, whole[:n])
		if _, err := r.Next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	r := open(t)
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("empty: %v", err)
	}
	r = open(t, []byte("# this is some text, and no routing table\n"))
	if _, err := r.Next(); err == nil || !strings.Contains(err.Error(), "no MRT file") {
		t.Errorf("text: %v", err)
	}
	for _, magic := range []string{"\xfd7zXZ\x00", "\x28\xb5\x2f\xfd\x00\x00"} {
		if _, err := NewReader(strings.NewReader(magic)); err == nil || !strings.Contains(err.Error(), "unpack it") {
			t.Errorf("%q: %v", magic, err)
		}
	}
	broken := errors.New("broken cable")
	if _, err := NewReader(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

// Records that do not fit the buffer, in pieces of one byte, come out whole.
func TestLargeRecords(t *testing.T) {
	big := &Record{Prefix: prefix.MustParse("192.0.2.0/24")}
	for range 100 {
		big.Entries = append(big.Entries, Entry{Attrs: bytes.Repeat([]byte{0x40, 1, 1, 0}, 4000)})
	}
	index, err := AppendNeighbors(nil, 1, [4]byte{}, "", []Neighbor{{Addr: netip.MustParseAddr("192.0.2.1"), AS: 1}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := AppendRIB(index, big)
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write(slices.Concat(body, body)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	size := int64(z.Len())
	r, err := NewReader(iotest.OneByteReader(&z))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		next(t, r)
		if rec := next(t, r); len(rec.Entries) != 100 || !bytes.Equal(rec.Entries[99].Attrs, big.Entries[0].Attrs) {
			t.Fatal("a large record came out damaged")
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if r.InputBytes() != size {
		t.Errorf("read %d of %d compressed bytes", r.InputBytes(), size)
	}
}

func TestNormalize(t *testing.T) {
	gua, lla := "20010db8000000000000000000000001", "fe800000000000000000000000000001"
	for _, c := range []struct{ name, attrs, block, nextHop string }{
		{"IPv4", "40010100 400304c0000201", "40010100 400304c0000201", "c0000201"},
		{"abbreviated", "40010100 800e11 10" + gua + "40020402010001", "40010100 40020402010001", gua},
		{"abbreviated, two addresses", "800e21 20" + gua + lla, "", gua + lla},
		{"extended length", "900e0011 10" + gua, "", gua},
		{"whole", "40010100 800e1a 0002 01 10" + gua + "00 20 20010db8", "40010100", gua},
		{"whole without NLRI", "800e15 0002 01 10" + gua + "00", "", gua},
		{"both", "400304ffffffff 800e11 10" + gua, "400304ffffffff", gua},
		{"both, the other way round", "800e11 10" + gua + "400304ffffffff", "400304ffffffff", gua},
		{"without the withdrawn", "800f03 000201 40010100", "40010100", ""},
		{"overrun", "40010100 400304c000", "40010100 400304c000", ""},
		{"next hop overrun", "800e03 10 2001", "", ""},
		{"empty", "800e00", "", ""},
		{"one byte", "40", "40", ""},
	} {
		e := Entry{Attrs: unhex(t, c.attrs)}
		block, nextHop := e.Normalize([]byte("x"))
		if !bytes.Equal(block[1:], unhex(t, c.block)) || !bytes.Equal(nextHop, unhex(t, c.nextHop)) {
			t.Errorf("%s: %x, next hop %x", c.name, block[1:], nextHop)
		}
	}
}

func drawAddr(t *rapid.T, f prefix.Family) netip.Addr {
	n := int(f.MaxBits() / 8)
	a, _ := netip.AddrFromSlice(rapid.SliceOfN(rapid.Byte(), n, n).Draw(t, "address"))
	return a
}

// What is written is read back.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		families := rapid.SampledFrom([]prefix.Family{prefix.IPv4, prefix.IPv6})
		var ns []Neighbor
		for range rapid.IntRange(1, 5).Draw(t, "neighbors") {
			ns = append(ns, Neighbor{Addr: drawAddr(t, families.Draw(t, "family")), AS: rapid.Uint32().Draw(t, "AS")})
		}
		file, err := AppendNeighbors(nil, 7, [4]byte{1, 2, 3, 4}, "view", ns)
		if err != nil {
			t.Fatal(err)
		}
		f := families.Draw(t, "family")
		rib := &Record{
			Type: TypeTableDumpV2, Kind: RIB, Seconds: rapid.Uint32().Draw(t, "seconds"), AS4: true,
			AddPath: rapid.Bool().Draw(t, "add-path"), Sequence: rapid.Uint32().Draw(t, "sequence"),
			Prefix: prefix.New(f, rapid.Uint64().Draw(t, "hi"), 0, uint8(rapid.IntRange(0, int(f.MaxBits())).Draw(t, "bits"))),
		}
		if f == prefix.IPv4 {
			rib.Prefix.Hi &= 0xffffffff << 32
		}
		for range rapid.IntRange(0, 4).Draw(t, "entries") {
			e := Entry{
				Neighbor:   rapid.IntRange(0, len(ns)-1).Draw(t, "neighbor"),
				Originated: rapid.Uint32().Draw(t, "originated"),
				Attrs:      rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "attributes"),
			}
			if rib.AddPath {
				e.PathID = rapid.Uint32().Draw(t, "path id")
			}
			rib.Entries = append(rib.Entries, e)
		}
		if file, err = AppendRIB(file, rib); err != nil {
			t.Fatal(err)
		}
		as4 := rapid.Bool().Draw(t, "AS4")
		ases := rapid.Uint32Range(0, 0xffff)
		if as4 {
			ases = rapid.Uint32()
		}
		msg := &Record{
			Type: TypeBGP4MPET, Seconds: 5, Micros: rapid.Uint32Range(0, 999999).Draw(t, "micros"),
			Kind: rapid.SampledFrom([]Kind{Message, State}).Draw(t, "kind"), AS4: as4,
			PeerAS: ases.Draw(t, "peer AS"), LocalAS: ases.Draw(t, "local AS"),
			PeerAddr: drawAddr(t, f), LocalAddr: drawAddr(t, f),
		}
		if msg.Kind == Message {
			msg.Local, msg.AddPath = rapid.Bool().Draw(t, "local"), rapid.Bool().Draw(t, "add-path")
			msg.Message = rapid.SliceOfN(rapid.Byte(), bgpHeader, 200).Draw(t, "message")
			binary.BigEndian.PutUint16(msg.Message[16:], uint16(len(msg.Message)))
		} else {
			msg.OldState, msg.NewState = rapid.Uint16().Draw(t, "old"), rapid.Uint16().Draw(t, "new")
		}
		if file, err = AppendMessage(file, msg); err != nil {
			t.Fatal(err)
		}

		r, err := NewReader(iotest.HalfReader(bytes.NewReader(file)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Next(); err != nil || !slices.Equal(r.Neighbors(), ns) {
			t.Fatalf("%v, %v, want %v", err, r.Neighbors(), ns)
		}
		got, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		rib.Subtype = got.Subtype
		same(t, got, rib)
		if got, err = r.Next(); err != nil {
			t.Fatal(err)
		}
		msg.Subtype = got.Subtype
		same(t, got, msg)
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	})
}

func same(t *rapid.T, got, want *Record) {
	t.Helper()
	equal := slices.EqualFunc(got.Entries, want.Entries, func(a, b Entry) bool {
		return a.Neighbor == b.Neighbor && a.Originated == b.Originated && a.PathID == b.PathID && bytes.Equal(a.Attrs, b.Attrs)
	}) && bytes.Equal(got.Message, want.Message)
	g, w := *got, *want
	g.Entries, w.Entries, g.Message, w.Message = nil, nil, nil, nil
	if !equal || fields(g) != fields(w) {
		t.Fatalf("\n got %+v\nwant %+v", got, want)
	}
}

// fields are the fields of a Record that == compares.
func fields(r Record) any {
	return struct {
		a [4]any
		b [6]any
		c [4]any
	}{
		[4]any{r.Type, r.Kind, r.Seconds, r.Micros},
		[6]any{r.AS4, r.AddPath, r.Prefix, r.Sequence, r.Local, r.OldState},
		[4]any{r.PeerAS, r.LocalAS, r.PeerAddr, r.LocalAddr},
	}
}

func TestWriteRefuses(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	if _, err := AppendMessage(nil, &Record{Kind: Message, PeerAS: 65536, PeerAddr: v4, LocalAddr: v4}); err == nil {
		t.Error("a four-byte AS number in two bytes")
	}
	if _, err := AppendMessage(nil, &Record{Kind: Message, PeerAddr: v4, LocalAddr: v6}); err == nil {
		t.Error("addresses of two families")
	}
	if _, err := AppendRIB(nil, &Record{Entries: []Entry{{Attrs: make([]byte, 65536)}}}); err == nil {
		t.Error("too many attributes")
	}
	if _, err := AppendRIB(nil, &Record{Entries: make([]Entry, 65536)}); err == nil {
		t.Error("too many entries")
	}
	if _, err := AppendNeighbors(nil, 0, [4]byte{}, "", make([]Neighbor, 65536)); err == nil {
		t.Error("too many neighbors")
	}
}

// endless repeats a record for ever.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.data[e.at:])
	e.at = (e.at + n) % len(e.data)
	return n, nil
}

func TestNoAllocations(t *testing.T) {
	rib := &Record{Prefix: prefix.MustParse("2001:db8::/32"), AddPath: true}
	for range 30 {
		rib.Entries = append(rib.Entries, Entry{Attrs: unhex(t, "40010100 800e11 10 20010db8000000000000000000000001")})
	}
	data, err := AppendNeighbors(nil, 1, [4]byte{}, "", []Neighbor{{Addr: netip.MustParseAddr("192.0.2.1"), AS: 1}})
	if err != nil {
		t.Fatal(err)
	}
	first := len(data)
	if data, err = AppendRIB(data, rib); err != nil {
		t.Fatal(err)
	}
	if data, err = AppendMessage(data, &Record{Kind: Message, PeerAddr: netip.MustParseAddr("192.0.2.1"),
		LocalAddr: netip.MustParseAddr("192.0.2.2"), Message: unhex(t, keepalive)}); err != nil {
		t.Fatal(err)
	}
	r, err := NewReader(io.MultiReader(bytes.NewReader(data[:first]), &endless{data: data[first:]}))
	if err != nil {
		t.Fatal(err)
	}
	next(t, r)
	var block []byte
	read := func() {
		rec, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		for i := range rec.Entries {
			block, _ = rec.Entries[i].Normalize(block[:0])
		}
	}
	read()
	read()
	if n := testing.AllocsPerRun(1000, read); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func FuzzReader(f *testing.F) {
	seed := func(b []byte, err error) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	v4 := netip.MustParseAddr("192.0.2.1")
	index, err := AppendNeighbors(nil, 1, [4]byte{}, "v", []Neighbor{{Addr: v4, AS: 1}})
	seed(index, err)
	for _, addPath := range []bool{false, true} {
		for _, p := range []string{"10.0.0.0/8", "2001:db8::/32"} {
			seed(AppendRIB(slices.Clone(index), &Record{Prefix: prefix.MustParse(p), AddPath: addPath,
				Entries: []Entry{{Attrs: unhex(f, "40010100 800e11 10 20010db8000000000000000000000001")}}}))
		}
		seed(AppendMessage(nil, &Record{Kind: Message, AS4: addPath, AddPath: addPath, PeerAddr: v4, LocalAddr: v4, Message: unhex(f, keepalive)}))
		seed(AppendMessage(nil, &Record{Kind: State, AS4: addPath, PeerAddr: v4, LocalAddr: v4}))
	}
	seed(record(TypeTableDump, 1, unhex(f, "0000 0007 0a000000 08 01 000003e8 c0000201 fde8 0004 40010100")...), nil)
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := NewReader(bytes.NewReader(data))
		if err != nil {
			return
		}
		for {
			rec, err := r.Next()
			var fe *FormatError
			if errors.As(err, &fe) {
				continue
			}
			if err != nil {
				break
			}
			if rec.Prefix.Bits > rec.Prefix.Family.MaxBits() {
				t.Fatalf("prefix %+v", rec.Prefix)
			}
			for i := range rec.Entries {
				e := &rec.Entries[i]
				_ = r.Neighbors()[e.Neighbor]
				if block, _ := e.Normalize(nil); len(block) > len(e.Attrs) {
					t.Fatalf("%x became %x", e.Attrs, block)
				}
			}
		}
		if r.InputBytes() > int64(len(data)) {
			t.Fatalf("read %d of %d bytes", r.InputBytes(), len(data))
		}
	})
}
