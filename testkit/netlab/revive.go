package netlab

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Revive starts BIRD or the bgpd of FRR again after it was killed, as one whose
// packets have gone on meanwhile, with these routes.
func Revive(r Router, routes ...Route) {
	switch r := r.(type) {
	case *bird:
		r.config.Routes = routes
		conf := r.node.Write("bird.conf", r.text())
		r.proc = r.node.Start("bird", r.node.Command("bird", "-f", "-R", "-c", conf, "-s", r.socket, "-P", filepath.Join(r.node.Dir, "bird.pid")))
	case *frr:
		r.proc = r.node.Start("bgpd", r.bgpd())
		Await(r.node.Lab.T, Patience, "answer of FRR", func() error {
			_, err := r.vtysh("show bgp summary")
			return err
		})
		// Its routes come before its neighbors, or its End-of-RIB would.
		c := r.config
		r.configure(fmt.Sprintf("router bgp %d", c.AS), " no bgp network import-check", " no bgp default ipv4-unicast")
		r.Announce(routes...)
		r.configure(strings.Split(strings.TrimSpace(r.text()), "\n")...)
	}
}
