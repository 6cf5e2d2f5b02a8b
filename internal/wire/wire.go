// Package wire reads and writes BGP messages. It has no state, does no I/O
// and keeps nothing that it is given: what it returns aliases its input.
//
// Errors say what must happen next (RFC 7606): a *Error ends the session with
// its NOTIFICATION, a Verdict treats routes as withdrawn or drops attributes.
package wire

import (
	"fmt"

	"holdfast/internal/prefix"
)

// Message types (RFC 4271 section 4.1, RFC 2918).
const (
	MsgOpen         = 1
	MsgUpdate       = 2
	MsgNotification = 3
	MsgKeepalive    = 4
	MsgRefresh      = 5
)

// Sizes of messages in bytes (RFC 4271 section 4.1, RFC 8654).
const (
	HeaderLen      = 19
	MaxMsgLen      = 4096
	MaxExtendedLen = 65535
)

// Options are what decides how the UPDATEs of a session are read.
type Options struct {
	EBGP     bool
	Confed   bool                  // an external neighbor of our confederation (RFC 5065)
	AS4      bool                  // four-byte AS numbers negotiated (RFC 6793)
	ExtMsg   bool                  // extended messages negotiated (RFC 8654)
	AddPath  [prefix.Families]bool // they send path ids (RFC 7911)
	Families [prefix.Families]bool // negotiated (RFC 4760), or IPv4 if nothing was
	ExtNH    bool                  // IPv4 routes with IPv6 next hops (RFC 8950)
}

// Error is a violation that ends the session with a NOTIFICATION.
type Error struct {
	Code, Subcode uint8
	Data          []byte // may alias the message
	Why           string // for people, names the field
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%d/%d)", e.Why, e.Code, e.Subcode) }

// NLRI is an encoded list of prefixes of one family.
type NLRI struct {
	Data    []byte
	Family  prefix.Family
	AddPath bool
	MP      bool // of an MP attribute: decides how errors are numbered
}

// Route is a decoded element of NLRI. PathID is 0 without add-path.
type Route struct {
	Prefix prefix.Prefix
	PathID uint32
}

// Update is an UPDATE message taken apart; its slices alias the message.
type Update struct {
	Withdrawn NLRI // withdrawn routes field
	Announced NLRI // NLRI field
	Reach     NLRI // of MP_REACH_NLRI; meaningful if HasReach
	Unreach   NLRI // of MP_UNREACH_NLRI; meaningful if HasUnreach
	// ReachNextHop is the next hop field of MP_REACH_NLRI: 4, 16 or 32 bytes.
	ReachNextHop []byte
	HasReach     bool
	HasUnreach   bool

	// Attrs is the path attributes field as received, MP attributes included.
	Attrs []byte
	// cut marks what Block leaves out of Attrs, in order: the MP attributes,
	// and NEXT_HOP where it has no routes (RFC 4760 section 3).
	cut  [3]span
	cuts int

	// Suspect: the verdict depends on more than the block (an overrun, odd
	// flags of an MP attribute, announcements in both forms, attributes without
	// routes), so that Validate must be asked and nothing may be memoised.
	Suspect bool
	// Ignored: an MP attribute carries a family that was not negotiated, or
	// the IPv4 fields are used although IPv4 was not. Its routes are left out.
	Ignored bool
	// ignoredReach: the routes left out include announced ones.
	ignoredReach bool
}

type span struct{ from, to int }

// Action is what RFC 7606 section 2 wants done about an UPDATE.
type Action uint8

const (
	Accept           Action = iota
	AttributeDiscard        // some attributes were left out of the block
	TreatAsWithdraw         // its announced routes count as withdrawn
	Reset                   // the session ends
)

// Verdict is the outcome of Validate.
type Verdict struct {
	Action Action
	// Why explains the first problem of the gravest kind, "" if there is none.
	Why string
	// Err is set with Reset.
	Err *Error
}

// Values of ORIGIN (RFC 4271 section 5.1.1).
const (
	OriginIGP        = 0
	OriginEGP        = 1
	OriginIncomplete = 2
)

// Has bits tell which attributes are present, for those whose zero value
// means something.
const (
	HasOrigin = 1 << iota
	HasASPath
	HasMED
	HasLocalPref
	HasAtomicAggregate
	HasAggregator
	HasOriginatorID
	HasOTC
	HasAIGP
)

// Attrs is a parsed attribute block. Slices alias the block; a caller that
// changes one must replace it by its own.
type Attrs struct {
	Has                 uint16
	Origin              uint8
	MED, LocalPref, OTC uint32
	OriginatorID        uint32 // as in netip: big-endian value of the four bytes
	AIGP                uint64 // value of the AIGP TLV (RFC 7311)
	AggregatorAS        uint32
	AggregatorID        uint32

	ASPath           []byte // segments with four-byte AS numbers
	NextHop          []byte // 4, 16 or 32 bytes
	Communities      []byte // 4 bytes each
	ExtCommunities   []byte // 8 bytes each
	LargeCommunities []byte // 12 bytes each
	IPv6Communities  []byte // RFC 5701, 20 bytes each
	ClusterList      []byte // 4 bytes each

	// Other holds every other attribute, whole (flags, type, length, value),
	// in the order received.
	Other []byte

	aigpTLVs []byte // the whole attribute, if it has TLVs besides AIGP
	partial  uint8  // which attributes came with the Partial bit
}
