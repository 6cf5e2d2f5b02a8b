package engine

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/fib"
)

// nothing is a kernel that takes everything.
type nothing struct{}

func (nothing) Write([]fib.Change, []error)              {}
func (nothing) WriteObjects([]fib.ObjectChange, []error) {}
func (nothing) TakesObjects() bool                       { return true }

// TestStopWithFullMailbox: the kernel writer does not wait for a loop that has
// ended.
func TestStopWithFullMailbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(quiet())
		e.UseKernel(nothing{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { e.Run(ctx); close(ended) }()
		busy := make(chan struct{})
		go e.Do(func(*Core) { <-busy })
		for range 2 * mailbox {
			go e.Do(func(*Core) {})
		}
		time.Sleep(3 * time.Second) // the writer has something to say
		cancel()
		close(busy)
		<-ended
	})
}
