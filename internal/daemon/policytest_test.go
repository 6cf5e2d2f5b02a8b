package daemon_test

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/daemon"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/rtr"
	"holdfast/internal/wire"
)

const policies = `
router {
  asn = 64500
  id  = "192.0.2.1"
}
prefix_set "shop" { prefixes = ["203.0.113.0/24"] }
policy "from-customer" {
  rule "note" {
    match { source = ["customer"] }
    set { weight = 7 }
    then = "continue"
  }
  rule "no default" {
    match { prefix_length = [0] }
    then = "reject"
  }
  rule "theirs" {
    match { prefix = neighbor.prefixes }
    then = "accept"
  }
}
policy "to-transit" {
  rule "customers" {
    match { source = ["customer"] }
    set { prepend = 2 }
    then = "accept"
  }
}
policy "to-customer" {
  rule "rest" { then = "accept" }
}
neighbor "shop" {
  address    = "192.0.2.30"
  asn        = 64700
  local_role = "provider"
  prefixes   = prefix_set.shop
  import     = policy.from-customer
  export     = policy.to-customer
}
neighbor "transit-a" {
  address    = "192.0.2.9"
  asn        = 64601
  local_role = "customer"
  import     = policy.to-customer
  export     = policy.to-transit
}
`

func TestTestPolicy(t *testing.T) {
	cfg, found := config.Parse("test.hcl", []byte(policies))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	attrs := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: []byte{2, 1, 0, 0, 0xfc, 0xbc}}
	for _, c := range []struct {
		name     string
		test     api.PolicyTest
		accepted bool
		steps    string // rules: + for those that match
		path     int    // bytes of the AS path afterwards
		weight   uint32
	}{
		{"slot of the neighbor", api.PolicyTest{Policy: "from-customer", Prefix: prefix.MustParse("203.0.113.0/24"), Neighbor: "shop"}, true, "+note no default +theirs", 6, 7},
		{"by address", api.PolicyTest{Policy: "from-customer", Prefix: prefix.MustParse("203.0.113.0/24"), Neighbor: "192.0.2.30"}, true, "+note no default +theirs", 6, 7},
		{"not theirs", api.PolicyTest{Policy: "from-customer", Prefix: prefix.MustParse("198.51.100.0/24"), Neighbor: "shop"}, false, "+note no default theirs +", 6, 7},
		{"rejected by a rule", api.PolicyTest{Policy: "from-customer", Prefix: prefix.MustParse("0.0.0.0/0"), Neighbor: "shop"}, false, "+note +no default", 6, 7},
		{"export by source", api.PolicyTest{Policy: "to-transit", Prefix: prefix.MustParse("203.0.113.0/24"), Source: api.SourceCustomer, To: "transit-a"}, true, "+customers", 14, 0},
		{"export by neighbor", api.PolicyTest{Policy: "to-transit", Prefix: prefix.MustParse("203.0.113.0/24"), Neighbor: "shop", To: "transit-a"}, true, "+customers", 14, 0},
		{"export of a provider's", api.PolicyTest{Policy: "to-transit", Prefix: prefix.MustParse("203.0.113.0/24"), Source: api.SourceProvider, To: "transit-a"}, false, "customers +", 6, 0},
		{"export of our own", api.PolicyTest{Policy: "to-transit", Prefix: prefix.MustParse("203.0.113.0/24"), Source: api.SourceOriginated, To: "transit-a"}, false, "customers +", 6, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.test.Attrs = attrs
			res, err := daemon.TestPolicy(cfg, nil, c.test)
			if err != nil {
				t.Fatal(err)
			}
			var steps []string
			for _, s := range res.Steps {
				mark := ""
				if s.Matched {
					mark = "+"
				}
				if s.Rule.Position.File != "test.hcl" || s.Rule.Position.Line == 0 {
					t.Errorf("rule %q is nowhere: %+v", s.Rule.Rule, s.Rule.Position)
				}
				steps = append(steps, mark+s.Rule.Rule)
			}
			if got := strings.Join(steps, " "); res.Accepted != c.accepted || got != c.steps || res.Weight != c.weight {
				t.Errorf("accepted %v by %q with weight %d, want %v by %q with %d", res.Accepted, got, res.Weight, c.accepted, c.steps, c.weight)
			}
			if got := len(res.Attrs.ASPath); got != c.path {
				t.Errorf("the path has %d bytes, want %d", got, c.path)
			}
			if len(attrs.ASPath) != 6 {
				t.Error("what was given has changed")
			}
		})
	}
	res, err := daemon.TestPolicy(cfg, nil, api.PolicyTest{Policy: "from-customer", Prefix: prefix.MustParse("198.51.100.0/24"), Neighbor: "shop", Attrs: attrs})
	if err != nil {
		t.Fatal(err)
	}
	if s := res.Steps[0]; len(s.Changes) != 1 || s.Changes[0] != "weight 0 → 7" {
		t.Errorf("the first rule changed %q", s.Changes)
	}
	if f := res.Steps[2].Findings; len(f) != 1 || f[0].Text != "prefix: 198.51.100.0/24 is not in neighbor.prefixes" || f[0].Position.File != "test.hcl" {
		t.Errorf("the third rule found %+v", f)
	}
	for _, test := range []api.PolicyTest{
		{Policy: "none", Prefix: prefix.MustParse("10.0.0.0/8")},
		{Policy: "to-transit", Prefix: prefix.MustParse("10.0.0.0/8"), Neighbor: "nobody"},
		{Policy: "to-transit", Prefix: prefix.MustParse("10.0.0.0/8"), To: "nobody"},
	} {
		var e *api.Error
		if _, err := daemon.TestPolicy(cfg, nil, test); !errors.As(err, &e) || e.Kind != api.KindNotFound {
			t.Errorf("%+v: %v", test, err)
		}
	}
	_, err = daemon.TestPolicy(cfg, nil, api.PolicyTest{Policy: "from-customer", Prefix: prefix.MustParse("10.0.0.0/8")})
	var e *api.Error
	if !errors.As(err, &e) || e.Kind != api.KindInvalid || !strings.Contains(err.Error(), "neighbor.prefixes") {
		t.Errorf("a slot that nobody fills: %v", err)
	}
}

