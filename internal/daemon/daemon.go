// Package daemon puts a router together and runs it.
package daemon

import (
	"context"
	"errors"
	"log/slog"
)

// Options are what a router is started with.
type Options struct {
	ConfigPath string
	StateDir   string
	SocketPath string
	Log        *slog.Logger
}

// Run runs a router until ctx is done.
func Run(ctx context.Context, o Options) error {
	return errors.New("cannot run a router yet: its parts are not put together")
}
