// Package daemon puts a router together and runs it: configuration, engine,
// sessions, and the socket for operators.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/kernel"
	"holdfast/internal/metrics"
	"holdfast/internal/packet"
	"holdfast/internal/rtr"
	"holdfast/internal/session"
	"holdfast/internal/state"
	"holdfast/internal/systemd"
)

// Options are what a router is started with.
type Options struct {
	ConfigPath string
	StateDir   string
	SocketPath string
	// Who may use the sockets: OperatorGroup that of SocketPath, ReadOnlyGroup, or
	// Everybody, the one beside it; "" for the group of the process.
	OperatorGroup, ReadOnlyGroup string
	Log                          *slog.Logger

	// What follows is for a router that has the process for itself.

	// User is whom the process becomes if root has started it; "" for nobody else.
	User string
	// Confine gives up capabilities and files that a router does not need.
	Confine bool
	Systemd *systemd.Notifier
}

// GCPercent is what a process that is a router should give to
// debug.SetGCPercent: the collector's time for memory. The tables have no
// pointers, so that a cycle costs next to nothing, and what it would let lie
// about is large.
const GCPercent = 20

// daemon is a running router.
type daemon struct {
	Options
	engine   *engine.Engine
	sessions *session.Manager
	links    *links
	metrics  *metrics.Server
	vrps     *rtr.Sources
	started  time.Time

	kernel *kernel.Kernel // nil without kernel routes
	bfd    *bfd.Driver

	state  *state.Dir
	downs  *state.Entries[down] // by the name of the neighbor
	sooner chan struct{}        // has a token when there may be an earlier deadline

	announcements announcements
	restarts      restarts

	leaving sync.Mutex    // held by who shuts the router down
	left    chan struct{} // closed when that is done
	ending  sync.Once

	// applying is held while a configuration is being applied, or what an
	// operator has said about a neighbor, and while one joins or leaves.
	applying sync.Mutex

	mu           sync.Mutex // for what follows
	cfg          *config.Config
	running      *config.Config // cfg with the neighbors that have come from ranges
	ids          *numbers
	revision     uint64
	configured   time.Time
	reloadFailed bool // the last one
}

// Run runs a router until ctx is done. Then all sessions end, so that neighbors
// keep its routes for a while if they can.
func Run(ctx context.Context, o Options) error {
	// From the first moment to the last, SIGHUP must not end the process.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)

	if err := o.become(); err != nil {
		return err
	}
	cfg, diags := config.Load(o.ConfigPath)
	if diags.HasErrors() {
		return unusable(diags)
	}
	logDiagnostics(o.Log, diags)
	// The sockets come first: they are what tells two routers apart.
	doors, err := o.listen()
	if err != nil {
		return err
	}
	defer doors.Close()

	d := &daemon{Options: o, engine: engine.New(o.Log), started: time.Now(), ids: &numbers{}, sooner: make(chan struct{}, 1), left: make(chan struct{}), links: newLinks()}
	if err := d.remember(ctx); err != nil {
		return err
	}
	defer d.state.Close()
	if err := o.confine(cfg); err != nil {
		return err
	}
	if cfg.Router.Kernel {
		if err := d.useKernel(); err != nil {
			return err
		}
		defer d.kernel.Close()
	}
	d.sessions = session.New(d.engine, o.Log, session.WithWelcome(d.welcome))
	d.metrics = metrics.NewServer(d.figures, o.Log)
	if d.bfd, err = bfd.NewDriver(o.Log, d.bfdChanged); err != nil {
		return fmt.Errorf("cannot prepare for BFD: %w", err)
	}
	d.vrps = rtr.New(o.Log, rtr.Dial, d.validate)
	engineCtx, stopEngine := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { d.engine.Run(engineCtx) })
	defer func() {
		d.metrics.Close()
		d.vrps.Close()
		d.links.close()
		d.end(d.endAsConfigured)
		d.bfd.Close() // with no session left that it could end
		d.noteBFD(true)
		stopEngine()
		parts.Wait()
	}()
	if err := d.resumeBFD(); err != nil {
		return err
	}
	parts.Go(func() { d.fallOver(engineCtx) })
	if d.kernel != nil {
		told := make(chan struct{})
		parts.Go(func() { d.watchKernel(engineCtx, told) })
		if err := awaitKernel(told); err != nil {
			return err
		}
	}
	d.applying.Lock()
	_, err = d.apply(cfg)
	d.applying.Unlock()
	if err != nil {
		return err
	}
	o.Log.Info("running", "event", events.RouterRunning, "asn", cfg.Router.ASN, "id", cfg.Router.ID, "neighbors", len(cfg.Neighbors), "config", o.ConfigPath, "socket", o.SocketPath)

	serving, stopServing := context.WithCancel(ctx)
	defer stopServing()
	failed := make(chan error, 1)
	parts.Go(func() { d.keepDeadlines(serving) })
	parts.Go(func() { d.keepNote(serving) })
	parts.Go(func() { failed <- doors.serve(serving, newRouter(d), o.Log) })
	parts.Go(func() { d.sweep(serving) })
	o.Systemd.Ready()
	if o.Systemd != nil {
		parts.Go(func() { d.report(serving) })
	}
	for {
		select {
		case <-ctx.Done():
			o.Log.Info("stopping", "event", events.RouterStopping)
			o.Systemd.Stopping()
			return nil
		case err := <-failed:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("a socket for operators has failed: %w", err)
		case <-d.left:
			o.Systemd.Stopping()
			return nil
		case <-hangup:
			_, _ = d.reload() // which logs its errors
		}
	}
}

