// Package config turns HCL files into a typed model in which every name is
// resolved and every neighbor has its settings, and the model into files
// again. It knows where each thing was written, says everything that is wrong
// at once, and depends on nothing that runs.
//
// The language has no variables, functions or expressions, so that what a
// configuration does can be proven. Each block is a table of its arguments
// (schema), which reads them, prints them and suggests what was meant.
package config

import (
	"fmt"
	"io"
	"net/netip"
	"time"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// Pos is a place in a configuration file.
type Pos = policy.Pos

// Config is a whole configuration. Everything that has a name is in order of
// its place in the files.
type Config struct {
	Path  string   // what was loaded
	Files []string // what was read, text files included

	Router         Router
	PrefixSets     []*PrefixSet
	ASSets         []*ASSet
	CommunitySets  []*CommunitySet
	ASPathSets     []*ASPathSet
	Policies       []*policy.Policy
	Tables         []*Table // the main one first, with or without a block
	Groups         []*Group
	Neighbors      []*Neighbor
	Ranges         []*Range
	Originates     []*Originate
	Aggregates     []*Aggregate
	Statics        []*Static
	Protects       []*Protect
	RPKI           []*RPKI
	policiesByName map[string]*policy.Policy

	builtinPrefixes []*PrefixSet
	builtinASNs     []*ASSet
}

// Router is the router block.
type Router struct {
	Pos       Pos
	ASN       uint32
	ID        netip.Addr
	ClusterID netip.Addr // of route reflection; ID unless set
	// ClientReflection: routes of clients are also reflected to other clients.
	ClientReflection bool
	Listen           []netip.AddrPort
	Metrics          []netip.AddrPort // where Prometheus may ask
	// Kernel: routes go to the kernel, which also resolves next hops.
	Kernel           bool
	OnStop           OnStop
	DefaultLocalPref uint32
	AlwaysCompareMED bool
}

// OnStop is what becomes of kernel routes when the router stops.
type OnStop uint8

const (
	KeepRoutes OnStop = iota // packets flow on, until the next start at least
	FlushRoutes
)

var onStops = []string{"keep", "flush"}

func (o OnStop) String() string { return onStops[o] }

// Group is a group block: defaults for its members, which have been applied to
// them.
type Group struct {
	Name     string
	Pos      Pos
	Settings Settings
	Families FamilySettings
}

// FamilySettings are the family blocks as written, nil where there is none.
type FamilySettings [prefix.Families]*Settings

// Neighbor is a neighbor block with everything that its group and the defaults
// give it.
type Neighbor struct {
	Name  string
	Pos   Pos
	Group string // "" for none
	Table string // "" for the main one
	Range string // that it connected from; "" if it has a block

	// Transport is what the session rests on: when it differs, the session
	// must be reset. Nothing else needs that.
	Transport Transport

	ConnectRetry time.Duration
	IdleHold     time.Duration
	StaleTime    time.Duration // that its routes are kept at the most while it restarts
	// FastFallover ends the session with its link or its local address.
	FastFallover   bool
	BFD            BFD
	Shutdown       bool
	ShutdownReason string // sent to the neighbor (RFC 9003)
	Description    string
	Tags           []string

	SendBoth        bool // the router's AS stands behind LocalASN (RFC 7705 section 3.3)
	PrependInbound  bool // LocalASN is put before what is received
	EnforceFirstAS  bool
	AllowOwnAS      uint8  // how often our AS may be in a path
	MaxASPathLength uint32 // 0: any
	RejectASSets    bool   // RFC 9774

	GracefulShutdown bool // its session is about to end (RFC 8326)
	AcceptShutdown   bool // its routes that say so are the last choice

	// The slots that policies may ask for; nil where none was filled.
	Prefixes   *policy.PrefixSet
	OriginASNs *policy.ASSet

	// Families has the settings of each family; Transport says which are on.
	Families [prefix.Families]Family

	// What the block itself says, for printing.
	Own       Settings
	OwnFamily FamilySettings
}

// BFD is how a neighbor is watched (RFC 5880); nothing is if it is not On.
type BFD struct {
	On                   bool
	Interval, MinReceive time.Duration // of what we send, and of what we can take
	Multiplier           uint8
}

// OneHop reports whether the neighbor must be directly connected.
func (n *Neighbor) OneHop() bool {
	t := &n.Transport
	return t.TTL == 1 || t.MinTTL == 255 || t.Interface != "" || t.Address.IsLinkLocalUnicast()
}

// EBGP reports whether the session leaves our AS.
func (n *Neighbor) EBGP() bool {
	t := &n.Transport
	return t.ASN != t.LocalASN && t.ASN != t.OtherASN
}

// Transport is comparable with ==.
type Transport struct {
	ASN, LocalASN uint32 // LocalASN is the router's unless local_asn is set
	// OtherASN is the other one of the two with dual_as: the neighbor may know us
	// by either (RFC 7705), and LocalASN is tried first. Else 0.
	OtherASN uint32
	RouterID netip.Addr
	Address  netip.Addr // with the interface as zone, if there is one
	// Interface is where a neighbor without Address is, which is found there by
	// router advertisements. "" for others.
	Interface    string
	Port         uint16
	LocalAddress netip.Addr // invalid: the kernel chooses
	Passive      bool
	TTL          uint8  // of what is sent
	MinTTL       uint8  // of what is received (RFC 5082); 0: any
	MSS          uint16 // the largest segments; 0: the kernel's choice
	DSCP         uint8  // of what is sent
	Password     Secret
	HoldTime     time.Duration
	Keepalive    time.Duration
	UserTimeout  time.Duration // of TCP; 0: the kernel's choice

	Families         [prefix.Families]bool
	AddPathReceive   [prefix.Families]bool // RFC 7911
	AddPathSend      [prefix.Families]bool
	ExtendedMessages bool // RFC 8654
	ExtendedNextHop  bool // IPv4 routes with IPv6 next hops (RFC 8950)
	Role             Role // RFC 9234
	RequireRole      bool // of the neighbor too

	GracefulRestart GracefulRestart
	RestartTime     time.Duration // that the neighbor is asked to give us
	LongLived       time.Duration // that routes may be kept beyond that (RFC 9494); 0: none
}

// GracefulRestart is what is offered of RFC 4724.
type GracefulRestart uint8

const (
	RestartOff    GracefulRestart = iota
	RestartHelper                 // routes of neighbors that restart are kept
	RestartBoth                   // and they are asked to keep ours
)

// Family is what a neighbor has for one address family.
type Family struct {
	Import, Export       []string // policies, in order; nil: none was given
	NextHop              NextHop
	MaxPrefixes          MaxPrefixes
	MaxPrefixesOut       uint32 // 0: any number
	AddPathSend          int    // how many paths of a prefix are sent, where the session takes several
	SendSuppressed       bool
	DefaultOriginate     bool
	RemovePrivateAS      bool
	ASOverride           bool
	RouteReflectorClient bool
	RouteServerClient    bool // RFC 7947
}

// NextHop is the next hop of what is sent. Address is set with Mode
// policy.NextHopAddress; policy.NextHopDefault is "auto".
type NextHop struct {
	Mode    policy.NextHopMode
	Address netip.Addr
}

// MaxPrefixes limits what a neighbor may send (RFC 4486).
type MaxPrefixes struct {
	Limit        uint32 // 0: none
	Warn         uint8  // percent of Limit at which a warning is logged
	Accepted     bool   // count what the import policy accepted, not what came
	Action       LimitAction
	RestartAfter time.Duration // with LimitRestart
}

// LimitAction is what happens above a limit.
type LimitAction uint8

const (
	LimitShutdown LimitAction = iota // until an operator enables the neighbor
	LimitRestart
	LimitWarn
)

var limitActions = []string{"shutdown", "restart", "warn"}

func (a LimitAction) String() string { return limitActions[a] }

// Role is a local role: what we are to the neighbor (RFC 9234).
type Role uint8

const (
	NoRole Role = iota
	RoleProvider
	RoleRS
	RoleRSClient
	RoleCustomer
	RolePeer
)

var roles = []string{"none", "provider", "rs", "rs-client", "customer", "peer"}

func (r Role) String() string { return roles[r] }

// Capability is the role's number on the wire (RFC 9234 section 4.1). NoRole
// has none.
func (r Role) Capability() uint8 { return uint8(r) - 1 }

// Relation is what the neighbor is to us.
func (r Role) Relation() policy.Relation {
	switch r {
	case RoleProvider:
		return policy.Customer
	case RoleCustomer:
		return policy.Provider
	case RolePeer, RoleRS, RoleRSClient:
		return policy.Peer
	}
	return policy.NoRelation
}

// Prefixes is what an argument called prefixes means.
type Prefixes = Members[policy.PrefixSet]

// Originate is an originate block.
type Originate struct {
	Name     string
	Pos      Pos
	Table    string // "" for the main one
	Prefixes Prefixes
	// WhileInKernel: only while somebody else has a route for the prefix in the
	// kernel's table.
	WhileInKernel bool
	// List is every prefix that is meant, in the order written.
	List   []prefix.Prefix
	Set    policy.Actions
	Policy []string
}

// Aggregate is an aggregate block: Prefix is announced while a more specific
// route is in the table.
type Aggregate struct {
	Name     string
	Pos      Pos
	Table    string // "" for the main one
	Prefix   prefix.Prefix
	Set      policy.Actions
	Policy   []string
	Suppress bool // the more specific routes are not announced beside
}

// Protect is a protect block.
type Protect struct {
	Name        string
	Pos         Pos
	Prefixes    Prefixes
	AnnouncedTo []AnnouncedTo
}

// AnnouncedTo wants the protected prefixes announced to at least so many
// members of a group.
type AnnouncedTo struct {
	Pos     Pos
	Group   string
	AtLeast uint32
}

// Policy finds a policy by name; nil if there is none.
func (c *Config) Policy(name string) *policy.Policy { return c.policiesByName[name] }

// Chain finds the policies of an import or export list. Load has made sure
// that all of them exist.
func (c *Config) Chain(names []string) []*policy.Policy {
	chain := make([]*policy.Policy, 0, len(names))
	for _, n := range names {
		if p := c.policiesByName[n]; p != nil {
			chain = append(chain, p)
		}
	}
	return chain
}

// Secret is a password. It is comparable with == and never prints.
type Secret struct{ text string }

// Reveal is the password itself, "" for none.
func (s Secret) Reveal() string { return s.text }

func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return "(redacted)"
}

// Format keeps every verb of fmt quiet.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText redacts it in JSON and logs.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
