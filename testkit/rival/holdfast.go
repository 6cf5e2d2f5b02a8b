package rival

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/testkit/netlab"
)

// Holdfast is the router that this is all about.
func Holdfast() Make { return Make{"holdfast", newHoldfast, holdfastVersion} }

type holdfast struct {
	base
	bin, next string // that runs, and that it is upgraded to
}

func newHoldfast(n *netlab.Node, neighbors []Neighbor) Router {
	return &holdfast{base{node: n, neighbors: neighbors}, netlab.HoldfastBinary(n.Lab.T), netlab.NextHoldfastBinary(n.Lab.T)}
}

func holdfastVersion(t testing.TB) string {
	out, err := exec.Command(netlab.HoldfastBinary(t), "version", "--socket", "/nonexistent").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(out), ",") // of "holdfast 1.0, go1.26"
	return first
}

func (h *holdfast) socket() string { return filepath.Join(h.node.Dir, "hf.sock") }

func (h *holdfast) configure() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	var listen []string
	for _, n := range h.neighbors {
		listen = append(listen, fmt.Sprintf("\"%s:179\"", n.Router.V4))
	}
	p("router {\n  asn    = %d\n  id     = %q\n  listen = [%s]\n}", AS, h.neighbors[0].Router.V4, strings.Join(listen, ", "))
	p("policy \"all\" {\n  rule \"all\" { then = \"accept\" }\n}")
	for _, n := range h.neighbors {
		if n.Preference > 0 {
			p("policy \"from-%s\" {\n  rule \"all\" {\n    set { local_pref = %d }\n    then = \"accept\"\n  }\n}", n.Name, n.Preference)
		}
		p("neighbor %q {\n  address  = %q\n  asn      = %d\n  passive  = true\n  idle_hold = \"1s\"\n  families = [\"ipv4\"]", n.Name, n.At.V4, n.ASN)
		if n.Preference > 0 {
			p("  import   = policy.from-%s", n.Name)
		}
		if n.BFD {
			p("  bfd      = true")
		}
		if n.Export {
			p("  export   = policy.all")
		}
		p("}")
	}
	return h.node.Write("holdfast.hcl", s.String())
}

func (h *holdfast) Start() {
	t := h.node.Lab.T
	t.Helper()
	p := h.node.Start("holdfast", h.node.Command(h.bin, "run", "--config", h.configure(),
		"--state", filepath.Join(h.node.Dir, "state"), "--socket", h.socket()))
	h.programs = []*netlab.Process{p}
	netlab.Await(t, netlab.Patience, "answer of holdfast", func() error {
		if err := p.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := h.node.Output(h.bin, "show", "summary", "--socket", h.socket())
		return err
	})
}

func (h *holdfast) Upgrade() {
	h.node.Lab.T.Helper()
	h.terminate()
	h.bin, h.next = h.next, h.bin
	h.Start()
}

func (h *holdfast) Prefer(neighbor string, preference int) {
	h.node.Lab.T.Helper()
	h.set(neighbor, preference)
	h.configure()
	h.node.Run(h.bin, "reload", "--socket", h.socket())
}
