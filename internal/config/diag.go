package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Severity tells an error, which makes a configuration unusable, from a
// warning.
type Severity uint8

const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string {
	if s == Error {
		return "error"
	}
	return "warning"
}

// Diagnostic is one thing that is wrong with a configuration.
type Diagnostic struct {
	Severity Severity
	Pos      Pos
	Message  string
	// Fix says how to mend it, "" where the message says it all.
	Fix string
	// Source is the line at Pos and Width how many of its characters are meant,
	// 0 when there is no line to show.
	Source string
	Width  int
}

// String is d on one line.
func (d Diagnostic) String() string {
	s := d.Severity.String() + ": " + d.Message
	if d.Fix != "" {
		s += ": " + d.Fix
	}
	if d.Pos.File == "" {
		return s
	}
	return d.Pos.String() + ": " + s
}

// Diagnostics is what Load found, in order of file, line and column.
type Diagnostics []Diagnostic

// HasErrors reports whether the configuration is unusable.
func (ds Diagnostics) HasErrors() bool {
	return slices.ContainsFunc(ds, func(d Diagnostic) bool { return d.Severity == Error })
}

// Err is nil without errors; otherwise it says the first of them and how many
// there are.
func (ds Diagnostics) Err() error {
	var first *Diagnostic
	n := 0
	for i := range ds {
		if ds[i].Severity == Error {
			if first == nil {
				first = &ds[i]
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	text := first.String()
	if first.Pos.File == "" { // nobody needs to hear twice that it is an error
		text = strings.TrimPrefix(text, "error: ")
	}
	switch n {
	case 1:
		return errors.New(text)
	case 2:
		return fmt.Errorf("%s (and 1 more error)", text)
	}
	return fmt.Errorf("%s (and %d more errors)", text, n-1)
}

// Text is all of them for people.
func (ds Diagnostics) Text() string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.Text())
	}
	return b.String()
}

// Text is d for people: with its source line, a marker below what is meant, and
// what to do.
func (d Diagnostic) Text() string {
	var b strings.Builder
	if d.Pos.File != "" {
		fmt.Fprintf(&b, "%s: ", d.Pos)
	}
	fmt.Fprintf(&b, "%s: %s\n", d.Severity, d.Message)
	if d.Width > 0 {
		number := strconv.Itoa(d.Pos.Line)
		blank := strings.Repeat(" ", len(number))
		fmt.Fprintf(&b, "  %s | %s\n", number, d.Source)
		fmt.Fprintf(&b, "  %s | %s%s\n", blank, indent(d.Source, d.Pos.Column-1), strings.Repeat("^", d.Width))
	}
	if d.Fix != "" {
		fmt.Fprintf(&b, "  %s\n", d.Fix)
	}
	return b.String()
}

// indent is as wide as the first n characters of line: tabs stay tabs.
func indent(line string, n int) string {
	var b strings.Builder
	for _, r := range line {
		if n--; n < 0 {
			break
		}
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Sort puts them in order of file, line and column.
func (ds Diagnostics) Sort() {
	slices.SortStableFunc(ds, func(a, b Diagnostic) int {
		return cmp.Or(cmp.Compare(a.Pos.File, b.Pos.File), cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Column, b.Pos.Column), cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Message, b.Message))
	})
}

// sources has the text of every file that was read, for the source lines.
type sources map[string][]byte

// at fills position, source line and width of a diagnostic.
func (s sources) at(d Diagnostic, r hcl.Range) Diagnostic {
	d.Pos = Pos{File: r.Filename, Line: r.Start.Line, Column: r.Start.Column}
	src := s[r.Filename]
	if src == nil || r.Start.Line == 0 || r.Start.Byte > len(src) {
		return d
	}
	from := bytes.LastIndexByte(src[:r.Start.Byte], '\n') + 1
	line := src[from:]
	if n := bytes.IndexByte(line, '\n'); n >= 0 {
		line = line[:n]
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	const longest = 200 // a line that nobody reads is not shown
	if len(line) > longest {
		return d
	}
	d.Source = strings.ToValidUTF8(string(line), "?")
	end := r.End.Column
	if r.End.Line != r.Start.Line {
		end = len([]rune(d.Source)) + 1
	}
	d.Width = max(1, end-r.Start.Column)
	return d
}

// elsewhere has words of other routers' configurations, and ours for them.
var elsewhere = map[string][]string{
	"as": {"asn"}, "remote_as": {"asn"}, "peer_as": {"asn"}, "neighbor_as": {"asn"}, "local_as": {"local_asn", "asn"}, "router_id": {"id"},
	"in": {"import"}, "out": {"export"}, "password": {"password_file"}, "md5": {"password_file"}, "ebgp_multihop": {"multihop"}, "holdtime": {"hold_time"},
	"permit": {"accept"}, "allow": {"accept"}, "pass": {"accept"}, "deny": {"reject"}, "drop": {"reject"}, "block": {"reject"}, "next": {"continue"},
	"action": {"then"}, "if": {"match"}, "from": {"match"}, "term": {"rule"}, "statement": {"rule"},
	"peer": {"neighbor"}, "neighbour": {"neighbor"}, "bgp": {"router"}, "template": {"group"}, "peer_group": {"group"},
	"route_map": {"policy"}, "filter": {"policy"}, "prefix_list": {"prefix_set"}, "network": {"originate"}, "networks": {"prefixes"},
	"localpref": {"local_pref"}, "local_preference": {"local_pref"}, "metric": {"med"},
}

// suggest is the one of known that given was most likely meant to be, or "".
func suggest(given string, known []string) string {
	given = strings.ToLower(given)
	for _, ours := range elsewhere[strings.ReplaceAll(given, "-", "_")] {
		if slices.Contains(known, ours) {
			return ours
		}
	}
	best, distance := "", min(max(2, len(given)/4), max(1, len(given)/2))+1
	for _, k := range known {
		if d := editDistance(given, k); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	return best
}

// editDistance counts the single-byte edits, swaps of neighbors among them,
// that turn a into b. Names are short: it gives up on long ones.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	var rows [3][65]int
	before, last, row := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
