package view_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/view"
	"holdfast/testkit/fakerouter"
)

var update = flag.Bool("update", false, "write the golden files anew")

// serve runs the api with r on a socket and returns a client.
func serve(t testing.TB, r api.Router) *api.Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "api")
	stop, err := fakerouter.Serve(socket, r)
	if err != nil {
		t.Fatal(err)
	}
	c := api.Dial(socket)
	t.Cleanup(func() {
		c.Close()
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// call makes a call that must succeed.
func call[Q, A any](t *testing.T, f func(context.Context, *connect.Request[Q]) (*connect.Response[A], error), q *Q) *A {
	t.Helper()
	m, err := f(t.Context(), connect.NewRequest(q))
	if err != nil {
		t.Fatal(err)
	}
	return m.Msg
}

func list(t *testing.T, c *api.Client, q *pb.RouteQuery) []*pb.Route {
	t.Helper()
	s, err := c.ListRoutes(t.Context(), connect.NewRequest(&pb.ListRoutesRequest{Query: q}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []*pb.Route
	for s.Receive() {
		all = append(all, s.Msg().Routes...)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

func watch(t *testing.T, c *api.Client) (all []*pb.Event) {
	t.Helper()
	s, err := c.Monitor(t.Context(), connect.NewRequest(&pb.MonitorRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Receive() {
		all = append(all, s.Msg().Events...)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

func traceOf(t *testing.T, c *api.Client) (all []*pb.TraceEvent) {
	t.Helper()
	s, err := c.TraceNeighbor(t.Context(), connect.NewRequest(&pb.TraceNeighborRequest{Neighbor: "transit-a"}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for s.Receive() {
		all = append(all, s.Msg().Events...)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

// TestGolden shows the fake router's answers, which came over a socket, to
// people and to programs.
func TestGolden(t *testing.T) {
	c := serve(t, &fakerouter.Router{})
	neighbor := func(name string) func(view.View) error {
		m := call(t, c.GetNeighbor, &pb.GetNeighborRequest{Neighbor: name})
		return func(v view.View) error { return v.Neighbor(m) }
	}
	routes := func(columns view.RouteColumns, q *pb.RouteQuery) func(view.View) error {
		all := list(t, c, q)
		return func(v view.View) error {
			out := v.Routes(columns)
			for _, r := range all {
				if err := out.Add(r); err != nil {
					return err
				}
			}
			return out.Close()
		}
	}
	test := &pb.TestPolicyRequest{Policy: "from-transit", Prefix: "203.0.113.0/24", Attributes: &pb.Attributes{}}
	if err := api.AddCommunity(test.Attributes, "64500:1"); err != nil {
		t.Fatal(err)
	}
	refused := &pb.TestPolicyRequest{Policy: "from-transit", Prefix: "0.0.0.0/0"}
	summary := call(t, c.GetSummary, &pb.GetSummaryRequest{})
	neighbors := call(t, c.ListNeighbors, &pb.ListNeighborsRequest{})
	held := call(t, c.GetNeighbor, &pb.GetNeighborRequest{Neighbor: "transit-b"})
	held.Neighbor.State, held.Neighbor.Held, held.Neighbor.ShutdownMessage = pb.SessionState_SESSION_STATE_IDLE, true, ""
	held.Neighbor.LastReset = &pb.Reset{
		At: held.Neighbor.Since, Reason: "sent NOTIFICATION Cease: maximum number of prefixes reached (6/1), more than 5 of ipv4",
		Notification: &pb.Notification{Sent: true, Code: 6, Subcode: 1, Data: []byte{0, 1, 1, 0, 0, 0, 5}},
	}
	ours := &pb.ExplainResponse{Prefix: "203.0.113.0/24", Candidates: []*pb.Candidate{
		{Route: &pb.Route{Source: pb.RouteSource_ROUTE_SOURCE_ORIGINATED, Status: pb.RouteStatus_ROUTE_STATUS_BEST}},
		{
			Route: &pb.Route{Neighbor: "core-1", Source: pb.RouteSource_ROUTE_SOURCE_IBGP, Status: pb.RouteStatus_ROUTE_STATUS_BACKUP, Discard: true},
			Lost:  &pb.Decision{Step: 4, Rule: "originated here"},
		},
	}}
	dropped := &pb.Route{Prefix: "198.51.100.7/32", Neighbor: "shop", Status: pb.RouteStatus_ROUTE_STATUS_BEST, Discard: true,
		Attributes: &pb.Attributes{NextHop: "192.0.2.30"}}
	connected := &pb.ExplainResponse{Prefix: "198.51.100.0/24", Candidates: []*pb.Candidate{
		{Route: &pb.Route{Status: pb.RouteStatus_ROUTE_STATUS_BEST, Source: pb.RouteSource_ROUTE_SOURCE_CONNECTED, Interface: "eth1", Attributes: &pb.Attributes{}}},
		{Route: &pb.Route{Neighbor: "leaf-1", Status: pb.RouteStatus_ROUTE_STATUS_BACKUP, Attributes: &pb.Attributes{NextHop: "fe80::7", NextHopLinkLocal: "fe80::7"}},
			Lost: &pb.Decision{Step: 4, Rule: "originated here"}}}}
	alone := &pb.Route{Prefix: "2001:db8:7::/48", Neighbor: "leaf-1", Status: pb.RouteStatus_ROUTE_STATUS_BEST,
		Attributes: &pb.Attributes{NextHop: "::", NextHopLinkLocal: "fe80::7"}}
	connected.Candidates = append(connected.Candidates, &pb.Candidate{Route: alone})
	events := watch(t, c)
	explained := call(t, c.Explain, &pb.ExplainRequest{Prefix: "198.51.100.0/24"})
	sent := call(t, c.Explain, &pb.ExplainRequest{Prefix: "198.51.100.0/24", To: "transit-b"})
	notSent := call(t, c.Explain, &pb.ExplainRequest{Prefix: "198.51.100.0/24", To: "shop"})
	lookup := call(t, c.Lookup, &pb.LookupRequest{Address: "198.51.100.7"})
	count := call(t, c.CountRoutes, &pb.CountRoutesRequest{})
	policies := call(t, c.ListPolicies, &pb.ListPoliciesRequest{})
	accepted := call(t, c.TestPolicy, test)
	rejected := call(t, c.TestPolicy, refused)
	memory := call(t, c.GetMemory, &pb.GetMemoryRequest{})
	sources := call(t, c.GetRPKI, &pb.GetRPKIRequest{})
	asked := []*pb.GetRPKIRequest{{Prefix: "198.51.100.0/24", Asn: 64700}, {Prefix: "198.51.100.0/24"}, {Prefix: "10.0.0.0/8", Asn: 1}}
	valid, covered := call(t, c.GetRPKI, asked[0]), call(t, c.GetRPKI, asked[1])
	watched := call(t, c.ListBfd, &pb.ListBfdRequest{})
	deaf := proto.Clone(watched).(*pb.ListBfdResponse)
	deaf.Sessions[0].Problem = "cannot receive: UDP port 3784: address already in use (does another BFD daemon run here?)"
	hops := call(t, c.ListNextHops, &pb.ListNextHopsRequest{})
	announcements := call(t, c.ListAnnouncements, &pb.ListAnnouncementsRequest{})
	traced := traceOf(t, c)
	cleared := call(t, c.ClearNeighbors, &pb.ClearNeighborsRequest{All: true, Mode: pb.ClearMode_CLEAR_MODE_SOFT_IN})
	reloaded := call(t, c.Reload, &pb.ReloadRequest{})
	checked := call(t, c.CheckConfig, &pb.CheckConfigRequest{})
	version := &pb.GetVersionResponse{Version: "1.2.3", Commit: "0123456789abcdef0123", Go: "go1.26"}
	for name, show := range map[string]func(view.View) error{
		"summary":            func(v view.View) error { return v.Summary(summary) },
		"neighbors-none":     func(v view.View) error { return v.Neighbors(&pb.ListNeighborsResponse{}) },
		"policies-none":      func(v view.View) error { return v.Policies(&pb.ListPoliciesResponse{}) },
		"neighbors":          func(v view.View) error { return v.Neighbors(neighbors) },
		"neighbor":           neighbor("transit-a"),
		"neighbor-down":      neighbor("2001:db8:ffff:ffff::2"),
		"neighbor-shutdown":  neighbor("shop"),
		"neighbor-internal":  neighbor("core-1"),
		"neighbor-held":      func(v view.View) error { return v.Neighbor(held) },
		"explain-sent":       func(v view.View) error { return v.Explain(sent) },
		"explain-not-sent":   func(v view.View) error { return v.Explain(notSent) },
		"explain-connected":  func(v view.View) error { return v.Explain(connected) },
		"explain-originated": func(v view.View) error { return v.Explain(ours) },
		"routes":             routes(view.RouteColumns{}, nil),
		"routes-communities": routes(view.RouteColumns{Communities: true}, &pb.RouteQuery{Prefix: "198.51.100.0/24"}),
		"routes-rejected":    routes(view.RouteColumns{Reasons: true}, &pb.RouteQuery{View: pb.RouteView_ROUTE_VIEW_REJECTED}),
		"routes-discarded": func(v view.View) error {
			out := v.Routes(view.RouteColumns{})
			return errors.Join(out.Add(dropped), out.Add(alone), out.Close())
		},
		"routes-none":        routes(view.RouteColumns{}, &pb.RouteQuery{Neighbor: "shop"}),
		"count":              func(v view.View) error { return v.RouteCount(count) },
		"lookup":             func(v view.View) error { return v.Lookup(lookup) },
		"explain":            func(v view.View) error { return v.Explain(explained) },
		"rpki":               func(v view.View) error { return v.RPKI(sources, &pb.GetRPKIRequest{}) },
		"rpki-none":          func(v view.View) error { return v.RPKI(&pb.GetRPKIResponse{}, &pb.GetRPKIRequest{}) },
		"rpki-valid":         func(v view.View) error { return v.RPKI(valid, asked[0]) },
		"rpki-prefix":        func(v view.View) error { return v.RPKI(covered, asked[1]) },
		"rpki-uncovered":     func(v view.View) error { return v.RPKI(&pb.GetRPKIResponse{State: "unknown"}, asked[2]) },
		"bfd":                func(v view.View) error { return v.BFD(watched) },
		"bfd-problem":        func(v view.View) error { return v.BFD(deaf) },
		"bfd-none":           func(v view.View) error { return v.BFD(&pb.ListBfdResponse{}) },
		"nexthops":           func(v view.View) error { return v.NextHops(hops, false) },
		"nexthops-untracked": func(v view.View) error { return v.NextHops(&pb.ListNextHopsResponse{Untracked: true}, false) },
		"nexthops-reachable": func(v view.View) error { return v.NextHops(&pb.ListNextHopsResponse{}, true) },
		"policies":           func(v view.View) error { return v.Policies(policies) },
		"policy-test":        func(v view.View) error { return v.PolicyTest(accepted) },
		"policy-discards": func(v view.View) error {
			return v.PolicyTest(&pb.TestPolicyResponse{Accepted: true, Before: &pb.Attributes{NextHop: "192.0.2.30"}, After: &pb.Attributes{NextHop: "192.0.2.30"},
				Steps: []*pb.PolicyStep{{Rule: &pb.RuleRef{Policy: "from-customer", Rule: "blackhole"}, Matched: true, Then: pb.RuleAction_RULE_ACTION_ACCEPT,
					Changes: []string{"community no-export added", "next_hop set to discard"}}}})
		},
		"policy-rejects":     func(v view.View) error { return v.PolicyTest(rejected) },
		"memory":             func(v view.View) error { return v.Memory(memory) },
		"announcements":      func(v view.View) error { return v.Announcements(announcements) },
		"announcements-none": func(v view.View) error { return v.Announcements(&pb.ListAnnouncementsResponse{}) },
		"withdrawn": func(v view.View) error {
			return v.Withdrawn(&pb.WithdrawResponse{Withdrawn: []string{"203.0.113.0/24", "2001:db8::/32"}, Originated: []string{"2001:db8::/32"}})
		},
		"withdrawn-one": func(v view.View) error {
			return v.Withdrawn(&pb.WithdrawResponse{Withdrawn: []string{"203.0.113.0/24"}})
		},
		"events": func(v view.View) error {
			for _, e := range events {
				if err := v.Event(e); err != nil {
					return err
				}
			}
			return nil
		},
		"trace": func(v view.View) error {
			for _, e := range traced {
				if err := v.TraceEvent(e); err != nil {
					return err
				}
			}
			return nil
		},
		"withdrawn-none": func(v view.View) error { return v.Withdrawn(&pb.WithdrawResponse{}) },
		"cleared":        func(v view.View) error { return v.Cleared(cleared) },
		"cleared-none":   func(v view.View) error { return v.Cleared(&pb.ClearNeighborsResponse{}) },
		"shutdown-draining": func(v view.View) error {
			return v.Shutdown(&pb.ShutdownResponse{Phase: pb.ShutdownPhase_SHUTDOWN_PHASE_DRAINING, Neighbors: 3, Told: 1, Left: durationpb.New(50 * time.Second)})
		},
		"shutdown-leaving": func(v view.View) error {
			return v.Shutdown(&pb.ShutdownResponse{Phase: pb.ShutdownPhase_SHUTDOWN_PHASE_LEAVING, Neighbors: 3, Told: 3})
		},
		"shutdown-gone": func(v view.View) error {
			return v.Shutdown(&pb.ShutdownResponse{Phase: pb.ShutdownPhase_SHUTDOWN_PHASE_GONE})
		},
		"reloaded":      func(v view.View) error { return v.Reloaded(reloaded) },
		"reloaded-same": func(v view.View) error { return v.Reloaded(&pb.ReloadResponse{Revision: 7}) },
		"checked":       func(v view.View) error { return v.Checked(checked, true) },
		"version":       func(v view.View) error { return v.Version(version, version) },
		"replayed": func(v view.View) error {
			return v.Replayed(view.Replay{
				Neighbor: "2001:db8::9", NeighborASN: 64601, LocalASN: 64601, RemoteASN: 64500, Table: true,
				Announced: map[string]int{"ipv4": 1043127, "ipv6": 0}, Withdrawn: map[string]int{"ipv4": 0, "ipv6": 0},
				Updates: 181204, Bytes: 52 << 20, Skipped: 2, SkipReason: "an attribute is damaged", Damaged: 1,
				UpdatesReceived: 3, Notes: []string{"the router takes no IPv6"}, Seconds: 2.5,
			})
		},
		"done": func(v view.View) error { return v.Done("shop is enabled") },
	} {
		t.Run(name, func(t *testing.T) {
			var human, doc bytes.Buffer
			// The version of this binary is not fixed.
			summary.Version = "1.2.3"
			if err := show(view.Human(&human, view.Options{Now: fakerouter.Now})); err != nil {
				t.Fatal(err)
			}
			if err := show(view.JSON(&doc)); err != nil {
				t.Fatal(err)
			}
			for d := json.NewDecoder(bytes.NewReader(doc.Bytes())); ; { // a trace has a document on each line
				var v map[string]any
				if err := d.Decode(&v); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("this is no JSON: %v\n%s", err, doc.Bytes())
				}
			}
			golden(t, name+".txt", human.Bytes())
			golden(t, name+".json", doc.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test ./internal/view -update writes it anew); got:\n%s", path, got)
	}
}

func TestColor(t *testing.T) {
	c := serve(t, &fakerouter.Router{})
	m := call(t, c.ListNeighbors, &pb.ListNeighborsRequest{})
	var plain, colored bytes.Buffer
	if err := view.Human(&plain, view.Options{Now: fakerouter.Now}).Neighbors(m); err != nil {
		t.Fatal(err)
	}
	if err := view.Human(&colored, view.Options{Now: fakerouter.Now, Color: true}).Neighbors(m); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(plain.Bytes(), []byte("\x1b")) {
		t.Error("colours without a terminal")
	}
	stripped := colored.Bytes()
	for _, code := range []string{"\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m"} {
		if !bytes.Contains(stripped, []byte(code)) {
			t.Errorf("no %q in the coloured table", code)
		}
		stripped = bytes.ReplaceAll(stripped, []byte(code), nil)
	}
	if !bytes.Equal(stripped, plain.Bytes()) {
		t.Errorf("colours move columns:\n%s\n%s", stripped, plain.Bytes())
	}
}

// TestManyRoutes makes sure that a long list is written as it comes, and whole.
func TestManyRoutes(t *testing.T) {
	c := serve(t, &fakerouter.Router{Repeat: 500})
	all := list(t, c, nil)
	if len(all) != 500*5 {
		t.Fatalf("%d routes came", len(all))
	}
	for _, v := range []view.View{view.Human(io.Discard, view.Options{}), view.JSON(io.Discard)} {
		out := v.Routes(view.RouteColumns{})
		for _, r := range all {
			if err := out.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var doc bytes.Buffer
	out := view.JSON(&doc).Routes(view.RouteColumns{})
	for _, r := range all {
		if err := out.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	var read struct{ Routes []map[string]any }
	if err := json.Unmarshal(doc.Bytes(), &read); err != nil || len(read.Routes) != len(all) {
		t.Errorf("%d routes of %d can be read: %v", len(read.Routes), len(all), err)
	}
}

// TestStaleRoute: what is kept of a session that has ended says so.
func TestStaleRoute(t *testing.T) {
	r := &pb.Route{Prefix: "198.51.100.0/24", Neighbor: "transit-a", Status: pb.RouteStatus_ROUTE_STATUS_BEST,
		StaleSince: timestamppb.New(fakerouter.Now.Add(-time.Minute))}
	var out bytes.Buffer
	h := view.Human(&out, view.Options{Now: fakerouter.Now})
	list := h.Routes(view.RouteColumns{})
	if err := errors.Join(list.Add(r), list.Close(), h.Explain(&pb.ExplainResponse{Prefix: r.Prefix, Candidates: []*pb.Candidate{{Route: r}}})); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n>s  198.51.100.0/24", "Stale  for 1m00s"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
