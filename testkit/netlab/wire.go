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
	port string     // of the switch, if there is one on the wire
	V4   netip.Addr // 10.1.n.1/24 and 10.1.n.2/24
	V6   netip.Addr // 2001:db8:1:n::1/64 and 2001:db8:1:n::2/64
}

// Wire joins two nodes by a link of their own.
func (l *Lab) Wire(a, b *Node) (*End, *End) {
	l.T.Helper()
	link := l.nextWire()
	l.ip(fmt.Sprintf("-n %s link add %s type veth peer name %s netns %s", a.ns, link, link, b.ns))
	return l.ends(a, b, link, "", "")
}

// SwitchedWire is a Wire with a switch of its own in the middle: what happens at
// one end is not seen at the other.
func (l *Lab) SwitchedWire(a, b *Node) (*End, *End) {
	l.T.Helper()
	link := l.nextWire()
	l.ip("-n " + l.sw + " link add sw" + link + " type bridge stp_state 0 mcast_snooping 0 forward_delay 0")
	l.ip("-n " + l.sw + " link set sw" + link + " up")
	ports := []string{link + "a", link + "b"}
	for i, n := range []*Node{a, b} {
		l.ip(fmt.Sprintf("-n %s link add %s type veth peer name %s netns %s", n.ns, link, ports[i], l.sw))
		l.ip(fmt.Sprintf("-n %s link set dev %s master sw%s up", l.sw, ports[i], link))
	}
	return l.ends(a, b, link, ports[0], ports[1])
}

func (l *Lab) nextWire() string {
	l.wires++
	return fmt.Sprintf("w%d", l.wires)
}

// ends gives both ends of a link addresses.
func (l *Lab) ends(a, b *Node, link, portA, portB string) (*End, *End) {
	l.T.Helper()
	end := func(n *Node, host byte, port string) *End {
		e := &End{n, link, port, netip.AddrFrom4([4]byte{10, 1, l.wires, host}), netip.MustParseAddr(fmt.Sprintf("2001:db8:1:%x::%x", l.wires, host))}
		n.ends = append(n.ends, e)
		l.ip(fmt.Sprintf("-n %s link set %s up", n.ns, link))
		l.ip(fmt.Sprintf("-n %s addr add %s/24 dev %s", n.ns, e.V4, link))
		l.ip(fmt.Sprintf("-n %s addr add %s/64 dev %s nodad", n.ns, e.V6, link))
		return e
	}
	return end(a, 1, portA), end(b, 2, portB)
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

// Cut takes the carrier away from this end of a SwitchedWire.
func (e *End) Cut() { e.Node.Lab.T.Helper(); e.switchPort("down") }

// Mend undoes Cut.
func (e *End) Mend() { e.Node.Lab.T.Helper(); e.switchPort("up") }

// Blackhole loses every packet on a SwitchedWire while the carrier stays.
func (e *End) Blackhole() { e.Node.Lab.T.Helper(); e.switchPort("nomaster") }

// Unblackhole undoes Blackhole.
func (e *End) Unblackhole() { e.Node.Lab.T.Helper(); e.switchPort("master sw" + e.Link) }

func (e *End) switchPort(what string) {
	e.Node.Lab.T.Helper()
	e.Node.Lab.ip(fmt.Sprintf("-n %s link set dev %s %s", e.Node.Lab.sw, e.port, what))
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
