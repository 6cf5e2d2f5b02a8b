package speaker

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"holdfast/internal/wire"
)

// Reader reads whole messages.
type Reader struct {
	in  *bufio.Reader
	buf [wire.MaxMsgLen]byte
}

// NewReader reads from a connection.
func NewReader(conn io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(conn, 256<<10)} }

// Next is the next message. body is valid until the one after it.
func (r *Reader) Next() (typ byte, body []byte, err error) {
	if _, err = io.ReadFull(r.in, r.buf[:wire.HeaderLen]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint16(r.buf[16:]))
	if n < wire.HeaderLen || n > len(r.buf) {
		return 0, nil, fmt.Errorf("a message of %d bytes", n)
	}
	_, err = io.ReadFull(r.in, r.buf[wire.HeaderLen:n])
	return r.buf[18], r.buf[wire.HeaderLen:n], err
}

// Greet sends an OPEN and a KEEPALIVE, and waits for those of the other side, whose
// OPEN it returns.
func Greet(conn io.Writer, in *Reader, ours *wire.Open) (theirs wire.Open, err error) {
	if _, err := conn.Write(wire.AppendKeepalive(wire.AppendOpen(nil, ours))); err != nil {
		return theirs, err
	}
	for _, want := range []byte{wire.MsgOpen, wire.MsgKeepalive} {
		typ, body, err := in.Next()
		switch {
		case err != nil:
			return theirs, err
		case typ != want:
			return theirs, fmt.Errorf("a message of type %d came in place of one of type %d: %x", typ, want, body)
		case typ == wire.MsgOpen:
			open, bad := wire.ParseOpen(body)
			if bad != nil {
				return theirs, bad
			}
			theirs = open
		}
	}
	return theirs, nil
}
