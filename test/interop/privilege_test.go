//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"holdfast/testkit/manager"
	"holdfast/testkit/netlab"
)

// nobody is an account that every system has.
const nobody, nobodyID = "nobody", 65534

// mine makes files those of nobody.
func mine(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if err := os.Chown(p, nobodyID, -1); err != nil {
			t.Fatal(err)
		}
	}
}

// service is a router that drops its privileges.
type service struct {
	t      *testing.T
	node   *netlab.Node
	bin    string
	socket string
	proc   *netlab.Process
	env    []string // beside ours
	kernel bool     // with kernel routes
}

func newService(t *testing.T) *service {
	n := netlab.New(t).Node("hf")
	return &service{t: t, node: n, bin: netlab.HoldfastBinary(t), socket: filepath.Join(n.Dir, "run", "s")}
}

// configure writes the configuration; it belongs to root.
func (s *service) configure(listen, more string) (path string) {
	return s.node.Write("holdfast.hcl", fmt.Sprintf("router {\n  asn = 64500\n  id = \"192.0.2.1\"\n  listen = [%s]\n  kernel = %v\n}\n%s", listen, s.kernel, more))
}

// run is the command line of the router.
func (s *service) run(more ...string) []string {
	return append([]string{s.bin, "run", "--config", filepath.Join(s.node.Dir, "holdfast.hcl"),
		"--state", filepath.Join(s.node.Dir, "state"), "--socket", s.socket}, more...)
}

// reachable is the program where every user gets at it.
func (s *service) reachable() string {
	s.t.Helper()
	bin := filepath.Join(s.node.Dir, "holdfast")
	if out, err := exec.Command("cp", s.bin, bin).CombinedOutput(); err != nil {
		s.t.Fatalf("%v: %s", err, out)
	}
	return bin
}

// start starts it and waits until it runs.
func (s *service) start(command ...string) {
	s.t.Helper()
	cmd := s.node.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), s.env...)
	s.proc = s.node.Start("holdfast", cmd)
	netlab.Await(s.t, netlab.Patience, "answer of holdfast", func() error {
		if err := s.proc.Running(); err != nil {
			s.t.Fatal(err)
		}
		_, err := s.ask("show", "summary")
		return err
	})
}

// ask runs a command as root.
func (s *service) ask(args ...string) (string, error) {
	return s.node.Output(s.bin, append(args, "--socket", s.socket)...)
}

// fails runs the router, which must end with an error that says this.
func (s *service) fails(want string, command ...string) {
	s.t.Helper()
	var stderr bytes.Buffer
	cmd := s.node.Command(command[0], command[1:]...)
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || !regexp.MustCompile(want).Match(stderr.Bytes()) {
		s.t.Errorf("%q ends with %v, which is not about %q:\n%s", command, err, want, &stderr)
	}
}

// kept are CAP_NET_BIND_SERVICE 10, CAP_NET_ADMIN 12, CAP_NET_RAW 13 and
// CAP_SYS_NICE 23.
const kept = "0000000000803400"

// rights checks what every thread of the router may do, and could get.
func (s *service) rights(bound string) {
	s.t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.proc.Pid()))
	if err != nil || len(threads) < 3 {
		s.t.Fatalf("the router has threads %q: %v", threads, err)
	}
	for _, name := range threads {
		text, err := os.ReadFile(name)
		if err != nil {
			s.t.Fatal(err)
		}
		status := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			status[key] = strings.TrimSpace(value)
		}
		id := fmt.Sprint(nobodyID)
		for key, want := range map[string]string{
			"Uid": strings.Join([]string{id, id, id, id}, "\t"), "CapPrm": kept, "CapEff": kept, "CapBnd": bound,
			"CapInh": "0000000000000000", "CapAmb": "0000000000000000", "NoNewPrivs": "1",
		} {
			if status[key] != want {
				s.t.Errorf("%s: %s is %q, want %q", name, key, status[key], want)
			}
		}
	}
}

const everybody = "policy \"all\" {\n  rule \"all\" {\n    match { prefix = prefix_set.%s }\n    then = \"accept\"\n  }\n}\nprefix_set \"%s\" {\n  prefixes_file = \"%s\"\n}\n"

