package engine

import (
	"context"
	"log/slog"
	"sync"
	"testing"
)

// TestQuestionsDoNotStopWork: routing goes on while the mailbox is never empty,
// as when many ask at once.
func TestQuestionsDoNotStopWork(t *testing.T) {
	e := New(slog.New(slog.DiscardHandler))
	worked := false
	e.core.jobs = []job{{0, func() bool { worked = true; return true }}}
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	var ask func(*Core)
	ask = func(*Core) {
		if asked++; worked || asked == 10_000 {
			cancel()
			return
		}
		e.mail <- event{run: ask} // there is room: this one was there before
	}
	e.mail <- event{run: ask}
	var loop sync.WaitGroup
	loop.Go(func() { e.Run(ctx) })
	loop.Wait()
	if !worked {
		t.Errorf("%d questions were answered and no work was done", asked)
	}
	if e.Do(func(*Core) {}) {
		t.Error("a loop that has ended runs something")
	}
}
