package netlab

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a program that runs inside a node.
type Process struct {
	name string
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has ended
	err  error         // how, valid after done
}

// Start runs a program in the background until the end of the test. What it
// prints goes to a log, which is shown if the test fails.
func (n *Node) Start(name string, cmd *exec.Cmd) *Process {
	t := n.Lab.T
	t.Helper()
	p := &Process{name: n.Name + "/" + name, cmd: cmd, log: filepath.Join(n.Dir, name+".out"), done: make(chan struct{})}
	f, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	// A group of its own: Ctrl-C reaches the test, which then stops it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start %s: %v", p.name, err)
	}
	go func() { // ends with the process, which Stop ends
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Logf("%s %s:\n%s", p.name, strings.Join(cmd.Args, " "), tail(p.log, 60))
		}
	})
	return p
}

// Stop ends the process, gently at first, and waits for it.
func (p *Process) Stop() {
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.Kill()
	}
}

// Kill ends the process and what it started without giving it a chance to say
// anything.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // ended already: fine
	<-p.done
}

// Signal sends a signal.
func (p *Process) Signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // ended already: fine
}

// Pid is the program's process number: ip execs it.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Running is an error once the process has ended.
func (p *Process) Running() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %w\n%s", p.name, cmp.Or(p.err, errExit0), tail(p.log, 20))
	default:
		return nil
	}
}

var errExit0 = errors.New("exit status 0")

// Log is all that the process has printed.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

func tail(file string, lines int) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
