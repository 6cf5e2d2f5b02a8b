package session

import (
	"encoding/binary"

	"holdfast/internal/wire"
)

// frames is what a stretch of an established session's stream is made of.
type frames struct {
	// keep is how many bytes at the front are UPDATEs and ROUTE-REFRESHes now,
	// moved together where KEEPALIVEs were cut out.
	keep int
	// rest is where the bytes begin that are no whole message yet, or the
	// message that stop is about.
	rest int
	// whole counts messages by type.
	whole [wire.MsgRefresh + 1]uint32
	// stop is a message that ends the session or should not come: OPEN or
	// NOTIFICATION. Nothing behind it was looked at.
	stop []byte
	// err is what is wrong with the header at rest.
	err *wire.Error
}

const allOnes = ^uint64(0)

// split takes whole messages from the front of b. It changes b.
func split(b []byte, maxLen int) (f frames) {
	p, run := 0, 0 // run is where the messages begin that were not moved yet
	for len(b)-p >= wire.HeaderLen {
		h := b[p : p+wire.HeaderLen : p+wire.HeaderLen]
		n, typ := int(binary.BigEndian.Uint16(h[16:])), h[18]
		// By far most messages are UPDATEs with nothing wrong about them.
		if typ != wire.MsgUpdate || n < wire.HeaderLen+4 || n > maxLen ||
			binary.LittleEndian.Uint64(h) != allOnes || binary.LittleEndian.Uint64(h[8:]) != allOnes {
			if typ, n, f.err = wire.ParseHeader(h, maxLen); f.err != nil {
				break
			}
		}
		if len(b)-p < n {
			break
		}
		f.whole[typ]++
		switch typ {
		case wire.MsgUpdate, wire.MsgRefresh:
			p += n
			continue
		case wire.MsgKeepalive:
			f.keep += copy(b[f.keep:], b[run:p])
			p += n
			run = p
			continue
		}
		f.stop = b[p : p+n]
		break
	}
	if f.keep == run {
		f.keep = p
	} else {
		f.keep += copy(b[f.keep:], b[run:p])
	}
	f.rest = p
	return f
}
