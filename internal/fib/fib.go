// Package fib has the words that routing tables and the kernel share: the
// routes that are to be in the kernel, and what the kernel tells about links,
// addresses and the routes of others.
package fib

import (
	"errors"
	"net/netip"

	"holdfast/internal/prefix"
)

// MainTable is the kernel's main routing table.
const MainTable = 254

// DefaultProtocol marks the kernel routes that are ours (rtm_protocol), unless
// the configuration says otherwise.
const DefaultProtocol = 144

// Action is what the kernel does with packets of a route.
type Action uint8

const (
	Unicast     Action = iota // on to one of Hops
	Blackhole                 // away, silently
	Unreachable               // away, with ICMP unreachable
	Prohibit                  // away, with ICMP prohibited
)

func (a Action) String() string {
	return [...]string{"unicast", "blackhole", "unreachable", "prohibit"}[a]
}

// Hop is a way out.
type Hop struct {
	Gateway netip.Addr // without zone, of either family; invalid: the destination itself is on the link
	Link    int        // interface index
	Weight  uint16     // share of an equal-cost route, 1 to 256; 0 counts as 1
	OnLink  bool       // the gateway is on the link whatever the addresses say
}

// MaxHops is how many hops a route of ours has at the most.
const MaxHops = 64

// Forward is what the kernel does with the packets of a route.
type Forward struct {
	Action Action
	Source netip.Addr // preferred source of own packets; invalid: the kernel's choice
	Hops   []Hop      // of Unicast, 1 to MaxHops; several are an equal-cost route
	// Object, if not 0, is the group of ours in which a Unicast route has its
	// ways, instead of Hops.
	Object uint32
}

// The IDs of our nexthop objects are FirstObject and those behind it.
const (
	FirstObject = 0x48460000
	MaxObjects  = 1 << 15
)

// Buckets is how many parts a group's packets are divided into. A leg whose
// share is less than half of one gets none as long as others are there: it is a
// standby.
const Buckets = 64

// ErrObjectTaken is the error of an object whose ID somebody else uses.
var ErrObjectTaken = errors.New("somebody else has a nexthop object with this ID")

// Object is a nexthop object of ours in the kernel, which routes share. It is a
// leg, one way out, or a group of legs. When a leg goes, the kernel itself divides
// its packets among what is left of each group; a group without legs goes, and
// all its routes with it.
type Object struct {
	ID   uint32
	Hop  Hop     // of a leg; Weight does not count
	Legs []Share // of a group, 1 at least
}

// Share is what a group gives to a leg.
type Share struct {
	Leg    uint32
	Weight uint16 // 1 to 256
}

// ObjectChange makes an object, or changes the way of a leg, or takes an object
// away.
type ObjectChange struct {
	Object
	Replace, Delete bool
}

// Route is a kernel route. Prefix, Table and Metric tell routes apart.
type Route struct {
	Table  uint32
	Metric uint32 // IPv6 has no 0: the kernel makes 1024 of it
	Prefix prefix.Prefix
	Forward
}

// Change puts a route of ours into the kernel, in the place of one of ours with
// the same table, prefix and metric, or takes it away.
type Change struct {
	Route
	Delete bool // Forward does not count
}

// Foreign is a kernel route that is not ours.
type Foreign struct {
	Route
	Protocol uint8 // rtm_protocol: 2 kernel (connected), 3 boot, 4 static, 11 zebra …
	Scope    uint8 // rtm_scope: 253 link, 254 host
}

// kernelProtocol is that of the routes that the kernel makes itself.
const kernelProtocol = 2

// Connected reports whether the route is one that the kernel made for an
// address of an interface.
func (f *Foreign) Connected() bool {
	return f.Protocol == kernelProtocol && f.Action == Unicast && len(f.Hops) == 1 && !f.Hops[0].Gateway.IsValid()
}

// Link is a network interface.
type Link struct {
	Index  int
	Name   string
	Up     bool // administratively, and with carrier
	MTU    int
	Master int    // index of the bridge or bond that it belongs to, 0 for none
	MAC    []byte // empty where it has none
}

// Address is one of an interface.
type Address struct {
	Link int
	// Prefix is the address with the length of its network.
	Prefix netip.Prefix
	// Tentative: duplicate address detection is not over, or has failed.
	Tentative bool
}

// Event is news from the kernel, in order. The first one is a Snapshot, which has
// everything: what is not in it is gone. Another one follows where news were
// lost, and where the kernel drops IPv4 routes without a word: those over a link
// that is taken down, and those that prefer an address that goes. Ours go the
// same way, so after each Snapshot it is to be seen which of them are left.
//
// A link that goes down, or an address that goes, and is back at once makes two
// events.
type Event struct {
	Snapshot bool
	Links    []Link
	Gone     []int // links, by index
	Addrs    []Address
	AddrGone []Address
	Routes   []Foreign // new, or in the place of one with the same table, prefix and metric
	Lost     []Foreign // routes that are gone; only what tells them apart counts
	// OwnLost are routes of ours that somebody else has removed or changed.
	OwnLost []Route
	// ObjectsLost are objects of ours that somebody else has removed.
	ObjectsLost []uint32
}
