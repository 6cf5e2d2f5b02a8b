package session

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/feed"
)

// lines is a log that can be waited for.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	select {
	case l <- string(b):
	default:
	}
	return len(b), nil
}

func (l lines) await(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case s := <-l:
			if strings.Contains(s, text) {
				return
			}
		case <-timeout:
			t.Fatalf("no %q in the log", text)
		}
	}
}

// kernelRouter listens on a free port of an address of the loopback interface.
func kernelRouter(t *testing.T, routes Routes, host string) (*Manager, netip.AddrPort, lines) {
	t.Helper()
	log := make(lines, 1000)
	m := New(routes, slog.New(slog.NewTextHandler(log, nil)))
	t.Cleanup(func() { m.Close("") })
	if err := m.Listen([]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(host), 0)}); err != nil {
		t.Fatal(err)
	}
	return m, m.Listening()[0], log
}

// TestKernel brings sessions up, or not, between two addresses of the loopback
// interface. The one that dials is far away if its TTL is small. It has a
// neighbor of its own there, or comes from a range.
func TestKernel(t *testing.T) {
	const up, refused, silent = "neighbor up", "closed a connection", "no answer to the connect"
	for name, test := range map[string]struct {
		hosts            [2]string // who listens, who dials
		listen, dial     Transport
		atListen, atDial string // what their logs say
	}{
		"plain":          {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, atListen: up, atDial: up},
		"plain, ipv6":    {hosts: [2]string{"::1", "::1"}, atListen: up, atDial: up},
		"md5":            {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, listen: Transport{Password: "secret"}, dial: Transport{Password: "secret"}, atListen: up, atDial: up},
		"md5, ipv6":      {hosts: [2]string{"::1", "::1"}, listen: Transport{Password: "secret"}, dial: Transport{Password: "secret"}, atListen: up, atDial: up},
		"md5, wrong":     {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, listen: Transport{Password: "secret"}, dial: Transport{Password: "Secret"}, atDial: silent},
		"md5, none":      {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, listen: Transport{Password: "secret"}, atDial: silent},
		"gtsm":           {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, listen: Transport{TTL: 255, MinTTL: 255}, dial: Transport{TTL: 255, MinTTL: 255}, atListen: up, atDial: up},
		"gtsm, ipv6":     {hosts: [2]string{"::1", "::1"}, listen: Transport{TTL: 255, MinTTL: 255}, dial: Transport{TTL: 255, MinTTL: 255}, atListen: up, atDial: up},
		"gtsm, far away": {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, listen: Transport{TTL: 255, MinTTL: 255}, dial: Transport{TTL: 200}, atListen: refused},
		"gtsm, far, v6":  {hosts: [2]string{"::1", "::1"}, listen: Transport{TTL: 255, MinTTL: 255}, dial: Transport{TTL: 200}, atListen: refused},
		"ttl 1":          {hosts: [2]string{"127.0.0.1", "127.0.0.2"}, listen: Transport{TTL: 1}, dial: Transport{TTL: 1}, atListen: up, atDial: up},
	} {
		run := func(t *testing.T, ranged bool) {
			a, at, logA := kernelRouter(t, &table{t: t}, test.hosts[0])
			n := settings(addrA)
			n.Transport = test.listen
			n.Remote, n.Machine.Passive = netip.MustParseAddr(test.hosts[1]), true
			if ranged {
				made := n
				made.Range = "lan"
				a.welcome = func(string, netip.Addr, uint32) *Close {
					set(t, &router{Manager: a}, made)
					return nil
				}
				lan := Range{Name: "lan", Limit: 1, Transport: test.listen}
				lan.Addresses = []netip.Prefix{netip.PrefixFrom(n.Remote, n.Remote.BitLen()-8).Masked()}
				if err := a.SetRanges([]Range{lan}); err != nil {
					t.Fatal(err)
				}
			} else {
				set(t, &router{Manager: a}, n)
			}

			b, _, logB := kernelRouter(t, &table{t: t}, test.hosts[1])
			n = settings(addrB)
			n.Transport = test.dial
			n.Remote, n.Port, n.Local = at.Addr(), at.Port(), netip.MustParseAddr(test.hosts[1])
			n.Machine.ConnectRetryTime = 300 * time.Millisecond
			set(t, &router{Manager: b}, n)
			if test.atListen != "" {
				logA.await(t, test.atListen)
			}
			if test.atDial != "" {
				logB.await(t, test.atDial)
			}
			if test.atListen == up {
				if s, _ := b.Status(neighborID); s.Established == nil || s.Local.Addr() != n.Local || s.Remote != at {
					t.Errorf("the dialer's session: %+v", s)
				}
			}
		}
		t.Run(name, func(t *testing.T) { run(t, false) })
		t.Run(name+", range", func(t *testing.T) { run(t, true) })
	}
}

