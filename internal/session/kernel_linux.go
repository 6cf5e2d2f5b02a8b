package session

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/internal/prefix"
)

// Kernel is the Net of Linux.
//
// TCP_USER_TIMEOUT is left alone: the hold timer sees a neighbor that is gone,
// the send hold timer one that does not read, and both leave their reason.
type Kernel struct{}

// dscpCS6 is the class of network control (RFC 4271 appendix E asks for
// precedence 110). Until it is known whose a connection is, it has that.
const dscpCS6 = 48

func network(a netip.Addr) string {
	if a.Is4() {
		return "tcp4"
	}
	return "tcp6" // Go sets IPV6_V6ONLY: IPv4 neighbors have listeners of their own
}

// Listen implements Net. The listener answers with the largest TTL, as
// neighbors with GTSM want to see it; each connection gets its own then.
func (Kernel) Listen(at netip.AddrPort) (net.Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			return errors.Join(setTTL(fd, at.Addr(), 255), setClass(fd, at.Addr(), dscpCS6), setFree(fd, at.Addr()), option("the keeping of SYNs",
				unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_SAVE_SYN, 1)))
		})
	}}
	lc.SetMultipathTCP(false) // which has no MD5
	return lc.Listen(context.Background(), network(at.Addr()), at.String())
}

// setFree lets a socket have an address that no interface has: a router may be
// started before its addresses are there, and they may come and go.
func setFree(fd int, a netip.Addr) error {
	if a.Is4() {
		return option("a free bind", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_FREEBIND, 1))
	}
	return option("a free bind", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
}

// Absent implements Net.
func (Kernel) Absent(a netip.Addr) bool {
	all, err := net.InterfaceAddrs()
	if err != nil || a.IsUnspecified() || a.IsLoopback() { // all of 127.0.0.0/8 is there
		return false
	}
	return !slices.ContainsFunc(all, func(have net.Addr) bool {
		n, ok := have.(*net.IPNet)
		return ok && n.IP.Equal(a.WithZone("").AsSlice())
	})
}

// Password implements Net.
func (Kernel) Password(l net.Listener, remote netip.Prefix, password string) error {
	if addrPort(l.Addr()).Addr().Is4() != remote.Addr().Is4() {
		return nil
	}
	return onSocket(l, func(fd int) error {
		err := setMD5(fd, remote, password)
		if password == "" && errors.Is(err, unix.ENOENT) {
			return nil // there was none
		}
		return err
	})
}

// Segments implements Net.
func (Kernel) Segments(l net.Listener, mss uint16) error {
	return onSocket(l, func(fd int) error { return setSegments(fd, mss) })
}

// Accepted implements Net.
func (Kernel) Accepted(nc net.Conn, t Transport) error {
	return onSocket(nc, func(fd int) error {
		syn, err := savedSYN(fd)
		if err == nil {
			err = checkSYN(syn, &t)
		}
		return errors.Join(setTransport(fd, &t), err)
	})
}

// savedSYN is the packet with which an accepted connection began, from its IP
// header on. It is empty if the kernel did not keep it: it answers with SYN
// cookies while it is flooded.
func savedSYN(fd int) ([]byte, error) {
	var syn [128]byte
	n := uint32(len(syn))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_SAVED_SYN,
		uintptr(unsafe.Pointer(&syn)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("cannot see the SYN: %w", errno)
	}
	return syn[:n], nil
}

// checkSYN refuses a connection for how it began. The listener, which is
// everybody's, takes any TTL, and bytes may have come before this socket had its
// own limit. And it may not have had the password yet when the SYN came; signed
// ones, it has let in with the right password only.
func checkSYN(syn []byte, t *Transport) error {
	ttl, head := 8, 20
	if len(syn) > 0 && syn[0]>>4 == 6 {
		ttl, head = 7, ipv6Headers(syn)
	} else if len(syn) > 0 {
		head = 4 * int(syn[0]&0xf)
	}
	switch {
	case len(syn) == 0:
		// SYN cookies: who completes the handshake sees what is sent to the
		// neighbor. The limit holds for what follows.
		return nil
	case len(syn) < head+20:
		return errors.New("the kernel kept only a part of its SYN")
	case syn[ttl] < t.MinTTL:
		return fmt.Errorf("it came with TTL %d, less than %d (GTSM, RFC 5082)", syn[ttl], t.MinTTL)
	case t.Password != "" && !signed(syn[head:]):
		return errors.New("it came without TCP MD5, from before the password was set")
	}
	return nil
}

