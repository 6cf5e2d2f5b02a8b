// Package netlab runs BGP routers of several makes in network namespaces and
// reads their routes in one common form, so that tests can compare what one
// announces with what another has.
//
// A Lab is a switch with nodes around it, each node a namespace with one
// interface eth0. Everything is removed at the end of the test. It needs Linux
// and root.
package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is one switch and the nodes on it.
type Lab struct {
	T      testing.TB
	name   string
	sw     string // namespace of the switch
	dir    string
	nodes  []*Node
	nextIP byte
	wires  byte
}

// Node is a namespace with one interface, eth0, on the lab's switch, and one
// for each Wire.
type Node struct {
	Lab  *Lab
	Name string
	V4   netip.Addr // 10.0.0.n/24
	V6   netip.Addr // 2001:db8:0:1::n/64
	Dir  string     // for files of the processes that run here
	ns   string
	ends []*End
}

// labs numbers the labs of this process.
var labs atomic.Int32

var sweep = sync.OnceValue(removeLeftovers)

// New makes an empty lab. It fails the test where namespaces cannot be made.
func New(t testing.TB) *Lab {
	t.Helper()
	NeedTools(t, "ip")
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run the tests with sudo, or ./test.sh which says what it leaves out")
	}
	if err := sweep(); err != nil {
		t.Fatalf("cannot remove the namespaces of an earlier run: %v", err)
	}
	l := &Lab{T: t, name: fmt.Sprintf("hf%d-%d", os.Getpid(), labs.Add(1))}
	l.sw = l.name + "-sw"
	dir, err := os.MkdirTemp("", "hf") // short: it holds unix sockets
	if err != nil {
		t.Fatal(err)
	}
	l.dir = dir
	// Routers that drop their privileges must get at their files.
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	l.ip("netns add " + l.sw)
	l.ip("-n " + l.sw + " link add sw0 type bridge stp_state 0 mcast_snooping 0 forward_delay 0")
	l.ip("-n " + l.sw + " link set sw0 up")
	return l
}

// Node adds a node. Its addresses are the next free ones.
func (l *Lab) Node(name string) *Node {
	l.T.Helper()
	l.nextIP++
	n := &Node{
		Lab: l, Name: name, ns: l.name + "-" + name, Dir: filepath.Join(l.dir, name),
		V4: netip.AddrFrom4([4]byte{10, 0, 0, l.nextIP}),
		V6: netip.MustParseAddr(fmt.Sprintf("2001:db8:0:1::%x", l.nextIP)),
	}
	if err := os.Mkdir(n.Dir, 0o777); err != nil {
		l.T.Fatal(err)
	}
	if err := os.Chmod(n.Dir, 0o777); err != nil {
		l.T.Fatal(err)
	}
	l.nodes = append(l.nodes, n)
	l.ip("netns add " + n.ns)
	// Addresses are usable at once, without duplicate address detection.
	n.Run("sh", "-c", "for i in all default; do echo 0 >/proc/sys/net/ipv6/conf/$i/accept_dad; done")
	l.ip("-n " + n.ns + " link add eth0 type veth peer name p-" + name + " netns " + l.sw)
	l.ip("-n " + l.sw + " link set dev p-" + name + " master sw0 up")
	l.ip("-n " + n.ns + " link set lo up")
	l.ip("-n " + n.ns + " link set eth0 up")
	l.ip(fmt.Sprintf("-n %s addr add %s/24 dev eth0", n.ns, n.V4))
	l.ip(fmt.Sprintf("-n %s addr add %s/64 dev eth0 nodad", n.ns, n.V6))
	return n
}

// Link connects two nodes by an interface of their own, of the same name at both,
// that has no addresses but link-local ones.
func (l *Lab) Link(a, b *Node, name string) {
	l.T.Helper()
	l.ip(fmt.Sprintf("-n %s link add %s type veth peer name %[2]s netns %s", a.ns, name, b.ns))
	for _, n := range []*Node{a, b} {
		l.ip("-n " + n.ns + " link set " + name + " up")
	}
}

// LinkLocal is a node's link-local address on an interface.
func (n *Node) LinkLocal(name string) netip.Addr {
	n.Lab.T.Helper()
	out := n.Run("ip", "-6", "-o", "addr", "show", "dev", name, "scope", "link")
	for _, word := range strings.Fields(out) {
		if p, err := netip.ParsePrefix(word); err == nil {
			return p.Addr()
		}
	}
	n.Lab.T.Fatalf("%s has no link-local address on %s: %s", n.Name, name, out)
	return netip.Addr{}
}

// Addr is the node's address of a family.
func (n *Node) Addr(f Family) netip.Addr {
	if f == IPv6 {
		return n.V6
	}
	return n.V4
}

// Cut takes the node's link down: both sides see the carrier go.
func (n *Node) Cut() {
	n.Lab.T.Helper()
	n.Lab.ip("-n " + n.Lab.sw + " link set dev p-" + n.Name + " down")
}

// Mend undoes Cut.
func (n *Node) Mend() {
	n.Lab.T.Helper()
	n.Lab.ip("-n " + n.Lab.sw + " link set dev p-" + n.Name + " up")
}

// Blackhole loses every packet from and to the node while its link stays up.
func (n *Node) Blackhole() {
	n.Lab.T.Helper()
	n.Lab.ip("-n " + n.Lab.sw + " link set dev p-" + n.Name + " nomaster")
}

