package engine

import (
	"context"
	"testing"
)

// TestCommandsLeaveTime: commands that follow each other without a pause do not
// keep the router from its work.
func TestCommandsLeaveTime(t *testing.T) {
	e := New(quiet())
	ctx, cancel := context.WithCancel(context.Background())
	e.core.jobs = append(e.core.jobs, job{0, func() bool {
		cancel()
		return true
	}})
	commands := 0
	var again event
	again.run = func(*Core) {
		if commands++; commands > 1000 {
			cancel()
			return
		}
		select {
		case e.mail <- again:
		default:
		}
	}
	for range mailbox / 2 {
		e.mail <- again
	}
	e.Run(ctx)
	if commands > 1000 {
		t.Errorf("%d commands were carried out, and no work was done", commands)
	}
}
