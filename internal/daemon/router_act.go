package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/fsm"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/state"
)

// Clear implements api.Router. With all neighbors, those are left out of which
// there is nothing to clear.
func (r *router) Clear(ctx context.Context, neighbor string, how api.ClearMode) ([]string, error) {
	cfg, _, _ := r.current()
	which := cfg.Neighbors
	if neighbor != "" {
		n, id, err := r.find(neighbor)
		if err != nil {
			return nil, err
		}
		if st, _ := r.sessions.Status(id); st.Shutdown {
			return nil, api.Refused("neighbor %q is shut down: enable it", n.Name)
		}
		which = []*config.Neighbor{n}
	}
	var done []packet.ID
	var err error
	switch how {
	case api.ClearHard:
		done = r.reset(which)
	case api.ClearSoft, api.ClearSoftIn, api.ClearSoftOut:
		done, err = r.refresh(ctx, which, how)
	default:
		err = api.Invalid("there is no way %d to clear", how)
	}
	var names []string
	for _, n := range which {
		if slices.Contains(done, r.id(n)) {
			names = append(names, n.Name)
		}
	}
	if err == nil && neighbor != "" && names == nil {
		err = api.Refused("the session with neighbor %q is not Established", which[0].Name)
	}
	return names, err
}

// reset ends sessions, which come back by themselves.
func (r *router) reset(which []*config.Neighbor) (done []packet.ID) {
	for _, n := range which {
		id := r.id(n)
		st, ok := r.sessions.Status(id)
		switch {
		case !ok || st.Shutdown:
			continue
		case st.Stopped: // by a limit: this is how an operator says that it is mended
			ok = r.sessions.Enable(id)
		default:
			ok = r.sessions.Reset(id, fsm.AdminReset(""))
		}
		if ok {
			done = append(done, id)
		}
	}
	return done
}

// refresh has routes sent again, by whom and to whom how says. All neighbors
// are done at once, as the tables are walked through for it.
func (r *router) refresh(ctx context.Context, which []*config.Neighbor, how api.ClearMode) (done []packet.ID, err error) {
	var ids []packet.ID
	for _, n := range which {
		ids = append(ids, r.id(n))
	}
	if how != api.ClearSoftOut {
		if done, err = r.engine.SoftIn(ctx, ids...); err != nil {
			return done, err
		}
	}
	if how != api.ClearSoftIn {
		done, err = r.engine.SoftOut(ctx, ids...)
	}
	return done, err
}

// Down implements api.Router.
func (r *router) Down(ctx context.Context, neighbor, reason string, lifetime time.Duration) error {
	n, _, err := r.find(neighbor)
	if err != nil {
		return err
	}
	return r.takeDown(n.Name, down{Reason: reason, By: api.Caller(ctx), Since: time.Now().UTC().Truncate(time.Second), Until: state.After(lifetime)})
}

// Enable implements api.Router.
func (r *router) Enable(ctx context.Context, neighbor string) error {
	n, _, err := r.find(neighbor)
	if err != nil {
		return err
	}
	return r.enable(n.Name, api.Caller(ctx))
}

// Shutdown implements api.Router.
func (r *router) Shutdown(ctx context.Context, drain time.Duration, reason string, fn func(api.ShutdownProgress) error) error {
	return r.shutdown(ctx, drain, reason, fn)
}

// Reload implements api.Router.
func (r *router) Reload(context.Context) (api.ReloadResult, error) { return r.reload() }

// Check implements api.Router.
func (r *router) Check(context.Context) (api.CheckResult, error) {
	cfg, ds := Check(r.configPath)
	out := api.CheckResult{ConfigPath: r.configPath, Diagnostics: Diagnostics(ds)}
	if ds.HasErrors() {
		return out, nil
	}
	if err := r.compile(cfg); err != nil {
		d := api.Diagnostic{Message: err.Error()}
		var at *policy.Error
		if errors.As(err, &at) {
			d.Position, d.Column, d.Message = position(at.Pos), at.Pos.Column, at.Err.Error()
		}
		out.Diagnostics = append(out.Diagnostics, d)
		return out, nil
	}
	out.Changes = changes(r.configured(), cfg)
	return out, nil
}

// changes are what makes new another configuration than old.
func changes(old, new *config.Config) []api.Change {
	var all []api.Change
	for _, d := range config.Diff(old, new) {
		all = append(all, api.Change{Kind: d.Kind.String(), Object: d.Object, Detail: d.Detail, Position: position(d.Pos)})
	}
	return all
}

// unusable is the error about a configuration with errors, all of which it
// shows as check does.
func unusable(ds config.Diagnostics) error {
	var errs config.Diagnostics
	for _, d := range ds {
		if d.Severity == config.Error {
			errs = append(errs, d)
		}
	}
	if len(errs) == 1 && errs[0].Pos.File == "" { // there is no configuration
		if errs[0].Fix != "" {
			return api.Invalid("%s: %s", errs[0].Message, errs[0].Fix)
		}
		return api.Invalid("%s", errs[0].Message)
	}
	return api.Invalid("the configuration cannot be used:\n%s", strings.TrimSuffix(errs.Text(), "\n"))
}
