//go:build interop

// Package race compares holdfast with other routers in what takes long. It is
// run by hand (make kernel-race), as it wants a machine for itself.
package race

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	. "holdfast/testkit/netlab"
)

// neighbor is one that sends a table.
type neighbor struct {
	r    *run
	conn *net.TCPConn
}

// connect brings up the session of a neighbor.
func (r *run) connect(i int) {
	r.Helper()
	Await(r, Patience, "session", func() error {
		var conn *net.TCPConn
		err := r.ends[i].Node.Inside(func() (err error) {
			conn, err = net.DialTCP("tcp4", nil, &net.TCPAddr{IP: r.at[i].V4.AsSlice(), Port: 179})
			return err
		})
		if err != nil {
			return err
		}
		open := wire.Open{ASN: asn(i), HoldTime: 0, ID: binary.BigEndian.Uint32(r.ends[i].V4.AsSlice())}
		open.Capabilities.AS4 = true
		open.Capabilities.Families = []wire.FamilyID{wire.UnicastID(prefix.IPv4)}
		_, err = conn.Write(wire.AppendKeepalive(wire.AppendOpen(nil, &open)))
		in := bufio.NewReader(conn)
		_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		for _, want := range []byte{wire.MsgOpen, wire.MsgKeepalive} {
			var head [wire.HeaderLen]byte
			if err == nil {
				_, err = io.ReadFull(in, head[:])
			}
			if err == nil && head[18] != want {
				err = fmt.Errorf("message of type %d", head[18])
			}
			if err == nil {
				_, err = in.Discard(int(binary.BigEndian.Uint16(head[16:])) - wire.HeaderLen)
			}
		}
		if err != nil {
			conn.Close()
			return err
		}
		_ = conn.SetReadDeadline(time.Time{})
		r.feeds[i] = &neighbor{r, conn}
		go func() { _, _ = io.Copy(io.Discard, in) }() // ends with the connection
		r.Cleanup(func() { conn.Close() })
		return nil
	})
}

// send sends a table and its end.
func (n *neighbor) send(stream []byte) {
	n.r.Helper()
	if _, err := n.conn.Write(stream); err != nil {
		n.r.Fatal(err)
	}
	if _, err := n.conn.Write(wire.AppendEndOfRIB(nil, prefix.IPv4)); err != nil {
		n.r.Fatal(err)
	}
}

// die ends the connection without a word, as a machine does that is switched
// off and on.
func (n *neighbor) die() {
	_ = n.conn.SetLinger(0)
	n.conn.Close()
}
