//go:build interop

package race

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/testkit/netlab"
)

// server is a make of route server. All of them do the same: a client announces
// no more than its prefixes, and with communities says who gets them (0:PEER: not
// this one; 0:64500 without 64500:PEER: nobody else); those communities are
// removed. No path is hidden behind one that a client may not have.
type server struct {
	name  string
	start func(n *netlab.Node, clients []*client) *netlab.Process
	// hides: a client whose own path is the best one is not sent another's.
	hides bool
}

var servers = []server{
	{name: "holdfast", start: startHoldfast},
	{name: "BIRD", start: startBIRD},
	{name: "OpenBGPD", start: startOpenBGPD, hides: true},
}

// list prints a client's prefixes.
func (c *client) list(quote, separator string) string {
	var s []string
	for _, p := range c.owns {
		s = append(s, quote+numbered(p).String()+quote)
	}
	return strings.Join(s, separator)
}

// limit is how many prefixes a client may announce.
const limit = each + each/10

func startHoldfast(n *netlab.Node, clients []*client) *netlab.Process {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("router {\n  asn    = %d\n  id     = %q\n  listen = [\"%[2]s:179\"]\n  kernel = false\n}", serverAS, serverAddr)
	p(`policy "from-client" {
  rule "not theirs" {
    match {
      not { prefix = neighbor.prefixes }
    }
    then = "reject"
  }
  rule "take it" { then = "accept" }
}
policy "to-client" {
  rule "not to this one" {
    match { community = "0:neighbor.asn" }
    then = "reject"
  }
  rule "to others" {
    match {
      community = "0:%[1]d"
      not { community = "%[1]d:neighbor.asn" }
    }
    then = "reject"
  }
  rule "send, without what was for us" {
    set { remove_communities = ["0:*", "%[1]d:*"] }
    then = "accept"
  }
}
group "clients" {
  local_role          = "rs"
  route_server_client = true
  passive             = true
  idle_hold           = "1s"
  families            = ["ipv4"]
  import              = policy.from-client
  export              = policy.to-client
  max_prefixes        = %d
}`, serverAS, limit)
	for _, c := range clients {
		p("prefix_set \"c%d\" {\n  prefixes = [%s]\n}", c.number, c.list(`"`, ", "))
		p("neighbor \"c%d\" {\n  group    = group.clients\n  address  = %q\n  asn      = %d\n  prefixes = prefix_set.c%[1]d\n}", c.number, c.at, c.asn)
	}
	return n.Start("holdfast", n.Command(netlab.HoldfastBinary(n.Lab.T), "run", "--config", n.Write("holdfast.hcl", s.String()),
		"--state", filepath.Join(n.Dir, "state"), "--socket", filepath.Join(n.Dir, "hf.sock")))
}

func startBIRD(n *netlab.Node, clients []*client) *netlab.Process {
	netlab.NeedTools(n.Lab.T, "bird")
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("log stderr all;\nrouter id %s;\nipv4 table master4 sorted;\nprotocol device {}", serverAddr)
	p(`function to_client(int peer) {
 if (0,peer) ~ bgp_community then return false;
 if (0,%[1]d) ~ bgp_community && !((%[1]d,peer) ~ bgp_community) then return false;
 bgp_community.delete([(0,*), (%[1]d,*)]);
 return true;
}
template bgp each {
 local %[2]s as %[1]d;
 passive on;
 rs client;
 error wait time 1,1;
}`, serverAS, serverAddr)
	for _, c := range clients {
		p("protocol bgp c%d from each {\n neighbor %s as %d;", c.number, c.at, c.asn)
		p(" ipv4 {\n  import where net ~ [ %s ];\n  export where to_client(%d);", c.list("", ", "), c.asn)
		p("  receive limit %d action restart;\n  import table off;\n  export table off;\n  secondary;\n };\n}", limit)
	}
	return n.Start("bird", n.Command("bird", "-f", "-c", n.Write("bird.conf", s.String()), "-s", filepath.Join(n.Dir, "bird.ctl")))
}

func startOpenBGPD(n *netlab.Node, clients []*client) *netlab.Process {
	netlab.NeedTools(n.Lab.T, "/usr/sbin/bgpd")
	// Its processes chroot there; systemd makes it on a running Debian.
	if err := os.MkdirAll("/run/openbgpd", 0o755); err != nil {
		n.Lab.T.Fatal(err)
	}
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("AS %d\nrouter-id %s\nlisten on %[2]s\nsocket %q\nfib-update no\ntransparent-as yes\nrde evaluate all", serverAS, serverAddr, filepath.Join(n.Dir, "ctl"))
	for _, c := range clients {
		p("prefix-set \"c%d\" { %s }", c.number, c.list("", " "))
		p("neighbor %s {\n descr \"c%d\"\n remote-as %d\n local-address %s\n passive\n announce IPv4 unicast\n announce IPv6 none\n max-prefix %d restart 1\n}", c.at, c.number, c.asn, serverAddr, limit)
	}
	for _, c := range clients {
		p("allow quick from %s prefix-set \"c%d\"", c.at, c.number)
	}
	p("deny quick from any")
	p("deny quick to any community 0:neighbor-as")
	p("allow to any\ndeny to any community 0:%[1]d\nallow to any community %[1]d:neighbor-as", serverAS)
	p("match to any set { community delete 0:* community delete %d:* }", serverAS)
	return n.Start("bgpd", n.Command("/usr/sbin/bgpd", "-d", "-f", n.Write("bgpd.conf", s.String())))
}
