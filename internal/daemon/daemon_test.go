package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is where a router runs.
type place struct {
	t    *testing.T
	o    Options
	logs chan string
}

func newPlace(t *testing.T) *place {
	p := &place{t: t, logs: make(chan string, 1000)}
	dir := t.TempDir()
	p.o = Options{ConfigPath: filepath.Join(dir, "holdfast.hcl"), StateDir: filepath.Join(dir, "state"),
		SocketPath: filepath.Join(dir, "s"), Log: slog.New(slog.NewTextHandler(p, nil))}
	return p
}

func (p *place) Write(b []byte) (int, error) {
	select {
	case p.logs <- string(b):
	default:
	}
	return len(b), nil
}

// configure writes the configuration.
func (p *place) configure(listen netip.AddrPort, id, more string) {
	p.t.Helper()
	text := fmt.Sprintf("router {\n  asn    = 64500\n  id     = %q\n  listen = [%q]\n  kernel = false\n}\n%s", id, listen, more)
	if err := os.WriteFile(p.o.ConfigPath, []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// await waits for a line of the log.
func (p *place) await(text string) string {
	p.t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case l := <-p.logs:
			if strings.Contains(l, text) {
				return l
			}
		case <-timeout:
			p.t.Fatalf("no %q in the log", text)
		}
	}
}

// edit changes the configuration.
func (p *place) edit(old, new string) {
	p.t.Helper()
	text, err := os.ReadFile(p.o.ConfigPath)
	if err == nil {
		err = os.WriteFile(p.o.ConfigPath, []byte(strings.Replace(string(text), old, new, 1)), 0o600)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// run runs the router until the test ends, or stop is called.
func (p *place) run() (stop func()) {
	p.t.Helper()
	stop = p.start()
	p.await("msg=running")
	return stop
}

// start is run without waiting.
func (p *place) start() (stop func()) {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, p.o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Error(err)
		}
	})
	p.t.Cleanup(stop)
	return stop
}

// call makes a call as commands do.
func call[Q, A any](p *place, f func(*api.Client, context.Context, *connect.Request[Q]) (*connect.Response[A], error), q *Q) (*A, error) {
	c := api.Dial(p.o.SocketPath)
	defer c.Close()
	m, err := f(c, p.t.Context(), connect.NewRequest(q))
	if err != nil {
		return nil, c.Error(err)
	}
	return m.Msg, nil
}

// reload does what the command does.
func (p *place) reload() (*pb.ReloadResponse, error) {
	return call(p, (*api.Client).Reload, &pb.ReloadRequest{})
}

// taken is a port that somebody listens on.
func taken(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return netip.MustParseAddrPort(l.Addr().String())
}

// free is a port that nobody listens on.
func free(t *testing.T, at string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp4", at+":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// TestStartNeedsItsPorts: a router that cannot listen does not start, says why,
// and leaves no socket behind.
func TestStartNeedsItsPorts(t *testing.T) {
	p := newPlace(t)
	p.configure(taken(t), "192.0.2.1", "")
	err := Run(t.Context(), p.o)
	if err == nil || !strings.Contains(err.Error(), "cannot listen on 127.0.0.1:") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("it ends with %v", err)
	}
	if _, err := os.Stat(p.o.SocketPath); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket: %v", err)
	}
}

func TestStartWithoutConfiguration(t *testing.T) {
	p := newPlace(t)
	err := Run(t.Context(), p.o)
	if want := "cannot read the configuration " + p.o.ConfigPath + ": no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("it ends with %v, want %s", err, want)
	}
}

// TestReloadSaysWhatIsMissing: a router that runs goes on, but whoever has it
// reloaded is told what does not work, each time.
func TestReloadSaysWhatIsMissing(t *testing.T) {
	p := newPlace(t)
	good := free(t, "127.0.73.1")
	p.configure(good, "192.0.2.1", "")
	p.run()
	busy := taken(t)
	p.configure(busy, "192.0.2.1", "")
	for range 2 {
		_, err := p.reload()
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("revision 2 is running, but incomplete: cannot listen on %v: address already in use", busy)) {
			t.Errorf("reload says %v", err)
		}
		p.await("the configuration is running, but incomplete")
	}
	p.configure(good, "192.0.2.1", "")
	if m, err := p.reload(); err != nil || m.Revision != 3 {
		t.Errorf("reload says %v, %v", m, err)
	}
	p.configure(good, "192.0.2.1", "neighbour \"x\" {}\n")
	if _, err := p.reload(); err == nil || !strings.Contains(err.Error(), "neighbour") {
		t.Errorf("reload says %v", err)
	}
	if l := p.await("neighbour"); !strings.Contains(l, "level=ERROR") || !strings.Contains(l, "holdfast.hcl:7:1") {
		t.Errorf("the log says %s", l)
	}
	p.await("the old configuration goes on")
}

