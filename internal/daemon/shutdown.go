package daemon

import (
	"context"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/engine"
	"holdfast/internal/events"
)

// sayEvery is how often it is told how far a drain is, if nothing else happens.
const sayEvery = 5 * time.Second

// shutdown ends the router for good. Neighbors have the time drain to prefer other
// ways, which counts once all have been asked to, for which they have as long at
// the most. Until then the end of ctx, or of the router, calls it off: nothing has
// been noted.
func (d *daemon) shutdown(ctx context.Context, drain time.Duration, reason string, tell func(api.ShutdownProgress) error) error {
	if !d.leaving.TryLock() {
		return api.Refused("a shutdown is under way")
	}
	by := api.Caller(ctx)
	up := 0
	d.engine.Do(func(c *engine.Core) { _, up = c.Told() })
	if drain > 0 && up > 0 {
		d.Log.Info("neighbors are asked to prefer other ways, before a shutdown", "event", events.DrainBegun, "by", by, "reason", reason, "wait", drain)
		if err := d.drain(ctx, drain, tell); err != nil {
			d.engine.Do(func(c *engine.Core) { c.Drain(false) })
			d.Log.Info("the shutdown is called off: neighbors are told to prefer us as before", "event", events.DrainEnded, "by", by)
			d.leaving.Unlock()
			return err
		}
	}
	d.Log.Info("leaving for good", "event", events.RouterLeaving, "by", by, "reason", reason)
	_ = tell(api.ShutdownProgress{Phase: api.Leaving}) // who does not listen any more changes nothing
	d.end(func() { d.endForGood(reason) })
	_ = tell(api.ShutdownProgress{Phase: api.Gone})
	close(d.left)
	return nil
}

// drain asks neighbors to prefer other ways, and lets them do so.
func (d *daemon) drain(ctx context.Context, wait time.Duration, tell func(api.ShutdownProgress) error) error {
	d.engine.Do(func(c *engine.Core) { c.Drain(true) })
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began := time.Now()
	var asked time.Time // when all had been
	var said api.ShutdownProgress
	for {
		p := api.ShutdownProgress{Left: wait}
		d.engine.Do(func(c *engine.Core) { p.Told, p.Neighbors = c.Told() })
		if asked.IsZero() && (p.Told == p.Neighbors || time.Since(began) >= wait) {
			asked = time.Now()
		}
		if !asked.IsZero() {
			p.Left = wait - time.Since(asked)
		}
		if p.Left <= 0 {
			return nil
		}
		if p.Told != said.Told || p.Neighbors != said.Neighbors || said.Left == 0 || said.Left-p.Left >= sayEvery {
			if err := tell(p); err != nil {
				return err
			}
			said = p
		}
		select {
		case <-tick.C:
		case <-time.After(p.Left):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
