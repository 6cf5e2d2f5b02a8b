package netlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Holdfast is the router under test, driven by its configuration file and its
// command line as people do.
func Holdfast() Make {
	return Make{
		Kind:  "holdfast",
		Start: func(n *Node, c Config) Router { n.Lab.T.Helper(); return StartHoldfast(n, c) },
		Can: func(r Route) Route {
			// What an export policy cannot set.
			r.ASPath, r.AtomicAggregate, r.Aggregator, r.Unknown = "", false, "", nil
			return r
		},
		Shows: same,
		Roles: true,
	}
}

// HoldfastRouter is a running holdfast.
type HoldfastRouter struct {
	node   *Node
	config Config
	bin    string
	socket string
	args   []string
	proc   *Process
}

// builds are made once for all tests of the process.
var (
	buildHoldfast = sync.OnceValues(func() (string, error) { return build("holdfast") })
	buildNext     = sync.OnceValues(func() (string, error) {
		return build("holdfast-next", "-ldflags", "-X holdfast/internal/api.release="+NextVersion)
	})
)

// NextVersion is that of NextHoldfastBinary.
const NextVersion = "0.999.0"

// build makes a binary, with the race detector if the tests have it.
func build(name string, flags ...string) (string, error) {
	bin, err := cacheDir(name)
	if err != nil {
		return "", err
	}
	args := append([]string{"build", "-o", bin}, flags...)
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
		// Or each command would sleep for a second at its end.
		if err := os.Setenv("GORACE", "atexit_sleep_ms=0"); err != nil {
			return "", err
		}
	}
	if out, err := exec.Command("go", append(args, "holdfast/cmd/holdfast")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot build holdfast: %w\n%s", err, out)
	}
	return bin, nil
}

// HoldfastBinary is the program, for tests that start it themselves.
func HoldfastBinary(t testing.TB) string { t.Helper(); return built(t, buildHoldfast) }

// NextHoldfastBinary is the program with another version.
func NextHoldfastBinary(t testing.TB) string { t.Helper(); return built(t, buildNext) }

func built(t testing.TB, build func() (string, error)) string {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// cacheDir is where binaries that tests build are kept.
func cacheDir(name string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "holdfast-interop")
	return filepath.Join(dir, name), os.MkdirAll(dir, 0o755)
}

// StartHoldfast runs holdfast in a node. At the end of the test it must stop
// by itself, with exit code 0 and without a data race.
func StartHoldfast(n *Node, c Config) *HoldfastRouter {
	t := n.Lab.T
	t.Helper()
	bin := HoldfastBinary(t)
	h := &HoldfastRouter{node: n, config: c, bin: bin, socket: filepath.Join(n.Dir, "hf.sock")}
	h.config.Routes = slices.Clone(c.Routes)
	for _, s := range c.Sessions {
		if s.Password != "" {
			n.Write(s.Name+".key", s.Password+"\n")
		}
	}
	conf := n.Write("holdfast.hcl", h.text())
	h.args = []string{"run", "--config", conf, "--state", h.State(), "--socket", h.socket}
	h.start()
	h.awaitAnswer()
	return h
}

// State is its state directory.
func (h *HoldfastRouter) State() string { return filepath.Join(h.node.Dir, "state") }

func (h *HoldfastRouter) start() {
	p := h.node.Start("holdfast", h.node.Command(h.bin, h.args...))
	h.proc = p
	h.node.Lab.T.Cleanup(func() { // before the process is stopped for good
		if h.proc == p { // it did not crash
			h.stop()
		}
	})
}

func (h *HoldfastRouter) awaitAnswer() {
	t := h.node.Lab.T
	t.Helper()
	Await(t, Patience, "answer of holdfast", func() error {
		if err := h.proc.Running(); err != nil {
			t.Fatal(err)
		}
		_, err := h.Ask("show", "summary", "--json")
		return err
	})
}

// Crash ends the process as kill -9 does, calls meanwhile, and starts another
// one.
func (h *HoldfastRouter) Crash(meanwhile func()) {
	h.node.Lab.T.Helper()
	h.proc.Kill()
	meanwhile()
	h.start()
	h.awaitAnswer()
}

// Restart ends the process as it should end, calls meanwhile, and starts another
// one.
func (h *HoldfastRouter) Restart(meanwhile func()) {
	h.node.Lab.T.Helper()
	h.stop()
	meanwhile()
	h.start()
	h.awaitAnswer()
}

