package netlab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// ExaBGP is Debian's ExaBGP. It sends exactly what it is told and is not a
// router: what it receives goes to a log.
func ExaBGP() Make {
	return Make{
		Kind:         "exabgp",
		Start:        startExaBGP,
		Can:          same,
		Shows:        same,
		OwnPaths:     true,
		AS2Trans:     true,
		NoExtNextHop: true, // it takes the capability, but has no way to announce so
	}
}

type exabgp struct {
	node   *Node
	config Config
	events string
	fifo   *os.File
	proc   *Process
}

func startExaBGP(n *Node, c Config) Router {
	t := n.Lab.T
	t.Helper()
	NeedTools(t, "exabgp")
	e := &exabgp{node: n, config: c, events: filepath.Join(n.Dir, "events")}
	fifo := filepath.Join(n.Dir, "commands")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// Opened for both ways, a FIFO neither blocks nor ends.
	f, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	e.fifo = f
	t.Cleanup(func() { f.Close() })
	n.Write("events", "")
	n.Write("lab.sh", "cat <"+fifo+" &\nexec cat >>"+e.events+"\n")
	conf := n.Write("exabgp.conf", e.text())
	cmd := n.Command("env", "exabgp.daemon.user=root", "exabgp.daemon.drop=false", "exabgp.api.cli=false", "exabgp.api.ack=false",
		"exabgp.log.destination=stdout", "exabgp.log.level=INFO", "exabgp.tcp.delay=0", "exabgp.cache.nexthops=false",
		"exabgp", conf)
	e.proc = n.Start("exabgp", cmd)
	return e
}

func (e *exabgp) Kind() string      { return "exabgp" }
func (e *exabgp) Process() *Process { return e.proc }

func (e *exabgp) text() string {
	var s strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&s, format+"\n", args...) }
	p("process lab {\n run /bin/sh %s;\n encoder json;\n}", filepath.Join(e.node.Dir, "lab.sh"))
	c := e.config
	for _, n := range c.Sessions {
		p("neighbor %s {\n description %q;\n router-id %s;\n local-address %s;\n local-as %d;\n peer-as %d;\n hold-time %d;",
			n.Remote, n.Name, c.ID, n.Local, c.AS, n.AS, n.holdTime())
		p(" passive %t;\n adj-rib-out true;", n.Passive)
		if n.Password != "" {
			p(" md5-password %q;", n.Password)
		}
		if n.GTSM {
			p(" outgoing-ttl 255;\n incoming-ttl 255;")
		}
		p(" capability {\n  asn4 %s;\n  route-refresh enable;\n  graceful-restart disable;", map[bool]string{true: "disable", false: "enable"}[n.AS2])
		if n.AddPath {
			p("  add-path send;")
		} else if n.PathsIn {
			p("  add-path receive;")
		}
		p(" }\n family {")
		for _, f := range n.Families {
			p("  %s unicast;", f)
		}
		p(" }\n api {\n  processes [ lab ];\n  neighbor-changes;\n  receive {\n   parsed;\n   update;\n  }\n }")
		p(" announce {")
		for _, f := range n.Families {
			p("  %s {", f)
			for _, r := range c.Routes {
				if FamilyOf(r.Prefix) == f {
					p("   unicast %s;", e.attrs(r))
				}
			}
			p("  }")
		}
		p(" }\n}")
	}
	return s.String()
}