// ipv6Headers is how long the headers before that of TCP are. What may stand
// there that the kernel keeps are options and routing (RFC 8200 section 4).
func ipv6Headers(packet []byte) int {
	const hopByHop, routing, destination = 0, 43, 60
	n := 40
	if len(packet) < n {
		return n
	}
	for next := packet[6]; len(packet) >= n+2 && (next == hopByHop || next == routing || next == destination); {
		next, n = packet[n], n+8*(1+int(packet[n+1]))
	}
	return n
}

// signed reports whether a TCP header, which may be cut off, has the option of
// RFC 2385.
func signed(tcp []byte) bool {
	for o := tcp[20:max(20, min(len(tcp), 4*int(tcp[12]>>4)))]; len(o) > 0; {
		switch {
		case o[0] == 19:
			return true
		case o[0] == 1: // no operation
			o = o[1:]
		case o[0] == 0 || len(o) < 2 || o[1] < 2 || int(o[1]) > len(o): // the end
			return false
		default:
			o = o[o[1]:]
		}
	}
	return false
}

// Dial implements Net.
func (Kernel) Dial(ctx context.Context, t Transport) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1, Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			if t.Password != "" {
				if err := setMD5(fd, netip.PrefixFrom(t.Remote, t.Remote.BitLen()), t.Password); err != nil {
					return err
				}
			}
			if t.MSS > 0 {
				if err := setSegments(fd, t.MSS); err != nil {
					return err
				}
			}
			return setTransport(fd, &t)
		})
	}}
	d.SetMultipathTCP(false)
	to := t.remote()
	if name := t.Remote.Zone(); name != "" {
		// Package net remembers for a minute what number a name has, and there
		// may be another interface of that name since.
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return nil, fmt.Errorf("there is no interface %s", name)
		}
		to = netip.AddrPortFrom(t.Remote.WithZone(strconv.Itoa(ifi.Index)), to.Port())
	}
	if local := t.Local; local.IsValid() {
		if local.Is6() && local.IsLinkLocalUnicast() {
			local = local.WithZone(to.Addr().Zone())
		}
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	nc, err := d.DialContext(ctx, network(t.Remote), to.String())
	if s := (*os.SyscallError)(nil); errors.As(err, &s) && s.Syscall == "bind" {
		return nil, fmt.Errorf("cannot connect from %v: %s", t.Local, errorText(err))
	}
	return nc, err
}

// onSocket runs f with the socket of a connection or listener.
func onSocket(of any, f func(fd int) error) error {
	s, ok := of.(syscall.Conn)
	if !ok {
		return fmt.Errorf("cannot set options: %T is no socket", of)
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, f)
}

// control runs f with the socket.
func control(c syscall.RawConn, f func(fd int) error) error {
	var inner error
	err := c.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// setTransport applies what both directions have in common. TCP_NODELAY is
// Go's default.
func setTransport(fd int, t *Transport) error {
	errs := []error{setClass(fd, t.Remote, t.DSCP)}
	if t.UserTimeout > 0 { // RFC 5482
		errs = append(errs, option("the user timeout", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(t.UserTimeout/time.Millisecond))))
	}
	if t.TTL > 0 {
		errs = append(errs, setTTL(fd, t.Remote, int(t.TTL)))
	}
	if t.MinTTL > 0 { // RFC 5082
		level, opt := unix.IPPROTO_IP, unix.IP_MINTTL
		if t.Remote.Is6() {
			level, opt = unix.IPPROTO_IPV6, unix.IPV6_MINHOPCOUNT
		}
		errs = append(errs, option("the least TTL", unix.SetsockoptInt(fd, level, opt, int(t.MinTTL))))
	}
	return errors.Join(errs...)
}

