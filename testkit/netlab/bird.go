package netlab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// BIRD is Debian's BIRD 2.
func BIRD() Make {
	return Make{
		Kind:  "bird",
		Start: startBIRD,
		Can: func(r Route) Route {
			// Its filters write neither sets nor these attributes.
			r.AtomicAggregate, r.Aggregator, r.Unknown = false, "", nil
			r.ASPath = withoutSets(r.ASPath)
			return r
		},
		Shows:    same,
		OwnPaths: true,
		Roles:    true,
	}
}

type bird struct {
	node   *Node
	config Config
	socket string
	proc   *Process
}

func startBIRD(n *Node, c Config) Router {
	t := n.Lab.T
	t.Helper()
	NeedTools(t, "bird", "birdc")
	b := &bird{node: n, config: c, socket: filepath.Join(n.Dir, "bird.ctl")}
	b.config.Routes = slices.Clone(c.Routes)
	conf := n.Write("bird.conf", b.text())
	b.proc = n.Start("bird", n.Command("bird", "-f", "-c", conf, "-s", b.socket, "-P", filepath.Join(n.Dir, "bird.pid")))
	Await(t, Patience, "answer of BIRD", func() error {
		if err := b.proc.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := b.birdc("show status")
		return err
	})
	return b
}

func (b *bird) Kind() string      { return "bird" }
func (b *bird) Process() *Process { return b.proc }

func (b *bird) birdc(command string) (string, error) {
	return b.node.Output("birdc", "-s", b.socket, command)
}

func (b *bird) text() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	c := b.config
	p("log stderr all;\nrouter id %s;\nprotocol device {}", c.ID)
	const timers = "interval 300 ms; multiplier 3;"
	if slices.ContainsFunc(c.Sessions, func(s Session) bool { return s.BFD }) {
		p("protocol bfd {\n interface \"*\" { %s };\n multihop { %[1]s };\n}", timers)
	}
	// A static protocol has one route of a prefix.
	var rounds [][]Route
	for _, r := range c.Routes {
		i := slices.IndexFunc(rounds, func(have []Route) bool {
			return !slices.ContainsFunc(have, func(h Route) bool { return h.Prefix == r.Prefix })
		})
		if i < 0 {
			rounds = append(rounds, nil)
			i = len(rounds) - 1
		}
		rounds[i] = append(rounds[i], r)
	}
	if c.Cache.IsValid() {
		p("roa4 table roas4;\nroa6 table roas6;\nprotocol rpki {\n roa4 { table roas4; };\n roa6 { table roas6; };\n remote %s port %d;\n retry keep 2;\n}", c.Cache.Addr(), c.Cache.Port())
	}
	p("filter to_neighbors {")
	for i, routes := range rounds {
		for _, r := range routes {
			if r.MED != nil { // to another AS it is sent only if the export filter sets it
				p(" if proto = \"%s_%d\" && net = %s then bgp_med = %d;", FamilyOf(r.Prefix), i, r.Prefix, *r.MED)
			}
		}
	}
	p(" accept;\n}")
	for i, routes := range rounds {
		for _, f := range []Family{IPv4, IPv6} {
			p("protocol static %s_%d {\n %s;", f, i, f)
			for _, r := range routes {
				if FamilyOf(r.Prefix) == f {
					p(" route %s blackhole { %s };", r.Prefix, birdAttrs(r))
				}
			}
			p("}")
		}
	}
	for _, n := range c.Sessions {
		p("protocol bgp %s {", n.Name)
		as := fmt.Sprint("as ", n.AS)
		if n.AS2 { // it refuses neighbors of four-byte AS then, but not unknown ones
			as = "external"
		}
		p(" local %s as %d;\n neighbor %s %s;\n strict bind on;", n.Local, c.AS, n.Remote, as)
		p(" hold time %d;\n connect retry time 1;\n connect delay time 1;\n error wait time 1,1;", n.holdTime())
		if n.Passive {
			p(" passive on;")
		}
		if n.Password != "" {
			p(" password %q;", n.Password)
		}
		if n.BFD {
			p(" bfd on;")
		}
		if n.Multihop > 0 {
			p(" multihop %d;", n.Multihop)
		}
		if n.Role != "" {
			p(" local role %s;", strings.ReplaceAll(routeServer(n.Role), "-", "_"))
		}
		if n.RequireRole {
			p(" require roles on;")
		}
		if n.RSClient {
			p(" rs client;")
		}
		if n.GTSM {
			p(" ttl security on;")
		}
		if n.Restart {
			p(" graceful restart on;\n graceful restart time %d;", n.restartTime())
		}
		if n.LongLived > 0 {
			p(" long lived graceful restart on;\n long lived stale time %d;", n.LongLived)
		}
		if n.AS2 {
			p(" enable as4 off;")
		}
		if n.Client {
			p(" rr client;")
		}
		if c.Cluster.IsValid() {
			p(" rr cluster id %s;", c.Cluster)
		}
		for _, f := range n.Families {
			p(" %s {\n  import all;\n  export filter to_neighbors;", f)
			if !n.RSClient {
				p("  next hop self;")
			}
			if n.AddPath {
				p("  add paths tx;")
			} else if n.PathsIn {
				p("  add paths rx;")
			}
			if n.ExtNextHop && f == IPv4 {
				p("  extended next hop on;")
			}
			p(" };")
		}
		p("}")
	}
	return s.String()
}

