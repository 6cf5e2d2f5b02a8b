package rtr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"holdfast/internal/rpki"
)

// lookEvery is how often a file is looked at.
const lookEvery = 5 * time.Second

// watch reads a file, and again whenever it is another one, until ctx ends.
func (x *source) watch(ctx context.Context) {
	var seen os.FileInfo
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		info, err := os.Stat(x.Path)
		switch {
		case err != nil:
			x.complain(unreadable(err))
			seen = nil
		case seen == nil || !os.SameFile(seen, info) || !seen.ModTime().Equal(info.ModTime()) || seen.Size() != info.Size():
			seen = info
			err := x.read(info)
			if err != nil {
				x.complain(err)
			}
			if errors.Is(err, fs.ErrPermission) {
				seen = nil // to mend that, nobody writes it
			}
		}
		x.expireNow()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-x.look:
		}
	}
}

func (x *source) read(info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", x.Path)
	}
	if age := time.Since(info.ModTime()); x.Expire > 0 && age >= x.Expire {
		return fmt.Errorf("%s was written %s ago, and expire is %s: does the validator run?", x.Path, age.Round(time.Second), x.Expire)
	}
	f, err := os.Open(x.Path)
	if err != nil {
		return unreadable(err)
	}
	defer f.Close() // nothing was written
	set, aspas, err := rpki.ReadJSON(f, time.Now(), MaxRecords)
	if err != nil {
		return fmt.Errorf("%s: %w", place(f, x.Path, err), err)
	}
	x.known, x.at = known{set: set, aspas: aspas}, info.ModTime()
	x.up(x.Expire)
	return nil
}

// unreadable says what to do about a file that may not be read.
func unreadable(err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w (let the user that holdfast runs as read it; if that user may, restart holdfast: it did not read from that directory when it started)", err)
}

// place is where in a file something is wrong.
func place(f *os.File, name string, err error) string {
	var at *rpki.FileError
	if !errors.As(err, &at) {
		return name
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return name
	}
	lines, buf := 1, make([]byte, 64<<10)
	for left := at.Offset; left > 0; {
		n, err := f.Read(buf[:min(int64(len(buf)), left)])
		lines += bytes.Count(buf[:n], []byte("\n"))
		if left -= int64(n); err != nil {
			break
		}
	}
	return fmt.Sprintf("%s:%d (byte %d)", name, lines, at.Offset)
}
