package engine

import (
	"testing"

	"holdfast/internal/export"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// TestSending: what is said about a prefix and a neighbor. Asking counts no hits.
func TestSending(t *testing.T) {
	cfg := ebgpConfig(t, 4)
	cfg.Neighbors[1].Families[prefix.IPv4].Export = program(t, &policy.Policy{Name: "out", Rules: []policy.Rule{{Name: "not this", Then: policy.Reject,
		Match: []policy.Match{{Conditions: []policy.Condition{{Kind: policy.CondPrefix, Prefixes: prefixes("192.0.2.0/24")}}}}}}}, nil)
	cfg.Neighbors[2].Families[prefix.IPv4].MaxOut = 1
	cfg.Aggregate = []Aggregate{{Prefix: prefix.MustParse("10.0.0.0/8"), Suppress: true, Attrs: wire.Attrs{Has: wire.HasOrigin | wire.HasASPath}}}
	d := newDesk(t, cfg)
	d.down(4)
	for _, p := range []string{"192.0.2.0/24", "198.51.100.0/24", "10.1.0.0/16"} {
		d.announce(1, p, route(1, 65001))
		d.settle()
	}
	e, stop := running(d.core)
	defer stop()
	for _, c := range []struct {
		prefix string
		to     int
		reason uint8
		rule   string
	}{
		{"192.0.2.0/24", 1, export.SplitHorizon, ""},
		{"192.0.2.0/24", 2, export.ByPolicy, "not this"},
		{"198.51.100.0/24", 2, export.ByPolicy, ""}, // the end
		{"192.0.2.0/24", 3, export.Sent, "rest"},
		{"198.51.100.0/24", 3, export.OverLimit, ""},
		{"10.1.0.0/16", 3, export.Suppressed, ""},
		{"10.9.0.0/16", 3, export.NotBestRoute, ""},
	} {
		list, err := e.Sending(t.Context(), d.cfg.Neighbors[c.to-1].ID, prefix.MustParse(c.prefix))
		s := list[0]
		if err != nil || len(list) != 1 || !s.Up || s.Reason != c.reason || s.Rule.Rule != c.rule || (len(s.Attrs.ASPath) > 0) != (c.reason == export.Sent) {
			t.Errorf("%s to %d: %s by %q, attributes %s, %v", c.prefix, c.to, export.ReasonText(s.Reason), s.Rule.Rule, text(&s.Attrs), err)
		}
	}
	if s, _ := e.Sending(t.Context(), 4, prefix.MustParse("192.0.2.0/24")); s[0].Up {
		t.Errorf("neighbor 4 is down: %+v", s)
	}
	hits, err := e.Hits(t.Context())
	if err != nil || hits["out"].Rules["not this"] != 1 {
		t.Errorf("hits %+v, %v", hits["out"], err)
	}
}
