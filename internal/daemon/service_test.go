package daemon

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/systemd"
	"holdfast/testkit/manager"
)

// managed makes p a service of a manager, which the test plays.
func (p *place) managed(watchdog time.Duration) *manager.Manager {
	p.t.Helper()
	m := manager.New(p.t)
	var err error
	if p.o.Systemd, err = systemd.New(manager.Getenv(m.Environment(watchdog)), p.o.Log); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.o.Systemd.Close)
	return m
}

// TestService: the manager hears when the router runs, how it is, that it lives,
// each reload, whoever asks for it and however it ends, and its end.
func TestService(t *testing.T) {
	p := newPlace(t)
	at := free(t, "127.0.73.1")
	p.configure(at, "192.0.2.1", "neighbor \"n\" {\n  address = \"127.0.73.2\"\n  passive = true\n  asn     = 64500\n}\n")
	c := p.managed(100 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, p.o) }()
	c.Await("READY=1", "WATCHDOG=1", "STATUS=0 of 1 neighbors up", "WATCHDOG=1")

	p.configure(at, "192.0.2.1", "")
	if _, err := p.reload(); err != nil {
		t.Error(err)
	}
	c.Await("RELOADING=1\nMONOTONIC_USEC=", "READY=1", "STATUS=0 of 0 neighbors up", "WATCHDOG=1")
	p.configure(at, "nonsense", "")
	if _, err := p.reload(); err == nil {
		t.Error("a configuration with an error was applied")
	}
	c.Await("RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	cancel()
	c.Await("STOPPING=1")
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestNoSignOfLife: while the engine hangs, there is none.
func TestNoSignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		d := &daemon{Options: Options{Log: log, SocketPath: "/nonexistent"}, engine: engine.New(log), running: &config.Config{}}
		ctx, cancel := context.WithCancel(t.Context())
		go d.engine.Run(ctx)
		stuck := make(chan struct{})
		go d.engine.Do(func(*engine.Core) { <-stuck })
		synctest.Wait()
		var returned atomic.Bool
		go func() {
			_, _ = d.signOfLife(ctx)
			returned.Store(true)
		}()
		time.Sleep(time.Hour)
		if returned.Load() {
			t.Error("a sign of life, from an engine that hangs")
		}
		cancel()
		close(stuck)
		synctest.Wait()
		if !returned.Load() {
			t.Error("it does not end with the engine")
		}
	})
}
