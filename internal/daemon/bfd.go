package daemon

import (
	"fmt"
	"slices"
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
	if d.restarts.going.Load() {
		for _, s := range d.restarts.bfdEarlier {
			if notYet(cfg, s.Name) {
				all = append(all, s)
			}
		}
	}
	d.bfd.Set(all)
}

// notYet reports whether BFD with a neighbor that was there before a restart is
// to wait for it: it has to be found, or to connect.
func notYet(cfg *config.Config, name string) bool {
	if n := configured(cfg, name); n != nil {
		return n.BFD.On && !n.Transport.Address.IsValid()
	}
	return mayCome(cfg, name)
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
	switch c.What {
	case bfd.CameUp:
		d.Log.Info("BFD up", "event", events.BFDUp, "neighbor", c.Name, "address", c.Remote)
		return
	case bfd.GoesOn:
		d.Log.Info("BFD goes on: the neighbor has waited for the restart", "event", events.BFDResumed, "neighbor", c.Name, "address", c.Remote)
		return
	}
	why := bfdReason(&c.Status)
	d.Log.Warn("BFD down", "event", events.BFDDown, "neighbor", c.Name, "address", c.Remote, "reason", why, "lasted", c.Lasted.Round(time.Second), "missed", c.Missed)
	cfg, _, _ := d.current()
	if cfg == nil { // there are no sessions yet
		return
	}
	if n := configured(cfg, c.Name); n != nil {
		// RFC 9384. A neighbor that restarts gracefully is expected to be silent,
		// unless its BFD does not depend on what restarts (RFC 5882 section 4.3).
		d.sessions.Fail(d.id(n), session.Close{Code: wire.CodeCease, Subcode: wire.CeaseBFDDown, Text: why}, c.RemoteIndependent)
	}
}

// bfdNote is what is noted of BFD for the run that comes after this one, beside
// run: it changes at other times.
type bfdNote struct {
	Boot    string `json:"boot"`
	Network string `json:"network"`
	// Left is when neighbors were asked to wait, in seconds since the boot; 0:
	// they have not been.
	Left     float64    `json:"left,omitempty"`
	Sessions []bfd.Kept `json:"sessions"`
}

// resumeBFD goes on with the sessions of the run before. Neighbors may wait for no
// more than a second: it comes before all that takes time.
func (d *daemon) resumeBFD() error {
	r := &d.restarts
	last, found, err := r.bfd.Read()
	if err != nil || !found || !r.goesOn() || last.Boot != r.here.Boot || last.Network != r.here.Network ||
		last.Left > 0 && uptime()-last.Left > bfd.Absence.Seconds() {
		return err
	}
	r.bfdEarlier = d.bfd.Resume(last.Sessions)
	return nil
}

// noteBFD notes the sessions that are up, and at the end when they were left.
func (d *daemon) noteBFD(ended bool) {
	r := &d.restarts
	r.mu.Lock()
	defer r.mu.Unlock()
	now := bfdNote{Boot: r.here.Boot, Network: r.here.Network, Sessions: d.bfd.Kept()}
	if r.bfdEnded || !ended && r.bfdWritten != nil && slices.Equal(r.bfdWritten.Sessions, now.Sessions) {
		return
	}
	if r.bfdEnded = ended; ended {
		now.Left = uptime()
	}
	r.failed(r.bfd.Write(now), d.Log)
	r.bfdWritten = &now
}

// bfdReason is why BFD has failed the last time.
func bfdReason(st *bfd.Status) string {
	if st.Failed == bfd.DiagExpired {
		return fmt.Sprintf("no BFD packet for %v", st.Patience)
	}
	return "the neighbor says so: " + st.FailedRemote.String()
}
