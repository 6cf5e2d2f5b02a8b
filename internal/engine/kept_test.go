package engine

import (
	"testing"
	"time"

	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

// restartLab is a router with a neighbor that restarts, 1, one with other ways to
// the same prefixes, 2, and one that must not notice, 3.
type restartLab struct {
	t     *testing.T
	core  *Core
	cfg   Config
	peers [4]*peer
	terms fsm.Graceful // with neighbor 1
	takes bool         // neighbor 3 takes stale routes
}

var (
	mayReturn = session.Reason{Kind: fsm.ConnectionFailed, Graceful: true}
	forGood   = session.Reason{Kind: fsm.NotificationReceived, Code: 6, Subcode: 2}
	keptA     = prefix.MustParse("198.51.100.0/24")
	keptB     = prefix.MustParse("203.0.113.0/24")
	keptV6    = prefix.MustParse("2001:db8:1::/48")
)

func newRestartLab(t *testing.T) *restartLab {
	l := &restartLab{t: t, core: NewCore(quiet()), cfg: ebgpConfig(t, 3)}
	l.terms = fsm.Graceful{Agreed: true, Time: 120 * time.Second, Families: [prefix.Families]bool{true, true}, Forwarding: [prefix.Families]bool{true, true}}
	for i := range l.cfg.Neighbors {
		l.cfg.Neighbors[i].StaleTime = 360
	}
	l.core.Configure(l.cfg)
	for i := 1; i <= 3; i++ {
		l.up(i)
	}
	return l
}

func (l *restartLab) up(i int) {
	l.peers[i] = newPeer(l.t, packet.ID(i))
	est := established(i)
	if est.Restart = (fsm.Graceful{}); i == 1 {
		est.Restart = l.terms
	}
	est.Restart.TakesStale = i == 3 && l.takes
	l.core.Up(packet.ID(i), est, l.peers[i])
	l.settle()
}

func (l *restartLab) settle() {
	for i := 1; ; i++ {
		l.core.Settle()
		moved := false
		for _, p := range l.peers {
			if p != nil && len(p.queue) > 0 {
				p.read()
				moved = true
			}
		}
		if !moved {
			return
		}
	}
}

func (l *restartLab) down(why session.Reason) {
	l.core.Down(1, why)
	l.peers[1] = nil
	l.settle()
}

// wait lets seconds pass.
func (l *restartLab) wait(seconds uint32) {
	for range seconds {
		l.core.SetNow(l.core.now + 1)
	}
	l.settle()
}

func (l *restartLab) announce(i int, p prefix.Prefix, communities ...uint32) {
	a := wire.Attrs{Has: wire.HasOrigin | wire.HasASPath, NextHop: []byte{10, 1, byte(i), 2}, ASPath: []byte{2, 1, 0, 0, 0xfd, byte(0xe8 + i)}}
	if p.Family == prefix.IPv6 {
		a.NextHop = []byte{0x20, 1, 0xd, 0xb8, 14: byte(i), 15: 2}
	}
	for _, c := range communities {
		add(&a, uint16(c>>16), uint16(c))
	}
	var nextHop []byte
	if p.Family == prefix.IPv6 {
		nextHop = a.NextHop
	}
	l.core.Messages(packet.ID(i), wire.AppendUpdate(nil, p.Family, nil, a.Append(nil, p.Family == prefix.IPv6), nextHop, nlri(p, 0, false)))
	l.settle()
}

func (l *restartLab) endOfRIB(f prefix.Family) {
	l.core.Messages(1, wire.AppendEndOfRIB(nil, f))
	l.settle()
}

// want says through whom neighbor 3 has prefixes, 0 for not at all, and with how
// many UPDATEs since the last time it has come to that.
func (l *restartLab) want(what string, updates int, through map[prefix.Prefix]int) {
	l.t.Helper()
	if got := l.peers[3].updates; got != updates {
		l.t.Errorf("%s: neighbor 3 was sent %d UPDATEs, want %d", what, got, updates)
	}
	l.peers[3].updates = 0
	for p, want := range through {
		got := 0
		if a, ok := l.peers[3].table[wire.Route{Prefix: p}]; ok {
			second, _ := wire.FirstAS(a.ASPath[6:])
			if len(a.ASPath) == 10 {
				second = uint32(a.ASPath[8])<<8 | uint32(a.ASPath[9])
			}
			got = int(second) - 65000
		}
		if got != want {
			l.t.Errorf("%s: neighbor 3 has %v through %d, want %d", what, p, got, want)
		}
	}
}

// stale is how many paths of neighbor 1 are stale.
func (l *restartLab) stale() int {
	n := 0
	for f := range prefix.Family(prefix.Families) {
		n += l.core.state(1, time.Time{}).Families[f].Stale
	}
	return n
}

type through = map[prefix.Prefix]int

// begin has neighbor 1 announce two prefixes, of which 2 has one as well, with a
// worse path.
func (l *restartLab) begin() {
	l.announce(1, keptA)
	l.announce(1, keptB)
	l.announce(1, keptV6)
	l.announce(2, keptA)
	l.announce(2, prefix.MustParse("192.0.2.0/25"))
	l.peers[3].updates = 0
}

// TestGracefulRestart: a neighbor restarts, and nobody notices (RFC 4724 section
// 4.2).
func TestGracefulRestart(t *testing.T) {
	l := newRestartLab(t)
	l.begin()
	l.down(mayReturn)
	l.want("while it is away", 0, through{keptA: 1, keptB: 1, keptV6: 1})
	if l.stale() != 3 {
		t.Errorf("%d paths are stale, want 3", l.stale())
	}
	l.wait(100)
	l.up(1)
	l.want("when it is back", 0, through{keptA: 1, keptB: 1, keptV6: 1})
	if p := l.peers[1]; !p.eor[prefix.IPv4] || !p.eor[prefix.IPv6] || len(p.table) != 1 {
		t.Errorf("neighbor 1 was sent %v, End-of-RIB %v", p.table, p.eor)
	}
	l.announce(1, keptA)
	l.announce(1, keptV6)
	l.want("when it announces them again", 0, through{keptA: 1, keptB: 1, keptV6: 1})
	if l.stale() != 1 {
		t.Errorf("%d paths are stale, want 1", l.stale())
	}
	l.endOfRIB(prefix.IPv6)
	l.want("End-of-RIB of the other family", 0, through{keptB: 1})
	l.endOfRIB(prefix.IPv4)
	l.want("End-of-RIB", 1, through{keptA: 1, keptB: 0, keptV6: 1})
	l.wait(1000)
	l.want("long after", 0, through{keptA: 1, keptV6: 1})
}

// TestGracefulRestartEnds: what ends the time in which routes are kept.
func TestGracefulRestartEnds(t *testing.T) {
	for name, do := range map[string]func(l *restartLab){
		"it does not come back": func(l *restartLab) {
			l.wait(120)
			l.want("before its time is over", 0, through{keptA: 1, keptB: 1})
			l.wait(1)
			l.want("after", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"the time that we give it is shorter": func(l *restartLab) {
			l.cfg.Neighbors[0].StaleTime = 60
			l.core.Configure(l.cfg)
			l.up(1)
			l.announce(1, keptA)
			l.down(mayReturn)
			l.wait(61)
			l.want("after", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"it comes back without a word of it": func(l *restartLab) {
			l.terms = fsm.Graceful{}
			l.up(1)
			l.want("at once", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"one family without the F bit": func(l *restartLab) {
			l.terms.Forwarding[prefix.IPv4] = false
			l.up(1)
			l.want("at once", 2, through{keptA: 2, keptB: 0, keptV6: 1})
		},
		"its End-of-RIB does not come": func(l *restartLab) {
			l.up(1)
			l.announce(1, keptA)
			l.wait(359)
			l.want("before the time is over", 0, through{keptA: 1, keptB: 1})
			l.wait(2)
			l.want("after", 2, through{keptA: 1, keptB: 0, keptV6: 0})
		},
		"it restarts again": func(l *restartLab) {
			l.up(1)
			l.announce(1, keptA)
			l.down(mayReturn)
			l.want("what was stale before goes", 2, through{keptA: 1, keptB: 0, keptV6: 0})
			l.wait(121)
			l.want("the rest after its time", 1, through{keptA: 2})
		},
		"it restarts again and has the N bit": func(l *restartLab) {
			l.terms.Notification = true
			l.up(1)
			l.announce(1, keptA)
			l.down(mayReturn)
			l.want("nothing goes (RFC 8538 section 4.1)", 0, through{keptA: 1, keptB: 1, keptV6: 1})
			l.up(1)
			l.announce(1, keptB)
			l.endOfRIB(prefix.IPv4)
			l.want("End-of-RIB", 1, through{keptA: 2, keptB: 1, keptV6: 1})
		},
		"the session ends for good": func(l *restartLab) {
			l.up(1)
			l.announce(1, keptA)
			l.down(forGood)
			l.want("at once", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"it does not forward": func(l *restartLab) {
			l.core.Forget(1)
			l.settle()
			l.want("at once", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"an operator switches it off": func(l *restartLab) {
			l.cfg.Neighbors[0].StaleTime = 0
			l.core.Configure(l.cfg)
			l.settle()
			l.want("at once", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"an operator gives it less time": func(l *restartLab) {
			l.wait(30)
			l.cfg.Neighbors[0].StaleTime = 60
			l.core.Configure(l.cfg)
			l.wait(29)
			l.want("before that is over", 0, through{keptA: 1, keptB: 1, keptV6: 1})
			l.wait(2)
			l.want("after", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		},
		"a policy rejects it": func(l *restartLab) {
			l.cfg.Neighbors[0].Families[prefix.IPv4].Import = program(l.t, &policy.Policy{Name: "none"}, &l.cfg.Neighbors[0].Source)
			l.core.Configure(l.cfg)
			l.settle()
			l.want("at once", 2, through{keptA: 2, keptB: 0, keptV6: 1})
		},
		"too many with those that it has now": func(l *restartLab) {
			l.cfg.Neighbors[0].Families[prefix.IPv4].Limit = Limit{Max: 2, Action: LimitShutdown}
			l.core.Configure(l.cfg)
			l.up(1)
			l.announce(1, prefix.MustParse("192.0.2.0/24"))
			if l.peers[1].closed != nil {
				l.t.Error("the session was closed for routes that are stale")
			}
			l.want("they go", 3, through{keptA: 2, keptB: 0, keptV6: 1, prefix.MustParse("192.0.2.0/24"): 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newRestartLab(t)
			l.begin()
			l.down(mayReturn)
			do(l)
		})
	}
}

// TestRestartNotKept: sessions after which nothing is kept.
func TestRestartNotKept(t *testing.T) {
	for name, do := range map[string]func(l *restartLab){
		"another end of the session": func(l *restartLab) { l.down(forGood) },
		"not configured": func(l *restartLab) {
			l.cfg.Neighbors[0].StaleTime = 0
			l.core.Configure(l.cfg)
			l.down(mayReturn)
		},
		"no time": func(l *restartLab) {
			l.core.neighbors[1].est.Restart.Time = 0
			l.down(mayReturn)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newRestartLab(t)
			l.begin()
			do(l)
			l.want("at once", 3, through{keptA: 2, keptB: 0, keptV6: 0})
		})
	}
	l := newRestartLab(t)
	l.begin()
	l.core.neighbors[1].est.Restart.Families[prefix.IPv6] = false
	l.down(mayReturn)
	l.want("a family that is not in the capability", 1, through{keptA: 1, keptB: 1, keptV6: 0})
}

// longLived has neighbor 1 away, for longer than a restart takes if one waits.
func (l *restartLab) longLived(with ...uint32) {
	l.cfg.Neighbors[0].LongLived = 3600
	l.core.Configure(l.cfg)
	l.terms.LongLived = [prefix.Families]time.Duration{2 * time.Hour, 2 * time.Hour}
	l.terms.LongForwarding = [prefix.Families]bool{true, true}
	l.core.neighbors[1].est.Restart = l.terms
	l.begin()
	l.announce(1, keptA, with...)
	l.peers[3].updates = 0
	l.down(mayReturn)
}

// TestLongLived: beyond the time of a restart, routes are the last resort (RFC
// 9494).
func TestLongLived(t *testing.T) {
	l := newRestartLab(t)
	l.longLived()
	l.wait(120)
	l.want("as long as it may be restarting", 0, through{keptA: 1, keptB: 1, keptV6: 1})
	l.wait(1)
	l.want("neighbor 3 does not take stale routes", 3, through{keptA: 2, keptB: 0, keptV6: 0})
	t4 := l.core.tables[0][prefix.IPv4]
	if best := t4.Best(t4.Lookup(keptB)); best == nil || best.Neighbor != 1 || !l.core.store.At(best.Post).LongLived {
		t.Errorf("the best path of %v is %+v, want the long-lived one", keptB, best)
	}
	// A new policy leaves them what they are.
	l.cfg.Neighbors[0].Families[prefix.IPv4].Import = program(t, &policy.Policy{Name: "other", Rules: []policy.Rule{{Name: "weighty", Then: policy.Accept, Set: policy.Actions{Weight: new(uint32(100))}}}}, &l.cfg.Neighbors[0].Source)
	l.core.Configure(l.cfg)
	l.settle()
	l.want("a policy prefers it", 0, through{keptA: 2, keptB: 0})
	l.up(1)
	l.want("it is back", 0, through{keptA: 2, keptB: 0})
	l.announce(1, keptB)
	l.want("and announces again", 1, through{keptA: 2, keptB: 1})
	l.endOfRIB(prefix.IPv4)
	if n := l.core.state(1, time.Time{}).Families[prefix.IPv4].Paths; n != 1 {
		t.Errorf("%d paths of neighbor 1 are left, want 1", n)
	}
}

// TestLongLivedTaken: neighbors that know of stale routes are sent them.
func TestLongLivedTaken(t *testing.T) {
	l := newRestartLab(t)
	l.takes = true
	l.core.Down(3, forGood)
	l.up(3)
	l.longLived()
	l.wait(121)
	l.want("neighbor 3 takes stale routes", 3, through{keptA: 2, keptB: 1, keptV6: 1})
	if a := l.peers[3].table[wire.Route{Prefix: keptB}]; !wire.HasCommunity(a.Communities, wire.LLGRStale) {
		t.Errorf("%v has communities % x, want LLGR_STALE", keptB, a.Communities)
	}
	l.wait(3600)
	l.want("an hour later", 2, through{keptA: 2, keptB: 0, keptV6: 0})
}

// TestLongLivedEnds: what ends the time of long-lived routes, or does not let it
// begin.
func TestLongLivedEnds(t *testing.T) {
	l := newRestartLab(t)
	l.longLived()
	l.core.neighbors[1].est.Restart.LongLived[prefix.IPv6] = 0
	l.wait(121)
	for f, want := range [prefix.Families]int{2, 0} {
		if n := l.core.state(1, time.Time{}).Families[f].Paths; n != want {
			t.Errorf("%v: %d paths are left, want %d", prefix.Family(f), n, want)
		}
	}
	l.terms.LongForwarding = [prefix.Families]bool{}
	l.up(1)
	if l.stale() != 0 || l.core.neighbors[1].hasPaths() {
		t.Error("without the F bit of RFC 9494, routes are still there")
	}

	l = newRestartLab(t)
	l.longLived(wire.NoLLGR)
	l.wait(121)
	l.want("NO_LLGR", 3, through{keptA: 2, keptB: 0, keptV6: 0})
	if n := l.core.state(1, time.Time{}).Families[prefix.IPv4].Paths; n != 1 {
		t.Errorf("%d paths of neighbor 1 are left, want the one without NO_LLGR", n)
	}

	l = newRestartLab(t)
	l.terms.Time = 0
	l.longLived()
	l.want("no time to restart", 3, through{keptA: 2, keptB: 0, keptV6: 0})
	if !l.core.neighbors[1].hasPaths() {
		t.Error("nothing is kept where long-lived routes begin at once")
	}
	l.cfg.Neighbors[0].LongLived = 0
	l.core.Configure(l.cfg)
	l.settle()
	if l.core.neighbors[1].hasPaths() {
		t.Error("routes are kept that the configuration does not want")
	}
}

// TestLastResort: routes that others have kept for long lose against all others.
func TestLastResort(t *testing.T) {
	l := newRestartLab(t)
	l.peers[3].updates = 0
	l.announce(1, keptA, wire.LLGRStale)
	l.announce(2, keptA)
	l.want("a better one comes", 1, through{keptA: 2})
}
