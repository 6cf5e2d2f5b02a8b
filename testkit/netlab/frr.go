package netlab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// FRR is Debian's FRR: bgpd with a zebra beside it.
func FRR() Make {
	return Make{
		Kind:  "frr",
		Start: startFRR,
		Can: func(r Route) Route {
			r.Unknown = nil
			r.ASPath = withoutSets(r.ASPath)
			return r
		},
		Shows: func(r Route) Route {
			r.Unknown = nil // kept and passed on, but not shown
			return r
		},
		Roles: true,
		NoAS2: true, // its only switch turns all capabilities off
	}
}

type frr struct {
	node   *Node
	config Config
	proc   *Process
	bgpd   func() *exec.Cmd
}

func startFRR(n *Node, c Config) Router {
	t := n.Lab.T
	t.Helper()
	const dir = "/usr/lib/frr/"
	NeedTools(t, dir+"bgpd", dir+"zebra", "vtysh")
	f := &frr{node: n, config: c}
	api := filepath.Join(n.Dir, "zserv.api")
	args := func(name, conf string) []string {
		return []string{"-f", conf, "-i", filepath.Join(n.Dir, name+".pid"), "-z", api, "--vty_socket", n.Dir,
			"-A", "127.0.0.1", "-u", "root", "-g", "frrvty", "--log", "stdout", "--log-level", "info"}
	}
	// bgpd treats IPv6 routes as errors until it knows the interfaces, and is
	// slow to look for zebra again: it gets its neighbors when zebra has it.
	zebra := n.Start("zebra", n.Command(dir+"zebra", args("zebra", n.Write("zebra.conf", ""))...))
	Await(t, Patience, "zebra", func() error {
		if err := zebra.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(api)
		return err
	})
	if slices.ContainsFunc(c.Sessions, func(s Session) bool { return s.BFD }) {
		n.Start("bfdd", n.Command(dir+"bfdd", append(args("bfdd", n.Write("bfdd.conf", "")), "--bfdctl", filepath.Join(n.Dir, "bfdd.sock"))...))
	}
	f.bgpd = func() *exec.Cmd { return n.Command(dir+"bgpd", args("bgpd", n.Write("bgpd.conf", ""))...) }
	f.proc = n.Start("bgpd", f.bgpd())
	Await(t, Patience, "answer of FRR", func() error {
		if err := f.proc.Running(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(zebra.Log(), "announce only bgp routes") {
			return errors.New("zebra has not heard of bgpd")
		}
		_, err := f.vtysh("show version")
		return err
	})
	f.configure(strings.Split(strings.TrimSpace(f.text()), "\n")...)
	f.Announce(c.Routes...)
	return f
}

func (f *frr) Kind() string      { return "frr" }
func (f *frr) Process() *Process { return f.proc }

func (f *frr) vtysh(commands ...string) (string, error) {
	args := []string{"--vty_socket", f.node.Dir, "-d", "bgpd"}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	return f.node.Output("vtysh", args...)
}

func (f *frr) configure(commands ...string) {
	f.node.Lab.T.Helper()
	out, err := f.vtysh(append([]string{"configure terminal"}, commands...)...)
	if err != nil || strings.Contains(out, "%") {
		f.node.Lab.T.Fatalf("FRR refused a command: %v %s", err, out)
	}
}

func (f *frr) text() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	c := f.config
	p("bgp route-map delay-timer 0")
	for _, n := range c.Sessions { // it sends routes back to where they are from
		p("bgp as-path access-list not%d deny _%[1]d_\nbgp as-path access-list not%[1]d permit .*", n.AS)
	}
	p("router bgp %d\n bgp router-id %s\n no bgp ebgp-requires-policy", c.AS, c.ID)
	p(" no bgp default ipv4-unicast\n no bgp network import-check")
	if c.Cluster.IsValid() {
		p(" bgp cluster-id %s", c.Cluster)
	}
	if len(c.Sessions) > 0 && c.Sessions[0].Restart {
		p(" bgp graceful-restart\n bgp graceful-restart preserve-fw-state\n bgp graceful-restart restart-time %d", c.Sessions[0].restartTime())
	}
	for _, n := range c.Sessions {
		peer := frrPeer(n)
		if n.Interface != "" {
			p(" neighbor %s interface remote-as %d", peer, n.AS)
		} else {
			p(" neighbor %s remote-as %d\n neighbor %[1]s update-source %[3]s", peer, n.AS, n.Local)
		}
		p(" neighbor %s timers %d %d\n neighbor %[1]s timers connect 1", peer, max(1, n.holdTime()/3), n.holdTime())
		if n.BFD {
			p(" neighbor %s bfd 3 300 300", peer)
		}
		if n.Multihop > 0 {
			p(" neighbor %s ebgp-multihop %d", peer, n.Multihop)
		} else if n.AS != c.AS && n.Interface == "" {
			p(" neighbor %s disable-connected-check", peer)
		}
		if n.Passive {
			p(" neighbor %s passive", peer)
		}
		if n.Password != "" {
			p(" neighbor %s password %s", peer, n.Password)
		}
		if n.GTSM {
			p(" no neighbor %s disable-connected-check\n neighbor %[1]s ttl-security hops 1", peer)
		}
		if n.Role != "" {
			strict := map[bool]string{true: " strict-mode"}[n.RequireRole]
			p(" neighbor %s local-role %s%s", peer, routeServer(n.Role), strict)
		}
		if n.ExtNextHop {
			p(" neighbor %s capability extended-nexthop", peer)
		}
		for _, family := range n.Families {
			p(" address-family %s unicast\n  neighbor %s activate\n  neighbor %[2]s next-hop-self", family, peer)
			if n.Client {
				p("  neighbor %s route-reflector-client", peer)
			}
			if n.AddPath {
				p("  neighbor %s addpath-tx-all-paths", peer)
			}
			if n.AS != c.AS {
				p("  neighbor %s filter-list not%d out", peer, n.AS)
			}
			p(" exit-address-family")
		}
	}
	return s.String()
}

