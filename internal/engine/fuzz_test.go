package engine

import (
	"encoding/binary"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// FuzzMessages sends what a hostile neighbor may: anything behind a good
// header. The router must not panic, the observer must get only well-formed
// messages and no withdrawal of what it does not have, and nothing may be left
// once the neighbor is gone.
func FuzzMessages(f *testing.F) {
	seed := func(flags byte, body []byte) { f.Add(flags, body) }
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath | wire.HasMED, ASPath: []byte{2, 1, 0, 0, 0xfd, 0xe9}, NextHop: []byte{10, 1, 1, 2},
		Communities: []byte{0, 1, 0, 2}, Other: []byte{0xc0, 200, 1, 7}}
	p4, p6 := prefix.MustParse("192.0.2.0/24"), prefix.MustParse("2001:db8::/32")
	v4 := wire.AppendUpdate(nil, prefix.IPv4, wire.AppendPrefix(nil, universe[0]), a.Append(nil, false), nil, wire.AppendPrefix(nil, p4))
	v6 := wire.AppendUpdate(nil, prefix.IPv6, nil, a.Append(nil, true), make([]byte, 15, 16), wire.AppendPrefix(nil, p6))
	for flags := range byte(8) {
		seed(flags, v4[wire.HeaderLen:])
		seed(flags, v6[wire.HeaderLen:])
		seed(flags, wire.AppendEndOfRIB(nil, prefix.IPv6)[wire.HeaderLen:])
	}
	f.Fuzz(func(t *testing.T, flags byte, body []byte) {
		if len(body) > wire.MaxMsgLen-wire.HeaderLen {
			return
		}
		core := NewCore(quiet())
		core.Configure(ebgpConfig(t, 2))
		bad, observer := newPeer(t, 1), newPeer(t, 2)
		observer.strict = true
		est := established(1)
		est.Read.AS4 = flags&1 == 0
		if flags&2 != 0 {
			est.Read.AddPath = [prefix.Families]bool{true, true}
		}
		core.Up(1, est, bad)
		core.Up(2, established(2), observer)
		typ := byte(wire.MsgUpdate)
		if flags&4 != 0 {
			typ = wire.MsgRefresh
		}
		msg := append(wire.AppendHeader(nil, typ), body...)
		binary.BigEndian.PutUint16(msg[16:], uint16(len(msg)))
		for range 2 {
			core.Messages(packet.ID(1), msg)
			core.Settle()
			observer.read()
		}
		core.Down(1, sessionReason)
		core.Settle()
		observer.read()
		if len(observer.table) != 0 {
			t.Errorf("the observer still has %v", observer.table)
		}
		if core.tables[0][0].Len()+core.tables[0][1].Len() != 0 || core.store.Usage().Blocks != 0 {
			t.Errorf("left behind: %+v", core.store.Usage())
		}
	})
}
