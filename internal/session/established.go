package session

import "holdfast/internal/fsm"

// Reason is why a session ended.
type Reason = fsm.Reason

// Close ends a session: the NOTIFICATION, and what to do next.
type Close = fsm.Close

// Established is what both ends of a session agreed on.
type Established = fsm.Established

// Capability is one of an OPEN message (RFC 5492).
type Capability = fsm.Capability
