package netlab

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// Config is what a router is started with. It takes all routes that it is
// sent and sends all routes that it has to every session.
type Config struct {
	AS       uint32
	ID       netip.Addr
	Cluster  netip.Addr // of route reflection; invalid: ID
	Sessions []Session
	Routes   []Route // originated from the start
	Import   string  // of holdfast only: rules before the one that accepts the rest
	Export   string  // likewise, before all others
	// Cache gives VRPs to BIRD and OpenBGPD, if it is valid.
	Cache  netip.AddrPort
	Router string // of holdfast only: arguments of the router block, "kernel = false" if there are none
	Blocks string // of holdfast only: further blocks; policies "in" and "out" take and send all
}

// Session is one neighbor of a router.
type Session struct {
	Name     string // a letter, then letters and digits
	Local    netip.Addr
	Remote   netip.Addr
	AS       uint32 // of the neighbor
	Families []Family
	Passive  bool
	HoldTime int    // seconds, 0 for 90
	Password string // TCP MD5
	GTSM     bool   // RFC 5082, one hop
	// AddPath: send several paths of a prefix (holdfast: receive them). PathsIn:
	// receive them (holdfast: send them).
	AddPath    bool
	PathsIn    bool
	ExtNextHop bool   // IPv4 routes with IPv6 next hops over an IPv6 session
	AS2        bool   // without four-byte AS numbers
	BFD        bool   // 300 ms, three times (BIRD, FRR and holdfast)
	Multihop   int    // how many hops away the neighbor may be; 0: directly connected
	Client     bool   // of the router as a route reflector
	Interface  string // instead of the addresses: the neighbor is found there
	// Restart: graceful restart, for those that need to be told.
	Restart bool
	// RestartTime is how long such a restart may take, LongLived for how long routes
	// are kept beyond that (RFC 9494); in seconds, 0 for 120 and not at all.
	RestartTime, LongLived int
	// Role is what the router is to its neighbor (RFC 9234), as holdfast says it. It
	// demands one of the neighbor with RequireRole.
	Role        string
	RequireRole bool
	RSClient    bool   // the neighbor is a client of this route server (BIRD and holdfast)
	More        string // of holdfast only: further arguments of the neighbor
}

func (s Session) holdTime() int {
	if s.HoldTime == 0 {
		return 90
	}
	return s.HoldTime
}

// routeServer is a role as BIRD and FRR say it.
func routeServer(role string) string {
	if role == "rs" {
		return "rs-server"
	}
	return role
}

func (s Session) restartTime() int {
	if s.RestartTime == 0 {
		return 120
	}
	return s.RestartTime
}

// State is what a router says about a session.
type State struct {
	Established bool
	Text        string // in the router's own words
}

// Router is a running BGP router. Methods without an error fail the test.
type Router interface {
	// Kind names the make: "bird", "frr", …
	Kind() string
	// Announce originates routes or changes them.
	Announce(routes ...Route)
	// Withdraw ends the origination of routes.
	Withdraw(routes ...Route)
	// Received returns what the neighbor of a session has announced. NextHop
	// and all attributes are as received.
	Received(session string) ([]Route, error)
	// Session reports on a session.
	Session(name string) (State, error)
	// AskRefresh asks the neighbor to send all routes again (RFC 2918).
	AskRefresh(session string)
	// Process is the main program.
	Process() *Process
}

// Make is a make of router.
type Make struct {
	Kind  string
	Start func(n *Node, c Config) Router
	// Can reduces a route to what this make can originate.
	Can func(r Route) Route
	// Shows reduces a route to what this make can show of received ones.
	Shows func(r Route) Route
	// NoAS2: it cannot do without four-byte AS numbers.
	NoAS2 bool
	// AS2Trans: without them it knows neighbors that have one as AS_TRANS only.
	AS2Trans bool
	// NoAskRefresh: it answers ROUTE-REFRESH and never sends one.
	NoAskRefresh bool
	// NoRefresh: it does not answer ROUTE-REFRESH.
	NoRefresh bool
	// NoExtNextHop: it has no RFC 8950.
	NoExtNextHop bool
	// OwnPaths: it can originate several paths of a prefix.
	OwnPaths bool
	// Roles: it knows RFC 9234.
	Roles bool
}

// Makes are the routers that interop tests talk to.
func Makes() []Make {
	return []Make{BIRD(), FRR(), OpenBGPD(), GoBGP3(), GoBGP4(), ExaBGP()}
}

func same(r Route) Route { return r }

// Patience is how long tests wait for what should take a second or two: the
// machine may be busy with other tests.
const Patience = 30 * time.Second

// AwaitUp waits for a session.
func AwaitUp(t testing.TB, r Router, session string) {
	t.Helper()
	Await(t, Patience, "session "+session+" of "+r.Kind(), func() error {
		s, err := r.Session(session)
		if err == nil && !s.Established {
			err = errors.New(s.Text)
		}
		return err
	})
}

// AwaitDown waits for the end of a session.
func AwaitDown(t testing.TB, r Router, session string) {
	t.Helper()
	Await(t, Patience, "end of session "+session+" of "+r.Kind(), func() error {
		s, err := r.Session(session)
		if err == nil && s.Established {
			err = errors.New("it is still " + s.Text)
		}
		return err
	})
}

// AwaitRoutes waits until exactly these routes have been received.
func AwaitRoutes(t testing.TB, r Router, session string, want []Route) {
	t.Helper()
	Await(t, Patience, "right routes of "+session+" at "+r.Kind(), func() error {
		got, err := r.Received(session)
		if err != nil {
			return err
		}
		return Same(want, got)
	})
}
