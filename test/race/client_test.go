//go:build interop

package race

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/netlab"
	"holdfast/testkit/speaker"
)

const (
	members  = 200 // of the exchange
	each     = 1000
	shared   = each / 10                                // that two neighboring clients have in common
	prefixes = members*(each-shared) + members/2*shared // all that there are
	serverAS = 64500
)

var serverAddr = netip.MustParseAddr("10.2.255.254")

// client is a member of the exchange. It announces its prefixes, and counts what
// it is told: a bit for each prefix, as 200 tables take space.
type client struct {
	number int
	asn    uint32
	node   *netlab.Node
	at     netip.Addr
	owns   []int // prefixes, by number
	bundle []bundle

	mu      sync.Mutex
	conn    net.Conn // nil without a session
	err     error    // why the last one has ended, nil while there is one
	running sync.WaitGroup
	has     set
	wants   set
	may     set // have or have not
}

// bundle is a set of attributes and the prefixes that have it.
type bundle struct {
	prefixes []int
	path     []uint32
	with     []uint32 // communities
	without  []uint32 // ASes that shall not have it, each a community as well
}

// set is one of prefixes.
type set [(prefixes + 63) / 64]uint64

// numbered is prefix i of all, and number is the way back.
func numbered(i int) prefix.Prefix { return prefix.New(prefix.IPv4, uint64(11<<16+i)<<40, 0, 24) }

func number(b []byte) (int, error) {
	if len(b) >= 4 && b[0] == 24 {
		if i := (int(b[1])<<16 | int(b[2])<<8 | int(b[3])) - 11<<16; i >= 0 && i < prefixes {
			return i, nil
		}
	}
	return 0, fmt.Errorf("a prefix that nobody announces: %x", b)
}

// newClients makes them all. One in ten of their bundles is for all but three.
func newClients(n *netlab.Node) []*client {
	r := rand.New(rand.NewPCG(1, 1))
	all := make([]*client, members)
	asn := func(i int) uint32 { return uint32(1001 + i) }
	for i := range all {
		c := &client{number: i, asn: asn(i), node: n, at: netip.AddrFrom4([4]byte{10, 2, 0, byte(1 + i)})}
		for k := range each - shared {
			c.owns = append(c.owns, i*(each-shared)+k)
		}
		for k := range shared {
			c.owns = append(c.owns, members*(each-shared)+i/2*shared+k)
		}
		for rest := c.owns; len(rest) > 0; {
			size := min(1+r.IntN(11), len(rest))
			b := bundle{prefixes: rest[:size], path: []uint32{c.asn}}
			rest = rest[size:]
			for range 1 + r.IntN(4) {
				b.path = append(b.path, 20000+r.Uint32N(20000))
			}
			if r.IntN(3) == 0 {
				b.with = append(b.with, c.asn<<16|r.Uint32N(1000))
			}
			if r.IntN(10) == 0 {
				for range 3 {
					b.without = append(b.without, asn(r.IntN(members)))
				}
			}
			c.bundle = append(c.bundle, b)
		}
		all[i] = c
	}
	for _, c := range all {
		c.expect(all)
	}
	return all
}

