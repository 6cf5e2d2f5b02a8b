package state

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STATE_TO_WRITE"); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// entry is what the tests keep.
type entry struct {
	N     int      `json:"n"`
	Until Deadline `json:"until,omitzero"`
}

func noCheck(string, *entry) error { return nil }

// open opens a directory until the test ends and returns its log.
func open(t *testing.T, path string) (*Dir, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	d, err := Open(path, "1.2.3", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d, &log
}

func load(t *testing.T, d *Dir) *Entries[entry] {
	t.Helper()
	f, err := Load(d, "things", noCheck)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// set is an update that always succeeds.
func set(key string, n int) func(map[string]entry) (bool, error) {
	return func(m map[string]entry) (bool, error) {
		m[key] = entry{N: n}
		return true, nil
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T, dir string) string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range all {
		names = append(names, f.Name())
	}
	return strings.Join(names, " ")
}

// TestFiles: what people find in the directory.
func TestFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, log := open(t, path)
	f := load(t, d)
	if len(f.All()) != 0 {
		t.Errorf("a new file has %v", f.All())
	}
	for i, key := range []string{"b", "a", `c"<`} {
		if err := f.Update(set(key, i)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := contents(t, path+"/things.json"), "{\n\"a\": {\"n\":1},\n\"b\": {\"n\":0},\n\"c\\\"\\u003c\": {\"n\":2}\n}\n"; got != want {
		t.Errorf("the file is %s, want %s", got, want)
	}
	if got, want := contents(t, path+"/version"), `{"format":1,"written_by":"1.2.3"}`+"\n"; got != want {
		t.Errorf("the version is %s, want %s", got, want)
	}
	for name, want := range map[string]fs.FileMode{"": 0o700, "version": 0o600, "things.json": 0o600} {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
		}
	}
	write(t, path+"/.things.json4711", "{") // of a process that was killed
	write(t, path+"/.notes", "")
	d.Close()
	d, _ = open(t, path)
	if got := names(t, path); got != ".notes things.json version" {
		t.Errorf("there are %s", got)
	}
	if e, ok := load(t, d).Get("b"); !ok || e.N != 0 {
		t.Errorf("b is %v, %v", e, ok)
	}
	if log.Len() > 0 {
		t.Errorf("the log says %s", log)
	}
}

// TestOneProcess: two never share a directory.
func TestOneProcess(t *testing.T) {
	path := t.TempDir()
	d, _ := open(t, path)
	if _, err := Open(path, "1", slog.Default()); err == nil || !strings.Contains(err.Error(), "another holdfast uses the state directory "+path) {
		t.Errorf("the second one: %v", err)
	}
	d.Close()
	open(t, path)
}

// TestVersions: newer programs read what older ones wrote, older ones refuse
// what they cannot read, and say what would be lost.
func TestVersions(t *testing.T) {
	path := t.TempDir()
	write(t, path+"/version", `{"format":2,"written_by":"3.0.0"}`)
	write(t, path+"/things.json", `{"a":{"n":7}}`)
	_, err := Open(path, "1.2.3", slog.Default())
	for _, want := range []string{"written by holdfast 3.0.0 in format 2", "this is holdfast 1.2.3, which reads up to format 1", "run holdfast 3.0.0 or a newer one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("it says %v, want %q", err, want)
		}
	}
	if got := contents(t, path+"/version"); !strings.Contains(got, "3.0.0") {
		t.Errorf("the version is %s", got)
	}
	write(t, path+"/version", `{"format":1,"written_by":"1.9.0","host":"r1"}`)
	write(t, path+"/things.json", `{"a":{"n":7,"colour":"red"}}`)
	write(t, path+"/later.json", `{}`)
	d, log := open(t, path)
	if e, _ := load(t, d).Get("a"); e.N != 7 {
		t.Errorf("a is %v", e)
	}
	if got := log.String(); !strings.Contains(got, "will be lost") || !strings.Contains(got, "written_by=1.9.0") || !strings.Contains(got, "colour") {
		t.Errorf("the log says %s", got)
	}
	if got := contents(t, path+"/version"); !strings.Contains(got, "1.2.3") {
		t.Errorf("the version is %s", got)
	}
	if got := names(t, path); got != "later.json things.json version" {
		t.Errorf("there are %s", got)
	}
}

// TestCorrupt: a file that cannot be read is set aside, said so, and the rest
// goes on.
func TestCorrupt(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "half": `{"a":{"n":1`, "no object": "[]", "wrong type": `{"a":{"n":"1"}}`, "more": `{} {}`, "bad entry": `{"a":{"n":-1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir()
			write(t, path+"/things.json", text)
			write(t, path+"/version", "{")
			d, log := open(t, path)
			f, err := Load(d, "things", func(_ string, e *entry) error {
				if e.N < 0 {
					return errors.New("it is negative")
				}
				return nil
			})
			if err != nil || len(f.All()) > 0 {
				t.Fatalf("%v, %v", f.All(), err)
			}
			all, err := filepath.Glob(path + "/things.json.corrupt-*")
			if err != nil || len(all) != 1 || contents(t, all[0]) != text {
				t.Errorf("set aside are %v, %v", all, err)
			}
			if got := strings.Count(log.String(), "was set aside"); got != 2 { // the version as well
				t.Errorf("the log says %s", log)
			}
			if err := f.Update(set("b", 1)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestCannotRead: what may well be whole is not taken for lost.
func TestCannotRead(t *testing.T) {
	path := t.TempDir()
	d, _ := open(t, path)
	if err := os.Mkdir(path+"/things.json", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(d, "things", noCheck); !errors.Is(err, syscall.EISDIR) {
		t.Error(err)
	}
	if _, err := Open(path+"/version", "1", slog.Default()); err == nil || !strings.Contains(err.Error(), "cannot make the state directory") {
		t.Error(err)
	}
}

// TestFullDisk: what cannot be written does not count, in memory either.
func TestFullDisk(t *testing.T) {
	path := t.TempDir()
	d, _ := open(t, path)
	f := load(t, d)
	if err := f.Update(set("a", 1)); err != nil {
		t.Fatal(err)
	}
	before := contents(t, path+"/things.json")
	write := d.replace
	d.replace = func(string, []byte) (bool, error) {
		return false, &fs.PathError{Op: "write", Path: path + "/.things.json1", Err: syscall.ENOSPC}
	}
	err := f.Update(set("a", 2))
	if want := "nothing has changed: cannot write things.json in " + path + ": no space left on device"; err == nil || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
	if e, _ := f.Get("a"); e.N != 1 || contents(t, path+"/things.json") != before {
		t.Errorf("a is %v", e)
	}
	d.replace = func(name string, data []byte) (bool, error) {
		write(name, data)
		return true, syscall.EIO
	}
	if err := f.Update(set("a", 3)); err == nil || !strings.Contains(err.Error(), "it is done, but may not survive a power failure") {
		t.Error(err)
	}
	if e, _ := f.Get("a"); e.N != 3 || contents(t, path+"/things.json") == before {
		t.Errorf("a is %v", e)
	}
	d.Close()
	var log bytes.Buffer
	if err := os.Chmod(path, 0o500); err != nil {
		t.Fatal(err)
	}
	full := &Dir{path: path, handle: d.handle, log: slog.New(slog.NewTextHandler(&log, nil)), replace: func(string, []byte) (bool, error) { return false, syscall.ENOSPC }}
	if full.handle, err = os.Open(path); err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	if err := full.take("2.0.0"); err != nil || !strings.Contains(log.String(), "cannot be written") {
		t.Errorf("a full disk at the start: %v, %s", err, &log)
	}
}

// TestRefusedChange: one that fails takes nobody with it, and one that changes
// nothing is not written.
func TestRefusedChange(t *testing.T) {
	d, _ := open(t, t.TempDir())
	f := load(t, d)
	d.replace = func(string, []byte) (bool, error) {
		t.Error("it was written")
		return false, nil
	}
	no := errors.New("no")
	if err := f.Update(func(map[string]entry) (bool, error) { return false, no }); err != no {
		t.Error(err)
	}
	if err := f.Update(func(map[string]entry) (bool, error) { return false, nil }); err != nil {
		t.Error(err)
	}
}

// TestRewrite writes what there is, with deadlines as the clock has them now.
func TestRewrite(t *testing.T) {
	d, _ := open(t, t.TempDir())
	f := load(t, d)
	writes := 0
	write := d.replace
	d.replace = func(name string, data []byte) (bool, error) {
		writes++
		return write(name, data)
	}
	if err := f.Rewrite(); err != nil || writes != 0 {
		t.Errorf("%d writes of nothing, %v", writes, err)
	}
	if err := f.Update(set("a", 1)); err != nil {
		t.Fatal(err)
	}
	if err := f.Rewrite(); err != nil || writes != 2 {
		t.Errorf("%d writes, %v", writes, err)
	}
}

// TestSharedWrites: callers that come while the disk is busy share the next
// write, and each learns how its own change ended.
func TestSharedWrites(t *testing.T) {
	d, _ := open(t, t.TempDir())
	f := load(t, d)
	write := d.replace
	writes, begun, goOn := 0, make(chan struct{}), make(chan struct{})
	d.replace = func(name string, data []byte) (bool, error) {
		if writes++; writes == 1 {
			close(begun)
			<-goOn
		}
		return write(name, data)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if err := f.Update(set("first", 1)); err != nil {
			t.Error(err)
		}
	})
	<-begun
	const callers = 100
	for i := range callers {
		all.Go(func() {
			if err := f.Update(set(fmt.Sprint(i), i)); err != nil {
				t.Error(err)
			}
			if e, ok := f.Get(fmt.Sprint(i)); !ok || e.N != i {
				t.Errorf("%d is %v when it is acknowledged", i, e)
			}
		})
	}
	no := errors.New("no")
	all.Go(func() {
		if err := f.Update(func(map[string]entry) (bool, error) { return false, no }); err != no {
			t.Error(err)
		}
	})
	for waiting := 0; waiting < callers+1; {
		f.mu.Lock()
		waiting = len(f.waiting)
		f.mu.Unlock()
	}
	close(goOn)
	all.Wait()
	if writes != 2 || len(f.All()) != callers+1 {
		t.Errorf("%d writes for %d entries", writes, len(f.All()))
	}
}

// TestDeadlines come when they are due, and stand on the disk as what the clock
// says then.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := After(10 * time.Minute)
		text, err := d.MarshalText()
		if want := time.Now().Add(10 * time.Minute).UTC().Format(time.RFC3339); err != nil || string(text) != want {
			t.Errorf("%s, %v, want %s", text, err, want)
		}
		var read Deadline
		if err := read.UnmarshalText(text); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10*time.Minute - time.Second)
		if d.Passed() || read.Passed() || read.Left() != time.Second || !read.Time().Equal(d.Time()) {
			t.Errorf("a second before: %v, %v", d, read)
		}
		time.Sleep(time.Second)
		if !d.Passed() || !read.Passed() {
			t.Error("it has not come")
		}
		if err := read.UnmarshalText(text); err != nil || !read.Passed() {
			t.Errorf("read afterwards: %v, %v", read, err)
		}
		if never := After(0); never.Passed() || !never.Time().IsZero() || never.String() != "never" {
			t.Errorf("never is %v", never)
		}
		if err := read.UnmarshalText([]byte("tomorrow")); err == nil {
			t.Error("tomorrow is a deadline")
		}
		c := NewClock()
		ahead := time.Duration(0)
		c.wall = func() time.Time { return time.Now().Add(ahead).Round(0) }
		for _, s := range []struct {
			ahead time.Duration
			set   bool
		}{{0, false}, {time.Millisecond, false}, {time.Hour, true}, {time.Hour, false}, {0, true}} {
			time.Sleep(time.Minute)
			if ahead = s.ahead; c.Set() != s.set {
				t.Errorf("%v ahead: set is %v", s.ahead, !s.set)
			}
		}
	})
}

// TestNote: what is noted is there, and nothing of what was not finished.
func TestNote(t *testing.T) {
	path := t.TempDir()
	d, _ := open(t, path)
	n := NoteOf[entry](d, "now")
	if _, found, err := n.Read(); found || err != nil {
		t.Errorf("nothing is noted yet: %v, %v", found, err)
	}
	for i := range 3 {
		if err := n.Write(entry{N: i}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, path+"/.now.json1234", "half of")
	d.Close()
	d, _ = open(t, path)
	if e, found, err := NoteOf[entry](d, "now").Read(); e.N != 2 || !found || err != nil {
		t.Errorf("noted is %v, %v, %v", e, found, err)
	}
	if got := names(t, path); got != "now.json version" {
		t.Errorf("there are %s", got)
	}
	for _, lost := range []string{"", "\x00\x00\x00"} { // what a power failure may leave of it
		write(t, path+"/now.json", lost)
		if e, found, err := NoteOf[entry](d, "now").Read(); found || err != nil || e.N != 0 {
			t.Errorf("of %q: %v, %v, %v", lost, e, found, err)
		}
	}
	if got := names(t, path); got != "now.json version" {
		t.Errorf("it is taken for an error, and there are %s", got)
	}
	if err := os.Mkdir(path+"/other.json", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := NoteOf[entry](d, "other").Write(entry{}); err == nil {
		t.Error("a directory is in the place, and it is written")
	}
	write(t, path+"/now.json", "{")
	if e, found, err := NoteOf[entry](d, "now").Read(); found || err != nil || e.N != 0 {
		t.Errorf("of a broken note: %v, %v, %v", e, found, err)
	}
}
