package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	"holdfast/internal/rib"
	"holdfast/testkit/fakerouter"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"holdfast": func() {
			os.Exit(Main(context.Background(), os.Args[1:], Streams{os.Stdin, os.Stdout, os.Stderr}))
		},
	})
}

// routerKey finds the fake router of a script.
type routerKey struct{}

// TestScripts runs testdata/*.txtar: the program as it is typed, with a fake
// router at $SOCKET. The command "told" is what the router was told to do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			r := &fakerouter.Router{}
			e.Values[routerKey{}] = r
			socket := filepath.Join(e.WorkDir, "s")
			e.Setenv("SOCKET", socket)
			stop, err := fakerouter.Serve(socket, r)
			if err != nil {
				return err
			}
			e.Defer(func() {
				if err := stop(); err != nil {
					t.Error(err)
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"told": func(ts *testscript.TestScript, neg bool, args []string) {
				r := ts.Value(routerKey{}).(*fakerouter.Router)
				want := strings.Join(args, " ")
				if slices.Contains(r.Calls(), want) == neg {
					ts.Fatalf("the router was told %q", r.Calls())
				}
			},
			"asked": func(ts *testscript.TestScript, neg bool, args []string) {
				r := ts.Value(routerKey{}).(*fakerouter.Router)
				for _, q := range r.Queries() {
					if describe(q) == strings.Join(args, " ") != neg {
						return
					}
				}
				ts.Fatalf("the router was not asked that")
			},
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				want := map[string]int{"refused": exitRefused, "rolledback": exitRolledBack, "error": exitError, "done": exitDone}[args[0]]
				r := ts.Value(routerKey{}).(*fakerouter.Router)
				r.Fail = map[string]error{
					"refused": api.Refused("it would go dark"), "rolledback": api.RolledBack("it was undone"), "error": api.Invalid("it is wrong"),
				}[args[0]]
				var out, err bytes.Buffer
				got := Main(context.Background(), append([]string{"--socket", ts.Getenv("SOCKET")}, args[1:]...), Streams{nil, &out, &err})
				if got != want {
					ts.Fatalf("exit code %d, want %d: %s", got, want, err.String())
				}
				if lines := strings.Count(err.String(), "\n"); want != exitDone && (lines != 1 || !strings.HasPrefix(err.String(), "error: it ")) {
					ts.Fatalf("the error is not one line: %q", err.String())
				}
				r.Fail = nil
			},
		},
	})
}

// describe is a query without its pointers.
func describe(q api.RouteQuery) string {
	s := fmt.Sprintf("view %d match %d limit %d", q.View, q.Match, q.Limit)
	if q.Family != nil {
		s += " " + q.Family.String()
	}
	if q.Prefix != nil {
		s += " " + q.Prefix.String()
	}
	if q.Neighbor != "" {
		s += " neighbor " + q.Neighbor
	}
	for _, c := range q.Communities {
		s += " community " + c
	}
	if q.ASPath != "" {
		s += " path " + q.ASPath
	}
	if q.OriginAS != nil {
		s += fmt.Sprint(" origin ", *q.OriginAS)
	}
	return s
}

// commands visits every command that does something.
func commands(c *cobra.Command, visit func(*cobra.Command)) {
	for _, s := range c.Commands() {
		if s.HasSubCommands() {
			commands(s, visit)
		} else if s.Name() != "help" {
			visit(s)
		}
	}
}

// TestDocs: docs/cli.md has a section for each command, with its usage and all
// of its flags.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(text), "\n## ")[1:] {
		head, body, _ := strings.Cut(s, "\n")
		if strings.HasPrefix(head, "`") { // others are about all commands
			sections[strings.Trim(head, "`")] = body
		}
	}
	a := &app{}
	root := a.root()
	commands(root, func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "holdfast ")
		body, ok := sections[name]
		if !ok {
			t.Errorf("docs/cli.md has no section ## `%s`", name)
			return
		}
		delete(sections, name)
		if usage := "holdfast " + strings.TrimSuffix(name, c.Name()) + c.Use; !strings.Contains(body, usage) {
			t.Errorf("the section of %s does not say %q", name, usage)
		}
		for _, f := range strings.Split(c.LocalFlags().FlagUsages(), "\n") {
			if i := strings.Index(f, "--"); i >= 0 {
				flag, _, _ := strings.Cut(f[i:], " ")
				if flag != "--help" && !strings.Contains(body, "`"+flag) {
					t.Errorf("the section of %s does not explain `%s`", name, flag)
				}
			}
		}
	})
	for name := range sections {
		t.Errorf("docs/cli.md explains %s, which is no command", name)
	}
}

