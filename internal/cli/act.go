package cli

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

func (a *app) clearCommand() *cobra.Command {
	soft := ""
	c := &cobra.Command{
		Use:   "neighbor NAME|all",
		Short: "Reset the session with a neighbor, or with --soft exchange its routes again",
		Long: `Without --soft the session ends with a NOTIFICATION and comes back by itself.
With --soft it stays: "in" asks the neighbor for its routes again, "out" sends
ours again, "both" does both.`,
		Args:              between(1, 1),
		ValidArgsFunction: a.completeNeighbors("all"),
		RunE: func(c *cobra.Command, args []string) error {
			mode, ok := map[string]pb.ClearMode{
				"": pb.ClearMode_CLEAR_MODE_HARD, "both": pb.ClearMode_CLEAR_MODE_SOFT,
				"in": pb.ClearMode_CLEAR_MODE_SOFT_IN, "out": pb.ClearMode_CLEAR_MODE_SOFT_OUT,
			}[soft]
			if !ok {
				return fmt.Errorf("--soft takes in, out or both, not %q", soft)
			}
			req := &pb.ClearNeighborsRequest{Neighbor: args[0], Mode: mode}
			if args[0] == "all" {
				req.Neighbor, req.All = "", true
			}
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.ClearNeighbors(ctx, connect.NewRequest(req))
				return show(m, err, a.view().Cleared)
			})
		},
	}
	c.Flags().StringVar(&soft, "soft", "", "keep the session and exchange routes again: `in|out|both`")
	complete(c, "soft", cobra.FixedCompletions([]string{"in", "out", "both"}, cobra.ShellCompDirectiveNoFileComp))
	return parent("clear", "Reset or refresh sessions", c)
}

func (a *app) downCommand() *cobra.Command {
	var lasts lifetime
	c := &cobra.Command{
		Use:   "down NEIGHBOR REASON",
		Short: "End a session and keep it down, over restarts as well",
		Long: `Ends the session with a NOTIFICATION that carries the reason to the neighbor's
operators (RFC 9003), and keeps it down, over restarts of the router as well,
until "holdfast enable" or for as long as --for says.`,
		Example: `  holdfast down transit-a "new line card, ticket 4711"
  holdfast down transit-a "maintenance until 04:00 UTC" --for 2h`,
		Args:              between(2, 2),
		ValidArgsFunction: a.completeNeighbors(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				req := &pb.DownNeighborRequest{Neighbor: args[0], Reason: args[1], Lifetime: lasts.proto()}
				if _, err := r.DownNeighbor(ctx, connect.NewRequest(req)); err != nil {
					return err
				}
				return a.view().Done(args[0] + " is down" + lasts.text())
			})
		},
	}
	c.Flags().Var(&lasts, "for", "let it come up again after this `time`, such as 90s, 2h or 3d")
	return c
}

func (a *app) enableCommand() *cobra.Command {
	return &cobra.Command{
		Use: "enable NEIGHBOR", Short: "Let a session come up that is kept down, by a command or by a limit", Args: between(1, 1),
		ValidArgsFunction: a.completeNeighbors(),
		RunE: func(c *cobra.Command, args []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				if _, err := r.EnableNeighbor(ctx, connect.NewRequest(&pb.EnableNeighborRequest{Neighbor: args[0]})); err != nil {
					return err
				}
				return a.view().Done(args[0] + " is enabled")
			})
		},
	}
}

func (a *app) reloadCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the configuration file the running configuration",
		Long: `Reads the file that "holdfast run" was started with. If it has errors, nothing
changes. Policies are applied again to what is stored, and only what changed is
sent; sessions are reset only where a neighbor is gone or has another AS number.
Other settings of sessions wait for their next one. If something cannot be had,
such as a port in use, the rest runs, and the command says so and fails.`,
		Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.ask(c.Context(), func(ctx context.Context, r *api.Client) error {
				m, err := r.Reload(ctx, connect.NewRequest(&pb.ReloadRequest{}))
				return show(m, err, a.view().Reloaded)
			})
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "The version of this binary and of the running router", Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), 2*time.Second)
			defer cancel()
			r := api.Dial(a.socket)
			defer r.Close()
			var running *pb.GetVersionResponse
			if m, err := r.GetVersion(ctx, connect.NewRequest(&pb.GetVersionRequest{})); err == nil {
				running = m.Msg
			} // else none runs here, which is no error of this command
			return a.view().Version(api.Version(), running)
		},
	}
}
