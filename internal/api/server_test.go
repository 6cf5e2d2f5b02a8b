package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/testkit/fakerouter"
)

// serve runs the api with r and returns a client, and stop, which waits for
// the server's end.
func serve(t *testing.T, r api.Router) (c *api.Client, stop func()) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "api")
	end, err := fakerouter.Serve(socket, r)
	if err != nil {
		t.Fatal(err)
	}
	c = api.Dial(socket)
	stop = func() {
		if err := end(); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	t.Cleanup(stop)
	return c, stop
}

// TestErrors: an error keeps its text and its kind on the way.
func TestErrors(t *testing.T) {
	r := &fakerouter.Router{}
	c, _ := serve(t, r)
	for want, err := range map[api.Kind]error{
		api.KindNotFound: api.NotFound("no x"), api.KindInvalid: api.Invalid("bad x"), api.KindRefused: api.Refused("x would go dark"),
		api.KindRolledBack: api.RolledBack("x was undone"), api.KindOther: errors.New("disk full"),
	} {
		r.Fail = err
		_, got := c.Reload(t.Context(), connect.NewRequest(&pb.ReloadRequest{}))
		got = c.Error(got)
		var e *api.Error
		if got == nil || got.Error() != err.Error() || errors.As(got, &e) != (want != api.KindOther) || e != nil && e.Kind != want {
			t.Errorf("%v arrived as %#v", err, got)
		}
	}
	r.Fail = api.Refused("no")
	s, err := c.ListRoutes(t.Context(), connect.NewRequest(&pb.ListRoutesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	n := 0
	for s.Receive() {
		n += len(s.Msg().Routes)
	}
	var e *api.Error
	if err := c.Error(s.Err()); !errors.As(err, &e) || e.Kind != api.KindRefused {
		t.Errorf("the stream ended with %v after %d routes", err, n)
	}
}

// TestBadRequests are refused before the router sees them.
func TestBadRequests(t *testing.T) {
	r := &fakerouter.Router{}
	c, _ := serve(t, r)
	ctx := t.Context()
	query := func(q *pb.RouteQuery) error {
		_, err := c.CountRoutes(ctx, connect.NewRequest(&pb.CountRoutesRequest{Query: q}))
		return err
	}
	test := func(q *pb.TestPolicyRequest) error {
		_, err := c.TestPolicy(ctx, connect.NewRequest(q))
		return err
	}
	clearing := func(q *pb.ClearNeighborsRequest) error {
		_, err := c.ClearNeighbors(ctx, connect.NewRequest(q))
		return err
	}
	_, lookup := c.Lookup(ctx, connect.NewRequest(&pb.LookupRequest{Address: "198.51.100.0/24"}))
	_, explain := c.Explain(ctx, connect.NewRequest(&pb.ExplainRequest{Prefix: "198.51.100.1/24"}))
	announce := func(a *pb.Announcement) error {
		q := &pb.AnnounceRequest{}
		if a != nil {
			q.Announcements = append(q.Announcements, &pb.Announcement{Prefix: "10.0.0.0/8"}, a)
		}
		_, err := c.Announce(ctx, connect.NewRequest(q))
		return err
	}
	withdraw := func(q *pb.WithdrawRequest) error {
		_, err := c.Withdraw(ctx, connect.NewRequest(q))
		return err
	}
	down := func(q *pb.DownNeighborRequest) error {
		_, err := c.DownNeighbor(ctx, connect.NewRequest(q))
		return err
	}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("64500:%d", i))
	}
	for name, err := range map[string]error{
		"view": query(&pb.RouteQuery{View: 99}), "match": query(&pb.RouteQuery{Match: -1}), "family": query(&pb.RouteQuery{Family: 3}),
		"prefix": query(&pb.RouteQuery{Prefix: "10.0.0.1/8"}), "no prefix": query(&pb.RouteQuery{Prefix: "x"}),
		"other family": query(&pb.RouteQuery{Prefix: "10.0.0.0/8", Family: pb.Family_FAMILY_IPV6}),
		"advertised":   query(&pb.RouteQuery{View: pb.RouteView_ROUTE_VIEW_ADVERTISED}),
		"test prefix":  test(&pb.TestPolicyRequest{Policy: "p", Prefix: "1"}),
		"test source":  test(&pb.TestPolicyRequest{Policy: "p", Prefix: "10.0.0.0/8", Source: 42}),
		"test attrs":   test(&pb.TestPolicyRequest{Policy: "p", Prefix: "10.0.0.0/8", Attributes: &pb.Attributes{NextHop: "x"}}),
		"clear nobody": clearing(&pb.ClearNeighborsRequest{Mode: pb.ClearMode_CLEAR_MODE_HARD}),
		"clear both":   clearing(&pb.ClearNeighborsRequest{All: true, Neighbor: "shop", Mode: pb.ClearMode_CLEAR_MODE_HARD}),
		"clear how":    clearing(&pb.ClearNeighborsRequest{All: true}),
		"lookup":       lookup, "explain": explain,
		"announce nothing":   announce(nil),
		"announce prefix":    announce(&pb.Announcement{Prefix: "10.0.0.1/8"}),
		"announce community": announce(&pb.Announcement{Prefix: "10.0.0.0/8", Communities: []string{"x"}}),
		"announce next hop":  announce(&pb.Announcement{Prefix: "10.0.0.0/8", NextHop: "self"}),
		"announce multicast": announce(&pb.Announcement{Prefix: "10.0.0.0/8", NextHop: "224.0.0.1"}),
		"announce prepends":  announce(&pb.Announcement{Prefix: "10.0.0.0/8", Prepend: 33}),
		"announce reason":    announce(&pb.Announcement{Prefix: "10.0.0.0/8", Reason: strings.Repeat("x", 256)}),
		"announce much":      announce(&pb.Announcement{Prefix: "10.0.0.0/8", Communities: many}),
		"withdraw nothing":   withdraw(&pb.WithdrawRequest{}),
		"withdraw both":      withdraw(&pb.WithdrawRequest{Prefixes: []string{"10.0.0.0/8"}, All: true}),
		"withdraw what":      withdraw(&pb.WithdrawRequest{Prefixes: []string{"x"}}),
		"down why":           down(&pb.DownNeighborRequest{Neighbor: "shop"}),
		"down long":          down(&pb.DownNeighborRequest{Neighbor: "shop", Reason: strings.Repeat("ü", 128)}),
		"down for 0":         down(&pb.DownNeighborRequest{Neighbor: "shop", Reason: "x", Lifetime: &durationpb.Duration{}}),
		"down for ever":      down(&pb.DownNeighborRequest{Neighbor: "shop", Reason: "x", Lifetime: &durationpb.Duration{Seconds: 1 << 40}}),
	} {
		if connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if calls, queries := r.Calls(), r.Queries(); len(calls)+len(queries) > 0 {
		t.Errorf("the router was bothered with %q, %v", calls, queries)
	}
}

// TestJSON: programs may speak JSON without a library.
func TestJSON(t *testing.T) {
	r := &fakerouter.Router{}
	socket := filepath.Join(t.TempDir(), "api")
	stop, err := fakerouter.Serve(socket, r)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	for body, want := range map[string]string{
		`{"announcements": [{"prefix": "203.0.113.7/32", "communities": ["blackhole"], "med": 0}], "lifetime": "3600s"}`: "{}",
		`{"announcements": [{"prefix": "203.0.113.7"}]}`:                                                                 `"code":"invalid_argument"`,
	} {
		m, err := web.Post("http://holdfast/holdfast.v1.Holdfast/Announce", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(m.Body)
		m.Body.Close()
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s is answered with %s, %v", body, got, err)
		}
	}
	if got := r.Calls(); len(got) != 1 || got[0] != `announce 203.0.113.7/32 ["blackhole"] 1h0m0s ""` {
		t.Errorf("the router was told %q", got)
	}
}

// endless gives routes until its context ends.
type endless struct {
	fakerouter.Router
	ended chan error
}

func (e *endless) Routes(ctx context.Context, q api.RouteQuery, fn func(api.RouteInfo) error) error {
	for {
		if err := e.Router.Routes(ctx, q, fn); err != nil {
			e.ended <- err
			return err
		}
	}
}

// TestStreamEnds: a client that goes away, and a server that stops, end what
// the router does for them.
func TestStreamEnds(t *testing.T) {
	for _, who := range []string{"client", "server"} {
		t.Run(who, func(t *testing.T) {
			r := &endless{ended: make(chan error, 1)}
			c, stop := serve(t, r)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s, err := c.ListRoutes(ctx, connect.NewRequest(&pb.ListRoutesRequest{}))
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if !s.Receive() || len(s.Msg().Routes) != 256 {
				t.Fatalf("the first message has %d routes: %v", len(s.Msg().Routes), s.Err())
			}
			if who == "client" {
				cancel()
			} else {
				stop()
			}
			select {
			case <-r.ended:
			case <-time.After(10 * time.Second):
				t.Error("the router goes on for nobody")
			}
			for s.Receive() {
			}
			if s.Err() == nil {
				t.Error("a list that was cut looks complete")
			}
		})
	}
}

func TestNotRunning(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "none")
	c := api.Dial(socket)
	defer c.Close()
	_, err := c.GetSummary(t.Context(), connect.NewRequest(&pb.GetSummaryRequest{}))
	if err = c.Error(err); err == nil || !strings.Contains(err.Error(), "cannot reach holdfast at "+socket+": is it running?") {
		t.Error(err)
	}
	if c.Error(nil) != nil {
		t.Error("nothing became an error")
	}
}

