// Package session runs BGP sessions: sockets, timers and buffers around the
// machine of package fsm. What is learned goes to a Routes, in order.
package session

import (
	"sync"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
)

// BufferSize is what one read takes at the most. It holds the largest extended
// message.
const BufferSize = 64 << 10

// Buffer holds whole messages of one neighbor, one behind the other: UPDATE
// and ROUTE-REFRESH only. Their headers have been checked.
type Buffer struct {
	Data []byte
}

var buffers = sync.Pool{New: func() any { return &Buffer{Data: make([]byte, 0, BufferSize)} }}

// GetBuffer takes an empty buffer from the pool.
func GetBuffer() *Buffer {
	b := buffers.Get().(*Buffer)
	b.Data = b.Data[:0]
	return b
}

// Release returns it.
func (b *Buffer) Release() { buffers.Put(b) }

// Routes receives what sessions learn. The engine is one. For each neighbor
// the calls come one after the other, as Up, Deliver…, Down; calls for
// different neighbors are concurrent.
type Routes interface {
	// Up says that a session is Established. out stays valid until Down
	// has returned.
	Up(id packet.ID, e Established, out Out)
	// Deliver hands messages over, and their buffer with them. It blocks while
	// the engine is behind, which stops the neighbor through TCP.
	Deliver(id packet.ID, b *Buffer)
	// Writable follows a Room of less than half of the queue, once half is free.
	Writable(id packet.ID)
	// Down says that the session has ended. It returns when nothing uses its
	// Out any more. If why is graceful, the neighbor's routes may be kept.
	Down(id packet.ID, why Reason)
	// Forget says, between Down and Up, that they may not be kept any longer.
	Forget(id packet.ID)
}

// Out is the sending side of an established session. No method blocks.
type Out interface {
	// Room is how many packets should be sent now. Below half of what an empty
	// queue has, Writable follows. Some more are taken, so that work that was
	// begun can be completed.
	Room() int
	// Send queues a packet and keeps a reference to it until it is written. It
	// reports false if the queue is full, or the session ends. nextHop is what
	// packet.Render wants; it must not change afterwards.
	Send(p *packet.Packet, nextHop *packet.NextHop) bool
	// Refresh asks the neighbor for its routes of a family again (RFC 2918). It
	// overtakes queued packets. False if the neighbor cannot do that.
	Refresh(f prefix.Family) bool
	// Close ends the session with a NOTIFICATION. The session goes Down later,
	// by itself; until then Send and Close do nothing more.
	Close(c Close)
}
