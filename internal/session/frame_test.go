package session

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/feed"
)

// stream makes n messages, and says which of them are to be kept.
func stream(r *rand.Rand, n int) (all []byte, kept [][]byte) {
	for range n {
		at := len(all)
		switch r.IntN(5) {
		case 0:
			all = wire.AppendKeepalive(all)
			continue
		case 1:
			all = wire.AppendRefresh(all, prefix.IPv6, 0)
		default:
			all = wire.AppendHeader(all, wire.MsgUpdate)
			body := make([]byte, 4+r.IntN(200))
			for i := range body {
				body[i] = byte(r.Uint32())
			}
			all = append(all, body...)
			wire.Finish(all, at)
		}
		kept = append(kept, bytes.Clone(all[at:]))
	}
	return all, kept
}

// feedCuts plays a stream in pieces as the reader would.
func feedCuts(t *testing.T, all []byte, cut func() int) (got []byte, last frames) {
	t.Helper()
	var carry []byte
	for len(all) > 0 {
		n := min(max(cut(), 1), len(all), BufferSize-len(carry))
		b := append(carry, all[:n]...)
		all = all[n:]
		last = split(b, wire.MaxMsgLen)
		got = append(got, b[:last.keep]...)
		if last.err != nil || last.stop != nil {
			return got, last
		}
		carry = bytes.Clone(b[last.rest:])
	}
	if len(carry) != 0 && last.err == nil {
		if n := len(carry); n >= wire.HeaderLen && int(carry[16])<<8|int(carry[17]) <= n {
			t.Fatalf("a whole message was left: % x", carry)
		}
	}
	return got, last
}

func TestSplitAnyCut(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		all, kept := stream(r, 1+r.IntN(60))
		most := 1 + r.IntN(400)
		got, _ := feedCuts(t, bytes.Clone(all), func() int { return r.IntN(most) })
		if want := bytes.Join(kept, nil); !bytes.Equal(got, want) {
			t.Fatalf("cuts of up to %d bytes: got %d bytes, want %d", most, len(got), len(want))
		}
	}
}

func FuzzSplit(f *testing.F) {
	r := rand.New(rand.NewPCG(3, 4))
	all, _ := stream(r, 12)
	f.Add(all, uint8(7))
	f.Add(wire.AppendNotification(bytes.Clone(all), 6, 2, []byte("x")), uint8(30))
	f.Add(append(bytes.Clone(all), make([]byte, 40)...), uint8(255))
	f.Fuzz(func(t *testing.T, all []byte, step uint8) {
		// However a stream is cut, the same messages come out of it.
		if len(all) > BufferSize {
			return
		}
		want, w := feedCuts(t, bytes.Clone(all), func() int { return len(all) })
		got, g := feedCuts(t, bytes.Clone(all), func() int { return int(step) })
		if !bytes.Equal(got, want) {
			t.Fatalf("%d bytes in pieces of %d, %d bytes at once", len(got), step, len(want))
		}
		if (w.err == nil) != (g.err == nil) || !bytes.Equal(w.stop, g.stop) {
			t.Fatalf("at once it stops with %v % x, in pieces with %v % x", w.err, w.stop, g.err, g.stop)
		}
		if w.err != nil && (w.err.Code != g.err.Code || w.err.Subcode != g.err.Subcode) {
			t.Fatalf("at once: %v, in pieces: %v", w.err, g.err)
		}
	})
}

func TestSplitStops(t *testing.T) {
	update := wire.AppendUpdate(nil, prefix.IPv4, []byte{24, 192, 0, 2}, nil, nil, nil)
	b := append(wire.AppendKeepalive(nil), update...)
	b = wire.AppendNotification(b, 6, 4, []byte{1, 2})
	b = append(b, update...)
	f := split(b, wire.MaxMsgLen)
	if f.keep != len(update) || f.err != nil || len(f.stop) != 23 || f.stop[18] != wire.MsgNotification ||
		f.whole[wire.MsgKeepalive] != 1 || f.whole[wire.MsgUpdate] != 1 || f.whole[wire.MsgNotification] != 1 {
		t.Errorf("got %+v", f)
	}
	long := wire.AppendHeader(nil, wire.MsgUpdate)
	long = append(long, make([]byte, 5000)...)
	wire.Finish(long, 0)
	if f := split(long, wire.MaxMsgLen); f.err == nil || f.err.Code != 1 || f.err.Subcode != 2 {
		t.Errorf("an extended message that was not negotiated: %v", f.err)
	}
	if f := split(long, wire.MaxExtendedLen); f.err != nil || f.keep != len(long) {
		t.Errorf("an extended message that was negotiated: %+v", f)
	}
}

func BenchmarkSplit(b *testing.B) {
	table := feed.New(1, prefix.IPv4, 20000)
	buf := append([]byte(nil), table.Sender(65001, netip.MustParseAddr("10.0.0.1")).Stream()...)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		if f := split(buf, wire.MaxMsgLen); f.keep < len(buf)-wire.MaxMsgLen || f.err != nil {
			b.Fatal(f)
		}
	}
}
