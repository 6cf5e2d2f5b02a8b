package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/mrt"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/memnet"
)

var (
	ourAddr    = netip.MustParseAddr("192.0.2.1")
	routerAddr = netip.MustParseAddr("192.0.2.9")
)

// router is the other side: it keeps what it hears.
type router struct {
	asn      uint32
	hold     uint16
	noAS4    bool
	families []prefix.Family
	extended bool // extended next hops and messages
	addPath  bool // receives several paths
	after    int  // ends the session behind so many UPDATEs, 0 never
	deaf     bool // stops reading once Established

	start      time.Time
	open       wire.Open         // ours
	routes     map[string]string // prefix (and path id) → attributes
	log        []string          // what was announced and withdrawn, with its time
	endOfRIB   []prefix.Family
	updates    int
	keepalives int
	last       string // NOTIFICATION
	err        error
}

// serve speaks BGP until the session ends.
func (r *router) serve(c net.Conn) {
	r.routes, r.start = map[string]string{}, time.Now()
	open := wire.Open{ASN: r.asn, HoldTime: r.hold, ID: 0xc0000209}
	open.Capabilities.AS4 = !r.noAS4
	open.Capabilities.ExtendedMessages = r.extended
	if r.extended {
		open.Capabilities.ExtendedNextHops = []wire.ExtendedNextHop{{FamilyID: wire.UnicastID(prefix.IPv4), NextHopAFI: 2}}
	}
	for _, f := range r.families {
		open.Capabilities.Families = append(open.Capabilities.Families, wire.UnicastID(f))
		if r.addPath {
			open.Capabilities.AddPath = append(open.Capabilities.AddPath, wire.AddPathFamily{FamilyID: wire.UnicastID(f), Mode: wire.AddPathReceive})
		}
	}
	if _, r.err = c.Write(wire.AppendKeepalive(wire.AppendOpen(nil, &open))); r.err != nil {
		return
	}
	o := wire.Options{EBGP: true, AS4: !r.noAS4, ExtMsg: true, ExtNH: r.extended}
	for _, f := range r.families {
		o.Families[f] = true
	}
	for r.err == nil {
		var h [wire.HeaderLen]byte
		if _, r.err = io.ReadFull(c, h[:]); r.err != nil {
			return
		}
		limit := wire.MaxMsgLen
		if r.extended {
			limit = wire.MaxExtendedLen
		}
		typ, n, bad := wire.ParseHeader(h[:], limit)
		if bad != nil {
			r.err = bad
			return
		}
		body := make([]byte, n-wire.HeaderLen)
		if _, r.err = io.ReadFull(c, body); r.err != nil {
			return
		}
		switch typ {
		case wire.MsgOpen:
			if r.open, bad = wire.ParseOpen(body); bad != nil {
				r.err = bad
				return
			}
			o.EBGP = r.open.ASN != r.asn
			for f := range prefix.Family(prefix.Families) {
				o.AddPath[f] = r.addPath && r.open.Capabilities.AddPathMode(f)&wire.AddPathSend != 0
			}
		case wire.MsgKeepalive:
			if r.keepalives++; r.deaf {
				return
			}
			if r.keepalives > 1 {
				_, r.err = c.Write(wire.AppendKeepalive(nil))
			}
		case wire.MsgUpdate:
			r.updates++
			r.err = r.update(&o, body)
			if r.updates == r.after {
				_, r.err = c.Write(wire.AppendNotification(nil, wire.CodeCease, wire.CeaseMaxPrefixes, nil))
			}
		case wire.MsgNotification:
			note, _ := wire.ParseNotification(body)
			r.last = note.String()
		}
	}
}

func (r *router) update(o *wire.Options, body []byte) error {
	var u wire.Update
	if err := wire.Split(body, o, &u); err != nil {
		return err
	}
	if f, ok := u.EndOfRIB(); ok {
		r.endOfRIB = append(r.endOfRIB, f)
		return nil
	}
	at := time.Since(r.start)
	for _, l := range []wire.NLRI{u.Withdrawn, u.Unreach} {
		routes, err := l.Decode(nil)
		if err != nil {
			return err
		}
		for _, route := range routes {
			delete(r.routes, r.name(o, route))
			r.log = append(r.log, fmt.Sprintf("%v -%s", at, r.name(o, route)))
		}
	}
	for _, l := range []wire.NLRI{u.Announced, u.Reach} {
		routes, err := l.Decode(nil)
		if err != nil {
			return err
		}
		if len(routes) == 0 {
			continue
		}
		block, v := u.Validate(o, l.MP, nil)
		if v.Action != wire.Accept {
			return fmt.Errorf("%v: %s", routes[0].Prefix, v.Why)
		}
		var a wire.Attrs
		wire.Parse(block, u.ReachNextHop, &a)
		for _, route := range routes {
			r.routes[r.name(o, route)] = text(&a)
			r.log = append(r.log, fmt.Sprintf("%v +%s", at, r.name(o, route)))
		}
	}
	return nil
}

func (r *router) name(o *wire.Options, route wire.Route) string {
	if o.AddPath[route.Prefix.Family] {
		return fmt.Sprintf("%v#%d", route.Prefix, route.PathID)
	}
	return route.Prefix.String()
}

