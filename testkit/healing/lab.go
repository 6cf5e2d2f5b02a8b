// Package healing lets things go wrong around a router that forwards packets,
// and counts what is lost.
package healing

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"holdfast/testkit/feed"
	"holdfast/testkit/neighbor"
	"holdfast/testkit/netlab"
	"holdfast/testkit/rival"
)

const (
	flows = 50    // prefixes that packets go to, spread over the table
	rate  = 5_000 // packets a second, 100 to each
	// Patience is how long a router may take for anything.
	Patience = 5 * time.Minute
)

// Lab is a router between a sender and two upstreams that announce the same
// table, with a third neighbor that only watches:
//
//	sender ── router ─(switch)─ a   the better one
//	            │  └──(switch)─ b
//	         monitor
//
// The upstreams stand for all that is behind them: packets that come to one have
// arrived.
type Lab struct {
	t       testing.TB
	table   *feed.Table
	router  rival.Router
	sender  *netlab.Node
	a, b    *upstream
	monitor *neighbor.Neighbor
	to      []netip.Addr
}

type upstream struct {
	*neighbor.Neighbor
	node   *netlab.Node
	router *netlab.End // the router's end of the wire
	bfd    *bfdPeer
}

// New builds a Lab and waits until all packets go by way of a.
func New(t testing.TB, make rival.Make, table *feed.Table) *Lab {
	t.Helper()
	net := netlab.New(t)
	router, sender, monitor := net.Node("router"), net.Node("sender"), net.Node("monitor")
	l := &Lab{t: t, table: table, sender: sender, to: destinations(table)}
	router.Forward()
	toSender, _ := net.Wire(router, sender)
	sender.Run("ip", "route", "add", "default", "via", toSender.V4.String())
	var neighbors []rival.Neighbor
	for i, u := range []**upstream{&l.a, &l.b} {
		n := net.Node(string(rune('a' + i)))
		ours, theirs := net.SwitchedWire(router, n)
		n.TakeAll()
		asn := uint32(65001 + i)
		*u = &upstream{neighbor.Start(t, theirs, ours, asn, false), n, ours, startBFD(n, theirs, ours)}
		(*u).Send(table.Sender(asn, theirs.V4).Stream())
		neighbors = append(neighbors, rival.Neighbor{Name: n.Name, At: theirs, Router: ours, ASN: asn, Preference: 200 - 100*i, BFD: true})
	}
	ours, theirs := net.Wire(router, monitor)
	l.monitor = neighbor.Start(t, theirs, ours, 65003, true)
	l.monitor.Send([]byte{})
	neighbors = append(neighbors, rival.Neighbor{Name: "monitor", At: theirs, Router: ours, ASN: 65003, Export: true})
	l.router = make.New(router, neighbors)
	l.router.Start()
	return l
}

// destinations are in prefixes that no longer one covers, from the first to the
// last of the table.
func destinations(table *feed.Table) []netip.Addr {
	var all []netip.Addr
	for _, p := range table.Prefixes() {
		if p.Bits == 24 { // the longest that there are
			all = append(all, p.Addr().Next())
		}
	}
	var some []netip.Addr
	for i := range flows {
		some = append(some, all[i*(len(all)-1)/(flows-1)])
	}
	return some
}

// settle waits until everything is as it should be: all packets go by way of
// a, the watching neighbor has all routes, and the router has nothing to do.
func (l *Lab) settle() {
	l.t.Helper()
	for _, s := range []*neighbor.Neighbor{l.a.Neighbor, l.b.Neighbor, l.monitor} {
		s.AwaitSent(l.t, Patience)
	}
	l.awaitMonitor()
	l.quiet()
	f := l.flow()
	f.AwaitSteady(l.t, Patience, l.a.node)
	f.Report(l.t)
}

// quiet waits until the router has nothing to do. Those that work on a large
// table rest in between.
func (l *Lab) quiet() {
	l.t.Helper()
	while := 500 * time.Millisecond
	if len(l.table.Prefixes()) > 10_000 {
		while = 1500 * time.Millisecond
	}
	rival.Quiet(l.t, l.router, while)
}

func (l *Lab) flow() *netlab.Flows {
	l.t.Helper()
	return l.sender.Flows(l.to, rate, l.a.node, l.b.node)
}

// awaitMonitor waits until the watching neighbor has all routes.
func (l *Lab) awaitMonitor() {
	l.t.Helper()
	netlab.Await(l.t, Patience, "routes at the watching neighbor", func() error {
		if n, all := l.monitor.Seen().Routes, len(l.table.Prefixes()); n != all {
			return fmt.Errorf("it has %d of %d", n, all)
		}
		return nil
	})
}

// Result is what an event has cost.
type Result struct {
	Sent, Lost int
	// Gap is for how long packets to one prefix were lost: of half of the
	// prefixes, at most that long, and of the worst one.
	Gap, WorstGap time.Duration
	// Moved is when packets to half of the prefixes, and to the last one, went
	// where they should.
	Moved, LastMoved time.Duration
	// Of the watching neighbor: routes that it has lost, if only for a moment,
	// and that came with other attributes.
	Withdrawn, Changed int
}

func (r Result) String() string {
	ms := time.Millisecond
	return fmt.Sprintf("%d of %d packets lost, gaps of %v and %v, moved after %v and %v, %d routes withdrawn, %d changed", r.Lost, r.Sent,
		r.Gap.Round(ms), r.WorstGap.Round(ms), r.Moved.Round(ms), r.LastMoved.Round(ms), r.Withdrawn, r.Changed)
}

// during lets an event happen while packets flow, and reports once after has
// returned.
func (l *Lab) during(event func(), after func(f *netlab.Flows, before neighbor.Seen)) Result {
	l.t.Helper()
	l.settle()
	f := l.flow()
	f.AwaitSteady(l.t, Patience, l.a.node)
	before, since := l.monitor.Seen(), time.Now()
	event()
	after(f, before)
	r, now := f.Report(l.t), l.monitor.Seen()
	res := Result{Sent: r.Sent, Lost: r.Lost, Gap: middle(r.Gaps), WorstGap: r.Gaps[len(r.Gaps)-1],
		Withdrawn: now.Withdrawn - before.Withdrawn, Changed: now.Changed - before.Changed}
	// A flow has a packet every 10 ms: its last one may have gone before the event.
	res.Moved, res.LastMoved = max(0, middle(r.Moved).Sub(since)), max(0, r.Moved[len(r.Moved)-1].Sub(since))
	return res
}

// middle is the median of what is in order.
func middle[T any](sorted []T) T { return sorted[len(sorted)/2] }

// toB waits until all packets go by way of b, and the router has nothing to do.
func (l *Lab) toB(f *netlab.Flows, _ neighbor.Seen) {
	l.t.Helper()
	f.AwaitSteady(l.t, Patience, l.b.node)
	l.quiet()
	f.AwaitSteady(l.t, Patience, l.b.node)
}

// back waits until a router that was started again has all sessions and routes.
func (l *Lab) back(f *netlab.Flows, before neighbor.Seen) {
	l.t.Helper()
	netlab.Await(l.t, Patience, "new session and all routes", func() error {
		now := l.monitor.Seen()
		if now.Sessions == before.Sessions || now.Ends == before.Ends || now.Routes != len(l.table.Prefixes()) {
			return fmt.Errorf("the watching neighbor has seen %+v, after %+v", now, before)
		}
		return nil
	})
	l.quiet()
	f.AwaitSteady(l.t, Patience, l.a.node)
}
