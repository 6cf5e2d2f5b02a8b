package session

import (
	"sync/atomic"

	"holdfast/internal/wire"
)

// Counts counts messages by type, and their bytes.
type Counts struct {
	Open, Update, Notification, Keepalive, Refresh uint64
	Bytes                                          uint64
}

// counters are Counts that are written while they are read.
type counters struct {
	types [wire.MsgRefresh + 1]atomic.Uint64
	bytes atomic.Uint64
}

func (c *counters) add(types *[wire.MsgRefresh + 1]uint32, bytes int) {
	for t, n := range types {
		if n > 0 {
			c.types[t].Add(uint64(n))
		}
	}
	c.bytes.Add(uint64(bytes))
}

func (c *counters) load() Counts {
	return Counts{
		Open: c.types[wire.MsgOpen].Load(), Update: c.types[wire.MsgUpdate].Load(),
		Notification: c.types[wire.MsgNotification].Load(), Keepalive: c.types[wire.MsgKeepalive].Load(),
		Refresh: c.types[wire.MsgRefresh].Load(), Bytes: c.bytes.Load(),
	}
}
