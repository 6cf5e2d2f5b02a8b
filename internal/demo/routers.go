package demo

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/daemon"
	"holdfast/internal/prefix"
	"holdfast/internal/replay"
)

// lab runs the routers, and plays the table to the transits. What ends before
// it should ends all, with the reason as the cause of ctx.
type lab struct {
	*place
	ctx    context.Context
	fail   context.CancelCauseFunc
	parts  sync.WaitGroup
	cable  *cable
	logs   []*os.File
	client map[string]*api.Client
}

func newLab(ctx context.Context, p *place) *lab {
	l := &lab{place: p, client: map[string]*api.Client{}}
	l.ctx, l.fail = context.WithCancelCause(ctx)
	l.cable = &cable{at: p.at(hostTransitA, 1), to: p.at(hostTransitA, 0)}
	return l
}

// stop ends everything and returns when it has ended.
func (l *lab) stop() {
	for _, c := range l.client {
		c.Close()
	}
	l.fail(nil)
	l.parts.Wait()
	l.cable.cut()
	for _, f := range l.logs {
		f.Close()
	}
}

// socket is where a router listens to operators.
func (l *lab) socket(router string) string { return l.path(router + ".sock") }

// start runs a router and returns when it answers and listens.
func (l *lab) start(name string, listens bool) error {
	f, err := os.OpenFile(l.path(name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write a log: %w", err)
	}
	l.logs = append(l.logs, f)
	o := daemon.Options{
		ConfigPath: l.path(name + ".hcl"), StateDir: l.path(name + ".state"), SocketPath: l.socket(name),
		Log: slog.New(slog.NewTextHandler(f, nil)),
	}
	l.parts.Go(func() {
		if err := daemon.Run(l.ctx, o); l.ctx.Err() == nil {
			l.fail(fmt.Errorf("%s has ended: %w", name, err))
		}
	})
	c := api.Dial(o.SocketPath)
	l.client[name] = c
	return l.until(name+" to answer", func(ctx context.Context) (bool, error) {
		if _, err := os.Stat(o.SocketPath); err != nil {
			return false, nil // not yet
		}
		m, err := c.GetSummary(ctx, connect.NewRequest(&pb.GetSummaryRequest{}))
		if err != nil {
			return false, c.Error(err)
		}
		if listens && len(m.Msg.Listen) == 0 {
			return false, fmt.Errorf("%s cannot listen: somebody has taken its port; try again", name)
		}
		return true, nil
	})
}

// feed plays a family of the table to a transit, again if the session ends.
func (l *lab) feed(from, to int, f prefix.Family) {
	o := replay.Options{File: l.path(tableName), To: l.at(to, 0).String(), Source: l.at(from, 0).Addr(), HoldOpen: true}
	o.Families[f] = true
	l.parts.Go(func() {
		for l.ctx.Err() == nil {
			// What went wrong is in the log of the transit.
			_, _ = replay.Run(l.ctx, o, nil)
			select {
			case <-l.ctx.Done():
			case <-time.After(time.Second):
			}
		}
	})
}

const (
	// patience is for one thing to happen.
	patience = 30 * time.Second
	// blink is the time between two looks.
	blink = 2 * time.Millisecond
)

// until looks until f is true.
func (l *lab) until(what string, f func(context.Context) (bool, error)) error {
	tooLong := fmt.Errorf("waited %v for %s", patience, what)
	ctx, cancel := context.WithTimeoutCause(l.ctx, patience, tooLong)
	defer cancel()
	t := time.NewTicker(blink)
	defer t.Stop()
	for {
		ok, err := f(ctx)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil || ok:
			return err
		}
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
}

// neighbor asks a router about a neighbor of it.
func (l *lab) neighbor(ctx context.Context, router, name string) (*pb.GetNeighborResponse, error) {
	c := l.client[router]
	m, err := c.GetNeighbor(ctx, connect.NewRequest(&pb.GetNeighborRequest{Neighbor: name}))
	if err != nil {
		return nil, c.Error(err)
	}
	return m.Msg, nil
}

// loaded reports whether a router has a neighbor's whole table.
func loaded(n *pb.Neighbor) bool {
	for _, f := range n.Families {
		if !f.EndOfRibReceived {
			return false
		}
	}
	return n.State == pb.SessionState_SESSION_STATE_ESTABLISHED
}

// count is how many prefixes of a router q selects.
func (l *lab) count(ctx context.Context, router string, q *pb.RouteQuery) (uint64, error) {
	c := l.client[router]
	m, err := c.CountRoutes(ctx, connect.NewRequest(&pb.CountRoutesRequest{Query: q}))
	if err != nil {
		return 0, c.Error(err)
	}
	return m.Msg.Prefixes, nil
}
