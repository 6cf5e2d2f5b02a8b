package rib

import "fmt"

// Cause is what started a change: a kind in the upper eight bits and its
// subject, such as a neighbor or a revision, in the lower 24.
type Cause uint32

// Kind of a cause. The numbers are stored: they do not change.
type Kind uint8

const (
	CauseNone     Kind = iota
	CauseUpdate        // subject: the neighbor that sent an UPDATE
	CauseDown          // subject: the neighbor whose session ended
	CauseUp            // subject: the neighbor whose session began
	CauseRevision      // subject: the configuration's revision
	CauseOperator      // subject: the neighbor that a command was about, or 0
	CauseRefresh       // subject: the neighbor that asked for its routes again
	CauseLimit         // subject: the neighbor that sent too many prefixes
	CauseNextHop       // a next hop can be reached another way, or not, or again
	CauseKernel        // a route of others in the kernel has come or gone
	CauseRPKI          // VRPs have changed
)

var kindNames = [...]string{"none", "update from", "session down with", "session up with", "revision", "operator", "refresh for", "prefix limit of", "next hop", "kernel route", "RPKI"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("cause %d", uint8(k))
}

// NewCause makes a cause; subjects of more than 24 bits are cut.
func NewCause(k Kind, subject uint32) Cause { return Cause(k)<<24 | Cause(subject&(1<<24-1)) }

// Kind is the cause's.
func (c Cause) Kind() Kind { return Kind(c >> 24) }

// Subject is the cause's.
func (c Cause) Subject() uint32 { return uint32(c) & (1<<24 - 1) }
