// Package api is the typed interface to a running router: a connect service
// on a unix socket, its server and its client. What it knows of the router is
// the interface Router.
package api

import (
	"context"
	"net/netip"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Router is what the server asks and tells. Its methods are called
// concurrently. Errors made by NotFound, Invalid, Refused and RolledBack reach
// the client as such.
//
// Where a method has a callback, what the callback is given is valid during
// the call only, its error ends the method and is returned, and it may block
// for as long as a slow client takes: never call it from the engine's loop.
//
// Wherever a neighbor is named, its name or its address is accepted. Tables are
// named as in the configuration; "" is the main one.
type Router interface {
	Summary(ctx context.Context) (Summary, error)
	// Neighbors returns all neighbors by name: those that are configured, and
	// those that have connected from a range.
	Neighbors(ctx context.Context) ([]Neighbor, error)
	Neighbor(ctx context.Context, name string) (NeighborDetail, error)

	// Routes calls fn for every route that q selects, by prefix where that is
	// cheap; the paths of one prefix come together, the best one first.
	Routes(ctx context.Context, q RouteQuery, fn func(RouteInfo) error) error
	// CountRoutes counts what Routes would return; q.Limit is ignored.
	CountRoutes(ctx context.Context, q RouteQuery) (RouteCount, error)
	// Lookup calls fn for the paths of the longest prefix with a best path
	// that holds addr, best first. NotFound if there is none.
	Lookup(ctx context.Context, table string, addr netip.Addr, fn func(RouteInfo) error) error
	// Explain calls fn for every path of exactly this prefix in the order of
	// preference, then for those that take no part in the decision. NotFound
	// if there is none.
	Explain(ctx context.Context, table string, p prefix.Prefix, fn func(Candidate) error) error
	// Sending says what a neighbor is sent about a prefix of its table, and
	// otherwise why not.
	Sending(ctx context.Context, neighbor string, p prefix.Prefix) ([]Sending, error)

	// Monitor calls fn with what changes, until ctx ends or fn returns an error.
	// Refused if there are too many who look.
	Monitor(ctx context.Context, q MonitorQuery, fn func([]Event) error) error

	// Policies returns the policy of this name, or all for "".
	Policies(ctx context.Context, name string) ([]Policy, error)
	TestPolicy(ctx context.Context, t PolicyTest) (PolicyResult, error)
	Memory(ctx context.Context) (Memory, error)
	// BFD returns the sessions of BFD, by the name of the neighbor.
	BFD(ctx context.Context) ([]BFD, error)
	// NextHops returns the next hops that paths have; tracked is false where they
	// are not followed.
	NextHops(ctx context.Context) (hops []NextHop, tracked bool, err error)

	// RPKI returns the sources of VRPs, and what they say of a route, unless p is
	// nil. An origin of 0 is none.
	RPKI(ctx context.Context, p *prefix.Prefix, origin uint32) (RPKI, error)

	// Clear resets or refreshes sessions and returns the names of their
	// neighbors; "" means all.
	Clear(ctx context.Context, neighbor string, how ClearMode) ([]string, error)
	// Down ends a session and keeps it down, over restarts as well, until Enable,
	// or for lifetime if that is not 0; the reason goes to the neighbor (RFC
	// 9003).
	Down(ctx context.Context, neighbor, reason string, lifetime time.Duration) error
	// Enable undoes Down, and starts a session that is held. Refused for one that
	// the configuration shuts down.
	Enable(ctx context.Context, neighbor string) error
	// Trace calls fn with what happens to a neighbor from now on, until ctx ends
	// or the neighbor goes.
	Trace(ctx context.Context, neighbor string, fn func([]TraceEvent) error) error
	// Announce makes routes of this router until Withdraw, or for lifetime if that
	// is not 0, each in the place of an earlier one. They outlive the process.
	Announce(ctx context.Context, all []Announcement, lifetime time.Duration) error
	// Withdraw ends announcements; nil means all.
	Withdraw(ctx context.Context, prefixes []prefix.Prefix) (Withdrawal, error)
	// Announcements are those that stand, by prefix.
	Announcements(ctx context.Context) ([]StandingAnnouncement, error)
	// Reload reads the configuration file and makes it the running one.
	// Invalid if the file has errors; nothing has changed then.
	Reload(ctx context.Context) (ReloadResult, error)
	// Shutdown ends the router for good: at once, or once neighbors have had the
	// time drain to prefer other ways. It calls fn with how far it is. Until it
	// leaves, the end of ctx or an error of fn calls it off.
	Shutdown(ctx context.Context, drain time.Duration, reason string, fn func(ShutdownProgress) error) error
	// Check compares the file with what is running and changes nothing.
	Check(ctx context.Context) (CheckResult, error)
}

// Summary is the router at a glance.
type Summary struct {
	ASN        uint32
	RouterID   netip.Addr
	ConfigPath string
	Revision   uint64    // how many configurations have run, this one included
	Started    time.Time // of the process
	Configured time.Time // when this configuration began to run
	Listen     []netip.AddrPort
	Neighbors  int
	Up         int // Established
	Shutdown   int // administratively
	Tables     []TableSummary
}

// TableSummary counts one family.
type TableSummary struct {
	Table      string
	Family     prefix.Family
	Prefixes   uint64 // with a best path
	Paths      uint64 // received, rejected ones included
	Originated uint64
	Kernel     *KernelSummary // nil where nothing goes to the kernel
}

// KernelSummary counts the kernel routes of a table.
type KernelSummary struct{ Routes, Refused uint64 }

// NextHop is one that paths have.
type NextHop struct {
	Table      string
	Address    netip.Addr // with the interface as zone where that is part of it
	Reachable  bool
	Reason     string // why not
	Cost       uint32
	OnLink     bool
	Ways       []NextHopWay
	Via        netip.Addr // that our own table leads to it by; invalid: none
	Attributes uint64     // how many sets of attributes have it
}

// NextHopWay is one way to a next hop.
type NextHopWay struct {
	Gateway    netip.Addr // invalid: the destination is on the link
	Interface  string
	MAC, State string // of the gateway, as the kernel knows them
}

// State is that of a neighbor's session (RFC 4271 section 8.2.2).
type State uint8

const (
	Idle State = iota
	Connect
	Active
	OpenSent
	OpenConfirm
	Established
)

// Neighbor is a line of the list of neighbors.
type Neighbor struct {
	Name        string
	Group       string
	Range       string // that it has connected from, "" if it is configured
	Interface   string // where its address is found, "" if that is configured
	Draining    bool   // traffic is led elsewhere (RFC 8326)
	Description string
	Tags        []string
	Address     netip.Addr
	ASN         uint32
	LocalASN    uint32
	Internal    bool       // the session is inside our AS
	RouterID    netip.Addr // invalid if not known
	Role        string     // ours to them (RFC 9234), "" if none
	State       State
	Since       time.Time // of the state Established, or of the end of the last session
	Shutdown    bool      // administratively
	Down        *Down     // nil unless a command did it
	Message     string    // the reason for Shutdown, or received (RFC 9003) if the neighbor is down
	Families    []NeighborFamily
	// LastReset is nil as long as no session has ended.
	LastReset *Reset
	Held      bool // down until it is cleared or enabled: a limit ended it
	Pending   bool // settings have changed that count from the next session on
}

// Down is who keeps a session down.
type Down struct {
	Reason string
	By     string // a user's name, "" if not known
	Since  time.Time
	Until  time.Time // zero: until Enable
}

// NeighborFamily is what a neighbor has in one family.
type NeighborFamily struct {
	Family     prefix.Family
	Negotiated bool
	Received   uint64
	Accepted   uint64
	Rejected   uint64
	Advertised uint64
	// EndOfRIBReceived and EndOfRIBSent are about the current session.
	EndOfRIBReceived bool
	EndOfRIBSent     bool
	// Stale are the paths that are kept since the end of a session, until StaleUntil
	// at the most; as a last resort if they are LongLived (RFC 9494).
	Stale                  uint64
	StaleSince, StaleUntil time.Time // zero where none are kept
	LongLived              bool

	Limit         *PrefixLimit // nil if none
	MaxAdvertised uint64       // how many prefixes it is sent at the most; 0: any number
	HeldBack      uint64       // how many it is not sent therefore
}

// PrefixLimit is a maximum of prefixes.
type PrefixLimit struct {
	Max       uint64
	WarnAt    uint64 // 0 if there is no warning
	Received  bool   // counts before import policy, else after
	Action    string // "warn", "restart" or "shutdown"
	RestartIn time.Duration
}

// Reset is the end of a session.
type Reset struct {
	At           time.Time
	Reason       string        // for people: "hold timer expired", "connection reset by peer"
	Notification *Notification // nil if none was exchanged
}

// Notification is a NOTIFICATION message (RFC 4271 section 4.5).
type Notification struct {
	Sent          bool // by us, else received
	Code, Subcode uint8
	Data          []byte
}

// Capability is one of an OPEN message (RFC 5492).
type Capability struct {
	Code  uint8
	Value []byte
}

// NeighborDetail is all about a neighbor.
type NeighborDetail struct {
	Neighbor
	Local, Remote netip.AddrPort // of the connection; invalid if there is none
	Passive       bool
	MultihopTTL   uint8 // 0: directly connected
	GTSM          bool  // RFC 5082
	MD5           bool  // RFC 2385
	Import        []string
	Export        []string
	UpdateGroup   uint32 // 0 if not in one
	// LastEstablished is when the current or the last session was established,
	// LastDown when the last one ended; zero if there was none.
	LastEstablished, LastDown time.Time

	// Sent and Received are the capabilities of the last OPENs.
	Sent, Received []Capability
	// Negotiated is nil while not Established.
	Negotiated *Negotiated
	Configured Timers

	Counters Counters
	BFD      *BFD // nil if it is not watched
}

// BFD is a session of BFD (RFC 5880).
type BFD struct {
	Neighbor                string
	Address                 netip.Addr
	Multihop                bool
	State, RemoteState      uint8 // by the numbers of RFC 5880 section 4.1
	Diag, RemoteDiag        uint8 // likewise
	Since                   time.Time
	MinInterval, MinReceive time.Duration // as configured
	Multiplier              uint8
	// As the neighbor says.
	RemoteMinInterval, RemoteMinReceive time.Duration
	RemoteMultiplier                    uint8
	// In use: between our packets, and how long the neighbor may be silent.
	Interval, Detection    time.Duration
	Discr, RemoteDiscr     uint32
	RemoteIndependent      bool // its BFD goes on when its BGP restarts
	Ups, Failures          uint64
	LastFailure            string
	Sent, Received, Missed uint64
	Problem                string // why packets cannot be sent or received
}

// Timers of a session; zero is off.
type Timers struct {
	Hold, Keepalive, SendHold, ConnectRetry time.Duration
}

// Negotiated is what both ends of a session agreed on.
type Negotiated struct {
	Timers          Timers
	Families        []prefix.Family
	AddPath         []prefix.Family // which they send path ids for (RFC 7911),
	AddPathSend     []prefix.Family // and we
	AS4             bool            // RFC 6793
	ExtMsg          bool            // RFC 8654
	ExtNH           bool            // RFC 8950
	Refresh         bool            // RFC 2918
	EnhancedRefresh bool            // RFC 7313
	Role            string          // theirs (RFC 9234)
}

// MessageCounts counts messages by type.
type MessageCounts struct {
	Open, Update, Notification, Keepalive, Refresh uint64
	Bytes                                          uint64
}

// Counters of a neighbor since the start of the process.
type Counters struct {
	In, Out         MessageCounts
	Sessions        uint64 // that became Established
	TreatAsWithdraw uint64 // UPDATEs (RFC 7606)
	Discarded       uint64 // UPDATEs of which attributes were discarded
	Leaks           uint64 // routes that were route leaks (RFC 9234)
	Unsendable      uint64 // routes too large for the neighbor's messages
	Queued          uint64 // packets that wait to be written now
}

// View says which routes.
type View uint8

const (
	// ViewTable is the Loc-RIB with all paths that may be used; with a
	// neighbor, those from this neighbor.
	ViewTable View = iota
	// ViewBest is the Loc-RIB with best paths only.
	ViewBest
	// ViewReceived is what neighbors sent, before policy.
	ViewReceived
	// ViewRejected is what policy or validation refused, as received.
	ViewRejected
	// ViewAdvertised is what one neighbor is sent; needs a neighbor.
	ViewAdvertised
)

// PrefixMatch says how routes relate to the prefix of a query.
type PrefixMatch uint8

const (
	MatchExact   PrefixMatch = iota
	MatchLonger              // the prefix and all inside it
	MatchShorter             // the prefix and all that cover it
)

// RouteQuery selects routes. Zero fields select everything.
type RouteQuery struct {
	View        View
	Table       string
	Family      *prefix.Family
	Prefix      *prefix.Prefix
	Match       PrefixMatch
	Neighbor    string
	Communities []string // all of them, in the configuration's notation
	ASPath      string   // pattern in the configuration's notation
	OriginAS    *uint32
	RPKI        []string // states, in the configuration's notation
	Limit       uint64   // 0: none
}

// RouteCount is the result of counting.
type RouteCount struct {
	Prefixes, Paths uint64
}

// Source says where a route comes from, in the configuration's words.
type Source uint8

const (
	SourceOriginated Source = iota
	SourceKernel
	SourceIBGP
	SourceEBGP
	SourceCustomer
	SourceProvider
	SourcePeer
	SourceStatic
	SourceConnected
)

// Status is what has become of a path.
type Status uint8

const (
	StatusBest Status = iota
	StatusBackup
	StatusRejected    // by a policy or a fixed rule; see Reason and Rule
	StatusUnreachable // its next hop cannot be reached
)

// Position is a place in the configuration.
type Position struct {
	File string
	Line int
}

// RuleRef names a rule of a policy. Rule is "" for the end of the policy.
type RuleRef struct {
	Policy, Rule string
	Position     Position
}

// RouteInfo is one path of a prefix.
type RouteInfo struct {
	Prefix          prefix.Prefix
	PathID          uint32
	Neighbor        string // "" if not from a neighbor
	NeighborAddress netip.Addr
	Source          Source
	Status          Status
	Reason          string   // why rejected: "own AS in path", "rejected by policy"
	Rule            *RuleRef // that rejected, or of which the acceptance came; nil if none
	Attrs           wire.Attrs
	Interface       string    // of the next hop of a route of our own, "" if that tells it
	Discard         bool      // packets are dropped
	Stale           time.Time // since when its session has ended, if it is kept; else zero
	Weight          uint32
	Learned         time.Time // zero if not known
	Cause           string    // of the last change: "update of transit-a", "" if not known
	RPKI            string    // state of its origin, "" where no source has said anything
}

// Candidate is a path in the decision about a prefix.
type Candidate struct {
	RouteInfo
	// Lost is why it is not preferred; nil for the best path and for paths
	// that take no part.
	Lost *Decision
	// Findings is what the rule that rejected it found.
	Findings []Finding
	Covering []VRP  // the most specific first
	ASPA     string // state of its AS path, "" where it is not verified
}

// Sending is a route that a neighbor is sent for a prefix, or why it is sent none.
type Sending struct {
	Neighbor string
	Sent     bool
	Reason   string     // why not
	Rule     *RuleRef   // that let it pass, or rejected it; nil if none did
	PathID   uint32     // 0 for a neighbor that takes one route for each prefix
	Attrs    wire.Attrs // as they are sent
}

// Decision is a step of the ladder at which one path lost to another.
type Decision struct {
	Step   int    // numbered as in package rib
	Rule   string // what the winner has: "shorter AS path"
	Detail string // both values: "3 < 4"
	To     string // neighbor of the winner
}

// Policy is a policy with its counters.
type Policy struct {
	Name     string
	Position Position
	Rules    []Rule
	// DefaultHits counts routes that came to the end.
	DefaultHits uint64
	ImportOf    []string // neighbors
	ExportOf    []string
	UsedBy      []string // other blocks, and how
}

// Rule is one of a policy.
type Rule struct {
	Name     string
	Position Position
	Match    []string // conditions, one a line
	Set      []string // actions, one a line
	Then     string   // "accept", "reject" or "continue"
	Hits     uint64   // how many routes met its conditions
}

// PolicyTest is a route to try a policy on.
type PolicyTest struct {
	Policy   string
	Prefix   prefix.Prefix
	Attrs    wire.Attrs
	Neighbor string // that it came from, "" if none
	Source   Source // where it came from, unless Neighbor says it
	To       string // the neighbor that it goes to, "" for an import policy
	RPKI     string // state of its origin, "" for what the router knows
	ASPA     string // state of its AS path, likewise
}

// PolicyResult is the way of a route through a policy.
type PolicyResult struct {
	Accepted bool
	Steps    []PolicyStep // the rules in order, to the one that decided
	Attrs    wire.Attrs   // after the policy
	Weight   uint32
}

// PolicyStep is what a rule did.
type PolicyStep struct {
	Rule     RuleRef
	Matched  bool
	Then     string
	Findings []Finding // what held if it matched, otherwise what did not
	Changes  []string
}

// Finding is what became of a condition.
type Finding struct {
	Position Position // of the condition, or of the entry of a set that decided it
	Text     string
}

// Memory says what takes how much.
type Memory struct {
	Items    []MemoryItem
	Heap     uint64 // in use by Go objects
	Resident uint64 // of the process
	Paths    uint64
}

// MemoryItem is one kind of structure.
type MemoryItem struct {
	Name         string
	Count, Bytes uint64
}

// ClearMode is how a session is cleared.
type ClearMode uint8

const (
	ClearHard    ClearMode = iota // end the session, it comes back by itself
	ClearSoft                     // in and out
	ClearSoftIn                   // ask for the routes again, or evaluate them again
	ClearSoftOut                  // send all routes again
)

// ReloadResult is what a reload did.
type ReloadResult struct {
	Revision uint64
	Changed  bool     // false: the file said what was running
	Changes  []Change // what changed
	Reset    []string // neighbors of which the session was reset
	Pending  []string // neighbors that take their changes with the next session
}

// Change is a difference between two configurations.
type Change struct {
	Kind     string // "added", "removed", "changed"
	Object   string // `neighbor "transit-a"`
	Detail   string // "" if there is nothing to add
	Position Position
}

// CheckResult is the difference between the file and what is running.
type CheckResult struct {
	ConfigPath  string
	Changes     []Change
	Diagnostics []Diagnostic // errors make the file unusable
}

// Diagnostic is a finding about a configuration.
type Diagnostic struct {
	Warning  bool // else an error
	Position Position
	Column   int
	Message  string
	Mend     string // what to do, "" if the message says it
	Source   string // the line at Position, "" if there is none to show
	Width    int    // how many of its characters from Column are meant
}
