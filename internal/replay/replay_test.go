package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/mrt"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Every route of a real table arrives with its own attributes, in few messages.
func TestTable(t *testing.T) {
	const file = "../demo/table.mrt.gz"
	for _, f := range both {
		synctest.Test(t, func(t *testing.T) {
			want := map[string]string{}
			sets := map[string]bool{}
			families := [prefix.Families]bool{}
			families[f] = true
			_, _, err := walk(file, func(int64) error { return nil }, func(_ *mrt.Reader, rec *mrt.Record) error {
				if rec.Kind == mrt.RIB && families[rec.Prefix.Family] {
					u := rec.Entries[0].Update(f, nil)
					block, _ := u.Validate(&wire.Options{EBGP: true, AS4: true}, u.HasReach, nil)
					var a wire.Attrs
					wire.Parse(block, u.ReachNextHop, &a)
					want[rec.Prefix.String()] = text(&a)
					sets[text(&a)] = true
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			r := &router{asn: 64999, hold: 90, families: both}
			var phases []Phase
			sum, err := play(t.Context(), Options{File: file, Families: families, NextHop: NextHop{Keep: true}}, r, func(p Progress) {
				if p.Done > p.Total {
					t.Errorf("%v: %d of %d", p.Phase, p.Done, p.Total)
				}
				if len(phases) == 0 || phases[len(phases)-1] != p.Phase {
					phases = append(phases, p.Phase)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			sameRoutes(t, r, want)
			if sum.Announced[f] != len(want) || sum.Skipped != 0 || !sum.Table || sum.Messages != r.updates ||
				sum.LocalAS != r.open.ASN || sum.RemoteAS != 64999 || sum.Damaged != 0 || len(sum.Notes) != 0 {
				t.Errorf("%+v", sum)
			}
			if r.updates > len(sets)*12/10 {
				t.Errorf("%d messages for %d sets of attributes", r.updates, len(sets))
			}
			if !slices.Equal(r.endOfRIB, []prefix.Family{f}) || r.last != "Cease: administrative shutdown (6/2)" {
				t.Errorf("End-of-RIB of %v, then %s", r.endOfRIB, r.last)
			}
			if !slices.Equal(phases, []Phase{Inspecting, Loading, Connecting, Sending}) {
				t.Errorf("phases %v", phases)
			}
		})
	}
}

// What the session decides about attributes, case by case.
func TestAttributes(t *testing.T) {
	internal := attrs("198.51.100.1", 65001, 65002)
	internal.Has |= wire.HasLocalPref | wire.HasOriginatorID | wire.HasMED
	internal.LocalPref, internal.OriginatorID, internal.MED = 200, 7, 5
	internal.ClusterList = []byte{1, 2, 3, 4}
	other := attrs("198.51.100.1", 65001)
	other.Other = []byte{0xc0, 99, 1, 7}
	ipv6 := attrs("2001:db8::7", 65001, 65003)
	linkLocal := ipv6
	linkLocal.NextHop = append(netip.MustParseAddr("2001:db8::7").AsSlice(), netip.MustParseAddr("fe80::1").AsSlice()...)
	wide := attrs("198.51.100.1", 65001, 200000)

	fixed := NextHop{Keep: true}
	fixed.Addr[prefix.IPv4] = netip.MustParseAddr("203.0.113.77")
	for _, c := range []struct {
		name   string
		prefix string
		attrs  wire.Attrs
		o      Options
		router router
		want   string // "" is skipped
	}{
		{"own next hop", "10.0.0.0/8", attrs("198.51.100.1", 65001, 65002), Options{}, router{asn: 64999},
			"65001 65002 via 192.0.2.1 origin 0"},
		{"kept next hop", "10.0.0.0/8", attrs("198.51.100.1", 65001, 65002), Options{NextHop: NextHop{Keep: true}}, router{asn: 64999},
			"65001 65002 via 198.51.100.1 origin 0"},
		{"fixed next hop", "10.0.0.0/8", attrs("198.51.100.1", 65001, 65002), Options{NextHop: fixed}, router{asn: 64999},
			"65001 65002 via 203.0.113.77 origin 0"},
		{"another AS", "10.0.0.0/8", attrs("198.51.100.1", 65001, 65002), Options{LocalAS: 64777}, router{asn: 64999},
			"64777 65001 65002 via 192.0.2.1 origin 0"},
		{"empty path", "10.0.0.0/8", attrs("198.51.100.1"), Options{}, router{asn: 64999}, "65001 via 192.0.2.1 origin 0"},
		{"internal attributes to another AS", "10.0.0.0/8", internal, Options{}, router{asn: 64999},
			"65001 65002 via 192.0.2.1 origin 0 med 5"},
		{"internal attributes within the AS", "10.0.0.0/8", internal, Options{}, router{asn: 65001},
			"65001 65002 via 192.0.2.1 origin 0 med 5 lp 200 originator 7 cluster 01020304"},
		{"LOCAL_PREF is added", "10.0.0.0/8", other, Options{}, router{asn: 65001},
			"65001 via 192.0.2.1 origin 0 lp 100 other c0630107"},
		{"unknown attributes", "10.0.0.0/8", other, Options{}, router{asn: 64999}, "65001 via 192.0.2.1 origin 0 other c0630107"},
		{"IPv6 keeps what there is", "2001:db8::/32", ipv6, Options{}, router{asn: 64999}, "65001 65003 via 2001:db8::7 origin 0"},
		{"link-local next hop", "2001:db8::/32", linkLocal, Options{NextHop: NextHop{Keep: true}}, router{asn: 64999},
			"65001 65003 via 2001:db8::7 origin 0"},
		{"two-byte AS numbers", "10.0.0.0/8", wide, Options{}, router{asn: 64999, noAS4: true}, "65001 200000 via 192.0.2.1 origin 0"},
		{"IPv6 next hop of IPv4, not negotiated", "10.0.0.0/8", ipv6, Options{NextHop: NextHop{Keep: true}}, router{asn: 64999}, ""},
		{"IPv6 next hop of IPv4", "10.0.0.0/8", ipv6, Options{NextHop: NextHop{Keep: true}}, router{asn: 64999, extended: true},
			"65001 65003 via 2001:db8::7 origin 0"},
		{"IPv6 next hop of IPv4 replaced", "10.0.0.0/8", ipv6, Options{}, router{asn: 64999}, "65001 65003 via 192.0.2.1 origin 0"},
		{"no attributes", "10.0.0.0/8", wire.Attrs{}, Options{}, router{asn: 64999}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := newDump(t, neighbor("198.51.100.1", 65001))
			d.add(c.prefix, false, path{attrs: c.attrs})
			c.o.File = file(t, d.data)
			c.router.families = both
			sum, err := play(t.Context(), c.o, &c.router, nil)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if got := c.router.routes[c.prefix]; got != c.want || !errors.Is(c.router.err, io.EOF) {
				t.Errorf("%s:\n got %s\nwant %s (%v)", c.name, got, c.want, c.router.err)
			}
			if (sum.Skipped == 1) != (c.want == "") || (sum.Reason == "") != (c.want != "") {
				t.Errorf("%s: skipped %d, %s", c.name, sum.Skipped, sum.Reason)
			}
		})
	}
}

func TestSelection(t *testing.T) {
	d := newDump(t, neighbor("198.51.100.1", 65001), neighbor("198.51.100.2", 65002), neighbor("2001:db8::3", 65003),
		neighbor("198.51.100.4", 65002))
	one, two, three := attrs("198.51.100.1", 65001, 65010), attrs("198.51.100.2", 65002, 65010, 65010), attrs("2001:db8::3", 65003)
	d.add("10.0.0.0/8", false, path{attrs: one}, path{neighbor: 1, attrs: two})
	d.add("10.1.0.0/16", false, path{neighbor: 1, attrs: two})
	d.add("10.2.0.0/16", false, path{neighbor: 1, attrs: two}, path{attrs: one})
	d.add("2001:db8::/32", false, path{neighbor: 2, attrs: three})
	dump := file(t, d.data)
	ipv6 := [prefix.Families]bool{prefix.IPv6: true}
	for _, c := range []struct {
		name string
		o    Options
		want string // prefixes with the first AS, or an error
	}{
		{"the most", Options{}, "10.0.0.0/8 65002, 10.1.0.0/16 65002, 10.2.0.0/16 65002"},
		{"number", Options{From: Selection{Index: 1}}, "10.0.0.0/8 65001, 10.2.0.0/16 65001"},
		{"address", Options{From: Selection{Addr: netip.MustParseAddr("198.51.100.1")}}, "10.0.0.0/8 65001, 10.2.0.0/16 65001"},
		{"AS", Options{From: Selection{AS: 65003}}, "2001:db8::/32 65003"},
		{"the most of a family", Options{Families: ipv6}, "2001:db8::/32 65003"},
		{"all", Options{From: Selection{All: true}},
			"10.0.0.0/8 65002 65001, 10.1.0.0/16 65002, 10.2.0.0/16 65002 65001, 2001:db8::/32 65002 65003"},
		{"nobody", Options{From: Selection{AS: 65009}}, "the dump has no neighbor AS65009; it has 2: 198.51.100.2 AS65002 (3 routes)"},
		{"both must fit", Options{From: Selection{AS: 65001, Index: 2}}, "the dump has no neighbor number 2, AS65001"},
		{"no routes", Options{From: Selection{Index: 4}}, "the dump has no routes of number 4"},
	} {
		c.o.File, c.o.NextHop.Keep = dump, true
		synctest.Test(t, func(t *testing.T) {
			r := &router{asn: 64999, families: both}
			_, err := play(t.Context(), c.o, r, nil)
			if err != nil {
				if !strings.HasPrefix(err.Error(), c.want) {
					t.Errorf("%s: %v", c.name, err)
				}
				return
			}
			var got []string
			for p, a := range r.routes {
				got = append(got, p+" "+strings.Split(strings.Split(a, " via")[0], " 65010")[0])
			}
			slices.Sort(got)
			if strings.Join(got, ", ") != c.want {
				t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, ", "), c.want)
			}
		})
	}
}

// With add-path all paths of a neighbor are sent, without it the first.
func TestAddPath(t *testing.T) {
	d := newDump(t, neighbor("198.51.100.1", 65001))
	first, second := attrs("198.51.100.1", 65001, 65010), attrs("198.51.100.1", 65001, 65011)
	d.add("10.0.0.0/8", true, path{id: 7, attrs: first}, path{id: 9, attrs: second})
	dump := file(t, d.data)
	for addPath, want := range map[bool]map[string]string{
		true:  {"10.0.0.0/8#7": "65001 65010 via 192.0.2.1 origin 0", "10.0.0.0/8#9": "65001 65011 via 192.0.2.1 origin 0"},
		false: {"10.0.0.0/8": "65001 65010 via 192.0.2.1 origin 0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &router{asn: 64999, families: both, addPath: addPath}
			sum, err := play(t.Context(), Options{File: dump}, r, nil)
			if err != nil {
				t.Fatal(err)
			}
			sameRoutes(t, r, want)
			if (len(sum.Notes) == 0) != addPath {
				t.Errorf("notes %q", sum.Notes)
			}
		})
	}
}

// recording has messages at seconds 0, 10, 10.5 and 400, and others' in between.
func recording(t *testing.T) string {
	a := attrs("198.51.100.1", 65001, 65010)
	var data []byte
	add := func(seconds, micros uint32, as uint32, local bool, m []byte) {
		rec := &mrt.Record{Kind: mrt.Message, AS4: true, Seconds: 1000 + seconds, Micros: micros, PeerAS: as, LocalAS: 12654, Local: local,
			PeerAddr: netip.MustParseAddr("198.51.100.1"), LocalAddr: netip.MustParseAddr("198.51.100.254"), Message: m}
		var err error
		if data, err = mrt.AppendMessage(data, rec); err != nil {
			t.Fatal(err)
		}
	}
	add(0, 0, 65001, false, wire.AppendKeepalive(nil))
	add(0, 0, 65001, false, updateMessage("", &a, "10.0.0.0/8 10.1.0.0/16"))
	add(5, 0, 65002, false, updateMessage("", &a, "10.9.0.0/16"))
	add(10, 0, 65001, false, updateMessage("10.0.0.0/8", nil, ""))
	add(10, 0, 65001, true, updateMessage("10.1.0.0/16", nil, ""))
	add(10, 500000, 65001, false, updateMessage("10.1.0.0/16", &a, "10.2.0.0/16"))
	add(10, 600000, 65001, false, updateMessage("", nil, "10.7.0.0/16")) // no attributes
	add(9, 0, 65001, false, updateMessage("10.3.0.0/16", nil, ""))       // a clock goes back
	add(400, 0, 65001, false, updateMessage("", &a, "10.0.0.0/8"))
	return file(t, data)
}

// Updates are sent in their own time, at any speed, and the session lives in
// between.
func TestTimed(t *testing.T) {
	dump := recording(t)
	for speed, times := range map[float64][5]string{
		0: {"0s", "0s", "0s", "0s", "0s"},
		1: {"0s", "10s", "10.5s", "10.6s", "6m40s"},
		4: {"0s", "2.5s", "2.625s", "2.65s", "1m40s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &router{asn: 64999, hold: 30, families: both}
			sum, err := play(t.Context(), Options{File: dump, Speed: speed}, r, nil)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{times[0] + " +10.0.0.0/8", times[0] + " +10.1.0.0/16", times[1] + " -10.0.0.0/8",
				times[2] + " -10.1.0.0/16", times[2] + " +10.2.0.0/16", times[3] + " -10.3.0.0/16", times[4] + " +10.0.0.0/8"}
			if !slices.Equal(r.log, want) {
				t.Errorf("speed %v:\n got %s\nwant %s", speed, strings.Join(r.log, ", "), strings.Join(want, ", "))
			}
			sameRoutes(t, r, map[string]string{"10.0.0.0/8": "65001 65010 via 192.0.2.1 origin 0",
				"10.2.0.0/16": "65001 65010 via 192.0.2.1 origin 0"})
			if sum.Table || sum.From.Updates != 6 || sum.Skipped != 1 || sum.Announced[0] != 4 || sum.Withdrawn[0] != 3 {
				t.Errorf("%+v", sum)
			}
			if least := int(sum.Elapsed / (10 * time.Second)); r.keepalives < least || r.keepalives > least+2 {
				t.Errorf("%d keepalives in %v", r.keepalives, sum.Elapsed)
			}
		})
	}
}

// held is a dump of one route.
func held(t *testing.T) string {
	d := newDump(t, neighbor("198.51.100.1", 65001))
	d.add("10.0.0.0/8", false, path{attrs: attrs("198.51.100.1", 65001)})
	return file(t, d.data)
}

func TestHoldOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		r := &router{asn: 64999, hold: 90, families: both}
		sum, err := play(ctx, Options{File: held(t), HoldOpen: true}, r, nil)
		if err != nil || sum.Elapsed != 0 || time.Since(r.start) != time.Hour {
			t.Errorf("%v after %v: %+v", err, time.Since(r.start), sum)
		}
		if r.keepalives < 119 || r.keepalives > 121 || r.last != "Cease: administrative shutdown (6/2)" {
			t.Errorf("%d keepalives, then %s", r.keepalives, r.last)
		}
	})
}

func TestRouterEndsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &router{asn: 64999, hold: 90, families: both, after: 1}
		_, err := play(t.Context(), Options{File: held(t), HoldOpen: true}, r, nil)
		var n *Notification
		if !errors.As(err, &n) || n.Code != wire.CodeCease || n.Subcode != wire.CeaseMaxPrefixes {
			t.Fatal(err)
		}
		if err.Error() != "the router ended the session: Cease: maximum number of prefixes reached (6/1)" {
			t.Error(err)
		}
	})
}

// A router that reads nothing is given up, one that says nothing too.
func TestDeafRouter(t *testing.T) {
	a := attrs("198.51.100.1", 65001)
	a.Communities = make([]byte, 3000)
	d := newDump(t, neighbor("198.51.100.1", 65001))
	for i := range 2000 { // more than any buffer
		a.Communities[0], a.Communities[1] = byte(i>>8), byte(i)
		d.add(fmt.Sprintf("10.%d.%d.0/24", i>>8, i&0xff), false, path{attrs: a})
	}
	large := file(t, d.data)
	for _, c := range []struct {
		file string
		hold uint16
		want string
		at   time.Duration
	}{
		{large, 0, "the router has read nothing for 2m0s", stallTime},
		{held(t), 90, "the router has not said anything for too long: the hold timer expired", 90 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &router{asn: 64999, hold: c.hold, families: both, deaf: true}
			_, err := play(t.Context(), Options{File: c.file, HoldOpen: true}, r, nil)
			if err == nil || err.Error() != c.want || time.Since(r.start) < c.at || time.Since(r.start) > c.at+time.Minute {
				t.Errorf("after %v: %v", time.Since(r.start), err)
			}
		})
	}
}

