package daemon

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/api"
	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/events"
	"holdfast/internal/fib"
	"holdfast/internal/prefix"
	"holdfast/internal/state"
)

const (
	// noteEvery is how often it is noted that the router runs, if nothing changes.
	noteEvery = 10 * time.Second
	// comeBack is how long neighbors that were up are waited for after a restart.
	// Those that keep our routes connect at once, or within a few seconds.
	comeBack = 30 * time.Second
	// together is for how long changes of BFD are collected: many come at once.
	together = 100 * time.Millisecond
)

// run is what is noted of a router while it runs, for the one that comes after
// it: whether that is a restart, and what was kept over it.
type run struct {
	Version string `json:"version"`
	// Boot and Network tell the machine's boots and network namespaces apart:
	// kernel routes do not outlive either.
	Boot    string `json:"boot"`
	Network string `json:"network"`
	// Alive is when it was last seen alive, in seconds since the boot.
	Alive float64 `json:"alive"`
	// Ended says how it ended; "" that nobody knows.
	Ended string `json:"ended,omitempty"`
	// Up are the neighbors that are up, Kernel the families that have routes in
	// the kernel.
	Up     []string `json:"up"`
	Kernel []string `json:"kernel,omitempty"`
}

// How a run has ended.
const (
	endedToRestart = "restart"
	endedForGood   = "for good"
)

// restarts is what a router knows of the run before it, and tells the one after.
type restarts struct {
	note    *state.Note[run]
	bfd     *state.Note[bfdNote]
	here    run // Version, Boot, Network
	earlier run
	found   bool

	// going: neighbors are told that we have restarted (the R bit of RFC 4724).
	// forwarding says by which families packets went on meanwhile (the F bit).
	// Both are set by who holds daemon.applying.
	going      atomic.Bool
	forwarding [prefix.Families]bool

	bfdEarlier []bfd.Session // of the run before, which BFD has gone on with

	mu         sync.Mutex // for what follows
	written    run
	at         time.Time // when
	ended      bool      // nothing is noted any more
	bfdWritten *bfdNote
	bfdEnded   bool
	failing    bool // it could not be written
}

// recall reads what the run before this one has noted. It comes before the
// process gives up the right to read what tells boots apart.
func (d *daemon) recall() (err error) {
	d.restarts.here = run{Version: api.Version().Version, Boot: bootID(), Network: networkID()}
	d.restarts.note, d.restarts.bfd = state.NoteOf[run](d.state, "run"), state.NoteOf[bfdNote](d.state, "bfd")
	d.restarts.earlier, d.restarts.found, err = d.restarts.note.Read()
	return err
}

// bootID and networkID are "" where they cannot be known: then no run is the
// continuation of another.
func bootID() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func networkID() string {
	s, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		return ""
	}
	return s
}

// uptime is the time since the boot, which nobody sets.
func uptime() float64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) != nil {
		return 0
	}
	return float64(t.Nano()) / 1e9
}

// goesOn reports whether the run before was on the same boot, in the same network,
// and did not end for good.
func (r *restarts) goesOn() bool {
	last := &r.earlier
	return r.found && r.here.Boot != "" && last.Boot == r.here.Boot && last.Network == r.here.Network && last.Ended != endedForGood
}

// revive finds out whether this is a restart: whether neighbors may still have
// our routes, by which the kernel still forwards. It returns for how long
// nothing is announced then, nil if it is a start like the first one.
func (d *daemon) revive(cfg *config.Config, kernel []fib.Route) *engine.Deferral {
	r := &d.restarts
	last := &r.earlier
	if !r.goesOn() {
		return nil
	}
	gone := time.Duration((uptime() - last.Alive) * float64(time.Second))
	patience := time.Duration(0) // of the least patient one that has not given us up
	for _, t := range transports(cfg) {
		if t.GracefulRestart == config.RestartBoth && t.RestartTime > gone && (patience == 0 || t.RestartTime < patience) {
			patience = t.RestartTime
		}
	}
	if gone < 0 || patience == 0 {
		return nil
	}
	has := map[prefix.Family]bool{}
	for i := range kernel {
		has[kernel[i].Prefix.Family] = true
	}
	r.going.Store(true)
	for f := range prefix.Family(prefix.Families) {
		r.forwarding[f] = d.kernel == nil || has[f] || !slices.Contains(last.Kernel, f.String())
	}
	// Our End-of-RIB comes before they lose patience.
	end := max(min(patience*3/4-gone, staleFor), time.Second)
	await := slices.DeleteFunc(slices.Clone(last.Up), func(name string) bool {
		n := configured(cfg, name)
		return n == nil && !mayCome(cfg, name) || n != nil && n.Shutdown
	})
	d.Log.Info("the router has restarted: nothing is announced until neighbors have sent their routes", "event", events.RestartBegun,
		"ended", cmp.Or(last.Ended, "without a word"), "version", last.Version, "gone", gone.Round(time.Millisecond), "neighbors", len(await), "at_most", end.Round(time.Second))
	seconds := func(d time.Duration) uint32 { return uint32((d + time.Second - 1) / time.Second) }
	return &engine.Deferral{Await: await, Come: seconds(min(end, comeBack)), End: seconds(end)}
}

