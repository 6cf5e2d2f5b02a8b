package engine

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
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
	start time.Time                // of Run
	spent [activities]atomic.Int64 // nanoseconds

	kernel  Kernel // nil without
	batches chan *Batch
	// Of Monitor.
	monitors atomic.Int64
	missed   atomic.Uint64
}

// What the loop does when it does not wait.
const (
	onUpdates  = iota // of neighbors
	onCommands        // sessions that come and go, and questions
	onWork            // walks, and sending
	activities
)

// Load is what the loop has done since the start.
type Load struct {
	Updates, Commands, Work time.Duration
	Queued, Capacity        int // of the mailbox
	Monitors                int
	Missed                  uint64 // observations
}

// Load may be called at any time; it does not ask the loop.
func (e *Engine) Load() Load {
	spent := func(i int) time.Duration { return time.Duration(e.spent[i].Load()) }
	return Load{spent(onUpdates), spent(onCommands), spent(onWork), len(e.mail), cap(e.mail), int(e.monitors.Load()), e.missed.Load()}
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
	e.start = time.Now()
	var writer sync.WaitGroup
	defer writer.Wait() // which may wait for the loop, and so for done
	defer close(e.done)
	if e.kernel != nil {
		writer.Go(func() { e.writeKernel(ctx) })
	}
	idle := false
	var since time.Duration
	lap := func(activity int) {
		now := time.Since(e.start)
		e.spent[activity].Add(int64(now - since))
		since = now
	}
	for {
		ev, ok := e.next(ctx, idle)
		if ctx.Err() != nil {
			return
		}
		since = time.Since(e.start)
		e.core.SetNow(uint32(since / time.Second))
		for taken := 0; ok; {
			activity, bytes := e.handle(ev)
			lap(activity)
			if taken += bytes; taken >= burst {
				break
			}
			ev, ok = e.next(ctx, false)
		}
		idle = !e.core.Work()
		lap(onWork)
	}
}

// next takes an event from the mailbox, if there is one, or waits for one.
func (e *Engine) next(ctx context.Context, wait bool) (ev event, ok bool) {
	if wait {
		var alarm <-chan time.Time // none, but for while a neighbor restarts
		if at := e.core.alarm; at != 0 {
			alarm = time.After(time.Until(e.start.Add(time.Duration(at) * time.Second)))
		}
		select {
		case ev = <-e.mail:
			return ev, true
		case <-alarm:
			return ev, false
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

// handle also returns what an event counts for in a burst, in bytes. Commands
// count as well: they may follow each other without a pause.
func (e *Engine) handle(ev event) (activity, bytes int) {
	switch {
	case ev.run != nil:
		ev.run(e.core)
		return onCommands, burst / 8
	case ev.buf == nil:
		return onCommands, 0
	}
	bytes = len(ev.buf.Data)
	e.core.Messages(ev.id, ev.buf.Data)
	ev.buf.Release()
	return onUpdates, bytes
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

// Forget implements session.Routes.
func (e *Engine) Forget(id packet.ID) {
	e.Do(func(c *Core) { c.Forget(id) })
}

// Down implements session.Routes.
func (e *Engine) Down(id packet.ID, why session.Reason) {
	e.Do(func(c *Core) { c.Down(id, why) })
}
