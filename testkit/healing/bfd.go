package healing

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/testkit/netlab"
	"holdfast/testkit/rival"
)

// bfdPeer is a BIRD that does nothing but BFD with the router.
type bfdPeer struct {
	node   *netlab.Node
	socket string
	router string
}

func startBFD(n *netlab.Node, at, router *netlab.End) *bfdPeer {
	netlab.NeedTools(n.Lab.T, "bird", "birdc")
	p := &bfdPeer{n, filepath.Join(n.Dir, "bfd.ctl"), router.V4.String()}
	conf := n.Write("bfd.conf", fmt.Sprintf("log stderr all;\nrouter id %s;\nprotocol device {}\n%s neighbor %s dev \"%s\" local %[1]s;\n}\n",
		at.V4, rival.BFD, router.V4, at.Link))
	n.Start("bfd", n.Command("bird", "-f", "-c", conf, "-s", p.socket))
	return p
}

// awaitUp waits for the session.
func (p *bfdPeer) awaitUp(t testing.TB) {
	t.Helper()
	netlab.Await(t, Patience, "BFD session of "+p.node.Name, func() error {
		out, err := p.node.Output("birdc", "-s", p.socket, "show bfd sessions")
		if err != nil {
			return err
		}
		for line := range strings.Lines(out) {
			if f := strings.Fields(line); len(f) > 2 && f[0] == p.router && f[2] == "Up" {
				return nil
			}
		}
		return fmt.Errorf("it is not up:\n%s", out)
	})
}