// attrs writes a route. The AS path is sent as it stands: the own AS goes in
// front, except to the own AS.
func (e *exabgp) attrs(r Route) string {
	s := []string{r.Prefix.String(), "next-hop self"}
	p := func(format string, args ...any) { s = append(s, fmt.Sprintf(format, args...)) }
	if r.PathID != 0 {
		p("path-information 0.0.0.%d", r.PathID)
	}
	if r.Origin != "" {
		p("origin %s", r.Origin)
	}
	path := r.ASPath
	if len(e.config.Sessions) > 0 && e.config.Sessions[0].AS != e.config.AS {
		path = Prepend(path, e.config.AS)
	}
	p("as-path [ %s ]", strings.NewReplacer("{", "[ ", "}", " ]").Replace(path))
	if r.MED != nil {
		p("med %d", *r.MED)
	}
	if r.LocalPref != nil {
		p("local-preference %d", *r.LocalPref)
	}
	if r.AtomicAggregate {
		p("atomic-aggregate")
	}
	if r.Aggregator != "" {
		p("aggregator ( %s )", strings.Replace(r.Aggregator, " ", ":", 1))
	}
	if len(r.Communities) > 0 {
		p("community [ %s ]", strings.Join(r.Communities, " "))
	}
	if len(r.Large) > 0 {
		p("large-community [ %s ]", strings.Join(r.Large, " "))
	}
	if len(r.Extended) > 0 {
		var all []string
		for _, c := range r.Extended {
			kind, value, ok := strings.Cut(c, ":")
			switch {
			case !ok:
				c = "0x" + c
			case kind == "rt":
				c = "target:" + value
			case kind == "soo":
				c = "origin:" + value
			}
			all = append(all, c)
		}
		p("extended-community [ %s ]", strings.Join(all, " "))
	}
	for _, u := range r.Unknown {
		f := strings.Fields(u)
		code, err := strconv.ParseUint(f[0], 10, 8)
		if err != nil {
			e.node.Lab.T.Fatalf("%q is no attribute: %v", u, err)
		}
		p("attribute [ 0x%02x 0x%s 0x%s ]", code, f[1], f[2])
	}
	return strings.Join(s, " ")
}

func (e *exabgp) tell(format string, args ...any) {
	e.node.Lab.T.Helper()
	if _, err := fmt.Fprintf(e.fifo, format+"\n", args...); err != nil {
		e.node.Lab.T.Fatalf("cannot tell ExaBGP: %v", err)
	}
}

func (e *exabgp) neighborFor(f Family) string {
	for _, n := range e.config.Sessions {
		if slices.Contains(n.Families, f) {
			return n.Remote.String()
		}
	}
	e.node.Lab.T.Fatalf("ExaBGP has no session for %s", f)
	return ""
}

func (e *exabgp) Announce(routes ...Route) {
	e.node.Lab.T.Helper()
	for _, r := range routes {
		e.tell("neighbor %s announce route %s", e.neighborFor(FamilyOf(r.Prefix)), e.attrs(r))
	}
}

func (e *exabgp) Withdraw(routes ...Route) {
	e.node.Lab.T.Helper()
	for _, r := range routes {
		e.tell("neighbor %s withdraw route %s", e.neighborFor(FamilyOf(r.Prefix)), e.attrs(r))
	}
}

func (e *exabgp) AskRefresh(session string) {
	t := e.node.Lab.T
	t.Helper()
	n, err := findSession(e.config, session)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range n.Families {
		e.tell("neighbor %s announce route-refresh %s unicast", n.Remote, f)
	}
}

// exaEvent is a line of the log.
type exaEvent struct {
	Type     string `json:"type"`
	Neighbor struct {
		Address struct {
			Peer string `json:"peer"`
		} `json:"address"`
		State   string `json:"state"`
		Reason  string `json:"reason"`
		Message struct {
			Update struct {
				Attribute map[string]json.RawMessage            `json:"attribute"`
				Announce  map[string]map[string]json.RawMessage `json:"announce"`
				Withdraw  map[string]json.RawMessage            `json:"withdraw"`
			} `json:"update"`
		} `json:"message"`
	} `json:"neighbor"`
}

// eventsOf reads the log of one session.
func (e *exabgp) eventsOf(session string) ([]exaEvent, error) {
	if err := e.proc.Running(); err != nil {
		return nil, err
	}
	n, err := findSession(e.config, session)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(e.events)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []exaEvent
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var ev exaEvent
		if err := json.Unmarshal(sc.Bytes(), &ev); err != nil {
			return nil, fmt.Errorf("cannot read ExaBGP's event: %w: %s", err, sc.Bytes())
		}
		if ev.Neighbor.Address.Peer == n.Remote.String() {
			all = append(all, ev)
		}
	}
	return all, sc.Err()
}

func (e *exabgp) Session(name string) (State, error) {
	events, err := e.eventsOf(name)
	var s State
	for _, ev := range events {
		if ev.Type == "state" {
			s = State{ev.Neighbor.State == "up", strings.TrimSpace(ev.Neighbor.State + " " + ev.Neighbor.Reason)}
		}
	}
	return s, err
}

