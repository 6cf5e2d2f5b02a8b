package cli

import (
	"context"
	"errors"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

func (a *app) shutdownCommand() *cobra.Command {
	wait := lifetime(time.Minute)
	now, drain := false, false
	req := &pb.ShutdownRequest{}
	c := &cobra.Command{
		Use:   "shutdown",
		Short: "Leave for good: end all sessions, remove kernel routes, end the router",
		Long: `Ends the router for good, as a restart does not: neighbors drop its routes, and
the kernel routes go. With --drain, neighbors are first asked to prefer other ways
(RFC 8326), and have the time of --wait to do so, in which the router goes on.
Until then Ctrl-C calls it off.`,
		Example: `  holdfast shutdown --drain
  holdfast shutdown --drain --wait 5m --reason "moving to another rack"`,
		Args: between(0, 0),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := oneOf(c, "drain", "now"); err != nil {
				return err
			}
			switch {
			case drain:
				req.Drain = wait.proto()
			case c.Flags().Changed("wait"):
				return errors.New("--wait needs --drain")
			case !now:
				return errors.New("say how to leave: --drain lets neighbors prefer other ways first, --now does not; a restart that nobody notices is no shutdown but a stop and a start")
			}
			return a.shutdown(c.Context(), req)
		},
	}
	f := c.Flags()
	f.BoolVar(&drain, "drain", false, "ask neighbors to prefer other ways first")
	f.Var(&wait, "wait", "with --drain: let neighbors have this `time`, such as 90s or 5m")
	f.BoolVar(&now, "now", false, "end sessions at once")
	f.StringVar(&req.Reason, "reason", "", "`text` for the operators of neighbors (RFC 9003)")
	return c
}

// shutdown shows how far it is, until the router is gone.
func (a *app) shutdown(ctx context.Context, req *pb.ShutdownRequest) error {
	r := api.Dial(a.socket)
	defer r.Close()
	stream, err := r.Shutdown(ctx, connect.NewRequest(req))
	if err != nil {
		return r.Error(err)
	}
	defer stream.Close()
	v, phase := a.view(), pb.ShutdownPhase_SHUTDOWN_PHASE_UNSPECIFIED
	for stream.Receive() {
		m := stream.Msg()
		phase = m.Phase
		if err := v.Shutdown(m); err != nil {
			return err
		}
	}
	leaving := phase >= pb.ShutdownPhase_SHUTDOWN_PHASE_LEAVING
	switch err := stream.Err(); {
	case ctx.Err() != nil && !leaving:
		return errors.New("interrupted: the router goes on, and neighbors are told to prefer it as before")
	case ctx.Err() != nil:
		return errors.New("interrupted: the router leaves all the same")
	case err != nil && !leaving:
		return r.Error(err)
	}
	return nil // that it hangs up is what it was asked for
}
