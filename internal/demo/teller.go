package demo

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"holdfast/internal/view"
)

// teller writes the story. Errors of writing are kept in err.
type teller struct {
	w     io.Writer
	color bool
	step  int
	err   error
}

func (t *teller) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.w, format, args...)
	}
}

func (t *teller) bold(s string) string {
	if !t.color {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

// heading begins a step.
func (t *teller) heading(text string) {
	t.step++
	t.printf("\n%s\n\n", t.bold(fmt.Sprintf("%d. %s", t.step, text)))
}

// fact is a line with a value below those of other lines.
func (t *teller) fact(name, value, note string) {
	if note != "" {
		note = "   " + note
	}
	t.printf("     %-36s%9s%s\n", name, value, note)
}

// after is a fact about a time.
func (t *teller) after(name string, d time.Duration, note string) {
	t.fact(name+" after", short(max(d, 0)), note)
}

// short is a duration with the digits that matter.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", d.Seconds()*1000)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.2f s", d.Seconds())
}

// command is a line as it is typed, before what it shows.
func (t *teller) command(line string) { t.printf("   $ %s\n", t.bold(line)) }

// view shows what the command line would, a little to the right.
func (t *teller) view() view.View {
	return view.Human(&indented{t: t, fresh: true}, view.Options{Color: t.color, Now: time.Now()})
}

// indented moves lines to the right.
type indented struct {
	t     *teller
	fresh bool // at the beginning of a line
}

func (i *indented) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		if i.fresh && len(line) > 1 {
			i.t.printf("   ")
		}
		i.t.printf("%s", line)
		i.fresh = line[len(line)-1] == '\n'
	}
	return len(b), i.t.err
}
