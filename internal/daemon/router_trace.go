package daemon

import (
	"context"

	"holdfast/internal/api"
)

// Trace implements api.Router.
func (r *router) Trace(ctx context.Context, neighbor string, fn func([]api.TraceEvent) error) error {
	n, id, err := r.find(neighbor)
	if err != nil {
		return err
	}
	t, err := r.sessions.Trace(id)
	switch {
	case err != nil:
		return api.Refused("cannot trace neighbor %q: %v", n.Name, err)
	case t == nil:
		return api.NotFound("there is no neighbor %q any more", n.Name)
	}
	defer t.Close()
	for {
		var out []api.TraceEvent
		for _, e := range t.Next(ctx) {
			out = append(out, api.TraceEvent{At: e.At, Note: e.Note, Sent: e.Sent, Local: e.Local, Remote: e.Remote, Message: e.Message, Agreed: e.Agreed, Lost: e.Lost})
		}
		if out == nil {
			return ctx.Err()
		}
		if err := fn(out); err != nil {
			return err
		}
	}
}
