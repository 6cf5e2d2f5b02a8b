package netlab

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// gobgp4Version is what is built from the Go module proxy.
const gobgp4Version = "v4.8.0"

// GoBGP3 is Debian's GoBGP.
func GoBGP3() Make {
	m := goBGP("gobgp3", func(t testing.TB) string {
		NeedTools(t, "gobgpd", "gobgp")
		return "/usr/bin"
	})
	return m
}

// GoBGP4 is GoBGP 4, built once into the user's cache directory.
func GoBGP4() Make {
	build := sync.OnceValues(buildGoBGP4)
	return goBGP("gobgp4", func(t testing.TB) string {
		dir, err := build()
		if err != nil {
			t.Fatal(err)
		}
		return dir
	})
}

func goBGP(kind string, binaries func(testing.TB) string) Make {
	return Make{
		Kind:  kind,
		Start: func(n *Node, c Config) Router { return startGoBGP(kind, binaries(n.Lab.T), n, c) },
		Can: func(r Route) Route {
			// What its command line cannot say.
			r.AtomicAggregate, r.Unknown = false, nil
			r.Extended = slices.DeleteFunc(slices.Clone(r.Extended), func(c string) bool { return !strings.HasPrefix(c, "rt:") })
			return r
		},
		Shows:        same,
		NoAS2:        true,
		NoAskRefresh: true, // its soft reset looks at what it has kept
	}
}

// buildGoBGP4 takes some 30 seconds the first time. Two test processes may do
// it at once: each installs the same files.
func buildGoBGP4() (string, error) {
	dir, err := cacheDir("gobgp-" + gobgp4Version)
	if err != nil {
		return "", err
	}
	bin := func(name string) string { return filepath.Join(dir, name) }
	if exec.Command(bin("gobgpd"), "--version").Run() == nil && exec.Command(bin("gobgp"), "--version").Run() == nil {
		return dir, nil
	}
	const pkg = "github.com/osrg/gobgp/v4/cmd/"
	cmd := exec.Command("go", "install", pkg+"gobgp@"+gobgp4Version, pkg+"gobgpd@"+gobgp4Version)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build GoBGP %s from the Go module proxy: %w\n%s", gobgp4Version, err, out)
	}
	return dir, nil
}

type gobgp struct {
	kind   string
	dir    string
	node   *Node
	config Config
	proc   *Process
}

func startGoBGP(kind, dir string, n *Node, c Config) Router {
	t := n.Lab.T
	t.Helper()
	g := &gobgp{kind: kind, dir: dir, node: n, config: c}
	conf := n.Write("gobgpd.toml", g.text())
	g.proc = n.Start(kind, n.Command(filepath.Join(dir, "gobgpd"), "-f", conf, "--api-hosts", "127.0.0.1:50051", "--pprof-disable"))
	Await(t, Patience, "answer of GoBGP", func() error {
		if err := g.proc.Running(); err != nil {
			t.Fatal(err)
		}
		out, err := g.gobgp("neighbor", "-j")
		if err == nil && strings.Count(out, `"neighbor_address"`)+strings.Count(out, `"neighbor-address"`) < len(c.Sessions) {
			err = fmt.Errorf("its neighbors are missing: %s", out)
		}
		return err
	})
	g.Announce(c.Routes...)
	return g
}

func (g *gobgp) Kind() string      { return g.kind }
func (g *gobgp) Process() *Process { return g.proc }

func (g *gobgp) gobgp(args ...string) (string, error) {
	return g.node.Output(filepath.Join(g.dir, "gobgp"), args...)
}

func (g *gobgp) text() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	c := g.config
	p("[global.config]\nas = %d\nrouter-id = %q\nlocal-address-list = [%q, %q]", c.AS, c.ID, g.node.V4, g.node.V6)
	for _, n := range c.Sessions {
		p("[[neighbors]]\n[neighbors.config]\nneighbor-address = %q\npeer-as = %d", n.Remote, n.AS)
		if n.Password != "" {
			p("auth-password = %q", n.Password)
		}
		p("[neighbors.transport.config]\nlocal-address = %q\npassive-mode = %t", n.Local, n.Passive)
		p("[neighbors.timers.config]\nconnect-retry = 1\nidle-hold-time-after-reset = 1\nhold-time = %d\nkeepalive-interval = %d",
			n.holdTime(), max(1, n.holdTime()/3))
		if n.GTSM {
			p("[neighbors.ttl-security.config]\nenabled = true\nttl-min = 255")
		}
		if n.Restart {
			p("[neighbors.graceful-restart.config]\nenabled = true\nrestart-time = %d\nnotification-enabled = true\nlong-lived-enabled = %t", n.restartTime(), n.LongLived > 0)
		}
		for _, f := range n.Families {
			p("[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = \"%s-unicast\"", f)
			if n.Restart {
				p("[neighbors.afi-safis.mp-graceful-restart.config]\nenabled = true")
			}
			if n.LongLived > 0 {
				p("[neighbors.afi-safis.long-lived-graceful-restart.config]\nenabled = true\nrestart-time = %d", n.LongLived)
			}
			if n.AddPath {
				p("[neighbors.afi-safis.add-paths.config]\nsend-max = 8")
			} else if n.PathsIn {
				p("[neighbors.afi-safis.add-paths.config]\nreceive = true")
			}
		}
	}
	return s.String()
}

