package engine

import (
	"encoding/binary"
	"io"
	"log/slog"
	"net/netip"
	"testing"

	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// peer plays the far end of a session: it keeps what it was sent like a router
// would.
type peer struct {
	t       testing.TB
	id      packet.ID
	room    int // packets it takes before it must read
	queue   []queued
	table   map[wire.Route]wire.Attrs
	eor     [prefix.Families]bool
	again   [prefix.Families]map[wire.Route]bool // not sent again yet since a refresh began
	as2     bool
	ids     bool // it takes path IDs
	updates int
	closed  *session.Close
	// refreshed has the families that it was asked for again.
	refreshed []prefix.Family
	most      [prefix.Families]int // prefixes that it must never have more of; 0: any number
	strict    bool                 // a withdrawal of what it does not have is an error
	wild      int                  // such withdrawals
}

type queued struct {
	p       *packet.Packet
	nextHop *packet.NextHop
}

const queueLen = 8

func newPeer(t testing.TB, id packet.ID) *peer {
	return &peer{t: t, id: id, room: queueLen, table: map[wire.Route]wire.Attrs{}}
}

func (p *peer) Room() int {
	if p.closed != nil {
		return 0
	}
	return max(0, p.room-len(p.queue))
}

func (p *peer) Send(q *packet.Packet, nextHop *packet.NextHop) bool {
	if p.closed != nil || len(p.queue) > p.room { // one more than Room says
		return false
	}
	q.Retain()
	p.queue = append(p.queue, queued{q, nextHop})
	return true
}

func (p *peer) Close(c session.Close) { p.closed = &c }

func (p *peer) Refresh(f prefix.Family) bool {
	p.refreshed = append(p.refreshed, f)
	return true
}

// read takes everything from the queue.
func (p *peer) read() {
	for _, q := range p.queue {
		var data []byte
		if q.p.Plain(p.id, q.nextHop) {
			data = append(data, q.p.Data...) // what is kept must not alias the packet
		} else {
			data = q.p.Render(nil, p.id, q.nextHop)
		}
		p.messages(data)
		q.p.Release()
	}
	p.queue = p.queue[:0]
}

func (p *peer) messages(data []byte) {
	for len(data) > 0 {
		n := int(binary.BigEndian.Uint16(data[16:]))
		if n > wire.MaxMsgLen || n > len(data) {
			p.t.Fatalf("neighbor %d was sent a message of %d bytes", p.id, n)
		}
		if data[18] == wire.MsgUpdate {
			p.update(data[wire.HeaderLen:n])
		} else {
			p.marker(data[wire.HeaderLen:n])
		}
		data = data[n:]
	}
}

// marker begins or ends a refresh, in which everything must come again.
func (p *peer) marker(body []byte) {
	r, err := wire.ParseRefresh(body)
	f, _ := prefix.FamilyByAFI(r.AFI)
	switch {
	case err != nil || !p.eor[f]:
		p.t.Fatalf("neighbor %d was sent refresh % x, End-of-RIB before: %v", p.id, body, p.eor)
	case r.Subtype == wire.RefreshBegin:
		p.again[f] = map[wire.Route]bool{}
		for x := range p.table {
			if x.Prefix.Family == f {
				p.again[f][x] = true
			}
		}
	case r.Subtype == wire.RefreshEnd:
		if p.again[f] == nil || len(p.again[f]) > 0 {
			p.t.Fatalf("neighbor %d was not sent %v again", p.id, p.again[f])
		}
		p.again[f] = nil
	}
}

func (p *peer) update(body []byte) {
	p.updates++
	o := wire.Options{AS4: !p.as2, Families: [prefix.Families]bool{true, true}, ExtNH: true, AddPath: [prefix.Families]bool{p.ids, p.ids}}
	var u wire.Update
	if err := wire.Split(body, &o, &u); err != nil {
		p.t.Fatalf("neighbor %d was sent % x: %v", p.id, body, err)
	}
	if f, ok := u.EndOfRIB(); ok {
		p.eor[f] = true
		return
	}
	for _, l := range []wire.NLRI{u.Withdrawn, u.Unreach} {
		routes, err := l.Decode(nil)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, r := range routes {
			if _, ok := p.table[r]; !ok {
				p.wild++
				if p.strict {
					p.t.Fatalf("neighbor %d was sent a withdrawal of %v, which it does not have", p.id, r.Prefix)
				}
			}
			delete(p.table, r)
			delete(p.again[r.Prefix.Family], r)
		}
	}
	for i, l := range []wire.NLRI{u.Announced, u.Reach} {
		routes, err := l.Decode(nil)
		if err != nil {
			p.t.Fatal(err)
		}
		if len(routes) == 0 {
			continue
		}
		block, v := u.Validate(&o, i == 1, nil)
		if v.Action != wire.Accept {
			p.t.Fatalf("neighbor %d was sent % x: %s", p.id, body, v.Why)
		}
		var nextHop []byte
		if i == 1 {
			nextHop = u.ReachNextHop
		}
		for _, r := range routes {
			var a wire.Attrs
			wire.Parse(block, nextHop, &a)
			p.table[r] = a
			delete(p.again[r.Prefix.Family], r)
			p.count(r.Prefix.Family)
		}
	}
}

// count fails if the peer has too many routes.
func (p *peer) count(f prefix.Family) {
	n := 0
	for x := range p.table {
		if x.Prefix.Family == f {
			n++
		}
	}
	if most := p.most[f]; most > 0 && n > most {
		p.t.Fatalf("neighbor %d has %d prefixes of %v, and may have %d", p.id, n, f, most)
	}
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// acceptAll is a program that passes everything.
func acceptAll(t testing.TB, from *policy.Source) *policy.Program {
	return program(t, &policy.Policy{Name: "all", Rules: []policy.Rule{{Name: "rest", Then: policy.Accept}}}, from)
}

func program(t testing.TB, p *policy.Policy, from *policy.Source) *policy.Program {
	t.Helper()
	x, err := policy.Compile([]*policy.Policy{p}, policy.Context{ASN: 65000, From: from})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func established(i int) session.Established {
	fams := [prefix.Families]bool{true, true}
	return session.Established{
		LocalASN: 65000, RemoteASN: 65000 + uint32(i), RemoteID: 0x0a000000 + uint32(i),
		Local:   netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i), 1}), 179),
		NextHop: [prefix.Families]netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(i), 1}), netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 14: byte(i), 15: 1})},
		Read:    wire.Options{EBGP: true, AS4: true, Families: fams, ExtNH: true},
		Write:   wire.Options{EBGP: true, AS4: true, Families: fams},
		Refresh: true,
	}
}

// ebgpConfig has n eBGP neighbors that accept and export everything.
func ebgpConfig(t testing.TB, n int) Config {
	c := Config{ASN: 65000, RouterID: 1, ClusterID: 1}
	c.Decision.DefaultLocalPref = 100
	for i := 1; i <= n; i++ {
		src := policy.Source{Kind: policy.EBGP}
		nb := Neighbor{ID: packet.ID(i), Name: "n", Addr: netip.AddrFrom4([4]byte{10, 1, byte(i), 2}), ASN: 65000 + uint32(i),
			LocalASN: 65000, EBGP: true, Source: src, Checks: Checks{EnforceFirstAS: true}}
		for f := range nb.Families {
			nb.Families[f].Import, nb.Families[f].Export = acceptAll(t, &src), acceptAll(t, nil)
		}
		c.Neighbors = append(c.Neighbors, nb)
	}
	return c
}

// sessionReason is any reason: the core does not look at it.
var sessionReason session.Reason
