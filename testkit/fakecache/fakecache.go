// Package fakecache is an RPKI cache for tests, which speaks the protocol of RFC
// 8210 as the test wants it to.
package fakecache

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
)

// Cache is one. What is exported is set before Serve.
type Cache struct {
	Newest                 uint8 // the newest version that it speaks
	Mute                   bool  // it closes connections of newer ones without a word
	Downgrade              bool  // it answers them in its own version
	Refresh, Retry, Expire uint32

	mu      sync.Mutex
	session uint16
	serial  uint32
	past    map[uint32]map[rpki.VRP]bool   // by serial; empty: no data
	aspas   map[uint32]map[uint32][]uint32 // providers by serial and customer
	next    map[uint32][]uint32            // of the next serial
	conns   map[net.Conn]uint8
	asked   []string
	answer  func(kind uint8) []byte // instead of the usual answer, if not nil
	wg      sync.WaitGroup
	l       net.Listener
}

// New has no data yet.
func New(session uint16) *Cache {
	return &Cache{Newest: 1, Refresh: 3600, Retry: 600, Expire: 7200, session: session, past: map[uint32]map[rpki.VRP]bool{}, aspas: map[uint32]map[uint32][]uint32{}, conns: map[net.Conn]uint8{}}
}

// Serve answers connections until Close.
func (c *Cache) Serve(l net.Listener) {
	c.mu.Lock()
	c.l = l
	c.mu.Unlock()
	c.wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			c.mu.Lock()
			c.conns[conn] = 0xff
			c.mu.Unlock()
			c.wg.Go(func() { c.serve(conn) })
		}
	})
}

// Close ends the cache and its connections.
func (c *Cache) Close() {
	_ = c.l.Close()
	c.Drop()
	c.wg.Wait()
}

// Drop ends all connections.
func (c *Cache) Drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
}

// Set makes these the VRPs, under the next serial, and tells who is connected.
func (c *Cache) Set(all ...rpki.VRP) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := map[rpki.VRP]bool{}
	for _, v := range all {
		now[v] = true
	}
	c.serial++
	c.past[c.serial], c.aspas[c.serial] = now, c.next
	for conn, version := range c.conns {
		if version != 0xff {
			_, _ = conn.Write(binary.BigEndian.AppendUint32(header(version, 0, c.session, 12), c.serial))
		}
	}
}

// SetASPAs makes these the ASPAs from the next Set on.
func (c *Cache) SetASPAs(all ...rpki.ASPA) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = map[uint32][]uint32{}
	for _, a := range all {
		c.next[a.Customer] = a.Providers
	}
}

// Restart has the cache begin another session, with the VRPs that it has and no
// memory.
func (c *Cache) Restart(session uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.session = session
	c.past = map[uint32]map[rpki.VRP]bool{c.serial: c.past[c.serial]}
}

// Forget has it answer no Serial Query but for what is current.
func (c *Cache) Forget() { c.Restart(c.session) }

// Answer has f answer queries of a kind; nil is for the usual answer.
func (c *Cache) Answer(f func(kind uint8) []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

// Say sends bytes to all who are connected.
func (c *Cache) Say(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_, _ = conn.Write(b)
	}
}

// Asked is what it was asked, and what errors were reported to it, since the last
// call.
func (c *Cache) Asked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.asked
	c.asked = nil
	return out
}

func (c *Cache) serve(conn net.Conn) {
	defer func() {
		c.mu.Lock()
		delete(c.conns, conn)
		c.mu.Unlock()
		_ = conn.Close()
	}()
	for {
		b := make([]byte, 8)
		if _, err := io.ReadFull(conn, b); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(b[4:])-8)
		if _, err := io.ReadFull(conn, body); err != nil {
			return
		}
		out, more := c.reply(conn, b, body)
		if _, err := conn.Write(out); err != nil || !more {
			return
		}
	}
}

