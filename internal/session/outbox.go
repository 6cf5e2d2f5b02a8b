package session

import (
	"sync"
	"time"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// QueueSize is how many packets wait for a neighbor at the most. reserve of them
// are not counted as room: they are for who found room and needs a little more.
const (
	QueueSize = 96
	reserve   = 32
	half      = (QueueSize - reserve) / 2
)

// outbox is what waits to be written to a connection: messages of the session
// itself, each kind at most once, and behind them packets of routes. It is the
// Out that Routes get.
type outbox struct {
	conn *conn
	wake chan struct{} // has a token when the writer should look

	mu      sync.Mutex
	open    []byte
	alive   bool // a KEEPALIVE is due
	refresh [prefix.Families]bool
	packets [QueueSize]item
	first   int
	n       int
	starved bool // Room was less than half
	ending  bool
	final   []byte
	giveUp  time.Time // when ending

	close  *Close // what Routes want
	canAsk bool   // the neighbor takes ROUTE-REFRESH; set before Routes know of us
	asked  [prefix.Families]bool
}

type item struct {
	packet  *packet.Packet
	nextHop *packet.NextHop
}

func newOutbox(c *conn) *outbox { return &outbox{conn: c, wake: make(chan struct{}, 1)} }

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Room implements Out.
func (o *outbox) Room() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending || o.close != nil {
		return 0
	}
	if o.n > half {
		o.starved = true
	}
	return max(0, QueueSize-reserve-o.n)
}

// Send implements Out.
func (o *outbox) Send(p *packet.Packet, nextHop *packet.NextHop) bool {
	o.mu.Lock()
	if o.ending || o.close != nil || o.n == QueueSize {
		o.mu.Unlock()
		return false
	}
	p.Retain()
	o.packets[(o.first+o.n)%QueueSize] = item{p, nextHop}
	o.n++
	o.mu.Unlock()
	o.signal()
	return true
}

// Refresh implements Out.
func (o *outbox) Refresh(f prefix.Family) bool {
	o.mu.Lock()
	if !o.canAsk || !o.asked[f] || o.ending {
		o.mu.Unlock()
		return false
	}
	o.refresh[f] = true
	o.mu.Unlock()
	o.signal()
	return true
}

// Close implements Out.
func (o *outbox) Close(c Close) {
	o.mu.Lock()
	if o.close == nil && !o.ending {
		o.close = &c
	}
	o.mu.Unlock()
	o.conn.runner.signal()
}

// wanted is the Close that the runner has to carry out, if there is one.
func (o *outbox) wanted() *Close {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.close
}

// allow says what an established session may ask the neighbor for.
func (o *outbox) allow(e *Established) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.canAsk, o.asked = e.Refresh, e.Read.Families
}

// control queues a message of the machine.
func (o *outbox) control(msg []byte) {
	o.mu.Lock()
	if msg[18] == wire.MsgOpen {
		o.open = msg
	} else {
		o.alive = true
	}
	o.mu.Unlock()
	o.signal()
}

func (o *outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

// end lets the writer finish what it is writing, send final, and stop; without
// final it stops now. Packets that wait are released.
func (o *outbox) end(final []byte, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ending, o.final, o.giveUp = true, final, now
	if final != nil {
		o.giveUp = now.Add(grace)
	}
	o.conn.nc.SetWriteDeadline(o.giveUp)
	for ; o.n > 0; o.n-- {
		o.packets[o.first].packet.Release()
		o.packets[o.first] = item{}
		o.first = (o.first + 1) % QueueSize
	}
}

// deadline arms the write deadline of the writer's next attempt.
func (o *outbox) deadline(t time.Time) (ending bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		t = o.giveUp
	}
	o.conn.nc.SetWriteDeadline(t)
	return o.ending
}

// take moves what is to be written next to the writer: messages of the session
// as bytes, and packets as far as they fit. room says that the queue was full
// and half of it is free now.
func (o *outbox) take(control []byte, into []item) (_ []byte, n int, room bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ending {
		return control, 0, false
	}
	control = append(control, o.open...)
	o.open = nil
	if o.alive {
		control = wire.AppendKeepalive(control)
		o.alive = false
	}
	for f := range o.refresh {
		if o.refresh[f] {
			control = wire.AppendRefresh(control, prefix.Family(f), wire.RefreshRequest)
			o.refresh[f] = false
		}
	}
	for n < len(into) && o.n > 0 {
		into[n] = o.packets[o.first]
		o.packets[o.first] = item{}
		o.first = (o.first + 1) % QueueSize
		o.n--
		n++
	}
	if o.starved && o.n <= half {
		o.starved, room = false, true
	}
	return control, n, room
}

var _ Out = (*outbox)(nil)

// sendHold is how long a write may go without a message getting through, 0 for
// as long as it takes. Until a session is established there is nothing but an
// OPEN to write.
func (c *conn) sendHold() time.Duration { return time.Duration(c.sendHoldTime.Load()) }
