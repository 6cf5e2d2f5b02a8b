// Package export has the Adj-RIB-Out: update groups, which encode each route
// once for all neighbors that get the same, and the packing of routes into
// UPDATE messages.
//
// A group keeps one handle per prefix, or with add-path per path: what its
// members have been sent or will be. A member in step is sent the group's packets. One that is not, because
// it is new, asked for a refresh or does not read, has the prefixes in which
// it differs marked, and catches up by itself at its own pace.
package export

import (
	"holdfast/internal/attr"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/rpki"
	"holdfast/internal/slab"
	"holdfast/internal/wire"
)

// NextHopKind is where a neighbor's next hops come from.
type NextHopKind uint8

const (
	// NextHopAuto is the default: ourselves for routes sent to eBGP neighbors,
	// but for next hops on the link that we share with them (packet.NextHop),
	// and for our own; as received for others sent to iBGP neighbors.
	NextHopAuto NextHopKind = iota
	NextHopSelf
	NextHopUnchanged
)

// Params is all that the messages of a group's members depend on, but for the
// member's own next hop, which is patched in. Neighbors with equal Params
// share a group.
type Params struct {
	Family prefix.Family
	EBGP   bool
	Client bool // route reflector client (RFC 4456)
	// RouteServer: the members are clients of a route server, which is not in the
	// way of packets (RFC 7947 section 2.2). They are sent routes as they came.
	RouteServer bool
	AS4         bool
	ExtMsg      bool
	LocalASN    uint32 // prepended towards eBGP neighbors
	// GlobalASN is prepended before LocalASN, if it is not 0 (RFC 7705 section 3.3).
	GlobalASN uint32
	NextHop   NextHopKind
	// NextHopLen is the length of the members' own next hop: 4, 16 or 32, and
	// 0 if they have none in this family, so that nothing that needs it is sent.
	NextHopLen uint8
	// TakesStale: the members know what routes with LLGR_STALE are (RFC 9494).
	TakesStale bool
	// ForeignNextHop says that next hops of the other family pass (RFC 8950).
	ForeignNextHop bool
	RemovePrivate  bool
	// ASOverride replaces this AS by LocalASN in paths; 0 is off.
	ASOverride       uint32
	DefaultOriginate bool
	// GracefulShutdown asks the members to prefer other ways (RFC 8326): routes have the
	// community GRACEFUL_SHUTDOWN and, inside our AS, LOCAL_PREF 0.
	GracefulShutdown bool
	// MarkOTC says that members may pass routes on to their customers only, RefuseOTC
	// that such routes are not sent to them (RFC 9234 section 5).
	MarkOTC, RefuseOTC bool
	// SendSuppressed sends what Env.Suppressed keeps from others.
	SendSuppressed bool
	// MaxOut is how many routes are sent at the most, 0: any number. Those of
	// its own that a member is not sent count too.
	MaxOut int
	// AddPath is how many paths are sent for a prefix, with path IDs (RFC 7911). 0
	// is the best one, without.
	AddPath int
	// Policy is the key of the export program; "" passes nothing to eBGP
	// neighbors (RFC 8212) and everything to iBGP neighbors.
	Policy string
}

// maxMsg is the largest message that the members take.
func (p *Params) maxMsg() int {
	if p.ExtMsg {
		return 65535
	}
	return 4096
}

// Neighbor is what export needs to know about where a route came from.
type Neighbor struct {
	Source policy.Source
	Client [prefix.Families]bool // route reflector client
	// OTC is the AS number that its routes have in the attribute OTC if they have come
	// without; 0: none (RFC 9234 section 5). It is not in the blocks, or each would
	// be there twice.
	OTC uint32
}

// Mark gives a route of the neighbor the attribute OTC that it is to have.
func (n *Neighbor) Mark(a *wire.Attrs) {
	if n.OTC != 0 && a.Has&wire.HasOTC == 0 {
		a.OTC, a.Has = n.OTC, a.Has|wire.HasOTC
	}
}

// Env is what all groups of a table share. The engine owns it.
type Env struct {
	Store     *attr.Store
	Table     *rib.Table
	Neighbors *[]rib.NeighborInfo // by packet.ID
	Sources   *[]Neighbor         // by packet.ID
	VRPs      **rpki.Table        // what routes are validated by
	ClusterID uint32
	// MeshedClients: clients of the route reflector have the routes of each other
	// without it.
	MeshedClients bool
	// DefaultRoute is the block that default-originate announces; it belongs
	// to the router itself.
	DefaultRoute attr.Handle
	// Suppressed has the prefixes that are parts of an aggregate that stands for
	// them.
	Suppressed slab.Bits
	// Unsendable is told of a route that does not fit a group's messages.
	Unsendable func(g *Group, p prefix.Prefix)
	// Installed says whether the best route of a prefix is in the kernel: Sent,
	// NotYetInstalled or NotInstalled. nil where nothing waits for a kernel.
	Installed func(rib.ID) uint8
	// Installing reports whether the kernel has yet to answer about any prefix.
	Installing func() bool
	// Limited is told when a group begins to hold prefixes back, see Params.MaxOut.
	Limited func(g *Group)
	// Referenced reports whether anybody beside the table needs an ID.
	Referenced func(rib.ID) bool

	numbers numbering
	bucket  bucket
	scratch policy.Scratch
	buf     []byte
	ranked  []*rib.Path
	chosen  []chosen
}

// Reasons for which a route is not sent, beside an export policy's verdict.
const (
	Sent            = iota
	ByPolicy        // rejected by the export policy
	NoPolicy        // eBGP without a policy (RFC 8212)
	IBGPSplit       // from iBGP to iBGP without reflection (RFC 4271 9.2, RFC 4456)
	ByCommunity     // NO_EXPORT or NO_ADVERTISE (RFC 1997)
	NoNextHop       // the session has no address of the family to announce
	TooLarge        // does not fit the neighbor's messages
	Suppressed      // an aggregate stands for it
	OverLimit       // Params.MaxOut is reached
	SplitHorizon    // it came from this very neighbor
	NotBestRoute    // there is no best path
	NotYetInstalled // the kernel has yet to acknowledge it
	NotInstalled    // the kernel has refused it
	LongLivedStale  // kept for long after its session, and the members do not know of that
	RouteLeak       // it would be one (RFC 9234)
	BetweenClients  // from a client to a client, which have sessions with each other
	NotForClient    // a route server does not put itself in the place of a next hop
	reasonsLength   // how many there are
)

var reasons = [reasonsLength]string{"sent", "rejected by the export policy",
	"no export policy, so nothing passes (RFC 8212)", "from iBGP, and neither side is a route reflector client",
	"has the community no-export or no-advertise", "the session has no local address of this family: set next_hop",
	"too large for the neighbor's messages", "an aggregate stands for it (suppress)", "max_prefixes_out is reached", "it came from this neighbor", "there is no best path",
	"the kernel has not acknowledged it yet", "the kernel does not take it",
	"it is stale (llgr-stale), and the neighbor does not take part in long-lived graceful restart (RFC 9494)",
	"it would be a route leak: by its attribute OTC, it is for customers only (RFC 9234)",
	"from a client to a client, and client_to_client_reflection is off",
	"its next hop is of no use to the neighbor, and a route server takes nobody's place (RFC 7947)"}

// ReasonText is a reason for people.
func ReasonText(r uint8) string { return reasons[r] }

// Sink takes the packets of a member: the sending side of its session.
type Sink interface {
	// Room is how many packets should be sent now. Send takes some more.
	Room() int
	// Send reports false if the packet was not taken.
	Send(p *packet.Packet, nextHop *packet.NextHop) bool
}
