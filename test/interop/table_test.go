//go:build interop

package interop

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "holdfast/testkit/netlab"
)

// TestTable plays real dumps through holdfast to BIRD, whose table must equal
// them, route by route and attribute by attribute. With HOLDFAST_DATA it plays
// whole tables of the Internet as well.
func TestTable(t *testing.T) {
	t.Parallel()
	const testdata = "../../internal/mrt/testdata/"
	type feed struct {
		file string
		from string // a neighbor of the dump; empty is the busiest
	}
	feeds := []feed{
		{"../../internal/demo/table.mrt.gz", "196.223.14.55"},
		{"../../internal/demo/table.mrt.gz", "2001:1620:1::203"},
		{testdata + "bview.20020722.2337.gz", ""},
		{testdata + "bview.64k_stream_overflow.gz", ""},
		{testdata + "bview.ipv4_unicast_add_path.gz", ""},
		{testdata + "bview.ipv6_unicast_add_path.gz", ""},
		{testdata + "routeviews.route-views.jinx.updates.1401493500.bz2", ""},
		{testdata + "updates.20020722.2238.gz", "193.203.0.1"},
		{testdata + "updates.20100722.2015.gz", ""},
		{testdata + "updates.20160811.1600.gz", ""},
		{testdata + "updates.et-header.2015.gz", ""},
	}
	if data := os.Getenv("HOLDFAST_DATA"); data != "" {
		for _, name := range []string{
			"routeviews.route-views.jinx.ribs.1401487200.bz2", "routeviews6.rib.20150922.bz2", "bview.20020722.2337.gz",
			"updates.et-header.2015.gz", "routeviews6.updates.20150922.bz2", "updates.20160811.1600.gz",
			"updates.20070211.0141.gz", "updates.example.bz2",
		} {
			feeds = append(feeds, feed{filepath.Join(data, "mrt", name), ""})
		}
	}
	for _, f := range feeds {
		name := filepath.Base(f.file)
		if filepath.IsAbs(f.file) {
			name = "full/" + name
		}
		t.Run(strings.TrimSuffix(name+" "+f.from, " "), func(t *testing.T) {
			t.Parallel()
			var from netip.Addr
			if f.from != "" {
				from = netip.MustParseAddr(f.from)
			}
			playTable(t, f.file, loadDump(t, f.file, from))
		})
	}
}

// playTable plays d, which was read from the file, to holdfast and compares it
// with what BIRD has behind it.
func playTable(t *testing.T, file string, d *dump) {
	l := New(t)
	feeder, hf, other := l.Node("feeder"), l.Node("hf"), l.Node("other")
	family := IPv4
	if d.from.Addr.Is6() {
		family = IPv6
	}
	feed := Session{
		Name: "feed", Local: hf.Addr(family), Remote: feeder.Addr(family), AS: d.from.AS, Passive: true,
		Families: []Family{IPv4, IPv6}, AddPath: true,
	}
	router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Sessions: append(sessions(hf, other, otherAS, options{}), feed)})
	bird := BIRD().Start(other, Config{AS: otherAS, ID: other.V4, Sessions: sessions(other, hf, holdfastAS, options{})})
	for _, s := range []string{"v4", "v6"} {
		AwaitUp(t, router, s)
	}

	want, exceptions := expectTable(d)
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	replay := router.Replay(feeder, file, "--from", d.from.Addr.String(), "--to", hf.Addr(family).String(), "--source", feeder.Addr(family).String())
	patience := Patience + time.Duration(d.updates)*time.Millisecond
	Await(t, patience, "end of the replay", func() error {
		if err := replay.Running(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(replay.Log(), "all is sent") {
			return errors.New("it still sends")
		}
		return nil
	})
	sent := time.Since(begun)
	counts := map[Family]int{}
	for p := range want {
		counts[FamilyOf(p)]++
	}
	Await(t, patience, "all routes at BIRD", func() error {
		for f, s := range map[Family]string{IPv4: "v4", IPv6: "v6"} {
			n, err := CountBIRD(bird, s)
			if err != nil {
				return err
			}
			if n != counts[f] {
				return fmt.Errorf("it has %d %s routes, the dump %d; exceptions: %v", n, f, counts[f], exceptions)
			}
		}
		return nil
	})
	there := time.Since(begun)
	// The feeder shares the link (RFC 4271 section 5.1.3), but for the family that
	// it has no address for: there it plays the next hops of the dump.
	nextHops := map[Family]netip.Addr{IPv4: hf.V4, IPv6: hf.V6}
	nextHops[family] = feeder.Addr(family)
	Await(t, Patience, "equal table at BIRD", func() error {
		var got []Route
		for _, s := range []string{"v4", "v6"} {
			routes, err := bird.Received(s)
			if err != nil {
				return err
			}
			got = append(got, routes...)
		}
		return sameTable(nextHops, want, got)
	})
	t.Logf("AS%d %s, table %t: %d prefixes announced and withdrawn, %d compared; exceptions: %v; sent in %v, at BIRD after %v",
		d.from.AS, d.from.Addr, d.table, d.updates, len(want), exceptions, sent.Round(time.Millisecond), there.Round(time.Millisecond))
}