func logDiagnostics(log *slog.Logger, ds config.Diagnostics) {
	for _, d := range ds {
		level, id := slog.LevelError, events.ConfigError
		if d.Severity == config.Warning {
			level, id = slog.LevelWarn, events.ConfigWarning
		}
		log.Log(context.Background(), level, d.Message, "event", id, "at", d.Pos.String(), "fix", d.Fix)
	}
}

// incomplete is the error of a configuration that runs, but for what cannot be
// had.
type incomplete struct {
	revision uint64
	why      error
}

func (e *incomplete) Error() string {
	return fmt.Sprintf("revision %d is running, but incomplete: %v", e.revision, e.why)
}

// onOneLine joins errors, nil if there are none.
func onOneLine(errs ...error) error {
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
}

// reload reads the configuration again and applies it. Whoever asks for it, the
// log tells. One at a time: the last one to begin must not apply what is older
// than what another one has read.
func (d *daemon) reload() (result api.ReloadResult, err error) {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.Systemd.Reloading()
	defer d.Systemd.Ready()
	defer func() {
		d.mu.Lock()
		d.reloadFailed = err != nil
		d.mu.Unlock()
	}()
	cfg, diags := config.Load(d.ConfigPath)
	logDiagnostics(d.Log, diags)
	if diags.HasErrors() {
		d.Log.Error("cannot reload: the old configuration goes on", "event", events.ConfigRefused)
		return api.ReloadResult{}, unusable(diags)
	}
	result, err = d.apply(cfg)
	if some := (*incomplete)(nil); errors.As(err, &some) {
		d.Log.Error("the configuration is running, but incomplete", "event", events.ConfigIncomplete, "error", some.why)
	} else if err != nil {
		d.Log.Error("cannot reload: the old configuration goes on", "event", events.ConfigRefused, "error", err)
	}
	return result, err
}