// birdAttrs is what sets the attributes of a static route.
func birdAttrs(r Route) string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"; ", args...) }
	path := strings.Fields(r.ASPath)
	for _, a := range slices.Backward(path) {
		p("bgp_path.prepend(%s)", a)
	}
	if r.Origin != "" {
		p("bgp_origin = ORIGIN_%s", strings.ToUpper(r.Origin))
	}
	if r.LocalPref != nil {
		p("bgp_local_pref = %d", *r.LocalPref)
	}
	for _, c := range r.Communities {
		p("bgp_community.add((%s))", strings.ReplaceAll(c, ":", ","))
	}
	for _, c := range r.Extended {
		kind, rest, _ := strings.Cut(c, ":")
		if kind == "soo" {
			kind = "ro" // BIRD's name for the route origin
		}
		p("bgp_ext_community.add((%s,%s))", kind, strings.ReplaceAll(rest, ":", ","))
	}
	for _, c := range r.Large {
		p("bgp_large_community.add((%s))", strings.ReplaceAll(c, ":", ","))
	}
	return s.String()
}

func (b *bird) reconfigure() {
	t := b.node.Lab.T
	t.Helper()
	b.node.Write("bird.conf", b.text())
	out, err := b.birdc("configure")
	if err != nil || !strings.Contains(out, "Reconfigur") {
		t.Fatalf("BIRD did not take the configuration: %v %s", err, out)
	}
}

func (b *bird) Announce(routes ...Route) {
	b.node.Lab.T.Helper()
	b.config.Routes = replaceRoutes(b.config.Routes, routes)
	b.reconfigure()
}

func (b *bird) Withdraw(routes ...Route) {
	b.node.Lab.T.Helper()
	b.config.Routes = removeRoutes(b.config.Routes, routes)
	b.reconfigure()
}

func (b *bird) Session(name string) (State, error) {
	out, err := b.birdc("show protocols " + name)
	if err != nil {
		return State{}, err
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 5 && f[0] == name {
			return State{f[5] == "Established", strings.Join(f[5:], " ")}, nil
		}
	}
	return State{}, fmt.Errorf("BIRD has no protocol %s:\n%s", name, out)
}

func (b *bird) AskRefresh(session string) {
	b.node.Lab.T.Helper()
	if out, err := b.birdc("reload in " + session); err != nil || !strings.Contains(out, session+": reloading") {
		b.node.Lab.T.Fatalf("BIRD did not ask for a refresh: %v %s", err, out)
	}
}

