//go:build interop

package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "holdfast/testkit/netlab"
)

// watchedEdge is an edge with BFD every 300 ms: neighbors wait for so many packets.
type watchedEdge struct {
	*edge
	multiplier int
}

// newWatchedEdge is one whose neighbors have all routes.
func newWatchedEdge(t *testing.T, multiplier int) *watchedEdge {
	t.Helper()
	e := &watchedEdge{newEdge(t), multiplier}
	with := func(s []Session) []Session {
		for i := range s {
			s[i].BFD, s[i].More = true, fmt.Sprint("  bfd_multiplier = ", multiplier)
		}
		return s
	}
	e.sessions = with(slices.Concat(wired("bird", e.toBIRD, e.atBIRD, birdAS), wired("frr", e.toFRR, e.atFRR, frrAS)))
	e.router = StartHoldfast(e.hf, Config{AS: holdfastAS, ID: e.hf.V4, Router: "kernel = true", Sessions: e.sessions, Routes: []Route{plain("203.0.113.0/24")}})
	e.bird = BIRD().Start(e.birdN, Config{AS: birdAS, ID: e.birdN.V4, Sessions: with(wired("", e.atBIRD, e.toBIRD, holdfastAS)), Routes: anycastRoutes()})
	e.frr = FRR().Start(e.frrN, Config{AS: frrAS, ID: e.frrN.V4, Sessions: with(wired("", e.atFRR, e.toFRR, holdfastAS))})
	e.up()
	awaitHas(t, e.frr, "v4", anycast[IPv4], plain("203.0.113.0/24").Prefix)
	awaitHas(t, e.bird, "v4", plain("203.0.113.0/24").Prefix)
	e.awaitBFD()
	return e
}

// awaitBFD waits until BFD is up with all neighbors, and they know at which
// intervals.
func (e *watchedEdge) awaitBFD() {
	e.t.Helper()
	Await(e.t, Patience, "BFD", func() error {
		var m struct {
			Sessions []struct {
				State       string
				RemoteState string `json:"remote_state"`
			}
		}
		if err := e.router.AskJSON(&m, "show", "bfd"); err != nil {
			return err
		}
		for _, s := range m.Sessions {
			if s.State != "up" || s.RemoteState != "up" {
				return fmt.Errorf("it is %+v", m.Sessions)
			}
		}
		if len(m.Sessions) != 4 {
			return fmt.Errorf("it has %+v", m.Sessions)
		}
		all, err := e.theirBFD()
		if atBIRD, atFRR := fmt.Sprintf(" 0.300 %.3f", 0.3*float64(e.multiplier)), " 300}"; err == nil && (strings.Count(all, atBIRD) != 2 || strings.Count(all, atFRR) != 2) {
			err = fmt.Errorf("they have not agreed yet:\n%s", all)
		}
		return err
	})
}

// theirBFD is what BIRD and FRR say of their BFD sessions: since when they are up,
// how long they wait for us, with which discriminators, and how often they have
// gone down. An error says which is not up.
func (e *watchedEdge) theirBFD() (string, error) {
	out, err := e.birdN.Output("birdc", "-s", filepath.Join(e.birdN.Dir, "bird.ctl"), "show bfd sessions")
	if err != nil {
		return "", err
	}
	var all []string
	for line := range strings.Lines(out) { // address, interface, state, since, interval, timeout
		if f := strings.Fields(line); len(f) == 6 && f[5] != "Timeout" {
			if f[2] != "Up" {
				return "", fmt.Errorf("BIRD says %s", out)
			}
			all = append(all, strings.Join(f, " "))
		}
	}
	if len(all) != 2 {
		return "", fmt.Errorf("BIRD has %s", out)
	}
	ask := func(v any, command string) error {
		out, err := e.frrN.Output("vtysh", "--vty_socket", e.frrN.Dir, "-d", "bfdd", "-c", command)
		if err == nil {
			err = json.Unmarshal([]byte(out), v)
		}
		return err
	}
	var peers []struct {
		Peer, Status  string
		ID            uint32
		RemoteID      uint32 `json:"remote-id"`
		RemoteSending int    `json:"remote-transmit-interval"`
	}
	var counters []struct {
		Peer string
		Ups  int `json:"session-up"`
		Down int `json:"session-down"`
	}
	if err := ask(&peers, "show bfd peers json"); err != nil {
		return "", err
	}
	if err := ask(&counters, "show bfd peers counters json"); err != nil {
		return "", err
	}
	for _, p := range peers {
		if p.Status != "up" {
			return "", fmt.Errorf("FRR says %+v", peers)
		}
		all = append(all, fmt.Sprint(p))
	}
	for _, c := range counters {
		all = append(all, fmt.Sprint(c))
	}
	if len(peers) != 2 || len(counters) != 2 {
		return "", fmt.Errorf("FRR has %+v, %+v", peers, counters)
	}
	slices.Sort(all)
	return strings.Join(all, "\n"), nil
}

