package cli

import (
	"errors"
	"os"
	"os/exec"
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
			o.Quote = quote
			return demo.Run(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&o.Once, "once", false, "end when all has been shown")
	return c
}

// launcher is how a shell runs this program again, and in which directory if
// that matters.
func launcher() (command, dir string) {
	program, err := os.Executable()
	if err != nil {
		return "holdfast", ""
	}
	if found, err := exec.LookPath("holdfast"); err == nil && found == program {
		return "holdfast", ""
	}
	const source = "./cmd/holdfast"
	if strings.Contains(program, "/go-build") { // what "go run" made is gone when it ends
		if dir, err := os.Getwd(); err == nil {
			if _, err := os.Stat(source); err == nil {
				return "go run " + source, dir
			}
		}
	}
	return quote(program), ""
}