// frrPeer is what FRR calls the neighbor of a session.
func frrPeer(s Session) string {
	if s.Interface != "" {
		return s.Interface
	}
	return s.Remote.String()
}

// mapName is the route map that sets the attributes of a prefix.
func mapName(p netip.Prefix) string {
	return "r" + strings.NewReplacer(".", "-", ":", "-", "/", "_").Replace(p.String())
}

func (f *frr) Announce(routes ...Route) {
	f.node.Lab.T.Helper()
	var cmds []string
	p := func(format string, args ...any) { cmds = append(cmds, fmt.Sprintf(format, args...)) }
	for _, r := range routes {
		name := mapName(r.Prefix)
		p("no route-map %s permit 10", name)
		p("route-map %s permit 10", name)
		if r.ASPath != "" {
			p("set as-path prepend %s", r.ASPath)
		}
		if r.Origin != "" {
			p("set origin %s", r.Origin)
		}
		if r.MED != nil {
			p("set metric %d", *r.MED)
		}
		if r.LocalPref != nil {
			p("set local-preference %d", *r.LocalPref)
		}
		if r.AtomicAggregate {
			p("set atomic-aggregate")
		}
		if r.Aggregator != "" {
			p("set aggregator as %s", r.Aggregator)
		}
		if len(r.Communities) > 0 {
			p("set community %s", strings.Join(r.Communities, " "))
		}
		if len(r.Large) > 0 {
			p("set large-community %s", strings.Join(r.Large, " "))
		}
		for _, kind := range []string{"rt", "soo"} {
			var values []string
			for _, c := range r.Extended {
				if v, ok := strings.CutPrefix(c, kind+":"); ok {
					values = append(values, v)
				}
			}
			if len(values) > 0 {
				p("set extcommunity %s %s", kind, strings.Join(values, " "))
			}
		}
		p("exit")
		p("router bgp %d", f.config.AS)
		p("address-family %s unicast", FamilyOf(r.Prefix))
		p("network %s route-map %s", r.Prefix, name)
		p("exit")
		p("exit")
	}
	if len(cmds) > 0 {
		f.configure(cmds...)
	}
}

func (f *frr) Withdraw(routes ...Route) {
	f.node.Lab.T.Helper()
	for _, r := range routes {
		p := r.Prefix
		f.configure(fmt.Sprintf("router bgp %d", f.config.AS), fmt.Sprintf("address-family %s unicast", FamilyOf(p)),
			fmt.Sprintf("no network %s route-map %s", p, mapName(p)))
	}
}

func (f *frr) remote(session string) (Session, error) {
	return findSession(f.config, session)
}

func (f *frr) Session(name string) (State, error) {
	n, err := f.remote(name)
	if err != nil {
		return State{}, err
	}
	out, err := f.vtysh("show bgp neighbors " + frrPeer(n) + " json")
	if err != nil {
		return State{}, err
	}
	var all map[string]struct {
		State string `json:"bgpState"`
		Reset string `json:"lastResetDueTo"`
	}
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return State{}, fmt.Errorf("cannot read FRR's neighbor: %w: %s", err, out)
	}
	s := all[frrPeer(n)]
	return State{s.State == "Established", strings.TrimSpace(s.State + " " + s.Reset)}, nil
}

