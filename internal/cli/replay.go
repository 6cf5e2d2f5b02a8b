package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/prefix"
	"holdfast/internal/replay"
	"holdfast/internal/view"
)

func (a *app) replayCommand() *cobra.Command {
	o := replay.Options{}
	var from, family, source, routerID string
	var nextHops []string
	closing := false
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Play the routes of an MRT file to a router, as a neighbor of it",
		Long: `Opens a BGP session and announces what the file has: the table of a dump, or
recorded updates. The file may be compressed with gzip or bzip2. When all is
sent the session stays until Ctrl-C, because the router would lose the routes
with it; --close ends it.`,
		Example: `  holdfast replay rib.20260301.0000.bz2 --to 192.0.2.1 --local-as 64601
  holdfast replay updates.gz --to 192.0.2.1 --from AS3333 --speed 10`,
		Args: between(1, 1),
	}
	f := c.Flags()
	f.StringVar(&o.To, "to", "", "`address` of the router, or address:port")
	f.StringVar(&o.Listen, "listen", "", "wait on this `address` for the router to connect")
	f.StringVar(&source, "source", "", "our own `address`")
	f.StringVar(&from, "from", "", "whose routes: `who` is the address of a neighbor of the dump, AS3333, its number in the list, or all; else the one with the most")
	f.StringVar(&family, "family", "", "only this `family`, ipv4 or ipv6")
	f.Var((*asNumber)(&o.LocalAS), "local-as", "our `AS` number; else that of the neighbor whose routes are played")
	f.StringVar(&routerID, "router-id", "", "our router `id`; else that of the neighbor")
	f.StringArrayVar(&nextHops, "next-hop", nil, "announce this `address`, or \"keep\" what the dump has; else our own address")
	f.Float64Var(&o.Speed, "speed", 0, "recorded seconds of updates to play in a second: a `factor`; 0 is as fast as the router reads")
	f.BoolVar(&closing, "close", false, "end the session when all is sent")
	complete(c, "family", cobra.FixedCompletions([]string{"ipv4", "ipv6"}, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if err := oneOf(c, "to", "listen"); err != nil {
			return err
		}
		if o.To == "" && o.Listen == "" {
			return errors.New("say to which router: --to ADDRESS, or --listen ADDRESS to wait for it")
		}
		o.File, o.HoldOpen = args[0], !closing
		if o.From, err = selection(from); err != nil {
			return err
		}
		if o.NextHop, err = nextHop(nextHops); err != nil {
			return err
		}
		f, given, err := parseFamily(family)
		if err != nil {
			return err
		}
		if given {
			o.Families[f] = true
		}
		for text, to := range map[*string]*netip.Addr{&source: &o.Source, &routerID: &o.RouterID} {
			if *text == "" {
				continue
			}
			if *to, err = netip.ParseAddr(*text); err != nil {
				return fmt.Errorf("%q is not an address", *text)
			}
		}
		return a.replay(c.Context(), o)
	}
	return c
}

// selection reads --from.
func selection(s string) (replay.Selection, error) {
	if s == "" {
		return replay.Selection{}, nil
	}
	if s == "all" {
		return replay.Selection{All: true}, nil
	}
	if addr, err := netip.ParseAddr(s); err == nil {
		return replay.Selection{Addr: addr}, nil
	}
	if i, err := strconv.Atoi(s); err == nil && i > 0 {
		return replay.Selection{Index: i}, nil
	}
	if asn, ok := parseAS(s); ok && asn > 0 {
		return replay.Selection{AS: asn}, nil
	}
	return replay.Selection{}, fmt.Errorf("--from takes an address, an AS like AS3333, a number from 1 or all, not %q", s)
}

// nextHop reads --next-hop.
func nextHop(all []string) (n replay.NextHop, err error) {
	for _, s := range all {
		if s == "keep" {
			n.Keep = true
			continue
		}
		addr, err := netip.ParseAddr(s)
		if err != nil {
			return n, fmt.Errorf("--next-hop takes an address or keep, not %q", s)
		}
		n.Addr[prefix.FromNetip(netip.PrefixFrom(addr, 0)).Family] = addr
	}
	return n, nil
}

func (a *app) replay(ctx context.Context, o replay.Options) error {
	p := a.progress("reading " + o.File)
	defer p.stop()
	var phase replay.Phase
	var begun, said time.Time // of the phase; when it was told last
	sum, err := replay.Run(ctx, o, func(r replay.Progress) {
		now := time.Now()
		if r.Phase != phase {
			phase, begun, said = r.Phase, now, time.Time{}
			if phase == replay.Holding {
				p.stop()
				fmt.Fprintln(a.Err, "all is sent; the session stays until Ctrl-C")
			}
		}
		if now.Sub(said) < 100*time.Millisecond {
			return // it is called often
		}
		said = now
		p.say(bar(r, now.Sub(begun)))
	})
	p.stop()
	if err != nil && (phase != replay.Holding || !errors.Is(err, context.Canceled)) {
		return err
	}
	return a.view().Replayed(played(sum))
}

// bar is a line about how far a phase is: "sending [######----] 60%, 600,000 of
// 1,000,000, 250,000/s".
func bar(r replay.Progress, d time.Duration) string {
	if r.Total <= 0 {
		return r.Phase.String()
	}
	const width = 20
	done := min(r.Done, r.Total)
	full := int(done * width / r.Total)
	s := fmt.Sprintf("%s [%s%s] %d%%", r.Phase, strings.Repeat("#", full), strings.Repeat("-", width-full), done*100/r.Total)
	if r.Phase != replay.Sending {
		return s
	}
	s += ", " + view.Count(uint64(r.Done)) + " of " + view.Count(uint64(r.Total))
	if d >= time.Second {
		s += ", " + view.Count(uint64(float64(r.Done)/d.Seconds())) + "/s"
	}
	return s
}

func played(s replay.Summary) view.Replay {
	r := view.Replay{
		Neighbor: s.From.Addr.String(), NeighborASN: s.From.AS, LocalASN: s.LocalAS, RemoteASN: s.RemoteAS, Table: s.Table,
		Announced: map[string]int{}, Withdrawn: map[string]int{}, Updates: s.Messages, Bytes: s.Bytes,
		Skipped: s.Skipped, SkipReason: s.Reason, Damaged: s.Damaged, UpdatesReceived: s.Received,
		Notes: s.Notes, Seconds: s.Elapsed.Seconds(),
	}
	for f := range prefix.Family(prefix.Families) {
		r.Announced[f.String()], r.Withdrawn[f.String()] = s.Announced[f], s.Withdrawn[f]
	}
	return r
}
