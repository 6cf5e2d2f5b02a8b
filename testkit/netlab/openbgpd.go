package netlab

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OpenBGPD is Debian's OpenBGPD.
func OpenBGPD() Make {
	return Make{
		Kind:  "openbgpd",
		Start: startOpenBGPD,
		Can: func(r Route) Route {
			// Its networks begin with an empty AS path.
			r.ASPath, r.AtomicAggregate, r.Aggregator, r.Unknown = "", false, "", nil
			return r
		},
		Shows:        same,
		NoExtNextHop: true,
		Roles:        true,
		NoRefresh:    true, // 7.7 takes it for one of a family without a session, and drops it
	}
}

type openbgpd struct {
	node   *Node
	config Config
	conf   string
	socket string
	proc   *Process
}

func startOpenBGPD(n *Node, c Config) Router {
	t := n.Lab.T
	t.Helper()
	NeedTools(t, "/usr/sbin/bgpd", "bgpctl")
	// Its processes chroot there; systemd makes it on a running Debian.
	if err := os.MkdirAll("/run/openbgpd", 0o755); err != nil {
		t.Fatal(err)
	}
	o := &openbgpd{node: n, config: c, socket: filepath.Join(n.Dir, "ctl")}
	o.config.Routes = slices.Clone(c.Routes)
	o.conf = n.Write("bgpd.conf", o.text())
	o.proc = n.Start("bgpd", n.Command("/usr/sbin/bgpd", "-d", "-f", o.conf))
	Await(t, Patience, "answer of OpenBGPD", func() error {
		if err := o.proc.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := o.bgpctl("show", "summary")
		return err
	})
	return o
}

func (o *openbgpd) Kind() string      { return "openbgpd" }
func (o *openbgpd) Process() *Process { return o.proc }

func (o *openbgpd) bgpctl(args ...string) (string, error) {
	return o.node.Output("bgpctl", append([]string{"-s", o.socket}, args...)...)
}

func (o *openbgpd) text() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	c := o.config
	p("AS %d\nrouter-id %s\nlisten on %s\nlisten on %s", c.AS, c.ID, o.node.V4, o.node.V6)
	p("socket %q\nfib-update no\nconnect-retry 1\nholdtime min 3", o.socket)
	if c.Cache.IsValid() {
		p("rtr %s {\n port %d\n}", c.Cache.Addr(), c.Cache.Port())
	}
	for _, n := range c.Sessions {
		p("neighbor %s {\n descr %q\n remote-as %d\n local-address %s\n holdtime %d", n.Remote, n.Name, n.AS, n.Local, n.holdTime())
		p(" enforce neighbor-as no\n announce IPv4 none\n announce IPv6 none")
		for _, f := range n.Families {
			p(" announce %s unicast", map[Family]string{IPv4: "IPv4", IPv6: "IPv6"}[f])
		}
		if n.Passive {
			p(" passive")
		}
		if n.Password != "" {
			p(" tcp md5sig password %q", n.Password)
		}
		if n.GTSM {
			p(" ttl-security yes")
		}
		if n.Role != "" {
			p(" announce policy %s%s", n.Role, map[bool]string{true: " enforce"}[n.RequireRole])
		}
		if n.AddPath {
			p(" announce add-path send all")
		} else if n.PathsIn {
			p(" announce add-path recv yes")
		}
		if n.AS2 {
			p(" announce as-4byte no")
		}
		if n.Client && c.Cluster.IsValid() {
			p(" route-reflector %s", c.Cluster)
		} else if n.Client {
			p(" route-reflector")
		}
		p(" set nexthop self\n}")
	}
	p("allow from any\nallow to any")
	for _, r := range c.Routes {
		p("network %s %s", r.Prefix, openbgpdAttrs(r))
	}
	return s.String()
}

func openbgpdAttrs(r Route) string {
	var s []string
	p := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	if r.Origin != "" {
		p("origin %s", r.Origin)
	}
	if r.MED != nil {
		p("med %d", *r.MED)
	}
	if r.LocalPref != nil {
		p("localpref %d", *r.LocalPref)
	}
	for _, c := range r.Communities {
		p("community %s", c)
	}
	for _, c := range r.Large {
		p("large-community %s", c)
	}
	for _, c := range r.Extended {
		kind, value, _ := strings.Cut(c, ":")
		p("ext-community %s %s", kind, value)
	}
	if len(s) == 0 {
		return ""
	}
	return "set { " + strings.Join(s, " ") + " }"
}

func (o *openbgpd) reload() {
	t := o.node.Lab.T
	t.Helper()
	o.node.Write("bgpd.conf", o.text())
	if out, err := o.bgpctl("reload"); err != nil || !strings.Contains(out, "request processed") {
		t.Fatalf("OpenBGPD did not take the configuration: %v %s", err, out)
	}
}

