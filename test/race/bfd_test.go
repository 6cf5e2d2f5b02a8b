//go:build interop

package race

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/feed"
	"holdfast/testkit/netlab"
)

const (
	watchers = 500
	loadedBy = "load" // the neighbor that sends the table
)

// BenchmarkBFD has two routers watch each other 500 times over, at 300 ms. It
// measures what that costs, and whether it goes on while one of them loads a
// table.
func BenchmarkBFD(b *testing.B) {
	table := feed.New(1, prefix.IPv4, routes)
	for b.Loop() {
		l := netlab.New(b)
		nodes := [2]*netlab.Node{l.Node("a"), l.Node("b")}
		feeder := l.Node("feeder")
		var routers [2]*netlab.HoldfastRouter
		for i, n := range nodes {
			c := netlab.Config{AS: uint32(65001 + i), ID: n.V4, Router: "kernel = false"}
			for k := range watchers {
				at := func(side int) netip.Addr {
					return netip.AddrFrom4([4]byte{10, byte(1 + side), byte(k / 250), byte(1 + k%250)})
				}
				n.Run("ip", "addr", "add", at(i).String()+"/8", "dev", "eth0")
				c.Sessions = append(c.Sessions, netlab.Session{Name: fmt.Sprint("n", k), Local: at(i), Remote: at(1 - i), AS: uint32(65002 - i), BFD: true,
					Families: []netlab.Family{netlab.IPv4}, More: "  passive = true"})
			}
			if i == 0 {
				c.Sessions = append(c.Sessions, netlab.Session{Name: loadedBy, Local: n.V4, Remote: feeder.V4, AS: 65010, Passive: true, Families: []netlab.Family{netlab.IPv4}})
			}
			routers[i] = netlab.StartHoldfast(n, c)
		}
		a := routers[0]
		netlab.Await(b, time.Minute, "BFD", func() error {
			if got := ask(b, a); got.up != watchers {
				return fmt.Errorf("%d sessions are up", got.up)
			}
			return nil
		})
		before, cpu, began := ask(b, a), threadTime(b, a), time.Now()
		time.Sleep(20 * time.Second) // to measure, not to wait
		quiet, spent := ask(b, a), threadTime(b, a)-cpu
		b.ReportMetric(100*spent.Seconds()/time.Since(began).Seconds(), "%core")
		b.ReportMetric(float64(quiet.sent-before.sent)/time.Since(began).Seconds(), "packets/s")
		b.ReportMetric(float64(quiet.missed-before.missed), "missed")

		conn, err := feeder.Dial(feeder.V4, netip.AddrPortFrom(nodes[0].V4, 179))
		if err != nil {
			b.Fatal(err)
		}
		open := wire.Open{ASN: 65010, HoldTime: 180, ID: binary.BigEndian.Uint32(feeder.V4.AsSlice())}
		open.Capabilities.AS4, open.Capabilities.Families = true, []wire.FamilyID{wire.UnicastID(prefix.IPv4)}
		if _, err := conn.Write(append(wire.AppendKeepalive(wire.AppendOpen(nil, &open)), table.Sender(65010, feeder.V4).Stream()...)); err != nil {
			b.Fatal(err)
		}
		netlab.Await(b, time.Minute, "the table", func() error {
			var m struct {
				Neighbor struct{ Families []struct{ Received int } }
			}
			err := a.AskJSON(&m, "show", "neighbor", loadedBy)
			if err == nil && m.Neighbor.Families[0].Received < routes {
				err = fmt.Errorf("%d routes", m.Neighbor.Families[0].Received)
			}
			return err
		})
		loaded := ask(b, a)
		b.ReportMetric(float64(loaded.missed-quiet.missed), "missed-loading")
		b.ReportMetric(float64(loaded.failures), "failures")
		conn.Close()
	}
	b.ReportMetric(0, "ns/op")
}

// counts are those of all sessions together.
type counts struct{ up, failures, sent, missed int }

func ask(b *testing.B, r *netlab.HoldfastRouter) (c counts) {
	b.Helper()
	var m struct {
		Sessions []struct {
			State    string
			Failures int
			Sent     int `json:"packets_sent"`
			Missed   int `json:"packets_missed"`
		}
	}
	if err := r.AskJSON(&m, "show", "bfd"); err != nil {
		b.Fatal(err)
	}
	for _, s := range m.Sessions {
		if s.State == "up" {
			c.up++
		}
		c.failures, c.sent, c.missed = c.failures+s.Failures, c.sent+s.Sent, c.missed+s.Missed
	}
	return c
}

// threadTime is what the thread of BFD has used: the one with priority.
func threadTime(b *testing.B, r *netlab.HoldfastRouter) time.Duration {
	b.Helper()
	all, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", r.Process().Pid()))
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range all {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)        // from the third on
		if len(f) > 38 && f[38] == "2" { // SCHED_RR
			user, _ := strconv.Atoi(f[11])
			system, _ := strconv.Atoi(f[12])
			return time.Duration(user+system) * time.Second / 100
		}
	}
	b.Fatal("no thread has priority")
	return 0
}
