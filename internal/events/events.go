// Package events has the ids of the lines of the log. Scripts and alerts match
// them, so that an id that was released never changes and never means anything
// else. docs/running.md explains each.
package events

// ID is the value of the attribute "event" of a line.
type ID string

// Of the process and its configuration.
const (
	RouterRunning      ID = "router-running"      // it has started
	RouterStopping     ID = "router-stopping"     // it was told to stop
	DrainBegun         ID = "drain-begun"         // neighbors are asked to prefer other ways, before a shutdown
	DrainEnded         ID = "drain-ended"         // there is no shutdown after all
	RouterLeaving      ID = "router-leaving"      // it was told to shut down for good
	RestartBegun       ID = "restart-begun"       // neighbors and the kernel may have kept our routes from an earlier run
	RestartOver        ID = "restart-over"        // neighbors are sent their routes
	RestartIncomplete  ID = "restart-incomplete"  // so they are, without what others have not sent in time
	ProcessConfined    ID = "process-confined"    // it can read and write in its own directories only
	ProcessOpen        ID = "process-open"        // the kernel cannot confine it
	WatchdogSilent     ID = "watchdog-silent"     // a part of the router does not answer
	ManagerLost        ID = "manager-lost"        // the service manager does not read what it is told
	LogLost            ID = "log-lost"            // nobody has read standard error for a while
	ConfigApplied      ID = "config-applied"      // a configuration is in force
	ConfigRefused      ID = "config-refused"      // a reload has changed nothing
	ConfigIncomplete   ID = "config-incomplete"   // something of what is in force could not be had
	ConfigError        ID = "config-error"        // one finding about a configuration that is refused
	ConfigWarning      ID = "config-warning"      // one finding about a configuration
	APIError           ID = "api-error"           // a client of the operators' socket has failed
	MetricsServed      ID = "metrics-served"      // scrapes are answered
	MetricsUnavailable ID = "metrics-unavailable" // a port for scrapes could not be had
	MetricsError       ID = "metrics-error"       // a scrape has failed
)

// Of sessions.
const (
	NeighborUp         ID = "neighbor-up"         // a session is established
	NeighborDown       ID = "neighbor-down"       // an established session has ended
	SessionFailed      ID = "session-failed"      // an attempt at a session has ended
	ArrivalRefused     ID = "arrival-refused"     // a connection from a neighbor_range
	NeighborJoined     ID = "neighbor-joined"     // one has connected from a neighbor_range
	NeighborLeft       ID = "neighbor-left"       // one that came from a neighbor_range is gone
	NeighborRefused    ID = "neighbor-refused"    // one from a neighbor_range cannot be taken in
	CapabilityRefused  ID = "capability-refused"  // a neighbor does not take our capabilities
	ConnectionUnknown  ID = "connection-unknown"  // from an address that is no neighbor
	ConnectionRejected ID = "connection-rejected" // from a neighbor, but not as configured
	AcceptFailed       ID = "accept-failed"       // the system gives no connections
	ListenSkipped      ID = "listen-skipped"      // the machine does not have the address family
	NeighborDisabled   ID = "neighbor-disabled"   // an operator keeps it down
	NeighborEnabled    ID = "neighbor-enabled"    // an operator, or the end of the time that was set, does not any more
	NeighborForgotten  ID = "neighbor-forgotten"  // one that was kept down is not configured any more
	ListenAbsent       ID = "listen-absent"       // no interface has an address that is listened on
	InterfaceLost      ID = "interface-lost"      // of an interface neighbor, not there or not usable
	InterfaceBack      ID = "interface-back"      // it can be used
	NeighborFound      ID = "neighbor-found"      // an interface neighbor's address, from its advertisements
	BFDUp              ID = "bfd-up"              // BFD with a neighbor is up
	BFDDown            ID = "bfd-down"            // BFD says that a neighbor has failed
	BFDResumed         ID = "bfd-resumed"         // BFD with a neighbor has gone on over a restart
	BFDPriority        ID = "bfd-priority"        // BFD's thread is no more urgent than others
	BFDPort            ID = "bfd-port"            // packets of BFD cannot be received
	PasswordKept       ID = "password-kept"       // the kernel did not forget a TCP MD5 password
)

// Of routes.
const (
	PrefixWarning      ID = "prefix-warning"       // a neighbor comes near its limit
	PrefixLimit        ID = "prefix-limit"         // a neighbor is above its limit
	PrefixesHeld       ID = "prefixes-held"        // a neighbor is sent as many as it may be
	UpdateMalformed    ID = "update-malformed"     // its routes count as withdrawn
	AttributeDiscarded ID = "attribute-discarded"  // its route is used without the attribute
	RouteUnsendable    ID = "route-unsendable"     // a route does not fit a neighbor's messages
	PathsExcess        ID = "paths-excess"         // a neighbor has too many paths for a prefix
	RouteAnnounced     ID = "route-announced"      // by an operator or a program
	RouteWithdrawn     ID = "route-withdrawn"      // by an operator or a program
	RouteExpired       ID = "route-expired"        // an announcement has come to its end
	TableFull          ID = "table-full"           // routes are lost
	RoutesKept         ID = "routes-kept"          // of a neighbor that may be restarting
	RoutesKeptLong     ID = "routes-kept-long"     // and that has not come back in time
	StaleRoutesExpired ID = "stale-routes-expired" // their time is over
	StaleRoutesRemoved ID = "stale-routes-removed" // that were kept, and have not been announced again
	RouteLeak          ID = "route-leak"           // a neighbor has sent what it must not pass on

	OriginationInactive ID = "origination-inactive" // the kernel has no route for an origination that wants one
	OriginationActive   ID = "origination-active"   // it has one again
	KernelSilent        ID = "kernel-silent"        // the kernel's news have ended, and are asked for again
	ObjectRefused       ID = "object-refused"       // the kernel does not take a nexthop object
	KernelAdopted       ID = "kernel-adopted"       // kernel routes of an earlier run stay for now
	KernelRefused       ID = "kernel-refused"       // the kernel does not take a route: it is not announced
)

// Of kernel routes.
const (
	KernelRouteHidden ID = "kernel-route-hidden" // the kernel does not say where a route of others goes
)

// Of the RPKI.
const (
	RPKIUp      ID = "rpki-source-up"      // a source of VRPs is up to date
	RPKIDown    ID = "rpki-source-down"    // it cannot be had, or makes no sense
	RPKIExpired ID = "rpki-source-expired" // what it has said is too old to count
	RPKIData    ID = "rpki-data"           // what all sources have together has changed
)

// Of the state directory.
const (
	StateUnwritable ID = "state-unwritable" // it cannot be written when the router starts
	StateCorrupt    ID = "state-corrupt"    // a file of it cannot be read
	StateNewer      ID = "state-newer"      // a file of it has what this version does not know
)
