package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// page is a manual page in the making. It understands the Markdown that the
// documentation is written in: headings, paragraphs, lists, tables and code.
type page struct {
	strings.Builder
	// below puts all headings one level down.
	below bool
	// grouped: the heading of the commands stands there.
	grouped bool
}

func (p *page) line(s string) { p.WriteString(s + "\n") }

func (p *page) begin(name string, section int, version, date, what string) {
	p.line(`.\" Made from the documentation by packaging/man.`)
	fmt.Fprintf(p, ".TH %s %d \"%s\" \"%s\"\n", escape(strings.ToUpper(name)), section, escape(date), escape(strings.TrimSpace("holdfast "+version)))
	p.heading("SH", "NAME")
	p.line(escape(name) + ` \- ` + escape(strings.ToLower(what[:1])+what[1:]))
}

func (p *page) heading(macro, text string) {
	p.line("." + macro + ` "` + strings.NewReplacer(`\fB`, "", `\fR`, "").Replace(inline(text)) + `"`)
}

func (p *page) paragraph(text string) {
	p.line(".PP")
	p.text(text)
}

// text writes inline Markdown; no line of it begins like a request.
func (p *page) text(s string) {
	for l := range strings.Lines(inline(s)) {
		l = strings.TrimSpace(l)
		if strings.HasPrefix(l, ".") {
			l = `\&` + l
		}
		p.line(l)
	}
}

var (
	code    = regexp.MustCompile("`([^`]+)`")
	link    = regexp.MustCompile(`\[([^][]+)\]\(([^()]+)\)`)
	strong  = regexp.MustCompile(`\*\*([^*]+)\*\*`)
	accent  = regexp.MustCompile(`\*([^*\s][^*]*)\*`)
	letters = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, `"`, `\(dq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)
)

// escape makes a text one that roff prints as it is.
func escape(s string) string { return letters.Replace(s) }

// inline writes code, emphasis and links. References inside the documentation
// are only named: a page has no links.
func inline(s string) string {
	s = link.ReplaceAllStringFunc(s, func(l string) string {
		m := link.FindStringSubmatch(l)
		if strings.HasPrefix(m[2], "https:") {
			return m[1] + " (" + m[2] + ")"
		}
		if strings.HasSuffix(m[1], ".md") {
			return "/usr/share/doc/holdfast/" + m[1]
		}
		return m[1]
	})
	var out strings.Builder
	for {
		at := code.FindStringSubmatchIndex(s)
		if at == nil {
			out.WriteString(emphasis(s))
			return out.String()
		}
		out.WriteString(emphasis(s[:at[0]]) + `\fB` + escape(s[at[2]:at[3]]) + `\fR`)
		s = s[at[1]:]
	}
}

func emphasis(s string) string {
	s = strong.ReplaceAllString(escape(s), `\fB$1\fR`)
	return accent.ReplaceAllString(s, `\fI$1\fR`)
}

var (
	item     = regexp.MustCompile(`^(?:[-*]|(\d+)\.) +(.*)`)
	contents = regexp.MustCompile(`^- \[[^]]*\]\(#[^)]*\)$`)
)

// markdown adds a document without its title.
func (p *page) markdown(doc string) {
	lines := strings.Split(doc, "\n")
	for i := 0; i < len(lines); {
		start := i
		// block is the run of lines from here that f holds for.
		block := func(f func(string) bool) []string {
			for i < len(lines) && f(lines[i]) {
				i++
			}
			return lines[start:i]
		}
		l := lines[i]
		switch {
		case l == "" || strings.HasPrefix(l, "# "), contents.MatchString(l):
			i++
		case strings.HasPrefix(l, "#"):
			p.section(l)
			i++
		case strings.HasPrefix(l, "```"):
			start++
			i++
			p.code(block(func(l string) bool { return l != "```" }), "")
			i++
		case strings.HasPrefix(l, "    "):
			p.code(block(func(l string) bool { return strings.HasPrefix(l, "    ") }), "    ")
		case strings.HasPrefix(l, "|"):
			rows := block(func(l string) bool { return strings.HasPrefix(l, "|") })
			var body [][]string
			for _, r := range rows[2:] {
				body = append(body, cells(r))
			}
			p.table(cells(rows[0]), body)
		case item.MatchString(l):
			i++
			block(func(l string) bool { return strings.HasPrefix(l, "  ") })
			m := item.FindStringSubmatch(strings.Join(append([]string{l}, lines[start+1:i]...), " "))
			mark := `\(bu`
			if m[1] != "" {
				mark = m[1] + "."
			}
			p.line(".IP " + mark + " 4")
			p.text(strings.Join(strings.Fields(m[2]), " "))
		default:
			p.paragraph(strings.Join(block(func(l string) bool {
				return l != "" && !strings.HasPrefix(l, "|") && !strings.HasPrefix(l, "```") && !item.MatchString(l)
			}), "\n"))
		}
	}
}

// section writes a heading. Those that are a command get one above them all.
func (p *page) section(l string) {
	level := len(l) - len(strings.TrimLeft(l, "#"))
	text := strings.TrimSpace(l[level:])
	macro := "SH"
	switch {
	case level > 2 || p.below:
		macro = "SS"
	case strings.HasPrefix(text, "`"):
		macro = "SS"
		if !p.grouped {
			p.heading("SH", "COMMANDS")
			p.grouped = true
		}
	}
	if macro == "SH" {
		text = strings.ToUpper(text)
	}
	p.heading(macro, text)
}

func (p *page) code(lines []string, indent string) {
	p.line(".PP\n.RS 4\n.nf")
	for _, l := range lines {
		l = escape(strings.TrimPrefix(l, indent))
		if strings.HasPrefix(l, ".") {
			l = `\&` + l
		}
		p.line(l)
	}
	p.line(".fi\n.RE")
}

// cells are those of a table's row.
func cells(row string) []string {
	const bar = "\x00"
	row = strings.ReplaceAll(strings.Trim(row, "| "), `\|`, bar)
	all := strings.Split(" "+row+" ", "|")
	for i, c := range all {
		all[i] = strings.ReplaceAll(strings.TrimSpace(c), bar, "|")
	}
	return all
}

// table writes rows as a list: the first cell with the others below it, which
// are named by their column.
func (p *page) table(head []string, rows [][]string) {
	if len(head) == 2 && !slices.Contains([]string{"", "flag", "block"}, head[0]) {
		p.paragraph(strings.TrimSuffix(strings.Join(head, ": "), ": "))
	}
	for _, r := range rows {
		var about []string
		for i, c := range r[1:] {
			switch {
			case c == "":
			case len(r) > 2 && i+1 < len(head) && head[i+1] != "":
				about = append(about, head[i+1]+": "+c)
			default:
				about = append(about, c)
			}
		}
		p.line(".TP")
		p.text(r[0])
		p.text(strings.Join(about, "; "))
	}
}
