package config

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// samples has good values for every argument of groups and neighbors, so that
// random blocks can be made of them.
var samples = map[string][]string{
	"graceful_restart":            {"true", "false", `"helper"`},
	"graceful_restart_time":       {`"1s"`, `"4095s"`},
	"stale_routes_time":           {`"1s"`, `"24h"`},
	"long_lived_graceful_restart": {`"0s"`, `"24h"`},
	"group":                       {"group.g"},
	"require_role":                {"true", "false"},
	"graceful_shutdown":           {"true", "false"},
	"accept_graceful_shutdown":    {"true", "false"},
	"table":                       {"table.main", "table.t"},
	"address":                     {`"192.0.2.9"`, `"2001:db8::9"`},
	"interface":                   {`"eth0"`},
	"prefixes":                    {"prefix_set.a", `["192.0.2.0/24 le 30", prefix_set.a]`, `"2001:db8::/32"`},
	"origin_asns":                 {"as_set.a", "64501", `[as_set.a, "64502-64510", 7]`},
	"addresses":                   {`["192.0.2.0/24", "2001:db8::/64"]`, `"198.51.100.0/25"`},
	"asns":                        {"as_set.a", `"64502-64510"`, "[7, as_set.a]"},
	"limit":                       {"1", "65535"},
	"description":                 {`"x"`, `"a \"b\" $${c} %%{d} \\ \t é"`, `""`},
	"tags":                        {`["a", "b"]`, `"a"`, "[]"},
	"shutdown":                    {"true", "false", `"a reason"`},
	"asn":                         {"64500", "64501", "4200000000"},
	"local_asn":                   {"64502", "64500"},
	"local_asn_options":           {`"send-both"`, `["prepend-inbound", "send-both"]`, "[]"},
	"dual_as":                     {"true", "false"},
	"local_role":                  {`"provider"`, `"rs"`, `"rs-client"`, `"customer"`, `"peer"`, `"none"`},
	"local_address":               {`"192.0.2.1"`, `"2001:db8::1"`},
	"port":                        {"179", "65535"},
	"passive":                     {"true", "false"},
	"multihop":                    {"1", "255"},
	"ttl_security":                {"1", "254"},
	"mss":                         {"88", "32767"},
	"dscp":                        {"0", "63"},
	"password_file":               {`"testdata/good/transit-a.key"`},
	"hold_time":                   {`"0s"`, `"3s"`, `"18h12m15s"`},
	"keepalive":                   {`"1s"`, `"2s"`},
	"connect_retry":               {`"1s"`, `"1h"`},
	"idle_hold":                   {`"5s"`},
	"tcp_user_timeout":            {`"0s"`, `"30s"`},
	"fast_fallover":               {"true", "false"},
	"bfd":                         {"true", "false"},
	"bfd_interval":                {`"10ms"`, `"1s"`, `"1m"`},
	"bfd_min_receive":             {`"50ms"`},
	"bfd_multiplier":              {"1", "255"},
	"families":                    {`["ipv4"]`, `"ipv6"`, `["ipv6", "ipv4"]`},
	"extended_messages":           {"true", "false"},
	"extended_next_hop":           {"true", "false"},
	"enforce_first_as":            {"true", "false"},
	"allow_own_as":                {"0", "10"},
	"reject_as_sets":              {"true", "false"},
	"max_as_path_length":          {"1", "4095"},
	"import":                      {"policy.p", "[policy.p, policy.q]", "[]"},
	"export":                      {"policy.q", "[policy.q, policy.p]"},
	"next_hop":                    {`"auto"`, `"self"`, `"unchanged"`, `"192.0.2.3"`, `"2001:db8::3"`},
	"max_prefixes":                {"0", "1", "4294967295"},
	"max_prefixes_warn":           {"1", "100"},
	"max_prefixes_count":          {`"received"`, `"accepted"`},
	"max_prefixes_action":         {`"shutdown"`, `"restart"`, `"warn"`},
	"max_prefixes_restart":        {`"1s"`, `"168h"`},
	"max_prefixes_out":            {"0", "1", "2147483647"},
	"add_path":                    {`"none"`, `"receive"`, `"send"`, `"both"`},
	"add_path_send":               {`"all"`, "1", "255"},
	"default_originate":           {"true", "false"},
	"send_suppressed":             {"true", "false"},
	"remove_private_as":           {"true", "false"},
	"as_override":                 {"true", "false"},
	"route_reflector_client":      {"true", "false"},
	"route_server_client":         {"true", "false"},
}

// arguments writes a random choice of arguments.
func arguments[T any](t *rapid.T, s schema[T], always ...string) string {
	var b strings.Builder
	for _, name := range s.names() {
		values := samples[name]
		if len(values) == 0 {
			t.Fatalf("samples has nothing for %s", name)
		}
		needed := false
		for _, a := range always {
			needed = needed || a == name
		}
		if needed || rapid.IntRange(0, 9).Draw(t, "give "+name) == 9 {
			fmt.Fprintf(&b, "  %s = %s\n", name, rapid.SampledFrom(values).Draw(t, name))
		}
	}
	return b.String()
}