// TestRangePasswords: each listener has those of all ranges, also one that comes
// later, and of ranges that are gone none.
func TestRangePasswords(t *testing.T) {
	const signed, open = "signed", "open"
	a, at, _ := kernelRouter(t, &table{t: t}, "127.0.0.1")
	lan := Range{Name: "lan", Limit: 9, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/25")}, Transport: Transport{Password: "secret"}}
	state := func(at netip.AddrPort) string {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}, Timeout: 300 * time.Millisecond}
		c, err := d.DialContext(t.Context(), "tcp4", at.String())
		switch {
		case err == nil:
			c.Close()
			return open
		case errors.Is(err, syscall.ECONNRESET): // let in, and closed as nobody's before we looked
			return open
		}
		return signed
	}
	want := func(at netip.AddrPort, want string) {
		t.Helper()
		if got := state(at); got != want {
			t.Errorf("%v is %s, want %s", at, got, want)
		}
	}
	if err := a.SetRanges([]Range{lan}); err != nil {
		t.Fatal(err)
	}
	want(at, signed)
	if err := a.Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.3:0")}); err != nil {
		t.Fatal(err)
	}
	later := a.Listening()[1]
	want(later, signed)
	lan.Addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.64/26")}
	if err := a.SetRanges([]Range{lan}); err != nil {
		t.Fatal(err)
	}
	want(at, open)
	want(later, open)
}

// TestPasswordChanges: a new password is the listener's at once.
func TestPasswordChanges(t *testing.T) {
	a, at, logA := kernelRouter(t, &table{t: t}, "127.0.0.1")
	n := settings(addrA)
	n.Remote, n.Machine.Passive, n.Password = netip.MustParseAddr("127.0.0.2"), true, "old"
	set(t, &router{Manager: a}, n)
	n.Password = "new"
	set(t, &router{Manager: a}, n)

	b, _, _ := kernelRouter(t, &table{t: t}, "127.0.0.2")
	m := settings(addrB)
	m.Remote, m.Port, m.Local, m.Password = at.Addr(), at.Port(), n.Remote, "new"
	m.Machine.ConnectRetryTime = 300 * time.Millisecond
	set(t, &router{Manager: b}, m)
	logA.await(t, "neighbor up")

	// Without one, too.
	n.Password, m.Password = "", ""
	set(t, &router{Manager: a}, n)
	set(t, &router{Manager: b}, m)
	b.Reset(neighborID, fsm.AdminReset(""))
	logA.await(t, "neighbor down")
	logA.await(t, "neighbor up")
	if err := a.Set(func() Neighbor { n.Password = strings.Repeat("x", 81); return n }()); err == nil || !strings.Contains(err.Error(), "at most 80 bytes") {
		t.Errorf("a password of 81 bytes: %v", err)
	}
	// A neighbor that is gone leaves no password behind.
	n.Password = "third"
	set(t, &router{Manager: a}, n)
	a.Remove(neighborID)
	n.Password = ""
	set(t, &router{Manager: a}, n)
	logA.await(t, "neighbor up")
}