// Whatever a run is doing, it ends with its context.
func TestCancel(t *testing.T) {
	dump := recording(t)
	for _, stop := range []Phase{Inspecting, Connecting, Sending} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// The table is long enough to be asked in between.
			o := Options{File: dump, Speed: 1}
			if stop == Inspecting {
				o.File = "../demo/table.mrt.gz"
			}
			_, err := play(ctx, o, &router{asn: 64999, hold: 90, families: both}, func(p Progress) {
				if p.Phase == stop {
					cancel()
				}
			})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v: %v", stop, err)
			}
		})
	}
}

// What the router says in place of an OPEN, and what is told about it.
func TestHandshake(t *testing.T) {
	header := func(typ uint8, body ...byte) []byte {
		b := append(wire.AppendHeader(nil, typ), body...)
		wire.Finish(b, 0)
		return b
	}
	open := wire.AppendOpen(nil, &wire.Open{ASN: 64999, HoldTime: 90, ID: 1})
	for _, c := range []struct {
		name  string
		say   []byte
		close bool
		want  string
	}{
		{"nothing", nil, false, "the router sent no OPEN within 30s"},
		{"end", nil, true, "the router closed the connection at once: does it expect a neighbor with our address?"},
		{"refusal", wire.AppendNotification(nil, wire.CodeOpen, 2, nil), true, "the router ended the session: OPEN message error: bad AS number (2/2)"},
		{"something else", []byte("220 mail.example.org ESMTP ready"), false, "the router does not speak BGP: the header's marker is not all ones (1/1)"},
		{"a wrong message", wire.AppendKeepalive(nil), false, "the router sent a message of type 4 where one of type 1 belongs"},
		{"a bad OPEN", header(wire.MsgOpen, 3, 0, 1, 0, 90, 1, 1, 1, 1, 0), false, "cannot use the router's OPEN: OPEN has BGP version 3 (2/1)"},
		{"refusal of ours", slices.Concat(open, wire.AppendNotification(nil, wire.CodeOpen, 7, nil)), true,
			"the router ended the session: OPEN message error: unsupported capability (2/7)"},
		{"end behind OPEN", open, true, "the router closed the connection without a NOTIFICATION"},
	} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			done := make(chan struct{})
			go func() {
				defer close(done)
				heard := make(chan struct{})
				go func() {
					defer close(heard)
					io.Copy(io.Discard, theirs)
				}()
				if _, err := theirs.Write(c.say); err != nil && !errors.Is(err, io.ErrClosedPipe) {
					t.Errorf("%s: %v", c.name, err)
				}
				if c.close {
					theirs.Close()
				}
				<-heard
			}()
			p := player{o: Options{Families: [2]bool{true, true}}, sum: Summary{LocalAS: 65001}}
			_, err := establish(t.Context(), ours, p.open())
			if err == nil || err.Error() != c.want {
				t.Errorf("%s: %v", c.name, err)
			}
			<-done
		})
	}
}

