package daemon

import (
	"context"
	"errors"
	"syscall"
	"time"

	"holdfast/internal/engine"
	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/kernel"
	"holdfast/internal/prefix"
)

// staleFor is how long kernel routes of an earlier run stay at the most, until
// neighbors have sent all theirs.
const staleFor = 2 * time.Minute

// kernelPatience is how long the kernel may take with what is usually done in
// milliseconds.
const kernelPatience = 10 * time.Second

// useKernel connects the engine with the kernel. It comes before the engine runs
// and before the first configuration.
func (d *daemon) useKernel() error {
	k, err := kernel.Open(kernel.Options{Protocol: fib.DefaultProtocol, Log: d.Log})
	if err != nil {
		return err
	}
	if err := mayWrite(k); err != nil {
		k.Close()
		return err
	}
	d.kernel = k
	d.engine.UseKernel(k)
	return nil
}

// mayWrite tries whether kernel routes may be changed, by removing one that
// nobody has.
func mayWrite(k *kernel.Kernel) error {
	const table = 1<<32 - 16
	errs := make([]error, 1)
	k.Write([]fib.Change{{Delete: true, Route: fib.Route{Table: table, Metric: 1, Prefix: prefix.MustParse("192.0.2.0/32")}}}, errs)
	if errors.Is(errs[0], syscall.EPERM) {
		return errors.New("cannot change kernel routes: that takes root or CAP_NET_ADMIN; a router that forwards nothing has kernel = false in its router block")
	}
	return nil
}

// watchKernel tells the engine what happens in the kernel, until ctx ends. told
// is closed when the engine knows how things stand.
func (d *daemon) watchKernel(ctx context.Context, told chan<- struct{}) {
	first := true
	d.keepWatching(ctx, "the kernel tells nothing any more: asking again", func() error {
		return d.kernel.Watch(ctx, func(e fib.Event) {
			d.engine.Do(func(c *engine.Core) { c.KernelNews(e) })
			if first {
				first = false
				close(told)
			} else if e.Snapshot {
				d.reconcile()
			}
		})
	})
}

// keepWatching watches, and again whenever that has failed, until ctx ends.
func (d *daemon) keepWatching(ctx context.Context, failed string, watch func() error) {
	for ctx.Err() == nil {
		err := watch()
		if ctx.Err() == nil {
			d.Log.Error(failed, "event", events.KernelSilent, "error", err)
			pause(ctx, time.Second)
		}
	}
}

// reconcile writes those of our routes again that the kernel has dropped.
func (d *daemon) reconcile() {
	if err := d.engine.Reconcile(d.kernel.Own); err != nil {
		d.Log.Error("cannot read our routes in the kernel", "event", events.KernelSilent, "error", err)
	}
}

func pause(ctx context.Context, t time.Duration) {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// awaitKernel waits until the engine knows how things stand in the kernel.
func awaitKernel(told <-chan struct{}) error {
	timer := time.NewTimer(kernelPatience)
	defer timer.Stop()
	select {
	case <-told:
		return nil
	case <-timer.C:
		return errors.New("the kernel does not tell its routes: see the log")
	}
}

// earlierRoutes are the kernel routes of an earlier run, and their nexthop objects.
func (d *daemon) earlierRoutes() (routes []fib.Route, objects []fib.Object, err error) {
	if d.kernel == nil {
		return nil, nil, nil
	}
	if err := d.kernel.Own(func(r fib.Route) { routes = append(routes, r) }); err != nil {
		return nil, nil, err
	}
	if d.engine.UsesObjects() {
		if objects, err = d.kernel.Objects(); err != nil {
			return nil, nil, err
		}
	}
	if len(routes) > 0 {
		d.Log.Info("kernel routes of an earlier run are there", "event", events.KernelAdopted, "routes", len(routes))
	}
	return routes, objects, nil
}
