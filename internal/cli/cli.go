// Package cli is the command line: it parses, calls the api or the packages
// that work on files, and hands results to package view.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
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

// Groups of commands in the help.
const (
	groupRouter = "router"
	groupLook   = "look"
	groupAct    = "act"
	groupFiles  = "files"
)

// Root is the tree of all commands, for what is written about them.
func Root() *cobra.Command { return (&app{}).root() }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "A BGP router that holds fast",
		Long: `holdfast is a BGP router for Linux. "holdfast init" writes a first configuration,
"holdfast check" says what is wrong with one, and "holdfast run" is the router;
most other commands talk to a running router through its socket.`,
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: a.elsewhere,
	}
	root.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknown(c, args[0])
		}
		return c.Help()
	}
	f := root.PersistentFlags()
	f.StringVar(&a.socket, "socket", defaultSocket, "`path` of the running router's socket")
	f.StringVar(&a.host, "host", "", "run the command on `user@router` through ssh")
	f.BoolVar(&a.json, "json", false, "write JSON")
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usage)
	root.SetHelpCommand(helpCommand(root))
	for _, g := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{groupRouter, "A router:", []*cobra.Command{a.runCommand(), a.demoCommand()}},
		{groupLook, "Look at the running router:", []*cobra.Command{a.showCommand(), a.lookupCommand(), a.explainCommand(), a.monitorCommand(), a.traceCommand()}},
		{groupAct, "Change the running router:", []*cobra.Command{a.reloadCommand(), a.clearCommand(), a.downCommand(), a.enableCommand(), a.announceCommand(), a.withdrawCommand(), a.shutdownCommand()}},
		{groupFiles, "Configuration files:", []*cobra.Command{a.initCommand(), a.checkCommand(), a.fmtCommand(), a.testCommand()}},
		{"", "", []*cobra.Command{a.replayCommand(), a.versionCommand(), a.completionCommand()}},
	} {
		if g.id != "" {
			root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		}
		for _, c := range g.commands {
			c.GroupID = g.id
			root.AddCommand(c)
		}
	}
	return root
}

// parent makes a command that has only commands below it.
func parent(use, short string, below ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ArbitraryArgs}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return unknown(c, args[0])
		}
		return fmt.Errorf("say what to %s: %s", c.Name(), list(names(c)))
	}
	c.AddCommand(below...)
	return c
}

func names(c *cobra.Command) []string {
	var all []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() {
			all = append(all, s.Name())
		}
	}
	return all
}

// unknown is the error about a command that c does not have.
func unknown(c *cobra.Command, name string) error {
	var like []string
	for _, below := range c.Commands() { // "neighbors" for "show neighbors"
		if slices.Contains(names(below), name) {
			like = append(like, below.Name()+" "+name)
		}
	}
	if len(like) == 0 && len(name) > 3 { // everything is like a short word
		c.SuggestionsMinimumDistance = 2
		like = c.SuggestionsFor(name)
	}
	err := fmt.Errorf("there is no command %q", c.CommandPath()+" "+name)
	switch {
	case len(like) > 0:
		return fmt.Errorf("%w: did you mean %q?", err, list(like))
	case !c.HasParent():
		return fmt.Errorf("%w: \"holdfast help\" lists all", err)
	case c.HasSubCommands():
		return fmt.Errorf("%w: choose %s", err, list(names(c)))
	}
	return err
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
			return fmt.Errorf("wrong number of arguments: the usage is %s", strings.TrimSuffix(c.UseLine(), " [flags]"))
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
