package policy_test

import (
	"encoding/binary"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

const guide = "../../docs/policy.md"

// TestGuide loads the examples of the guide as one file, and checks what it
// says about routes.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	source := "router {\n  asn = 64500\n  id  = \"192.0.2.1\"\n}\n"
	for _, m := range regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		source += m[1]
		if formatted := config.Format([]byte(m[1])); string(formatted) != m[1] {
			t.Errorf("an example is not in the layout of fmt, which is\n%s", formatted)
		}
	}
	cfg, ds := config.Parse("policy.md", []byte(source))
	if ds.HasErrors() {
		t.Fatal(ds.Err())
	}
	head := regexp.MustCompile("^\\| `([^`]*)`(?: for `([^`]*)`)? \\| result \\|$")
	row := regexp.MustCompile("^\\| `([^`]*)` \\| (.*) \\|$")
	var program *policy.Program
	checked := 0
	for _, line := range strings.Split(string(text), "\n") {
		if m := head.FindStringSubmatch(line); m != nil {
			program = guideProgram(t, cfg, strings.Split(m[1], ", "), m[2])
			continue
		}
		if line == "" {
			program = nil
		}
		m := row.FindStringSubmatch(line)
		if m == nil || program == nil {
			continue
		}
		x, r := guideRoute(t, m[1])
		steps, res := program.Explain(x, r)
		if got := guideResult(steps, res); got != m[2] {
			t.Errorf("%s:\n%s\ngot: %s", guide, line, got)
		}
		checked++
	}
	if checked < 25 {
		t.Errorf("found only %d lines about routes", checked)
	}
}

func guideProgram(t *testing.T, cfg *config.Config, names []string, neighbor string) *policy.Program {
	t.Helper()
	ctx := policy.Context{ASN: cfg.Router.ASN}
	for _, n := range cfg.Neighbors {
		if n.Name == neighbor {
			ctx.Neighbor, ctx.Prefixes, ctx.OriginASNs, ctx.NeighborASN = n.Name, n.Prefixes, n.OriginASNs, n.Transport.ASN
		}
	}
	p, err := policy.Compile(cfg.Chain(names), ctx)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func guideResult(steps []policy.Step, res policy.Result) string {
	var changes []string
	for _, s := range steps {
		changes = append(changes, s.Changes...)
	}
	last := steps[len(steps)-1]
	switch {
	case !res.Accept && last.Matched && last.Then == policy.Reject:
		return "reject by " + last.Rule
	case !res.Accept:
		return "reject at the end"
	case len(changes) == 0:
		return "accept"
	}
	return "accept: " + strings.Join(changes, "; ")
}

// guideRoute reads a prefix and words for attributes.
func guideRoute(t *testing.T, text string) (prefix.Prefix, *policy.Route) {
	t.Helper()
	words := strings.Fields(text)
	a := &wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}
	r := &policy.Route{Attrs: a, Source: &policy.Source{Kind: policy.EBGP}}
	number := func(s string) uint32 {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		return uint32(n)
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "path":
			list, set, isSet := strings.Cut(value, "{")
			segment := func(typ byte, list string) {
				asns := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '}' })
				a.ASPath = append(a.ASPath, typ, byte(len(asns)))
				for _, asn := range asns {
					a.ASPath = binary.BigEndian.AppendUint32(a.ASPath, number(asn))
				}
			}
			segment(wire.SegSequence, list)
			if isSet {
				segment(wire.SegSet, set)
			}
		case "med":
			a.MED, a.Has = number(value), a.Has|wire.HasMED
		case "rpki":
			var ok bool
			if r.Validity, ok = rpki.StateByName(value); !ok {
				t.Fatalf("%s: state %q", text, value)
			}
		case "aspa":
			var ok bool
			if r.Path, ok = rpki.StateByName(value); !ok {
				t.Fatalf("%s: state %q", text, value)
			}
		case "source":
			switch value {
			case "originated":
				r.Source = &policy.Source{}
			case "ibgp":
				r.Source.Kind = policy.IBGP
			case "customer":
				r.Source.Relation = policy.Customer
			case "peer":
				r.Source.Relation = policy.Peer
			default:
				t.Fatalf("%s: source %q", text, value)
			}
		case "blackhole":
			a.Communities = binary.BigEndian.AppendUint32(a.Communities, 0xffff029a)
		default:
			parts := strings.Split(w, ":")
			switch len(parts) {
			case 2:
				a.Communities = binary.BigEndian.AppendUint32(a.Communities, number(parts[0])<<16|number(parts[1]))
			case 3:
				for _, p := range parts {
					a.LargeCommunities = binary.BigEndian.AppendUint32(a.LargeCommunities, number(p))
				}
			default:
				t.Fatalf("%s: what is %q?", text, w)
			}
		}
	}
	return prefix.MustParse(words[0]), r
}
