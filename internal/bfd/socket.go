package bfd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"holdfast/internal/events"
)

const (
	singleHopPort = 3784 // RFC 5881 section 4
	multihopPort  = 4784 // RFC 5883 section 5

	firstSource = 49152 // of the ports to send from (RFC 5881 section 4)
	lastSource  = 65535

	class = 48 << 2 // CS6, as BGP's
)

func portNumber(multihop bool) int {
	if multihop {
		return multihopPort
	}
	return singleHopPort
}

// port is a socket that packets of one family and kind come to.
type port struct {
	fd           int
	v6, multihop bool
	again        time.Duration // when to try to open it; 0: it is not wanted, or open
	problem      string        // why it could not be had the last time; ""
}

// arrivesAt is the index of the port that a neighbor's packets come to.
func (s *Session) arrivesAt() (i int) {
	if s.Remote.Is6() {
		i |= 1
	}
	if s.Multihop {
		i |= 2
	}
	return i
}

// retryPort is how long a port that cannot be had is left alone.
const retryPort = 5 * time.Second

// retry is when a port is to be tried again.
func (t *thread) retry() time.Duration {
	at := time.Duration(never)
	for i := range t.ports {
		if p := &t.ports[i]; p.again > 0 {
			at = min(at, p.again)
		}
	}
	return at
}

// open opens the ports that sessions need, and closes others.
func (t *thread) open(now time.Duration) {
	var wanted [4]bool
	for _, s := range t.byDiscr {
		wanted[s.arrivesAt()] = true
	}
	for i := range t.ports {
		p := &t.ports[i]
		switch {
		case !wanted[i]:
			p.close()
			p.again, p.problem = 0, ""
		case p.fd < 0 && now >= p.again:
			err, said := p.open(), p.problem != ""
			p.again, p.problem = 0, ""
			if err != nil {
				p.again, p.problem = now+retryPort, "cannot receive: "+err.Error()
				if !said {
					t.driver.log.Error("cannot receive BFD packets: trying again", "event", events.BFDPort, "error", err)
				}
			}
		}
	}
}

func (p *port) close() {
	if p.fd >= 0 {
		_ = unix.Close(p.fd)
		p.fd = -1
	}
}

func (p *port) open() error {
	number := portNumber(p.multihop)
	var at unix.Sockaddr = &unix.SockaddrInet4{Port: number}
	family, level, options := unix.AF_INET, unix.IPPROTO_IP, []int{unix.IP_RECVTTL, unix.IP_PKTINFO}
	if p.v6 {
		at = &unix.SockaddrInet6{Port: number}
		family, level, options = unix.AF_INET6, unix.IPPROTO_IPV6, []int{unix.IPV6_V6ONLY, unix.IPV6_RECVHOPLIMIT, unix.IPV6_RECVPKTINFO}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("UDP port %d: %w", number, err)
	}
	for _, o := range options {
		err = errors.Join(err, unix.SetsockoptInt(fd, level, o, 1))
	}
	// Of a thousand neighbors one packet each, and no more: older ones say
	// nothing.
	err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 512<<10), unix.Bind(fd, at))
	if err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return fmt.Errorf("UDP port %d: %w (does another BFD daemon run here?)", number, err)
		}
		return fmt.Errorf("UDP port %d: %w", number, err)
	}
	p.fd = fd
	return nil
}

// openSocket makes the socket that a session sends from. Nothing comes to it.
func (s *session) openSocket() error {
	var zone uint32
	if name := s.Remote.Zone(); name != "" {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return fmt.Errorf("there is no interface %s", name)
		}
		zone, s.link = uint32(ifi.Index), ifi.Index
	}
	family := unix.AF_INET
	if s.Remote.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 6)
	if family == unix.AF_INET {
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 255), unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, class))
	} else {
		err = errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, 255), unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, class))
	}
	if err == nil {
		err = s.bind(fd, zone)
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(s.Remote, portNumber(s.Multihop), zone))
	}
	if err != nil {
		_ = unix.Close(fd)
		return err
	}
	s.fd = fd
	return nil
}