// apply makes cfg the running configuration, or changes nothing and returns an
// error, unless that is an *incomplete. The first one is to be complete: of a
// router that starts, nobody would see a line in the log. Policies count at once
// and reset no session; what a session rests on counts from its next time up; a
// neighbor with another AS is a new one.
func (d *daemon) apply(cfg *config.Config) (api.ReloadResult, error) {
	d.mu.Lock()
	old, was, revision := d.cfg, d.running, d.revision+1
	d.mu.Unlock()
	running := d.withMembers(cfg)

	// A file that means the same is no new revision, but its lines may have
	// moved: rules are known by them.
	same := old != nil && old.Equal(cfg)
	if same {
		revision--
	}
	result := api.ReloadResult{Revision: revision}
	d.mu.Lock()
	compiled, err := engineConfig(running, d.ids, uint32(revision))
	d.mu.Unlock()
	if err != nil {
		return result, api.Invalid("%v", err)
	}
	if old != nil && !same {
		result.Changes = changes(old, cfg)
	}
	result.Changed = !same

	// Neighbors that go must be down before the engine forgets them.
	wanted := map[packet.ID]bool{}
	for _, n := range compiled.Neighbors {
		wanted[n.ID] = true
	}
	var going sync.WaitGroup    // of which some may not read their NOTIFICATION
	var left []*config.Neighbor // of ranges
	if was != nil {
		for _, n := range was.Neighbors {
			if id := d.id(n); !wanted[id] {
				going.Go(func() { d.sessions.Remove(id) })
				result.Reset = append(result.Reset, n.Name)
				if n.Range != "" {
					left = append(left, n)
				}
			}
		}
	}
	going.Wait()
	var earlier []fib.Route
	var objects []fib.Object
	var deferral *engine.Deferral
	if old == nil {
		if earlier, objects, err = d.earlierRoutes(); err != nil {
			return result, err
		}
		deferral = d.revive(cfg, earlier)
	}
	if !d.engine.Do(func(c *engine.Core) {
		c.Configure(compiled)
		c.Adopt(earlier, objects, uint32(staleFor/time.Second)) // before anything is written
		if deferral != nil {
			c.Defer(*deferral) // and before anything is sent
		}
		d.announcements.showAll(c)
	}) {
		return result, errors.New("the router is stopping")
	}
	if cfg.Router.Kernel && d.kernel == nil {
		d.Log.Warn("kernel = true counts from the next start on", "event", events.ConfigWarning)
	}
	var sessions []session.Neighbor
	for _, n := range running.Neighbors {
		sessions = append(sessions, d.sessionOf(n))
	}
	// Ports first: without them, no session begins only to end.
	listening := d.sessions.Listen(cfg.Router.Listen)
	if old == nil && listening != nil {
		return result, onOneLine(listening)
	}
	missing := onOneLine(listening, d.sessions.Set(sessions...), d.sessions.SetRanges(ranges(cfg)))
	if old == nil && missing != nil {
		return result, missing
	}
	for _, n := range compiled.Neighbors {
		if s, ok := d.sessions.Status(n.ID); ok && s.Pending {
			result.Pending = append(result.Pending, n.Name)
		}
	}
	d.mu.Lock()
	d.cfg, d.running = cfg, running
	d.watchLinks(cfg)
	for _, n := range left {
		d.ids.leave(n)
	}
	if !same {
		d.revision, d.configured = revision, time.Now()
	}
	d.mu.Unlock()
	d.vrps.Set(vrpSources(cfg))
	// Without metrics a router routes, and they are tried again.
	if err := d.metrics.Listen(cfg.Router.Metrics); old != nil {
		missing = onOneLine(missing, err)
	}
	d.forgetDowns(cfg)
	d.watchByBFD()
	d.Log.Info("configured", "event", events.ConfigApplied, "revision", revision, "reset", len(result.Reset), "pending", len(result.Pending))
	if missing != nil {
		return result, &incomplete{revision, missing}
	}
	return result, nil
}

// current is the running configuration, with the neighbors that have come from
// ranges.
func (d *daemon) current() (cfg *config.Config, revision uint64, since time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.running, d.revision, d.configured
}

// configuredOnly is it without those.
func (d *daemon) configuredOnly() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// id finds a neighbor's number.
func (d *daemon) id(n *config.Neighbor) packet.ID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ids.find(n)
}