// Use has the next start, and commands, be of another build.
func (h *HoldfastRouter) Use(bin string) { h.bin = bin }

// Leave has the router shut down for good, and returns when it is gone, or why it
// is not.
func (h *HoldfastRouter) Leave(args ...string) (said string, err error) {
	p := h.proc
	if said, err = h.Ask(append([]string{"shutdown"}, args...)...); err != nil {
		return said, err
	}
	h.proc = nil
	select {
	case <-p.done:
		return said, p.err
	case <-time.After(Patience):
		return said, errors.New("holdfast is still there")
	}
}

func (h *HoldfastRouter) stop() {
	t := h.node.Lab.T
	if err := h.proc.Running(); err != nil {
		t.Error(err)
		return
	}
	h.proc.Signal(syscall.SIGTERM)
	select {
	case <-h.proc.done:
		if h.proc.err != nil {
			t.Errorf("holdfast did not end well: %v", h.proc.err)
		}
	case <-time.After(10 * time.Second):
		t.Error("holdfast did not end within 10 s of SIGTERM")
	}
	if log := h.proc.Log(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
		t.Errorf("holdfast is at fault:\n%s", log)
	}
}

// Kind is "holdfast".
func (h *HoldfastRouter) Kind() string { return "holdfast" }

// Process is the router's process.
func (h *HoldfastRouter) Process() *Process { return h.proc }

// Replay plays a dump to the router from another node.
func (h *HoldfastRouter) Replay(from *Node, args ...string) *Process {
	return from.Start("replay", from.Command(h.bin, append([]string{"replay"}, args...)...))
}

// Monitor runs the command that shows what changes.
func (h *HoldfastRouter) Monitor(args ...string) *Process {
	return h.node.Start("monitor", h.node.Command(h.bin, append([]string{"monitor", "--socket", h.socket}, args...)...))
}

// Metrics is what another node is told when it asks as Prometheus does.
func (h *HoldfastRouter) Metrics(from *Node) (string, error) {
	c := &http.Client{Timeout: Patience, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return from.Dial(from.V4, netip.AddrPortFrom(h.node.V4, 9179))
		}}}
	r, err := c.Get("http://holdfast/metrics")
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", r.Status, text)
	}
	return string(text), err
}

// Ask runs a command of holdfast's command line against the router.
func (h *HoldfastRouter) Ask(args ...string) (string, error) {
	cmd := h.node.Command(h.bin, append(args, "--socket", h.socket)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("holdfast %s: %w: %s%s", strings.Join(args, " "), err, stderr.String(), out)
	}
	return string(out), nil
}

