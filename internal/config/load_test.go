package config

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
)

// writeFiles makes the files of a directory; names that end with .key are private.
func writeFiles(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".key") {
			mode = 0o600
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const routerText = "router {\n  asn = 64500\n  id = \"192.0.2.1\"\n}\n"

// parse loads a text that has no errors, with a router in front.
func parse(t testing.TB, text string) *Config {
	t.Helper()
	c, ds := Parse("test.hcl", []byte(routerText+text))
	if ds.HasErrors() {
		t.Fatal(ds.Err())
	}
	return c
}

func TestDirectory(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"10-router.hcl":      routerText,
		"20-sets.hcl":        "prefix_set \"s\" {\n  prefixes = [\"192.0.2.0/24\"]\n}\n",
		"30-origin.hcl":      "originate \"o\" {\n  prefixes = prefix_set.s\n}\n",
		"30-origin.hcl~":     "broken {",
		".#30-origin.hcl":    "broken {",
		"#30-origin.hcl#":    "broken {",
		".20-sets.hcl.swp":   "broken {",
		".hidden.hcl":        "broken {",
		"20-sets.hcl.bak":    "broken {",
		"README.md":          "# no configuration",
		"#40-unfinished.hcl": "broken {",
	})
	c, ds := Load(dir)
	if len(ds) > 0 {
		t.Fatal(ds)
	}
	if len(c.Originates) != 1 || len(c.Originates[0].List) != 1 || len(c.Files) != 3 {
		t.Errorf("got %d originate blocks from %v", len(c.Originates), c.Files)
	}
	if at := c.Originates[0].Pos; filepath.Base(at.File) != "30-origin.hcl" || at.Line != 1 {
		t.Errorf("originate stands at %s", at)
	}
}

func TestDirectoryDuplicates(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"a.hcl": routerText + "policy \"p\" {}\n",
		"b.hcl": "\npolicy \"p\" {}\n" + routerText,
	})
	_, ds := Load(dir)
	var all []string
	for _, d := range ds {
		all = append(all, strings.ReplaceAll(d.String(), dir+"/", ""))
	}
	want := []string{
		`b.hcl:2:8: error: policy "p" is already declared at a.hcl:5:8: rename or remove one of them`,
		`b.hcl:3:1: error: there are two router blocks; the first is at a.hcl:1:1: put everything into one block`,
	}
	if !slices.Equal(all, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(all, "\n"), strings.Join(want, "\n"))
	}
}

// A file that cannot be parsed must not make everything an error that refers
// to what it has.
func TestBrokenFileOfDirectory(t *testing.T) {
	dir := writeFiles(t, map[string]string{
		"a.hcl": routerText + "originate \"o\" {\n  prefixes = prefix_set.s\n}\n",
		"b.hcl": "prefix_set \"s\" {",
	})
	_, ds := Load(dir)
	if len(ds) != 1 || filepath.Base(ds[0].Pos.File) != "b.hcl" {
		t.Errorf("got %v", ds)
	}
}

func TestNoFile(t *testing.T) {
	for _, path := range []string{"testdata/none.hcl", t.TempDir(), os.DevNull} {
		if _, ds := Load(path); len(ds) != 1 || !ds.HasErrors() {
			t.Errorf("Load(%q): %v, want one error", path, ds)
		}
	}
}

func TestManyInline(t *testing.T) {
	for _, block := range []string{"prefix_set \"s\" {\n  prefixes = [%s]\n}\n", "originate \"s\" {\n  prefixes = [%s]\n}\n"} {
		for n, want := range map[int]bool{mostInline: false, mostInline + 1: true} {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "\"10.%d.%d.0/24\",\n", i/256, i%256)
			}
			_, ds := Parse("test.hcl", fmt.Appendf(nil, routerText+block, b.String()))
			if ds.HasErrors() {
				t.Fatal(ds.Err())
			}
			got := slices.ContainsFunc(ds, func(d Diagnostic) bool { return strings.Contains(d.Message, "in place") })
			if got != want {
				t.Errorf("%d entries in %.10s: warned: %v, want %v", n, block, got, want)
			}
		}
	}
}

