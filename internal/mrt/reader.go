// Package mrt reads and writes the files in which route collectors keep tables
// and messages: RFC 6396, RFC 8050 (add-path).
//
// A Reader streams: its memory is that of the largest record, and in steady
// state it allocates nothing. What it returns is only as checked as its frame;
// attributes and messages are the codec's to judge.
package mrt

import (
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

const (
	headerLen = 12
	// maxRecord bounds what a length field can make us hold. The largest real
	// records are paths of one prefix from a thousand neighbors: about 1 MB.
	maxRecord = 16 << 20
	// firstBuffer holds any record but the rarest.
	firstBuffer = 256 << 10
)

// FormatError is about one record that is not what it says. Next can be called
// again: it continues behind that record.
type FormatError struct {
	Record int   // counted from 1
	Offset int64 // of the record in the uncompressed stream
	Why    string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("record %d at byte %d: %s", e.Record, e.Offset, e.Why)
}

// Reader reads the records of one file or stream.
type Reader struct {
	in     counter
	src    io.Reader
	buf    []byte // buf[at:] has been read and not been consumed
	at     int
	failed error // of src

	offset    int64
	records   int
	rec       Record
	neighbors []Neighbor
	known     map[Neighbor]int // TABLE_DUMP names neighbors entry by entry
}

// counter counts what is read, for progress.
type counter struct {
	r io.Reader
	n atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// NewReader reads from r, which is gzip or bzip2 or neither, as its first
// bytes say.
func NewReader(r io.Reader) (*Reader, error) {
	d := &Reader{in: counter{r: r}, buf: make([]byte, 0, firstBuffer)}
	var magic [6]byte
	n, err := io.ReadFull(&d.in, magic[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("cannot read MRT: %w", err)
	}
	head := magic[:n]
	all := io.MultiReader(bytes.NewReader(bytes.Clone(head)), &d.in)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		if d.src, err = gzip.NewReader(all); err != nil {
			return nil, fmt.Errorf("cannot read MRT as gzip: %w", err)
		}
	case bytes.HasPrefix(head, []byte("BZh")):
		d.src = bzip2.NewReader(all)
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return nil, errors.New("cannot read MRT: the file is compressed with xz; unpack it, or use gzip or bzip2")
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errors.New("cannot read MRT: the file is compressed with zstd; unpack it, or use gzip or bzip2")
	default:
		d.src = all
	}
	return d, nil
}

// InputBytes is how much of the input, compressed as it is, has been read. It
// may be called while Next runs.
func (d *Reader) InputBytes() int64 { return d.in.n.Load() }

// Neighbors are those that Entry.Neighbor names. A PEER_INDEX_TABLE replaces
// them; TABLE_DUMP, which has none, adds them as they appear.
func (d *Reader) Neighbors() []Neighbor { return d.neighbors }

// Next returns the next record, io.EOF behind the last, a *FormatError for a
// record that cannot be decoded, and any other error for good.
func (d *Reader) Next() (*Record, error) {
	head, err := d.need(headerLen)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) == 0 {
			return nil, io.EOF
		}
		return nil, d.ends(err)
	}
	size := int64(binary.BigEndian.Uint32(head[8:]))
	if size > maxRecord {
		return nil, fmt.Errorf("cannot read record %d at byte %d: it says that it has %d bytes; this is no MRT file, or a damaged one",
			d.records+1, d.offset, size)
	}
	all, err := d.need(headerLen + int(size))
	if err != nil {
		return nil, d.ends(err)
	}
	d.at += len(all)
	d.records++
	start := d.offset
	d.offset += int64(len(all))

	if why := d.decode(all[:headerLen], all[headerLen:]); why != "" {
		return nil, &FormatError{d.records, start, why}
	}
	return &d.rec, nil
}

// ends explains that the input ended inside of a record.
func (d *Reader) ends(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("cannot read record %d at byte %d: %w", d.records+1, d.offset, err)
}

// need returns the next n bytes without consuming them, or what there is of
// them and the error that ended the input.
func (d *Reader) need(n int) ([]byte, error) {
	for len(d.buf)-d.at < n {
		if d.failed != nil {
			return d.buf[d.at:], d.failed
		}
		if d.at > 0 && (d.at == len(d.buf) || d.at+n > cap(d.buf)) {
			d.buf = d.buf[:copy(d.buf, d.buf[d.at:])]
			d.at = 0
		}
		if len(d.buf) == cap(d.buf) {
			// Doubling as bytes arrive: a length field alone reserves nothing.
			d.buf = append(make([]byte, 0, 2*cap(d.buf)), d.buf...)
		}
		var m int
		m, d.failed = d.src.Read(d.buf[len(d.buf):cap(d.buf)])
		d.buf = d.buf[:len(d.buf)+m]
	}
	return d.buf[d.at : d.at+n], nil
}
