//go:build interop

package interop

import (
	"errors"
	"fmt"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestMD5 signs the sessions (RFC 2385).
func TestMD5(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		p := connect(t, m, options{change: func(s *Session) { s.Password = "correct-horse" }})
		p.up(t)
	})
}

// TestMD5Mismatch: with the wrong password no session comes up.
func TestMD5Mismatch(t *testing.T) {
	t.Parallel()
	p := connect(t, BIRD(), options{
		change:      func(s *Session) { s.Password = "correct-horse" },
		changeOther: func(s *Session) { s.Password = "battery-staple" },
	})
	dropped(t, p, "TCPMD5Failure")
}

// TestGTSM demands TTL 255 from both sides (RFC 5082).
func TestGTSM(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		p := connect(t, m, options{change: func(s *Session) { s.GTSM = true }})
		p.up(t)
	})
}

// TestGTSMMismatch: packets that came too far reach no session.
func TestGTSMMismatch(t *testing.T) {
	t.Parallel()
	p := connect(t, BIRD(), options{
		change:      func(s *Session) { s.GTSM = true },
		changeOther: func(s *Session) { s.GTSM = false },
	})
	dropped(t, p, "TCPMinTTLDrop")
}

// dropped waits until holdfast's kernel has dropped some packets of the other
// router and makes sure that no session is up.
func dropped(t *testing.T, p *pair, counter string) {
	t.Helper()
	Await(t, Patience, "packet counted by "+counter, atLeast(counter, func() (uint64, error) {
		n, err := p.hfNode.Counter(counter)
		return uint64(n), err
	}, 3))
	for _, s := range []string{"v4", "v6"} {
		if state, err := p.hf.Session(s); err != nil || state.Established {
			t.Errorf("%s must not be up: %v %v", s, state, err)
		}
	}
}

// TestHoldTimer loses every packet without a sign from the link: the hold
// timer must end the session with its NOTIFICATION (RFC 4271 section 6.5),
// and what was learned goes. Later all comes back.
func TestHoldTimer(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		route := can(m, full(IPv4, 1))[0]
		p := connect(t, m, options{otherOnes: []Route{route}, change: func(s *Session) { s.HoldTime = 3 }})
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(route))
		p.otherNode.Blackhole()
		AwaitDown(t, p.hf, "v4")
		AwaitRoutes(t, p.hf, "v4", nil)
		Await(t, Patience, "right reason", func() error {
			d, err := p.hf.Detail("v4")
			if err != nil {
				return err
			}
			last := d.Neighbor.LastReset
			if last == nil || last.Notification == nil {
				return errors.New("show neighbor has no last reset with a NOTIFICATION")
			}
			if n := last.Notification; !n.Sent || n.Code != 4 {
				return fmt.Errorf("the last NOTIFICATION is %+v (%s)", *n, last.Reason)
			}
			return nil
		})
		p.otherNode.Unblackhole()
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(route))
	})
}

// TestLinkCut takes holdfast's link down and up again.
func TestLinkCut(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		theirs, ours := can(m, full(IPv4, 1))[0], can(Holdfast(), full(IPv4, 11))[0]
		p := connect(t, m, options{hfRoutes: []Route{ours}, otherOnes: []Route{theirs}, change: func(s *Session) { s.HoldTime = 3 }})
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours))
		p.hfNode.Cut()
		AwaitDown(t, p.hf, "v4")
		AwaitDown(t, p.other, "v4")
		AwaitRoutes(t, p.hf, "v4", nil)
		p.hfNode.Mend()
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs))
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours))
	})
}

// TestCrash kills the other router: holdfast notices at once, without waiting for
// its hold time of 90 seconds.
func TestCrash(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		route := can(m, full(IPv4, 1))[0]
		p := connect(t, m, options{otherOnes: []Route{route}})
		p.up(t, "v4")
		AwaitRoutes(t, p.hf, "v4", p.fromOther(route))
		p.other.Process().Kill()
		AwaitDown(t, p.hf, "v4")
		AwaitRoutes(t, p.hf, "v4", nil)
	})
}