// TestBecomesUser: root starts the router, which becomes another user on all
// its threads, and still makes kernel routes, opens ports and reads what is new
// at a reload.
func TestBecomesUser(t *testing.T) {
	s := newService(t)
	s.kernel = true
	static := "static \"s\" {\n  prefixes = [\"203.0.113.0/24\"]\n  next_hop = \"10.0.0.254\"\n}\n"
	conf := s.configure(`"127.0.0.1:179"`, static)
	run := s.run("--user", nobody)
	s.fails(`(?s)holdfast\.hcl: error: cannot read the file: permission denied.*let the user that holdfast runs as read it \(chown`, run...)
	s.fails(`^error: there is no user "nosuchuser": create it with "useradd --system nosuchuser"`, s.run("--user", "nosuchuser")...)
	mine(t, conf)
	if err := os.RemoveAll(filepath.Join(s.node.Dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.node.Dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.fails(`^error: user nobody cannot write in the directory .*/state: chown -R nobody .*/state\n$`, run...)
	mine(t, filepath.Join(s.node.Dir, "state"))
	systemd := manager.New(t) // which root alone may speak to
	s.env = systemd.Environment(400 * time.Millisecond)
	s.start(run...)
	s.rights(kept)
	systemd.Await("READY=1", "WATCHDOG=1", "STATUS=0 of 0 neighbors up", "WATCHDOG=1")
	netlab.Await(t, netlab.Patience, "kernel route", func() error {
		if out := s.node.Run("ip", "route", "show", "proto", "144"); !strings.Contains(out, "203.0.113.0/24 via 10.0.0.254") {
			return fmt.Errorf("the routes are %s", out)
		}
		return nil
	})

	// A password that only root may read, then a port, a set and a password that
	// are new.
	key := s.node.Write("n.key", "secret\n")
	list := s.node.Write("list.txt", "203.0.113.0/24\n")
	neighbor := "neighbor \"n\" {\n  address = \"127.0.0.3\"\n  asn = 64501\n  password_file = \"n.key\"\n}\n"
	s.configure(`"127.0.0.1:179", "127.0.0.2:179"`, static+neighbor+fmt.Sprintf(everybody, "list", "list", "list.txt"))
	mine(t, conf, list)
	if _, err := s.ask("reload"); err == nil || !regexp.MustCompile(`(?s)cannot read .*/n\.key: permission denied.*chown it to that user`).MatchString(err.Error()) {
		t.Errorf("reload with a password that it may not read: %v", err)
	}
	mine(t, key)
	if _, err := s.ask("reload"); err != nil {
		t.Error(err)
	}
	systemd.Await("RELOADING=1\nMONOTONIC_USEC=", "READY=1", "STATUS=0 of 1 neighbors up")
	if out, err := s.ask("show", "summary", "--json"); err != nil || !strings.Contains(out, "127.0.0.2:179") {
		t.Errorf("it does not listen: %v: %s", err, out)
	}
	s.rights(kept)
}

// TestReducesCapabilities: started as systemd does, without root and with
// capabilities, it gives up those that it has no use for.
func TestReducesCapabilities(t *testing.T) {
	s := newService(t)
	mine(t, s.configure(`"127.0.0.1:179"`, ""))
	some := "+net_bind_service,+net_admin,+net_raw,+sys_nice,+sys_ptrace"
	setpriv := []string{"setpriv", "--reuid", nobody, "--clear-groups", "--inh-caps", some, "--ambient-caps", some, "--bounding-set", "-all," + some}
	bin := s.reachable()
	command := s.run()
	command[0] = bin
	s.start(append(setpriv, command...)...)
	s.rights("0000000000883400") // which is for who may set capabilities
	s.fails("^error: cannot become user root: only root can", append(append(setpriv, command...), "--user", "root")...)
}

// TestNeedsNetAdmin: who may not change kernel routes is told at the start, and
// not by every route.
func TestNeedsNetAdmin(t *testing.T) {
	s := newService(t)
	s.kernel = true
	mine(t, s.configure(`"127.0.0.1:1790"`, ""))
	command := s.run()
	command[0] = s.reachable()
	s.fails("(?m)^error: cannot change kernel routes: that takes root or CAP_NET_ADMIN",
		append([]string{"setpriv", "--reuid", nobody, "--clear-groups"}, command...)...)
}

// TestConfined: where the kernel has Landlock, the router reads and writes in its
// own directories only, says so, and what to do about others.
func TestConfined(t *testing.T) {
	s := newService(t)
	outside := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(outside, []byte("203.0.113.0/24\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.configure(`"127.0.0.1:179"`, "")
	s.start(s.run()...)
	netlab.Await(t, netlab.Patience, "word about Landlock", func() error {
		if log := s.proc.Log(); !strings.Contains(log, "msg=confined") && !strings.Contains(log, "this kernel has no Landlock") {
			return fmt.Errorf("the log is\n%s", log)
		}
		return nil
	})
	confined := strings.Contains(s.proc.Log(), "msg=confined")
	s.configure(`"127.0.0.1:179"`, fmt.Sprintf(everybody, "list", "list", outside))
	_, err := s.ask("reload")
	if confined && (err == nil || !strings.Contains(err.Error(), "permission denied") || !strings.Contains(err.Error(), "restart it")) {
		t.Errorf("it reads a file that it did not know: %v", err)
	}
	if !confined && err != nil {
		t.Error(err)
	}
	// It may read it if it knows it from the start, or is not confined at all.
	s.proc.Stop()
	s.start(s.run()...)
	s.proc.Stop()
	s.configure(`"127.0.0.1:179"`, "")
	s.start(s.run("--no-sandbox")...)
	s.configure(`"127.0.0.1:179"`, fmt.Sprintf(everybody, "list", "list", outside))
	if _, err := s.ask("reload"); err != nil {
		t.Error(err)
	}
}
