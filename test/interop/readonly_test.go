//go:build interop

package interop

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"holdfast/internal/api"
	"holdfast/internal/cli"
	"holdfast/testkit/netlab"
)

// What becomes of a command that may only look.
const (
	looks   = "looks"   // it does what it always does
	refused = "refused" // it is told to use the operators' socket
	watches = "watches" // it goes on and on
	apart   = "apart"   // it has nothing to do with the running router
)

// trials has for every command how to try it, and what must come of it.
var trials = map[string]struct {
	outcome string
	args    string
}{
	"show summary": {looks, ""}, "show neighbors": {looks, ""}, "show neighbor": {looks, "n"}, "show routes": {looks, ""},
	"show policy": {looks, ""}, "show memory": {looks, ""}, "show nexthops": {looks, ""}, "show rpki": {looks, ""}, "show bfd": {looks, ""},
	"lookup": {looks, "203.0.113.1"}, "explain": {looks, "203.0.113.0/24"}, "version": {looks, ""}, "trace": {looks, "n --for 1s"}, "monitor": {watches, ""},
	"test policy": {looks, "all 203.0.113.0/24"},

	"reload": {refused, ""}, "clear neighbor": {refused, "all"}, "down": {refused, "n maintenance"}, "enable": {refused, "n"},
	"announce": {refused, "203.0.113.0/24"}, "withdraw": {refused, "203.0.113.0/24"}, "show announcements": {looks, ""},
	"check": {refused, "--running"}, "shutdown": {refused, "--now"},

	"init": {apart, "--asn 64500 --id 192.0.2.1 --prefix 203.0.113.0/24 CONFIG"},
	"fmt":  {apart, "--check CONFIG"}, "run": {apart, "--config CONFIG --state STATE"}, "completion": {apart, "bash"},
	"demo": {apart, "--json"}, "replay": {apart, "CONFIG --to 127.0.0.1:1"},
}

// telling is what in the router's answers does not move by itself.
var telling = regexp.MustCompile(`"(revision|state|shutdown|prefix)": ?[^,]+`)

// words are the names of all commands that do something.
func words(c *cobra.Command) (all []string) {
	for _, s := range c.Commands() {
		switch {
		case s.HasSubCommands():
			all = append(all, words(s)...)
		case s.Name() != "help":
			all = append(all, strings.TrimPrefix(s.CommandPath(), "holdfast "))
		}
	}
	return all
}

