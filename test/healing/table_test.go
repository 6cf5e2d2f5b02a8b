//go:build interop

package healing

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/testkit/healing"
	"holdfast/testkit/rival"
)

// The tables stand between these lines of the file.
const begin, end = "<!-- measured by make healing -->\n", "<!-- end of what is measured -->\n"

// insert puts text between the markers of a file.
func insert(file, text string) error {
	whole, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(whole), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("cannot find the lines %q and %q in %s", begin, end, file)
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}

// origin says where and when, and with what.
func origin(b *testing.B, makes []rival.Make) string {
	kernel, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		b.Fatal(err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	cpus, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		b.Fatal(err)
	}
	model := "unknown"
	for line := range strings.Lines(string(cpus)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
		}
	}
	var versions []string
	for _, m := range makes {
		versions = append(versions, m.Version(b))
	}
	return fmt.Sprintf("%s. %d × %s, %s, %s. Load of the machine at the beginning: %s.\n",
		strings.Join(versions, ", "), runtime.NumCPU(), model, strings.TrimSpace(string(kernel)),
		time.Now().UTC().Format("2006-01-02"), strings.Fields(string(load))[0])
}

// row is a line of the table: one figure of an event.
type row struct {
	event, text, figure string
	of                  func(r healing.Result) float64
	unit                func(f float64) string
}

func rows() []row {
	lost := func(r healing.Result) float64 { return float64(r.Lost) }
	gap := func(r healing.Result) float64 { return float64(r.Gap) }
	worstGap := func(r healing.Result) float64 { return float64(r.WorstGap) }
	moved := func(r healing.Result) float64 { return float64(r.Moved) }
	lastMoved := func(r healing.Result) float64 { return float64(r.LastMoved) }
	withdrawn := func(r healing.Result) float64 { return float64(r.Withdrawn) }
	changed := func(r healing.Result) float64 { return float64(r.Changed) }
	var all []row
	add := func(event, text string, rows ...row) {
		for i, r := range rows {
			if r.event = event; i == 0 {
				r.text = text
			}
			all = append(all, r)
		}
	}
	packets, half, whole := row{figure: "packets lost", of: lost, unit: count}, "half of the prefixes heal within", "all heal within"
	add("cut", "link cut", packets, row{figure: half, of: gap, unit: pause}, row{figure: whole, of: worstGap, unit: pause})
	add("silence", "silent loss", packets, row{figure: half, of: gap, unit: pause}, row{figure: whole, of: worstGap, unit: pause})
	add("killed", "neighbor killed", packets, row{figure: "half of the prefixes have moved after", of: moved, unit: length},
		row{figure: "all have moved after", of: lastMoved, unit: length})
	watched := []row{{figure: "routes withdrawn from the neighbor that watches", of: withdrawn, unit: count}, {figure: "routes changed there", of: changed, unit: count}}
	for _, e := range []struct{ name, text string }{{"crash", "own crash"}, {"upgrade", "upgrade"}} {
		add(e.name, e.text, append([]row{packets, {figure: "longest gap", of: worstGap, unit: pause}}, watched...)...)
	}
	add("edit", "policy edit", packets, row{figure: "all have moved after", of: lastMoved, unit: length}, watched[0], watched[1])
	return all
}

// render writes the table of one size.
func render(size, rounds int, makes []rival.Make, results map[string][][]healing.Result) string {
	var s strings.Builder
	fmt.Fprintf(&s, "\n%s routes, rounds: %d. Medians, and the worst round where it was another.\n\n| | ", thousands(size), rounds)
	for _, m := range makes {
		fmt.Fprintf(&s, "| %s ", m.Name)
	}
	fmt.Fprintf(&s, "|\n|---|---|%s\n", strings.Repeat("--:|", len(makes)))
	for _, r := range rows() {
		if results[r.event] == nil {
			continue
		}
		fmt.Fprintf(&s, "| %s | %s ", r.text, r.figure)
		for at := range makes {
			var all []float64
			for _, result := range results[r.event][at] {
				all = append(all, r.of(result))
			}
			slices.Sort(all)
			cell := "–"
			if len(all) > 0 {
				median, worst := r.unit((all[(len(all)-1)/2]+all[len(all)/2])/2), r.unit(all[len(all)-1])
				if cell = median; worst != median {
					cell += ", " + worst
				}
			}
			fmt.Fprintf(&s, "| %s ", cell)
		}
		fmt.Fprintf(&s, "|\n")
	}
	return s.String()
}

func count(f float64) string { return thousands(int(f)) }

// thousands groups digits.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

func pause(f float64) string {
	if f == 0 {
		return "none"
	}
	return length(f)
}

// length is no finer than what is measured: a prefix has a packet every 10 ms.
func length(f float64) string {
	switch d := time.Duration(f); {
	case d < 10*time.Millisecond:
		return "< 10 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Round(time.Millisecond).Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}
