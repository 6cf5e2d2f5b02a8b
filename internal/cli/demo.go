package cli

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show four routers, a real table and a failure, on this machine alone",
		Long: `Runs an edge router, two transits and a customer on loopback addresses, loads an
excerpt of a real table, breaks a transit and shows how the routes move. Then it
says what to type in a second terminal, until Ctrl-C. It needs no privileges,
and leaves nothing behind.`,
		Args:        between(0, 0),
		Annotations: map[string]string{here: "runs routers"},
		RunE: func(c *cobra.Command, _ []string) error {
			if a.json {
				return errors.New("the demo is for people: leave out --json")
			}
			o.Out, o.Color = a.Out, a.color()
			o.Command, o.Dir = launcher()
			return demo.Run(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Once, "once", false, "end when all has been shown")
	return c
}

// launcher is how a shell runs this program again, and in which directory if
// that matters. What "go run" made is gone when it ends.
func launcher() (command, dir string) {
	program, err := os.Executable()
	if err != nil {
		return "holdfast", ""
	}
	if strings.Contains(program, string(filepath.Separator)+"go-build") {
		if dir, err = os.Getwd(); err == nil {
			return "go run ./cmd/holdfast", quote(dir)
		}
	}
	return quote(program), ""
}
