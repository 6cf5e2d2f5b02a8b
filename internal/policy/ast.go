// Package policy decides what passes and what is changed on the way: sets,
// rules, programs compiled from them for one neighbor and direction, and hit
// counts. It does no I/O and knows no tables.
//
// What people write is the data of this file (Policy, Rule, Match, Condition,
// Actions, and the sets). Compile turns a chain of policies into a Program.
// All that depends on the prefix, and on what the RPKI says of it, is in the
// program's Variant, so that the result of Eval may be kept per attributes,
// source and variant.
package policy

import (
	"net/netip"
	"strconv"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
)

// Pos is a place in a source file. Lines and columns start at 1; a Column of
// 0 means the whole line.
type Pos struct {
	File         string
	Line, Column int
}

func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	s := p.File + ":" + strconv.Itoa(p.Line)
	if p.Column > 0 {
		s += ":" + strconv.Itoa(p.Column)
	}
	return s
}

// Error is what is wrong with something that was written, and where.
type Error struct {
	Pos Pos
	Err error
}

func (e *Error) Error() string {
	if e.Pos.File == "" && e.Pos.Line == 0 {
		return e.Err.Error()
	}
	return e.Pos.String() + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Policy is a list of rules. The first that accepts or rejects a route ends
// the policy and the chain that it stands in. Behind the last rule the next
// policy of the chain goes on; behind the last policy the route is rejected.
type Policy struct {
	Name  string
	Rules []Rule
	Pos   Pos
}

// Rule changes and decides about the routes that any of its Match selects. A
// rule without Match selects every route.
type Rule struct {
	Name  string
	Match []Match
	Set   Actions
	Then  Then
	Pos   Pos
}

// Then is what happens to a selected route after Set.
type Then uint8

const (
	Continue Then = iota // the next rule, which sees what Set changed
	Accept
	Reject
)

func (t Then) String() string { return [...]string{"continue", "accept", "reject"}[t] }

// Match holds if all Conditions hold and none of Not does. An empty Match
// holds always.
type Match struct {
	Conditions []Condition
	Not        []Match
	Pos        Pos
}

// Kind names a condition.
type Kind uint8

const (
	CondPrefix         Kind = iota // Prefixes, Slot
	CondPrefixLength               // Ranges
	CondNextHop                    // Prefixes; a single address is one of full length
	CondNeighbor                   // Names: which neighbor the route came from
	CondGroup                      // Names: its group
	CondSource                     // Sources
	CondASPath                     // Patterns: the whole path
	CondASPathContains             // ASNs: anywhere in the path
	CondASPathOrigin               // ASNs, Slot: who originated it
	CondASPathFirst                // ASNs: the leftmost
	CondASPathLength               // Ranges; an AS_SET counts as one (RFC 4271 section 9.1.2.2)
	CondCommunity                  // Communities: at least one of them
	CondCommunityAll               // Communities: every one of them
	CondMED                        // Ranges; a route without MED is in none
	CondLocalPref                  // Ranges; without LOCAL_PREF it is DefaultLocalPref
	CondOrigin                     // Origins
	CondFamily                     // Families
	CondRPKI                       // States: of the route as it came (RFC 6811)
	CondASPA                       // States: of its AS path as it came
	kinds
)

var kindNames = [kinds]string{"prefix", "prefix_length", "next_hop", "neighbor", "group", "source",
	"as_path", "as_path_contains", "as_path_origin", "as_path_first", "as_path_length",
	"community", "community_all", "med", "local_pref", "origin", "family", "rpki", "aspa"}

func (k Kind) String() string { return kindNames[k] }

// KindByName finds a condition by the name it has in the configuration.
func KindByName(name string) (Kind, bool) {
	for k, n := range kindNames {
		if n == name {
			return Kind(k), true
		}
	}
	return 0, false
}

// DefaultLocalPref is the LOCAL_PREF of a route that has none.
const DefaultLocalPref = 100

// Condition is one argument of a match block. Kind says which of the other
// fields count. The members of all lists together are alternatives, except for
// CondCommunityAll. Lists written in place are sets without a name.
type Condition struct {
	Kind Kind
	Pos  Pos

	Prefixes    []*PrefixSet
	ASNs        []*ASSet
	Communities []*CommunitySet
	Patterns    []*ASPathSet
	// Slot adds what the neighbor's own configuration fills in: for CondPrefix
	// neighbor.prefixes, for CondASPathOrigin neighbor.origin_asns.
	Slot     bool
	Ranges   []Range
	Names    []string
	Sources  []SourceName
	Origins  []uint8 // wire.OriginIGP …
	Families []prefix.Family
	States   []rpki.State
}

// Range is the numbers from Min to Max, both included.
type Range struct{ Min, Max uint32 }

// Contains reports whether Min ≤ n ≤ Max.
func (r Range) Contains(n uint32) bool { return r.Min <= n && n <= r.Max }

func (r Range) String() string {
	if r.Min == r.Max {
		return strconv.FormatUint(uint64(r.Min), 10)
	}
	return strconv.FormatUint(uint64(r.Min), 10) + "-" + strconv.FormatUint(uint64(r.Max), 10)
}

// SourceName is a word of the condition "source".
type SourceName uint8

const (
	FromOriginated SourceName = iota // originate blocks, aggregates, the API
	FromKernel
	FromIBGP
	FromEBGP
	FromCustomer // an eBGP neighbor that is our customer, by local_role
	FromProvider
	FromPeer
	FromStatic    // static blocks, and static routes of the kernel
	FromConnected // networks on interfaces
	sourceNames
)

var sourceWords = [sourceNames]string{"originated", "kernel", "ibgp", "ebgp", "customer", "provider", "peer", "static", "connected"}

func (s SourceName) String() string { return sourceWords[s] }

// SourceByName is the inverse of String.
func SourceByName(name string) (SourceName, bool) {
	for s, n := range sourceWords {
		if n == name {
			return SourceName(s), true
		}
	}
	return 0, false
}

// Actions change a route, in the order of the fields. The zero value changes
// nothing.
type Actions struct {
	LocalPref Adjust
	MED       Adjust

	// ReplaceCommunities, if not nil, removes all communities of every kind and
	// adds these. Then RemoveCommunities go, wildcards included, and
	// AddCommunities come, those that are not there yet.
	ReplaceCommunities *CommunitySet
	RemoveCommunities  []*CommunitySet
	AddCommunities     *CommunitySet

	Prepend Prepend
	// PrependFirst puts the first AS of the path there instead, if it has one.
	PrependFirst bool
	NextHop      NextHop
	Origin       *uint8
	Weight       *uint32
	Pos          Pos
}

// Adjust is a change of a number. Additions stop at the ends of 32 bits. A
// missing MED counts as 0, a missing LOCAL_PREF as DefaultLocalPref.
type Adjust struct {
	Op    AdjustOp
	Value uint32
}

// AdjustOp says what Adjust does.
type AdjustOp uint8

const (
	Keep AdjustOp = iota
	SetTo
	Add
	Subtract
	Remove // the attribute; for MED only
)

// Prepend puts ASN Count times before the path. ASN 0 is the router's own.
type Prepend struct {
	ASN   uint32
	Count uint8
}

// NextHop is what becomes of the next hop. On import, NextHopSelf and
// NextHopDiscard leave the attribute as it came, by which the route is resolved.
type NextHop struct {
	Mode NextHopMode
	// IPv4 and IPv6, for NextHopAddress, apply to routes of their family. One
	// may be missing: routes of that family keep what they have.
	IPv4, IPv6 netip.Addr
}

// NextHopMode says where a next hop is taken from.
type NextHopMode uint8

const (
	NextHopDefault   NextHopMode = iota // as the session's kind asks for
	NextHopSelf                         // the session's local address
	NextHopUnchanged                    // as received
	NextHopAddress                      // in the attributes
	NextHopDiscard                      // nowhere: packets are dropped here; to others, the session's local address
)

func (m NextHopMode) String() string {
	return [...]string{"default", "self", "unchanged", "address", "discard"}[m]
}
