package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/fsm"
	"holdfast/internal/kernel"
	"holdfast/internal/packet"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

const routerConfig = `
router {
  asn    = 64500
  id     = "192.0.2.1"
  kernel = false
}
prefix_set "shop" { prefixes = ["203.0.113.0/24"] }
policy "in" {
  rule "small" {
    match { prefix_length = "25-32" }
    then = "reject"
  }
  rule "rest" {
    set { local_pref = 200 }
    then = "accept"
  }
}
policy "theirs" {
  rule "listed" {
    match { prefix = neighbor.prefixes }
    then = "accept"
  }
}
policy "out" {
  rule "all" { then = "accept" }
}
policy "spare" {
  rule "none" { then = "reject" }
}
group "transit" {
  local_role = "customer"
  import     = policy.in
  export     = policy.out
}
neighbor "transit-b" {
  group        = group.transit
  address      = "192.0.2.10"
  asn          = 64602
  families     = ["ipv4", "ipv6"]
  ttl_security = 1
}
neighbor "transit-a" {
  group       = group.transit
  description = "the first"
  address     = "192.0.2.9"
  asn         = 64601
  multihop    = 3
  family "ipv4" {
    max_prefixes        = 1000
    max_prefixes_action = "restart"
  }
}
neighbor "shop" {
  address    = "2001:db8::30"
  asn        = 64700
  local_role = "provider"
  prefixes   = prefix_set.shop
  families   = ["ipv4"]
  import     = policy.theirs
  export     = policy.out
}
originate "own" { prefixes = ["198.51.100.0/24"] }
`

// bench is a router on a real engine with sessions that are played.
type bench struct {
	*router
	t      *testing.T
	cfg    *config.Config
	ids    *numbers
	status map[packet.ID]*session.Status
	done   []string // what sessions were told
	downs  map[string]down
}

func (b *bench) Status(id packet.ID) (session.Status, bool) {
	s := b.status[id]
	if s == nil {
		return session.Status{}, false
	}
	return *s, true
}

func (b *bench) Listening() []netip.AddrPort {
	return []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:179")}
}

func (b *bench) note(id packet.ID, format string, args ...any) bool {
	b.done = append(b.done, fmt.Sprintf(format, args...)+" "+b.names()[id].Name)
	return b.status[id] != nil
}

func (b *bench) Trace(packet.ID) (*session.Trace, error) { return nil, nil }

func (b *bench) Enable(id packet.ID) bool { return b.note(id, "enable") }
func (b *bench) Reset(id packet.ID, c session.Close) bool {
	return b.note(id, "reset %d/%d", c.Code, c.Subcode)
}

// out is the sending side of a session.
type out struct {
	mu      sync.Mutex
	packets int
	asked   []prefix.Family
}

func (o *out) Room() int { return 100 }
func (o *out) Send(*packet.Packet, *packet.NextHop) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.packets++
	return true
}
func (o *out) Refresh(f prefix.Family) bool {
	o.asked = append(o.asked, f)
	return true
}
func (o *out) Close(session.Close) {}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "holdfast.hcl")
	if err := os.WriteFile(path, []byte(routerConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, ds := config.Load(path)
	if ds.HasErrors() {
		t.Fatal(unusable(ds))
	}
	b := &bench{t: t, cfg: cfg, ids: &numbers{}, status: map[packet.ID]*session.Status{}}
	compiled, err := engineConfig(cfg, b.ids, 1)
	if err != nil {
		t.Fatal(err)
	}
	e := engine.New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		e.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
	})
	e.Do(func(c *engine.Core) { c.Configure(compiled) })
	began := time.Now()
	b.router = &router{
		tables:  func() []string { return []string{config.MainTable} },
		bfd:     func() []bfd.Status { return nil },
		onLinks: func() ([]kernel.Neighbor, error) { return nil, nil },
		engine:  e, sessions: b, configPath: path, started: began,
		current:    func() (*config.Config, uint64, time.Time) { return b.cfg, 1, began },
		configured: func() *config.Config { return b.cfg },
		id: func(n *config.Neighbor) packet.ID {
			id := b.ids.find(n)
			if id == 0 {
				t.Errorf("neighbor %s has no number", n.Name)
			}
			return id
		},
		compile: func(cfg *config.Config) error {
			_, err := engineConfig(cfg, b.ids.clone(), 0)
			return err
		},
		takeDown: func(name string, e down) error {
			b.downs = map[string]down{name: e}
			return nil
		},
		enable: func(name, _ string) error {
			delete(b.downs, name)
			return nil
		},
		downed: func(name string) (e down, ok bool) {
			e, ok = b.downs[name]
			return e, ok
		},
		reload: func() (api.ReloadResult, error) { return api.ReloadResult{Revision: 7}, nil },
	}
	for _, n := range cfg.Neighbors {
		b.status[b.router.id(n)] = &session.Status{State: fsm.Active, Since: began}
	}
	return b
}

