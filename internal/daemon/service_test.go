package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/systemd"
)

// managed makes p a service of a manager, which the test plays.
func (p *place) managed(watchdog time.Duration) *net.UnixConn {
	p.t.Helper()
	name := filepath.Join(filepath.Dir(p.o.ConfigPath), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	env := map[string]string{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": fmt.Sprint(watchdog.Microseconds())}
	if p.o.Systemd, err = systemd.New(func(k string) string { return env[k] }, p.o.Log); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(p.o.Systemd.Close)
	return c
}

// told waits for messages to the manager, in this order and with any others
// between them.
func (p *place) told(c *net.UnixConn, want ...string) {
	p.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		p.t.Fatal(err)
	}
	var b [4096]byte
	for len(want) > 0 {
		n, err := c.Read(b[:])
		if err != nil {
			p.t.Fatalf("the manager is not told %q: %v", want[0], err)
		}
		if strings.HasPrefix(string(b[:n]), want[0]) {
			want = want[1:]
		}
	}
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
	p.told(c, "READY=1", "WATCHDOG=1", "STATUS=0 of 1 neighbors up", "WATCHDOG=1")

	p.configure(at, "192.0.2.1", "")
	if _, err := p.reload(); err != nil {
		t.Error(err)
	}
	p.told(c, "RELOADING=1\nMONOTONIC_USEC=", "READY=1", "STATUS=0 of 0 neighbors up", "WATCHDOG=1")
	p.configure(at, "nonsense", "")
	if _, err := p.reload(); err == nil {
		t.Error("a configuration with an error was applied")
	}
	p.told(c, "RELOADING=1\nMONOTONIC_USEC=", "READY=1")
	cancel()
	p.told(c, "STOPPING=1")
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
