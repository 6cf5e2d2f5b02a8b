package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/session"
)

// scrape is what Prometheus gets.
func scrape(t *testing.T, at netip.AddrPort) string {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(fmt.Sprintf("http://%v/metrics", at))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%s: %v\n%s", r.Status, err, text)
	}
	return string(text)
}

// awaitSeries scrapes until there are these series.
func awaitSeries(t *testing.T, at netip.AddrPort, want ...string) {
	t.Helper()
	var missing []string
	text := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		missing, text = nil, scrape(t, at)
		for _, w := range want {
			if !strings.Contains(text, "\n"+w+"\n") {
				missing = append(missing, w)
			}
		}
		if missing == nil {
			return
		}
	}
	t.Fatalf("there is no %s in\n%s", strings.Join(missing, ", no "), text)
}

// TestMetrics scrapes a router during a session, and while its configuration
// changes.
func TestMetrics(t *testing.T) {
	at, metrics := free(t, "127.0.73.1"), free(t, "127.0.73.1")
	a, b := newPlace(t), newPlace(t)
	neighbor := func(host string, port uint16, local string) string {
		return fmt.Sprintf("neighbor \"them\" {\n  address = %q\n  local_address = %q\n  port = %d\n  asn = 64500\n  idle_hold = \"1s\"\n  next_hop = \"192.0.2.77\"\n  max_prefixes = 1000\n}\n", host, local, port)
	}
	there := free(t, "127.0.73.2")
	own := "originate \"own\" {\n  prefixes = [\"203.0.113.0/24\", \"198.51.100.0/24\"]\n}\n"
	a.configure(at, "192.0.2.1", neighbor("127.0.73.2", there.Port(), "127.0.73.1"))
	b.configure(there, "192.0.2.2", neighbor("127.0.73.1", at.Port(), "127.0.73.2")+own)
	a.run()
	b.run()
	a.await("event=neighbor-up")

	// Metrics come with a reload.
	served := func(p *place, metrics netip.AddrPort, more string) {
		p.configure(at, "192.0.2.1", neighbor("127.0.73.2", there.Port(), "127.0.73.1")+more)
		p.edit("kernel = false", fmt.Sprintf("kernel = false\n  metrics = %q", metrics))
	}
	served(a, metrics, "")
	if _, err := a.reload(); err != nil {
		t.Fatal(err)
	}
	awaitSeries(t, metrics,
		`holdfast_router_info{asn="64500",router_id="192.0.2.1"} 1`,
		`holdfast_neighbor_up{neighbor="them"} 1`,
		`holdfast_neighbor_flaps_total{neighbor="them"} 0`,
		`holdfast_neighbor_prefixes{family="ipv4",kind="received",neighbor="them"} 2`,
		`holdfast_neighbor_prefixes{family="ipv4",kind="accepted",neighbor="them"} 2`,
		`holdfast_neighbor_prefixes{family="ipv4",kind="advertised",neighbor="them"} 0`,
		`holdfast_neighbor_prefix_limit{family="ipv4",kind="received",neighbor="them"} 1000`,
		`holdfast_table_prefixes{family="ipv4",table="main"} 2`,
		`holdfast_config_revision 2`,
		`holdfast_config_last_reload_successful 1`)

	c := api.Dial(a.o.SocketPath)
	defer c.Close()
	if _, err := c.ClearNeighbors(t.Context(), connect.NewRequest(&pb.ClearNeighborsRequest{All: true, Mode: pb.ClearMode_CLEAR_MODE_HARD})); err != nil {
		t.Fatal(err)
	}
	awaitSeries(t, metrics,
		`holdfast_neighbor_up{neighbor="them"} 1`,
		`holdfast_neighbor_flaps_total{neighbor="them"} 1`,
		`holdfast_neighbor_messages_total{direction="out",neighbor="them",type="notification"} 1`)

	// A configuration that is refused changes nothing but this.
	a.configure(at, "192.0.2.1", "nonsense {}\n")
	if _, err := a.reload(); err == nil {
		t.Fatal("nonsense is running")
	}
	awaitSeries(t, metrics, `holdfast_config_revision 2`, `holdfast_config_last_reload_successful 0`)

	// Another port, and one that somebody has.
	moved := free(t, "127.0.73.1")
	served(a, moved, "")
	if _, err := a.reload(); err != nil {
		t.Fatal(err)
	}
	awaitSeries(t, moved, `holdfast_config_revision 3`, `holdfast_config_last_reload_successful 1`)
	busy := taken(t)
	served(a, busy, "")
	if _, err := a.reload(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("cannot serve metrics on %v: address already in use", busy)) {
		t.Errorf("reload says %v", err)
	}
}

// TestStartWithoutMetrics: a port that is taken is no reason not to route.
func TestStartWithoutMetrics(t *testing.T) {
	p := newPlace(t)
	p.configure(free(t, "127.0.73.1"), "192.0.2.1", "")
	p.edit("kernel = false", fmt.Sprintf("kernel = false\n  metrics = %q", taken(t)))
	p.start()
	p.await("event=metrics-unavailable")
	p.await("event=router-running")
}

// BenchmarkScrape measures what a scrape costs the engine's loop, which must not
// depend on the tables.
func BenchmarkScrape(b *testing.B) {
	const neighbors = 500
	text := strings.Builder{}
	text.WriteString("router {\n  asn = 64500\n  id = \"192.0.2.1\"\n  listen = []\n  kernel = false\n}\n")
	for i := range neighbors {
		fmt.Fprintf(&text, "neighbor \"n%d\" {\n  address = \"10.0.%d.%d\"\n  asn = 64500\n  passive = true\n  families = [\"ipv4\", \"ipv6\"]\n}\n", i, i/250, 1+i%250)
	}
	quiet := slog.New(slog.DiscardHandler)
	d := &daemon{ids: &numbers{}, engine: engine.New(quiet), started: time.Now()}
	d.sessions = session.New(d.engine, quiet)
	var err error
	if d.bfd, err = bfd.NewDriver(quiet, d.bfdChanged); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(d.bfd.Close)
	b.Cleanup(func() { d.sessions.Close("") })
	cfg, diags := config.Parse("bench.hcl", []byte(text.String()))
	if diags.HasErrors() {
		b.Fatal(diags.Err())
	}
	compiled, err := engineConfig(cfg, d.ids, 1)
	if err != nil {
		b.Fatal(err)
	}
	d.running = cfg
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go d.engine.Run(ctx)
	d.engine.Do(func(c *engine.Core) { c.Configure(compiled) })
	before := d.engine.Load()
	b.ResetTimer()
	for range b.N {
		f, err := d.figures(ctx)
		if err != nil || len(f.Neighbors) != neighbors {
			b.Fatal(len(f.Neighbors), err)
		}
	}
	b.ReportMetric(float64((d.engine.Load().Commands-before.Commands).Microseconds())/float64(b.N), "loop-µs/op")
}
