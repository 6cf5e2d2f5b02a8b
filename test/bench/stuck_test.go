package bench

import (
	"io"
	"net/netip"
	"testing"

	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
	"holdfast/testkit/speaker"
)

// TestStuckNeighbor: one neighbor stops reading. The others get everything, and
// so does it, once it reads again.
func TestStuckNeighbor(t *testing.T) {
	const routes = 1_000_000 // 15 MB: more than sockets and the queue hold
	stream := table(feed.New(1, prefix.IPv4, routes), 0)
	r := start(t, 3, func(int) netip.Addr { return routerAddr(0) })
	sender, reader, stuck := r.neighbors[0], r.neighbors[1], r.neighbors[2]
	go io.Copy(io.Discard, sender.Conn())
	if err := stuck.Conn().SetReadBuffer(16 << 10); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() { _, err := sender.Conn().Write(stream); sent <- err }()
	for _, s := range []*speaker.Speaker{reader, stuck} { // one behind the other
		if err := await(s, 1, routerAddr(0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
}