func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "made", "api")
	l, err := api.Listen(path, api.GroupOnly)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the socket is %v, %v", info.Mode(), err)
	}
	if _, err := api.Listen(path, api.GroupOnly); err == nil || !strings.Contains(err.Error(), "another holdfast listens") {
		t.Errorf("a second one: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

// TestListenIsNotHeldUp by who locks what anybody can open.
func TestListenIsNotHeldUp(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	l, err := api.Listen(filepath.Join(dir, "api"), api.GroupOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(filepath.Join(dir, "api.lock")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the lock is %v, %v", info, err)
	}
}

// TestListenAfterCrash replaces what a killed process left.
func TestListenAfterCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api")
	for _, name := range []string{path, path + ".new"} {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	l, err := api.Listen(path, api.GroupOnly)
	if err != nil {
		t.Fatal(err)
	}
	// Another's socket at the same place stays.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	other, err := api.Listen(path, api.GroupOnly)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("closing one socket took another away: %v", err)
	}
}

func TestListenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, filepath.Join(file, "api"), "/" + strings.Repeat("x", 120)} {
		if l, err := api.Listen(path, api.GroupOnly); err == nil {
			l.Close()
			t.Errorf("there is a socket at %s", path)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Errorf("the file has %q now, %v", b, err)
	}
}
