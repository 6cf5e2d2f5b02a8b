package netlab

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// Validator is a router that tells the state of the origin of its routes.
type Validator interface {
	// OfState returns the routes that are "valid", "invalid" or "unknown".
	OfState(state string) ([]netip.Prefix, error)
}

var _, _, _ Validator = (*bird)(nil), (*openbgpd)(nil), (*HoldfastRouter)(nil)

// OfState takes for invalid what the import policy has rejected.
func (h *HoldfastRouter) OfState(state string) (all []netip.Prefix, err error) {
	flags := []string{"--rpki", state}
	if state == "invalid" {
		flags = append(flags, "--rejected")
	}
	routes, err := h.routes(flags...)
	for _, r := range routes {
		all = append(all, r.Prefix)
	}
	return all, err
}

// prefixesIn are the prefixes in a text, each once.
func prefixesIn(text string) (all []netip.Prefix) {
	for _, word := range strings.Fields(text) {
		if p, err := netip.ParsePrefix(word); err == nil && !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

// StayRTR is a cache with the VRPs of a JSON file.
type StayRTR struct {
	At   netip.AddrPort
	node *Node
	proc *Process
	args []string
}

// StartStayRTR starts a cache. It reads its file again each second.
func StartStayRTR(n *Node, json string, args ...string) *StayRTR {
	t := n.Lab.T
	t.Helper()
	NeedTools(t, "stayrtr")
	s := &StayRTR{At: netip.AddrPortFrom(n.V4, 8282), node: n, args: args}
	s.Write(json)
	s.Start()
	return s
}

// Write gives it other VRPs.
func (s *StayRTR) Write(json string) {
	file := s.node.Write("vrps.new", json)
	if err := os.Rename(file, strings.TrimSuffix(file, "new")+"json"); err != nil {
		s.node.Lab.T.Fatal(err)
	}
}

// Start begins it, in another session than before.
func (s *StayRTR) Start() {
	s.node.Lab.T.Helper()
	args := append([]string{"-bind", s.At.String(), "-cache", s.node.Dir + "/vrps.json", "-checktime=false", "-refresh", "1", "-loglevel", "error"}, s.args...)
	s.proc = s.node.Start("stayrtr", s.node.Command("stayrtr", args...))
}

// Stop ends it.
func (s *StayRTR) Stop() { s.proc.Stop() }

// States are the prefixes of each state, sorted.
func States(t testing.TB, v Validator) (map[string]string, error) {
	t.Helper()
	out := map[string]string{}
	for _, state := range []string{"valid", "invalid", "unknown"} {
		all, err := v.OfState(state)
		if err != nil {
			return nil, err
		}
		var texts []string
		for _, p := range all {
			texts = append(texts, p.String())
		}
		slices.Sort(texts)
		out[state] = strings.Join(texts, " ")
	}
	return out, nil
}
