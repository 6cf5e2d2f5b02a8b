package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipe is one direction of a connection.
type pipe struct {
	// writing holds a token during a write, so that writes do not mix. A mutex
	// would keep virtual time from passing.
	writing chan struct{}
	mu      sync.Mutex
	changed *sync.Cond

	chunks []chunk
	size   int // bytes in chunks
	delay  time.Duration

	stalled, cut bool
	finished     bool // the writer sends no more
	writerGone   bool // and has closed
	readerGone   bool
	err          error // for both ends
	readBy       deadline
	writeBy      deadline
}

// chunk is what one write sent, and when it arrives.
type chunk struct {
	at   time.Time
	data []byte
}

// deadline wakes the pipe when it is reached.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func newPipe(s *state) *pipe {
	p := &pipe{delay: s.delay, cut: s.cut, writing: make(chan struct{}, 1)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

func (p *pipe) set(change func(*pipe)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
	p.changed.Broadcast()
}

func (p *pipe) wake() { p.set(func(*pipe) {}) }

func (p *pipe) fail(err error) {
	p.set(func(p *pipe) { p.err, p.chunks, p.size = err, nil, 0 })
}

func (p *pipe) setDeadline(d *deadline, t time.Time) {
	p.set(func(p *pipe) {
		if d.timer != nil {
			d.timer.Stop()
		}
		*d = deadline{at: t}
		if wait := time.Until(t); !t.IsZero() && wait > 0 {
			d.timer = time.AfterFunc(wait, p.wake)
		}
	})
}

// ready reports whether bytes can be read now, and when the first chunk
// arrives if it is on its way.
func (p *pipe) ready() (now bool, in time.Duration) {
	if len(p.chunks) == 0 || p.stalled || p.cut {
		return false, 0
	}
	in = time.Until(p.chunks[0].at)
	return in <= 0, in
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		now, in := p.ready()
		switch {
		case p.readerGone:
			return 0, net.ErrClosed
		case p.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case p.err != nil:
			return 0, p.err
		case len(b) == 0:
			return 0, nil
		case now:
			return p.take(b), nil
		case p.finished && len(p.chunks) == 0 && !p.cut && !p.stalled:
			return 0, io.EOF
		}
		var t *time.Timer
		if in > 0 {
			t = time.AfterFunc(in, p.wake)
		}
		p.changed.Wait()
		if t != nil {
			t.Stop()
		}
	}
}

func (p *pipe) take(b []byte) int {
	n, now := 0, time.Now()
	for n < len(b) && len(p.chunks) > 0 && !p.chunks[0].at.After(now) {
		c := &p.chunks[0]
		k := copy(b[n:], c.data)
		n += k
		if c.data = c.data[k:]; len(c.data) == 0 {
			p.chunks = p.chunks[1:]
		}
	}
	p.size -= n
	p.changed.Broadcast()
	return n
}

func (p *pipe) write(b []byte) (int, error) {
	p.writing <- struct{}{}
	defer func() { <-p.writing }()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for {
		switch {
		case p.writerGone:
			return n, net.ErrClosed
		case p.writeBy.passed():
			return n, os.ErrDeadlineExceeded
		case p.err != nil:
			return n, p.err
		case p.finished || p.readerGone && !p.cut && !p.stalled:
			return n, syscall.EPIPE
		case len(b) == 0:
			return n, nil
		case p.size < Window:
			k := min(len(b), Window-p.size)
			p.chunks = append(p.chunks, chunk{time.Now().Add(p.delay), append([]byte(nil), b[:k]...)})
			p.size += k
			n += k
			b = b[k:]
			p.changed.Broadcast()
			continue
		}
		p.changed.Wait()
	}
}

// arrived counts what can be read now.
func (p *pipe) arrived() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	if !p.stalled && !p.cut {
		for _, c := range p.chunks {
			if time.Until(c.at) <= 0 {
				n += len(c.data)
			}
		}
	}
	return n
}

// close is the reader's; it reports whether bytes were left.
func (p *pipe) close() (unread bool) {
	p.set(func(p *pipe) {
		p.readerGone = true
		unread = p.size > 0
		if p.readBy.timer != nil {
			p.readBy.timer.Stop()
		}
	})
	return unread
}