// TestCheckSYN: how a connection began decides, even if the listener let it in.
func TestCheckSYN(t *testing.T) {
	v4 := func(ttl byte, options ...byte) []byte {
		b := make([]byte, 40, 80)
		b[0], b[8], b[32] = 0x45, ttl, byte(5+len(options)/4)<<4
		return append(b, options...)
	}
	v6 := func(ttl byte, options ...byte) []byte {
		b := make([]byte, 60, 100)
		b[0], b[6], b[7], b[52] = 0x60, 6, ttl, byte(5+len(options)/4)<<4
		return append(b, options...)
	}
	// behind puts an IPv6 header of 8 bytes before that of TCP.
	behind := func(next byte, syn []byte) []byte {
		syn[6] = next
		return slices.Insert(syn, 40, 6, 0, 1, 4, 0, 0, 0, 0)
	}
	md5 := append([]byte{2, 4, 5, 0xb4, 1, 1, 19, 18}, make([]byte, 16)...)
	gtsm, secret := Transport{MinTTL: 254}, Transport{Password: "secret"}
	for name, test := range map[string]struct {
		syn []byte
		t   Transport
		ok  bool
	}{
		"near":             {v4(254), gtsm, true},
		"far":              {v4(253), gtsm, false},
		"near, ipv6":       {v6(255), gtsm, true},
		"far, ipv6":        {v6(64), gtsm, false},
		"signed":           {v4(64, md5...), secret, true},
		"signed, ipv6":     {v6(64, md5...), secret, true},
		"behind options":   {behind(60, v6(64, md5...)), secret, true},
		"only seems to be": {behind(0, v6(64, 2, 4, 5, 0xb4)), secret, false},
		"behind unknown":   {behind(51, v6(64, md5...)), secret, false},
		"behind too much":  {append(behind(60, v6(64))[:41], bytes.Repeat([]byte{255}, 60)...), secret, false},
		"ipv6, cut off":    {v6(255)[:30], gtsm, false},
		"not signed":       {v4(64, 2, 4, 5, 0xb4), secret, false},
		"no options":       {v6(64), secret, false},
		"end of options":   {v4(64, 0, 0, 19, 18), secret, false},
		"overruns":         {v4(64, 2, 9, 19, 18), secret, false},
		"without a length": {v4(64, 1, 1, 1, 8), secret, false},
		"option of 0":      {v4(64, 8, 0, 19, 18), secret, false},
		"cut off":          {v4(255)[:30], gtsm, false},
		"SYN cookies":      {nil, gtsm, true},
		"plain":            {v4(1), Transport{}, true},
	} {
		if err := checkSYN(test.syn, &test.t); (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPasswordComesLate: a connection that waits to be accepted when the
// password is set began without it, and is refused.
func TestPasswordComesLate(t *testing.T) {
	a, at, logA := kernelRouter(t, &table{t: t}, "127.0.0.1")
	n := settings(addrA)
	n.Remote, n.Machine.Passive, n.Password = netip.MustParseAddr("127.0.0.2"), true, "secret"
	a.mu.Lock() // accept waits
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.DialContext(t.Context(), "tcp4", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := a.set(n); err != nil {
		t.Fatal(err)
	}
	a.mu.Unlock()
	logA.await(t, "without TCP MD5")
}

// TestListenBeforeTheAddress: an address need not be there, which is said.
func TestListenBeforeTheAddress(t *testing.T) {
	m, at, log := kernelRouter(t, &table{t: t}, "192.0.2.77")
	if at.Addr() != netip.MustParseAddr("192.0.2.77") {
		t.Errorf("listening on %v", at)
	}
	log.await(t, "event=listen-absent listen=192.0.2.77:0")
	for _, a := range []string{"127.0.0.1", "127.0.73.1", "::", "0.0.0.0", "::1"} {
		if m.net.Absent(netip.MustParseAddr(a)) {
			t.Errorf("%s is absent", a)
		}
	}
}

// TestSegmentsAndClass: connections have the MSS and the DSCP of the neighbor,
// and those that neighbors begin the smallest MSS of all.
func TestSegmentsAndClass(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		m, at, _ := kernelRouter(t, &table{t: t}, host)
		l := m.listeners[netip.AddrPortFrom(at.Addr(), 0)]
		// Who dials is heard, and not closed at once.
		lo := Range{Name: "lo", Limit: 9, Addresses: []netip.Prefix{netip.PrefixFrom(at.Addr(), at.Addr().BitLen())}}
		if err := m.SetRanges([]Range{lo}); err != nil {
			t.Fatal(err)
		}
		get := func(of any, level, option int) (v int) {
			t.Helper()
			err := onSocket(of, func(fd int) (err error) {
				v, err = unix.GetsockoptInt(fd, level, option)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			return v
		}
		level, option := unix.IPPROTO_IP, unix.IP_TOS
		if at.Addr().Is6() {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_TCLASS
		}
		dial := func(mss uint16) (segments, class int) {
			t.Helper()
			c, err := (Kernel{}).Dial(t.Context(), Transport{Remote: at.Addr(), Port: at.Port(), MSS: mss, DSCP: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			return get(c, unix.IPPROTO_TCP, unix.TCP_MAXSEG), get(c, level, option)
		}
		plain, class := dial(0)
		if class != 10<<2 {
			t.Errorf("%s: class %#x", host, class)
		}
		const timestamps = 12
		if own, _ := dial(1000); own > 1000 || own < 1000-timestamps {
			t.Errorf("%s: segments of %d, want 1000", host, own)
		}
		n := settings(addrA)
		n.Remote, n.MSS, n.Machine.Passive = netip.MustParseAddr("127.0.0.9"), 900, true
		g := Range{Name: "lan", Limit: 1, Transport: Transport{MSS: 800}, Addresses: []netip.Prefix{netip.MustParsePrefix("2001:db8::/64")}}
		want := 900
		if at.Addr().Is6() {
			want = 800
		}
		set(t, &router{Manager: m}, n)
		if err := m.SetRanges([]Range{lo, g}); err != nil {
			t.Error(err)
		}
		if theirs, _ := dial(0); theirs > want || theirs < want-timestamps {
			t.Errorf("%s: a listener agrees on %d, want %d", host, theirs, want)
		}
		if get(l, level, option) != dscpCS6<<2 {
			t.Errorf("%s: a listener's class is %#x", host, get(l, level, option))
		}
		n.MSS = 0
		set(t, &router{Manager: m}, n)
		if err := m.SetRanges([]Range{lo}); err != nil {
			t.Error(err)
		}
		if theirs, _ := dial(0); theirs != plain {
			t.Errorf("%s: a limit that is gone: %d, was %d", host, theirs, plain)
		}
	}
}

// TestLocalAddress: what is wrong with it stands in the reason.
func TestLocalAddress(t *testing.T) {
	b, _, log := kernelRouter(t, &table{t: t}, "127.0.0.2")
	n := settings(addrB)
	n.Remote, n.Local = netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.77")
	set(t, &router{Manager: b}, n)
	log.await(t, "cannot connect from 192.0.2.77: cannot assign requested address")
}

func TestPick(t *testing.T) {
	var ps []netip.Prefix
	for _, s := range []string{"192.0.2.1/24", "192.0.2.2/25", "2001:db8::1/64", "fe80::1/64"} {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	for _, test := range []struct{ local, remote, v4, v6, linkLocal, link string }{
		{"192.0.2.2", "192.0.2.9", "192.0.2.2", "2001:db8::1", "fe80::1", "192.0.2.0/25"},
		{"192.0.2.1", "192.0.2.9", "192.0.2.1", "2001:db8::1", "fe80::1", "192.0.2.0/24"},
		{"192.0.2.1", "198.51.100.1", "192.0.2.1", "2001:db8::1", "invalid IP", "invalid Prefix"},
		{"2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::1", "fe80::1", "2001:db8::/64"},
		{"fe80::1%eth0", "fe80::2%eth0", "192.0.2.1", "2001:db8::1", "fe80::1", "invalid Prefix"},
	} {
		a := pick("eth0", ps, netip.MustParseAddr(test.local), netip.MustParseAddr(test.remote))
		if a.Global[prefix.IPv4].String() != test.v4 || a.Global[prefix.IPv6].String() != test.v6 || a.LinkLocal.String() != test.linkLocal || a.Link.String() != test.link {
			t.Errorf("from %s to %s: %+v", test.local, test.remote, a)
		}
	}
	if a := (Kernel{}).Addresses(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")); a.Global[prefix.IPv4].IsLoopback() || a.Link.IsValid() {
		t.Errorf("loopback addresses as next hops: %v", a)
	}
}

// sink is a Routes that counts bytes.
type sink struct {
	ups  chan Out
	done chan struct{} // after want bytes
	want int
}

func (s *sink) Up(_ packet.ID, _ Established, out Out) { s.ups <- out }
func (s *sink) Writable(packet.ID)                     { s.ups <- nil }
func (s *sink) Down(packet.ID, Reason)                 {}
func (s *sink) Forget(packet.ID)                       {}
func (s *sink) Deliver(_ packet.ID, b *Buffer) {
	if s.want -= len(b.Data); s.want == 0 {
		s.done <- struct{}{}
	}
	b.Release()
}

// handshake brings a session with a router up, by hand.
func handshake(b testing.TB, at netip.AddrPort) net.Conn {
	b.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	c, err := d.DialContext(b.Context(), "tcp4", at.String())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := c.Write(append(openMessage(0), wire.AppendKeepalive(nil)...)); err != nil {
		b.Fatal(err)
	}
	h := make([]byte, wire.HeaderLen)
	for range 2 { // OPEN, KEEPALIVE
		if _, err := io.ReadFull(c, h); err != nil {
			b.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, c, int64(int(h[16])<<8|int(h[17]))-wire.HeaderLen); err != nil {
			b.Fatal(err)
		}
	}
	return c
}

func benchRouter(b *testing.B, s *sink) netip.AddrPort {
	b.Helper()
	m := New(s, slog.New(slog.DiscardHandler))
	b.Cleanup(func() { m.Close("") })
	if err := m.Listen([]netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")}); err != nil {
		b.Fatal(err)
	}
	n := settings(addrA)
	n.Remote, n.Machine.Passive = netip.MustParseAddr("127.0.0.2"), true
	if err := m.Set(n); err != nil {
		b.Fatal(err)
	}
	return m.Listening()[0]
}

// BenchmarkRead is the way of a full table from a socket to Routes, the
// sender's write included.
func BenchmarkRead(b *testing.B) {
	s := &sink{ups: make(chan Out, 1), done: make(chan struct{}, 1)}
	c := handshake(b, benchRouter(b, s))
	defer c.Close()
	<-s.ups
	all := feed.New(1, prefix.IPv4, 200_000).Sender(65002, netip.MustParseAddr("10.0.0.2")).Stream()
	b.SetBytes(int64(len(all)))
	b.ReportAllocs()
	for b.Loop() {
		s.want = len(all)
		if _, err := c.Write(all); err != nil {
			b.Fatal(err)
		}
		<-s.done
	}
}

// BenchmarkWrite is the way of packets from Send to a socket, the receiver's
// read included.
func BenchmarkWrite(b *testing.B) {
	for name, fields := range map[string][]packet.Field{"plain": nil, "rendered": {{At: 60, Len: 4}}} {
		b.Run(name, func(b *testing.B) {
			s := &sink{ups: make(chan Out, 1)}
			c := handshake(b, benchRouter(b, s))
			defer c.Close()
			out := <-s.ups
			p := packet.New()
			defer p.Release()
			for m := range feed.New(1, prefix.IPv4, 100_000).Sender(65002, netip.MustParseAddr("10.0.0.2")).Updates() {
				p.Data = append(p.Data, m...)
				if len(p.Data) >= packet.Size {
					break
				}
			}
			p.Segments = append(p.Segments, packet.Segment{End: len(p.Data)})
			p.NextHops = fields
			const n = 256
			buf := make([]byte, 256<<10)
			b.SetBytes(int64(n * len(p.Data)))
			b.ReportAllocs()
			for b.Loop() {
				go func() {
					for sent := 0; sent < n; {
						if out.Room() == 0 {
							<-s.ups
							continue
						}
						out.Send(p, &packet.NextHop{Own: []byte{10, 0, 0, 1}})
						sent++
					}
				}()
				for left := n * len(p.Data); left > 0; {
					k, err := c.Read(buf)
					if err != nil {
						b.Fatal(err)
					}
					left -= k
				}
			}
		})
	}
}
