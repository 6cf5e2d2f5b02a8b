package session

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"holdfast/internal/packet"
	"holdfast/internal/wire"
)

// What waits for a slow reader of a trace at the most. More is lost: the session
// waits for nobody.
const (
	traceEvents = 4096
	traceBytes  = 4 << 20
	maxTraces   = 8 // of one neighbor
)

// TraceEvent is a message, or what has happened to a session besides.
type TraceEvent struct {
	At   time.Time
	Note string // "" with a message
	// Message is whole, with its header; Sent: by us. Of what is no message,
	// because its header is wrong, it is what has come of it.
	Message       []byte
	Sent          bool
	Local, Remote netip.AddrPort // of the connection; invalid without one
	// Agreed is how UPDATEs are to be read, nil before the session is
	// established.
	Agreed *wire.Options
	// Lost is how many events before this one were lost because the reader was
	// slow.
	Lost uint64
}

// Trace is what happens to a neighbor from now on.
type Trace struct {
	runner *runner
	events chan TraceEvent

	mu    sync.Mutex // for what follows
	bytes int        // of messages that wait
	lost  uint64
}

var errTraces = errors.New("the neighbor is traced too often already")

// Trace begins to trace a neighbor. Close must be called. Nil without an error
// if there is no such neighbor.
func (m *Manager) Trace(id packet.ID) (t *Trace, err error) {
	m.do(id, func(r *runner) { t, err = r.addTrace() })
	return t, err
}

func (r *runner) addTrace() (*Trace, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*Trace
	if old := r.traces.Load(); old != nil {
		all = *old
	}
	if len(all) == maxTraces {
		return nil, errTraces
	}
	t := &Trace{runner: r, events: make(chan TraceEvent, traceEvents)}
	all = append(slices.Clone(all), t)
	r.traces.Store(&all)
	t.add(TraceEvent{At: time.Now(), Note: "the session is " + r.status.State.String()})
	return t, nil
}

// Close ends the trace.
func (t *Trace) Close() {
	r := t.runner
	r.mu.Lock()
	defer r.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(*r.traces.Load()), func(x *Trace) bool { return x == t })
	if len(all) == 0 {
		r.traces.Store(nil)
		return
	}
	r.traces.Store(&all)
}

// Next waits for events and returns some of them. There are none if ctx has
// ended, or there is no such neighbor any more.
func (t *Trace) Next(ctx context.Context) []TraceEvent {
	some := t.waiting()
	if some != nil {
		return some
	}
	select {
	case e := <-t.events:
		t.taken(len(e.Message))
		return append([]TraceEvent{e}, t.waiting()...)
	case <-t.runner.done:
		return t.waiting() // its last words
	case <-ctx.Done():
		return nil
	}
}

// waiting takes what is there, up to a sensible amount.
func (t *Trace) waiting() (some []TraceEvent) {
	const most = 64
	bytes := 0
	for len(some) < most {
		select {
		case e := <-t.events:
			some, bytes = append(some, e), bytes+len(e.Message)
			continue
		default:
		}
		break
	}
	t.taken(bytes)
	return some
}

func (t *Trace) taken(bytes int) {
	t.mu.Lock()
	t.bytes -= bytes
	t.mu.Unlock()
}

// add keeps an event, or counts it as lost.
func (t *Trace) add(e TraceEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bytes+len(e.Message) > traceBytes || len(t.events) == cap(t.events) {
		t.lost++
		return
	}
	e.Lost, t.lost = t.lost, 0
	t.bytes += len(e.Message)
	t.events <- e // which has room: nobody else adds any
}

// note traces what is no message.
func (r *runner) note(text string, local, remote netip.AddrPort) {
	if all := r.traces.Load(); all != nil {
		for _, t := range *all {
			t.add(TraceEvent{At: time.Now(), Note: text, Local: local, Remote: remote})
		}
	}
}

// trace traces messages of the connection.
func (c *conn) trace(sent bool, b []byte) {
	all := c.runner.traces.Load()
	if all == nil {
		return
	}
	e := TraceEvent{Sent: sent, Local: addrPort(c.nc.LocalAddr()), Remote: addrPort(c.nc.RemoteAddr())}
	if est := c.est.Load(); est != nil {
		if e.Agreed = &est.Read; sent {
			e.Agreed = &est.Write
		}
	}
	traceMessages(*all, e, b)
}

// traceMessages traces the whole messages at the front of b as events like e.
func traceMessages(all []*Trace, e TraceEvent, b []byte) {
	e.At = time.Now()
	for len(b) >= wire.HeaderLen {
		_, n, err := wire.ParseHeader(b, wire.MaxExtendedLen)
		if err == nil && n > len(b) {
			return // the rest is still to come
		}
		if err != nil {
			n = len(b)
		}
		e.Message = slices.Clone(b[:n]) // one for all: nobody changes it
		for _, t := range all {
			t.add(e)
		}
		b = b[n:]
	}
}
