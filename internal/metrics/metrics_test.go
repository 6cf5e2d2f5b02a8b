package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"holdfast/internal/api"
	"holdfast/internal/engine"
	"holdfast/internal/prefix"
)

// figures have every metric at least once.
func figures() *Figures {
	at := time.Unix(1_790_000_000, 500e6)
	a := api.NeighborDetail{
		Neighbor: api.Neighbor{
			Name: "transit-a", Group: "transit", Address: netip.MustParseAddr("192.0.2.9"), ASN: 64601, State: api.Established,
			Families: []api.NeighborFamily{
				{Family: prefix.IPv4, Received: 3, Accepted: 2, Advertised: 1, MaxAdvertised: 1, HeldBack: 8, Stale: 2, StaleUntil: time.Unix(1, 0), Limit: &api.PrefixLimit{Max: 1000, Received: true}},
				{Family: prefix.IPv6, Limit: &api.PrefixLimit{Max: 500}},
			},
		},
		LastEstablished: at, LastDown: at.Add(-time.Minute), Negotiated: &api.Negotiated{},
		Counters: api.Counters{
			In:       api.MessageCounts{Open: 3, Update: 4, Notification: 1, Keepalive: 5, Refresh: 6, Bytes: 700},
			Out:      api.MessageCounts{Open: 4, Update: 8, Bytes: 900},
			Sessions: 3, TreatAsWithdraw: 7, Discarded: 8, Unsendable: 9, Queued: 10, Leaks: 12,
		},
		BFD: &api.BFD{State: 3, Failures: 2, Sent: 20, Received: 30, Missed: 4},
	}
	b := api.NeighborDetail{Neighbor: api.Neighbor{Name: "shop \"x\"\n", Address: netip.MustParseAddr("fe80::1%eth0"), ASN: 64700,
		State: api.Active, Shutdown: true, Held: true, Pending: true}}
	return &Figures{
		Summary:   api.Summary{ASN: 64500, RouterID: netip.MustParseAddr("192.0.2.1"), Revision: 7, Configured: at},
		Neighbors: []api.NeighborDetail{a, b},
		Tables: []Table{{"main", prefix.IPv4, engine.TableState{Prefixes: 2, Paths: 3, Originated: 1, Groups: 4, Behind: 5}},
			{"main", prefix.IPv6, engine.TableState{}}},
		RPKI: api.RPKI{VRPs: [prefix.Families]int{5, 6}, Sources: []api.RPKISource{
			{Name: "cache", State: "up", Serial: 88, VRPs: [prefix.Families]int{4, 6}, Updated: at, Expires: at.Add(time.Hour)},
			{Name: "file", File: "x.json", State: "down", VRPs: [prefix.Families]int{1, 0}}}},
		Memory:   api.Memory{Items: []api.MemoryItem{{Name: "ipv4 journal", Bytes: 100}, {Name: "attribute blocks", Bytes: 200, Count: 5}}},
		Load:     engine.Load{Updates: 1500 * time.Millisecond, Commands: time.Second, Work: 2 * time.Second, Queued: 1, Capacity: 32, Monitors: 2, Missed: 11},
		Answered: time.Millisecond,
	}
}

func fixed() Source { return func(context.Context) (*Figures, error) { return figures(), nil } }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// scrape asks as Prometheus does, and reads the answer with its parser.
func scrape(t *testing.T, s Source) (int, map[string]*dto.MetricFamily) {
	t.Helper()
	w := httptest.NewRecorder()
	NewServer(s, quiet()).handler.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		return w.Code, nil
	}
	p := expfmt.NewTextParser(model.UTF8Validation)
	all, err := p.TextToMetricFamilies(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, all
}

// text is the series of a metric, as they are written.
func text(f *dto.MetricFamily) string {
	var b strings.Builder
	if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
		return err.Error()
	}
	return b.String()
}

