package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

const drained = "+192.0.2.0/24 ffff0000"

// TestShutdown: neighbors are asked to prefer other ways and have time to do so,
// then sessions end for good, and the next start is like the first one.
func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := newLAN(t, dir)
		l.configure(restartText)
		a, b := l.callWith("10.0.0.5", 65001, helps), l.callWith("10.0.0.6", 65002, nil)
		a.want("the start", cold)
		b.want("the start", cold)
		var phases []api.ShutdownPhase
		done := make(chan error, 1)
		began := time.Now()
		go func() {
			done <- l.shutdown(t.Context(), 20*time.Second, "moving", func(p api.ShutdownProgress) error {
				phases = append(phases, p.Phase)
				return nil
			})
		}()
		a.want("a drain", drained)
		b.want("a drain", drained)
		pass(10 * time.Second)
		a.want("half of the time", "")
		if err := l.shutdown(t.Context(), 0, "", nil); err == nil || !strings.Contains(err.Error(), "under way") {
			t.Errorf("another shutdown: %v", err)
		}
		pass(11 * time.Second)
		a.want("the end, with RFC 8538", `Cease: hard reset (6/9), Cease: administrative shutdown (6/2), "moving"`)
		b.want("the end", `Cease: administrative shutdown (6/2), "moving"`)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 25*time.Second {
			t.Errorf("it took %v", took)
		}
		if n := len(phases); n < 5 || n > 8 || phases[n-2] != api.Leaving || phases[n-1] != api.Gone {
			t.Errorf("it told %v", phases)
		}
		<-l.left
		stop(func() { l.end(l.endAsConfigured) }) // as at SIGTERM, which changes nothing now
		l, _ = newLAN(t, dir)
		l.configure(restartText)
		l.callWith("10.0.0.5", 65001, helps).want("the next start", cold)
	})
}

// TestShutdownIsCalledOff: by the client, by one who is gone, and by SIGTERM,
// which makes a restart of it.
func TestShutdownIsCalledOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, stop := newLAN(t, dir)
		l.configure(restartText)
		a := l.callWith("10.0.0.5", 65001, helps)
		a.want("the start", cold)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := l.shutdown(ctx, time.Minute, "", func(api.ShutdownProgress) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("called off: %v", err)
		}
		a.want("called off", drained+", +192.0.2.0/24")
		gone := errors.New("gone")
		if err := l.shutdown(t.Context(), time.Minute, "", func(api.ShutdownProgress) error { return gone }); !errors.Is(err, gone) {
			t.Errorf("nobody listens: %v", err)
		}
		synctest.Wait()
		a.heard()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		go l.shutdown(ctx, time.Minute, "", func(api.ShutdownProgress) error { return nil })
		a.want("again", drained)
		stop(func() { l.end(l.endAsConfigured); cancel() })
		a.want("SIGTERM", "Cease: administrative reset (6/4)")
		l, _ = newLAN(t, dir)
		l.configure(restartText)
		l.callWith("10.0.0.5", 65001, helps).want("the next start", warm)
	})
}

// TestShutdownByCommand: the process ends by itself.
func TestShutdownByCommand(t *testing.T) {
	p := newPlace(t)
	p.configure(free(t, "127.0.0.1"), "192.0.2.1", "")
	stop := p.run()
	c := api.Dial(p.o.SocketPath)
	defer c.Close()
	stream, err := c.Shutdown(t.Context(), connect.NewRequest(&pb.ShutdownRequest{Reason: "for good"}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var phases []pb.ShutdownPhase
	for stream.Receive() {
		phases = append(phases, stream.Msg().Phase)
	}
	if stream.Err() != nil || len(phases) != 2 || phases[1] != pb.ShutdownPhase_SHUTDOWN_PHASE_GONE {
		t.Errorf("%v, %v", phases, stream.Err())
	}
	p.await("event=router-leaving")
	stop() // which waits for the end, and has no error
}
