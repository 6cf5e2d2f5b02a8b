package state

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
)

// Note is a file about the running system, which means nothing after a reboot:
// it is replaced as a whole, and need not be on the disk.
type Note[T any] struct {
	dir  *Dir
	name string
}

// NoteOf is the note of a name.
func NoteOf[T any](d *Dir, name string) *Note[T] { return &Note[T]{d, name + ".json"} }

// Read is what stands there; false if nothing does, as a power failure may have
// it.
func (n *Note[T]) Read() (v T, found bool, err error) {
	empty := false
	found, err = n.dir.read(n.name, func(data []byte) error {
		if empty = len(bytes.Trim(data, "\x00")) == 0; empty {
			return nil
		}
		return json.Unmarshal(data, &v)
	})
	if found = found && !empty; !found {
		v = *new(T)
	}
	return v, found, err
}

// Write replaces it. Whoever is killed meanwhile leaves the old one or the new one.
func (n *Note[T]) Write(v T) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(n.dir.path, "."+n.name)
	if err != nil {
		return reason(err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(n.dir.path, n.name))
	}
	return reason(err)
}
