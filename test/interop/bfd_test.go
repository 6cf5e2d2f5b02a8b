//go:build interop

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	. "holdfast/testkit/netlab"
)

// bfdSession is what show bfd says.
type bfdSession struct {
	Neighbor, State, LastFailure string
	RemoteState                  string  `json:"remote_state"`
	Interval                     float64 // seconds
	DetectionTime                float64 `json:"detection_time"`
	RemoteMultiplier             int     `json:"remote_multiplier"`
	Discriminator                uint32
	Ups, Failures                int
	Multihop                     bool
}

// watched are two routers that watch each other.
type watched struct {
	t            *testing.T
	hf           *HoldfastRouter
	other        Router
	ours, theirs *Node
}

func watch(t *testing.T, m Make, f Family, multihop int) *watched {
	l := New(t)
	w := &watched{t: t, ours: l.Node("hf"), theirs: l.Node("other")}
	sessions := func(from, to *Node, as uint32) []Session {
		return []Session{{Name: "n", Local: from.Addr(f), Remote: to.Addr(f), AS: as, Families: []Family{IPv4}, BFD: true, Multihop: multihop}}
	}
	w.hf = StartHoldfast(w.ours, Config{AS: holdfastAS, ID: w.ours.V4, Sessions: sessions(w.ours, w.theirs, otherAS)})
	w.other = m.Start(w.theirs, Config{AS: otherAS, ID: w.theirs.V4, Sessions: sessions(w.theirs, w.ours, holdfastAS)})
	return w
}

// await waits until BFD is in a state at both ends, as we know it.
func (w *watched) await(state string, more func(s bfdSession) error) (found bfdSession) {
	w.t.Helper()
	Await(w.t, Patience, "BFD that is "+state, func() error {
		var m struct{ Sessions []bfdSession }
		if err := w.hf.AskJSON(&m, "show", "bfd"); err != nil {
			return err
		}
		if len(m.Sessions) != 1 || m.Sessions[0].State != state || state == "up" && m.Sessions[0].RemoteState != state {
			return fmt.Errorf("BFD is %+v", m.Sessions)
		}
		found = m.Sessions[0]
		if more != nil {
			return more(found)
		}
		return nil
	})
	return found
}

func (w *watched) up() bfdSession {
	w.t.Helper()
	AwaitUp(w.t, w.hf, "n")
	AwaitUp(w.t, w.other, "n")
	return w.await("up", nil)
}

