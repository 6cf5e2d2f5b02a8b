package cli

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// reader is a standard error that is read only once it is let.
type reader struct {
	let chan struct{}
	mu  sync.Mutex
	got bytes.Buffer
}

func (r *reader) Write(b []byte) (int, error) {
	<-r.let
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got.Write(b)
}

// TestLines: nobody waits for a log that is not read; what finds no room is
// counted, where it is missing.
func TestLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{let: make(chan struct{})}
		l := startLines(r, func(n uint64) { fmt.Fprintf(r, "lost %d\n", n) })
		fmt.Fprintln(l, "first")
		synctest.Wait() // it is being written
		for i := range mostLines + 7 {
			fmt.Fprintln(l, i)
		}
		close(r.let)
		synctest.Wait()
		fmt.Fprintln(l, "last")
		l.stop()
		got := strings.Split(r.got.String(), "\n")
		if len(got) != mostLines+4 || got[0] != "first" || got[1] != "0" || got[mostLines] != fmt.Sprint(mostLines-1) ||
			got[mostLines+1] != "lost 7" || got[mostLines+2] != "last" {
			t.Errorf("%d lines: %q … %q", len(got), got[:2], got[max(0, len(got)-4):])
		}
	})
}

// TestLinesStop: a log that is never read holds up the end of the process no
// longer than flushPatience.
func TestLinesStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		l := startLines(w, func(uint64) {})
		fmt.Fprintln(l, "nobody reads this")
		l.stop()
		r.Close()
		synctest.Wait()
	})
}
