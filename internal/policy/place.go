package policy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// place is a Pos in 8 bytes; places keeps the names of its files.
type place struct {
	line      uint32
	col, file uint16
}

type places struct {
	files []string
	notes map[Pos]string
}

// Note says for people why the entry at a place is in its set.
func (f *places) Note(p Pos, why string) {
	if f.notes == nil {
		f.notes = map[Pos]string{}
	}
	f.notes[p] = why
}

// because is ": " and what was noted about the entry at a place, or "".
func (f *places) because(p Pos) string {
	if why := f.notes[p]; why != "" {
		return ": " + why
	}
	return ""
}

func (f *places) pack(p Pos) place {
	at := place{line: uint32(min(max(p.Line, 0), math.MaxUint32)), col: uint16(min(max(p.Column, 0), math.MaxUint16))}
	for i := len(f.files) - 1; i >= 0; i-- {
		if f.files[i] == p.File {
			at.file = uint16(i)
			return at
		}
	}
	if len(f.files) > math.MaxUint16 {
		return place{} // a set from more than 65,536 files: the position is lost, nothing else
	}
	f.files = append(f.files, p.File)
	at.file = uint16(len(f.files) - 1)
	return at
}

func (f *places) pos(at place) Pos {
	p := Pos{Line: int(at.line), Column: int(at.col)}
	if int(at.file) < len(f.files) {
		p.File = f.files[at.file]
	}
	return p
}

// maxLine is how long a line of a text file may be.
const maxLine = 4096

// eachLine calls f for what stands on each line of a text file, without
// comments and blanks around it. Empty lines are left out.
func eachLine(r io.Reader, file string, f func(line []byte, pos Pos) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		pos := Pos{File: file, Line: n}
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return fmt.Errorf("cannot read %s: %w", file, err)
		}
		if len(line) > maxLine {
			return &Error{pos, fmt.Errorf("a line longer than %d bytes: is this a text file with one entry a line?", maxLine)}
		}
		if i := bytes.IndexByte(line, '#'); i >= 0 {
			line = line[:i]
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			if e := f(line, pos); e != nil {
				return &Error{pos, e}
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// number reads a decimal without sign or superfluous characters.
func number(s string, limit uint64) (uint64, bool) {
	if s == "" || len(s) > 20 || s[0] == '+' || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return n, err == nil && n <= limit
}