func setTTL(fd int, a netip.Addr, ttl int) error {
	if a.Is4() {
		return option("the TTL", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl))
	}
	return option("the hop limit", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, ttl))
}

func setClass(fd int, a netip.Addr, dscp uint8) error {
	if a.Is4() {
		return option("DSCP", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, int(dscp)<<2))
	}
	return option("DSCP", unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, int(dscp)<<2))
}

func setSegments(fd int, mss uint16) error {
	return option("the largest segment", unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG, int(mss)))
}

func option(name string, err error) error {
	if err != nil {
		return fmt.Errorf("cannot set %s: %w", name, err)
	}
	return nil
}

// setMD5 sets the key for addresses, or deletes it. Of several that fit an
// address, the kernel takes the most specific one.
func setMD5(fd int, remote netip.Prefix, password string) error {
	s := unix.TCPMD5Sig{Flags: unix.TCP_MD5SIG_FLAG_PREFIX, Prefixlen: uint8(remote.Bits())}
	if len(password) > len(s.Key) {
		return fmt.Errorf("a TCP MD5 password has at most %d bytes", len(s.Key))
	}
	// The address is a struct sockaddr_in or sockaddr_in6: family in the
	// machine's order, port, then the address, which in IPv6 follows four
	// bytes of flow label.
	s.Addr.Family = unix.AF_INET
	at := s.Addr.Data[2:]
	if remote.Addr().Is6() {
		s.Addr.Family = unix.AF_INET6
		at = s.Addr.Data[6:]
	}
	copy(at, remote.Addr().AsSlice())
	s.Keylen = uint16(copy(s.Key[:], password))
	return option("the TCP MD5 password", unix.SetsockoptTCPMD5Sig(fd, unix.IPPROTO_TCP, unix.TCP_MD5SIG_EXT, &s))
}

// Addresses implements Net.
func (Kernel) Addresses(local, remote netip.Addr) (found Addresses) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return found
	}
	for _, i := range ifaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		var prefixes []netip.Prefix
		mine := false
		for _, a := range addrs {
			n, ok := a.(*net.IPNet)
			if !ok {
				continue
			}
			ip, ok := netip.AddrFromSlice(n.IP)
			ones, _ := n.Mask.Size()
			if !ok {
				continue
			}
			ip = ip.Unmap()
			prefixes = append(prefixes, netip.PrefixFrom(ip, ones))
			mine = mine || ip == local.WithZone("") && (local.Zone() == "" || local.Zone() == i.Name)
		}
		if mine {
			return pick(i.Name, prefixes, local, remote)
		}
	}
	return found
}

// pick chooses among the addresses of an interface: of the connection's own
// family the local end of the connection, of others the first.
func pick(name string, prefixes []netip.Prefix, local, remote netip.Addr) (found Addresses) {
	connected := remote.IsLinkLocalUnicast()
	for _, p := range prefixes {
		a := p.Addr()
		if p.Contains(remote.WithZone("")) && !p.IsSingleIP() {
			connected = true
			if !a.IsLinkLocalUnicast() && !a.IsLoopback() && (!found.Link.IsValid() || a == local) {
				found.Link = p.Masked()
			}
		}
		f := prefix.IPv4
		if a.Is6() {
			f = prefix.IPv6
		}
		switch {
		case a.IsLoopback():
		case a.Is6() && a.IsLinkLocalUnicast():
			if !found.LinkLocal.IsValid() || a == local.WithZone("") {
				found.LinkLocal = a
			}
		case !found.Global[f].IsValid() || a == local.WithZone(""):
			found.Global[f] = a
		}
	}
	if connected {
		found.Interface = name
	} else {
		found.LinkLocal = netip.Addr{}
	}
	return found
}