// reply is the answer to a PDU.
func (c *Cache) reply(conn net.Conn, b, body []byte) (out []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	version, kind, number := b[0], b[1], binary.BigEndian.Uint16(b[2:])
	switch kind {
	case 1:
		c.asked = append(c.asked, fmt.Sprintf("v%d serial %d/%d", version, number, binary.BigEndian.Uint32(body)))
	case 2:
		c.asked = append(c.asked, fmt.Sprintf("v%d reset", version))
	case 10:
		c.asked = append(c.asked, fmt.Sprintf("v%d error %d", version, number))
		return nil, false
	}
	if version > c.Newest {
		switch {
		case c.Mute:
			return nil, false
		case !c.Downgrade:
			return binary.BigEndian.AppendUint64(header(c.Newest, 10, 4, 16), 0), false
		}
		version = c.Newest
	}
	c.conns[conn] = version
	if c.answer != nil {
		if out := c.answer(kind); out != nil {
			return out, true
		}
	}
	if len(c.past) == 0 {
		return binary.BigEndian.AppendUint64(header(version, 10, 2, 16), 0), true
	}
	now, before := c.past[c.serial], map[rpki.VRP]bool(nil)
	aspas, aspasBefore := c.aspas[c.serial], map[uint32][]uint32(nil)
	if kind == 1 {
		known, serial := false, binary.BigEndian.Uint32(body)
		if before, known = c.past[serial]; !known || number != c.session {
			return header(version, 8, 0, 8), true
		}
		aspasBefore = c.aspas[serial]
	}
	out = header(version, 3, c.session, 8)
	for v := range before {
		if !now[v] {
			out = append(out, Prefix(version, v, false)...)
		}
	}
	for v := range now {
		if !before[v] {
			out = append(out, Prefix(version, v, true)...)
		}
	}
	if version >= 2 {
		for customer := range aspasBefore {
			if aspas[customer] == nil {
				out = append(out, ASPA(customer)...)
			}
		}
		for customer, providers := range aspas {
			if !slices.Equal(providers, aspasBefore[customer]) {
				out = append(out, ASPA(customer, providers...)...)
			}
		}
	}
	return append(out, c.end(version)...), true
}

func (c *Cache) end(version uint8) []byte {
	if version == 0 {
		return binary.BigEndian.AppendUint32(header(0, 7, c.session, 12), c.serial)
	}
	b := header(version, 7, c.session, 24)
	for _, n := range []uint32{c.serial, c.Refresh, c.Retry, c.Expire} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	return b
}

func header(version, kind uint8, session uint16, length uint32) []byte {
	b := binary.BigEndian.AppendUint16([]byte{version, kind}, session)
	return binary.BigEndian.AppendUint32(b, length)
}

// Prefix is a prefix PDU.
func Prefix(version uint8, v rpki.VRP, announce bool) []byte {
	flags := uint8(0)
	if announce {
		flags = 1
	}
	var b []byte
	if v.Prefix.Family == prefix.IPv4 {
		b = append(header(version, 4, 0, 20), flags, v.Prefix.Bits, v.MaxLen, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(v.Prefix.Hi>>32))
	} else {
		b = append(header(version, 6, 0, 32), flags, v.Prefix.Bits, v.MaxLen, 0)
		b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, v.Prefix.Hi), v.Prefix.Lo)
	}
	return binary.BigEndian.AppendUint32(b, v.ASN)
}

// ASPA is an ASPA PDU, which withdraws one if there are no providers.
func ASPA(customer uint32, providers ...uint32) []byte {
	b := header(2, 11, uint16(min(len(providers), 1))<<8, uint32(12+4*len(providers)))
	for _, asn := range append([]uint32{customer}, providers...) {
		b = binary.BigEndian.AppendUint32(b, asn)
	}
	return b
}

// Current are the VRPs that it has.
func (c *Cache) Current() map[rpki.VRP]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.past[c.serial])
}