// TestDecisionDocs: the documentation has the steps of the decision, all and in
// order.
func TestDecisionDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| step |")
	table, _, _ = strings.Cut(table, "\n\n")
	var want []string
	for s := rib.StepNone + 1; s <= rib.StepPathID; s++ {
		want = append(want, fmt.Sprintf("| %d | %s |", s, s))
	}
	row := regexp.MustCompile(`(?m)^\| \d+ \| [^|]+ \|`)
	if got := row.FindAllString(table, -1); !slices.Equal(got, want) {
		t.Errorf("docs/cli.md has\n%q, want\n%q", got, want)
	}
}

// TestHelp: every command says what it does, and can be asked for help.
func TestHelp(t *testing.T) {
	root := (&app{}).root()
	commands(root, func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: %q", c.CommandPath(), c.Short)
		}
		var out, err bytes.Buffer
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if code := Main(t.Context(), args, Streams{nil, &out, &err}); code != exitDone || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("%s --help: exit code %d: %s%s", c.CommandPath(), code, &out, &err)
		}
	})
}

func TestQuote(t *testing.T) {
	for s, want := range map[string]string{
		"show": "show", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(reboot)": "'$(reboot)'", "64500:*": "'64500:*'",
		"203.0.113.0/24": "203.0.113.0/24", "--message=a;b": "'--message=a;b'",
	} {
		if got := quote(s); got != want {
			t.Errorf("quote(%q) = %s, want %s", s, got, want)
		}
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--host", "r1", "show", "routes", "--json"}, "holdfast show routes --json"},
		{[]string{"show", "--host=r1", "summary"}, "holdfast show summary"},
		{[]string{"--host", "r1", "down", "a", "two words"}, "holdfast down a 'two words'"},
		{[]string{"--host", "r1", "--", "--host"}, "holdfast -- --host"},
	} {
		if got := remoteLine(c.args); got != c.want {
			t.Errorf("%q runs %q, want %q", c.args, got, c.want)
		}
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := startProgress(&out, "waiting")
		time.Sleep(patience - time.Millisecond)
		p.stop()
		p.stop()
		if out.Len() > 0 {
			t.Errorf("what was quick said %q", out.String())
		}
		p = startProgress(&out, "waiting")
		time.Sleep(patience + time.Millisecond)
		p.say("1,234 routes")
		time.Sleep(time.Second)
		p.stop()
		if got := out.String(); !strings.Contains(got, "waiting, 1s") || !strings.Contains(got, "1,234 routes, 2s") || !strings.HasSuffix(got, "\r\x1b[K") {
			t.Errorf("progress was %q", got)
		}
	})
	var out bytes.Buffer
	a := &app{Streams: Streams{Err: &out}}
	p := a.progress("x")
	p.say("y")
	p.stop()
	if out.Len() > 0 {
		t.Errorf("progress without a terminal: %q", out.String())
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, err bytes.Buffer
	socket := filepath.Join(t.TempDir(), "s")
	l, e := net.Listen("unix", socket)
	if e != nil {
		t.Fatal(e)
	}
	defer l.Close()
	if code := Main(ctx, []string{"--socket", socket, "show", "summary"}, Streams{nil, &out, &err}); code != exitError || err.String() != "error: interrupted\n" {
		t.Errorf("exit code %d, %q", code, err.String())
	}
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log, err := logger(&out, "json", "warn")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("loud", "neighbor", "transit-a")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, `"neighbor":"transit-a"`) {
		t.Errorf("logged %s", got)
	}
	out.Reset()
	if log, err = logger(&out, "text", "debug"); err != nil {
		t.Fatal(err)
	}
	log.Debug("detail", "prefixes", 3)
	if got := out.String(); !strings.Contains(got, "msg=detail prefixes=3") {
		t.Errorf("logged %s", got)
	}
	for _, c := range [][2]string{{"xml", "info"}, {"text", "loud"}} {
		if _, err := logger(&out, c[0], c[1]); err == nil {
			t.Errorf("there is a log of %v", c)
		}
	}
}