func TestPasswords(t *testing.T) {
	const secret = "correct horse"
	dir := writeFiles(t, map[string]string{
		"a.hcl": routerText + `
neighbor "a" {
  address       = "192.0.2.9"
  asn           = 64500
  password_file = "a.key"
}
neighbor "b" {
  address       = "192.0.2.10"
  asn           = 64500
  password_file = "open.txt"
}
`,
		"a.key":    secret + "\n",
		"open.txt": secret,
	})
	c, ds := Load(dir)
	if ds.HasErrors() || len(ds) != 1 || !strings.Contains(ds[0].Message, "can be read by every user") || ds[0].Pos.Line != 14 {
		t.Fatalf("got %v", ds)
	}
	a, b := c.Neighbors[0], c.Neighbors[1]
	if a.Transport.Password.Reveal() != secret || a.Transport.Password != b.Transport.Password {
		t.Error("the password is not that of the file")
	}
	asJSON, err := json.Marshal(c.Neighbors)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		fmt.Sprint(c.Neighbors[0]), fmt.Sprintf("%+v %#v", *a, *a), fmt.Sprintf("%v %+v", a.Own, *a.Own.Password),
		fmt.Sprintf("%s %q %x %d", a.Transport.Password, a.Transport.Password, a.Transport.Password, a.Transport.Password),
		string(asJSON), string(Print(c)),
	} {
		if strings.Contains(s, secret) || strings.Contains(s, fmt.Sprintf("%x", secret)) {
			t.Errorf("the password shows: %s", s)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.key"), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, _ := Load(dir)
	if again.Neighbors[0].Transport == a.Transport || again.Equal(c) {
		t.Error("another password is not noticed")
	}
}

func TestErr(t *testing.T) {
	_, ds := Parse("test.hcl", []byte("router {}\n"))
	const want = `test.hcl:1:1: error: router has no asn: add asn = 64500 (and 1 more error)`
	if err := ds.Err(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if err := (Diagnostics{{Severity: Warning}}).Err(); err != nil {
		t.Errorf("a warning is an error: %v", err)
	}
}

func TestDefaults(t *testing.T) {
	c := parse(t, `
neighbor "e" {
  address = "192.0.2.9"
  asn     = 64501
}
neighbor "i" {
  address = "2001:db8::9"
  asn     = 64500
  families = ["ipv4", "ipv6"]
}
`)
	r := c.Router
	if fmt.Sprint(r.Listen) != "[[::]:179 0.0.0.0:179]" || !r.Kernel || r.DefaultLocalPref != 100 ||
		r.AlwaysCompareMED || r.ClusterID != r.ID {
		t.Errorf("router %+v", r)
	}
	e, i := c.Neighbors[0], c.Neighbors[1]
	id := netip.MustParseAddr("192.0.2.1")
	want := Transport{
		ASN: 64501, LocalASN: 64500, RouterID: id, Address: netip.MustParseAddr("192.0.2.9"), Port: 179, TTL: 1, DSCP: 48,
		HoldTime: 90 * time.Second, Keepalive: 30 * time.Second, UserTimeout: 8 * time.Minute, Families: [prefix.Families]bool{true, false}, ExtendedMessages: true,
		GracefulRestart: RestartBoth, RestartTime: 2 * time.Minute,
	}
	if e.Transport != want {
		t.Errorf("eBGP transport\n%+v, want\n%+v", e.Transport, want)
	}
	want = Transport{
		ASN: 64500, LocalASN: 64500, RouterID: id, Address: netip.MustParseAddr("2001:db8::9"), Port: 179, TTL: 255, DSCP: 48,
		HoldTime: 90 * time.Second, Keepalive: 30 * time.Second, UserTimeout: 8 * time.Minute, Families: [prefix.Families]bool{true, true}, ExtendedMessages: true, GracefulRestart: RestartBoth, RestartTime: 2 * time.Minute,
		ExtendedNextHop: true,
	}
	if i.Transport != want {
		t.Errorf("iBGP transport\n%+v, want\n%+v", i.Transport, want)
	}
	if !e.EBGP() || !e.EnforceFirstAS || i.EBGP() || i.EnforceFirstAS || e.Families[0].MaxPrefixes.Limit != 0 {
		t.Errorf("eBGP %+v, iBGP %+v", e, i)
	}
}

// TestDualAS: which of our two AS numbers a neighbor is told first, and what
// counts as our AS (RFC 7705). The router's is 64500.
func TestDualAS(t *testing.T) {
	for _, test := range []struct {
		arguments    string
		local, other uint32
		ebgp         bool
	}{
		{"asn = 64601\n local_asn = 64510", 64510, 0, true},
		{"asn = 64601\n local_asn = 64510\n dual_as = true", 64510, 64500, true},
		{"asn = 64500\n local_asn = 64510\n dual_as = true", 64500, 64510, false},
		{"asn = 64510\n local_asn = 64510\n dual_as = true", 64500, 64510, false},
		{"asn = 64601\n local_asn = 64500\n dual_as = true", 64500, 0, true},
	} {
		n := parse(t, "neighbor \"n\" {\n address = \"192.0.2.9\"\n "+test.arguments+"\n}\n").Neighbors[0]
		if l, o := n.Transport.LocalASN, n.Transport.OtherASN; l != test.local || o != test.other || n.EBGP() != test.ebgp {
			t.Errorf("%s: AS %d, then %d, eBGP %v", test.arguments, l, o, n.EBGP())
		}
	}
	const dual = "\n addresses = [\"192.0.2.0/24\"]\n local_asn = 64510\n dual_as = true\n}\n"
	c := parse(t, "neighbor_range \"others\" {\n asns = \"64500-64601\""+dual+"neighbor_range \"own\" {\n asn = 64500"+strings.Replace(dual, ".2.0", ".3.0", 1))
	for asn, want := range map[uint32][2]bool{64500: {false, true}, 64510: {false, true}, 64601: {true, false}, 64602: {false, false}} {
		if got := [2]bool{c.Ranges[0].Allows(asn), c.Ranges[1].Allows(asn)}; got != want {
			t.Errorf("AS %d is allowed: %v, want %v", asn, got, want)
		}
	}
}

// TestRouteServerClient: a route server says in its family blocks which routes its
// clients get as they came, and a client takes paths that begin with any AS
// (RFC 7947).
func TestRouteServerClient(t *testing.T) {
	c := parse(t, `
policy "all" {
  rule "all" { then = "accept" }
}
neighbor "client" {
  address    = "192.0.2.9"
  asn        = 64601
  local_role = "rs"
  families   = ["ipv4", "ipv6"]
  import     = policy.all
  export     = policy.all
  family "ipv6" { route_server_client = true }
}
neighbor "server" {
  address    = "192.0.2.10"
  asn        = 64602
  local_role = "rs-client"
}
neighbor "strict" {
  address          = "192.0.2.11"
  asn              = 64603
  local_role       = "rs-client"
  enforce_first_as = true
}
`)
	client, server, strict := c.Neighbors[0], c.Neighbors[1], c.Neighbors[2]
	if client.Families[prefix.IPv4].RouteServerClient || !client.Families[prefix.IPv6].RouteServerClient || !client.EnforceFirstAS {
		t.Errorf("the client is %+v", client)
	}
	if server.EnforceFirstAS || !strict.EnforceFirstAS {
		t.Errorf("first AS enforced: %v for the server, %v where it is written", server.EnforceFirstAS, strict.EnforceFirstAS)
	}
}

func TestInheritance(t *testing.T) {
	c := parse(t, `
policy "a" {}
policy "b" {}
policy "c" {}
policy "d" {}
group "g" {
  asn = 64501
  import = policy.a
  export = policy.a
  hold_time = "30s"
  max_prefixes_action = "warn"
  family "ipv4" {
    import = policy.b
    max_prefixes = 100
  }
}
neighbor "n" {
  group = group.g
  address = "192.0.2.9"
  hold_time = "60s"
  import = policy.c
  max_prefixes_action = "restart"
  family "ipv6" { export = [policy.d, policy.a] }
}
neighbor "m" {
  group = group.g
  address = "192.0.2.10"
  families = ["ipv6"]
}
`)
	n := c.Neighbors[0]
	if n.Transport.HoldTime != time.Minute || n.Transport.Keepalive != 20*time.Second {
		t.Errorf("hold time %s, keepalive %s", n.Transport.HoldTime, n.Transport.Keepalive)
	}
	if n.Transport.Families != [prefix.Families]bool{true, true} {
		t.Errorf("families %v", n.Transport.Families)
	}
	for f, want := range []string{
		"[b] [a] {100 80 false restart 30m0s}",
		"[c] [d a] {0 0 false shutdown 0s}",
	} {
		fam := n.Families[f]
		if got := fmt.Sprint(fam.Import, fam.Export, fam.MaxPrefixes); got != want {
			t.Errorf("family %d: %s, want %s", f, got, want)
		}
	}
	if m := c.Neighbors[1]; m.Transport.Families != [prefix.Families]bool{false, true} || m.Families[1].Import[0] != "a" {
		t.Errorf("neighbor m: %+v", m)
	}
}

func TestSlots(t *testing.T) {
	c := parse(t, `
prefix_set "a" {
  prefixes = ["192.0.2.0/24"]
}
neighbor "one" {
  address = "192.0.2.9"
  asn = 64501
  prefixes = prefix_set.a
  origin_asns = 64501
}
neighbor "merged" {
  address = "192.0.2.10"
  asn = 64502
  prefixes = [prefix_set.a, "198.51.100.0/24 le 25"]
}
`)
	one, merged := c.Neighbors[0], c.Neighbors[1]
	if one.Prefixes != c.PrefixSets[0].Set || !one.OriginASNs.Contains(64501) || merged.OriginASNs != nil {
		t.Errorf("slots of one: %v %v", one.Prefixes, one.OriginASNs)
	}
	for p, want := range map[string]bool{"192.0.2.0/24": true, "198.51.100.128/25": true, "198.51.100.0/26": false} {
		if got := merged.Prefixes.Contains(prefix.MustParse(p)); got != want {
			t.Errorf("merged slot has %s: %v, want %v", p, got, want)
		}
	}
}

// What a reload asks: does the session need a reset, has anything changed?
func TestNeighborEqual(t *testing.T) {
	const base = `
policy "p" {}
policy "q" {}
neighbor "n" {
  address = "192.0.2.9"
  asn = 64501
  import = policy.p
}
`
	n := parse(t, base).Neighbors[0]
	for _, c := range []struct {
		old, with        string
		transport, equal bool
	}{
		{"asn = 64501", "# a comment\n  asn    = 64501", true, true},
		{"asn = 64501", "asn = 64501\n port = 179", true, true},
		{"import = policy.p", "import = policy.q", true, false},
		{"import = policy.p", "import = policy.p\n max_prefixes = 10", true, false},
		{"import = policy.p", "import = policy.p\n description = \"x\"", true, false},
		{"import = policy.p", "import = policy.p\n prefixes = \"192.0.2.0/24\"", true, false},
		{"import = policy.p", "import = policy.p\n connect_retry = \"5s\"", true, false},
		{"asn = 64501", "asn = 64502", false, false},
		{"asn = 64501", "asn = 64501\n hold_time = \"30s\"", false, false},
		{"asn = 64501", "asn = 64501\n add_path = \"receive\"", false, false},
		{"asn = 64501", "asn = 64501\n local_role = \"customer\"", false, false},
		{"asn = 64501", "asn = 64501\n families = [\"ipv4\", \"ipv6\"]", false, false},
		{"192.0.2.9", "192.0.2.10", false, false},
	} {
		m := parse(t, strings.Replace(base, c.old, c.with, 1)).Neighbors[0]
		if got := m.Transport == n.Transport; got != c.transport {
			t.Errorf("%q: transport equal: %v, want %v", c.with, got, c.transport)
		}
		if got := m.Equal(n); got != c.equal {
			t.Errorf("%q: equal: %v, want %v", c.with, got, c.equal)
		}
	}
}

func TestRoles(t *testing.T) {
	// RFC 9234 section 4.1, table 1; draft-ietf-sidrops-aspa-verification section 6
	up, down := policy.Verification{Direction: rpki.Upstream, First: 64501}, policy.Verification{Direction: rpki.Downstream, First: 64501}
	for role, want := range map[string]struct {
		capability uint8
		relation   policy.Relation
		paths      policy.Verification
	}{
		"provider":  {0, policy.Customer, up},
		"rs":        {1, policy.Peer, up},
		"rs-client": {2, policy.Peer, policy.Verification{Direction: rpki.Upstream}},
		"customer":  {3, policy.Provider, down},
		"peer":      {4, policy.Peer, up},
	} {
		c := parse(t, "neighbor \"n\" {\n  address = \"192.0.2.9\"\n  asn = 64501\n  local_role = \""+role+"\"\n}\n")
		r := c.Neighbors[0].Transport.Role
		if r.Capability() != want.capability || r.Relation() != want.relation || r.String() != role || c.Neighbors[0].Verification() != want.paths {
			t.Errorf("%s: %v, capability %d, the neighbor is %d", role, r, r.Capability(), r.Relation())
		}
	}
}

func TestTextFileOfMany(t *testing.T) {
	dir := writeFiles(t, map[string]string{"a.hcl": routerText + "prefix_set \"s\" {\n  prefixes_file = \"many.txt\"\n}\n"})
	writeMany(t, filepath.Join(dir, "many.txt"), 20_000)
	c, ds := Load(filepath.Join(dir, "a.hcl"))
	if ds.HasErrors() {
		t.Fatal(ds.Err())
	}
	if n := c.PrefixSets[0].Set.Len(); n != 20_000 {
		t.Errorf("%d entries", n)
	}
	if want := []string{filepath.Join(dir, "a.hcl"), filepath.Join(dir, "many.txt")}; !slices.Equal(c.Files, want) {
		t.Errorf("read %v, want %v", c.Files, want)
	}
}

// writeMany writes n different prefixes.
func writeMany(t testing.TB, name string, n int) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		fmt.Fprintf(w, "%d.%d.%d.0/24\n", 1+i>>16, i>>8&255, i&255)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkMillionPrefixes(b *testing.B) {
	dir := writeFiles(b, map[string]string{"a.hcl": routerText + "prefix_set \"s\" {\n  prefixes_file = \"many.txt\"\n}\n"})
	writeMany(b, filepath.Join(dir, "many.txt"), 1_000_000)
	for b.Loop() {
		c, ds := Load(filepath.Join(dir, "a.hcl"))
		if ds.HasErrors() || c.PrefixSets[0].Set.Len() != 1_000_000 {
			b.Fatal(ds)
		}
	}
}