// expect has a client want what these clients announce for it.
func (c *client) expect(from []*client) {
	var s set
	for _, o := range from {
		for _, b := range o.bundle {
			if o == c || slices.Contains(b.without, c.asn) {
				continue
			}
			for _, p := range b.prefixes {
				s[p/64] |= 1 << (p % 64)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wants = s
}

// lacks says what a client has not, or has and should not.
func (c *client) lacks() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	missing, more := 0, 0
	for i := range c.has {
		missing += bits.OnesCount64(c.wants[i] &^ c.has[i] &^ c.may[i])
		more += bits.OnesCount64(c.has[i] &^ c.wants[i] &^ c.may[i])
	}
	if missing == 0 && more == 0 {
		return nil
	}
	return fmt.Errorf("client %d lacks %d and has %d that are not for it", c.number, missing, more)
}

// ended says why the session has ended, if it has.
func (c *client) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// announce sends the table.
func (c *client) announce() error {
	var out []byte
	for _, b := range c.bundle {
		var nlri, segment []byte
		for _, as := range b.path {
			segment = binary.BigEndian.AppendUint32(segment, as)
		}
		a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, ASPath: append([]byte{2, byte(len(b.path))}, segment...), NextHop: c.at.AsSlice()}
		for _, v := range b.with {
			a.Communities = binary.BigEndian.AppendUint32(a.Communities, v)
		}
		for _, v := range b.without { // 0:PEER
			a.Communities = binary.BigEndian.AppendUint32(a.Communities, v)
		}
		for _, p := range b.prefixes {
			nlri = wire.AppendPrefix(nlri, numbered(p))
		}
		out = wire.AppendUpdate(out, prefix.IPv4, nil, a.Append(nil, false), nil, nlri)
	}
	_, err := c.conn.Write(wire.AppendEndOfRIB(out, prefix.IPv4))
	return err
}

// connect begins a session, with a server that runs. It may want some time after
// the last one.
func (c *client) connect(deadline time.Time, running func() error) error {
	for {
		conn, in, err := c.try()
		if err == nil {
			c.mu.Lock()
			c.conn, c.err, c.has = conn, nil, set{}
			c.mu.Unlock()
			ended := make(chan struct{})
			c.running.Go(func() { keepAlive(conn, ended) })
			c.running.Go(func() { // ends with disconnect
				err := c.read(in)
				close(ended)
				c.mu.Lock()
				defer c.mu.Unlock()
				c.err = err
			})
			return nil
		}
		if ended := running(); ended != nil {
			return ended
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("client %d has no session: %w", c.number, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func (c *client) try() (net.Conn, *speaker.Reader, error) {
	conn, err := c.node.Dial(c.at, netip.AddrPortFrom(serverAddr, 179))
	if err != nil {
		return nil, nil, err
	}
	open := wire.Open{ASN: c.asn, HoldTime: 180, ID: binary.BigEndian.Uint32(c.at.AsSlice())}
	open.Capabilities = wire.Capabilities{AS4: true, RouteRefresh: true, Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4)}}
	in := speaker.NewReader(conn)
	_, err = speaker.Greet(conn, in, &open)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, in, nil
}

// disconnect ends the session without a word.
func (c *client) disconnect() {
	c.mu.Lock()
	if c.conn != nil {
		c.conn.Close()
	}
	c.conn = nil
	c.mu.Unlock()
	c.running.Wait()
}

// keepAlive sends what a hold time of 90 s asks for, and more.
func keepAlive(conn net.Conn, ended <-chan struct{}) {
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			_, _ = conn.Write(wire.AppendKeepalive(nil)) // the reader sees what is wrong
		}
	}
}

func (c *client) read(in *speaker.Reader) error {
	o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{prefix.IPv4: true}}
	for {
		typ, body, err := in.Next()
		switch {
		case err != nil:
			return err
		case typ == wire.MsgNotification:
			return fmt.Errorf("the server has sent the NOTIFICATION %x", body)
		case typ != wire.MsgUpdate:
			continue
		}
		var u wire.Update
		if bad := wire.Split(body, &o, &u); bad != nil {
			return bad
		}
		c.mu.Lock()
		err = errors.Join(c.note(u.Withdrawn.Data, false), c.note(u.Announced.Data, true))
		c.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// note notes that prefixes have come or gone.
func (c *client) note(nlri []byte, come bool) error {
	for ; len(nlri) > 0; nlri = nlri[4:] {
		p, err := number(nlri)
		if err != nil {
			return err
		}
		if c.has[p/64] &^= 1 << (p % 64); come {
			c.has[p/64] |= 1 << (p % 64)
		}
	}
	return nil
}
