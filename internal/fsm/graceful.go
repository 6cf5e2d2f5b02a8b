package fsm

import (
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// RestartMode is how far we take part in graceful restart (RFC 4724).
type RestartMode uint8

const (
	// RestartOff offers nothing.
	RestartOff RestartMode = iota
	// RestartHelper keeps the routes of neighbors that restart, and has them keep
	// none of ours: the capability lists no family (RFC 4724 section 3).
	RestartHelper
	// RestartBoth also asks neighbors to keep our routes while we restart.
	RestartBoth
)

// Restart is what we offer of graceful restart.
type Restart struct {
	Mode RestartMode
	Time time.Duration // that a restart of ours takes at the most; up to 4095 s
	// LongLived is how long routes of ours may be kept beyond that (RFC 9494), and
	// offers to take those of others that are kept so; 0: neither.
	LongLived time.Duration
	// Restarting (the R bit): we have restarted, and the neighbor need not wait
	// for our End-of-RIB.
	Restarting bool
	// Forwarding (the F bit): packets went on by the routes from before. The
	// machine sets it by itself once there has been a session: nothing of ours has
	// restarted then.
	Forwarding [prefix.Families]bool
}

// Graceful is what both OPENs say of restarts; zero if either has not the
// capability.
type Graceful struct {
	Agreed bool
	// Notification: a NOTIFICATION does not end the routes, but for a Hard Reset
	// (RFC 8538).
	Notification bool
	// Restarting: the neighbor has restarted, and waits for our End-of-RIB before
	// it sends its own.
	Restarting bool
	// Time is how long the neighbor may take to come back.
	Time time.Duration
	// Families are those whose routes are kept meanwhile, Forwarding those whose
	// packets went on over the restart before this session.
	Families, Forwarding [prefix.Families]bool
	// LongLived is how long routes may be kept beyond Time (RFC 9494), 0 for no
	// time, LongForwarding what Forwarding is after that; TakesStale says that the
	// neighbor takes routes of others that are kept so.
	LongLived      [prefix.Families]time.Duration
	LongForwarding [prefix.Families]bool
	TakesStale     bool
	// Keeps: the neighbor keeps our routes when we restart.
	Keeps bool
}

// restart puts what we offer into our OPEN.
func (c *Config) restart(p *wire.Capabilities, kept bool) {
	r := &c.Restart
	if r.Mode == RestartOff {
		return
	}
	p.GracefulRestart = &wire.GracefulRestart{Restarting: r.Restarting, Notification: true, Time: uint16(min(r.Time/time.Second, 1<<12-1))}
	for _, f := range c.common() {
		forwarding := kept || r.Forwarding[f]
		if r.Mode == RestartBoth {
			p.GracefulRestart.Families = append(p.GracefulRestart.Families, wire.RestartFamily{FamilyID: wire.UnicastID(f), Forwarding: forwarding})
		}
		if r.LongLived > 0 {
			l := wire.LongLivedFamily{FamilyID: wire.UnicastID(f)}
			if r.Mode == RestartBoth {
				l.Forwarding, l.StaleTime = forwarding, uint32(min(r.LongLived/time.Second, 1<<24-1))
			}
			p.LongLived = append(p.LongLived, l)
		}
	}
}

// graceful is what follows from both OPENs. families are those of the session.
func graceful(a, b *wire.Capabilities, families [prefix.Families]bool) (g Graceful) {
	ours, theirs := a.GracefulRestart, b.GracefulRestart
	if ours == nil || theirs == nil {
		return g
	}
	g = Graceful{Agreed: true, Notification: ours.Notification && theirs.Notification, Restarting: theirs.Restarting,
		Time: time.Duration(theirs.Time) * time.Second, Keeps: len(ours.Families) > 0}
	for _, x := range theirs.Families {
		if f, ok := x.Family(); ok && families[f] {
			g.Families[f], g.Forwarding[f] = true, x.Forwarding
		}
	}
	// RFC 9494 section 4.1: it counts only beside the capability of RFC 4724.
	if len(a.LongLived) == 0 {
		return g
	}
	g.TakesStale = len(b.LongLived) > 0
	for _, x := range b.LongLived {
		if f, ok := x.Family(); ok && families[f] {
			g.LongLived[f], g.LongForwarding[f] = time.Duration(x.StaleTime)*time.Second, x.Forwarding
		}
	}
	return g
}

// any reports whether there is a family whose routes may be kept.
func (g *Graceful) any() bool {
	return g.Agreed && (g.Families != [prefix.Families]bool{} || g.LongLived != [prefix.Families]time.Duration{})
}

// keeps reports whether the neighbor's routes may be kept after a session that
// has ended for this reason.
func (g *Graceful) keeps(r Reason) bool {
	if !g.any() {
		return false
	}
	switch r.Kind {
	case ConnectionFailed: // RFC 4724 section 4.2
		return true
	case NotificationSent, NotificationReceived: // RFC 8538 section 4
		return g.Notification && !r.Hard
	}
	return false // a neighbor that does not read, or says what makes no sense, is not restarting
}

// hard reports whether an end is for good, so that neither side may keep routes
// (RFC 8538 section 5.1).
func (c *Close) hard() bool {
	if c.Hard {
		return true
	}
	if c.Code != wire.CodeCease {
		return false
	}
	switch c.Subcode {
	case wire.CeaseMaxPrefixes, wire.CeaseShutdown, wire.CeaseDeconfigured, wire.CeaseConfigChange, wire.CeaseBFDDown:
		return true
	}
	return false
}

// farewell is what ends a connection, and the reason for it. A neighbor that
// keeps our routes over a restart of ours is told nothing that would have it drop
// them: without RFC 8538, that is nothing at all (RFC 4724 section 4). To a neighbor that
// would keep our routes for any other NOTIFICATION, an end for good is a Hard
// Reset (RFC 8538 section 3.1).
func (cn *conn) farewell(c Close) ([]byte, Reason) {
	if c.Restart && cn.state == EstablishedState && cn.agreed.Restart.Keeps {
		if !cn.agreed.Restart.Notification {
			return nil, Reason{Kind: Stopped, Text: "this router restarts, and the neighbor keeps its routes"}
		}
		c = AdminReset(c.Text)
	}
	r := c.reason()
	if c.Code == 0 {
		return nil, r
	}
	if cn.state != EstablishedState || !cn.agreed.Restart.Notification || !c.hard() {
		return notification(c), r
	}
	r.Hard = true
	return wire.AppendNotification(nil, wire.CodeCease, wire.CeaseHardReset, wire.HardResetData(c.Code, c.Subcode, c.Data)), r
}
