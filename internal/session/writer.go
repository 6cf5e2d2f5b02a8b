package session

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/wire"
)

// batch is how many packets one system call writes at the most.
const batch = 16

// writer writes what its outbox has: several packets with one system call, as
// they are where the neighbor gets what the others of its group get, else
// rendered into a scratch.
type writer struct {
	conn    *conn
	out     *outbox
	control []byte
	items   [batch]item
	parts   [batch + 1][]byte // what is written, each of whole messages
	iov     [batch + 1][]byte
	bufs    net.Buffers
	scratch [batch]*[]byte
	counts  [wire.MsgRefresh + 1]uint32
}

var scratches = sync.Pool{New: func() any {
	b := make([]byte, 0, packet.Size+packet.Size/8)
	return &b
}}

func (w *writer) run() {
	c := w.conn
	for {
		select {
		case <-c.stop:
			w.finish()
			return
		default:
		}
		control, n, room := w.out.take(w.control[:0], w.items[:])
		w.control = control
		if room {
			c.routes.Writable(c.id)
		}
		if len(control) == 0 && n == 0 {
			select {
			case <-w.out.wake:
			case <-c.stop:
			}
			continue
		}
		err := w.write(w.gather(n))
		w.release(n)
		if err != nil {
			// Half of a message may be out: nothing can follow.
			w.fail(err)
			return
		}
	}
}

// fail tells the runner that nothing can be written any more. If the
// connection has ended, the reader knows better why: there may be a
// NOTIFICATION.
func (w *writer) fail(err error) {
	e := fsm.Event{Kind: fsm.SendHoldExpires}
	if !errors.Is(err, errSendHold) {
		e = fsm.Event{Kind: fsm.ConnectionFails, Text: errorText(err)}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case <-t.C:
		case <-w.conn.stop:
			return
		}
	}
	w.conn.tell(e)
}

// finish writes the last message, if there is one.
func (w *writer) finish() {
	final := w.out.final // nobody changes it once ending
	if final == nil {
		return
	}
	w.conn.trace(true, final)
	if _, err := w.conn.nc.Write(final); err == nil {
		w.conn.runner.out.types[final[18]].Add(1)
		w.conn.runner.out.bytes.Add(uint64(len(final)))
	}
}

// gather makes parts of the control messages and n packets.
func (w *writer) gather(n int) (parts int) {
	if len(w.control) > 0 {
		w.parts[0] = w.control
		parts = 1
	}
	for i, it := range w.items[:n] {
		data := it.packet.Data
		if !it.packet.Plain(w.conn.id, it.nextHop) {
			s := scratches.Get().(*[]byte)
			*s = it.packet.Render((*s)[:0], w.conn.id, it.nextHop)
			data, w.scratch[i] = *s, s
		}
		if len(data) > 0 { // all of it may have been for others
			w.parts[parts] = data
			parts++
		}
	}
	return parts
}

// release gives back what gather and take took.
func (w *writer) release(n int) {
	for i := range w.items[:n] {
		w.items[i].packet.Release()
		w.items[i] = item{}
		if s := w.scratch[i]; s != nil {
			scratches.Put(s)
			w.scratch[i] = nil
		}
	}
	clear(w.parts[:])
}

var errSendHold = errors.New("send hold timer expired")

// write writes parts. Each attempt has a deadline, a part of the send hold time,
// at which it is seen whether any message got through meanwhile (RFC 9687).
func (w *writer) write(parts int) error {
	c := w.conn
	for _, p := range w.parts[:parts] {
		c.trace(true, p) // before the neighbor can answer
	}
	copy(w.iov[:], w.parts[:parts])
	w.bufs = w.iov[:parts]
	hold := c.sendHold()
	last, written, whole := time.Now(), 0, 0
	for len(w.bufs) > 0 {
		now := time.Now()
		until := time.Time{}
		if hold > 0 {
			until = now.Add(hold / 8)
		}
		ending := w.out.deadline(until)
		n, err := w.bufs.WriteTo(c.nc)
		written += int(n)
		if err == nil {
			break
		}
		if ending || !errors.Is(err, os.ErrDeadlineExceeded) || stopped(c.stop) {
			return err
		}
		if m := w.messages(parts, written); m > whole {
			whole, last = m, now
		}
		if time.Since(last) >= hold {
			return errSendHold
		}
	}
	w.count(parts)
	c.runner.out.add(&w.counts, written)
	if w.counts[wire.MsgUpdate] > 0 {
		c.wrote.Store(int64(c.runner.manager.elapsed()))
	}
	return nil
}

func stopped(stop chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// messages is how many whole messages are in the first bytes of parts.
func (w *writer) messages(parts, bytes int) (n int) {
	for _, p := range w.parts[:parts] {
		for len(p) > 0 {
			size := int(p[16])<<8 | int(p[17])
			if bytes -= size; bytes < 0 {
				return n
			}
			n++
			p = p[size:]
		}
	}
	return n
}

// count counts messages by type.
func (w *writer) count(parts int) {
	w.counts = [len(w.counts)]uint32{}
	for _, p := range w.parts[:parts] {
		for len(p) > 0 {
			w.counts[p[18]]++
			p = p[int(p[16])<<8|int(p[17]):]
		}
	}
}
