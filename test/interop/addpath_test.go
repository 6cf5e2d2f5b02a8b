//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestAddPathSend sends all paths of a prefix, then the best ones, while they
// come and go (RFC 7911). What reads ExaBGP's messages keeps one path for each
// prefix.
func TestAddPathSend(t *testing.T) {
	each(t, func(m Make) bool { return m.Kind != ExaBGP().Kind }, func(t *testing.T, m Make) {
		l := New(t)
		prefix := netip.MustParsePrefix("198.51.100.0/24")
		var upstream []Router
		var more []Session
		us := netip.AddrFrom4([4]byte{10, 0, 0, 4}) // the fourth node
		for i, name := range []string{"a", "b", "c"} {
			n, as := l.Node(name), uint32(64701+i)
			upstream = append(upstream, BIRD().Start(n, Config{AS: as, ID: n.V4, Routes: []Route{{Prefix: prefix, Origin: "igp", ASPath: strings.TrimSpace(strings.Repeat("64800 ", i))}},
				Sessions: []Session{{Name: "transit", Local: n.V4, Remote: us, AS: holdfastAS, Families: []Family{IPv4}}}}))
			more = append(more, Session{Name: "from" + name, Local: us, Remote: n.V4, AS: as, Families: []Family{IPv4}})
		}
		p := connect(t, m, options{lab: l, change: func(s *Session) { s.PathsIn = s.Name == "v4" }, hfMore: more})
		if p.hfNode.V4 != us {
			t.Fatalf("holdfast is at %s", p.hfNode.V4)
		}
		p.up(t, "v4")
		path := func(i int) Route { // next hops on the link stay
			return p.make.Shows(Route{Prefix: prefix, NextHop: netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), Origin: "igp",
				ASPath: strings.TrimSpace(fmt.Sprintf("%d %d %s", holdfastAS, 64701+i, strings.Repeat("64800 ", i)))})
		}
		AwaitRoutes(t, p.other, "v4", []Route{path(0), path(1), path(2)})
		ids := func() (ids []uint32) {
			var table struct {
				Routes []struct {
					PathID uint32 `json:"path_id"`
				} `json:"routes"`
			}
			if err := p.hf.AskJSON(&table, "show", "routes", "--neighbor", "v4", "--advertised"); err != nil {
				t.Fatal(err)
			}
			for _, r := range table.Routes {
				ids = append(ids, r.PathID)
			}
			slices.Sort(ids)
			return ids
		}
		if got := ids(); fmt.Sprint(got) != "[1 2 3]" {
			t.Errorf("path IDs %v, want 1 to 3", got)
		}

		upstream[0].Withdraw(Route{Prefix: prefix})
		AwaitRoutes(t, p.other, "v4", []Route{path(1), path(2)})
		upstream[0].Announce(Route{Prefix: prefix, Origin: "igp"})
		AwaitRoutes(t, p.other, "v4", []Route{path(0), path(1), path(2)})

		p.hf.Edit(func(s *Session) {
			if s.Name == "v4" {
				s.More = "  add_path_send = 2"
			}
		})
		AwaitRoutes(t, p.other, "v4", []Route{path(0), path(1)})
		upstream[0].Withdraw(Route{Prefix: prefix})
		AwaitRoutes(t, p.other, "v4", []Route{path(1), path(2)})
		upstream[0].Announce(Route{Prefix: prefix, Origin: "igp"})
		AwaitRoutes(t, p.other, "v4", []Route{path(0), path(1)})
	})
}
