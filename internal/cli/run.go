package cli

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"holdfast/internal/daemon"
	"holdfast/internal/events"
	"holdfast/internal/systemd"
)

func (a *app) runCommand() *cobra.Command {
	o := daemon.Options{}
	format, level := "", ""
	open := false
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the router in the foreground",
		Long: `Runs the router until SIGINT or SIGTERM. SIGHUP does what "holdfast reload"
does. What happens is logged to standard error.`,
		Args:        between(0, 0),
		Annotations: map[string]string{here: "the router itself"},
		RunE: func(c *cobra.Command, _ []string) error {
			direct, err := logger(a.Err, format, level)
			if err != nil {
				return err
			}
			queue := startLines(a.Err, func(n uint64) {
				direct.Warn("lines of the log are lost: standard error was not read", "event", events.LogLost, "lines", n)
			})
			defer queue.stop()
			log, err := logger(queue, format, level)
			if err != nil {
				return err
			}
			o.Log, o.SocketPath, o.Confine = log, a.socket, !open
			if o.Systemd, err = systemd.New(os.Getenv, log); err != nil {
				return err
			}
			defer o.Systemd.Close()
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(daemon.GCPercent)
			}
			return daemon.Run(c.Context(), o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.ConfigPath, "config", defaultConfig, "configuration: a `file`, or a directory of *.hcl files")
	f.StringVar(&o.StateDir, "state", defaultState, "`directory` for what must outlive the process")
	f.StringVar(&o.User, "user", "", "the `user` to become if root starts the router")
	f.StringVar(&o.OperatorGroup, "operator-group", "", "the `group` that may use the socket, if not that of the process")
	f.StringVar(&o.ReadOnlyGroup, "readonly-group", "", "the `group` that may use the read-only socket, or \"everybody\"")
	f.BoolVar(&open, "no-sandbox", false, "leave the router all files and capabilities that its user has")
	f.StringVar(&format, "log-format", "text", "write the log as `text|json`")
	f.StringVar(&level, "log-level", "info", "log from this level on: `debug|info|warn|error`")
	complete(c, "log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	complete(c, "log-level", cobra.FixedCompletions([]string{"debug", "info", "warn", "error"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// logger makes the log of the router.
func logger(w io.Writer, format, level string) (*slog.Logger, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	l, ok := levels[level]
	if !ok {
		return nil, fmt.Errorf("there is no log level %q: choose debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, fmt.Errorf("there is no log format %q: choose text or json", format)
}