// logged is when a line about an event came last.
func (w *watched) logged(event string) time.Time {
	w.t.Helper()
	all := regexp.MustCompile(`(?m)^time=(\S+) .*event=`+event+` .*$`).FindAllStringSubmatch(w.hf.Process().Log(), -1)
	if len(all) == 0 {
		w.t.Fatalf("there is no %s in the log", event)
	}
	at, err := time.Parse(time.RFC3339Nano, all[len(all)-1][1])
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

// edit changes the configuration of a router that runs.
func (w *watched) edit(old, with string) {
	w.t.Helper()
	name := filepath.Join(w.ours.Dir, "holdfast.hcl")
	text, err := os.ReadFile(name)
	if err != nil || !strings.Contains(string(text), old) {
		w.t.Fatalf("no %q in the configuration: %v", old, err)
	}
	w.ours.Write("holdfast.hcl", strings.Replace(string(text), old, with, 1))
	if _, err := w.hf.Ask("reload"); err != nil {
		w.t.Fatal(err)
	}
}

// TestBFD: another router and ours watch each other (RFC 5880), over one hop
// (RFC 5881) and as if there were more (RFC 5883). What no interface shows ends
// the session in little more than three intervals (RFC 5882, RFC 9384).
func TestBFD(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), FRR()} {
		for name, c := range map[string]struct {
			family   Family
			multihop int
		}{"ipv4": {IPv4, 0}, "ipv6": {IPv6, 0}, "multihop": {IPv4, 3}} {
			t.Run(m.Kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				w := watch(t, m, c.family, c.multihop)
				first := w.up()
				w.await("up", func(s bfdSession) error {
					if s.Interval != 0.3 || s.DetectionTime != 0.9 || s.RemoteMultiplier != 3 || s.Multihop != (c.multihop > 0) {
						return fmt.Errorf("they agree on %+v", s)
					}
					return nil
				})

				// Silent loss.
				began := time.Now()
				w.theirs.Blackhole()
				w.await("down", nil)
				AwaitDown(t, w.hf, "n")
				if took := w.logged("neighbor-down").Sub(began); took > 1500*time.Millisecond {
					t.Errorf("it took %v to find out", took)
				}
				d, err := w.hf.Detail("n")
				if err != nil || d.Neighbor.LastReset == nil || !strings.Contains(d.Neighbor.LastReset.Reason, "BFD down (6/10)") {
					t.Errorf("the session has ended for %+v (%v)", d.Neighbor.LastReset, err)
				}
				AwaitDown(t, w.other, "n")
				w.theirs.Unblackhole()
				if s := w.up(); s.Failures == 0 || s.Discriminator != first.Discriminator {
					t.Errorf("it has come back as %+v", s)
				}

				// Other timers reset nothing.
				before := w.logged("neighbor-up")
				w.edit("bfd = true", "bfd = true\n  bfd_interval = \"1s\"\n  bfd_multiplier = 4")
				w.await("up", func(s bfdSession) error {
					if s.Interval != 1 || s.DetectionTime != 3 {
						return fmt.Errorf("they agree on %+v", s)
					}
					return nil
				})
				if !w.logged("neighbor-up").Equal(before) {
					t.Error("an edit of BFD has reset the session")
				}

				// BFD ends and begins. Both others take AdminDown for a failure, which
				// RFC 5882 section 3.2 does not.
				w.edit("bfd = true", "bfd = false")
				Await(t, Patience, "end of BFD", func() error {
					if out, err := w.hf.Ask("show", "bfd"); err != nil || !strings.Contains(out, "BFD watches no neighbor") {
						return fmt.Errorf("%s (%v)", out, err)
					}
					return nil
				})
				w.edit("bfd = false", "bfd = true")
				w.up()

				// After a crash it is there again, whether the neighbor has waited or
				// not.
				w.hf.Crash(func() {})
				w.up()
			})
		}
	}
}

// TestFastFallover: a session one hop away ends with its link, and with our
// address of it, long before its hold time, also without kernel routes.
func TestFastFallover(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), FRR()} {
		for _, f := range []Family{IPv4, IPv6} {
			t.Run(fmt.Sprint(m.Kind, "/", f), func(t *testing.T) {
				t.Parallel()
				l := New(t)
				w := &watched{t: t, ours: l.Node("hf"), theirs: l.Node("other")}
				sessions := func(from, to *Node, as uint32) []Session {
					return []Session{{Name: "n", Local: from.Addr(f), Remote: to.Addr(f), AS: as, Families: []Family{IPv4}, HoldTime: 180}}
				}
				w.hf = StartHoldfast(w.ours, Config{AS: holdfastAS, ID: w.ours.V4, Sessions: sessions(w.ours, w.theirs, otherAS)})
				w.other = m.Start(w.theirs, Config{AS: otherAS, ID: w.theirs.V4, Sessions: sessions(w.theirs, w.ours, holdfastAS)})
				bits := map[Family]string{IPv4: "/24", IPv6: "/64"}[f]
				for _, c := range []struct {
					why       string
					cut, mend func()
				}{
					{"interface eth0 is down", w.ours.Cut, w.ours.Mend},
					{"our address " + w.ours.Addr(f).String() + " is gone",
						func() { w.ours.Run("ip", "addr", "del", w.ours.Addr(f).String()+bits, "dev", "eth0") },
						func() { w.ours.Run("ip", "addr", "add", w.ours.Addr(f).String()+bits, "dev", "eth0") }},
				} {
					AwaitUp(t, w.hf, "n")
					AwaitUp(t, w.other, "n")
					began := time.Now()
					c.cut()
					AwaitDown(t, w.hf, "n")
					if took := w.logged("neighbor-down").Sub(began); took > 2*time.Second {
						t.Errorf("%s: it took %v", c.why, took)
					}
					if !strings.Contains(w.hf.Process().Log(), `event=neighbor-down neighbor=n address=`+w.theirs.Addr(f).String()+` asn=64601 reason="`+c.why) {
						t.Errorf("no session has ended as %s", c.why)
					}
					c.mend()
				}
			})
		}
	}
}
