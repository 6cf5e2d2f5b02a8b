package netlab

import (
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// End is a node's end of a wire.
type End struct {
	Node *Node
	Link string     // the interface
	V4   netip.Addr // 10.1.n.1/24 and 10.1.n.2/24
	V6   netip.Addr // 2001:db8:1:n::1/64 and 2001:db8:1:n::2/64
}

// Wire joins two nodes by a link of their own.
func (l *Lab) Wire(a, b *Node) (*End, *End) {
	l.T.Helper()
	l.wires++
	link := fmt.Sprintf("w%d", l.wires)
	l.ip(fmt.Sprintf("-n %s link add %s type veth peer name %s netns %s", a.ns, link, link, b.ns))
	end := func(n *Node, host byte) *End {
		e := &End{n, link, netip.AddrFrom4([4]byte{10, 1, l.wires, host}), netip.MustParseAddr(fmt.Sprintf("2001:db8:1:%x::%x", l.wires, host))}
		n.ends = append(n.ends, e)
		l.ip(fmt.Sprintf("-n %s link set %s up", n.ns, link))
		l.ip(fmt.Sprintf("-n %s addr add %s/24 dev %s", n.ns, e.V4, link))
		l.ip(fmt.Sprintf("-n %s addr add %s/64 dev %s nodad", n.ns, e.V6, link))
		return e
	}
	return end(a, 1), end(b, 2)
}

// Addr is the end's address of a family.
func (e *End) Addr(f Family) netip.Addr {
	if f == IPv6 {
		return e.V6
	}
	return e.V4
}

// Set takes the link "up" or "down" at this end; the other one sees the carrier.
func (e *End) Set(state string) {
	e.Node.Lab.T.Helper()
	e.Node.Lab.ip(fmt.Sprintf("-n %s link set %s %s", e.Node.ns, e.Link, state))
}

// Forward makes the node a router.
func (n *Node) Forward() {
	n.Lab.T.Helper()
	n.Run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
}

// Inside runs f in the node's namespace: sockets that it makes stay there. It
// may not start a goroutine that does the same.
func (n *Node) Inside(f func() error) error {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer home.Close()
	away, err := os.Open("/run/netns/" + n.ns)
	if err != nil {
		return err
	}
	defer away.Close()
	if err := unix.Setns(int(away.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter the namespace of %s: %w", n.Name, err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return fmt.Errorf("cannot leave the namespace of %s: %w", n.Name, back) // and no other goroutine gets the thread
	}
	runtime.UnlockOSThread()
	return err
}

// TimeExceeded is how many packets the node's kernel has thrown away because
// they went round in circles.
func (n *Node) TimeExceeded() int {
	n.Lab.T.Helper()
	sum := 0
	add := func(value string) {
		v, err := strconv.Atoi(value)
		if err != nil {
			n.Lab.T.Fatal(err)
		}
		sum += v
	}
	lines := strings.Split(n.Run("cat", "/proc/net/snmp"), "\n")
	for i := 0; i+1 < len(lines); i += 2 { // names, then values
		values := strings.Fields(lines[i+1])
		for j, name := range strings.Fields(lines[i]) {
			if name == "OutTimeExcds" {
				add(values[j])
			}
		}
	}
	for line := range strings.Lines(n.Run("cat", "/proc/net/snmp6")) {
		if f := strings.Fields(line); f[0] == "Icmp6OutTimeExcds" {
			add(f[1])
		}
	}
	return sum
}