func TestScrape(t *testing.T) {
	_, all := scrape(t, fixed())
	for _, want := range []string{
		`holdfast_router_info{asn="64500",router_id="192.0.2.1"} 1`,
		`holdfast_config_revision 7`,
		`holdfast_config_applied_timestamp_seconds 1.7900000005e+09`,
		`holdfast_config_last_reload_successful 1`,
		`holdfast_rpki_vrps{family="ipv6"} 6`,
		`holdfast_rpki_source_up{source="cache"} 1`,
		`holdfast_rpki_source_up{source="file"} 0`,
		`holdfast_rpki_source_vrps{family="ipv4",source="file"} 1`,
		`holdfast_rpki_source_serial{source="cache"} 88`,
		`holdfast_rpki_source_updated_timestamp_seconds{source="cache"} 1.7900000005e+09`,
		`holdfast_rpki_source_expires_timestamp_seconds{source="cache"} 1.7900036005e+09`,
		`holdfast_neighbor_info{address="192.0.2.9",asn="64601",group="transit",neighbor="transit-a"} 1`,
		`holdfast_neighbor_info{address="fe80::1%eth0",asn="64700",group="",neighbor="shop \"x\"\n"} 1`,
		`holdfast_neighbor_up{neighbor="transit-a"} 1`,
		`holdfast_neighbor_bfd_up{neighbor="transit-a"} 1`,
		`holdfast_neighbor_bfd_failures_total{neighbor="transit-a"} 2`,
		`holdfast_neighbor_bfd_packets_total{kind="missed",neighbor="transit-a"} 4`,
		`holdfast_neighbor_up{neighbor="shop \"x\"\n"} 0`,
		`holdfast_neighbor_state{neighbor="transit-a"} 6`,
		`holdfast_neighbor_state{neighbor="shop \"x\"\n"} 3`,
		`holdfast_neighbor_shutdown{neighbor="shop \"x\"\n"} 1`,
		`holdfast_neighbor_held{neighbor="shop \"x\"\n"} 1`,
		`holdfast_neighbor_pending{neighbor="shop \"x\"\n"} 1`,
		`holdfast_neighbor_flaps_total{neighbor="transit-a"} 2`,
		`holdfast_neighbor_flaps_total{neighbor="shop \"x\"\n"} 0`,
		`holdfast_neighbor_last_established_timestamp_seconds{neighbor="transit-a"} 1.7900000005e+09`,
		`holdfast_neighbor_last_down_timestamp_seconds{neighbor="transit-a"} 1.7899999405e+09`,
		`holdfast_neighbor_prefixes{family="ipv4",kind="received",neighbor="transit-a"} 3`,
		`holdfast_neighbor_prefixes{family="ipv4",kind="accepted",neighbor="transit-a"} 2`,
		`holdfast_neighbor_prefixes{family="ipv4",kind="advertised",neighbor="transit-a"} 1`,
		`holdfast_neighbor_prefixes{family="ipv6",kind="advertised",neighbor="transit-a"} 0`,
		`holdfast_neighbor_paths_stale{family="ipv4",neighbor="transit-a"} 2`,
		`holdfast_neighbor_prefixes_held_back{family="ipv4",neighbor="transit-a"} 8`,
		`holdfast_neighbor_prefix_limit{family="ipv4",kind="received",neighbor="transit-a"} 1000`,
		`holdfast_neighbor_prefix_limit{family="ipv6",kind="accepted",neighbor="transit-a"} 500`,
		`holdfast_neighbor_messages_total{direction="in",neighbor="transit-a",type="open"} 3`,
		`holdfast_neighbor_messages_total{direction="in",neighbor="transit-a",type="update"} 4`,
		`holdfast_neighbor_messages_total{direction="in",neighbor="transit-a",type="notification"} 1`,
		`holdfast_neighbor_messages_total{direction="in",neighbor="transit-a",type="keepalive"} 5`,
		`holdfast_neighbor_messages_total{direction="in",neighbor="transit-a",type="route_refresh"} 6`,
		`holdfast_neighbor_messages_total{direction="out",neighbor="transit-a",type="update"} 8`,
		`holdfast_neighbor_bytes_total{direction="in",neighbor="transit-a"} 700`,
		`holdfast_neighbor_bytes_total{direction="out",neighbor="transit-a"} 900`,
		`holdfast_neighbor_malformed_updates_total{action="treat_as_withdraw",neighbor="transit-a"} 7`,
		`holdfast_neighbor_route_leaks_total{neighbor="transit-a"} 12`,
		`holdfast_neighbor_malformed_updates_total{action="attribute_discard",neighbor="transit-a"} 8`,
		`holdfast_neighbor_unsendable_routes_total{neighbor="transit-a"} 9`,
		`holdfast_neighbor_queued_packets{neighbor="transit-a"} 10`,
		`holdfast_table_prefixes{family="ipv4",table="main"} 2`,
		`holdfast_table_paths{family="ipv4",table="main"} 3`,
		`holdfast_table_originated_prefixes{family="ipv4",table="main"} 1`,
		`holdfast_update_groups{family="ipv4",table="main"} 4`,
		`holdfast_update_group_neighbors_behind{family="ipv4",table="main"} 5`,
		`holdfast_engine_busy_seconds_total{activity="updates"} 1.5`,
		`holdfast_engine_busy_seconds_total{activity="commands"} 1`,
		`holdfast_engine_busy_seconds_total{activity="work"} 2`,
		`holdfast_engine_queue_length 1`,
		`holdfast_engine_queue_capacity 32`,
		`holdfast_engine_answer_seconds 0.001`,
		`holdfast_monitors 2`,
		`holdfast_monitor_events_missed_total 11`,
		`holdfast_memory_bytes{structure="ipv4 journal"} 100`,
		`holdfast_memory_objects{structure="attribute blocks"} 5`,
	} {
		name, _, _ := strings.Cut(want, " ")
		name, _, _ = strings.Cut(name, "{")
		if f := all[name]; f == nil || !strings.Contains(text(f), "\n"+want+"\n") {
			t.Errorf("there is no %s in\n%s", want, text(f))
		}
	}
	for name, series := range map[string]int{"holdfast_neighbor_last_down_timestamp_seconds": 1, "holdfast_memory_objects": 1, "holdfast_neighbor_up": 2} {
		if got := len(all[name].GetMetric()); got != series {
			t.Errorf("%s has %d series, want %d", name, got, series)
		}
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", "holdfast_build_info"} {
		if all[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestLint holds the names, types and help texts to what Prometheus asks for, and
// what is described to what comes.
func TestLint(t *testing.T) {
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(newCollector(fixed()))
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if got, err := r.Gather(); err != nil || len(got) != len(all()) {
		t.Errorf("%d of %d metrics have a series here: %v", len(got), len(all()), err)
	}
}

// TestStopping: without figures there is an error, and no metrics that look as if
// everything were at zero.
func TestStopping(t *testing.T) {
	code, _ := scrape(t, func(context.Context) (*Figures, error) { return nil, errors.New("the router is stopping") })
	if code != 500 {
		t.Errorf("status %d", code)
	}
}

// TestDocs holds docs/metrics.md and the code together.
func TestDocs(t *testing.T) {
	const path = "../../docs/metrics.md"
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(holdfast_[a-z_]+)` \\| (\\w+) \\|([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		documented[m[1]] = m[2] + " " + strings.ReplaceAll(strings.TrimSpace(m[3]), "`", "")
	}
	kinds := map[prometheus.ValueType]string{gauge: "gauge", counter: "counter"}
	for _, m := range all() {
		want := kinds[m.kind] + " " + strings.Join(m.labels, ", ")
		if got := documented[m.name]; got != want {
			t.Errorf("%s says of %s %q, want %q", path, m.name, got, want)
		}
		delete(documented, m.name)
	}
	for name := range documented {
		t.Errorf("%s has %s, which there is not", path, name)
	}
}
