package cli

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"holdfast/internal/api"
	"holdfast/testkit/fakerouter"
)

// quietRouter is one in which nothing happens.
type quietRouter struct {
	*fakerouter.Router
	ended chan struct{}
}

func (r *quietRouter) Monitor(ctx context.Context, _ api.MonitorQuery, fn func([]api.Event) error) error {
	defer close(r.ended)
	if err := fn([]api.Event{{Kind: api.EventStarted}}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestMonitorEnds: with Ctrl-C, and when nobody reads it any more, as at the end
// of a connection with ssh.
func TestMonitorEnds(t *testing.T) {
	for name, end := range map[string]func(reader *os.File, interrupt func()){
		"interrupted": func(_ *os.File, interrupt func()) { interrupt() },
		"unread":      func(reader *os.File, _ func()) { reader.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			router := &quietRouter{&fakerouter.Router{}, make(chan struct{})}
			socket := filepath.Join(t.TempDir(), "s")
			stop, err := fakerouter.Serve(socket, router)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			defer writer.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			code := make(chan int, 1)
			go func() { code <- Main(ctx, []string{"--socket", socket, "monitor"}, Streams{nil, writer, os.Stderr}) }()
			if n, err := reader.Read(make([]byte, 1000)); n == 0 || err != nil {
				t.Fatal("it shows nothing:", err)
			}
			end(reader, cancel)
			select {
			case got := <-code:
				if got != exitDone {
					t.Errorf("exit code %d", got)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("it goes on")
			}
			<-router.ended
		})
	}
}
