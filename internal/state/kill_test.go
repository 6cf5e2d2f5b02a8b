package state

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// writers is how many change one file at the same time.
const writers = 4

// writeUntilKilled is another process: each writer counts on from what is
// there, and says each number once it has been acknowledged.
func writeUntilKilled(path string) {
	d, err := Open(path, "1.2.3", slog.Default())
	if err != nil {
		fmt.Println("cannot open", err)
		os.Exit(1)
	}
	f, err := Load(d, "things", noCheck)
	if err != nil {
		fmt.Println("cannot load", err)
		os.Exit(1)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for n := 1; ; n++ {
			if err := NoteOf[entry](d, "note").Write(entry{N: n}); err != nil {
				fmt.Println("cannot note", err)
				os.Exit(1)
			}
		}
	})
	for w := range writers {
		all.Go(func() {
			key := fmt.Sprint("writer ", w)
			e, _ := f.Get(key)
			for n := e.N + 1; ; n++ {
				// Removed and put back: a file of any length is on the way.
				if err := f.Update(func(m map[string]entry) (bool, error) {
					m[key] = entry{N: n}
					delete(m, fmt.Sprint("filler ", (n-1)%50))
					m[fmt.Sprint("filler ", n%50)] = entry{N: n}
					return true, nil
				}); err != nil {
					fmt.Println("cannot write", err)
					os.Exit(1)
				}
				fmt.Println(w, n)
			}
		})
	}
	all.Wait()
}

// TestKill kills a process that writes, with SIGKILL at random moments. What it
// has acknowledged is there afterwards, and every file is whole.
func TestKill(t *testing.T) {
	path := t.TempDir()
	r := rand.New(rand.NewPCG(9, uint64(time.Now().UnixNano())))
	total := 0
	for round := range 50 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STATE_TO_WRITE="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acked [writers]int
		lines := bufio.NewScanner(out)
		var kill *time.Timer
		for lines.Scan() {
			var w, n int
			if _, err := fmt.Sscan(lines.Text(), &w, &n); err != nil {
				t.Fatalf("it says %q", lines.Text())
			}
			acked[w] = n
			total++
			if kill == nil { // it has begun
				kill = time.AfterFunc(time.Duration(r.IntN(20000))*time.Microsecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait() // by the signal
		if kill == nil {
			t.Fatal("it wrote nothing")
		}
		d, log := open(t, path)
		f := load(t, d)
		for w, n := range acked {
			if e, _ := f.Get(fmt.Sprint("writer ", w)); n > 0 && e.N != n && e.N != n+1 {
				t.Errorf("round %d: writer %d has %d, was acknowledged %d", round, w, e.N, n)
			}
		}
		if e, found, err := NoteOf[entry](d, "note").Read(); err != nil || found && e.N == 0 {
			t.Errorf("round %d: noted is %v, %v", round, e, err)
		}
		if got := strings.ReplaceAll(names(t, path), "note.json ", ""); got != "things.json version" || strings.Contains(log.String(), "aside") {
			t.Errorf("round %d: there are %s; the log says %s", round, got, log)
		}
		d.Close()
	}
	t.Logf("%d changes were acknowledged", total)
}