func (f *frr) AskRefresh(session string) {
	t := f.node.Lab.T
	t.Helper()
	n, err := f.remote(session)
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range n.Families {
		if out, err := f.vtysh(fmt.Sprintf("clear bgp %s unicast %s soft in", family, frrPeer(n))); err != nil || strings.Contains(out, "%") {
			t.Fatalf("FRR did not ask for a refresh: %v %s", err, out)
		}
	}
}

type frrPrefix struct {
	Prefix string `json:"prefix"`
	Paths  []struct {
		ASPath struct {
			String string `json:"string"`
		} `json:"aspath"`
		AggregatorAS uint32     `json:"aggregatorAs"`
		AggregatorID string     `json:"aggregatorId"`
		Atomic       bool       `json:"atomicAggregate"`
		Origin       string     `json:"origin"`
		Metric       *uint32    `json:"metric"`
		OTC          *uint32    `json:"otc"`
		LocPrf       *uint32    `json:"locPrf"`
		Originator   netip.Addr `json:"originatorId"`
		Clusters     struct {
			List []string `json:"list"`
		} `json:"clusterList"`
		Community struct {
			List []string `json:"list"`
		} `json:"community"`
		Large struct {
			List []string `json:"list"`
		} `json:"largeCommunity"`
		Extended struct {
			String string `json:"string"`
		} `json:"extendedCommunity"`
		NextHops []struct {
			IP    netip.Addr `json:"ip"`
			Scope string     `json:"scope"`
		} `json:"nexthops"`
		Peer struct {
			ID        string `json:"peerId"`
			Interface string `json:"interface"`
		} `json:"peer"`
	} `json:"paths"`
}

func (f *frr) Received(session string) ([]Route, error) {
	n, err := f.remote(session)
	if err != nil {
		return nil, err
	}
	var routes []Route
	for _, family := range n.Families {
		show := fmt.Sprintf("show bgp %s unicast ", family)
		out, err := f.vtysh(show + "json")
		if err != nil {
			return nil, err
		}
		var table struct {
			Routes map[string]json.RawMessage `json:"routes"`
		}
		if err := json.Unmarshal([]byte(out), &table); err != nil {
			return nil, fmt.Errorf("cannot read FRR's table: %w: %s", err, out)
		}
		var details []string
		for p := range table.Routes {
			details = append(details, show+p+" json")
		}
		// A prefix may be withdrawn in between: it has no paths then.
		for some := range slices.Chunk(details, 50) {
			if out, err = f.vtysh(some...); err != nil {
				return nil, err
			}
			dec := json.NewDecoder(strings.NewReader(out))
			for {
				var p frrPrefix
				if err := dec.Decode(&p); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return nil, fmt.Errorf("cannot read FRR's prefix: %w: %s", err, out)
				}
				r, err := p.routes(n, n.AS != f.config.AS)
				if err != nil {
					return nil, err
				}
				routes = append(routes, r...)
			}
		}
	}
	return routes, nil
}

func (p frrPrefix) routes(n Session, ebgp bool) ([]Route, error) {
	var routes []Route
	for _, q := range p.Paths {
		if peer := frrPeer(n); q.Peer.ID != peer && q.Peer.Interface != peer {
			continue
		}
		pfx, err := netip.ParsePrefix(p.Prefix)
		if err != nil {
			return nil, err
		}
		r := Route{
			Prefix: pfx, Origin: strings.ToLower(q.Origin), ASPath: normalPath(q.ASPath.String),
			MED: q.Metric, LocalPref: q.LocPrf, AtomicAggregate: q.Atomic, OTC: q.OTC, Large: q.Large.List,
			Originator: q.Originator, Clusters: strings.Join(q.Clusters.List, " "),
		}
		if ebgp {
			r.LocalPref = nil
		}
		if r.ASPath == "Local" {
			r.ASPath = ""
		}
		for _, h := range q.NextHops {
			if h.Scope != "link-local" || !r.NextHop.IsValid() {
				r.NextHop = h.IP
			}
		}
		if q.AggregatorID != "" {
			r.Aggregator = fmt.Sprintf("%d %s", q.AggregatorAS, q.AggregatorID)
		}
		for _, c := range q.Community.List {
			r.Communities = append(r.Communities, wellKnown(c))
		}
		for _, c := range strings.Fields(q.Extended.String) {
			r.Extended = append(r.Extended, frrExtended(c))
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func frrExtended(c string) string {
	kind, rest, _ := strings.Cut(c, ":")
	switch kind {
	case "RT", "SoO":
		return strings.ToLower(kind) + ":" + rest
	case "UNK":
		// "UNK:67, 0, 0 0 0 1" style differs by release: digits only.
		return strings.ToLower(rest)
	}
	return c
}

func findSession(c Config, name string) (Session, error) {
	for _, s := range c.Sessions {
		if s.Name == name {
			return s, nil
		}
	}
	return Session{}, fmt.Errorf("there is no session %s", name)
}