func (g *gobgp) add(r Route) error {
	args := []string{"global", "rib", "add", "-a", string(FamilyOf(r.Prefix)), r.Prefix.String()}
	if r.PathID != 0 {
		args = append(args, "identifier", fmt.Sprint(r.PathID))
	}
	if r.Origin != "" {
		args = append(args, "origin", r.Origin)
	}
	if r.ASPath != "" {
		args = append(args, "aspath", gobgpPath(r.ASPath))
	}
	if r.MED != nil {
		args = append(args, "med", fmt.Sprint(*r.MED))
	}
	if r.LocalPref != nil {
		args = append(args, "local-pref", fmt.Sprint(*r.LocalPref))
	}
	if len(r.Communities) > 0 {
		args = append(args, "community", strings.Join(r.Communities, ","))
	}
	if len(r.Large) > 0 {
		args = append(args, "large-community", strings.Join(r.Large, ","))
	}
	if r.Aggregator != "" {
		as, addr, _ := strings.Cut(r.Aggregator, " ")
		args = append(args, "aggregator", as+":"+addr)
	}
	if len(r.Extended) > 0 {
		args = append(args, "rt")
		for _, c := range r.Extended {
			args = append(args, strings.TrimPrefix(c, "rt:"))
		}
	}
	_, err := g.gobgp(args...)
	return err
}

// gobgpPath writes sets as GoBGP reads them: {1,2}.
func gobgpPath(path string) string {
	var s strings.Builder
	in := false
	for _, c := range path {
		switch {
		case c == '{' || c == '}':
			in = c == '{'
		case c == ' ' && in:
			c = ','
		}
		s.WriteRune(c)
	}
	return s.String()
}

func (g *gobgp) Announce(routes ...Route) {
	g.node.Lab.T.Helper()
	for _, r := range routes {
		if err := g.add(r); err != nil {
			g.node.Lab.T.Fatal(err)
		}
	}
}

func (g *gobgp) Withdraw(routes ...Route) {
	g.node.Lab.T.Helper()
	for _, r := range routes {
		args := []string{"global", "rib", "del", "-a", string(FamilyOf(r.Prefix)), r.Prefix.String()}
		if r.PathID != 0 {
			args = append(args, "identifier", fmt.Sprint(r.PathID))
		}
		if _, err := g.gobgp(args...); err != nil {
			g.node.Lab.T.Fatal(err)
		}
	}
}

func (g *gobgp) Session(name string) (State, error) {
	n, err := findSession(g.config, name)
	if err != nil {
		return State{}, err
	}
	out, err := g.gobgp("neighbor", n.Remote.String())
	if err != nil {
		return State{}, err
	}
	for line := range strings.Lines(out) {
		if _, s, ok := strings.Cut(line, "BGP state = "); ok {
			return State{strings.Contains(strings.ToLower(s), "established"), strings.TrimSpace(s)}, nil
		}
	}
	return State{}, fmt.Errorf("cannot read GoBGP's neighbor: %s", out)
}

func (g *gobgp) AskRefresh(string) {
	g.node.Lab.T.Helper()
	g.node.Lab.T.Fatal("GoBGP cannot ask for a refresh")
}

// gobgpAttr has the fields of all attributes, which share some names.
type gobgpAttr struct {
	Type    int             `json:"type"`
	Flags   int             `json:"flags"`
	Value   json.RawMessage `json:"value"`
	ASPaths []struct {
		Type int      `json:"segment_type"`
		ASNs []uint32 `json:"asns"`
	} `json:"as_paths"`
	NextHop     netip.Addr `json:"nexthop"`
	Metric      *uint32    `json:"metric"`
	Communities []uint32   `json:"communities"`
	AS          uint32     `json:"as"`
	Address     string     `json:"address"`
}

