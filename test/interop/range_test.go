//go:build interop

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	. "holdfast/testkit/netlab"
)

// lan is a neighbor_range that has all nodes of a lab.
func lan(n *Node, password, more string) string {
	if password != "" {
		more += fmt.Sprintf("  password_file = %q\n", n.Write("lan.key", password+"\n"))
	}
	return fmt.Sprintf(`neighbor_range "lan" {
  addresses = ["10.0.0.0/16", "2001:db8:0:1::/64"]
  asns      = %d
  import    = policy.in
  export    = policy.out
%s}
`, otherAS, more)
}

// ranged starts holdfast with a range and the other router, which connects.
func ranged(t *testing.T, m Make, password, more string, change func(s *Session)) (hf *HoldfastRouter, other Router, ours, theirs *Node) {
	t.Helper()
	l := New(t)
	ours, theirs = l.Node("hf"), l.Node("other")
	hf = StartHoldfast(ours, Config{AS: holdfastAS, ID: ours.V4, Routes: []Route{can(Holdfast(), full(IPv4, 11))[0]}, Blocks: lan(ours, password, more)})
	sessions := sessions(theirs, ours, holdfastAS, options{change: change})
	other = m.Start(theirs, Config{AS: otherAS, ID: theirs.V4, Sessions: sessions, Routes: []Route{m.Can(full(IPv4, 1)), m.Can(full(IPv6, 1))}})
	return hf, other, ours, theirs
}

// TestRange: who connects from a range is a neighbor with the settings of the
// range, in both families.
func TestRange(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		hf, other, ours, theirs := ranged(t, m, "", "", nil)
		v4, v6 := "lan/"+theirs.V4.String(), "lan/"+theirs.V6.String()
		AwaitUp(t, hf, v4)
		AwaitUp(t, hf, v6)
		AwaitRoutes(t, hf, v4, crossed([]Route{m.Can(full(IPv4, 1))}, theirs, otherAS, false))
		AwaitRoutes(t, hf, v6, crossed([]Route{m.Can(full(IPv6, 1))}, theirs, otherAS, false))
		want := crossed([]Route{can(Holdfast(), full(IPv4, 11))[0]}, ours, holdfastAS, false)
		AwaitRoutes(t, other, "v4", []Route{m.Shows(want[0])})
	})
}

// TestRangeMD5 has a password for all addresses of a range (RFC 2385), and takes
// packets from the link only (RFC 5082).
func TestRangeMD5(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		hf, other, _, theirs := ranged(t, m, "correct-horse", "  ttl_security = 1\n", func(s *Session) { s.Password, s.GTSM = "correct-horse", true })
		AwaitUp(t, hf, "lan/"+theirs.V4.String())
		AwaitUp(t, hf, "lan/"+theirs.V6.String())
		AwaitUp(t, other, "v4")
	})
}

// TestRangeMismatch: with another password nobody becomes a neighbor, and with
// another AS the other router is told so.
func TestRangeMismatch(t *testing.T) {
	t.Parallel()
	nobody := func(t *testing.T, hf *HoldfastRouter) {
		t.Helper()
		if out, err := hf.Ask("show", "neighbors"); err != nil || strings.TrimSpace(out) != "no neighbors" {
			t.Errorf("%s, %v", out, err)
		}
	}
	t.Run("password", func(t *testing.T) {
		t.Parallel()
		hf, _, ours, _ := ranged(t, BIRD(), "correct-horse", "", func(s *Session) { s.Password = "battery-staple" })
		Await(t, Patience, "packet with a wrong signature", atLeast("TCPMD5Failure", func() (uint64, error) {
			n, err := ours.Counter("TCPMD5Failure")
			return uint64(n), err
		}, 3))
		nobody(t, hf)
	})
	t.Run("as", func(t *testing.T) {
		t.Parallel()
		l := New(t)
		ours, theirs := l.Node("hf"), l.Node("other")
		hf := StartHoldfast(ours, Config{AS: holdfastAS, ID: ours.V4, Blocks: lan(ours, "", "")})
		other := BIRD().Start(theirs, Config{AS: otherAS + 1, ID: theirs.V4, Sessions: sessions(theirs, ours, holdfastAS, options{})})
		Await(t, Patience, "refusal", func() error {
			if log := other.Process().Log(); !strings.Contains(log, "Received: Bad peer AS") {
				return errors.New(log)
			}
			return nil
		})
		nobody(t, hf)
	})
}

