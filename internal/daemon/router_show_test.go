package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/fsm"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/rtr"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

func TestRouterNeighbors(t *testing.T) {
	b := world(t)
	all, err := b.Neighbors(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range all {
		s := fmt.Sprintf("%s %s AS %d %s %v %s:", n.Name, n.Group, n.ASN, n.Role, n.State, n.RouterID)
		for _, f := range n.Families {
			s += fmt.Sprintf(" %v %v %d %d %d %d", f.Family, f.Negotiated, f.Received, f.Accepted, f.Rejected, f.Advertised)
		}
		got = append(got, s)
	}
	want := []string{
		"shop  AS 64700 provider 5 10.0.0.3: ipv4 true 2 1 1 3",
		"transit-a transit AS 64601 customer 5 10.0.0.2: ipv4 true 3 2 1 2",
		"transit-b transit AS 64602 customer 5 10.0.0.1: ipv4 true 3 2 1 2 ipv6 true 0 0 0 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if l := all[1].Families[0].Limit; l == nil || *l != (api.PrefixLimit{Max: 1000, WarnAt: 800, Received: true, Action: "restart", RestartIn: 30 * time.Minute}) {
		t.Errorf("limit %+v", l)
	}
}

func TestRouterNeighborDetail(t *testing.T) {
	b := world(t)
	ctx := context.Background()
	d, err := b.Neighbor(ctx, "192.0.2.9")
	if err != nil {
		t.Fatal(err)
	}
	if d.Name != "transit-a" || d.Description != "the first" || d.MultihopTTL != 3 || d.GTSM || d.MD5 || d.UpdateGroup == 0 ||
		!slices.Equal(d.Import, []string{"in"}) || !slices.Equal(d.Export, []string{"out"}) {
		t.Errorf("%+v", d)
	}
	if d.Local.String() != "192.0.2.1:179" || d.Counters.In.Update != 5 || d.Counters.Queued != 3 || d.Counters.Sessions != 1 || len(d.Sent) != 1 || d.Sent[0].Code != 65 {
		t.Errorf("of the session: %+v", d)
	}
	if n := d.Negotiated; n == nil || n.Timers.Hold != 90*time.Second || n.Role != "provider" || !n.Refresh || len(n.Families) != 1 || !n.AS4 {
		t.Errorf("negotiated %+v", n)
	}
	if d.Configured != (api.Timers{Hold: 90 * time.Second, Keepalive: 30 * time.Second, SendHold: 8 * time.Minute, ConnectRetry: 2 * time.Minute}) {
		t.Errorf("timers %+v", d.Configured)
	}
	if d, err := b.Neighbor(ctx, "transit-b"); err != nil || !d.GTSM || d.MultihopTTL != 0 {
		t.Errorf("transit-b: %+v, %v", d, err)
	}
	if _, err := b.Neighbor(ctx, "nobody"); kind(err) != api.KindNotFound {
		t.Error(err)
	}
	// RFC 7606 counts reach the neighbor's line.
	id := b.id(configured(b.cfg, "transit-a"))
	buf := session.GetBuffer()
	buf.Data = wire.AppendUpdate(buf.Data, prefix.IPv4, nil, []byte{0x40, 1, 1, 9, 0x40, 2, 0, 0x40, 3, 4, 192, 0, 2, 9}, nil, []byte{8, 11})
	b.engine.Deliver(id, buf)
	if d, err := b.Neighbor(ctx, "transit-a"); err != nil || d.Counters.TreatAsWithdraw != 1 {
		t.Errorf("after a malformed UPDATE: %+v, %v", d.Counters, err)
	}
}

func TestLastReset(t *testing.T) {
	at := time.Unix(1000, 0)
	down := &session.End{At: at, Reason: session.Reason{Kind: fsm.NotificationReceived, Code: 6, Subcode: 2, Data: "\x05hello", Text: "hello"}}
	refused := &session.End{At: at.Add(time.Second), Reason: session.Reason{Kind: fsm.ConnectionFailed, Text: "connection refused"}}
	badAS := &session.End{At: at.Add(time.Second), Reason: session.Reason{Kind: fsm.NotificationSent, Code: 2, Subcode: 2, Text: "the neighbor is in AS 5"}}
	for _, c := range []struct {
		st      session.Status
		want    string
		message string
	}{
		{session.Status{}, "", ""},
		{session.Status{LastReset: down}, `received NOTIFICATION .*hello.* true`, "hello"},
		{session.Status{LastReset: down, LastError: refused}, `received NOTIFICATION`, "hello"},
		{session.Status{LastReset: down, LastError: badAS}, `sent NOTIFICATION .*AS 5`, "hello"},
		{session.Status{LastReset: down, LastError: badAS, Established: &session.Established{}}, `received NOTIFICATION`, ""},
		{session.Status{LastError: refused}, "connection refused false", ""},
		{session.Status{LastReset: down, Shutdown: true, ShutdownMessage: "bye"}, "received", "bye"},
	} {
		r, got := lastReset(&c.st), ""
		if r != nil {
			got = fmt.Sprint(r.Reason, " ", r.Notification != nil)
		}
		rest := got
		for _, part := range strings.Split(c.want, ".*") {
			i := strings.Index(rest, part)
			if i < 0 {
				t.Errorf("%+v: %q, want %q", c.st, got, c.want)
				break
			}
			rest = rest[i+len(part):]
		}
		if (c.want == "") != (r == nil) || message(&c.st) != c.message {
			t.Errorf("%+v: %q, message %q, want %q", c.st, got, message(&c.st), c.message)
		}
	}
}

// TestHeld: what keeps a session down is shown, an administrator's word apart.
func TestHeld(t *testing.T) {
	b := newBench(t)
	_, id, _ := b.find("shop")
	for _, c := range []struct{ stopped, shutdown, pending, held bool }{
		{}, {stopped: true, held: true}, {stopped: true, shutdown: true}, {pending: true},
	} {
		b.status[id].Stopped, b.status[id].Shutdown, b.status[id].Pending = c.stopped, c.shutdown, c.pending
		n, err := b.Neighbor(t.Context(), "shop")
		if err != nil || n.Held != c.held || n.Shutdown != c.shutdown || n.Pending != c.pending {
			t.Errorf("%+v: held %v, shut down %v, pending %v, %v", c, n.Held, n.Shutdown, n.Pending, err)
		}
	}
}

func TestUsedBy(t *testing.T) {
	cfg, ds := config.Parse("a.hcl", []byte(`
router {
  asn = 64500
  id  = "192.0.2.1"
}
policy "p" {
  rule "all" { then = "accept" }
}
table "main" {
  install      = policy.p
  redistribute = policy.p
}
table "blue" {
  id = 100
  import {
    from   = table.main
    policy = policy.p
  }
}
neighbor_range "rack" {
  addresses = ["10.0.0.0/24"]
  asns      = [65001]
  export    = policy.p
}
originate "o" {
  prefixes = ["198.51.100.0/24"]
  policy   = policy.p
}
aggregate "a" {
  prefix = "203.0.113.0/24"
  policy = policy.p
}
`))
	if ds.HasErrors() {
		t.Fatal(ds.Text())
	}
	want := "table main (install), table main (redistribute), table blue (import from main), neighbor_range rack (export), originate o, aggregate a"
	if got := strings.Join(usedBy(cfg, "p"), ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestRouterPolicies(t *testing.T) {
	b := world(t)
	ctx := context.Background()
	all, err := b.Policies(ctx, "")
	if err != nil || len(all) != 4 {
		t.Fatalf("%+v, %v", all, err)
	}
	var got []string
	for _, p := range all {
		s := fmt.Sprintf("%s:%d in %v out %v", p.Name, p.Position.Line, p.ImportOf, p.ExportOf)
		for _, r := range p.Rules {
			s += fmt.Sprintf(" | %s %v %v %s", r.Name, r.Match, r.Set, r.Then)
			if p.Name != "out" { // each group counts what it sends
				s += fmt.Sprint(" ", r.Hits)
			} else if r.Hits == 0 {
				t.Errorf("no route went out by %s", r.Name)
			}
		}
		got = append(got, fmt.Sprintf("%s | end %d", s, p.DefaultHits))
	}
	want := []string{
		`in:8 in [transit-b transit-a] out [] | small [prefix_length = "25-32"] [] reject 1 | rest [] [local_pref = 200] accept 4 | end 0`,
		`theirs:18 in [shop] out [] | listed [prefix = neighbor.prefixes] [] accept 1 | end 1`,
		`out:24 in [] out [transit-b transit-a shop] | all [] [] accept | end 0`,
		`spare:27 in [] out [] | none [] [] reject 0 | end 0`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if one, err := b.Policies(ctx, "in"); err != nil || len(one) != 1 || one[0].Name != "in" {
		t.Errorf("%+v, %v", one, err)
	}
	if _, err := b.Policies(ctx, "nothing"); kind(err) != api.KindNotFound {
		t.Error(err)
	}
	r, err := b.TestPolicy(ctx, api.PolicyTest{Policy: "in", Prefix: prefix.MustParse("10.0.0.0/8"), Neighbor: "transit-a"})
	if err != nil || !r.Accepted || r.Attrs.LocalPref != 200 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestRouterSummaryAndMemory(t *testing.T) {
	b := world(t)
	ctx := context.Background()
	_, id, _ := b.find("shop")
	b.status[id].Established, b.status[id].Shutdown = nil, true
	s, err := b.Summary(ctx)
	if err != nil || s.ASN != 64500 || s.Neighbors != 3 || s.Up != 2 || s.Shutdown != 1 || s.Revision != 1 || len(s.Listen) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if want := (api.TableSummary{Table: "main", Family: prefix.IPv4, Prefixes: 5, Paths: 9, Originated: 1}); len(s.Tables) != 2 || s.Tables[0] != want {
		t.Errorf("tables %+v, want %+v", s.Tables, want)
	}
	m, err := b.Memory(ctx)
	if err != nil || m.Paths != 9 || m.Heap < 1<<16 || m.Resident < m.Heap/2 || len(m.Items) < 5 {
		t.Errorf("%+v, %v", m, err)
	}
}

// TestMemoryOfTheRPKI: of two sources that say different things, what each has and
// what they have together.
func TestMemoryOfTheRPKI(t *testing.T) {
	b := newBench(t)
	published := make(chan struct{}, 2)
	b.vrps = rtr.New(slog.New(slog.DiscardHandler), rtr.Dial, func(_, _ *rpki.Table, _ *rpki.ASPAs) { published <- struct{}{} })
	defer b.vrps.Close()
	file := func(name, text string) rtr.Source {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return rtr.Source{Name: name, Path: path}
	}
	one := file("one", `{"roas": [{"asn": 1, "prefix": "10.0.0.0/8"}], "aspas": [{"customer_asid": 1, "providers": [2]}]}`)
	rpkiItems := func() (items []api.MemoryItem) {
		t.Helper()
		m, err := b.Memory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range m.Items {
			if i.Name == "VRPs" || i.Name == "ASPAs" {
				items = append(items, i)
			}
		}
		return items
	}
	if got := rpkiItems(); len(got) > 0 {
		t.Errorf("without sources, %+v", got)
	}
	b.vrps.Set([]rtr.Source{one})
	<-published
	if got, want := rpkiItems(), []api.MemoryItem{{Name: "VRPs", Count: 1, Bytes: 12 + 4}, {Name: "ASPAs", Count: 1, Bytes: 8}}; !slices.Equal(got, want) {
		t.Errorf("of one source %+v, want %+v", got, want)
	}
	b.vrps.Set([]rtr.Source{one, file("two", `{"roas": [{"asn": 1, "prefix": "2001:db8::/32"}], "aspas": [{"customer_asid": 3, "providers": [2, 4]}]}`)})
	<-published
	if got := rpkiItems(); len(got) != 2 || got[0].Count != 2 || got[0].Bytes < 2*(12+24)+8 || got[1].Count != 2 || got[1].Bytes < 2*3*8 {
		t.Errorf("of two sources %+v", got)
	}
}

func TestRouterClear(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	a := b.up("transit-a")
	_, id, _ := b.find("transit-b")
	b.status[id].Shutdown = true
	_, id, _ = b.find("shop")
	b.status[id].Stopped = true
	for _, c := range []struct {
		neighbor string
		how      api.ClearMode
		kind     api.Kind
		names    string
		done     string
	}{
		{"transit-a", api.ClearHard, 0, "[transit-a]", "[reset 6/4 transit-a]"},
		{"shop", api.ClearHard, 0, "[shop]", "[enable shop]"},
		{"transit-b", api.ClearHard, api.KindRefused, "[]", "[]"},
		{"", api.ClearHard, 0, "[transit-a shop]", "[reset 6/4 transit-a enable shop]"},
		{"nobody", api.ClearHard, api.KindNotFound, "[]", "[]"},
		{"transit-a", api.ClearSoft, 0, "[transit-a]", "[]"},
		{"shop", api.ClearSoftIn, api.KindRefused, "[]", "[]"},
		{"", api.ClearSoftOut, 0, "[transit-a]", "[]"},
		{"transit-a", 99, api.KindInvalid, "[]", "[]"},
	} {
		b.done = nil
		names, err := b.Clear(ctx, c.neighbor, c.how)
		if kind(err) != c.kind || fmt.Sprint(names) != c.names || fmt.Sprint(b.done) != c.done {
			t.Errorf("clear %q %d: %v, %v, %v", c.neighbor, c.how, names, b.done, err)
		}
	}
	b.engine.Do(func(*engine.Core) { // the loop owns it
		if !slices.Equal(a.asked, []prefix.Family{prefix.IPv4}) {
			t.Errorf("asked for %v", a.asked)
		}
	})
}

func TestRouterDownAndEnable(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	if err := b.router.Down(ctx, "192.0.2.9", "works", time.Hour); err != nil {
		t.Error(err)
	}
	n, err := b.Neighbor(ctx, "transit-a")
	if d := n.Down; err != nil || d == nil || d.Reason != "works" || time.Since(d.Since) > time.Minute || time.Until(d.Until) < 59*time.Minute {
		t.Errorf("%+v, %v", d, err)
	}
	all, err := b.Neighbors(ctx)
	if err != nil || all[0].Down != nil || all[1].Name != "transit-a" || all[1].Down == nil {
		t.Errorf("%+v, %v", all, err)
	}
	if err := b.router.Enable(ctx, "transit-a"); err != nil || len(b.downs) > 0 {
		t.Error(err, b.downs)
	}
	for _, err := range []error{b.router.Down(ctx, "nobody", "x", 0), b.router.Enable(ctx, "nobody")} {
		if kind(err) != api.KindNotFound {
			t.Error(err)
		}
	}
}

func TestRouterCheck(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	compile := b.compile
	b.compile = func(cfg *config.Config) error {
		if n := configured(cfg, "transit-a"); n.Transport.ASN == 64609 {
			return fmt.Errorf("neighbor: %w", &policy.Error{Pos: n.Pos, Err: errors.New("it does not compile")})
		}
		return compile(cfg)
	}
	for _, c := range []struct {
		old, new  string
		changes   string
		diagnoses string
	}{
		{"asn    = 64500", "asn = 64500 # as before", "[]", ""},
		{"local_pref = 200", "local_pref = 300", `[{changed policy "in" rule "rest": set local_pref 200 → 300 8}]`, ""},
		{"local_pref = 200", "local_pref = []", "[]", "local_pref"},
		{"asn         = 64601", "asn = 64609", "[]", "it does not compile"},
	} {
		if err := os.WriteFile(b.configPath, []byte(strings.Replace(routerConfig, c.old, c.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := b.Check(ctx)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, x := range got.Changes {
			all = append(all, fmt.Sprintf("{%s %s %s %d}", x.Kind, x.Object, x.Detail, x.Position.Line))
		}
		if s := fmt.Sprint(all); s != c.changes {
			t.Errorf("%q: %s, want %s", c.new, s, c.changes)
		}
		found := c.diagnoses == ""
		for _, d := range got.Diagnostics {
			if !d.Warning && c.diagnoses == "" {
				t.Errorf("%q: %+v", c.new, d)
			}
			found = found || !d.Warning && strings.Contains(d.Message, c.diagnoses) && d.Position.Line > 0
		}
		if !found {
			t.Errorf("%q: %+v, want something about %q", c.new, got.Diagnostics, c.diagnoses)
		}
	}
	// What is doubtful is told too.
	doubtful := func(d api.Diagnostic) bool { return d.Warning && strings.Contains(d.Message, "max_prefixes") }
	if got, err := b.Check(ctx); err != nil || !slices.ContainsFunc(got.Diagnostics, doubtful) {
		t.Errorf("%+v, %v", got.Diagnostics, err)
	}
	if r, err := b.Reload(ctx); err != nil || r.Revision != 7 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestUnusable(t *testing.T) {
	_, ds := config.Parse("x.hcl", []byte("router {\n  asn = 0\n}\n"))
	err := unusable(ds)
	if kind(err) != api.KindInvalid || !strings.Contains(err.Error(), "x.hcl:2:9") || !strings.Contains(err.Error(), "id =") || strings.HasSuffix(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
