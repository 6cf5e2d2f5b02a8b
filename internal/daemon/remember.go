package daemon

import (
	"context"
	"errors"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/events"
	"holdfast/internal/state"
)

// handOver is how long a router that ends, and answers nobody any more, may still
// have the state directory.
const handOver = 10 * time.Second

// remember opens the state directory and reads what operators have left there.
func (d *daemon) remember(ctx context.Context) (err error) {
	for began := time.Now(); ; pause(ctx, 20*time.Millisecond) {
		d.state, err = state.Open(d.StateDir, api.Version().Version, d.Log)
		if !errors.Is(err, state.ErrInUse) || ctx.Err() != nil || time.Since(began) > handOver {
			break
		}
	}
	if err != nil {
		return err
	}
	d.announcements = announcements{engine: d.engine, log: d.Log, wake: d.wakeDeadlines}
	if d.downs, err = state.Load(d.state, "down", checkDown); err == nil {
		d.announcements.file, err = state.Load(d.state, "announcements", checkAnnounced)
	}
	if err == nil {
		err = d.recall()
	}
	if err != nil {
		d.state.Close()
	}
	return err
}

// wakeDeadlines says that there may be an earlier deadline.
func (d *daemon) wakeDeadlines() {
	select {
	case d.sooner <- struct{}{}:
	default:
	}
}

// lookAgain bounds how long the clock may have been set, or the disk have been
// full, until somebody looks.
const lookAgain = time.Minute

// keepDeadlines ends what has its end, when that has come.
func (d *daemon) keepDeadlines(ctx context.Context) {
	clock := state.NewClock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.sooner:
		case <-timer.C:
		}
		d.endDowns()
		d.announcements.end()
		if clock.Set() {
			d.rewriteDeadlines()
		}
		timer.Reset(d.nextDeadline())
	}
}

// nextDeadline is how long there is nothing to do.
func (d *daemon) nextDeadline() time.Duration {
	next := lookAgain
	count := func(at state.Deadline) {
		// What has passed and is still there could not be written.
		if !at.IsZero() && !at.Passed() {
			next = min(next, at.Left())
		}
	}
	for _, e := range d.downs.All() {
		count(e.Until)
	}
	for _, a := range d.announcements.file.All() {
		count(a.Until)
	}
	return next
}

// rewriteDeadlines puts on the disk what the clock will say at the deadlines,
// now that it was set.
func (d *daemon) rewriteDeadlines() {
	if err := onOneLine(d.downs.Rewrite(), d.announcements.file.Rewrite()); err != nil {
		d.Log.Warn("the clock was set, but deadlines on the disk cannot be", "event", events.StateUnwritable, "error", err)
	}
}