// text is all of some attributes, for comparing.
func text(a *wire.Attrs) string {
	var b strings.Builder
	for it := wire.Path(a.ASPath); it.Next(); {
		if it.Type == wire.SegSet {
			b.WriteByte('s')
		}
		fmt.Fprintf(&b, "%d ", it.ASN)
	}
	hop, _ := netip.AddrFromSlice(a.NextHop)
	fmt.Fprintf(&b, "via %v origin %d", hop, a.Origin)
	for _, v := range []struct {
		bit   uint16
		name  string
		value uint32
	}{
		{wire.HasMED, "med", a.MED}, {wire.HasLocalPref, "lp", a.LocalPref}, {wire.HasOriginatorID, "originator", a.OriginatorID},
		{wire.HasAtomicAggregate, "atomic", 1}, {wire.HasAggregator, "aggregator", a.AggregatorAS}, {wire.HasAggregator, "by", a.AggregatorID},
	} {
		if a.Has&v.bit != 0 {
			fmt.Fprintf(&b, " %s %d", v.name, v.value)
		}
	}
	for _, v := range []struct {
		name  string
		value []byte
	}{{"comm", a.Communities}, {"ext", a.ExtCommunities}, {"large", a.LargeCommunities}, {"cluster", a.ClusterList}, {"other", a.Other}} {
		if len(v.value) > 0 {
			fmt.Fprintf(&b, " %s %x", v.name, v.value)
		}
	}
	return b.String()
}

// play runs a replay of o against r over a network in memory.
func play(ctx context.Context, o Options, r *router, progress func(Progress)) (Summary, error) {
	if progress == nil {
		progress = func(Progress) {}
	}
	o.To = routerAddr.String()
	if err := o.check(); err != nil {
		return Summary{}, err
	}
	p := player{o: o, progress: progress}
	if err := p.prepare(ctx); err != nil {
		return p.sum, err
	}
	n := memnet.New()
	at := netip.AddrPortFrom(routerAddr, 179)
	l, err := n.Listen(at)
	if err != nil {
		return p.sum, err
	}
	done := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			r.err = err
			return
		}
		if r.serve(c); r.deaf {
			<-stop
		}
		c.Close()
	}()
	err = p.session(ctx, func(ctx context.Context) (net.Conn, error) { return n.Dial(ctx, ourAddr, at) })
	close(stop)
	l.Close()
	<-done
	return p.sum, err
}

// file writes a dump.
func file(t testing.TB, data []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "dump.mrt")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// path is one path of a table under construction.
type path struct {
	neighbor int
	id       uint32
	attrs    wire.Attrs
}

// dump makes a TABLE_DUMP_V2.
type dump struct {
	t    testing.TB
	data []byte
}

func newDump(t testing.TB, ns ...mrt.Neighbor) *dump {
	t.Helper()
	data, err := mrt.AppendNeighbors(nil, 1000, [4]byte{}, "", ns)
	if err != nil {
		t.Fatal(err)
	}
	return &dump{t, data}
}

func (d *dump) add(p string, addPath bool, paths ...path) {
	d.t.Helper()
	rec := mrt.Record{Seconds: 1000, Prefix: prefix.MustParse(p), AddPath: addPath}
	for _, x := range paths {
		mp := rec.Prefix.Family == prefix.IPv6 || len(x.attrs.NextHop) == 16
		attrs := x.attrs.Append(nil, mp)
		if mp {
			attrs = append(attrs, 0x80, 14, byte(1+len(x.attrs.NextHop)), byte(len(x.attrs.NextHop)))
			attrs = append(attrs, x.attrs.NextHop...)
		}
		rec.Entries = append(rec.Entries, mrt.Entry{Neighbor: x.neighbor, PathID: x.id, Attrs: attrs})
	}
	var err error
	if d.data, err = mrt.AppendRIB(d.data, &rec); err != nil {
		d.t.Fatal(err)
	}
}

// attrs are the least that routes need.
func attrs(nextHop string, asns ...uint32) wire.Attrs {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: netip.MustParseAddr(nextHop).AsSlice()}
	for _, asn := range slices.Backward(asns) {
		a.ASPath = wire.Prepend(nil, a.ASPath, asn, 1)
	}
	return a
}

func neighbor(addr string, as uint32) mrt.Neighbor {
	return mrt.Neighbor{Addr: netip.MustParseAddr(addr), AS: as}
}

var both = []prefix.Family{prefix.IPv4, prefix.IPv6}

func sameRoutes(t *testing.T, r *router, want map[string]string) {
	t.Helper()
	if r.err != nil && !errors.Is(r.err, io.EOF) {
		t.Errorf("the router: %v", r.err)
	}
	for p, a := range want {
		if r.routes[p] != a {
			t.Errorf("%s\n got %s\nwant %s", p, r.routes[p], a)
		}
	}
	if len(r.routes) != len(want) {
		t.Errorf("%d routes, want %d", len(r.routes), len(want))
	}
}

// updateMessage is an UPDATE for recording.
func updateMessage(withdrawn string, a *wire.Attrs, announced string) []byte {
	nlri := func(list string) (b []byte) {
		for _, p := range strings.Fields(list) {
			b = wire.AppendPrefix(b, prefix.MustParse(p))
		}
		return b
	}
	var block []byte
	if a != nil {
		block = a.Append(nil, false)
	}
	return wire.AppendUpdate(nil, prefix.IPv4, nlri(withdrawn), block, nil, nlri(announced))
}
