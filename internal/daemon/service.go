package daemon

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/engine"
	"holdfast/internal/events"
)

// statusEvery is how often the service manager's status line is looked at.
const statusEvery = 5 * time.Second

// report tells the service manager how many sessions are up, and that the
// router lives, until ctx is done. Each sign of life has come through the
// engine's loop, the sessions and the socket: if one of them hangs, so does
// this, and the manager, which hears nothing, restarts the router.
func (d *daemon) report(ctx context.Context) {
	every := statusEvery
	if w := d.Systemd.Watchdog(); w > 0 {
		every = min(every, w/4)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	said := ""
	for {
		status, err := d.signOfLife(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			d.Log.Error("no sign of life for the watchdog", "event", events.WatchdogSilent, "error", err)
		default:
			d.Systemd.Alive()
			if status != said {
				d.Systemd.Status(status)
				said = status
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// signOfLife is the status line, from all parts of a router that must answer.
func (d *daemon) signOfLife(ctx context.Context) (status string, err error) {
	if !d.engine.Do(func(*engine.Core) {}) {
		return "", fmt.Errorf("the engine has ended")
	}
	cfg, _, _ := d.current()
	up := 0
	for _, n := range cfg.Neighbors {
		if st, _ := d.sessions.Status(d.id(n)); st.Established != nil {
			up++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, statusEvery)
	defer cancel()
	c := api.Dial(d.SocketPath)
	defer c.Close()
	if _, err := c.GetVersion(ctx, connect.NewRequest(&pb.GetVersionRequest{})); err != nil {
		return "", fmt.Errorf("the socket does not answer: %w", c.Error(err))
	}
	return fmt.Sprintf("%d of %d neighbors up", up, len(cfg.Neighbors)), nil
}
