package cli

import (
	"context"
	"errors"
	"os"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
)

func (a *app) monitorCommand() *cobra.Command {
	q := &pb.MonitorRequest{}
	c := &cobra.Command{
		Use:   "monitor",
		Short: "Show what changes, as it changes",
		Long: `Shows every change of a best path with its cause, and sessions that come and go,
until Ctrl-C. With --prefix there are no sessions, with --neighbor only what
concerns this one.`,
		Example: `  holdfast monitor
  holdfast monitor --prefix 203.0.113.0/24 --longer
  holdfast monitor --neighbor transit-a --json | jq -r .cause`,
		Args:              between(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if q.Longer && q.Prefix == "" {
				return errors.New("--longer needs --prefix")
			}
			return a.monitor(c.Context(), q)
		},
	}
	f := c.Flags()
	f.StringVar(&q.Neighbor, "neighbor", "", "only of this neighbor, by `name` or address")
	f.StringVar(&q.Prefix, "prefix", "", "only of this `prefix`")
	f.BoolVar(&q.Longer, "longer", false, "the prefix and all inside it")
	f.BoolVar(&q.BestOnly, "best", false, "only changes of best paths, no sessions")
	complete(c, "neighbor", a.completeNeighborFlag)
	return c
}

// monitor shows events as they come.
func (a *app) monitor(ctx context.Context, q *pb.MonitorRequest) error {
	asked := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if f, ok := a.Out.(*os.File); ok && !terminal(f) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			whileRead(ctx, f)
			cancel()
		}()
		defer func() {
			cancel()
			<-done
		}()
	}
	r := api.Dial(a.socket)
	defer r.Close()
	stream, err := r.Monitor(ctx, connect.NewRequest(q))
	if err != nil {
		return r.Error(err)
	}
	defer stream.Close()
	v := a.view()
	for stream.Receive() {
		for _, e := range stream.Msg().Events {
			if err := v.Event(e); err != nil {
				return err
			}
		}
	}
	if asked.Err() != nil || ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	return r.Error(stream.Err())
}

// whileRead returns when nobody reads f any more, or ctx ends. Without it, a
// monitor at the end of a pipe or of a connection that is gone would stay until
// something changes.
func whileRead(ctx context.Context, f *os.File) {
	fds := []unix.PollFd{{Fd: int32(f.Fd())}}
	for ctx.Err() == nil {
		n, err := unix.Poll(fds, 250)
		if n > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