// up makes a session Established.
func (b *bench) up(name string) *out {
	b.t.Helper()
	n, id, err := b.find(name)
	if err != nil {
		b.t.Fatal(err)
	}
	est := session.Established{
		LocalASN: 64500, RemoteASN: n.Transport.ASN, RemoteID: 0x0a000000 + uint32(id), RemoteRole: 0, Refresh: true,
		Hold: 90 * time.Second, Keepalive: 30 * time.Second, SendHold: 8 * time.Minute,
		Read:    wire.Options{EBGP: true, AS4: true, Families: n.Transport.Families},
		NextHop: [prefix.Families]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	}
	est.Write = est.Read
	o := &out{}
	b.engine.Up(id, est, o)
	b.status[id] = &session.Status{State: fsm.EstablishedState, Since: time.Now(), Sessions: 1, Established: &est,
		Local: netip.MustParseAddrPort("192.0.2.1:179"), Sent: []session.Capability{{Code: 65, Value: []byte{0, 0, 251, 244}}},
		In: session.Counts{Update: 5}, Queued: 3}
	return o
}

// says plays an UPDATE of a neighbor.
func (b *bench) says(name, prefixes, path, communities string) {
	b.t.Helper()
	_, id, err := b.find(name)
	if err != nil {
		b.t.Fatal(err)
	}
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{192, 0, 2, 100 + byte(id)}}
	if a.ASPath, err = wire.ParsePath(path); err != nil {
		b.t.Fatal(err)
	}
	for _, s := range strings.Fields(communities) {
		c, err := wire.ParseCommunity(s)
		if err != nil {
			b.t.Fatal(err)
		}
		a.Communities = binary.BigEndian.AppendUint32(a.Communities, c)
	}
	var nlri []byte
	for _, p := range strings.Fields(prefixes) {
		nlri = wire.AppendPrefix(nlri, prefix.MustParse(p))
	}
	buf := session.GetBuffer()
	buf.Data = wire.AppendUpdate(buf.Data, prefix.IPv4, nil, a.Append(nil, false), nil, nlri)
	b.engine.Deliver(id, buf)
}

// world brings everybody up and lets them talk.
func world(t *testing.T) *bench {
	b := newBench(t)
	for _, n := range []string{"transit-a", "transit-b", "shop"} {
		b.up(n)
	}
	b.says("transit-a", "10.0.0.0/8 10.1.0.0/16 10.1.2.0/25", "64601 64610", "64601:1 64601:2")
	b.says("transit-b", "10.1.0.0/16 10.2.0.0/16", "64602 64620 64610", "64602:1 no-export")
	b.says("transit-b", "10.3.0.0/16", "64602 64500", "")
	b.says("shop", "203.0.113.0/24 10.9.0.0/16", "64700", "")
	b.engine.Do((*engine.Core).Settle)
	return b
}

// shown is a route on a line.
func shown(r *api.RouteInfo) string {
	s := fmt.Sprintf("%v %s", r.Prefix, r.Neighbor)
	if r.Rule != nil {
		s += fmt.Sprintf(" by %s/%s:%d", r.Rule.Policy, r.Rule.Rule, r.Rule.Position.Line)
	}
	return s + [...]string{" best", "", " rejected", " unreachable"}[r.Status]
}