// TestReloadsTakeTurns: a reload that began before another one has ended reads
// what is there by then, and never applies something older.
func TestReloadsTakeTurns(t *testing.T) {
	p := newPlace(t)
	at := free(t, "127.0.73.1")
	d := &daemon{Options: p.o}
	d.applying.Lock()
	p.configure(at, "192.0.2.1", "no block\n") // what must not be read
	read := make(chan error, 1)
	go func() {
		_, err := d.reload()
		read <- err
	}()
	p.configure(at, "192.0.2.1", "no block at all\n")
	d.applying.Unlock()
	if err := <-read; err == nil || !strings.Contains(err.Error(), "no block at all") {
		t.Errorf("it read %v", err)
	}
}

// TestHangupAtTheStart: SIGHUP does not end a router that has only begun to
// start, and counts once it runs.
func TestHangupAtTheStart(t *testing.T) {
	p := newPlace(t)
	p.configure(free(t, "127.0.73.1"), "192.0.2.1", "policy \"unused\" {\n  rule \"all\" { then = \"accept\" }\n}\n")
	hung := &hangup{Handler: p.o.Log.Handler()}
	p.o.Log = slog.New(hung)
	p.run()
	p.await("msg=configured")
	if !hung.done {
		t.Error("there was no warning to be sent SIGHUP at")
	}
}

// hangup sends SIGHUP to this process at the first warning.
type hangup struct {
	slog.Handler
	done bool
}

func (h *hangup) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelWarn && !h.done {
		h.done = true
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			return err
		}
	}
	return h.Handler.Handle(ctx, r)
}

// TestStopWhileBusy stops two routers while they are reloaded and asked from all
// sides. Nothing hangs, nothing is left.
func TestStopWhileBusy(t *testing.T) {
	for round := range 3 {
		var at [2]netip.AddrPort
		for i := range at {
			at[i] = free(t, fmt.Sprintf("127.0.73.%d", i+1)) // where no other test dials from
		}
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var places [2]*place
		configure := func(i, hold int) {
			text := ""
			if hold > 0 {
				text = fmt.Sprintf("neighbor \"n\" {\n  address = %q\n  local_address = %q\n  port = %d\n  asn = 64500\n  hold_time = \"%ds\"\n}\n",
					at[1-i].Addr(), at[i].Addr(), at[1-i].Port(), hold)
			}
			places[i].configure(at[i], fmt.Sprintf("192.0.2.%d", i+1), text)
		}
		for i := range places {
			places[i] = newPlace(t)
			configure(i, 90)
			all.Go(func() {
				if err := Run(ctx, places[i].o); err != nil {
					t.Error(err)
				}
			})
		}
		for i, p := range places {
			p.await("neighbor up")
			for j := range 4 {
				all.Go(func() {
					c := api.Dial(p.o.SocketPath)
					defer c.Close()
					for k := 0; ctx.Err() == nil; k++ {
						switch j {
						case 0:
							configure(i, []int{30 + k%60, 0, 90}[k%3])
							_, _ = c.Reload(ctx, connect.NewRequest(&pb.ReloadRequest{}))
						case 1:
							_, _ = c.Reload(ctx, connect.NewRequest(&pb.ReloadRequest{}))
						case 2:
							_, _ = c.ListNeighbors(ctx, connect.NewRequest(&pb.ListNeighborsRequest{}))
						default:
							_, _ = c.ClearNeighbors(ctx, connect.NewRequest(&pb.ClearNeighborsRequest{All: true, Mode: pb.ClearMode_CLEAR_MODE_HARD}))
						}
					}
				})
			}
		}
		for range 3 + 10*round {
			places[round%2].await("configured")
		}
		cancel()
		all.Wait()
	}
}