// TestTestPolicyASPA: the state of the AS path is as it is given, and otherwise as it
// would be from the neighbor.
func TestTestPolicyASPA(t *testing.T) {
	cfg, found := config.Parse("test.hcl", []byte(`
router {
  asn = 64500
  id  = "192.0.2.1"
}
rpki "cache" { address = "192.0.2.10" }
policy "no-leaks" {
  rule "leak" {
    match { aspa = "invalid" }
    then = "reject"
  }
  rule "known" {
    match { aspa = "valid" }
    then = "accept"
  }
}
group "all" { import = policy.no-leaks }
neighbor "customer" {
  group      = group.all
  address    = "192.0.2.30"
  asn        = 64700
  local_role = "provider"
}
neighbor "transit" {
  group      = group.all
  address    = "192.0.2.31"
  asn        = 64700
  local_role = "customer"
}
`))
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "aspas.json")
	if err := os.WriteFile(file, []byte(`{"roas": [], "aspas": [{"customer_asid": 64701, "providers": [64702]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	known := make(chan bool, 1)
	sources := rtr.New(slog.New(slog.DiscardHandler), rtr.Dial, func(_, _ *rpki.Table, aspas *rpki.ASPAs) { known <- aspas.Len() == 1 })
	defer sources.Close()
	sources.Set([]rtr.Source{{Name: "file", Path: file}})
	if !<-known {
		t.Fatal("there are no ASPAs")
	}
	for _, c := range []struct {
		neighbor, aspa, want string
	}{
		{"customer", "", "leak"},
		{"transit", "", "known"},
		{"", "", ""},
		{"customer", "unknown", ""},
		{"transit", "invalid", "leak"},
		{"", "valid", "known"},
	} {
		attrs := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: []byte{2, 2, 0, 0, 0xfc, 0xbc, 0, 0, 0xfc, 0xbd}}
		res, err := daemon.TestPolicy(cfg, sources, api.PolicyTest{Policy: "no-leaks", Prefix: prefix.MustParse("203.0.113.0/24"), Neighbor: c.neighbor, ASPA: c.aspa, Attrs: attrs})
		if err != nil {
			t.Fatal(err)
		}
		if s := res.Steps[len(res.Steps)-1]; s.Rule.Rule != c.want {
			t.Errorf("from %q, %q: it ends at rule %q, want %q", c.neighbor, c.aspa, s.Rule.Rule, c.want)
		}
	}
	var e *api.Error
	if _, err := daemon.TestPolicy(cfg, sources, api.PolicyTest{Policy: "no-leaks", Prefix: prefix.MustParse("203.0.113.0/24"), ASPA: "vaild"}); !errors.As(err, &e) || e.Kind != api.KindInvalid {
		t.Errorf("a state that does not exist: %v", err)
	}
}
