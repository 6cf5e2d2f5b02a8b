package engine

import (
	"context"
	"time"

	"holdfast/internal/fib"
)

// Kernel takes kernel routes.
type Kernel interface {
	// Write carries a batch out; errs[i] is nil where the kernel has it. One
	// caller at a time.
	Write(batch []fib.Change, errs []error)
	// TakesObjects reports whether WriteObjects, which is like Write, can be used.
	TakesObjects() bool
	WriteObjects(batch []fib.ObjectChange, errs []error)
}

// UseKernel connects the engine with the kernel. It comes before Run and before
// the first configuration.
func (e *Engine) UseKernel(k Kernel) {
	e.kernel = k
	e.batches = make(chan *Batch, kernelAhead+2) // more for orphans, and objects
	e.core.UseKernel(func(b *Batch) { e.batches <- b }, k.TakesObjects())
}

// writeKernel carries batches out, and lets the loop see the clock, until ctx
// ends.
func (e *Engine) writeKernel(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case b := <-e.batches:
			e.kernel.WriteObjects(b.Objects, b.ObjectErrs)
			e.kernel.Write(b.Changes, b.Errs)
			e.post(event{run: func(c *Core) { c.Written(b) }})
		case <-tick.C:
			e.post(event{})
		case <-ctx.Done():
			return
		}
	}
}

// FlushKernel removes all our routes from the kernel and returns when that is
// done, or when ctx ends.
func (e *Engine) FlushKernel(ctx context.Context) {
	e.Do((*Core).FlushKernel)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for idle := false; !idle; {
		select {
		case <-tick.C:
			if !e.Do(func(c *Core) { idle = c.KernelIdle() }) {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// UsesObjects reports whether routes go through nexthop objects.
func (e *Engine) UsesObjects() bool { return e.kernel != nil && e.core.objects.on }