func (b *bench) routes(q api.RouteQuery) []string {
	b.t.Helper()
	var got []string
	seen := map[prefix.Prefix]bool{}
	err := b.Routes(context.Background(), q, func(r api.RouteInfo) error {
		got = append(got, shown(&r))
		seen[r.Prefix] = true
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	limited := q.Limit > 0
	if c, err := b.CountRoutes(context.Background(), q); err != nil || !limited && (int(c.Paths) != len(got) || int(c.Prefixes) != len(seen)) {
		b.t.Errorf("%+v: counted %+v (%v), found %d in %d prefixes", q, c, err, len(got), len(seen))
	}
	return got
}

func TestRouterRoutes(t *testing.T) {
	b := world(t)
	p := prefix.MustParse("10.1.0.0/16")
	origin := uint32(64610)
	v6 := prefix.IPv6
	for _, c := range []struct {
		q    api.RouteQuery
		want []string
	}{
		{api.RouteQuery{View: api.ViewBest}, []string{"10.0.0.0/8 transit-a by in/rest:13 best", "10.1.0.0/16 transit-a by in/rest:13 best",
			"10.2.0.0/16 transit-b by in/rest:13 best", "198.51.100.0/24  best", "203.0.113.0/24 shop by theirs/listed:19 best"}},
		{api.RouteQuery{Prefix: &p}, []string{"10.1.0.0/16 transit-a by in/rest:13 best", "10.1.0.0/16 transit-b by in/rest:13"}},
		{api.RouteQuery{View: api.ViewRejected}, []string{"10.1.2.0/25 transit-a by in/small:9 rejected", "10.3.0.0/16 transit-b rejected", "10.9.0.0/16 shop by theirs/:18 rejected"}},
		{api.RouteQuery{View: api.ViewReceived, Neighbor: "shop"}, []string{"10.9.0.0/16 shop by theirs/:18 rejected", "203.0.113.0/24 shop by theirs/listed:19 best"}},
		{api.RouteQuery{View: api.ViewReceived, Neighbor: "2001:DB8:0::30", Limit: 1}, []string{"10.9.0.0/16 shop by theirs/:18 rejected"}},
		{api.RouteQuery{View: api.ViewAdvertised, Neighbor: "192.0.2.9"}, []string{"198.51.100.0/24  by out/all:25 best", "203.0.113.0/24 shop by out/all:25 best"}},
		{api.RouteQuery{Communities: []string{"64601:*", "64601:2"}}, []string{"10.0.0.0/8 transit-a by in/rest:13 best", "10.1.0.0/16 transit-a by in/rest:13 best"}},
		{api.RouteQuery{Communities: []string{"64601:1", "64601:3"}}, nil},
		{api.RouteQuery{Communities: []string{"no-export"}, Prefix: &p}, []string{"10.1.0.0/16 transit-b by in/rest:13"}},
		{api.RouteQuery{ASPath: "64602 .*"}, []string{"10.1.0.0/16 transit-b by in/rest:13", "10.2.0.0/16 transit-b by in/rest:13 best"}},
		{api.RouteQuery{View: api.ViewAdvertised, Neighbor: "shop", ASPath: "64500 64601 .*"}, []string{"10.0.0.0/8 transit-a by out/all:25 best", "10.1.0.0/16 transit-a by out/all:25 best"}},
		{api.RouteQuery{OriginAS: &origin, View: api.ViewBest, Neighbor: "transit-b"}, []string{"10.2.0.0/16 transit-b by in/rest:13 best"}},
		{api.RouteQuery{Family: &v6}, nil},
	} {
		if got := b.routes(c.q); !slices.Equal(got, c.want) {
			t.Errorf("%+v:\ngot  %q\nwant %q", c.q, got, c.want)
		}
	}
}

// TestLocalPref: the table has what the decision compares, what was received
// and is advertised is as on the wire.
func TestLocalPref(t *testing.T) {
	b := world(t)
	p := prefix.MustParse("203.0.113.0/24")
	for _, c := range []struct {
		q    api.RouteQuery
		want string
	}{
		{api.RouteQuery{}, "100"}, {api.RouteQuery{View: api.ViewBest}, "100"},
		{api.RouteQuery{View: api.ViewReceived}, ""}, {api.RouteQuery{View: api.ViewAdvertised, Neighbor: "transit-a"}, ""},
	} {
		c.q.Prefix = &p
		got := "no route"
		err := b.Routes(t.Context(), c.q, func(r api.RouteInfo) error {
			if got = ""; r.Attrs.Has&wire.HasLocalPref != 0 {
				got = fmt.Sprint(r.Attrs.LocalPref)
			}
			return nil
		})
		if err != nil || got != c.want {
			t.Errorf("%+v: local preference %q, want %q (%v)", c.q, got, c.want, err)
		}
	}
}

func TestRouterRouteInfo(t *testing.T) {
	b := world(t)
	before := time.Now()
	want := map[string]struct {
		source  api.Source
		address string
		reason  string
	}{
		"10.0.0.0/8":      {api.SourceProvider, "192.0.2.9", ""},
		"10.3.0.0/16":     {api.SourceProvider, "192.0.2.10", "our own AS is in the path"},
		"203.0.113.0/24":  {api.SourceCustomer, "2001:db8::30", ""},
		"198.51.100.0/24": {api.SourceOriginated, "invalid IP", ""},
	}
	n := 0
	for _, v := range []api.View{api.ViewBest, api.ViewRejected} {
		err := b.Routes(context.Background(), api.RouteQuery{View: v}, func(r api.RouteInfo) error {
			w, ok := want[r.Prefix.String()]
			if !ok {
				return nil
			}
			n++
			if r.Source != w.source || r.NeighborAddress.String() != w.address || r.Reason != w.reason {
				t.Errorf("%v: %+v, want %+v", r.Prefix, r, w)
			}
			if r.Learned.After(before) || before.Sub(r.Learned) > time.Minute {
				t.Errorf("%v: learned at %v, now is %v", r.Prefix, r.Learned, before)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n != len(want) {
		t.Errorf("%d of %d routes found", n, len(want))
	}
}

func kind(err error) api.Kind {
	var e *api.Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return api.KindOther
}

func TestRouterRefusesQueries(t *testing.T) {
	b := newBench(t)
	ctx := context.Background()
	for _, c := range []struct {
		q    api.RouteQuery
		kind api.Kind
		text string
	}{
		{api.RouteQuery{Neighbor: "nobody"}, api.KindNotFound, `there is no neighbor "nobody"`},
		{api.RouteQuery{View: api.ViewAdvertised}, api.KindInvalid, "name one"},
		{api.RouteQuery{View: 99}, api.KindInvalid, "view 99"},
		{api.RouteQuery{Communities: []string{"x"}}, api.KindInvalid, `"x" is not a community`},
		{api.RouteQuery{ASPath: "("}, api.KindInvalid, "AS-path pattern"},
	} {
		err := b.Routes(ctx, c.q, nil)
		if kind(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c.q, err)
		}
		if _, err := b.CountRoutes(ctx, c.q); kind(err) != c.kind {
			t.Errorf("count %+v: %v", c.q, err)
		}
	}
	wrong := errors.New("the client is gone")
	b = world(t)
	if err := b.Routes(ctx, api.RouteQuery{}, func(api.RouteInfo) error { return wrong }); err != wrong {
		t.Errorf("error of the callback: %v", err)
	}
}

func TestRouterLookupAndExplain(t *testing.T) {
	b := world(t)
	ctx := context.Background()
	var got []string
	add := func(r api.RouteInfo) error {
		got = append(got, shown(&r))
		return nil
	}
	if err := b.Lookup(ctx, "", netip.MustParseAddr("10.1.2.3"), add); err != nil ||
		!slices.Equal(got, []string{"10.1.0.0/16 transit-a by in/rest:13 best", "10.1.0.0/16 transit-b by in/rest:13"}) {
		t.Errorf("lookup: %q, %v", got, err)
	}
	if err := b.Lookup(ctx, "", netip.MustParseAddr("8.8.8.8"), add); kind(err) != api.KindNotFound {
		t.Errorf("lookup of what is not there: %v", err)
	}
	var lost []string
	err := b.Explain(ctx, "", prefix.MustParse("10.1.0.0/16"), func(c api.Candidate) error {
		if c.Lost != nil {
			lost = append(lost, fmt.Sprintf("%s %d %s %s %s", c.Neighbor, c.Lost.Step, c.Lost.Rule, c.Lost.Detail, c.Lost.To))
		}
		return nil
	})
	if err != nil || !slices.Equal(lost, []string{"transit-b 5 shorter AS path 2 < 3 transit-a"}) {
		t.Errorf("explain: %q, %v", lost, err)
	}
	// What was rejected has what the rule found, if it was one.
	for x, want := range map[string][]string{
		"10.1.2.0/25": {"prefix_length: 25 is in 25-32"},
		"10.3.0.0/16": nil, // our own AS
		"10.9.0.0/16": nil, // the end of the policy
		"10.1.0.0/16": nil, // accepted
	} {
		var found []string
		err := b.Explain(ctx, "", prefix.MustParse(x), func(c api.Candidate) error {
			for _, f := range c.Findings {
				found = append(found, f.Text)
				if f.Position.Line == 0 {
					t.Errorf("%s: %+v has no place", x, f)
				}
			}
			return nil
		})
		if err != nil || !slices.Equal(found, want) {
			t.Errorf("explain %s: found %q, want %q, %v", x, found, want, err)
		}
	}
	if err := b.Explain(ctx, "", prefix.MustParse("10.1.0.0/17"), nil); kind(err) != api.KindNotFound {
		t.Errorf("explain of what is not there: %v", err)
	}
}

// TestRouterQueriesWhileRoutesChange is for the race detector.
func TestRouterQueriesWhileRoutesChange(t *testing.T) {
	b := world(t)
	var wg sync.WaitGroup
	for _, f := range []func() error{
		func() error { _, err := b.CountRoutes(context.Background(), api.RouteQuery{ASPath: ".*"}); return err },
		func() error {
			return b.Routes(context.Background(), api.RouteQuery{}, func(r api.RouteInfo) error {
				if len(wire.PathText(r.Attrs.ASPath)) > 1000 {
					return errors.New("too long")
				}
				return nil
			})
		},
		func() error { _, err := b.Policies(context.Background(), ""); return err },
		func() error { _, err := b.Memory(context.Background()); return err },
		func() error { _, err := b.Summary(context.Background()); return err },
		func() error { _, err := b.Neighbors(context.Background()); return err },
	} {
		wg.Go(func() {
			for range 50 {
				if err := f(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 200 {
		b.says("transit-a", fmt.Sprintf("10.%d.0.0/16", i), fmt.Sprintf("64601 %d", 1+i%7), "64601:9")
	}
	wg.Wait()
}
