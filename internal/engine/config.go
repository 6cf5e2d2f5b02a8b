package engine

import (
	"net/netip"
	"time"

	"holdfast/internal/export"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/wire"
)

// Config is what the engine routes by. Programs are compiled by the caller.
type Config struct {
	Revision  uint32 // the cause of what a change of configuration changes
	ASN       uint32
	RouterID  uint32
	ClusterID uint32
	Tables    []Table // by TableID; the main one is there in any case
	Leaks     []Leak
	Decision  rib.Options // SharedNeighborAS is the engine's own
	Neighbors []Neighbor
	Originate []Origination
	Aggregate []Aggregate
	Static    []Static
	// MeshedClients: clients of the route reflector have sessions with each other.
	MeshedClients bool
	// Protect are the prefixes that come before all others when something is lost.
	Protect []*policy.PrefixSet
}

// Table is a routing table.
type Table struct {
	Name string
	// Install says which routes go to the kernel; nil: none.
	Install *Install
	// Resolve are the kernel's tables by which next hops are resolved.
	Resolve []uint32
	// Redistribute selects routes of others in the kernel table From; nil: none.
	Redistribute *policy.Program
	From         uint32
}

// Leak copies the best routes of a table into another. There is one at most from
// one table to another.
type Leak struct {
	From, To TableID
	Policy   *policy.Program
}

// Neighbor is the routing side of a configured neighbor.
type Neighbor struct {
	ID       packet.ID // stays the same as long as the neighbor is configured
	Name     string
	Shutdown bool       // by the configuration: it is not to come up
	Table    TableID    // that its routes are in
	Addr     netip.Addr // invalid: that of its session
	ASN      uint32
	LocalASN uint32
	// Where LocalASN is not the router's own (RFC 7705 section 3.3): SendBoth
	// puts the router's own behind it in what is sent, PrependLocal puts it before
	// the path of what is received.
	SendBoth, PrependLocal bool
	Source                 policy.Source       // of its routes
	Verification           policy.Verification // of its AS paths
	EBGP                   bool
	Role                   Role // ours, towards it (RFC 9234)
	Drain                  bool // its session is about to end (RFC 8326)
	AddPath                bool // may send several paths for a prefix
	HonorShutdown          bool // its routes whose session is so are the last choice
	// StaleTime bounds in seconds how long its routes are kept when it restarts (RFC
	// 4724), 0 for not at all; LongLived what they are kept beyond that (RFC 9494).
	StaleTime, LongLived uint32
	Checks               Checks
	Families             [prefix.Families]Family
}

// Checks refuse routes whatever the policy says.
type Checks struct {
	EnforceFirstAS bool // the path of an eBGP route begins with the neighbor's AS
	AllowOwnAS     int  // how often the path may have our AS
	MaxPathLength  int  // 0: any
	RejectASSets   bool // and AS_CONFED_SETs
}

// Family is what holds for a neighbor in one family.
type Family struct {
	Import, Export   *policy.Program // nil: none configured
	NextHop          export.NextHopKind
	NextHopAddr      netip.Addr // instead of the session's own address, if valid
	Limit            Limit
	RemovePrivate    bool
	ASOverride       bool
	DefaultOriginate bool
	SendSuppressed   bool // also what Aggregate.Suppress keeps from others
	Client           bool // it is a client of ours as a route reflector (RFC 4456)
	RouteServer      bool // it is a client of ours as a route server (RFC 7947)
	MaxOut           int  // how many routes it is sent at the most; 0: any number
	PathsOut         int  // how many paths it is sent for a prefix, if it takes several
}

// Limit is a maximum of prefixes; Max 0 is none.
type Limit struct {
	Max         int
	Warn        int // warn from here on; 0: never before Max
	AfterPolicy bool
	Action      LimitAction
	RestartIn   time.Duration // of LimitRestart
}

// LimitAction is what happens above a limit.
type LimitAction uint8

const (
	LimitRestart LimitAction = iota // end the session, try again after RestartIn
	LimitWarn
	LimitShutdown // end the session until somebody enables the neighbor
)

// Origination is a route of this router's own.
type Origination struct {
	Table  TableID
	Prefix prefix.Prefix
	Attrs  wire.Attrs // NextHop empty: our own address
	// WhileInKernel, if not 0, is the kernel's table in which somebody else must
	// have a route for the prefix.
	WhileInKernel uint32
}

// Static is a route that the configuration has a way for.
type Static struct {
	Table     TableID
	Prefix    prefix.Prefix
	NextHop   netip.Addr // invalid: the destination is on Interface itself
	Interface string     // "" where the next hop tells it
	Discard   bool       // instead of both
}

// Aggregate is a route that exists as long as a more specific one does.
type Aggregate struct {
	Table  TableID
	Prefix prefix.Prefix
	Attrs  wire.Attrs
	// Suppress: the more specific ones are not announced beside.
	Suppress bool
}
