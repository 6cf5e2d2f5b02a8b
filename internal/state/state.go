// Package state keeps what must outlive the process: a directory of small JSON
// files that people can read, copy, and put back while holdfast does not run.
//
// A file is replaced as a whole, and is on the disk before a change counts as
// made: whenever the process or the machine ends, there is the old file or the
// new one, never half of one, and nothing that was acknowledged is missing.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"holdfast/internal/events"
)

// Format is that of the files. Within one, fields and files are only ever
// added, so that newer and older programs read each other's. A change that
// older programs cannot read raises it, reads the format before, and is for a
// new major version.
const Format = 1

// versionFile says who wrote the directory. Without it the format is taken to
// be this one: somebody has put single files back.
const versionFile = "version"

type version struct {
	Format    int    `json:"format"`
	WrittenBy string `json:"written_by"`
}

// ErrInUse is the error of Open about a directory that another process uses.
var ErrInUse = errors.New("another holdfast uses the state directory")

// Dir is a state directory, which no other process can use meanwhile.
type Dir struct {
	path    string
	writer  string   // the version of the program that wrote it last
	handle  *os.File // of the directory: it has the lock and is synced
	log     *slog.Logger
	replace func(name string, data []byte) (replaced bool, err error) // tests have it fail
}

// Open takes a state directory, and makes it if there is none. program is the
// version of the program that runs. Close lets go of it.
func Open(path, program string, log *slog.Logger) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the state directory: %w (choose another with --state)", err)
	}
	handle, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the state directory: %w (choose another with --state)", err)
	}
	d := &Dir{path: path, writer: program, handle: handle, log: log}
	d.replace = d.write
	if err := d.take(program); err != nil {
		handle.Close()
		return nil, err
	}
	return d, nil
}

// Close lets another process use the directory.
func (d *Dir) Close() { d.handle.Close() }

func (d *Dir) take(program string) error {
	switch err := syscall.Flock(int(d.handle.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%w %s: stop it, or choose another with --state", ErrInUse, d.path)
	case err != nil:
		return fmt.Errorf("cannot lock the state directory %s: %w", d.path, err)
	}
	d.tidy()
	v := version{}
	found, err := d.read(versionFile, func(data []byte) error {
		if err := json.Unmarshal(data, &v); err != nil {
			return err
		}
		if v.Format < 1 || v.WrittenBy == "" {
			return errors.New("it has no format, or does not say who wrote it")
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found && v.Format > Format:
		return fmt.Errorf("the state directory %s was written by holdfast %s in format %d; this is holdfast %s, which reads up to format %d: "+
			"run holdfast %[2]s or a newer one, put back a copy of the directory from before its upgrade, or choose another with --state",
			d.path, v.WrittenBy, v.Format, program, Format)
	case found:
		d.writer = v.WrittenBy
	}
	if want := (version{Format, program}); v != want {
		data, err := json.Marshal(want)
		if err != nil {
			return err
		}
		if _, err := d.replace(versionFile, append(data, '\n')); err != nil {
			// The router is worth more than its memory.
			d.log.Warn("the state directory cannot be written: commands that must be remembered will fail",
				"event", events.StateUnwritable, "directory", d.path, "error", reason(err))
		}
	}
	return nil
}

// unfinished is a file that was being written when a process ended.
var unfinished = regexp.MustCompile(`^\.(version|.+\.json)\d+$`)

func (d *Dir) tidy() {
	all, err := os.ReadDir(d.path)
	if err != nil {
		return // what stays does no harm
	}
	for _, f := range all {
		if unfinished.MatchString(f.Name()) {
			os.Remove(filepath.Join(d.path, f.Name()))
		}
	}
}

// read gives a file to parse. One that cannot be parsed is set aside, as if it
// were not there.
func (d *Dir) read(name string, parse func([]byte) error) (found bool, err error) {
	path := filepath.Join(d.path, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot read the state: %w", err)
	}
	broken := parse(data)
	if broken == nil {
		return true, nil
	}
	aside := path + time.Now().UTC().Format(".corrupt-20060102T150405.000")
	if err := os.Rename(path, aside); err != nil {
		return false, fmt.Errorf("cannot read %s: %w; and cannot set it aside: %w", path, broken, err)
	}
	d.log.Error("a state file cannot be read and was set aside: what it held is not in force; stop holdfast, mend the file and give it its name back, or delete it",
		"event", events.StateCorrupt, "file", path, "aside", aside, "error", broken)
	return false, nil
}

// write makes data the contents of a file. replaced says that it is so, even
// if an error says that a power failure may undo it.
func (d *Dir) write(name string, data []byte) (replaced bool, err error) {
	f, err := renameio.NewPendingFile(filepath.Join(d.path, name), renameio.WithTempDir(d.path), renameio.WithStaticPermissions(0o600))
	if err != nil {
		return false, err
	}
	defer f.Cleanup()
	if _, err := f.Write(data); err != nil {
		return false, err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return false, err
	}
	return true, d.handle.Sync()
}

// reason is an error without the name of the unfinished file, which says
// nothing to anybody.
func reason(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
