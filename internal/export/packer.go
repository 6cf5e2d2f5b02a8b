package export

import (
	"encoding/binary"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// packer writes UPDATE messages into packets and hands full packets on.
type packer struct {
	family prefix.Family
	maxMsg int
	ids    int // bytes before each prefix: pathIDLen with path IDs
	send   func(*packet.Packet)
	p      *packet.Packet

	// The message being written, and which members it goes to.
	start      int
	skip, only packet.ID
}

// pathIDLen is that of a path ID (RFC 7911 section 3).
const pathIDLen = 4

// newPacker returns one for messages to members.
func (g *Group) newPacker() packer {
	k := packer{family: g.Family, maxMsg: g.maxMsg()}
	if g.numbers != nil {
		k.ids = pathIDLen
	}
	return k
}

// size is how many bytes put takes.
func (k *packer) size(r *wire.Route) int { return k.ids + 1 + int(r.Prefix.Bits+7)/8 }

func (k *packer) put(r *wire.Route) {
	if k.ids > 0 {
		k.p.Data = binary.BigEndian.AppendUint32(k.p.Data, r.PathID)
	}
	k.p.Data = wire.AppendPrefix(k.p.Data, r.Prefix)
}

// begin starts a message for the given members.
func (k *packer) begin(skip, only packet.ID) {
	if k.p == nil {
		k.p = packet.New()
	}
	k.skip, k.only, k.start = skip, only, len(k.p.Data)
	k.p.Data = wire.AppendHeader(k.p.Data, wire.MsgUpdate)
}

// announce packs routes that all have one set of attributes, which leaves room
// for at least one of them.
func (k *packer) announce(e encoded, skip, only packet.ID, routes *chain) {
	x, ok := routes.next()
	for ok {
		k.begin(skip, only)
		p := k.p
		end := k.start + k.maxMsg
		if e.nextHop == nil {
			p.Data = append(p.Data, 0, 0, byte(len(e.attrs)>>8), byte(len(e.attrs)))
			if e.own {
				p.NextHops = append(p.NextHops, packet.Field{At: len(p.Data) + e.nh, Len: 4})
			}
			p.Data = append(p.Data, e.attrs...)
			for ok && len(p.Data)+k.size(&x) <= end {
				k.put(&x)
				x, ok = routes.next()
			}
			k.end()
			continue
		}
		// RFC 7606 section 5.1: MP_REACH_NLRI comes first.
		p.Data = append(p.Data, 0, 0, 0, 0)
		at := len(p.Data)
		p.Data = append(p.Data, 0x90, 14, 0, 0, 0, byte(k.family.AFI()), 1, byte(len(e.nextHop)))
		if e.own {
			p.NextHops = append(p.NextHops, packet.Field{At: len(p.Data), Len: len(e.nextHop)})
		}
		p.Data = append(p.Data, e.nextHop...)
		p.Data = append(p.Data, 0)
		for ok && len(p.Data)+k.size(&x)+len(e.attrs) <= end {
			k.put(&x)
			x, ok = routes.next()
		}
		binary.BigEndian.PutUint16(p.Data[at+2:], uint16(len(p.Data)-at-4))
		p.Data = append(p.Data, e.attrs...)
		binary.BigEndian.PutUint16(p.Data[at-2:], uint16(len(p.Data)-at))
		k.end()
	}
}

// withdraw packs withdrawals.
func (k *packer) withdraw(skip, only packet.ID, routes *chain) {
	x, ok := routes.next()
	for ok {
		k.begin(skip, only)
		p := k.p
		end := k.start + k.maxMsg
		if k.family == prefix.IPv4 {
			at := len(p.Data)
			p.Data = append(p.Data, 0, 0)
			for ok && len(p.Data)+k.size(&x)+2 <= end {
				k.put(&x)
				x, ok = routes.next()
			}
			binary.BigEndian.PutUint16(p.Data[at:], uint16(len(p.Data)-at-2))
			p.Data = append(p.Data, 0, 0)
		} else {
			p.Data = append(p.Data, 0, 0, 0, 0)
			at := len(p.Data)
			p.Data = append(p.Data, 0x90, 15, 0, 0, 0, byte(k.family.AFI()), 1)
			for ok && len(p.Data)+k.size(&x) <= end {
				k.put(&x)
				x, ok = routes.next()
			}
			binary.BigEndian.PutUint16(p.Data[at+2:], uint16(len(p.Data)-at-4))
			binary.BigEndian.PutUint16(p.Data[at-2:], uint16(len(p.Data)-at))
		}
		k.end()
	}
}

// raw packs a whole message, such as an End-of-RIB marker.
func (k *packer) raw(msg []byte, only packet.ID) {
	k.begin(0, only)
	k.p.Data = append(k.p.Data[:k.start], msg...)
	k.end()
}

// end finishes a message; messages in a row for the same members share a
// segment.
func (k *packer) end() {
	p := k.p
	wire.Finish(p.Data, k.start)
	if n := len(p.Segments); n > 0 && p.Segments[n-1].Skip == k.skip && p.Segments[n-1].Only == k.only {
		p.Segments[n-1].End = len(p.Data)
	} else {
		p.Segments = append(p.Segments, packet.Segment{End: len(p.Data), Skip: k.skip, Only: k.only})
	}
	if len(p.Data) >= packet.Size {
		k.flush()
	}
}

// flush hands the packet on, if there is one.
func (k *packer) flush() {
	if k.p != nil {
		p := k.p
		k.p = nil
		k.send(p)
		p.Release()
	}
}
