package state

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"holdfast/internal/events"
)

// Entries is a file of entries by key. What it has in memory is what is on the
// disk.
type Entries[E any] struct {
	dir  *Dir
	name string

	turn sync.Mutex // whoever has it writes for all that wait

	mu      sync.Mutex   // for what follows
	entries map[string]E // never changed, only replaced
	waiting []*update[E]
}

// update is a change that somebody waits for.
type update[E any] struct {
	change func(map[string]E) (changed bool, err error)
	done   bool // and err says how it ended; both belong to whoever has the turn
	err    error
}

// Load reads a file of entries; without the file there are none. check says
// what is wrong with an entry, and may complete it.
func Load[E any](d *Dir, name string, check func(key string, e *E) error) (*Entries[E], error) {
	f := &Entries[E]{dir: d, name: name + ".json", entries: map[string]E{}}
	_, err := d.read(f.name, func(data []byte) error {
		all := map[string]E{}
		strict := json.NewDecoder(bytes.NewReader(data))
		strict.DisallowUnknownFields()
		unknown := strict.Decode(&all)
		clear(all)
		if err := json.Unmarshal(data, &all); err != nil {
			return err
		}
		for key, e := range all {
			if err := check(key, &e); err != nil {
				return fmt.Errorf("%q: %w", key, err)
			}
			all[key] = e
		}
		if unknown != nil {
			d.log.Warn("a state file has fields that this version does not know: they will be lost when it writes the file",
				"event", events.StateNewer, "file", f.name, "written_by", d.writer, "error", unknown)
		}
		if all != nil { // the file may say null
			f.entries = all
		}
		return nil
	})
	return f, err
}

// All are the entries. The map does not change, and must not be changed.
func (f *Entries[E]) All() map[string]E {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.entries
}

// Get is an entry.
func (f *Entries[E]) Get(key string) (e E, ok bool) {
	e, ok = f.All()[key]
	return e, ok
}

// Update has change work on a copy of the entries and returns once that is on
// the disk. changed is false if there is nothing to write. If change returns an
// error it must have left the entries as they are; if they cannot be written,
// they are as before.
//
// Callers that come while another one writes share the next write: however
// many there are, none waits for more than two.
func (f *Entries[E]) Update(change func(map[string]E) (changed bool, err error)) error {
	u := &update[E]{change: change}
	f.mu.Lock()
	f.waiting = append(f.waiting, u)
	f.mu.Unlock()
	f.turn.Lock()
	defer f.turn.Unlock()
	if !u.done {
		f.commit()
	}
	return u.err
}

// Rewrite writes the file anew, if it has any entries.
func (f *Entries[E]) Rewrite() error {
	return f.Update(func(all map[string]E) (bool, error) { return len(all) > 0, nil })
}

// commit does all that waits.
func (f *Entries[E]) commit() {
	f.mu.Lock()
	batch := f.waiting
	f.waiting = nil
	entries := maps.Clone(f.entries)
	f.mu.Unlock()
	var changes []*update[E]
	for _, u := range batch {
		changed := false
		if changed, u.err = u.change(entries); changed {
			changes = append(changes, u)
		}
		u.done = true
	}
	if len(changes) == 0 {
		return
	}
	replaced, err := f.write(entries)
	if replaced {
		f.mu.Lock()
		f.entries = entries
		f.mu.Unlock()
	}
	for _, u := range changes {
		switch {
		case err != nil && replaced:
			u.err = fmt.Errorf("it is done, but may not survive a power failure: cannot sync %s: %w", f.dir.path, reason(err))
		case err != nil:
			u.err = fmt.Errorf("nothing has changed: cannot write %s in %s: %w", f.name, f.dir.path, reason(err))
		}
	}
}

// write puts each entry on a line of its own.
func (f *Entries[E]) write(entries map[string]E) (replaced bool, err error) {
	b := bytes.NewBufferString("{")
	for i, key := range slices.Sorted(maps.Keys(entries)) {
		if i > 0 {
			b.WriteByte(',')
		}
		k, err := json.Marshal(key)
		if err != nil {
			return false, err
		}
		e, err := json.Marshal(entries[key])
		if err != nil {
			return false, err
		}
		fmt.Fprintf(b, "\n%s: %s", k, e)
	}
	b.WriteString("\n}\n")
	return f.dir.replace(f.name, b.Bytes())
}
