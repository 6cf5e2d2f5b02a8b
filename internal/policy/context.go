package policy

import (
	"holdfast/internal/rpki"
	"holdfast/internal/wire"
)

// SourceKind is how a route got into the table.
type SourceKind uint8

const (
	Originated SourceKind = iota // by this router
	Kernel                       // a route that somebody else gave to the kernel
	IBGP
	EBGP
	Static    // of a static block, or static in the kernel
	Connected // of a network on an interface
)

// Relation is what an eBGP neighbor is to us (RFC 9234), the other side of the
// local role.
type Relation uint8

const (
	NoRelation Relation = iota
	Customer
	Provider
	Peer
)

// Source is where a route came from. Neighbor and Group are empty for routes
// that no neighbor sent.
type Source struct {
	Kind            SourceKind
	Relation        Relation
	Neighbor, Group string
}

// Context is what a program is compiled for: a direction and a neighbor.
type Context struct {
	// ASN is the router's own AS: what prepend adds by default, and the origin
	// of an empty path.
	ASN uint32
	// DefaultLocalPref is the LOCAL_PREF of routes without; 0 means
	// DefaultLocalPref.
	DefaultLocalPref uint32
	// From is set for import: every route is from this neighbor, so that what
	// asks for the source is settled once. nil for export, where Route.Source
	// counts.
	From *Source
	// Neighbor names, for errors, whose configuration fills the slots. The
	// slots are those of the neighbor on the other side of the session; nil
	// where its configuration has none, and a policy that asks is an error.
	Neighbor   string
	Prefixes   *PrefixSet
	OriginASNs *ASSet
	// NeighborASN is the AS number of that neighbor; 0 where there is none.
	NeighborASN uint32
}

// Route is what Eval judges and changes.
type Route struct {
	// Attrs is changed in place. Slices are replaced, never written through;
	// new ones are in the Scratch or the Program.
	Attrs *wire.Attrs
	// Source is read by programs that were compiled without Context.From.
	Source *Source
	// Weight is what it has before.
	Weight uint32
	// Validity is the validation state. Eval sets it by the variant, for programs
	// that ask for it.
	Validity rpki.State
	// Path is the state of the AS path, by Verification.
	Path rpki.State
}

// Result is what a program says about a route.
type Result struct {
	Accept bool
	// Changed reports whether Attrs differ from before. After a rejection they
	// are of no use.
	Changed bool
	// MED reports whether a rule set the MED, so that it is meant for the
	// neighbor and not what another neighbor told us.
	MED     bool
	NextHop NextHopMode
	Weight  uint32
	// Trace is a small dense number, for Count and Matched, naming the rules
	// that selected the route.
	Trace uint32
}
