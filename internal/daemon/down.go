package daemon

import (
	"errors"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/events"
	"holdfast/internal/session"
	"holdfast/internal/state"
)

// down is why an operator keeps the session with a neighbor down. It stands in
// the state directory under the neighbor's name.
type down struct {
	Reason string         `json:"reason"`
	By     string         `json:"by,omitempty"`
	Since  time.Time      `json:"since"`
	Until  state.Deadline `json:"until,omitzero"`
}

func checkDown(_ string, e *down) error {
	if e.Reason == "" || e.Since.IsZero() {
		return errors.New("it has no reason, or does not say since when")
	}
	return nil
}

// downed is what an operator's command keeps a neighbor down for.
func (d *daemon) downed(name string) (e down, ok bool) {
	e, ok = d.downs.Get(name)
	return e, ok && !e.Until.Passed()
}

// sessionOf is what the session of a neighbor should be: as configured, unless
// an operator keeps it down.
func (d *daemon) sessionOf(n *config.Neighbor) session.Neighbor {
	s := sessionNeighbor(n, d.id(n))
	s.Machine.Restart.Restarting, s.Machine.Restart.Forwarding = d.restarts.going.Load(), d.restarts.forwarding
	if e, ok := d.downed(n.Name); ok && !s.Shutdown {
		s.Shutdown, s.ShutdownMessage = true, e.Reason
	}
	return s
}

// takeDown keeps a session down, whatever happens to the process.
func (d *daemon) takeDown(name string, e down) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	n, err := d.still(name)
	if err != nil {
		return err
	}
	err = d.downs.Update(func(all map[string]down) (bool, error) {
		all[name] = e
		return true, nil
	})
	d.wakeDeadlines()
	if err == nil {
		d.Log.Info("neighbor kept down", "event", events.NeighborDisabled, "neighbor", name, "reason", e.Reason, "by", e.By, "until", e.Until.String())
	}
	return onOneLine(err, d.setSession(n))
}

// setSession gives the session of a neighbor what it should be now.
func (d *daemon) setSession(n *config.Neighbor) error {
	defer d.watchByBFD()
	return d.sessions.Set(d.sessionOf(n))
}

// enable undoes takeDown, and starts a session that a limit holds. What the
// configuration shuts down stays.
func (d *daemon) enable(name, by string) error {
	d.applying.Lock()
	defer d.applying.Unlock()
	n, err := d.still(name)
	if err != nil {
		return err
	}
	if n.Shutdown {
		return api.Refused("neighbor %q is shut down in the configuration: remove shutdown there (%s) and reload", name, n.Pos)
	}
	was := false
	err = d.downs.Update(func(all map[string]down) (bool, error) {
		_, was = all[name]
		delete(all, name)
		return was, nil
	})
	if _, still := d.downed(name); still {
		return err
	}
	if was {
		d.Log.Info("neighbor enabled", "event", events.NeighborEnabled, "neighbor", name, "by", by)
	}
	err = onOneLine(err, d.setSession(n))
	d.sessions.Enable(d.id(n))
	return err
}

// still is a neighbor that the running configuration has.
func (d *daemon) still(name string) (*config.Neighbor, error) {
	cfg, _, _ := d.current()
	if n := configured(cfg, name); n != nil {
		return n, nil
	}
	return nil, api.NotFound("there is no neighbor %q any more", name)
}

// forgetDowns drops what is kept about neighbors that cfg does not have: who
// configures them again finds them as they are configured.
func (d *daemon) forgetDowns(cfg *config.Config) {
	dropped := d.dropDowns(func(name string, _ down) bool { return configured(cfg, name) == nil && !mayCome(cfg, name) })
	for name, e := range dropped {
		d.Log.Warn("a neighbor that was kept down is not configured any more: that is forgotten",
			"event", events.NeighborForgotten, "neighbor", name, "reason", e.Reason, "by", e.By)
	}
}

// endDowns lets sessions come up whose time is over. They do even if that
// cannot be written down now.
func (d *daemon) endDowns() {
	var over []string
	for name, e := range d.downs.All() {
		if e.Until.Passed() {
			over = append(over, name)
		}
	}
	if len(over) == 0 {
		return
	}
	d.applying.Lock()
	defer d.applying.Unlock()
	for _, name := range over {
		if n, err := d.still(name); err == nil {
			_ = d.setSession(n) // its other settings are those that it has
		}
	}
	for name := range d.dropDowns(func(_ string, e down) bool { return e.Until.Passed() }) {
		d.Log.Info("neighbor enabled: its time is over", "event", events.NeighborEnabled, "neighbor", name)
	}
}

// dropDowns removes entries and returns them.
func (d *daemon) dropDowns(drop func(string, down) bool) (dropped map[string]down) {
	dropped = map[string]down{}
	err := d.downs.Update(func(all map[string]down) (bool, error) {
		for name, e := range all {
			if drop(name, e) {
				dropped[name] = e
				delete(all, name)
			}
		}
		return len(dropped) > 0, nil
	})
	if err != nil {
		d.Log.Warn("cannot forget neighbors that were kept down", "event", events.StateUnwritable, "error", err)
		return nil
	}
	return dropped
}