func (g *gobgp) Received(session string) ([]Route, error) {
	n, err := findSession(g.config, session)
	if err != nil {
		return nil, err
	}
	var routes []Route
	for _, f := range n.Families {
		out, err := g.gobgp("neighbor", n.Remote.String(), "adj-in", "-a", string(f), "-j")
		if err != nil {
			return nil, err
		}
		var table map[string][]struct {
			Attrs []gobgpAttr `json:"attrs"`
		}
		if err := json.Unmarshal([]byte(out), &table); err != nil {
			return nil, fmt.Errorf("cannot read GoBGP's table: %w: %s", err, out)
		}
		for key, paths := range table {
			p, err := netip.ParsePrefix(key)
			if err != nil {
				return nil, err
			}
			for _, path := range paths {
				r := Route{Prefix: p}
				for _, a := range path.Attrs {
					if err := a.into(&r); err != nil {
						return nil, fmt.Errorf("cannot read GoBGP's attribute %d: %w: %s", a.Type, err, out)
					}
				}
				if n.AS != g.config.AS {
					r.LocalPref = nil
				}
				routes = append(routes, r)
			}
		}
	}
	return routes, nil
}

func (a gobgpAttr) into(r *Route) error {
	value := func(v any) error { return json.Unmarshal(a.Value, v) }
	switch a.Type {
	case 1:
		var o int
		if err := value(&o); err != nil {
			return err
		}
		r.Origin = [...]string{"igp", "egp", "incomplete"}[o%3]
	case 2:
		var s []string
		for _, seg := range a.ASPaths {
			words := strings.Fields(strings.Trim(fmt.Sprint(seg.ASNs), "[]"))
			if seg.Type == 1 {
				words = []string{asSet(words)}
			}
			s = append(s, words...)
		}
		r.ASPath = strings.Join(s, " ")
	case 3, 14:
		r.NextHop = a.NextHop
	case 4:
		r.MED = a.Metric
	case 5:
		return value(&r.LocalPref)
	case 6:
		r.AtomicAggregate = true
	case 7:
		r.Aggregator = fmt.Sprintf("%d %s", a.AS, a.Address)
	case 8:
		for _, c := range a.Communities {
			r.Communities = append(r.Communities, fmt.Sprintf("%d:%d", c>>16, c&0xffff))
		}
	case 16:
		return a.extended(r)
	case 32:
		var all []struct{ ASN, LocalData1, LocalData2 uint32 }
		if err := value(&all); err != nil {
			return err
		}
		for _, c := range all {
			r.Large = append(r.Large, fmt.Sprintf("%d:%d:%d", c.ASN, c.LocalData1, c.LocalData2))
		}
	default:
		b, err := base64.StdEncoding.DecodeString(strings.Trim(string(a.Value), `"`))
		if err != nil {
			return err
		}
		if a.Type == 35 && len(b) == 4 { // which it does not know, and passes on
			r.OTC = new(binary.BigEndian.Uint32(b))
			break
		}
		r.Unknown = append(r.Unknown, fmt.Sprintf("%d %02x %x", a.Type, a.Flags&^0x30, b))
	}
	return nil
}

func (a gobgpAttr) extended(r *Route) error {
	var all []struct {
		Type    int             `json:"type"`
		Subtype int             `json:"subtype"`
		Value   json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(a.Value, &all); err != nil {
		return err
	}
	for _, c := range all {
		kind := map[int]string{2: "rt", 3: "soo"}[c.Subtype]
		text := strings.Trim(string(c.Value), `"`)
		if kind != "" && c.Type <= 2 {
			if a, n, ok := strings.Cut(text, ":"); ok && c.Type == 2 && strings.Contains(a, ".") {
				var hi, lo uint32 // RFC 5396's notation with a dot
				if _, err := fmt.Sscanf(a, "%d.%d", &hi, &lo); err == nil {
					text = fmt.Sprintf("%d:%s", hi<<16|lo, n)
				}
			}
			r.Extended = append(r.Extended, kind+":"+text)
			continue
		}
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil || len(b) > 8 {
			return fmt.Errorf("unexpected extended community %s", c.Value)
		}
		r.Extended = append(r.Extended, fmt.Sprintf("%02x%x", c.Type, b))
	}
	return nil
}
