package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"holdfast/internal/cli"
)

const docs = "../../docs"

func made(t *testing.T) map[string]string {
	t.Helper()
	all, err := pages(docs, "1.2.3", "2026-03-01")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCommands: holdfast(8) has every command that there is, with its flags.
func TestCommands(t *testing.T) {
	page := made(t)["holdfast.8"]
	sections := map[string]string{}
	for _, s := range strings.Split(page, "\n.SS \"")[1:] {
		name, body, _ := strings.Cut(s, "\"\n")
		sections[strings.ReplaceAll(name, `\-`, "-")] = body
	}
	walk(cli.Root(), func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), "holdfast ")
		body, ok := sections[name]
		if !ok {
			t.Errorf("there is nothing about %q", name)
		}
		if !strings.Contains(page, "\n.B "+escape(c.CommandPath())+"\n") {
			t.Errorf("%q is not in the synopsis", name)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && !strings.Contains(body, escape("--"+f.Name)) {
				t.Errorf("%q does not explain --%s", name, f.Name)
			}
		})
	})
}

// TestArguments: holdfast.hcl(5) has every argument of the reference, which has
// every argument that there is.
func TestArguments(t *testing.T) {
	page := made(t)["holdfast.hcl.5"]
	text, err := os.ReadFile(docs + "/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("(?m)^\\| `([a-z_]+)`").FindAllStringSubmatch(string(text), -1)
	if len(names) < 60 {
		t.Fatalf("the reference has only %d arguments", len(names))
	}
	for _, n := range names {
		if !strings.Contains(page, "\n.TP\n\\fB"+n[1]+"\\fR") {
			t.Errorf("there is nothing about %s", n[1])
		}
	}
}

// TestMarkup: no Markdown is left, and no line is a request by accident.
func TestMarkup(t *testing.T) {
	known := regexp.MustCompile(`^\.(\\"|TH|SH|SS|PP|TP|IP|RS|RE|nf|fi|B|br)( |$)`)
	for name, page := range made(t) {
		code := false
		for l := range strings.Lines(page) {
			l = strings.TrimSuffix(l, "\n")
			code = code && l != ".fi" || l == ".nf"
			switch {
			case strings.HasPrefix(l, ".") && !known.MatchString(l), strings.HasPrefix(l, "'"):
				t.Errorf("%s: a request by accident: %s", name, l)
			case !code && (strings.Contains(l, "](") || strings.Contains(l, "|\\-\\-") || strings.Contains(l, "\\(ga")):
				t.Errorf("%s: Markdown: %s", name, l)
			}
		}
	}
}

func TestCode(t *testing.T) {
	var p page
	p.markdown("```hcl\na {\n    b\n}\n```\n\n    c\n      d\n")
	if got, want := p.String(), ".PP\n.RS 4\n.nf\na {\n    b\n}\n.fi\n.RE\n.PP\n.RS 4\n.nf\nc\n  d\n.fi\n.RE\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestInline(t *testing.T) {
	for s, want := range map[string]string{
		"`--as-path` or *one* of **two**":          `\fB\-\-as\-path\fR or \fIone\fR of \fBtwo\fR`,
		"`64500:*` and `*.hcl`, marked with *.":    `\fB64500:*\fR and \fB*.hcl\fR, marked with *.`,
		"see [below](#other-machines)":             "see below",
		"[HCL](https://example.com/x): blocks":     "HCL (https://example.com/x): blocks",
		"[running.md](running.md) has it":          "/usr/share/doc/holdfast/running.md has it",
		`it's a "text" with ^, ~ and \`:            `it\(aqs a \(dqtext\(dq with \(ha, \(ti and \e`,
		"[policy.md](policy.md#built-in-sets) and": "/usr/share/doc/holdfast/policy.md and",
	} {
		if got := inline(s); got != want {
			t.Errorf("%q becomes %q, want %q", s, got, want)
		}
	}
}
