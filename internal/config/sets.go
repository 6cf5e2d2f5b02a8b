package config

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
)

// mostInline is how many entries a list in place may have before check asks
// for a text file: HCL keeps some 2 kB for each.
const mostInline = 5000

// Set is a block that names a set: entries in place, in a text file, or both.
type Set[S any] struct {
	Name string
	Pos  Pos
	// Inline is the entries in place, as they print.
	Inline []string
	// File is the text file's name as written, "" for none.
	File string
	// Set has all of them.
	Set *S
}

// The four kinds of sets.
type (
	PrefixSet    = Set[policy.PrefixSet]
	ASSet        = Set[policy.ASSet]
	CommunitySet = Set[policy.CommunitySet]
	ASPathSet    = Set[policy.ASPathSet]
)

// Members is what an argument means that names sets, entries in place, or
// both.
type Members[S any] struct {
	Sets   []string
	Inline []string
	// Set has all of them: the named set itself if it is the only one.
	Set *S
}

// setKind is what the kinds of sets differ in.
type setKind[S any] struct {
	block    string
	argument string
	create   func(name string, at Pos) *S
	// add puts an entry written in place into the set and returns its text.
	add   func(v value, to *S) (string, bool)
	read  func(to *S, from io.Reader, file string) error
	merge func(to, from *S) // nil where sets are never merged
	list  func(c *Config) *[]*Set[S]
	// builtin is the sets of this kind that holdfast brings; nil for none.
	builtin func(c *Config) []*Set[S]
	name    func(*S) string
	texts   func(*S) []string // entries, as they print
}

// setBlock is a set's block before its values are looked at, and its texts
// when it is printed.
type setBlock struct {
	entries, file         *value
	entriesText, fileText string
}

func (k setKind[S]) schema() schema[setBlock] {
	return schema[setBlock]{arguments: []argument[setBlock]{
		{
			name:  k.argument,
			read:  func(v value, to *setBlock) { to.entries = &v },
			write: func(from *setBlock) string { return from.entriesText },
		},
		{
			name:  k.argument + "_file",
			read:  func(v value, to *setBlock) { to.file = &v },
			write: func(from *setBlock) string { return from.fileText },
		},
	}}
}

// declare reads the block of a set.
func (k setKind[S]) declare(r *reader, b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	what := b.Type + " " + quote(name)
	var raw setBlock
	decode(r, k.schema(), what, b.DefRange(), b.Body, &raw)
	if raw.entries == nil && raw.file == nil && len(b.Body.Attributes) == 0 {
		r.errorf(b.DefRange(), "add "+k.argument+" = […] or "+k.argument+`_file = "FILE"`, "%s has no entries", what)
	}
	s := &Set[S]{Name: name, Pos: pos(b.TypeRange), Set: k.create(name, pos(b.TypeRange))}
	if raw.entries != nil {
		s.Inline = k.entries(*raw.entries, s.Set)
		if n := len(s.Inline); n > mostInline {
			r.warnf(raw.entries.at(), "move them to a text file, one a line: "+k.argument+`_file = "FILE"`,
				"%s has %d entries in place, which costs much memory and time", what, n)
		}
	}
	if raw.file != nil {
		if file, ok := raw.file.str("the name of a file", strconv.Quote("customers.txt")); ok {
			s.File = file
			k.readFile(*raw.file, file, s.Set)
		}
	}
	all := k.list(r.cfg)
	*all = append(*all, s)
}

// entries adds a list written in place.
func (k setKind[S]) entries(v value, to *S) []string {
	var texts []string
	for _, e := range v.elements() {
		if text, ok := k.add(e, to); ok {
			texts = append(texts, text)
		}
	}
	return texts
}

func (k setKind[S]) readFile(v value, name string, to *S) {
	in, path, ok := v.open(name)
	if !ok {
		return
	}
	defer in.Close() // nothing was written
	err := k.read(to, in, path)
	var place *policy.Error
	switch {
	case errors.As(err, &place):
		v.diags = append(v.diags, Diagnostic{Severity: Error, Pos: place.Pos, Message: place.Err.Error()})
	case err != nil:
		v.fail("", "%v", err)
	}
}

// open opens a file that the configuration names, relative to the file it
// stands in.
func (v value) open(name string) (*os.File, string, bool) {
	path := name
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(v.at().Filename), path)
	}
	f, err := openRegular(path)
	if err != nil {
		v.fail(cmp.Or(unreadable(err), "create it, or mend the name"), "cannot read %s: %v", path, reason(err))
		return nil, path, false
	}
	if !slices.Contains(v.cfg.Files, path) {
		v.cfg.Files = append(v.cfg.Files, path)
	}
	return f, path, true
}

// unreadable is what to do about a file that may not be read, "" if that is not
// what is wrong with it. Where holdfast is confined, a file in a directory of
// which there was none at the start is one that may not be read.
func unreadable(err error) string {
	if !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	return "let the user that holdfast runs as read it (chown it to that user, or chgrp and chmod 640); " +
		"if that user may, it is in a directory that holdfast did not read from when it started: restart it"
}

// openRegular refuses devices and pipes, on which a reader could hang.
func openRegular(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("it is a directory")
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	return os.Open(path)
}

// reason is an error of package os without the path that the message has.
func reason(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// find is the declared or built-in set of that name, nil if there is none.
func (k setKind[S]) find(c *Config, name string) *S {
	all := *k.list(c)
	if k.builtin != nil && strings.HasPrefix(name, reserved) {
		all = k.builtin(c)
	}
	for _, s := range all {
		if s.Name == name {
			return s.Set
		}
	}
	return nil
}

// codec reads sets and entries where both may stand.
func (k setKind[S]) codec() codec[Members[S]] {
	return codec[Members[S]]{
		read: func(v value) (Members[S], bool) {
			sets, m, ok := k.members(v, v.elements())
			if len(sets) == 1 && len(m.Inline) == 0 {
				m.Set = sets[0]
			} else {
				for _, s := range sets {
					k.merge(m.Set, s)
				}
			}
			return m, ok
		},
		write: func(m Members[S]) string {
			var all []string
			for _, s := range m.Sets {
				all = append(all, ref{k.block, s}.String())
			}
			return oneOrMany(append(all, m.Inline...))
		},
	}
}

// members takes elements of v apart: named sets, and entries in place, which
// Set has.
func (k setKind[S]) members(v value, elements []value) (sets []*S, m Members[S], ok bool) {
	m.Set, ok = k.create("", pos(v.at())), true
	for _, e := range elements {
		_, isRef := e.reference()
		_, isBare := e.bare()
		if !isRef && !isBare {
			text, good := k.add(e, m.Set)
			m.Inline, ok = append(m.Inline, text), ok && good
			continue
		}
		name, good := e.refTo(k.block)
		m.Sets, ok = append(m.Sets, name), ok && good
		if s := k.find(v.cfg, name); s != nil {
			sets = append(sets, s)
		}
	}
	if n := len(m.Inline); n > mostInline {
		v.warnf(v.at(), "move them to a text file: a "+k.block+" with "+k.argument+"_file",
			"%s has %d entries in place, which costs much memory and time", v.name, n)
	}
	return sets, m, ok
}

// oneOrMany writes a list, without brackets if it has one member.
func oneOrMany(all []string) string {
	if len(all) == 1 {
		return all[0]
	}
	return bracketed(all)
}