// speak opens a session as an AS and keeps it until the connection ends. heard
// is called with what the first UPDATEs announce.
func speak(t *testing.T, n *Node, from netip.Addr, to *Node, asn uint32, heard func(prefix.Prefix)) net.Conn {
	c, err := n.Dial(from, netip.AddrPortFrom(to.V4, 179))
	if err != nil {
		t.Error(err)
		return nil
	}
	open := wire.Open{ASN: asn, ID: binary.BigEndian.Uint32(from.AsSlice()), HoldTime: 180,
		Capabilities: wire.Capabilities{AS4: true, Families: []wire.FamilyID{wire.UnicastID(prefix.IPv4)}}}
	if _, err := c.Write(wire.AppendKeepalive(wire.AppendOpen(nil, &open))); err != nil {
		t.Error(err)
	}
	go func() { // until the connection ends, which the caller closes
		b := make([]byte, wire.MaxMsgLen)
		for {
			if _, err := io.ReadFull(c, b[:wire.HeaderLen]); err != nil {
				return
			}
			typ, length, err := wire.ParseHeader(b, wire.MaxMsgLen)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := io.ReadFull(c, b[wire.HeaderLen:length]); err != nil {
				return
			}
			var u wire.Update
			o := wire.Options{AS4: true, EBGP: true, Families: [prefix.Families]bool{true}}
			if typ != wire.MsgUpdate || wire.Split(b[wire.HeaderLen:length], &o, &u) != nil {
				continue
			}
			routes, _ := u.Announced.Decode(nil)
			for _, r := range routes {
				heard(r.Prefix)
			}
		}
	}()
	return c
}

// TestManyFromRange: 200 neighbors connect at once, get what there is, and come
// back at once when all have been lost.
func TestManyFromRange(t *testing.T) {
	t.Parallel()
	const many = 200
	l := New(t)
	ours, theirs := l.Node("hf"), l.Node("other")
	route := can(Holdfast(), full(IPv4, 11))[0]
	hf := StartHoldfast(ours, Config{AS: holdfastAS, ID: ours.V4, Routes: []Route{route}, Blocks: lan(ours, "", fmt.Sprintf("  limit = %d\n", many))})
	var batch strings.Builder
	var from []netip.Addr
	for i := range many {
		from = append(from, netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + i)}))
		fmt.Fprintf(&batch, "addr add %s/24 dev eth0\n", from[i])
	}
	theirs.Run("ip", "-batch", theirs.Write("addresses", batch.String()))
	up := func(want int) {
		t.Helper()
		Await(t, Patience, fmt.Sprintf("%d sessions", want), func() error {
			var s struct {
				Established int `json:"established"`
				Neighbors   int `json:"neighbors"`
			}
			if err := hf.AskJSON(&s, "show", "summary"); err != nil {
				return err
			}
			if s.Established != want || s.Neighbors != many {
				return fmt.Errorf("%d of %d are up", s.Established, s.Neighbors)
			}
			return nil
		})
	}
	for range 2 {
		began := time.Now()
		conns := make([]net.Conn, many)
		var heard atomic.Int64
		var dialing sync.WaitGroup
		for i := range many {
			dialing.Go(func() {
				conns[i] = speak(t, theirs, from[i], ours, otherAS, func(p prefix.Prefix) {
					if p.String() == route.Prefix.String() {
						heard.Add(1)
					}
				})
			})
		}
		dialing.Wait()
		up(many)
		Await(t, Patience, "our route at all of them", atLeast("neighbors with it", func() (uint64, error) { return uint64(heard.Load()), nil }, many))
		t.Logf("%d sessions after %v", many, time.Since(began).Round(time.Millisecond))
		if out, err := hf.Ask("show", "neighbors"); err != nil || strings.Count(out, "(dynamic)") != many {
			t.Errorf("%v\n%s", err, out)
		}
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
		up(0)
	}
}