func (e *exabgp) Received(session string) ([]Route, error) {
	n, err := findSession(e.config, session)
	if err != nil {
		return nil, err
	}
	events, err := e.eventsOf(session)
	if err != nil {
		return nil, err
	}
	have := map[netip.Prefix]Route{}
	type nlri struct {
		NLRI netip.Prefix `json:"nlri"`
	}
	for _, ev := range events {
		switch ev.Type {
		case "state":
			if ev.Neighbor.State != "up" {
				clear(have)
			}
		case "update":
			u := ev.Neighbor.Message.Update
			for _, raw := range u.Withdraw {
				var gone []nlri
				if err := json.Unmarshal(raw, &gone); err != nil {
					return nil, fmt.Errorf("cannot read ExaBGP's withdrawal: %w: %s", err, raw)
				}
				for _, w := range gone {
					delete(have, w.NLRI)
				}
			}
			for _, byHop := range u.Announce {
				for hop, raw := range byHop {
					if hop == "null" { // End-of-RIB
						continue
					}
					r, err := exaRoute(u.Attribute)
					if err != nil {
						return nil, err
					}
					if r.NextHop, err = netip.ParseAddr(hop); err != nil {
						return nil, err
					}
					if r.NextHop.IsLinkLocalUnicast() && len(byHop) > 1 {
						continue // of both halves of a next hop (RFC 2545) the global one counts
					}
					if n.AS != e.config.AS {
						r.LocalPref = nil
					}
					var came []nlri
					if err := json.Unmarshal(raw, &came); err != nil {
						return nil, fmt.Errorf("cannot read ExaBGP's routes: %w: %s", err, raw)
					}
					for _, a := range came {
						r.Prefix = a.NLRI
						have[a.NLRI] = r
					}
				}
			}
		}
	}
	var routes []Route
	for _, r := range have {
		routes = append(routes, r)
	}
	return routes, nil
}

func exaRoute(attrs map[string]json.RawMessage) (Route, error) {
	var r Route
	for name, raw := range attrs {
		if err := exaAttr(&r, name, raw); err != nil {
			return r, fmt.Errorf("cannot read ExaBGP's %s: %w: %s", name, err, raw)
		}
	}
	return r, nil
}

func exaAttr(r *Route, name string, raw json.RawMessage) error {
	value := func(v any) error { return json.Unmarshal(raw, v) }
	join := func() ([]string, error) {
		var all [][]uint32
		err := value(&all)
		var out []string
		for _, c := range all {
			out = append(out, strings.ReplaceAll(strings.Trim(fmt.Sprint(c), "[]"), " ", ":"))
		}
		return out, err
	}
	var err error
	switch name {
	case "origin":
		err = value(&r.Origin)
	case "as-path":
		// A list of numbers, sets as lists inside.
		r.ASPath = normalPath(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(string(raw)), "["), "]"))
	case "as-set":
		var set []uint32
		err = value(&set)
		r.ASPath = strings.TrimSpace(r.ASPath + " " + asSet(strings.Fields(strings.Trim(fmt.Sprint(set), "[]"))))
	case "med":
		err = value(&r.MED)
	case "local-preference":
		err = value(&r.LocalPref)
	case "atomic-aggregate":
		err = value(&r.AtomicAggregate)
	case "aggregator":
		var s string
		err = value(&s)
		r.Aggregator = strings.Replace(s, ":", " ", 1)
	case "community":
		r.Communities, err = join()
	case "large-community":
		r.Large, err = join()
	case "extended-community":
		var all []struct {
			Value uint64 `json:"value"`
		}
		err = value(&all)
		for _, c := range all {
			var b [8]byte
			for i := range b {
				b[i] = byte(c.Value >> (56 - 8*i))
			}
			r.Extended = append(r.Extended, ExtendedText(b))
		}
	default:
		var code, flags int
		var s string
		if n, _ := fmt.Sscanf(name, "attribute-0x%x-0x%x", &code, &flags); n == 2 {
			if err = value(&s); err == nil {
				r.Unknown = append(r.Unknown, fmt.Sprintf("%d %02x %s", code, flags&^0x30, strings.ToLower(strings.TrimPrefix(s, "0x"))))
			}
		}
	}
	return err
}
