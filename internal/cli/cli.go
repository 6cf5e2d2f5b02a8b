// Package cli is the command line: it parses, calls the api or the packages
// that work on files, and hands results to package view.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"holdfast/internal/api"
	"holdfast/internal/view"
)

// Exit codes.
const (
	exitDone       = 0
	exitError      = 1
	exitRefused    = 3
	exitRolledBack = 4
)

// Where things are unless flags say otherwise.
const (
	defaultSocket = "/run/holdfast/holdfast.sock"
	defaultConfig = "/etc/holdfast/holdfast.hcl"
	defaultState  = "/var/lib/holdfast"
)

// Streams are the standard streams of a process.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// app is one call of the program.
type app struct {
	Streams
	args   []string
	socket string
	host   string
	json   bool
}

// Main runs the program with its arguments (without its name) and returns its
// exit code.
func Main(ctx context.Context, args []string, std Streams) int {
	a := &app{Streams: std, args: args}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	return a.exit(root.ExecuteContext(ctx))
}

// exit tells about an error, in one line where it has one.
func (a *app) exit(err error) int {
	if err == nil {
		return exitDone
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(a.Err, "error: %s\n", err)
	var e *api.Error
	if errors.As(err, &e) {
		switch e.Kind {
		case api.KindRefused:
			return exitRefused
		case api.KindRolledBack:
			return exitRolledBack
		}
	}
	return exitError
}

// exitCode ends the program when everything has been said.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "holdfast",
		Short:             "A BGP router that holds fast",
		Long:              "holdfast is a BGP router for Linux. \"holdfast run\" is the router; the other\ncommands check configurations and talk to a running router through its socket.",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: a.elsewhere,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.socket, "socket", defaultSocket, "`path` of the running router's socket")
	f.StringVar(&a.host, "host", "", "run the command on `user@router` through ssh")
	f.BoolVar(&a.json, "json", false, "write JSON")
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w (see \"%s --help\")", err, c.CommandPath())
	})
	root.AddCommand(a.runCommand(), a.checkCommand(), a.fmtCommand(), a.showCommand(), a.lookupCommand(),
		a.explainCommand(), a.testCommand(), a.clearCommand(), a.shutdownCommand(), a.enableCommand(),
		a.reloadCommand(), a.replayCommand(), a.demoCommand(), a.versionCommand(), a.completionCommand())
	return root
}

// parent makes a command that has only commands below it.
func parent(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		var names []string
		for _, s := range c.Commands() {
			names = append(names, s.Name())
		}
		if len(args) > 0 {
			return fmt.Errorf("%s does not know %q: it knows %s", c.CommandPath(), args[0], list(names))
		}
		return fmt.Errorf("say %s what: %s", c.CommandPath(), list(names))
	}
	c.AddCommand(below...)
	return c
}

// list is "a, b or c".
func list(words []string) string {
	s := ""
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			s += " or "
		default:
			s += ", "
		}
		s += w
	}
	return s
}

// between checks how many arguments there are.
func between(low, high int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return fmt.Errorf("wrong number of arguments: the usage is %s", c.UseLine())
		}
		return nil
	}
}

// oneOf allows no more than one of some flags.
func oneOf(c *cobra.Command, flags ...string) error {
	var given []string
	for _, f := range flags {
		if c.Flags().Changed(f) {
			given = append(given, "--"+f)
		}
	}
	if len(given) > 1 {
		return fmt.Errorf("give either %s", list(given))
	}
	return nil
}

// terminal reports whether w is one.
func terminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (a *app) color() bool { return terminal(a.Out) && os.Getenv("NO_COLOR") == "" }

func (a *app) view() view.View {
	if a.json {
		return view.JSON(a.Out)
	}
	return view.Human(a.Out, view.Options{Color: a.color(), Now: time.Now()})
}

// ask calls the running router, with a word on standard error if it takes
// long, and makes its error one that says what to do.
func (a *app) ask(ctx context.Context, f func(context.Context, *api.Client) error) error {
	c := api.Dial(a.socket)
	defer c.Close()
	p := a.progress("waiting for the router")
	err := f(ctx, c)
	p.stop()
	return c.Error(err)
}
