package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/config"
	"holdfast/internal/daemon"
)

func (a *app) checkCommand() *cobra.Command {
	running, strict := false, false
	c := &cobra.Command{
		Use:   "check [PATH]",
		Short: "Check a configuration",
		Long: `Checks a configuration, a file or a directory of *.hcl files, and says where it is
wrong and what to write instead, and warns of what is most likely not meant. It
needs no running router. With --running, the router's own file is checked and
compared with what is running.`,
		Args: between(0, 1),
		RunE: func(c *cobra.Command, args []string) error {
			if running {
				if len(args) > 0 {
					return errors.New("--running checks the running router's own file: leave out the path")
				}
				return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
					m, err := r.CheckConfig(ctx, connect.NewRequest(&pb.CheckConfigRequest{}))
					if err != nil {
						return err
					}
					return a.checked(m.Msg, true, strict)
				})
			}
			path := defaultConfig
			if len(args) > 0 {
				path = args[0]
			}
			p := a.progress("reading " + path)
			_, found := daemon.Check(path)
			p.stop()
			m := &pb.CheckConfigResponse{ConfigPath: path}
			for _, d := range daemon.Diagnostics(found) {
				m.Diagnostics = append(m.Diagnostics, api.DiagnosticOf(d))
			}
			return a.checked(m, false, strict)
		},
	}
	c.Flags().BoolVar(&running, "running", false, "check the running router's file and compare it with what is running")
	c.Flags().BoolVar(&strict, "strict", false, "fail on warnings too")
	return c
}

// checked shows findings; errors among them, or with strict any, have been told
// with that.
func (a *app) checked(m *pb.CheckConfigResponse, against, strict bool) error {
	if err := a.view().Checked(m, against); err != nil {
		return err
	}
	for _, d := range m.Diagnostics {
		if strict || d.Severity == pb.Severity_SEVERITY_ERROR {
			return exitCode(exitError)
		}
	}
	return nil
}

func (a *app) fmtCommand() *cobra.Command {
	write, check := false, false
	c := &cobra.Command{
		Use:   "fmt [PATH…]",
		Short: "Lay out configuration files as all are",
		Long: `Writes files in the one layout that all have to standard output; without a path
it reads standard input. Of a directory it takes the *.hcl files. Only blanks
change: comments and the order of things stay. A file that cannot be read as a
configuration is left as it is.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if err := oneOf(c, "write", "check"); err != nil {
				return err
			}
			if len(args) == 0 {
				return a.formatInput(write, check)
			}
			var files []string
			for _, p := range args {
				f, err := config.Files(p)
				if err != nil {
					return cannotFormat(p, err)
				}
				files = append(files, f...)
			}
			failed := false
			for _, name := range files {
				differs, err := a.format(name, write, check)
				switch {
				case errors.Is(err, exitCode(exitError)):
					failed = true
				case err != nil:
					return err
				}
				failed = failed || check && differs
			}
			if failed {
				return exitCode(exitError)
			}
			return nil
		},
	}
	c.Flags().BoolVarP(&write, "write", "w", false, "write the files in place and name those that changed")
	c.Flags().BoolVar(&check, "check", false, "only name the files that would change; exit code 1 if there are any")
	return c
}

func (a *app) formatInput(write, check bool) error {
	if write {
		return errors.New("-w needs the path of a file")
	}
	text, err := io.ReadAll(a.In)
	if err != nil {
		return fmt.Errorf("cannot read standard input: %w", err)
	}
	formatted, err := a.formatted("standard input", text)
	if err != nil {
		return err
	}
	if check {
		if bytes.Equal(text, formatted) {
			return nil
		}
		return exitCode(exitError)
	}
	_, err = a.Out.Write(formatted)
	return err
}

// formatted lays out a text; errors in it have been told with its error.
func (a *app) formatted(name string, text []byte) ([]byte, error) {
	if errs := config.Syntax(name, text); errs.HasErrors() {
		_, err := io.WriteString(a.Err, errs.Text())
		return nil, cmp.Or(err, error(exitCode(exitError)))
	}
	return config.Format(text), nil
}

func cannotFormat(name string, err error) error {
	return fmt.Errorf("cannot format %s: %w", name, reasonOf(err))
}

// format does one file and reports whether it was laid out in another way.
func (a *app) format(name string, write, check bool) (differs bool, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, cannotFormat(name, err)
	}
	formatted, err := a.formatted(name, text)
	if err != nil {
		return false, err
	}
	differs = !bytes.Equal(text, formatted)
	switch {
	case !write && !check:
		_, err = a.Out.Write(formatted)
		return differs, err
	case differs && write:
		if err := replace(name, formatted); err != nil {
			return true, fmt.Errorf("cannot write %s: %w", name, err)
		}
	}
	if differs {
		_, err = fmt.Fprintln(a.Out, name)
	}
	return differs, err
}

// replace writes a file whole or not at all, with the mode and behind the
// symbolic links that it has.
func replace(name string, text []byte) (err error) {
	if name, err = filepath.EvalSymlinks(name); err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+strings.TrimPrefix(filepath.Base(name), ".")+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Chmod(info.Mode() & fs.ModePerm)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