func (o *openbgpd) Announce(routes ...Route) {
	o.node.Lab.T.Helper()
	o.config.Routes = replaceRoutes(o.config.Routes, routes)
	o.reload()
}

func (o *openbgpd) Withdraw(routes ...Route) {
	o.node.Lab.T.Helper()
	o.config.Routes = removeRoutes(o.config.Routes, routes)
	o.reload()
}

func (o *openbgpd) Session(name string) (State, error) {
	n, err := findSession(o.config, name)
	if err != nil {
		return State{}, err
	}
	out, err := o.bgpctl("-j", "show", "neighbor", n.Remote.String())
	if err != nil {
		return State{}, err
	}
	var all struct {
		Neighbors []struct {
			State string `json:"state"`
			Error string `json:"last_error_sent"`
		} `json:"neighbors"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return State{}, fmt.Errorf("cannot read OpenBGPD's neighbor: %w: %s", err, out)
	}
	if len(all.Neighbors) != 1 {
		return State{}, fmt.Errorf("OpenBGPD has not one neighbor %s: %s", n.Remote, out)
	}
	s := all.Neighbors[0]
	return State{s.State == "Established", strings.TrimSpace(s.State + " " + s.Error)}, nil
}

func (o *openbgpd) AskRefresh(session string) {
	t := o.node.Lab.T
	t.Helper()
	n, err := findSession(o.config, session)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := o.bgpctl("neighbor", n.Remote.String(), "refresh"); err != nil || !strings.Contains(out, "request processed") {
		t.Fatalf("OpenBGPD did not ask for a refresh: %v %s", err, out)
	}
}

func (o *openbgpd) Received(session string) ([]Route, error) {
	n, err := findSession(o.config, session)
	if err != nil {
		return nil, err
	}
	out, err := o.bgpctl("-j", "show", "rib", "in", "detail", "neighbor", n.Remote.String())
	if err != nil {
		return nil, err
	}
	var table struct {
		RIB []struct {
			Prefix      netip.Prefix `json:"prefix"`
			ASPath      string       `json:"aspath"`
			NextHop     netip.Addr   `json:"exit_nexthop"`
			Origin      string       `json:"origin"`
			Metric      uint32       `json:"metric"`
			LocalPref   uint32       `json:"localpref"`
			Communities []string     `json:"communities"`
			Large       []string     `json:"large_communities"`
			Extended    []string     `json:"extended_communities"`
			Attributes  []struct {
				Type       string          `json:"type"`
				Flags      map[string]bool `json:"flags"`
				AS         uint32          `json:"AS"`
				ID         netip.Addr      `json:"router_id"`
				Data       string          `json:"data"`
				Originator netip.Addr      `json:"originator"`
				Clusters   []string        `json:"cluster_list"`
			} `json:"attributes"`
		} `json:"rib"`
	}
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		return nil, fmt.Errorf("cannot read OpenBGPD's table: %w: %s", err, out)
	}
	var routes []Route
	for _, e := range table.RIB {
		r := Route{Prefix: e.Prefix, NextHop: e.NextHop, Origin: strings.ToLower(e.Origin), ASPath: normalPath(e.ASPath), Large: e.Large}
		if e.Metric != 0 { // it does not tell an absent MED from 0
			r.MED = new(e.Metric)
		}
		if n.AS == o.config.AS {
			r.LocalPref = new(e.LocalPref)
		}
		for _, c := range e.Communities {
			r.Communities = append(r.Communities, wellKnown(c))
		}
		for _, c := range e.Extended {
			r.Extended = append(r.Extended, strings.ReplaceAll(c, " ", ":"))
		}
		for _, a := range e.Attributes {
			switch a.Type {
			case "Atomic Aggregate":
				r.AtomicAggregate = true
			case "Aggregator":
				r.Aggregator = fmt.Sprintf("%d %s", a.AS, a.ID)
			case "OTC":
				r.OTC = new(a.AS)
			case "Originator Id":
				r.Originator = a.Originator
			case "Cluster Id List":
				r.Clusters = strings.Join(a.Clusters, " ")
			}
			var code, flags int
			if n, _ := fmt.Sscanf(a.Type, "Unknown Attribute #%d", &code); n == 1 {
				if a.Flags["optional"] {
					flags |= 0x80
				}
				if a.Flags["transitive"] {
					flags |= 0x40
				}
				r.Unknown = append(r.Unknown, fmt.Sprintf("%d %02x %s", code, flags, a.Data))
			}
		}
		routes = append(routes, r)
	}
	return routes, nil
}

// OfState returns the routes whose origin is "valid", "invalid" or "unknown".
func (o *openbgpd) OfState(state string) ([]netip.Prefix, error) {
	out, err := o.bgpctl("show", "rib", "ovs", map[string]string{"unknown": "not-found"}[state]+map[string]string{"valid": "valid", "invalid": "invalid"}[state])
	return prefixesIn(out), err
}