// transports are those of all neighbors that there are or may be.
func transports(cfg *config.Config) (all []*config.Transport) {
	for _, n := range cfg.Neighbors {
		all = append(all, &n.Transport)
	}
	for _, g := range cfg.Ranges {
		all = append(all, &g.Example.Transport)
	}
	return all
}

// keepNote notes that the router runs, and ends its restart, until ctx is done.
func (d *daemon) keepNote(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	d.takeNote("")
	d.noteBFD(false)
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.bfd.Moved():
			if soon == nil {
				soon = time.After(together)
			}
		case <-soon:
			soon = nil
			d.noteBFD(false)
		case <-tick.C:
			d.takeNote("")
		}
	}
}

// takeNote notes what is to be known of this run. An end is noted once, and
// nothing after it.
func (d *daemon) takeNote(ended string) {
	r, deferring := &d.restarts, false
	now := r.here
	now.Alive, now.Ended = uptime(), ended
	d.engine.Do(func(c *engine.Core) {
		deferring = c.Deferring()
		for f, routes := range c.KernelCount() {
			if routes > 0 {
				now.Kernel = append(now.Kernel, prefix.Family(f).String())
			}
		}
	})
	cfg, _, _ := d.current()
	for _, n := range cfg.Neighbors {
		if st, _ := d.sessions.Status(d.id(n)); st.Established != nil {
			now.Up = append(now.Up, n.Name)
		}
	}
	if deferring { // whoever comes after us now begins where we did
		now.Alive = r.earlier.Alive
		now.Up = append(now.Up, r.earlier.Up...)
	} else if ended == "" && r.going.Load() {
		d.endRestart()
	}
	slices.Sort(now.Up)
	now.Up = slices.Compact(now.Up)
	r.mu.Lock()
	defer r.mu.Unlock()
	was := &r.written
	if r.ended || ended == "" && time.Since(r.at) < noteEvery && slices.Equal(was.Up, now.Up) && slices.Equal(was.Kernel, now.Kernel) {
		return
	}
	r.failed(r.note.Write(now), d.Log)
	r.written, r.at, r.ended = now, time.Now(), ended != ""
}

// failed says once that nothing can be noted.
func (r *restarts) failed(err error, log *slog.Logger) {
	if err != nil && !r.failing {
		log.Warn("it cannot be noted that the router runs: a restart will be one like the first start", "event", events.StateUnwritable, "error", err)
	}
	r.failing = err != nil
}

// endRestart has new sessions be told of no restart any more.
func (d *daemon) endRestart() {
	d.applying.Lock()
	defer d.applying.Unlock()
	d.restarts.going.Store(false)
	cfg, _, _ := d.current()
	for _, n := range cfg.Neighbors {
		_ = d.sessions.Set(d.sessionOf(n)) // its other settings are those that it has
	}
	d.watchByBFD() // without those that have not come
}

// end ends all sessions, once, however many want it.
func (d *daemon) end(how func()) {
	d.ending.Do(func() {
		d.engine.Do((*engine.Core).Freeze)
		how()
	})
}

// endAsConfigured leaves neighbors and the kernel with what they have for the
// router that comes after this one, unless the configuration wants nothing left.
func (d *daemon) endAsConfigured() {
	switch cfg := d.configuredOnly(); {
	case cfg == nil: // it has not started, and the next one may
		d.bfd.Pause()
		d.sessions.Close("")
	case d.kernel == nil || cfg.Router.OnStop == config.KeepRoutes:
		d.bfd.Pause() // neighbors answer while sessions end
		d.takeNote(endedToRestart)
		d.sessions.Restart("")
	default:
		d.endForGood("")
	}
}

// endForGood leaves nothing: packets have been led elsewhere by the end of the
// sessions when kernel routes go.
func (d *daemon) endForGood(reason string) {
	d.takeNote(endedForGood)
	d.sessions.Close(reason)
	if d.kernel == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), kernelPatience)
	defer cancel()
	d.engine.FlushKernel(ctx)
}
