package daemon

import (
	"fmt"
	"time"

	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/events"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// watchByBFD makes BFD watch those of the running neighbors that are to be
// watched. It comes after each change of them.
func (d *daemon) watchByBFD() {
	cfg, _, _ := d.current()
	var all []bfd.Session
	for _, n := range cfg.Neighbors {
		if s, ok := bfdSession(n); ok && !d.sessionOf(n).Shutdown {
			all = append(all, s)
		}
	}
	d.bfd.Set(all)
}

// bfdSession is how a neighbor is watched; false if it is not, or not yet.
func bfdSession(n *config.Neighbor) (bfd.Session, bool) {
	t := &n.Transport
	return bfd.Session{
		Name: n.Name, Remote: t.Address, Local: t.LocalAddress, Multihop: !n.OneHop(),
		Timers: bfd.Timers{Interval: n.BFD.Interval, MinReceive: n.BFD.MinReceive, Multiplier: n.BFD.Multiplier},
	}, n.BFD.On && t.Address.IsValid()
}

// bfdChanged is told who is up and who has failed.
func (d *daemon) bfdChanged(c bfd.Change) {
	if c.Up {
		d.Log.Info("BFD up", "event", events.BFDUp, "neighbor", c.Name, "address", c.Remote)
		return
	}
	why := bfdReason(&c.Status)
	d.Log.Warn("BFD down", "event", events.BFDDown, "neighbor", c.Name, "address", c.Remote, "reason", why, "lasted", c.Lasted.Round(time.Second), "missed", c.Missed)
	cfg, _, _ := d.current()
	if n := configured(cfg, c.Name); n != nil {
		// RFC 9384. A neighbor that restarts gracefully is expected to be silent,
		// unless its BFD does not depend on what restarts (RFC 5882 section 4.3).
		d.sessions.Fail(d.id(n), session.Close{Code: wire.CodeCease, Subcode: wire.CeaseBFDDown, Text: why}, c.RemoteIndependent)
	}
}

// bfdReason is why BFD has failed the last time.
func bfdReason(st *bfd.Status) string {
	if st.Failed == bfd.DiagExpired {
		return fmt.Sprintf("no BFD packet for %v", st.Patience)
	}
	return "the neighbor says so: " + st.FailedRemote.String()
}
