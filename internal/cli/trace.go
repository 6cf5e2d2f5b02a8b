package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/view"
)

// traceFlags are the flags of trace.
type traceFlags struct {
	pcap  string
	count uint64
	lasts lifetime
}

func (a *app) traceCommand() *cobra.Command {
	o := &traceFlags{}
	c := &cobra.Command{
		Use:   "trace NEIGHBOR",
		Short: "Watch the messages that are exchanged with a neighbor",
		Long: `Shows what is exchanged with a neighbor from now on, and what else happens to its
session, until Ctrl-C, --for or --count. It works before the session is up, too.
The session waits for nobody: what this end is too slow for is lost, and it says
how much.`,
		Example: `  holdfast trace transit-a
  holdfast trace transit-a --for 30s --pcap transit-a.pcap
  holdfast --host admin@r1 trace transit-a --pcap - | wireshark -k -i -`,
		Args:              between(1, 1),
		ValidArgsFunction: a.completeNeighbors(),
		RunE: func(c *cobra.Command, args []string) error {
			if o.pcap != "" && a.json {
				return errors.New("give either --pcap or --json")
			}
			return a.trace(c.Context(), args[0], o)
		},
	}
	f := c.Flags()
	f.StringVar(&o.pcap, "pcap", "", "write the messages to this `file` for Wireshark and tshark, - is standard output")
	f.Uint64Var(&o.count, "count", 0, "end after this `number` of messages")
	f.Var(&o.lasts, "for", "end after this `time`, such as 30s")
	return c
}

func (a *app) trace(ctx context.Context, neighbor string, o *traceFlags) (err error) {
	if o.lasts > 0 {
		// No deadline: the router would be told of it, and might end the stream with
		// an error just before our own clock says that it is time.
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		defer cancel()
		defer time.AfterFunc(time.Duration(o.lasts), cancel).Stop()
	}
	r := api.Dial(a.socket)
	defer r.Close()
	stream, err := r.TraceNeighbor(ctx, connect.NewRequest(&pb.TraceNeighborRequest{Neighbor: neighbor}))
	if ctx.Err() != nil { // before there was anything to show
		return nil
	}
	if err != nil {
		return r.Error(err)
	}
	defer stream.Close()
	show, done, err := a.tracer(o.pcap)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	messages := uint64(0)
	for stream.Receive() {
		for _, e := range stream.Msg().Events {
			if e.Lost > 0 && o.pcap != "" {
				fmt.Fprintf(a.Err, "%d messages were lost: this end is too slow\n", e.Lost)
			}
			if err := show(e); err != nil {
				return err
			}
			if e.Note == "" {
				messages++
			}
			if o.count > 0 && messages == o.count {
				return nil
			}
		}
	}
	switch err := stream.Err(); {
	case ctx.Err() != nil: // --for is over, or Ctrl-C: both are how a trace ends
		return nil
	case err != nil:
		return r.Error(err)
	}
	return fmt.Errorf("neighbor %s is no longer there", neighbor)
}

// tracer shows events, or writes them to a file.
func (a *app) tracer(pcap string) (show func(*pb.TraceEvent) error, done func() error, err error) {
	nothing := func() error { return nil }
	var w io.Writer
	switch pcap {
	case "":
		return a.view().TraceEvent, nothing, nil
	case "-":
		if terminal(a.Out) {
			return nil, nil, errors.New("standard output is a terminal: give --pcap a file, or pipe it into tshark -r -")
		}
		w, done = a.Out, nothing
	default:
		f, err := os.OpenFile(pcap, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("cannot write the trace: %w", err)
		}
		w, done = f, f.Close
	}
	p, err := view.NewPcap(w)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot write the trace: %w", err), done())
	}
	return p.Event, done, nil
}