// Over TCP, in both directions of connecting.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dump := held(t)
	r := &router{asn: 64999, hold: 90, families: both}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			r.err = err
			return
		}
		defer c.Close()
		r.serve(c)
	}()
	_, err = Run(t.Context(), Options{File: dump, To: l.Addr().String(), Source: netip.MustParseAddr("127.0.0.1")}, nil)
	<-done
	l.Close()
	if err != nil {
		t.Fatal(err)
	}
	sameRoutes(t, r, map[string]string{"10.0.0.0/8": "65001 via 198.51.100.1 origin 0"})

	at := l.Addr().String() // free again
	listening := &router{asn: 64999, hold: 90, families: both}
	done = make(chan struct{})
	connecting := make(chan struct{})
	go func() {
		defer close(done)
		<-connecting
		var c net.Conn
		err := errors.New("not tried")
		for err != nil && t.Context().Err() == nil {
			c, err = net.Dial("tcp", at)
		}
		if err != nil {
			listening.err = err
			return
		}
		defer c.Close()
		listening.serve(c)
	}()
	_, err = Run(t.Context(), Options{File: dump, Listen: at}, func(p Progress) {
		if p.Phase == Connecting {
			close(connecting)
		}
	})
	<-done
	if err != nil {
		t.Fatal(err)
	}
	sameRoutes(t, listening, map[string]string{"10.0.0.0/8": "65001 via 198.51.100.1 origin 0"})
}

