package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/view"
)

// perCall is how many routes go into one call.
const perCall = 2000

// announceFlags are the flags of announce.
type announceFlags struct {
	route         pb.Announcement // what all of them have
	med, pref     uint32
	lasts         lifetime
	file, nextHop string
}

func (a *app) announceCommand() *cobra.Command {
	o := &announceFlags{}
	c := &cobra.Command{
		Use:   "announce [PREFIX…]",
		Short: "Announce routes of this router, over restarts as well",
		Long: `Announces prefixes as routes of this router (source "originated"), to those
neighbors whose export policies accept them, until "holdfast withdraw" or for as
long as --for says. What was announced before for a prefix is replaced, and its
time begins anew; what the configuration originates for it gives way meanwhile.`,
		Example: `  holdfast announce 203.0.113.7/32 --community blackhole --for 1h --reason "attack, ticket 4711"
  holdfast announce 192.0.2.53/32 --for 15s    # a health check says this every 5 s
  holdfast announce --file prefixes.txt --med 10`,
		Args: cobra.ArbitraryArgs,
	}
	f := c.Flags()
	f.StringArrayVar(&o.route.Communities, "community", nil, "add a `community` of any kind, such as blackhole, 64500:1 or 64500:1:2; may be repeated")
	f.Uint32Var(&o.med, "med", 0, "MED, a `number`")
	f.Uint32Var(&o.pref, "local-pref", 0, "local preference, a `number`")
	f.StringVar(&o.nextHop, "next-hop", "self", "`address` that neighbors are to send to, or self")
	f.Uint32Var(&o.route.Prepend, "prepend", 0, "put our AS number into the path this `number` of times more")
	f.Var(&o.lasts, "for", "withdraw it after this `time`, such as 15s, 10m or 3d, unless it is announced again")
	f.StringVar(&o.route.Reason, "reason", "", "`text` for colleagues")
	f.StringVar(&o.file, "file", "", "announce the prefixes of a `file` too, one a line; - is standard input")
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		prefixes, err := a.prefixes(args, o.file)
		if err != nil {
			return err
		}
		if c.Flags().Changed("med") {
			o.route.Med = &o.med
		}
		if c.Flags().Changed("local-pref") {
			o.route.LocalPref = &o.pref
		}
		if o.nextHop != "self" {
			o.route.NextHop = o.nextHop
		}
		return a.announce(c.Context(), prefixes, o)
	}
	return c
}

func (a *app) announce(ctx context.Context, prefixes []string, o *announceFlags) error {
	return a.ask(ctx, func(ctx context.Context, r *api.Client) error {
		for some := range slices.Chunk(prefixes, perCall) {
			req := &pb.AnnounceRequest{Lifetime: o.lasts.proto()}
			for _, p := range some {
				req.Announcements = append(req.Announcements, &pb.Announcement{
					Prefix: p, Communities: o.route.Communities, Med: o.route.Med, LocalPref: o.route.LocalPref,
					NextHop: o.route.NextHop, Prepend: o.route.Prepend, Reason: o.route.Reason,
				})
			}
			if _, err := r.Announce(ctx, connect.NewRequest(req)); err != nil {
				return err
			}
		}
		what := prefixes[0] + " is"
		if len(prefixes) > 1 {
			what = view.Count(uint64(len(prefixes))) + " routes are"
		}
		return a.view().Done(what + " announced" + o.lasts.text())
	})
}

func (a *app) withdrawCommand() *cobra.Command {
	file := ""
	c := &cobra.Command{
		Use:   "withdraw [PREFIX…|all]",
		Short: "Withdraw what announce has announced",
		Long: `Withdraws what "holdfast announce" has announced. What the configuration
originates for the prefix comes back. What was not announced is no error.`,
		Example: `  holdfast withdraw 203.0.113.7/32
  holdfast withdraw all`,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: a.completeAnnounced,
		RunE: func(c *cobra.Command, args []string) error {
			if slices.Equal(args, []string{"all"}) && file == "" {
				return a.withdraw(c.Context(), []*pb.WithdrawRequest{{All: true}})
			}
			prefixes, err := a.prefixes(args, file)
			if err != nil {
				return err
			}
			var calls []*pb.WithdrawRequest
			for some := range slices.Chunk(prefixes, perCall) {
				calls = append(calls, &pb.WithdrawRequest{Prefixes: some})
			}
			return a.withdraw(c.Context(), calls)
		},
	}
	c.Flags().StringVar(&file, "file", "", "withdraw the prefixes of a `file` too, one a line; - is standard input")
	return c
}

func (a *app) withdraw(ctx context.Context, calls []*pb.WithdrawRequest) error {
	return a.ask(ctx, func(ctx context.Context, r *api.Client) error {
		sum := &pb.WithdrawResponse{}
		for _, req := range calls {
			m, err := r.Withdraw(ctx, connect.NewRequest(req))
			if err != nil {
				return err
			}
			sum.Withdrawn = append(sum.Withdrawn, m.Msg.Withdrawn...)
			sum.Originated = append(sum.Originated, m.Msg.Originated...)
		}
		return a.view().Withdrawn(sum)
	})
}

func (a *app) showAnnouncements() *cobra.Command {
	return &cobra.Command{
		Use: "announcements", Short: "What announce has announced, by whom and until when", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.ListAnnouncements(ctx, connect.NewRequest(&pb.ListAnnouncementsRequest{}))
				return show(m, err, a.view().Announcements)
			})
		},
	}
}

// prefixes are arguments and the lines of a file, without comments.
func (a *app) prefixes(args []string, file string) ([]string, error) {
	all := slices.Clone(args)
	if file != "" {
		in := a.In
		if file != "-" {
			f, err := os.Open(file)
			if err != nil {
				return nil, fmt.Errorf("cannot read the prefixes: %w", err)
			}
			defer f.Close()
			in = f
		}
		more, err := prefixLines(in)
		if err != nil {
			return nil, fmt.Errorf("cannot read the prefixes: %w", err)
		}
		all = append(all, more...)
	}
	if len(all) == 0 {
		return nil, errors.New("say which prefixes, or a --file with them")
	}
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(p string) bool {
		again := seen[p]
		seen[p] = true
		return again
	}), nil
}

func prefixLines(in io.Reader) (all []string, err error) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, text)
		}
	}
	return all, lines.Err()
}

func (a *app) completeAnnounced(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	all := []string{"all"}
	a.quietly(c.Context(), func(ctx context.Context, r *api.Client) error {
		m, err := r.ListAnnouncements(ctx, connect.NewRequest(&pb.ListAnnouncementsRequest{}))
		if err != nil {
			return err
		}
		for _, x := range m.Msg.Announcements {
			if !slices.Contains(args, x.Prefix) {
				all = append(all, cobra.CompletionWithDesc(x.Prefix, x.Reason))
			}
		}
		return nil
	})
	return all, cobra.ShellCompDirectiveNoFileComp
}
