package cli

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// here marks commands that --host cannot run elsewhere.
const here = "here"

// elsewhere runs the command on another router if --host says so: the same
// holdfast command line through the system's ssh, so that keys, jump hosts and
// known hosts are those of ssh, and access is that of the account there.
func (a *app) elsewhere(c *cobra.Command, _ []string) error {
	if a.host == "" {
		return nil
	}
	if c.Annotations[here] != "" {
		return fmt.Errorf("%s works on this machine only: leave out --host", c.CommandPath())
	}
	ssh := exec.CommandContext(c.Context(), "ssh", "-T", "--", a.host, remoteLine(a.args))
	ssh.Stdin, ssh.Stdout, ssh.Stderr = a.In, a.Out, a.Err
	err := ssh.Run()
	var ended *exec.ExitError
	switch {
	case err == nil:
		return exitCode(exitDone)
	case c.Context().Err() != nil:
		return c.Context().Err()
	case errors.As(err, &ended) && ended.ExitCode() == 127:
		return fmt.Errorf("cannot find holdfast on %s: it must be in the PATH of that account", a.host)
	case errors.As(err, &ended) && ended.ExitCode() > 0 && ended.ExitCode() != 255:
		return exitCode(ended.ExitCode()) // which the command there has explained
	case errors.As(err, &ended):
		return fmt.Errorf("cannot reach %s with ssh: try \"ssh %s\"", a.host, a.host)
	}
	return fmt.Errorf("cannot start ssh: %w", err)
}

// remoteLine is the command line for the other side's shell, without --host.
func remoteLine(args []string) string {
	words := []string{"holdfast"}
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--":
			for _, w := range args[i:] {
				words = append(words, quote(w))
			}
			return strings.Join(words, " ")
		case args[i] == "--host":
			i++
		case strings.HasPrefix(args[i], "--host="):
		default:
			words = append(words, quote(args[i]))
		}
	}
	return strings.Join(words, " ")
}

var safe = regexp.MustCompile(`^[A-Za-z0-9@%+=:,./_-]+$`)

// quote makes one word for a POSIX shell.
func quote(s string) string {
	if safe.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