func TestOptions(t *testing.T) {
	dump := held(t)
	v6 := NextHop{}
	v6.Addr[prefix.IPv4] = netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{File: dump}, "give the router's address"},
		{Options{File: dump, To: "192.0.2.9", Listen: "192.0.2.1"}, "give the router's address"},
		{Options{File: dump, To: "192.0.2.9", RouterID: netip.MustParseAddr("::1")}, "the router id must look like an IPv4 address"},
		{Options{File: dump, To: "192.0.2.9", Speed: -1}, "cannot play at a speed of -1"},
		{Options{File: dump, To: "192.0.2.9", NextHop: v6}, "2001:db8::1 is no next hop for ipv4 routes"},
		{Options{File: dump + "x", To: "192.0.2.9"}, "cannot read the dump "},
		{Options{File: t.TempDir(), To: "192.0.2.9"}, "cannot read the dump "},
		{Options{File: file(t, nil), To: "192.0.2.9"}, ""},
		{Options{File: file(t, []byte("some text that is longer than a header")), To: "192.0.2.9"}, ""},
	} {
		_, err := Run(t.Context(), c.o, nil)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}

// Damaged records are left out and told.
func TestDamaged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDump(t, neighbor("198.51.100.1", 65001))
		bad := len(d.data)
		d.add("10.0.0.0/8", false, path{attrs: attrs("198.51.100.1", 65001)})
		d.data[bad+12+4] = 77 // the prefix length
		d.add("10.1.0.0/16", false, path{attrs: attrs("198.51.100.1", 65001, 64999)})
		r := &router{asn: 64999, families: both}
		sum, err := play(t.Context(), Options{File: file(t, d.data)}, r, nil)
		if err != nil || sum.Damaged != 1 || len(sum.Notes) != 2 {
			t.Fatalf("%v: %+v", err, sum)
		}
		if !strings.HasPrefix(sum.Notes[0], "1 records are damaged, the first: record 2 at byte ") ||
			sum.Notes[1] != "1 ipv4 routes have the router's AS64999 in their path, for which it will refuse them" {
			t.Errorf("%q", sum.Notes)
		}
		if len(r.routes) != 1 {
			t.Errorf("%v", r.routes)
		}
	})
}

