package engine

import (
	"net/netip"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
)

// TestAllocs: in steady state an UPDATE costs no allocation, whether it says
// what is known, or flaps between two sets of attributes.
func TestAllocs(t *testing.T) {
	core := NewCore(quiet())
	core.Configure(ebgpConfig(t, 3))
	outs := make([]drain, 4)
	for i := 1; i <= 3; i++ {
		core.Up(packet.ID(i), established(i), &outs[i])
	}
	var streams [2][]byte
	table := feed.New(1, prefix.IPv4, 2000)
	for i := range streams {
		streams[i] = table.Sender(65001, netip.AddrFrom4([4]byte{10, 1, 1, byte(2 + i)})).Stream()
	}
	play := func(s []byte) {
		for _, c := range chunks(s) {
			core.Messages(1, c)
			core.Settle()
		}
	}
	for range 3 {
		play(streams[0])
		play(streams[1])
	}
	if n := testing.AllocsPerRun(10, func() { play(streams[1]) }); n > 10 {
		t.Errorf("the same table again costs %v allocations", n)
	}
	if n := testing.AllocsPerRun(10, func() { play(streams[0]); play(streams[1]) }); n > 40 {
		t.Errorf("a table that flaps costs %v allocations", n)
	}
}