// bind finds a port of its own for the session, the one that it had if possible.
func (s *session) bind(fd int, zone uint32) error {
	local := s.Local
	if !local.IsValid() {
		local = netip.IPv4Unspecified()
		if s.Remote.Is6() {
			local = netip.IPv6Unspecified()
		}
	}
	if !local.IsLinkLocalUnicast() {
		zone = 0
	}
	var err error
	for range 64 {
		if s.port == 0 {
			s.port = uint16(firstSource + rand.IntN(lastSource-firstSource+1))
		}
		if err = unix.Bind(fd, sockaddr(local, int(s.port), zone)); !errors.Is(err, unix.EADDRINUSE) {
			return err
		}
		s.port = 0
	}
	return err
}

func (s *session) closeSocket() {
	if s.fd >= 0 {
		_ = unix.Close(s.fd)
		s.fd = -1
	}
}

func sockaddr(a netip.Addr, port int, zone uint32) unix.Sockaddr {
	if a.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: a.As4()}
	}
	return &unix.SockaddrInet6{Port: port, Addr: a.As16(), ZoneId: zone}
}

// write sends without telling Go's scheduler, which would give the thread's place
// to somebody else: the socket never waits.
func write(fd int, b []byte) error {
	if _, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))); errno != 0 {
		return errno
	}
	return nil
}

// sender is where a packet has come from.
type sender struct {
	addr     netip.Addr
	link     int
	ttl      int
	multihop bool
}

// many packets are read at once.
const many = 64

// batch is room for them.
type batch struct {
	headers [many]header
	parts   [many]unix.Iovec
	names   [many]unix.RawSockaddrInet6
	data    [many][longest + 1]byte
	control [many][128]byte
}

// header is the kernel's struct mmsghdr.
type header struct {
	unix.Msghdr
	len uint32
}

func newBatch() *batch {
	b := &batch{}
	for i := range b.headers {
		b.parts[i].Base = &b.data[i][0]
		b.parts[i].SetLen(len(b.data[i]))
		h := &b.headers[i].Msghdr
		h.Iov = &b.parts[i]
		h.SetIovlen(1)
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Control = &b.control[i][0]
	}
	return b
}

// read takes what waits in a socket.
func (b *batch) read(fd int) int {
	for i := range b.headers {
		h := &b.headers[i].Msghdr
		h.Namelen = uint32(unsafe.Sizeof(b.names[i]))
		h.SetControllen(len(b.control[i]))
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.headers)), many, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// sender takes apart what the kernel says beside a packet.
func (b *batch) sender(i int) (from sender) {
	switch name := &b.names[i]; name.Family {
	case unix.AF_INET:
		from.addr = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	case unix.AF_INET6:
		from.addr = netip.AddrFrom16(name.Addr)
	}
	rest := b.control[i][:b.headers[i].Controllen]
	for len(rest) >= unix.SizeofCmsghdr {
		h, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			break
		}
		rest = next
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TTL && len(data) >= 4,
			h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_HOPLIMIT && len(data) >= 4:
			from.ttl = int(binary.NativeEndian.Uint32(data))
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			from.link = int(binary.NativeEndian.Uint32(data))
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			from.link = int(binary.NativeEndian.Uint32(data[16:]))
		}
	}
	return from
}

// receive reads a port until it is empty. One that has been closed meanwhile is
// somebody else's file now.
func (t *thread) receive(fd int) {
	at := slices.IndexFunc(t.ports[:], func(p port) bool { return p.fd == fd })
	if at < 0 {
		return
	}
	multihop := t.ports[at].multihop
	for n := many; n == many; {
		n = t.in.read(fd)
		for i := range n {
			from := t.in.sender(i)
			from.multihop = multihop
			t.deliver(&from, t.in.data[i][:t.in.headers[i].len])
		}
	}
}