// A router that takes one family only gets that one.
func TestFamilies(t *testing.T) {
	d := newDump(t, neighbor("198.51.100.1", 65001))
	d.add("10.0.0.0/8", false, path{attrs: attrs("198.51.100.1", 65001)})
	d.add("2001:db8::/32", false, path{attrs: attrs("2001:db8::1", 65001)})
	dump := file(t, d.data)
	synctest.Test(t, func(t *testing.T) {
		r := &router{asn: 64999, families: both[:1]}
		sum, err := play(t.Context(), Options{File: dump}, r, nil)
		if err != nil || len(sum.Notes) != 1 || sum.Notes[0] != "the router does not take ipv6: 1 routes are left out" {
			t.Errorf("%v: %q", err, sum.Notes)
		}
		sameRoutes(t, r, map[string]string{"10.0.0.0/8": "65001 via 192.0.2.1 origin 0"})
	})
	synctest.Test(t, func(t *testing.T) {
		r := &router{asn: 64999, families: both[:1]}
		_, err := play(t.Context(), Options{File: dump, Families: [2]bool{false, true}}, r, nil)
		if err == nil || err.Error() != "the router takes neither of the families that are to be played" {
			t.Error(err)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	all := [prefix.Families]bool{true, true}
	free := func(int64) error { return nil }
	c, err := Inspect("../demo/table.mrt.gz", all, free)
	if err != nil {
		b.Fatal(err)
	}
	from, err := c.Choose(Selection{})
	if err != nil {
		b.Fatal(err)
	}
	t, err := load("../demo/table.mrt.gz", Selection{}, from, all, free)
	if err != nil {
		b.Fatal(err)
	}
	e := encoder{chunks: make(chan chunk, ahead), free: make(chan []byte, ahead), localAS: from.AS, ebgp: true, as4: true,
		maxLen: wire.MaxMsgLen, families: all}
	b.ReportAllocs()
	for b.Loop() {
		for len(e.chunks) > 0 {
			e.free <- (<-e.chunks).data[:0]
		}
		e.out = e.out[:0]
		if err := e.table(b.Context(), t); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(t.routes)), "ns/route")
}
