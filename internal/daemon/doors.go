package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/api"
	"holdfast/internal/privilege"
)

// Everybody is the ReadOnlyGroup that lets every user of the machine look.
const Everybody = "everybody"

// doors are the sockets through which people come in.
type doors struct {
	operators, readers net.Listener
	// instead is what readers are told to use for what they may not do.
	instead string
}

// access is who may use a socket.
func access(group string) (api.Access, error) {
	switch group {
	case "":
		return api.GroupOnly, nil
	case Everybody:
		return api.Access{Mode: 0o666, Group: -1}, nil
	}
	gid, err := privilege.Group(group)
	return api.Access{Mode: 0o660, Group: gid}, err
}

// groups are those that the process must be in to give them the sockets.
func (o *Options) groups() (all []int, err error) {
	for _, g := range []string{o.OperatorGroup, o.ReadOnlyGroup} {
		a, err := access(g)
		if err != nil {
			return nil, err
		}
		if a.Group >= 0 {
			all = append(all, a.Group)
		}
	}
	return all, nil
}

func (o *Options) listen() (d doors, err error) {
	operators, err := access(o.OperatorGroup)
	if err != nil {
		return d, err
	}
	readers, err := access(o.ReadOnlyGroup)
	if err != nil {
		return d, err
	}
	if d.operators, err = api.Listen(o.SocketPath, operators); err != nil {
		return d, err
	}
	if d.readers, err = api.Listen(api.ReadOnlySocket(o.SocketPath), readers); err != nil {
		d.operators.Close()
		return d, err
	}
	d.instead = fmt.Sprintf("%s, which root and %s may open", o.SocketPath, api.GroupOf(o.SocketPath))
	return d, nil
}

// Close closes both.
func (d doors) Close() {
	d.operators.Close()
	d.readers.Close()
}

// serve answers until ctx is done or a socket fails.
func (d doors) serve(ctx context.Context, r api.Router, log *slog.Logger) error {
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() error { return api.Serve(ctx, d.operators, r, log) })
	both.Go(func() error { return api.ServeReadOnly(ctx, d.readers, r, log, d.instead) })
	return both.Wait()
}
