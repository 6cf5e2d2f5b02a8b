package rival

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/testkit/netlab"
)

// BIRD is Debian's BIRD 2.
func BIRD() Make { return Make{"BIRD", newBIRD, birdVersion} }

type bird struct{ base }

func newBIRD(n *netlab.Node, neighbors []Neighbor) Router {
	netlab.NeedTools(n.Lab.T, "bird", "birdc")
	return &bird{base{node: n, neighbors: neighbors}}
}

func birdVersion(t testing.TB) string {
	out, err := exec.Command("bird", "--version").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Replace(strings.TrimSpace(string(out)), "BIRD version", "BIRD", 1)
}

// BFD is the part of a configuration of BIRD that has BFD, 300 ms three times.
const BFD = "protocol bfd {\n interface \"*\" { min rx interval 300 ms; min tx interval 300 ms; multiplier 3; };\n"

// configure: the kernel protocol, too, waits for the end of a graceful restart
// before it removes what it does not know.
func (b *bird) configure() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("log stderr all;\nrouter id %s;\ngraceful restart wait 240;\nprotocol device {}\n%s}", b.neighbors[0].Router.V4, BFD)
	p("protocol kernel {\n persist;\n graceful restart;\n ipv4 { import none; export where source = RTS_BGP; };\n}")
	for _, n := range b.neighbors {
		p("protocol bgp %s {\n local %s as %d;\n neighbor %s as %d;\n passive on;\n error wait time 1,1;\n graceful restart on;", n.Name, n.Router.V4, AS, n.At.V4, n.ASN)
		if n.BFD {
			p(" bfd on;")
		}
		in, out := "none", "none"
		if n.Preference > 0 {
			in = fmt.Sprintf("filter { bgp_local_pref = %d; accept; }", n.Preference)
		}
		if n.Export {
			out = "all"
		}
		p(" ipv4 {\n  import %s;\n  export %s;\n };\n}", in, out)
	}
	return b.node.Write("bird.conf", s.String())
}

func (b *bird) birdc(args ...string) (string, error) {
	return b.node.Output("birdc", append([]string{"-s", filepath.Join(b.node.Dir, "bird.ctl")}, args...)...)
}

// Start: with -R it recovers from a restart.
func (b *bird) Start() {
	t := b.node.Lab.T
	t.Helper()
	args := []string{"-f", "-c", b.configure(), "-s", filepath.Join(b.node.Dir, "bird.ctl")}
	if b.programs != nil {
		args = append(args, "-R")
	}
	p := b.node.Start("bird", b.node.Command("bird", args...))
	b.programs = []*netlab.Process{p}
	netlab.Await(t, netlab.Patience, "answer of BIRD", func() error {
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := b.birdc("show", "status")
		return err
	})
}

// Upgrade: SIGTERM would tell the neighbors that it is the end.
func (b *bird) Upgrade() {
	t := b.node.Lab.T
	t.Helper()
	if out, err := b.birdc("graceful", "restart"); err != nil {
		t.Fatalf("BIRD does not want to restart: %v %s", err, out)
	}
	b.ended(b.programs[0])
	b.Start()
}

func (b *bird) Prefer(neighbor string, preference int) {
	t := b.node.Lab.T
	t.Helper()
	b.set(neighbor, preference)
	b.configure()
	if out, err := b.birdc("configure"); err != nil || !strings.Contains(out, "Reconfigur") {
		t.Fatalf("BIRD did not take the configuration: %v %s", err, out)
	}
}
