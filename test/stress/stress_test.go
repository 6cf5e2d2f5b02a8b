package stress

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
	"holdfast/testkit/speaker"
)

// TestAllReconnect: a hundred neighbors lose their sessions at the same moment
// and come back at the same moment. Everybody has everything in the end, and the
// one that stayed has not noticed more than the routes that went and came.
func TestAllReconnect(t *testing.T) {
	const n, each, common = 100, 200, 100
	r := start(t, 41, n+1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	// The common prefixes come from everybody. The path of the first is the best.
	want := map[prefix.Prefix]string{}
	shared := blocks(n, common)
	for i := range n {
		for _, p := range blocks(i, each) {
			want[p] = fmt.Sprintf("%d %d", asn, 65001+i)
		}
	}
	for _, p := range shared {
		want[p] = fmt.Sprintf("%d %d", asn, 65001)
	}
	watcher := connect(t, ctx, r.speaker(n))
	watcher.Read()

	speakers := make([]*speaker.Speaker, n)
	first := 0
	for round := range *rounds + 1 {
		begin := time.Now()
		together(t, n, func(i int) error {
			s, err := speaker.Connect(ctx, r.speaker(i))
			if err != nil {
				return err
			}
			speakers[i] = s
			s.Read()
			msgs := s.AppendAnnounce(nil, nil, blocks(i, each)...)
			msgs = s.AppendAnnounce(msgs, slices.Repeat([]uint32{s.ASN}, i), shared...)
			return s.Send(wire.AppendEndOfRIB(msgs, prefix.IPv4))
		})
		if err := watcher.Await(ctx, told(want)); err != nil {
			t.Fatal(err)
		}
		together(t, n, func(i int) error {
			count := len(want) - each
			if i == 0 {
				count -= common // the best one is its own
			}
			return speakers[i].Await(ctx, func(t *speaker.Told) bool { return len(t.Routes) == count && t.EndOfRIBs == 1 })
		})
		t.Logf("round %d: all have all after %v", round, time.Since(begin).Round(time.Millisecond))
		if round == 0 {
			first = r.resident()
		}
		together(t, n, func(i int) error { return speakers[i].Abort() })
		if err := watcher.Await(ctx, func(t *speaker.Told) bool { return len(t.Routes) == 0 }); err != nil {
			t.Fatal(err)
		}
	}
	unharmed(t, watcher)
	r.bounded(first)
}

// TestAllRestart: a hundred neighbors with graceful restart (RFC 4724) do so at
// the same moment. Nobody else is told anything, but for what they have not
// announced again.
func TestAllRestart(t *testing.T) {
	const n, each = 100, 200
	r := start(t, 44, n+1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	watcher := connect(t, ctx, r.speaker(n))
	watcher.Read()
	speakers := make([]*speaker.Speaker, n)
	first := 0
	for round := range *rounds + 1 {
		before, _ := watcher.Told()
		left := each - round // each neighbor has lost a route while it was away
		together(t, n, func(i int) error {
			c := r.speaker(i)
			c.GracefulRestart = &wire.GracefulRestart{Restarting: round > 0, Time: 100, Families: []wire.RestartFamily{{FamilyID: wire.UnicastID(prefix.IPv4), Forwarding: round > 0}}}
			s, err := speaker.Connect(ctx, c)
			if err != nil {
				return err
			}
			speakers[i] = s
			s.Read()
			// It waits for the End-of-RIB before it sends its own.
			if err := s.Await(ctx, func(t *speaker.Told) bool { return t.EndOfRIBs == 1 }); err != nil {
				return err
			}
			return s.Send(wire.AppendEndOfRIB(s.AppendAnnounce(nil, nil, blocks(i, left)...), prefix.IPv4))
		})
		if err := watcher.Await(ctx, func(t *speaker.Told) bool { return len(t.Routes) == n*left }); err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			first = r.resident()
		} else if now, _ := watcher.Told(); now.Announced != before.Announced || now.Withdrawn != before.Withdrawn+n {
			t.Errorf("round %d: %d routes were announced and %d withdrawn", round, now.Announced-before.Announced, now.Withdrawn-before.Withdrawn)
		}
		together(t, n, func(i int) error { return speakers[i].Abort() })
	}
	unharmed(t, watcher)
	r.bounded(first)
}

// TestFlapping: twenty neighbors come and go as fast as they can, while another
// changes its routes without a pause. Those that stay miss none of it.
func TestFlapping(t *testing.T) {
	const flapping, each, staying = 20, 1000, 5
	r := start(t, 42, flapping+staying+1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	var stay []*speaker.Speaker
	for i := range staying {
		s := connect(t, ctx, r.speaker(flapping+i))
		s.Read()
		stay = append(stay, s)
	}
	changer := connect(t, ctx, r.speaker(flapping+staying))
	changer.Read()
	changes, end := context.WithCancel(ctx)
	changed := make(chan map[prefix.Prefix]string, 1)
	go func() { changed <- change(changes, changer, flapping+staying) }()

	first := 0
	for round := range *rounds {
		together(t, flapping, func(i int) error {
			random := rand.New(rand.NewPCG(uint64(round), uint64(i)))
			for range 10 {
				s, err := speaker.Connect(ctx, r.speaker(i))
				if err != nil {
					return err
				}
				s.Read()
				if err := s.Announce(nil, blocks(i, random.IntN(each))...); err != nil {
					return err
				}
				time.Sleep(time.Duration(random.IntN(50)) * time.Millisecond)
				if err := s.Abort(); err != nil {
					return err
				}
			}
			return nil
		})
		if round == 0 {
			first = r.resident()
		}
	}
	end()
	want := <-changed
	for _, s := range stay {
		if err := s.Await(ctx, told(want)); err != nil {
			got, _ := s.Told()
			t.Fatalf("%v; %d routes are announced", err, len(want)-len(got.Routes))
		}
	}
	unharmed(t, append(stay, changer)...)
	r.bounded(first)
}

// change announces and withdraws at random until ctx ends. It returns what it
// announces in the end, as others are told.
func change(ctx context.Context, s *speaker.Speaker, i int) map[prefix.Prefix]string {
	const prefixes = 2000
	random := rand.New(rand.NewPCG(1, 2))
	have := map[prefix.Prefix]string{}
	for ctx.Err() == nil {
		p := block(i, random.IntN(prefixes))
		if random.IntN(3) == 0 {
			delete(have, p)
			_ = s.Withdraw(p)
			continue
		}
		origin := 1 + random.Uint32N(100)
		have[p] = fmt.Sprintf("%d %d %d", asn, s.ASN, origin)
		_ = s.Announce([]uint32{origin}, p)
	}
	return have
}

// TestNotReading: ten neighbors stop reading while everything changes again and
// again. The others get each change, what is kept for the ten does not grow, and
// once they read they have what stands in the end.
func TestNotReading(t *testing.T) {
	const stuck, prefixes = 10, 20_000
	r := start(t, 43, stuck+2)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	var deaf []*speaker.Speaker
	for i := range stuck {
		c := r.speaker(i)
		c.ReadBuffer = 128 << 10 // a window smaller than the segments of loopback makes TCP wait for minutes
		deaf = append(deaf, connect(t, ctx, c))
	}
	reader, sender := connect(t, ctx, r.speaker(stuck)), connect(t, ctx, r.speaker(stuck+1))
	reader.Read()
	sender.Read()
	want := map[prefix.Prefix]string{}
	first := 0
	for round := range 10 * *rounds {
		msgs := []byte(nil)
		for j := 0; j < prefixes; j += 4 {
			ps := []prefix.Prefix{block(stuck+1, j), block(stuck+1, j+1), block(stuck+1, j+2), block(stuck+1, j+3)}
			if (j+round)%7 == 0 { // others each time
				msgs = speaker.AppendWithdraw(msgs, ps...)
				for _, p := range ps {
					delete(want, p)
				}
				continue
			}
			// A long path, so that there is more than sockets hold.
			path := slices.Repeat([]uint32{uint32(1 + round), uint32(1 + j)}, 10)
			msgs = sender.AppendAnnounce(msgs, path, ps...)
			text := fmt.Sprintf("%d %d%s", asn, sender.ASN, strings.Repeat(fmt.Sprintf(" %d %d", 1+round, 1+j), 10))
			for _, p := range ps {
				want[p] = text
			}
		}
		if err := sender.Send(msgs); err != nil {
			t.Fatal(err)
		}
		if err := reader.Await(ctx, told(want)); err != nil {
			t.Fatal(err)
		}
		if round == 9 {
			first = r.resident()
		}
	}
	unharmed(t, reader, sender)
	r.bounded(first)
	for _, s := range deaf {
		s.Read()
	}
	together(t, stuck, func(i int) error { return deaf[i].Await(ctx, told(want)) })
	all, _ := reader.Told()
	for _, s := range deaf {
		if some, _ := s.Told(); some.Announced > all.Announced/2 {
			t.Errorf("%v was sent %d routes of %d: it has not been behind", s.Local, some.Announced, all.Announced)
		}
	}
}

func connect(t *testing.T, ctx context.Context, c speaker.Config) *speaker.Speaker {
	t.Helper()
	s, err := speaker.Connect(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}