// Unblackhole undoes Blackhole.
func (n *Node) Unblackhole() {
	n.Lab.T.Helper()
	n.Lab.ip("-n " + n.Lab.sw + " link set dev p-" + n.Name + " master sw0")
}

// Command is a command that runs inside the node.
func (n *Node) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", n.ns, name}, args...)...)
}

// Output runs a command inside the node and returns what it prints.
func (n *Node) Output(name string, args ...string) (string, error) {
	out, err := n.Command(name, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %s %s: %w\n%s", n.Name, name, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Dial connects from the node, in this process.
func (n *Node) Dial(from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result)
	go func() {
		c, err := n.dial(from, to)
		done <- result{c, err}
	}()
	r := <-done
	return r.c, r.err
}

// dial needs a goroutine of its own: its thread goes into the namespace and
// comes back, and ends with the goroutine if it cannot. It may be the first
// thread of the process, which never ends: one that stayed would make the
// process one of those that are killed with the namespace.
func (n *Node) dial(from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer home.Close()
	there, err := os.Open("/run/netns/" + n.ns)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	defer func() {
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	d := net.Dialer{Timeout: Patience, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	return d.Dial("tcp", to.String())
}

// Run is Output for commands that must succeed.
func (n *Node) Run(name string, args ...string) string {
	n.Lab.T.Helper()
	out, err := n.Output(name, args...)
	if err != nil {
		n.Lab.T.Fatal(err)
	}
	return out
}

// Write makes a file in the node's directory and returns its path.
func (n *Node) Write(name, content string) string {
	n.Lab.T.Helper()
	p := filepath.Join(n.Dir, name)
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		n.Lab.T.Fatal(err)
	}
	// OpenBGPD refuses files that others may write, whatever the umask says.
	if err := os.Chmod(p, 0o600); err != nil {
		n.Lab.T.Fatal(err)
	}
	return p
}

// Processes are the numbers of the processes that run in the node.
func (n *Node) Processes() ([]int, error) {
	out, err := exec.Command("ip", "netns", "pids", n.ns).Output()
	if err != nil {
		return nil, fmt.Errorf("cannot list the processes of %s: %w", n.Name, err)
	}
	var pids []int
	for _, text := range strings.Fields(string(out)) {
		pid, err := strconv.Atoi(text)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// Counter is a counter of the node's kernel, as TCPMD5NotFound; of those with the
// same name the first.
func (n *Node) Counter(name string) (int, error) {
	out, err := n.Output("cat", "/proc/net/netstat", "/proc/net/snmp")
	if err != nil {
		return 0, err
	}
	lines := strings.Split(out, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		values := strings.Fields(lines[i+1])
		for j, key := range strings.Fields(lines[i]) {
			if key == name && j < len(values) {
				return strconv.Atoi(values[j])
			}
		}
	}
	return 0, fmt.Errorf("the kernel has no counter %s", name)
}

func (l *Lab) ip(args string) {
	l.T.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		l.T.Fatalf("ip %s: %v: %s", args, err, out)
	}
}

// close runs after the processes have been stopped: their cleanups were
// registered later.
func (l *Lab) close() {
	for _, n := range l.nodes {
		if err := removeNamespace(n.ns); err != nil {
			l.T.Error(err)
		}
	}
	if err := removeNamespace(l.sw); err != nil {
		l.T.Error(err)
	}
	if err := os.RemoveAll(l.dir); err != nil {
		l.T.Error(err)
	}
}

// removeNamespace ends what still runs in a namespace and deletes it.
func removeNamespace(ns string) error {
	out, err := exec.Command("ip", "netns", "pids", ns).Output()
	if err != nil {
		return nil // it does not exist: making it failed
	}
	for _, pid := range strings.Fields(string(out)) {
		if n, err := strconv.Atoi(pid); err == nil {
			_ = syscall.Kill(n, syscall.SIGKILL) // it may have ended by itself
		}
	}
	if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
		return fmt.Errorf("cannot delete namespace %s: %w: %s", ns, err, out)
	}
	return nil
}

// removeLeftovers removes the namespaces of test processes that were killed.
func removeLeftovers() error {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(out)) {
		ns, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest, ours := strings.CutPrefix(ns, "hf")
		pid, _, ok := strings.Cut(rest, "-")
		if _, err := strconv.Atoi(pid); !ours || !ok || err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + pid); err == nil {
			continue
		}
		if err := removeNamespace(ns); err != nil {
			return err
		}
	}
	return nil
}

// Await polls until check has no error, and fails the test with the last error
// when that takes too long.
func Await(t testing.TB, timeout time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 250*time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no %s within %v: %v", what, timeout, err)
		}
		time.Sleep(wait)
	}
}

// packages tells which Debian package has a tool.
func packageOf(tool string) string {
	switch filepath.Base(tool) {
	case "bird", "birdc":
		return "bird2"
	case "vtysh", "zebra":
		return "frr"
	case "bgpd":
		if strings.Contains(tool, "frr") {
			return "frr"
		}
		return "openbgpd"
	case "bgpctl":
		return "openbgpd"
	case "gobgp", "gobgpd":
		return "gobgpd"
	case "systemd-analyze":
		return "systemd"
	case "setpriv":
		return "util-linux"
	case "ip":
		return "iproute2"
	}
	return filepath.Base(tool)
}

// NeedTools fails the test where a tool is missing and says how to install it.
func NeedTools(t testing.TB, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("this test needs %s: apt-get install %s", tool, packageOf(tool))
		}
	}
}
