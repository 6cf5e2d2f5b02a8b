package session

import (
	"io"
	"syscall"

	"holdfast/internal/fsm"
	"holdfast/internal/wire"
)

// reader takes what a neighbor sends off the socket. Until the session is
// established, each message goes to the runner, one by one; then UPDATEs go to
// Routes as they come, KEEPALIVEs are noted, and the runner is told of the
// rest only.
type reader struct {
	conn *conn
	// carry is the beginning of a message whose end has not come. It waits
	// here, and the buffer goes back to the pool: an idle neighbor has none.
	carry []byte
	buf   *Buffer
	n     int
	err   error
	poll  func(fd uintptr) bool
}

func (r *reader) run() {
	r.poll = r.readOnce
	if len(r.carry) > 0 { // somebody has read already
		r.conn.runner.in.bytes.Add(uint64(len(r.carry)))
		r.take()
		if r.carry = nil; !r.deal() {
			r.giveBack()
			return
		}
		r.giveBack()
	}
	for {
		if err := r.fill(); err != nil {
			r.giveBack()
			r.conn.tell(fsm.Event{Kind: fsm.ConnectionFails, Text: errorText(err)})
			return
		}
		if !r.deal() {
			r.giveBack()
			return
		}
	}
}

func (r *reader) giveBack() {
	if r.buf != nil {
		r.buf.Release()
		r.buf = nil
	}
}

// fill reads as much as there is, at most what fits the buffer, behind what
// was carried over.
func (r *reader) fill() error {
	if r.conn.raw != nil {
		if err := r.conn.raw.Read(r.poll); err != nil {
			return err
		}
	} else {
		r.take()
		r.n, r.err = r.conn.nc.Read(r.buf.Data[len(r.carry):cap(r.buf.Data)])
	}
	if r.n > 0 {
		r.buf.Data = r.buf.Data[:len(r.carry)+r.n]
		r.carry = r.carry[:0]
		r.conn.runner.in.bytes.Add(uint64(r.n))
		return nil
	}
	if r.err == nil {
		return io.EOF
	}
	return r.err
}

// take has a buffer ready that begins with what was carried over.
func (r *reader) take() {
	if r.buf == nil {
		r.buf = GetBuffer()
	}
	r.buf.Data = append(r.buf.Data[:0], r.carry...)
}

// readOnce is called with the socket, at first and each time that it has become
// readable, until it returns true. The buffer is there for the time of the
// call only, unless something was read.
func (r *reader) readOnce(fd uintptr) bool {
	r.take()
	for {
		r.n, r.err = syscall.Read(int(fd), r.buf.Data[len(r.carry):cap(r.buf.Data)])
		switch r.err {
		case syscall.EINTR:
		case syscall.EAGAIN:
			r.giveBack()
			return false
		default:
			return true
		}
	}
}

// deal hands on what was read. It returns false when the reader is done.
func (r *reader) deal() bool {
	c := r.conn
	b := r.buf.Data
	c.trace(false, b)
	for !c.up {
		n, ok := r.one(b)
		if !ok {
			return false
		}
		if n == 0 {
			r.carry = append(r.carry, b...)
			return true
		}
		b = b[n:]
	}
	f := split(b, c.maxLen)
	if f.whole != [len(f.whole)]uint32{} {
		// Any message is a sign of life (RFC 4271 section 8.2.2 restarts the
		// hold timer for KEEPALIVEs and UPDATEs). The runner looks at it
		// when the timer would expire.
		c.heard.Store(int64(c.runner.manager.elapsed()))
		c.runner.in.add(&f.whole, 0)
	}
	stop := f.stop
	if f.err != nil || stop != nil {
		// Behind what is delivered first, but in the same buffer.
		stop = append([]byte(nil), stop...)
		if f.err != nil {
			f.err.Data = append([]byte(nil), f.err.Data...)
		}
	} else {
		r.carry = append(r.carry, b[f.rest:]...)
	}
	if f.keep > 0 {
		copied := r.buf
		// What came before the session was established is at the front.
		if skipped := len(copied.Data) - len(b); skipped > 0 {
			copy(copied.Data, b[:f.keep])
		}
		copied.Data = copied.Data[:f.keep]
		r.buf = nil
		c.routes.Deliver(c.id, copied)
	}
	switch {
	case f.err != nil:
		c.tell(fsm.Event{Kind: fsm.HeaderErr, Err: f.err})
		return false
	case len(stop) > 0:
		c.tell(messageEvent(stop))
		return false
	}
	return true
}

// one hands the first message of b to the runner and says how long it was, 0 if
// it is not whole yet.
func (r *reader) one(b []byte) (n int, ok bool) {
	c := r.conn
	if len(b) < wire.HeaderLen {
		return 0, true
	}
	typ, n, err := wire.ParseHeader(b, wire.MaxMsgLen)
	if err != nil {
		c.tell(fsm.Event{Kind: fsm.HeaderErr, Err: err})
		return 0, false
	}
	if n > len(b) {
		return 0, true
	}
	c.runner.in.types[typ].Add(1)
	return n, c.tell(messageEvent(b[:n]))
}

func messageEvent(msg []byte) fsm.Event {
	e := fsm.Event{Body: msg[wire.HeaderLen:]}
	switch msg[18] {
	case wire.MsgOpen:
		e.Kind = fsm.BGPOpen
	case wire.MsgNotification:
		e.Kind = fsm.NotifMsg
	case wire.MsgKeepalive:
		e.Kind = fsm.KeepAliveMsg
	default:
		e.Kind = fsm.UpdateMsg
	}
	return e
}
