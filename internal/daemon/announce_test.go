package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

func (p *place) announce(lifetime time.Duration, all ...*pb.Announcement) error {
	q := &pb.AnnounceRequest{Announcements: all}
	if lifetime > 0 {
		q.Lifetime = durationpb.New(lifetime)
	}
	_, err := call(p, (*api.Client).Announce, q)
	return err
}

func (p *place) withdraw(prefixes ...string) *pb.WithdrawResponse {
	p.t.Helper()
	m, err := call(p, (*api.Client).Withdraw, &pb.WithdrawRequest{Prefixes: prefixes, All: len(prefixes) == 0})
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

func (p *place) announcements() []*pb.Announcement {
	p.t.Helper()
	m, err := call(p, (*api.Client).ListAnnouncements, &pb.ListAnnouncementsRequest{})
	if err != nil {
		p.t.Fatal(err)
	}
	return m.Announcements
}

// best is the route of a prefix in the table, "" if there is none.
func (p *place) best(prefix string) string {
	p.t.Helper()
	m, err := call(p, (*api.Client).Explain, &pb.ExplainRequest{Prefix: prefix})
	if kind(err) == api.KindNotFound {
		return ""
	}
	if err != nil || len(m.Candidates) != 1 {
		p.t.Fatalf("%v, %v", m, err)
	}
	a := m.Candidates[0].Route.Attributes
	s := fmt.Sprintf("%s med %d pref %d path %s", a.NextHop, a.GetMed(), a.GetLocalPref(), api.ASPathText(a.AsPath))
	for _, c := range a.Communities {
		s += " " + wire.CommunityText(c)
	}
	for _, c := range a.LargeCommunities {
		s += " " + api.LargeCommunityText(c)
	}
	return s
}

const originated = "originate \"own\" { prefixes = [\"198.51.100.0/24\"] }\n"

func newAnnouncePlace(t *testing.T) *place {
	p := newPlace(t)
	p.configure(free(t, "127.0.73.1"), "192.0.2.1", originated)
	return p
}

// TestAnnouncements: they are in the table when they are acknowledged, with
// their attributes, over reloads and restarts, until they are withdrawn.
func TestAnnouncements(t *testing.T) {
	p := newAnnouncePlace(t)
	stop := p.run()
	full := &pb.Announcement{Prefix: "203.0.113.7/32", Communities: []string{"blackhole", "64500:1:2", "blackhole"}, Med: new(uint32(10)),
		LocalPref: new(uint32(150)), NextHop: "192.0.2.9", Prepend: 2, Reason: "attack", By: "somebody else"}
	const want = "192.0.2.9 med 10 pref 150 path 64500 64500 blackhole 64500:1:2"
	const own = " med 0 pref 100 path "
	if err := p.announce(time.Hour, full, &pb.Announcement{Prefix: "198.51.100.0/24", Prepend: 1}); err != nil {
		t.Fatal(err)
	}
	check := func(when string) {
		t.Helper()
		if got := p.best("203.0.113.7/32"); got != want {
			t.Errorf("%s: %s", when, got)
		}
		if got := p.best("198.51.100.0/24"); got != own+"64500" {
			t.Errorf("%s: %s", when, got)
		}
		all := p.announcements()
		if len(all) != 2 || all[1].Prefix != full.Prefix || all[1].Reason != "attack" || all[1].By == "somebody else" ||
			len(all[1].Communities) != 2 || time.Until(all[1].Until.AsTime()) < 59*time.Minute || time.Since(all[1].Since.AsTime()) > time.Minute {
			t.Errorf("%s: %v", when, all)
		}
	}
	check("announced")
	text, err := os.ReadFile(p.o.ConfigPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.o.ConfigPath, append(text, "originate \"more\" { prefixes = [\"198.51.101.0/24\"] }\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.reload(); err != nil {
		t.Error(err)
	}
	check("reloaded")
	stop()
	stop = p.run()
	check("restarted")
	if err := p.announce(0, &pb.Announcement{Prefix: "203.0.113.7/32"}); err != nil {
		t.Error(err)
	}
	if got := p.best("203.0.113.7/32"); got != own {
		t.Errorf("announced again: %s", got)
	}
	if got := p.announcements()[1]; got.Until != nil || got.Reason != "" {
		t.Errorf("announced again: %v", got)
	}
	m := p.withdraw("203.0.113.7/32", "198.51.100.0/24", "203.0.113.7/32", "192.0.2.0/24")
	if got := fmt.Sprint(m.Withdrawn, m.Originated); got != "[203.0.113.7/32 198.51.100.0/24] [198.51.100.0/24]" {
		t.Errorf("withdrawn is %s", got)
	}
	stop()
	p.run()
	if got := p.best("203.0.113.7/32") + p.best("198.51.100.0/24"); got != own || len(p.announcements()) > 0 {
		t.Errorf("withdrawn and restarted: %s", got)
	}
	if m := p.withdraw("198.51.100.0/24"); len(m.Withdrawn) > 0 || fmt.Sprint(m.Originated) != "[198.51.100.0/24]" {
		t.Errorf("withdrawn is %v, originated %v", m.Withdrawn, m.Originated)
	}
	if m := p.withdraw(); len(m.Withdrawn) > 0 {
		t.Errorf("withdrawn is %v", m)
	}
}

// TestAnnouncementsEnd: with a lifetime they go by themselves, unless they are
// renewed, and a router that starts afterwards begins without them.
func TestAnnouncementsEnd(t *testing.T) {
	p := newAnnouncePlace(t)
	stop := p.run()
	if err := p.announce(time.Hour, &pb.Announcement{Prefix: "203.0.113.0/24"}, &pb.Announcement{Prefix: "203.0.114.0/24"}); err != nil {
		t.Fatal(err)
	}
	if err := p.announce(200*time.Millisecond, &pb.Announcement{Prefix: "203.0.113.0/24"}); err != nil {
		t.Fatal(err)
	}
	p.await("route-expired prefix=203.0.113.0/24 routes=1")
	if p.best("203.0.113.0/24") != "" || p.best("203.0.114.0/24") == "" || len(p.announcements()) != 1 {
		t.Errorf("there are %v", p.announcements())
	}
	stop()
	file := filepath.Join(p.o.StateDir, "announcements.json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), `"until":"`)
	past := string(text[:at]) + `"until":"2020-01-01T00:00:00Z"}` + "\n}\n"
	if err := os.WriteFile(file, []byte(past), 0o600); err != nil {
		t.Fatal(err)
	}
	p.run()
	if p.best("203.0.114.0/24") != "" || len(p.announcements()) > 0 {
		t.Errorf("after its time there are %v", p.announcements())
	}
}

// TestAnnouncementsBounded: all or none of a call, and no more than can be
// written.
func TestAnnouncementsBounded(t *testing.T) {
	p := newAnnouncePlace(t)
	p.run()
	var all []*pb.Announcement
	for i := range mostAnnouncements {
		all = append(all, &pb.Announcement{Prefix: fmt.Sprintf("10.%d.%d.0/24", i>>8, i&255)})
	}
	for i := 0; i < len(all); i += 2000 {
		if err := p.announce(0, all[i:i+2000]...); err != nil {
			t.Fatal(err)
		}
	}
	more := &pb.Announcement{Prefix: "203.0.113.0/24"}
	if err := p.announce(0, all[0], more); kind(err) != api.KindRefused || err.Error() != "cannot announce 1 more: 10000 of 10000 that can stand do; withdraw some" {
		t.Error(err)
	}
	if err := p.announce(0, all[0], all[1]); err != nil {
		t.Error(err)
	}
	if err := os.Rename(p.o.StateDir, p.o.StateDir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := p.announce(0, &pb.Announcement{Prefix: all[0].Prefix, Med: new(uint32(1))}); err == nil || !strings.HasPrefix(err.Error(), "nothing has changed") {
		t.Error(err)
	}
	if got := p.best("10.0.0.0/24"); got != " med 0 pref 100 path " {
		t.Errorf("it is %s", got)
	}
}

// TestAnnouncersTogether: many at once, who announce and withdraw the same
// prefixes, leave in the table what is on the disk.
func TestAnnouncersTogether(t *testing.T) {
	p := newAnnouncePlace(t)
	stop := p.run()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 20 {
				prefix := fmt.Sprintf("203.0.%d.0/24", j%4)
				if (i+j)%3 == 0 {
					p.withdraw(prefix)
				} else if err := p.announce(0, &pb.Announcement{Prefix: prefix, Med: new(uint32(i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	seen := func() (s string) {
		for j := range 4 {
			s += p.best(fmt.Sprintf("203.0.%d.0/24", j)) + "; "
		}
		return s
	}
	before := seen()
	stop()
	p.run()
	if after := seen(); after != before {
		t.Errorf("in the table was %s, on the disk %s", before, after)
	}
}

// TestAnnouncementByHand: what could not be withdrawn by its prefix is not taken
// from a file.
func TestAnnouncementByHand(t *testing.T) {
	for key, want := range map[string]string{"2001:db8::/32": "", "2001:DB8::/32": "write 2001:db8::/32", "2001:db8:0::/32": "write 2001:db8::/32"} {
		got := ""
		if err := checkAnnounced(key, &announced{Since: time.Now()}); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
}