// expectTable is what BIRD must have of a dump: one of these paths for each
// prefix. What must not come through is counted by its reason.
func expectTable(d *dump) (want map[netip.Prefix][]*Route, exceptions map[string]int) {
	want, exceptions = map[netip.Prefix][]*Route{}, map[string]int{}
	crossed := map[*Route]*Route{}
	for p, paths := range d.paths {
		for _, r := range paths {
			if why := refuse(p, r); why != "" {
				exceptions[why]++
				continue
			}
			if strings.HasPrefix(r.Aggregator, "0 ") {
				exceptions["AGGREGATOR of AS 0, without which the route goes on (RFC 7607 section 2)"]++
			}
			if crossed[r] == nil {
				c := *r
				if strings.HasPrefix(c.Aggregator, "0 ") {
					c.Aggregator = ""
				}
				// Replay puts its own AS in front where it is missing.
				if first := fmt.Sprint(d.from.AS); !strings.HasPrefix(c.ASPath+" ", first+" ") {
					c.ASPath = Prepend(c.ASPath, d.from.AS)
				}
				c.ASPath = Prepend(c.ASPath, holdfastAS)
				crossed[r] = &c
			}
			want[p] = append(want[p], crossed[r])
		}
	}
	return want, exceptions
}

// refuse tells why a route must not come through, and is empty for those that
// must.
func refuse(p netip.Prefix, r *Route) string {
	path := strings.FieldsFunc(r.ASPath, func(c rune) bool { return strings.ContainsRune(" {}", c) })
	switch {
	case slices.Contains(path, "0"):
		return "AS 0 in the path (RFC 7607)"
	case slices.Contains(path, "confederation"):
		return "confederation segments from outside (RFC 5065)"
	case slices.Contains(path, fmt.Sprint(holdfastAS)):
		return "holdfast's AS in the path"
	case slices.Contains(path, fmt.Sprint(otherAS)):
		return "BIRD's AS in the path"
	}
	return ""
}

// sameTable is nil if got has exactly the prefixes of want, each with one of
// its paths, from holdfast.
func sameTable(nextHops map[Family]netip.Addr, want map[netip.Prefix][]*Route, got []Route) error {
	const enough = 20
	var diffs []string
	have := make(map[netip.Prefix]bool, len(got))
	for _, g := range got {
		if have[g.Prefix] {
			diffs = append(diffs, fmt.Sprintf("%s is there twice", g.Prefix))
		}
		have[g.Prefix] = true
		var differs []string
		for _, r := range want[g.Prefix] {
			w := *r
			w.Prefix, w.NextHop = g.Prefix, nextHops[FamilyOf(g.Prefix)]
			if differs = Diff(w, g); len(differs) == 0 {
				break
			}
		}
		if len(want[g.Prefix]) == 0 {
			differs = []string{fmt.Sprintf("%s should not be there (%s)", g.Prefix, g.ASPath)}
		}
		diffs = append(diffs, differs...)
	}
	for p := range maps.Keys(want) {
		if !have[p] {
			diffs = append(diffs, fmt.Sprintf("%s is missing (%s)", p, want[p][0].ASPath))
		}
	}
	if len(diffs) == 0 {
		return nil
	}
	slices.Sort(diffs)
	return fmt.Errorf("%d differences:\n\t%s", len(diffs), strings.Join(diffs[:min(enough, len(diffs))], "\n\t"))
}