// TestReadOnlyCommands: as a user who may open nothing but the read-only socket,
// every command that there is changes nothing, and says what it would need.
func TestReadOnlyCommands(t *testing.T) {
	netlab.NeedTools(t, "setpriv")
	s := newService(t)
	neighbor := "neighbor \"n\" {\n  address = \"127.0.0.2\"\n  asn = 64501\n  passive = true\n}\n"
	routes := "originate \"all\" {\n  prefixes = [\"203.0.113.0/24\"]\n  policy = policy.all\n}\npolicy \"all\" {\n  rule \"all\" { then = \"accept\" }\n}\n"
	conf := s.configure(`"127.0.0.1:179"`, neighbor+routes)
	s.start(s.run("--readonly-group", "nogroup")...)
	bin := s.reachable()
	try := func(socket, name string) (stderr string, err error) {
		args := strings.Fields(name + " " + strings.NewReplacer("CONFIG", conf, "STATE", filepath.Join(s.node.Dir, "state")).Replace(trials[name].args))
		cmd := s.node.Command("timeout", append([]string{"3", "setpriv", "--reuid", nobody, "--regid", "nogroup", "--clear-groups", "--no-new-privs", bin, "--socket", socket}, args...)...)
		var out bytes.Buffer
		cmd.Stderr = &out
		err = cmd.Run()
		return out.String(), err
	}
	// state is what somebody could have changed.
	state := func() string {
		all := s.proc.Log()
		for _, question := range []string{"show summary --json", "show neighbors --json", "show routes --json"} {
			out, err := s.ask(strings.Fields(question)...)
			if err != nil {
				t.Fatal(err)
			}
			all += fmt.Sprintln(question, telling.FindAllString(out, -1))
		}
		for _, pattern := range []string{"state/*", "run/*", "*.hcl"} {
			files, err := filepath.Glob(filepath.Join(s.node.Dir, pattern))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if filepath.Base(f) == "run.json" {
					continue // which changes by itself
				}
				info, err := os.Stat(f)
				if err != nil {
					t.Fatal(err)
				}
				all += fmt.Sprintln(f, info.Mode(), info.Size(), info.ModTime())
			}
		}
		return all
	}
	// A reload, if anybody could do it, would change much.
	s.configure(`"127.0.0.1:179"`, "")
	before := state()
	for _, name := range words(cli.Root()) {
		trial, ok := trials[name]
		if !ok {
			t.Errorf("there is no trial of %q: enter what must come of it without the operators' socket", name)
			continue
		}
		stderr, err := try(s.socket, name)
		switch {
		case trial.outcome == looks && err != nil:
			t.Errorf("%s: %v: %s", name, err, stderr)
		case trial.outcome == watches && (cmp.Or(err, errors.New("done")).Error() != "exit status 124" || stderr != ""):
			t.Errorf("%s: %v: %s", name, err, stderr)
		case trial.outcome == refused:
			want := "error: this needs more than the read-only socket: use " + s.socket + ", which root and group root may open\n"
			if err == nil || stderr != want {
				t.Errorf("%s: %v: %s, want %s", name, err, stderr, want)
			}
			if stderr, err = try(api.ReadOnlySocket(s.socket), name); err == nil || stderr != want {
				t.Errorf("%s: on the read-only socket itself: %v: %s", name, err, stderr)
			}
		case trial.outcome == apart && name != "completion" && err == nil:
			t.Errorf("%s did something", name)
		}
		if now := state(); now != before {
			t.Errorf("%s has changed something:\n%s\nwas\n%s", name, now, before)
			before = now
		}
	}
	if !strings.Contains(before, `"state":`) || !strings.Contains(before, `"203.0.113.0/24"`) || !strings.Contains(before, `"revision":`) {
		t.Errorf("this is not all that could change:\n%s", before)
	}
	// Root can do all that, so that there was something to refuse.
	if _, err := s.ask("reload"); err != nil {
		t.Error(err)
	}
	if state() == before {
		t.Error("a reload is not seen")
	}
}

// TestSocketGroups: members of a group look or operate, others do neither and
// are told who may.
func TestSocketGroups(t *testing.T) {
	netlab.NeedTools(t, "setpriv")
	s := newService(t)
	mine(t, s.configure(`"127.0.0.1:179"`, ""))
	s.start(s.run("--user", nobody, "--operator-group", "operator", "--readonly-group", "games")...)
	bin := s.reachable()
	as := func(group string, args ...string) error {
		var stderr bytes.Buffer
		cmd := s.node.Command("setpriv", append([]string{"--reuid", "daemon", "--regid", group, "--clear-groups", bin, "--socket", s.socket}, args...)...)
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			return errors.New(stderr.String())
		}
		return nil
	}
	for _, args := range [][]string{{"show", "summary"}, {"reload"}} {
		if err := as("operator", args...); err != nil {
			t.Errorf("operator: %q: %v", args, err)
		}
	}
	if err := as("games", "show", "summary"); err != nil {
		t.Error(err)
	}
	if err := as("games", "reload"); err == nil || !strings.Contains(err.Error(), "which root and group operator may open") {
		t.Errorf("games: reload: %v", err)
	}
	if err := as("daemon", "show", "summary"); err == nil || !strings.Contains(err.Error(), "permission denied; root and group operator may, and group games may look") {
		t.Errorf("daemon: %v", err)
	}
	s.fails(`there is no group "nosuchgroup"`, s.run("--user", nobody, "--operator-group", "nosuchgroup")...)
}
