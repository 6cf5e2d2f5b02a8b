package rival

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/testkit/netlab"
)

const frrDir = "/usr/lib/frr/"

// FRR is Debian's FRR: bgpd and bfdd with a zebra beside them.
func FRR() Make { return Make{"FRR", newFRR, frrVersion} }

type frr struct{ base }

func newFRR(n *netlab.Node, neighbors []Neighbor) Router {
	netlab.NeedTools(n.Lab.T, frrDir+"bgpd", frrDir+"zebra", frrDir+"bfdd", "vtysh")
	return &frr{base{node: n, neighbors: neighbors}}
}

func frrVersion(t testing.TB) string {
	out, err := exec.Command(frrDir+"bgpd", "--version").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	version := strings.Fields(strings.TrimPrefix(string(out), "bgpd version "))
	return "FRR " + version[0]
}

func (f *frr) configure() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("bgp route-map delay-timer 1")
	for _, n := range f.neighbors {
		if n.Preference > 0 {
			p("route-map from-%s permit 10\n set local-preference %d", n.Name, n.Preference)
		} else {
			p("route-map from-%s deny 10", n.Name)
		}
		action := "deny"
		if n.Export {
			action = "permit"
		}
		p("route-map to-%s %s 10", n.Name, action)
	}
	p("router bgp %d\n bgp router-id %s", AS, f.neighbors[0].Router.V4)
	p(" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time 240\n bgp graceful-restart select-defer-time 240")
	for _, n := range f.neighbors {
		p(" neighbor %s remote-as %d\n neighbor %[1]s passive", n.At.V4, n.ASN)
		if n.BFD {
			p(" neighbor %s bfd 3 300 300", n.At.V4)
		}
	}
	p(" address-family ipv4 unicast")
	for _, n := range f.neighbors {
		p("  neighbor %s route-map from-%s in\n  neighbor %[1]s route-map to-%[2]s out", n.At.V4, n.Name)
	}
	p(" exit-address-family")
	return f.node.Write("bgpd.conf", s.String())
}

func (f *frr) vtysh(daemon string, commands ...string) (string, error) {
	args := []string{"--vty_socket", f.node.Dir, "-d", daemon}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return f.node.Output("vtysh", args...)
}

// Start: zebra leaves routes of an earlier run in the kernel (-K) until
// bgpd has had the time to claim them, and its own at its end (-r). Its netlink
// buffer is what Debian gives it.
func (f *frr) Start() {
	t := f.node.Lab.T
	t.Helper()
	api := filepath.Join(f.node.Dir, "zserv.api")
	_ = os.Remove(api) // of the one before
	f.programs = nil
	program := func(name, conf string, more ...string) *netlab.Process {
		args := []string{"-f", conf, "-i", filepath.Join(f.node.Dir, name+".pid"), "-z", api, "--vty_socket", f.node.Dir,
			"-A", "127.0.0.1", "-u", "root", "-g", "frrvty", "--log", "stdout", "--log-level", "info"}
		p := f.node.Start(name, f.node.Command(frrDir+name, append(args, more...)...))
		f.programs = append(f.programs, p)
		return p
	}
	answers := func(p *netlab.Process, name string) {
		netlab.Await(t, netlab.Patience, name, func() error {
			if err := p.Running(); err != nil {
				t.Fatal(err)
			}
			_, err := f.vtysh(name, "show version")
			return err
		})
	}
	zebra := program("zebra", f.node.Write("zebra.conf", ""), "-r", "-K", "240", "-s", "90000000")
	netlab.Await(t, netlab.Patience, "zebra", func() error {
		if err := zebra.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(api)
		return err
	})
	said := strings.Count(zebra.Log(), knowsBGP)
	answers(program("bfdd", f.node.Write("bfdd.conf", ""), "--bfdctl", filepath.Join(f.node.Dir, "bfdd.sock")), "bfdd")
	bgpd := program("bgpd", f.configure())
	answers(bgpd, "bgpd")
	netlab.Await(t, netlab.Patience, "bgpd at zebra", func() error {
		if err := bgpd.Running(); err != nil {
			t.Fatal(err)
		}
		if strings.Count(zebra.Log(), knowsBGP) == said {
			return errors.New("zebra has not heard of bgpd")
		}
		return nil
	})
}

const knowsBGP = "announce only bgp routes"

// Upgrade ends zebra first: bgpd, which is stopped first otherwise, takes its
// routes back at SIGTERM, and zebra would remove them from the kernel.
func (f *frr) Upgrade() {
	f.node.Lab.T.Helper()
	f.terminate()
	f.Start()
}

func (f *frr) Prefer(neighbor string, preference int) {
	t := f.node.Lab.T
	t.Helper()
	f.set(neighbor, preference)
	f.configure()
	out, err := f.vtysh("bgpd", "configure terminal", "route-map from-"+neighbor+" permit 10", fmt.Sprint("set local-preference ", preference))
	if err != nil || strings.Contains(out, "%") {
		t.Fatalf("FRR refused a command: %v %s", err, out)
	}
}