// unnoticed has the router end and come back, and BFD, routes and packets of
// neighbors do not notice.
func (e *watchedEdge) unnoticed(end func()) {
	t := e.t
	t.Helper()
	before, err := e.theirBFD()
	if err != nil {
		t.Fatal(err)
	}
	streams := e.streams()
	streams.answeredBy(t, "bird")
	unwatch := asked(t, map[Router]string{e.frr: "v4"}, anycast[IPv4], plain("203.0.113.0/24").Prefix)
	unwatchBIRD := asked(t, map[Router]string{e.bird: "v4"}, plain("203.0.113.0/24").Prefix)
	earlier := len(e.router.Process().Log())
	log := func() string { return e.router.Process().Log()[earlier:] } // all runs have one
	began := time.Now()
	end()
	t.Logf("it answers after %v", time.Since(began))
	e.up()
	e.awaitBFD()
	Await(t, Patience, "end of the restart", func() error {
		if !strings.Contains(log(), "event=restart-over") {
			return fmt.Errorf("it goes on")
		}
		return nil
	})
	streams.answeredBy(t, "bird")
	unwatch()
	unwatchBIRD()
	streams.lossless(t)
	if now, err := e.theirBFD(); err != nil || now != before {
		t.Errorf("BFD at the neighbors was\n%s\nand is\n%s (%v)", before, now, err)
	}
	if n := strings.Count(log(), "event=bfd-resumed"); n != 4 || strings.Contains(log(), "event=bfd-down") {
		t.Errorf("%d sessions go on", n)
	}
}

// TestBFDKilled: neighbors with BFD and graceful restart notice nothing of a
// holdfast that is killed and started again within the detection time. That is 3 s
// here: on a machine that runs other tests, a start may take long.
func TestBFDKilled(t *testing.T) {
	t.Parallel()
	e := newWatchedEdge(t, 10)
	e.unnoticed(func() { e.router.Crash(func() {}) })
	e.unnoticed(func() { e.router.Crash(func() {}) }) // once more
}

// TestBFDUpgrade is the same at SIGTERM, with another build in its place and the
// usual 900 ms. Neighbors have agreed to wait for longer.
func TestBFDUpgrade(t *testing.T) {
	t.Parallel()
	next := NextHoldfastBinary(t)
	e := newWatchedEdge(t, 3)
	e.unnoticed(func() {
		e.router.Restart(func() {
			for _, r := range []Router{e.bird, e.frr} {
				AwaitDown(t, r, "v4")
				AwaitDown(t, r, "v6")
			}
			ended := time.Now()
			Await(t, Patience, "more than the usual detection time", func() error {
				if _, err := e.theirBFD(); err != nil {
					t.Errorf("while holdfast is away: %v", err)
					return nil
				}
				if away := time.Since(ended); away < 3*time.Second {
					return fmt.Errorf("%v", away)
				}
				return nil
			})
			e.router.Use(next)
		})
	})
	// An end for good is AdminDown, which is no failure (RFC 5882 section 3.2).
	if _, err := e.router.Leave("--now"); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(filepath.Join(e.router.State(), "bfd.json")); err != nil || !strings.Contains(string(text), `"sessions":null`) {
		t.Errorf("it has left %s (%v)", text, err)
	}
}
