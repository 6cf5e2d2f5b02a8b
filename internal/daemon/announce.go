package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/engine"
	"holdfast/internal/events"
	"holdfast/internal/prefix"
	"holdfast/internal/state"
)

// mostAnnouncements bounds what operators and programs can announce at run time.
// The file of all of them is written at each change.
const mostAnnouncements = 10000

// announced is a route that was announced at run time. It stands in the state
// directory under its prefix.
type announced struct {
	api.Announcement
	By    string         `json:"by,omitempty"`
	Since time.Time      `json:"since"`
	Until state.Deadline `json:"until,omitzero"`
}

// checkAnnounced completes one that was read.
func checkAnnounced(key string, a *announced) (err error) {
	if a.Prefix, err = prefix.Parse(key); err != nil {
		return err
	}
	if name := a.Prefix.String(); name != key { // it could not be withdrawn
		return fmt.Errorf("write %s", name)
	}
	if a.Since.IsZero() {
		return errors.New("it does not say since when")
	}
	_, err = a.Attrs()
	return err
}

// same reports whether two say the same and have no end: with one, the later end
// counts.
func (a *announced) same(b *announced) bool {
	return a.Until.IsZero() && b.Until.IsZero() && reflect.DeepEqual(a.Announcement, b.Announcement)
}

// announcements are the routes that were announced at run time, on the disk and
// in the engine.
type announcements struct {
	file   *state.Entries[announced]
	engine *engine.Engine
	log    *slog.Logger
	wake   func() // there may be an earlier deadline
}

// announce makes routes. When it returns they are on the disk and in the table.
func (x *announcements) announce(routes []api.Announcement, by string, lifetime time.Duration) error {
	now, until := time.Now().UTC().Truncate(time.Second), state.After(lifetime)
	added, first, prefixes := 0, prefix.Prefix{}, make([]prefix.Prefix, len(routes))
	err := x.file.Update(func(all map[string]announced) (changed bool, err error) {
		fresh := map[prefix.Prefix]bool{}
		for i, r := range routes {
			if _, stands := all[r.Prefix.String()]; !stands {
				if len(fresh) == 0 {
					first = r.Prefix
				}
				fresh[r.Prefix] = true
			}
			prefixes[i] = r.Prefix
		}
		if added = len(fresh); added > 0 && len(all)+added > mostAnnouncements {
			return false, api.Refused("cannot announce %d more: %d of %d that can stand do; withdraw some", added, len(all), mostAnnouncements)
		}
		for _, r := range routes {
			a, old := announced{r, by, now, until}, all[r.Prefix.String()]
			if !fresh[r.Prefix] {
				a.Since = old.Since
			}
			if fresh[r.Prefix] || !a.same(&old) {
				all[r.Prefix.String()], changed = a, true
			}
		}
		return changed, nil
	})
	x.show(prefixes)
	x.wake()
	if err == nil && added > 0 { // that others are renewed is everyday life
		x.log.Info("routes announced", "event", events.RouteAnnounced, "prefix", first, "routes", added,
			"by", by, "reason", routes[0].Reason, "until", until.String())
	}
	return err
}

// withdraw ends announcements; nil means all.
func (x *announcements) withdraw(prefixes []prefix.Prefix, by string) (w api.Withdrawal, err error) {
	err = x.file.Update(func(all map[string]announced) (bool, error) {
		if prefixes == nil {
			for _, a := range all {
				prefixes = append(prefixes, a.Prefix)
			}
			slices.SortFunc(prefixes, prefix.Compare)
		}
		for _, p := range prefixes {
			if _, stands := all[p.String()]; stands {
				w.Withdrawn = append(w.Withdrawn, p)
				delete(all, p.String())
			}
		}
		return len(w.Withdrawn) > 0, nil
	})
	w.Originated = x.show(prefixes)
	if err == nil && len(w.Withdrawn) > 0 {
		x.log.Info("routes withdrawn", "event", events.RouteWithdrawn, "prefix", w.Withdrawn[0], "routes", len(w.Withdrawn), "by", by)
	}
	return w, err
}

// end withdraws what has come to its end, even if that cannot be written down
// now.
func (x *announcements) end() {
	var over []prefix.Prefix
	for _, a := range x.file.All() {
		if a.Until.Passed() {
			over = append(over, a.Prefix)
		}
	}
	if len(over) == 0 {
		return
	}
	err := x.file.Update(func(all map[string]announced) (bool, error) {
		before := len(all)
		maps.DeleteFunc(all, func(_ string, a announced) bool { return a.Until.Passed() })
		return len(all) < before, nil
	})
	x.show(over)
	if err != nil {
		x.log.Warn("cannot forget announcements that have ended", "event", events.StateUnwritable, "error", err)
		return
	}
	x.log.Info("routes withdrawn: their time is over", "event", events.RouteExpired, "prefix", over[0], "routes", len(over))
}

// show brings the table up to date about prefixes and returns those that the
// configuration originates. What stands when the engine comes to it counts, so
// that the order in which callers come there does not matter.
func (x *announcements) show(prefixes []prefix.Prefix) (originated []prefix.Prefix) {
	if len(prefixes) == 0 {
		return nil
	}
	x.engine.Do(func(c *engine.Core) {
		all := x.file.All()
		for _, p := range prefixes {
			if a, ok := all[p.String()]; ok && a.show(c) {
				continue
			}
			if c.Withdraw(0, p) {
				originated = append(originated, p)
			}
		}
	})
	return originated
}

// showAll is for the table of a new configuration.
func (x *announcements) showAll(c *engine.Core) {
	for _, a := range x.file.All() {
		a.show(c)
	}
}

// show announces a route, unless it has come to its end.
func (a *announced) show(c *engine.Core) bool {
	attrs, err := a.Attrs()
	if err != nil || a.Until.Passed() { // an error was found when it came
		return false
	}
	attrs.ASPath = c.Prepended(int(a.Prepend))
	c.Announce(engine.Origination{Prefix: a.Prefix, Attrs: attrs})
	return true
}

// standing lists them by prefix.
func (x *announcements) standing() (out []api.StandingAnnouncement) {
	for _, a := range x.file.All() {
		if !a.Until.Passed() {
			out = append(out, api.StandingAnnouncement{Announcement: a.Announcement, By: a.By, Since: a.Since, Until: a.Until.Time()})
		}
	}
	slices.SortFunc(out, func(a, b api.StandingAnnouncement) int { return prefix.Compare(a.Prefix, b.Prefix) })
	return out
}

// Announce implements api.Router.
func (r *router) Announce(ctx context.Context, all []api.Announcement, lifetime time.Duration) error {
	return r.announcements.announce(all, api.Caller(ctx), lifetime)
}

// Withdraw implements api.Router.
func (r *router) Withdraw(ctx context.Context, prefixes []prefix.Prefix) (api.Withdrawal, error) {
	return r.announcements.withdraw(prefixes, api.Caller(ctx))
}

// Announcements implements api.Router.
func (r *router) Announcements(context.Context) ([]api.StandingAnnouncement, error) {
	return r.announcements.standing(), nil
}
