package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is cobra's, but for commands that only have commands below them.
const usage = `Usage:
{{- if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]
{{- else}}
  {{.UseLine}}
{{- end}}
{{- if .HasExample}}

Examples:
{{.Example}}
{{- end}}
{{- if .HasAvailableSubCommands}}
{{- $all := .Commands}}
{{- range $group := .Groups}}

{{.Title}}
{{- range $all}}{{if and (eq .GroupID $group.ID) .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}
{{- end}}

{{if .Groups}}More:{{else}}Commands:{{end}}
{{- range $all}}{{if and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding}} {{.Short}}
{{- end}}{{end}}
{{- end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableInheritedFlags}}

Global flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}
{{- end}}
{{- if .HasAvailableSubCommands}}

"{{.CommandPath}} [command] --help" says more about a command.
{{- end}}
`

// helpCommand shows help, or says that there is no such command.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Help about a command",
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			c, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names(c), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			c, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknown(c, rest[0])
			}
			return c.Help()
		},
	}
}

// flagError says what a flag takes.
func flagError(c *cobra.Command, err error) error {
	var noValue *pflag.ValueRequiredError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &noValue):
		err = fmt.Errorf("--%s needs a value", noValue.GetSpecifiedName())
	case errors.As(err, &bad):
		err = fmt.Errorf("--%s takes %s, not %q", bad.GetFlag().Name, takes(bad), bad.GetValue())
	}
	return fmt.Errorf("%w (see \"%s --help\")", err, c.CommandPath())
}

// takes is what the flag of a bad value wants.
func takes(bad *pflag.InvalidValueError) string {
	var own valueError
	if errors.As(bad, &own) {
		return string(own)
	}
	switch bad.GetFlag().Value.Type() {
	case "uint32", "uint64":
		return "a number from 0"
	case "float64":
		return "a number"
	}
	return "true or false"
}

// valueError says what a flag takes.
type valueError string

func (e valueError) Error() string { return "it takes " + string(e) }

// asNumber is a flag with an AS number, written as 3333 or AS3333.
type asNumber uint32

func (n *asNumber) String() string {
	if *n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(*n), 10)
}

func (n *asNumber) Type() string { return "AS" }

func (n *asNumber) Set(s string) error {
	v, ok := parseAS(s)
	if !ok {
		return valueError("an AS number like 3333 or AS3333")
	}
	*n = asNumber(v)
	return nil
}

func parseAS(s string) (uint32, bool) {
	if len(s) > 2 && strings.EqualFold(s[:2], "AS") {
		s = s[2:]
	}
	v, err := strconv.ParseUint(s, 10, 32)
	return uint32(v), err == nil
}