// AskJSON reads what a command says with --json.
func (h *HoldfastRouter) AskJSON(v any, args ...string) error {
	out, err := h.Ask(append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), v); err != nil {
		return fmt.Errorf("cannot read what holdfast %s says: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// listen is where it does. Link-local addresses are not named.
func (h *HoldfastRouter) listen() string {
	for _, s := range h.config.Sessions {
		if s.Interface != "" {
			return `"[::]:179", "0.0.0.0:179"`
		}
	}
	at := fmt.Sprintf(`"%s:179", "[%s]:179"`, h.node.V4, h.node.V6)
	for _, e := range h.node.ends {
		at += fmt.Sprintf(`, "%s:179", "[%s]:179"`, e.V4, e.V6)
	}
	return at
}

func (h *HoldfastRouter) text() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	c := h.config
	cluster := c.ID
	if c.Cluster.IsValid() {
		cluster = c.Cluster
	}
	p("router {\n  asn    = %d\n  id     = %q\n  cluster_id = %q\n  listen = [%s]\n  metrics = %q\n  %s\n}", c.AS, c.ID, cluster, h.listen(), h.node.V4, cmp.Or(c.Router, "kernel = false"))
	if len(c.Routes) > 0 {
		p("originate \"lab\" {\n  prefixes = [%s]\n}", prefixList(c.Routes))
	}
	p("policy \"in\" {%s\n  rule \"all\" { then = \"accept\" }\n}", c.Import)
	p("policy \"out\" {%s", c.Export)
	for _, r := range c.Routes {
		p("  rule %q {\n    match {\n      prefix = [%q]\n      source = [\"originated\"]\n    }\n    set {", r.Prefix, r.Prefix)
		if r.Origin != "" {
			p("      origin = %q", r.Origin)
		}
		if r.MED != nil {
			p("      med = %d", *r.MED)
		}
		if r.LocalPref != nil {
			p("      local_pref = %d", *r.LocalPref)
		}
		var all []string
		for _, c := range slices.Concat(r.Communities, r.Extended, r.Large) {
			all = append(all, strconv.Quote(c))
		}
		if len(all) > 0 {
			p("      add_communities = [%s]", strings.Join(all, ", "))
		}
		p("    }\n    then = \"accept\"\n  }")
	}
	p("  rule \"rest\" { then = \"accept\" }\n}")
	for _, n := range c.Sessions {
		p("neighbor %q {\n  asn           = %d", n.Name, n.AS)
		if n.Interface != "" {
			p("  interface     = %q", n.Interface)
		} else {
			p("  address       = %q\n  local_address = %q", n.Remote, n.Local)
		}
		p("  hold_time     = \"%ds\"\n  connect_retry = \"1s\"\n  idle_hold     = \"1s\"", n.holdTime())
		if n.Passive {
			p("  passive = true")
		}
		if n.Password != "" {
			p("  password_file = %q", filepath.Join(h.node.Dir, n.Name+".key"))
		}
		if n.GTSM {
			p("  ttl_security = 1")
		}
		if n.BFD {
			p("  bfd = true")
		}
		if n.Client {
			p("  route_reflector_client = true")
		}
		if n.Multihop > 0 {
			p("  multihop = %d", n.Multihop)
		}
		if n.AddPath {
			p("  add_path = \"receive\"")
		} else if n.PathsIn {
			p("  add_path = \"send\"")
		}
		if n.ExtNextHop {
			p("  extended_next_hop = true")
		}
		if n.Role != "" {
			p("  local_role = %q\n  require_role = %t", n.Role, n.RequireRole)
		}
		if n.RSClient {
			p("  route_server_client = true")
		}
		if n.More != "" {
			p("%s", n.More)
		}
		var families []string
		for _, f := range n.Families {
			families = append(families, fmt.Sprintf("%q", f))
		}
		p("  families = [%s]\n  import = policy.in\n  export = policy.out\n}", strings.Join(families, ", "))
	}
	s.WriteString(c.Blocks)
	return s.String()
}

func prefixList(routes []Route) string {
	var all []string
	for _, r := range routes {
		all = append(all, fmt.Sprintf("%q", r.Prefix))
	}
	return strings.Join(all, ", ")
}

// Edit changes the sessions and reloads.
func (h *HoldfastRouter) Edit(change func(*Session)) {
	for i := range h.config.Sessions {
		change(&h.config.Sessions[i])
	}
	h.reload()
}

func (h *HoldfastRouter) reload() {
	h.node.Lab.T.Helper()
	h.node.Write("holdfast.hcl", h.text())
	if _, err := h.Ask("reload"); err != nil {
		h.node.Lab.T.Fatal(err)
	}
}

// Announce originates routes.
func (h *HoldfastRouter) Announce(routes ...Route) {
	h.node.Lab.T.Helper()
	h.config.Routes = replaceRoutes(h.config.Routes, routes)
	h.reload()
}

// Withdraw ends the origination of routes.
func (h *HoldfastRouter) Withdraw(routes ...Route) {
	h.node.Lab.T.Helper()
	h.config.Routes = removeRoutes(h.config.Routes, routes)
	h.reload()
}

// AskRefresh asks a neighbor to send its routes again.
func (h *HoldfastRouter) AskRefresh(session string) {
	h.node.Lab.T.Helper()
	if _, err := h.Ask("clear", "neighbor", session, "--soft", "in"); err != nil {
		h.node.Lab.T.Fatal(err)
	}
}

// NeighborDetail is what tests read of "show neighbor".
type NeighborDetail struct {
	Neighbor struct {
		ASN      uint32 `json:"asn"`
		State    string `json:"state"`
		Families []struct {
			Stale     uint64 `json:"stale"`
			LongLived bool   `json:"long_lived"`
		} `json:"families"`
		LastReset *struct {
			Reason       string `json:"reason"`
			Notification *struct {
				Sent    bool   `json:"sent"`
				Code    uint32 `json:"code"`
				Subcode uint32 `json:"subcode"`
				Text    string `json:"text"`
			} `json:"notification"`
		} `json:"last_reset"`
	} `json:"neighbor"`
	Detail struct {
		Negotiated *struct {
			AddPathReceive  []string `json:"add_path_receive"`
			FourOctetASN    bool     `json:"four_octet_asn"`
			ExtendedNextHop bool     `json:"extended_next_hop"`
			RouteRefresh    bool     `json:"route_refresh"`
		} `json:"negotiated"`
		Counters struct {
			In       MessageCounts `json:"in"`
			Out      MessageCounts `json:"out"`
			Sessions uint64        `json:"sessions"`
		} `json:"counters"`
	} `json:"detail"`
}

// MessageCounts counts messages by their type.
type MessageCounts struct {
	Update  uint64 `json:"update"`
	Refresh uint64 `json:"refresh"`
}

// Detail is "show neighbor".
func (h *HoldfastRouter) Detail(session string) (NeighborDetail, error) {
	var d NeighborDetail
	err := h.AskJSON(&d, "show", "neighbor", session)
	return d, err
}

// Session reports on a session.
func (h *HoldfastRouter) Session(name string) (State, error) {
	d, err := h.Detail(name)
	if err != nil {
		return State{}, err
	}
	s := State{d.Neighbor.State == "established", d.Neighbor.State}
	if d.Neighbor.LastReset != nil {
		s.Text += ", last reset: " + d.Neighbor.LastReset.Reason
	}
	return s, nil
}

// Received returns the Adj-RIB-In of a session.
func (h *HoldfastRouter) Received(session string) ([]Route, error) {
	d, err := h.Detail(session)
	if err != nil {
		return nil, err
	}
	routes, err := h.routes("--received", "--neighbor", session)
	for i := range routes {
		if d.Neighbor.ASN != h.config.AS {
			routes[i].LocalPref = nil
		}
	}
	return routes, err
}

// Best returns the Loc-RIB.
func (h *HoldfastRouter) Best() ([]Route, error) { return h.routes("--best") }

func (h *HoldfastRouter) routes(flags ...string) ([]Route, error) {
	var table struct {
		Routes []struct {
			Prefix     netip.Prefix `json:"prefix"`
			PathID     uint32       `json:"path_id"`
			Attributes struct {
				Origin      string   `json:"origin"`
				ASPath      string   `json:"as_path"`
				NextHop     string   `json:"next_hop"`
				MED         *uint32  `json:"med"`
				LocalPref   *uint32  `json:"local_pref"`
				OTC         *uint32  `json:"only_to_customer"`
				Communities []string `json:"communities"`
				Large       []string `json:"large_communities"`
				Extended    []string `json:"ext_communities"`
				Atomic      bool     `json:"atomic_aggregate"`
				Originator  string   `json:"originator_id"`
				Clusters    []string `json:"cluster_list"`
				Aggregator  *struct {
					ASN     uint32 `json:"asn"`
					Address string `json:"address"`
				} `json:"aggregator"`
				Other []struct {
					Flags int    `json:"flags"`
					Type  int    `json:"type"`
					Value string `json:"value"`
				} `json:"other"`
			} `json:"attributes"`
		} `json:"routes"`
	}
	if err := h.AskJSON(&table, append([]string{"show", "routes"}, flags...)...); err != nil {
		return nil, err
	}
	var routes []Route
	var errs []error
	for _, e := range table.Routes {
		a := e.Attributes
		r := Route{
			Prefix: e.Prefix, PathID: e.PathID, Origin: a.Origin, ASPath: normalPath(a.ASPath), MED: a.MED,
			LocalPref: a.LocalPref, AtomicAggregate: a.Atomic, OTC: a.OTC, Large: a.Large,
		}
		if a.NextHop != "" {
			hop, err := netip.ParseAddr(a.NextHop)
			errs = append(errs, err)
			r.NextHop = hop
		}
		if a.Originator != "" {
			originator, err := netip.ParseAddr(a.Originator)
			errs = append(errs, err)
			r.Originator = originator
		}
		r.Clusters = strings.Join(a.Clusters, " ")
		if a.Aggregator != nil {
			r.Aggregator = fmt.Sprintf("%d %s", a.Aggregator.ASN, a.Aggregator.Address)
		}
		for _, c := range a.Communities {
			r.Communities = append(r.Communities, wellKnown(c))
		}
		for _, c := range a.Extended {
			c = strings.TrimPrefix(c, "0x")
			if rest, ok := strings.CutPrefix(c, "ro:"); ok {
				c = "soo:" + rest
			}
			r.Extended = append(r.Extended, c)
		}
		for _, o := range a.Other {
			r.Unknown = append(r.Unknown, fmt.Sprintf("%d %02x %s", o.Type, o.Flags&^0x30, o.Value))
		}
		routes = append(routes, r)
	}
	return routes, errors.Join(errs...)
}
