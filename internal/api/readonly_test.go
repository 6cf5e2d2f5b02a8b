package api_test

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/testkit/fakerouter"
)

// looksOnly runs the api with r on a read-only socket.
func looksOnly(t *testing.T, r api.Router) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "api")
	l, err := api.Listen(socket, api.GroupOnly)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- api.ServeReadOnly(ctx, l, r, slog.New(slog.DiscardHandler), "/run/x.sock, which root and group x may open")
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket
}

// TestReadOnly calls every procedure that the service has through a read-only
// socket. Each is classified; those that are not for it do not reach the router.
func TestReadOnly(t *testing.T) {
	r := &fakerouter.Router{}
	socket := looksOnly(t, r)
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	defer transport.CloseIdleConnections()
	classes := maps.Clone(api.ReadOnly)
	service := pb.File_holdfast_proto.Services().ByName("Holdfast")
	for i := range service.Methods().Len() {
		m := service.Methods().Get(i)
		name := "/" + string(service.FullName()) + "/" + string(m.Name())
		looks, ok := classes[name]
		if !ok {
			t.Errorf("%s is not classified: say in internal/api/readonly.go whether those who may only look may call it", name)
		}
		delete(classes, name)
		kind := "application/json"
		body := "{}"
		if m.IsStreamingServer() {
			kind, body = "application/connect+json", "\x00\x00\x00\x00\x02{}"
		}
		resp, err := (&http.Client{Transport: transport}).Post("http://holdfast"+name, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		refused := strings.Contains(string(answer), `"permission_denied"`) && strings.Contains(string(answer), "use /run/x.sock, which root and group x may open")
		if refused == looks {
			t.Errorf("%s: looks only: %v, but the answer is %s", name, looks, answer)
		}
	}
	if len(classes) > 0 {
		t.Errorf("there is no %q", slices.Collect(maps.Keys(classes)))
	}
	if calls := r.Calls(); len(calls) > 0 {
		t.Errorf("the router was told %q", calls)
	}
}

func TestReadOnlyError(t *testing.T) {
	c := api.Dial(looksOnly(t, &fakerouter.Router{}))
	defer c.Close()
	_, err := c.Reload(t.Context(), connect.NewRequest(&pb.ReloadRequest{}))
	if want := "this needs more than the read-only socket: use /run/x.sock, which root and group x may open"; err == nil || c.Error(err).Error() != want {
		t.Errorf("reload says %v", c.Error(err))
	}
	if _, err := c.GetSummary(t.Context(), connect.NewRequest(&pb.GetSummaryRequest{})); err != nil {
		t.Error(err)
	}
}

func TestAccess(t *testing.T) {
	for _, a := range []api.Access{api.GroupOnly, {Mode: 0o666, Group: -1}, {Mode: 0o600, Group: os.Getgid()}} {
		path := filepath.Join(t.TempDir(), "s")
		l, err := api.Listen(path, a)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != a.Mode {
			t.Errorf("%v: %v, %v", a, info.Mode(), err)
		}
	}
	for path, want := range map[string]string{"/run/holdfast/holdfast.sock": "/run/holdfast/holdfast-readonly.sock", "/tmp/a.b/s": "/tmp/a.b/s-readonly"} {
		if got := api.ReadOnlySocket(path); got != want {
			t.Errorf("beside %s is %s, want %s", path, got, want)
		}
	}
}

// TestReadOnlyCrowd: connections that do nothing do not use up descriptors
// without end, and give their places back.
func TestReadOnlyCrowd(t *testing.T) {
	socket := looksOnly(t, &fakerouter.Router{})
	var crowd []net.Conn
	defer func() {
		for _, c := range crowd {
			c.Close()
		}
	}()
	for range api.MaxReaders {
		c, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		crowd = append(crowd, c)
	}
	c := api.Dial(socket)
	defer c.Close()
	ask := func(patience time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, err := c.GetSummary(ctx, connect.NewRequest(&pb.GetSummaryRequest{}))
		return err
	}
	if err := ask(100 * time.Millisecond); connect.CodeOf(err) != connect.CodeDeadlineExceeded {
		t.Errorf("one too many is told %v", err)
	}
	crowd[0].Close()
	crowd[1].Close() // the one that gave up may stand before us in the queue
	if err := ask(10 * time.Second); err != nil {
		t.Error(err)
	}
}
