// Command man writes the manual pages: the commands from the program itself and
// docs/cli.md, the configuration from docs/configuration.md and docs/policy.md.
//
//	go run ./packaging/man [-version V] [-date YYYY-MM-DD] DIRECTORY
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/cli"
)

func main() {
	version := flag.String("version", "", "`version` of holdfast")
	date := flag.String("date", "", "`date` of the pages")
	docs := flag.String("docs", "docs", "`directory` of the documentation")
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	pages, err := pages(*docs, *version, *date)
	for name, text := range pages {
		if err == nil {
			err = os.WriteFile(filepath.Join(flag.Arg(0), name), []byte(text), 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot write the manual pages:", err)
		os.Exit(1)
	}
}

// pages are the manual pages by their names.
func pages(docs, version, date string) (map[string]string, error) {
	texts := map[string]string{}
	for _, name := range []string{"cli", "configuration", "policy"} {
		text, err := os.ReadFile(filepath.Join(docs, name+".md"))
		if err != nil {
			return nil, err
		}
		texts[name] = string(text)
	}
	root := cli.Root()

	commands := &page{}
	commands.begin("holdfast", 8, version, date, root.Short)
	commands.heading("SH", "SYNOPSIS")
	walk(root, func(c *cobra.Command) {
		name := c.CommandPath()
		commands.line(".B " + escape(name))
		arguments := strings.TrimPrefix(strings.TrimSuffix(c.UseLine(), " [flags]"), name)
		commands.line(escape(strings.TrimSpace(arguments + " [FLAG...]")))
		commands.line(".br")
	})
	commands.heading("SH", "DESCRIPTION")
	commands.markdown(texts["cli"])
	commands.heading("SH", "FILES")
	commands.table([]string{"", ""}, [][]string{
		{"`/etc/holdfast/holdfast.hcl`", "the configuration, holdfast.hcl(5)"},
		{"`/run/holdfast/holdfast.sock`", "the socket of operators"},
		{"`/run/holdfast/holdfast-readonly.sock`", "the socket of those who may only look"},
		{"`/var/lib/holdfast`", "what must outlive the process"},
	})
	commands.heading("SH", "SEE ALSO")
	commands.paragraph("holdfast.hcl(5), systemctl(1), ssh(1)")

	configuration := &page{}
	configuration.begin("holdfast.hcl", 5, version, date, "configuration of the BGP router holdfast")
	configuration.heading("SH", "DESCRIPTION")
	configuration.markdown(texts["configuration"])
	configuration.heading("SH", "POLICIES BY EXAMPLE")
	configuration.below = true
	configuration.markdown(texts["policy"])
	configuration.heading("SH", "SEE ALSO")
	configuration.paragraph("holdfast(8)")
	return map[string]string{"holdfast.8": commands.String(), "holdfast.hcl.5": configuration.String()}, nil
}

// walk visits every command that does something.
func walk(c *cobra.Command, visit func(*cobra.Command)) {
	for _, s := range c.Commands() {
		switch {
		case s.HasSubCommands():
			walk(s, visit)
		case s.Name() != "help":
			visit(s)
		}
	}
}