func familyTexts(t *rapid.T) string {
	var b strings.Builder
	for _, f := range []string{"ipv4", "ipv6"} {
		if rapid.Bool().Draw(t, f) {
			fmt.Fprintf(&b, "  family %q {\n%s  }\n", f, arguments(t, perFamily))
		}
	}
	return b.String()
}

// Whatever is read is the same when it is printed and read again, and random
// settings never stop the reader from saying where an error is.
func TestPrintAndParse(t *testing.T) {
	good := 0
	rapid.Check(t, func(t *rapid.T) {
		text := routerText + "table \"t\" {\n  id = 7\n}\npolicy \"p\" {}\npolicy \"q\" {}\nprefix_set \"a\" {\n  prefixes = [\"10.0.0.0/8\"]\n}\nas_set \"a\" {\n  asns = [1]\n}\n" +
			"group \"g\" {\n" + arguments(t, groupBlock) + familyTexts(t) + "}\n" +
			"neighbor \"n\" {\n" + arguments(t, neighborBlock, "address", "asn") + familyTexts(t) + "}\n" +
			"neighbor_range \"r\" {\n" + arguments(t, rangeBlock, "addresses", "asn") + familyTexts(t) + "}\n"
		c, ds := Parse("test.hcl", []byte(text))
		if ds.HasErrors() {
			for _, d := range ds {
				if d.Pos.Line == 0 {
					t.Fatalf("%s has no line", d)
				}
			}
			return
		}
		good++
		same(t, c)
	})
	if good == 0 {
		t.Error("no random configuration was good")
	}
}

func same(t interface{ Fatalf(string, ...any) }, c *Config) {
	printed := Print(c)
	again, ds := Parse(c.Path, printed)
	if ds.HasErrors() {
		t.Fatalf("cannot read what was printed: %v\n%s", ds.Err(), printed)
	}
	if !c.Equal(again) {
		t.Fatalf("not the same when printed and read:\n%s\nthen\n%s", printed, Print(again))
	}
	if f := Format(printed); !bytes.Equal(f, printed) {
		t.Fatalf("Format changes what Print writes:\n%s", f)
	}
}

func TestFormat(t *testing.T) {
	const text = "router{\nasn=64500 # ours\n  id    = \"192.0.2.1\"\n}\n\n\nneighbor \"a\"   {\n// left of it\nfamily \"ipv4\" { max_prefixes=10 }\n  tags=[\"a\",\n\"b\"]\n}\n"
	const want = "router {\n  asn = 64500 # ours\n  id  = \"192.0.2.1\"\n}\n\n\nneighbor \"a\" {\n  // left of it\n  family \"ipv4\" { max_prefixes = 10 }\n  tags = [\"a\",\n  \"b\"]\n}\n"
	if got := string(Format([]byte(text))); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, file := range glob(t, "testdata/*/*.hcl") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		once := Format(text)
		if twice := Format(once); !bytes.Equal(once, twice) {
			t.Errorf("%s changes when it is formatted again:\n%s\nthen\n%s", file, once, twice)
		}
	}
}

// endless is syntax that nests or goes on n times.
func endless(n int) []string {
	return []string{
		strings.Repeat("[", n),
		"a = " + strings.Repeat("-", n) + "1",
		"a = " + strings.Repeat("!", n) + "1",
		"a = " + strings.Repeat("x ? ", n) + "1",
		"a = " + strings.Repeat("1 + ", n) + "1",
		"a = " + strings.Repeat(`"${`, n) + "1",
		"a = " + strings.Repeat(`f(`, n) + "1",
		"a = " + strings.Repeat(`{a=`, n) + "1",
		"a = x" + strings.Repeat(".a", n),
		"a = x" + strings.Repeat("[*]", n),
		strings.Repeat("a {\n", n),
		strings.Repeat("a ", n) + "{}",
		"a \"" + strings.Repeat("$", n) + "\" {}",
	}
}

// The parser of HCL is recursive, and a Go program that is out of stack is
// dead: it must not see what nests without end.
func TestEndless(t *testing.T) {
	for _, text := range endless(20_000) {
		if _, ds := Parse("test.hcl", []byte(text)); !ds.HasErrors() || len(ds) > 2*mostRefused {
			t.Errorf("%.20s…: %d diagnostics", text, len(ds))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good/*.hcl", "testdata/bad/*.hcl"} {
		for _, file := range glob(f, pattern) {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	for _, text := range endless(40) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, ds := Parse("test.hcl", text)
		if text := ds.Text(); len(ds) > 0 && !strings.HasSuffix(text, "\n") {
			t.Errorf("%q has no end", text)
		}
		if !ds.HasErrors() {
			same(t, c)
		}
	})
}
