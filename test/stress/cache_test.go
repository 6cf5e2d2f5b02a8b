package stress

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/testkit/fakecache"
	"holdfast/testkit/speaker"
)

const (
	validated = 300 // prefixes of each neighbor
	origins   = 5
)

// unsteady is a cache that loses connections, begins new sessions and changes what
// it says.
type unsteady struct {
	*fakecache.Cache
	r       *rand.Rand
	session uint16
	vrps    []rpki.VRP
	aspas   []rpki.ASPA
}

// change makes up what it says, about the prefixes of n neighbors.
func (c *unsteady) change(n int) {
	c.vrps, c.aspas = nil, nil
	for range 100 {
		c.vrps = append(c.vrps, rpki.VRP{Prefix: block(c.r.IntN(n), c.r.IntN(validated)), MaxLen: 24, ASN: c.r.Uint32N(1 + origins)})
	}
	if c.r.IntN(3) == 0 {
		c.aspas = append(c.aspas, rpki.ASPA{Customer: 1 + c.r.Uint32N(origins), Providers: []uint32{uint32(65001 + c.r.IntN(n))}})
	}
	if c.r.IntN(10) == 0 {
		c.session++
		c.Restart(c.session)
	}
	c.SetASPAs(c.aspas...)
	c.Set(c.vrps...)
}

// TestUnsteadyCaches: connections to ten caches come and go, each says something
// else again and again, and neighbors announce meanwhile. In the end each route is
// there that may be, and no session has noticed.
func TestUnsteadyCaches(t *testing.T) {
	const n, count = 5, 10
	text := "policy \"valid\" {\n rule \"origin\" {\n  match { rpki = \"invalid\" }\n  match { aspa = \"invalid\" }\n  then = \"reject\"\n }\n}\n"
	caches := make([]*unsteady, count)
	for i := range caches {
		l, err := net.Listen("tcp4", "127.0.45.200:0")
		if err != nil {
			t.Fatal(err)
		}
		c := &unsteady{Cache: fakecache.New(uint16(i)), r: rand.New(rand.NewPCG(uint64(i), 1)), session: uint16(100 * i)}
		c.Newest, c.Retry = 2, 1
		c.change(n)
		c.Serve(l)
		defer c.Close()
		caches[i] = c
		text += fmt.Sprintf("rpki \"c%d\" {\n address = \"127.0.45.200\"\n port = %d\n}\n", i, l.Addr().(*net.TCPAddr).Port)
	}
	r := startWith(t, 45, n+1, text, "local_role = \"provider\"\n import = [policy.valid, policy.all]")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watcher := connect(t, ctx, r.speaker(n))
	watcher.Read()
	all := []*speaker.Speaker{watcher}
	busy, end := context.WithTimeout(ctx, time.Duration(*rounds)*2*time.Second)
	defer end()
	have := make(chan map[prefix.Prefix]uint32, n)
	for i := range n {
		s := connect(t, ctx, r.speaker(i))
		s.Read()
		all = append(all, s)
		go func() { have <- announceOrigins(busy, s, i) }()
	}
	first := 0
	together(t, count+1, func(i int) error {
		if i == count {
			if pause(busy, time.Duration(*rounds)*time.Second) {
				first = r.resident()
			}
			return nil
		}
		c := caches[i]
		for pause(busy, time.Duration(c.r.IntN(50))*time.Millisecond) {
			if c.change(n); c.r.IntN(20) == 0 {
				c.Drop()
			}
		}
		return nil
	})

	// What may be there, as RFC 6811 has it, and for paths of two ASes.
	covered, matched, providers := map[prefix.Prefix]bool{}, map[rpki.VRP]bool{}, map[uint32][]uint32{}
	for _, c := range caches {
		for _, v := range c.vrps {
			covered[v.Prefix], matched[v] = true, true
		}
		for _, a := range c.aspas {
			providers[a.Customer] = append(providers[a.Customer], a.Providers...)
		}
	}
	want, announced := map[prefix.Prefix]string{}, 0
	for range n {
		mine := <-have
		announced += len(mine)
		for p, origin := range mine {
			from := uint32(65001 + neighborOf(p, n))
			leaked := len(providers[origin]) > 0
			for _, asn := range providers[origin] {
				leaked = leaked && asn != from
			}
			if (!covered[p] || matched[rpki.VRP{Prefix: p, MaxLen: 24, ASN: origin}]) && !leaked {
				want[p] = fmt.Sprintf("%d %d %d", asn, from, origin)
			}
		}
	}
	if err := watcher.Await(ctx, told(want)); err != nil {
		got, _ := watcher.Told()
		t.Fatalf("%v; of %d routes %d are there, and %d may be", err, announced, len(got.Routes), len(want))
	}
	t.Logf("of %d routes %d may be there", announced, len(want))
	unharmed(t, all...)
	r.bounded(first)
}

// pause is false when ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// neighborOf is which of n neighbors a block is of.
func neighborOf(p prefix.Prefix, n int) int {
	for i := range n {
		if b := block(i, 0); b.Hi>>55 == p.Hi>>55 {
			return i
		}
	}
	return -1
}

// announceOrigins announces and withdraws at random until ctx ends, and returns the
// origin of each prefix.
func announceOrigins(ctx context.Context, s *speaker.Speaker, i int) map[prefix.Prefix]uint32 {
	random := rand.New(rand.NewPCG(uint64(i), 2))
	have := map[prefix.Prefix]uint32{}
	for pause(ctx, time.Millisecond) {
		p := block(i, random.IntN(validated))
		if random.IntN(5) == 0 {
			delete(have, p)
			_ = s.Withdraw(p)
			continue
		}
		have[p] = 1 + random.Uint32N(origins)
		_ = s.Announce([]uint32{have[p]}, p)
	}
	return have
}
