//go:build interop

// Package interop runs holdfast against other routers in network namespaces.
// Each test is one capability, each subtest one make of router.
package interop

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	. "holdfast/testkit/netlab"
)

const (
	holdfastAS = 64500
	otherAS    = 64601
)

// pair is holdfast and one other router, with the sessions "v4" and "v6"
// between them.
type pair struct {
	lab               *Lab
	make              Make
	hf                *HoldfastRouter
	other             Router
	hfNode, otherNode *Node
	hfAS, otherAS     uint32
}

// options change what differs between the tests; zero values are the rule.
type options struct {
	hfAS, otherAS uint32
	// change edits the sessions of both sides.
	change func(s *Session)
	// changeOther edits those of the other router alone.
	changeOther func(s *Session)
	// single: one session "v6" for both families.
	single              bool
	hfRoutes, otherOnes []Route
	// more sessions for the other router, and for holdfast.
	more, hfMore []Session
	lab          *Lab
}

// connect starts both routers. It does not wait for the sessions.
func connect(t *testing.T, m Make, o options) *pair {
	t.Helper()
	if o.lab == nil {
		o.lab = New(t)
	}
	p := &pair{lab: o.lab, make: m, hfAS: o.hfAS, otherAS: o.otherAS}
	if p.hfAS == 0 {
		p.hfAS = holdfastAS
	}
	if p.otherAS == 0 {
		p.otherAS = otherAS
	}
	p.hfNode, p.otherNode = o.lab.Node("hf"), o.lab.Node("other")
	toOther := sessions(p.hfNode, p.otherNode, p.otherAS, o)
	toHoldfast := sessions(p.otherNode, p.hfNode, p.hfAS, o)
	for i := range toHoldfast {
		if o.changeOther != nil {
			o.changeOther(&toHoldfast[i])
		}
	}
	p.hf = StartHoldfast(p.hfNode, Config{AS: p.hfAS, ID: p.hfNode.V4, Sessions: append(toOther, o.hfMore...), Routes: o.hfRoutes})
	p.other = m.Start(p.otherNode, Config{AS: p.otherAS, ID: p.otherNode.V4, Sessions: append(toHoldfast, o.more...), Routes: o.otherOnes})
	return p
}

func sessions(from, to *Node, as uint32, o options) []Session {
	list := []Session{
		{Name: "v4", Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}},
		{Name: "v6", Local: from.V6, Remote: to.V6, AS: as, Families: []Family{IPv6}},
	}
	if o.single {
		list = list[1:]
		list[0].Families = []Family{IPv4, IPv6}
	}
	for i := range list {
		if o.change != nil {
			o.change(&list[i])
		}
	}
	return list
}

func (p *pair) up(t *testing.T, names ...string) {
	t.Helper()
	if len(names) == 0 {
		names = []string{"v4", "v6"}
	}
	for _, s := range names {
		AwaitUp(t, p.hf, s)
		AwaitUp(t, p.other, s)
	}
}

// fromOther is how holdfast must show what the other router originates.
func (p *pair) fromOther(routes ...Route) []Route {
	return crossed(routes, p.otherNode, p.otherAS, p.otherAS == p.hfAS)
}

// fromHoldfast is how the other router must show what holdfast originates.
func (p *pair) fromHoldfast(routes ...Route) []Route {
	all := crossed(routes, p.hfNode, p.hfAS, p.otherAS == p.hfAS)
	for i := range all {
		all[i] = p.make.Shows(all[i])
	}
	return all
}

// crossed is what becomes of routes between two neighbors (RFC 4271 section
// 5.1): outside of an AS the path grows and the local preference goes.
func crossed(routes []Route, from *Node, as uint32, ibgp bool) []Route {
	all := slices.Clone(routes)
	for i := range all {
		r := &all[i]
		r.NextHop = from.Addr(FamilyOf(r.Prefix))
		switch {
		case !ibgp:
			r.ASPath, r.LocalPref = Prepend(r.ASPath, as), nil
		case r.LocalPref == nil:
			r.LocalPref = new(uint32(100))
		}
	}
	return all
}

// each runs a subtest for every make that can do what the test is about.
func each(t *testing.T, able func(m Make) bool, test func(t *testing.T, m Make)) {
	t.Parallel()
	for _, m := range Makes() {
		if !able(m) {
			continue
		}
		t.Run(m.Kind, func(t *testing.T) {
			t.Parallel()
			test(t, m)
		})
	}
}

func can(m Make, routes ...Route) []Route {
	var all []Route
	for _, r := range routes {
		all = append(all, m.Can(r))
	}
	return all
}

// full has every attribute, for networks n of both families.
func full(f Family, n int) Route {
	p := fmt.Sprintf("198.51.%d.0/24", n)
	if f == IPv6 {
		p = fmt.Sprintf("2001:db8:%x::/48", n+0x100)
	}
	return Route{
		Prefix: netip.MustParsePrefix(p), Origin: "egp", ASPath: "65010 4200000010 65011",
		MED: new(uint32(70 + n)), AtomicAggregate: true, Aggregator: "65010 192.0.2.7",
		Communities: []string{"65010:1", "65535:65284"}, Extended: []string{"rt:65010:2", "soo:65010:3"},
		Large: []string{"65010:4:5", "4200000010:6:7"}, Unknown: []string{"99 c0 01020304"},
	}
}

// plain has what every route has.
func plain(prefix string) Route {
	return Route{Prefix: netip.MustParsePrefix(prefix), Origin: "igp"}
}

// atLeast is a check for Await: a counter has reached n.
func atLeast(what string, got func() (uint64, error), n uint64) func() error {
	return func() error {
		have, err := got()
		if err == nil && have < n {
			err = fmt.Errorf("%s: %d of %d", what, have, n)
		}
		return err
	}
}

// all is for capabilities that every make has.
func all(Make) bool { return true }