func (b *bird) Received(session string) ([]Route, error) {
	n, err := findSession(b.config, session)
	if err != nil {
		return nil, err
	}
	// A full table takes some 300 MB of text.
	cmd := b.node.Command("birdc", "-s", b.socket, "show route protocol "+session+" all")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	routes, err := parseBIRD(out)
	_, rest := io.Copy(io.Discard, out)
	if err := errors.Join(err, rest, cmd.Wait()); err != nil {
		return nil, fmt.Errorf("cannot read BIRD's routes: %w", err)
	}
	for i := range routes {
		if n.AS != b.config.AS {
			routes[i].LocalPref = nil // BIRD's default, not received
		}
	}
	return routes, nil
}

// CountBIRD counts the routes that BIRD has received in a session.
func CountBIRD(r Router, session string) (int, error) {
	out, err := r.(*bird).birdc("show route count protocol " + session)
	if err != nil {
		return 0, err
	}
	total := 0
	for line := range strings.Lines(out) { // one for each of its tables
		var n int
		if _, err := fmt.Sscanf(line, "%d of", &n); err == nil {
			total += n
		}
	}
	return total, nil
}

var (
	birdNet  = regexp.MustCompile(`^([0-9a-f:.]+/\d+)?\s.*\[\S+ `)
	birdTerm = regexp.MustCompile(`\(([^)]*)\)`)
)

// parseBIRD reads the output of "show route all".
func parseBIRD(out io.Reader) ([]Route, error) {
	var routes []Route
	var last netip.Prefix
	var key string // of the line before
	sc := bufio.NewScanner(out)
	for sc.Scan() {
		line := sc.Text()
		if m := birdNet.FindStringSubmatch(line); m != nil && !strings.HasPrefix(line, "\t") {
			if m[1] != "" {
				p, err := netip.ParsePrefix(m[1])
				if err != nil {
					return nil, err
				}
				last = p
			}
			routes = append(routes, Route{Prefix: last})
			continue
		}
		value := strings.TrimSpace(line)
		if !strings.HasPrefix(line, "\t\t") { // else more of a long list
			var ok bool
			if key, value, ok = strings.Cut(value, ": "); !ok {
				key, value = strings.TrimSuffix(key, ":"), ""
			}
		}
		if len(routes) == 0 || !strings.HasPrefix(key, "BGP.") {
			continue
		}
		if err := birdAttr(&routes[len(routes)-1], key, strings.TrimSpace(value)); err != nil {
			return nil, fmt.Errorf("cannot read BIRD's %q: %w", line, err)
		}
	}
	return routes, sc.Err()
}

