package view

import (
	"io"
	"strings"
	"unicode/utf8"
)

// paint is a colour of a terminal.
type paint string

const (
	plain paint = ""
	bold  paint = "\x1b[1m"
	good  paint = "\x1b[32m"
	bad   paint = "\x1b[31m"
	reset       = "\x1b[0m"
)

// cell is a text in a table.
type cell struct {
	text  string
	paint paint
}

// look is how many rows decide about the widths of a table. Later rows that
// are wider widen it.
const look = 512

// table aligns columns. The last one is not padded.
type table struct {
	w      io.Writer
	indent string
	color  bool
	right  []bool // columns of numbers
	widths []int
	rows   [][]cell
	begun  bool
	err    error
}

// newTable makes a table; a heading that starts with ">" is over numbers.
func newTable(w io.Writer, color bool, headings ...string) *table {
	t := &table{w: w, color: color}
	var row []cell
	for _, h := range headings {
		h, right := strings.CutPrefix(h, ">")
		t.right = append(t.right, right)
		row = append(row, cell{h, bold})
	}
	t.widths = make([]int, len(row))
	t.rows = append(t.rows, row)
	return t
}

// row adds one. Errors of writing are kept for close.
func (t *table) row(cells ...cell) {
	t.rows = append(t.rows, cells)
	if len(t.rows) >= look || t.begun {
		t.flush()
	}
}

// texts is row without colours.
func (t *table) texts(texts ...string) {
	cells := make([]cell, len(texts))
	for i, s := range texts {
		cells[i] = cell{text: s}
	}
	t.row(cells...)
}

func (t *table) flush() {
	for _, r := range t.rows {
		for i, c := range r {
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, r := range t.rows {
		var b strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(c.text))
			text := c.text
			if t.color && c.paint != plain && text != "" {
				text = string(c.paint) + text + reset
			}
			switch {
			case t.right[i]:
				text = pad + text
			case i < len(r)-1:
				text += pad
			}
			if i > 0 {
				b.WriteString("  ")
			}
			b.WriteString(text)
		}
		if t.err == nil {
			_, t.err = io.WriteString(t.w, strings.TrimRight(t.indent+b.String(), " ")+"\n")
		}
	}
	t.rows, t.begun = t.rows[:0], true
}

func (t *table) close() error {
	t.flush()
	return t.err
}

// facts shows names and values below each other. Empty values are left out.
type facts struct {
	rows  [][2]string
	width int
}

func (f *facts) add(name, value string) {
	if value == "" {
		return
	}
	f.rows = append(f.rows, [2]string{name, value})
	f.width = max(f.width, utf8.RuneCountInString(name))
}

func (f *facts) write(b *strings.Builder, indent string) {
	for _, r := range f.rows {
		b.WriteString(indent + r[0] + strings.Repeat(" ", f.width-utf8.RuneCountInString(r[0])+2) + r[1] + "\n")
	}
}
