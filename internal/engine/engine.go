package engine

import (
	"context"
	"log/slog"
	"time"

	"holdfast/internal/packet"
	"holdfast/internal/session"
)

// Engine runs a Core in a goroutine of its own. It is the session.Routes of
// all sessions.
type Engine struct {
	core  *Core
	mail  chan event
	done  chan struct{}
	start time.Time // of Run
}

// mailbox is how many events wait at the most: what sessions read ahead of us,
// in buffers of up to 64 KB.
const mailbox = 32

// burst is how many bytes of messages are taken in before the update groups
// get their turn. It bounds how long a change waits, and is large enough that
// routes of one table transfer meet in one UPDATE.
const burst = 256 << 10

// event is a buffer from a session, or something to run in the loop, or neither:
// then there is work.
type event struct {
	id  packet.ID
	buf *session.Buffer
	run func(*Core)
}

// New returns an engine that does nothing until Run.
func New(log *slog.Logger) *Engine {
	return &Engine{core: NewCore(log), mail: make(chan event, mailbox), done: make(chan struct{})}
}

// Run works until ctx ends. Nothing else may touch the core. Calls that wait
// for the loop return once it has ended.
func (e *Engine) Run(ctx context.Context) {
	defer close(e.done)
	e.start = time.Now()
	idle := false
	for {
		ev, ok := e.next(ctx, idle)
		if ctx.Err() != nil {
			return
		}
		e.core.SetNow(uint32(time.Since(e.start) / time.Second))
		for taken := 0; ok; {
			if taken += e.handle(ev); taken >= burst {
				break
			}
			ev, ok = e.next(ctx, false)
		}
		idle = !e.core.Work()
	}
}

// next takes an event from the mailbox, if there is one, or waits for one.
func (e *Engine) next(ctx context.Context, wait bool) (ev event, ok bool) {
	if wait {
		select {
		case ev = <-e.mail:
			return ev, true
		case <-ctx.Done():
			return ev, false
		}
	}
	select {
	case ev = <-e.mail:
		return ev, true
	default:
		return ev, false
	}
}

// handle returns what an event counts for in a burst, in bytes. Commands count
// as well: they may follow each other without a pause.
func (e *Engine) handle(ev event) (bytes int) {
	switch {
	case ev.run != nil:
		ev.run(e.core)
		return burst / 8
	case ev.buf == nil:
		return 0
	}
	bytes = len(ev.buf.Data)
	e.core.Messages(ev.id, ev.buf.Data)
	ev.buf.Release()
	return bytes
}

// post hands an event over; it reports false when the loop has ended.
func (e *Engine) post(ev event) bool {
	select {
	case e.mail <- ev:
		return true
	case <-e.done:
		return false
	}
}

// Do runs f in the loop and returns when it has run. f must not wait for
// anything. It reports false when the loop has ended, f then has not run.
func (e *Engine) Do(f func(*Core)) bool {
	ran := make(chan struct{})
	if !e.post(event{run: func(c *Core) { f(c); close(ran) }}) {
		return false
	}
	select {
	case <-ran:
		return true
	case <-e.done:
		return false
	}
}

// Up implements session.Routes.
func (e *Engine) Up(id packet.ID, est session.Established, out session.Out) {
	e.Do(func(c *Core) { c.Up(id, est, out) })
}

// Deliver implements session.Routes.
func (e *Engine) Deliver(id packet.ID, b *session.Buffer) {
	if !e.post(event{id: id, buf: b}) {
		b.Release()
	}
}

// Writable implements session.Routes: the loop has work again.
func (e *Engine) Writable(packet.ID) { e.post(event{}) }

// Down implements session.Routes.
func (e *Engine) Down(id packet.ID, why session.Reason) {
	e.Do(func(c *Core) { c.Down(id, why) })
}