func birdAttr(r *Route, key, value string) error {
	var err error
	terms := func(sep string) []string {
		var all []string
		for _, m := range birdTerm.FindAllStringSubmatch(value, -1) {
			f := strings.Split(m[1], ",")
			for i := range f {
				f[i] = strings.TrimSpace(f[i])
			}
			all = append(all, strings.Join(f, sep))
		}
		return all
	}
	switch key {
	case "BGP.origin":
		r.Origin = strings.ToLower(value)
	case "BGP.as_path":
		r.ASPath = normalPath(value)
	case "BGP.next_hop":
		first, _, _ := strings.Cut(value, " ") // a link-local address may follow
		r.NextHop, err = netip.ParseAddr(first)
	case "BGP.med":
		r.MED, err = number(value)
	case "BGP.local_pref":
		r.LocalPref, err = number(value)
	case "BGP.atomic_aggr":
		r.AtomicAggregate = true
	case "BGP.aggregator":
		addr, as, _ := strings.Cut(value, " AS")
		r.Aggregator = as + " " + addr
	case "BGP.otc":
		r.OTC, err = number(value)
	case "BGP.community":
		r.Communities = append(r.Communities, terms(":")...)
	case "BGP.originator_id":
		r.Originator, err = netip.ParseAddr(value)
	case "BGP.cluster_list":
		r.Clusters = value
	case "BGP.large_community":
		r.Large = append(r.Large, terms(":")...)
	case "BGP.ext_community":
		for _, c := range terms(":") {
			f := strings.Split(c, ":")
			switch {
			case f[0] == "generic" && len(f) == 3:
				var hi, lo uint32
				if _, err := fmt.Sscanf(f[1]+" "+f[2], "0x%x 0x%x", &hi, &lo); err != nil {
					return err
				}
				c = fmt.Sprintf("%08x%08x", hi, lo)
			case strings.HasPrefix(f[0], "unknown "):
				if c, err = birdExtended(f); err != nil {
					return err
				}
			case f[0] == "ro":
				c = "soo:" + strings.Join(f[1:], ":")
			}
			r.Extended = append(r.Extended, c)
		}
	default:
		// An attribute that it does not know: "BGP.63 [t]: 01 02".
		var code int
		if n, scanErr := fmt.Sscanf(key, "BGP.%x [t]", &code); n == 1 && scanErr == nil {
			r.Unknown = append(r.Unknown, fmt.Sprintf("%d c0 %s", code, strings.ReplaceAll(value, " ", "")))
		}
	}
	return err
}

// birdExtended reads an extended community of a kind that BIRD has no name for:
// "unknown 0x10a", then the two parts.
func birdExtended(f []string) (string, error) {
	if len(f) != 3 {
		return "", fmt.Errorf("an extended community of %d parts", len(f))
	}
	var kind uint16
	if _, err := fmt.Sscanf(f[0], "unknown 0x%x", &kind); err != nil {
		return "", err
	}
	local, err := number(f[2])
	if err != nil {
		return "", err
	}
	if kind>>8 == 1 {
		a, err := netip.ParseAddr(f[1])
		return fmt.Sprintf("%04x%x%04x", kind, a.AsSlice(), *local), err
	}
	as, err := number(f[1])
	if err != nil {
		return "", err
	}
	if kind>>8 == 2 {
		return fmt.Sprintf("%04x%08x%04x", kind, *as, *local), nil
	}
	return fmt.Sprintf("%04x%04x%08x", kind, *as, *local), nil
}

// withoutSets drops the sets of an AS path.
func withoutSets(path string) string {
	for {
		from, to := strings.IndexByte(path, '{'), strings.IndexByte(path, '}')
		if from < 0 || to < from {
			return strings.Join(strings.Fields(path), " ")
		}
		path = path[:from] + path[to+1:]
	}
}

// replaceRoutes adds routes, in place of those of the same prefix and path id.
func replaceRoutes(have, routes []Route) []Route {
	for _, r := range routes {
		have = slices.DeleteFunc(have, func(h Route) bool { return h.Prefix == r.Prefix && h.PathID == r.PathID })
		have = append(have, r)
	}
	return have
}

// removeRoutes takes out the routes of the same prefixes and path ids.
func removeRoutes(have, routes []Route) []Route {
	return slices.DeleteFunc(have, func(h Route) bool {
		return slices.ContainsFunc(routes, func(r Route) bool { return h.Prefix == r.Prefix && h.PathID == r.PathID })
	})
}

// OfState returns the routes whose origin is "valid", "invalid" or "unknown".
func (b *bird) OfState(state string) (all []netip.Prefix, err error) {
	for _, f := range []Family{IPv4, IPv6} {
		table := map[Family]string{IPv4: "4", IPv6: "6"}[f]
		out, err := b.birdc(fmt.Sprintf("show route table master%s where roa_check(roas%[1]s, net, bgp_path.last) = ROA_%s", table, strings.ToUpper(state)))
		if err != nil {
			return nil, err
		}
		all = append(all, prefixesIn(out)...)
	}
	return all, nil
}
