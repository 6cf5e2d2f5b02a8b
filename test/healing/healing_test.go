//go:build interop

// Package healing measures what is lost when something goes wrong, beside other
// routers, and writes docs/healing.md. It is run by hand (make healing), as it
// wants a machine for itself.
package healing

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
	"holdfast/testkit/healing"
	"holdfast/testkit/rival"
)

var (
	routes  = flag.String("routes", "1000,500000", "sizes of the table")
	rounds  = flag.String("rounds", "5,2", "how often everything happens, for each size")
	routers = flag.String("routers", "holdfast,BIRD,FRR", "makes of the router")
	events  = flag.String("events", strings.Join(names(), ","), "what happens")
	write   = flag.String("write", "", "a Markdown file to put the tables into, between its markers")
)

func names() []string {
	var all []string
	for _, e := range healing.Events() {
		all = append(all, e.Name)
	}
	return all
}

// BenchmarkHealing lets everything happen to every router.
func BenchmarkHealing(b *testing.B) {
	sizes, times := numbers(b, *routes), numbers(b, *rounds)
	if len(sizes) != len(times) {
		b.Fatalf("-routes %s and -rounds %s are not equally long", *routes, *rounds)
	}
	var makes []rival.Make
	for _, m := range rival.Makes() {
		if slices.Contains(strings.Split(*routers, ","), m.Name) {
			makes = append(makes, m)
		}
	}
	text := origin(b, makes)
	for i, size := range sizes {
		text += table(b, size, times[i], makes)
	}
	fmt.Print("\n", text)
	if *write != "" && !b.Failed() {
		if err := insert(*write, text); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op") // the whole says nothing
}

// table measures with one size of the table.
func table(b *testing.B, size, rounds int, makes []rival.Make) string {
	contents := feed.New(1, prefix.IPv4, size)
	results := map[string][][]healing.Result{} // by event, then by make
	for at, m := range makes {
		b.Run(fmt.Sprintf("%d/%s", size, m.Name), func(b *testing.B) {
			l := healing.New(b, m, contents)
			for range rounds {
				for name := range strings.SplitSeq(*events, ",") {
					e, err := healing.FindEvent(name)
					if err != nil {
						b.Fatal(err)
					}
					start := time.Now()
					r := e.Run(l)
					if results[name] == nil {
						results[name] = make([][]healing.Result, len(makes))
					}
					results[name][at] = append(results[name][at], r)
					fmt.Printf("%d %s %s, %v: %v\n", size, m.Name, name, time.Since(start).Round(time.Second), r)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
	return render(size, rounds, makes, results)
}

func numbers(b *testing.B, list string) []int {
	var all []int
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}
