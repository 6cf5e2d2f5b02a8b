package daemon

import (
	"net/netip"
	"testing"

	"holdfast/internal/fib"
)

// TestLinkFault: what ends a session is a link that is down or gone, or an
// address that was there before.
func TestLinkFault(t *testing.T) {
	local, other := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParsePrefix("192.0.2.2/24")
	link := func(up bool) []fib.Link { return []fib.Link{{Index: 2, Name: "eth0", Up: up}} }
	first := fib.Event{Snapshot: true, Links: link(true), Addrs: []fib.Address{{Link: 2, Prefix: local}, {Link: 2, Prefix: other}}}
	for _, c := range []struct {
		news             fib.Event
		link, addr, want string
	}{
		{fib.Event{}, "eth0", "192.0.2.1", ""},
		{fib.Event{Links: link(false)}, "eth0", "192.0.2.1", "interface eth0 is down"},
		{fib.Event{Links: link(false)}, "", "192.0.2.1", ""}, // several hops away
		{fib.Event{Gone: []int{2}}, "eth0", "192.0.2.1", "interface eth0 is gone"},
		{fib.Event{AddrGone: []fib.Address{{Link: 2, Prefix: local}}}, "eth0", "192.0.2.1", "our address 192.0.2.1 is gone"},
		{fib.Event{AddrGone: []fib.Address{{Link: 2, Prefix: local}}}, "", "192.0.2.1", "our address 192.0.2.1 is gone"},
		{fib.Event{AddrGone: []fib.Address{{Link: 2, Prefix: local}}}, "eth0", "192.0.2.2", ""},
		{fib.Event{Snapshot: true, Links: link(true), Addrs: []fib.Address{{Link: 2, Prefix: other}}}, "eth0", "192.0.2.1", "our address 192.0.2.1 is gone"},
		{fib.Event{AddrGone: []fib.Address{{Link: 2, Prefix: other}}}, "", "127.0.0.9", ""}, // no interface has it, and it works
	} {
		w := &linkWatch{}
		w.update(first)
		w.update(c.news)
		if got := w.fault(c.link, netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%+v: %s on %q: %q, want %q", c.news, c.addr, c.link, got, c.want)
		}
	}
}
