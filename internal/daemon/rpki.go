package daemon

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rpki"
	"holdfast/internal/rtr"
)

// validate hands VRPs to the engine.
func (d *daemon) validate(vrps, changed *rpki.Table) {
	d.engine.Do(func(c *engine.Core) { c.Validate(vrps, changed) })
}

// vrpSources are the sources of a configuration.
func vrpSources(cfg *config.Config) (all []rtr.Source) {
	for _, s := range cfg.RPKI {
		x := rtr.Source{Name: s.Name, Local: s.LocalAddress, Refresh: s.Refresh, Expire: s.Expire}
		if s.File != "" {
			x.Path = s.Path()
		} else {
			x.Address = netip.AddrPortFrom(s.Address, s.Port)
		}
		all = append(all, x)
	}
	return all
}

// vrpDirectories are those of files with VRPs, as far as there are any. A validator
// may put another file in the place of one at any time.
func vrpDirectories(cfg *config.Config) (all []string) {
	for _, s := range cfg.RPKI {
		if s.File == "" {
			continue
		}
		paths := []string{s.Path()}
		if real, err := filepath.EvalSymlinks(s.Path()); err == nil {
			paths = append(paths, real)
		}
		for _, p := range paths {
			if _, err := os.Stat(filepath.Dir(p)); err == nil {
				all = append(all, filepath.Dir(p))
			}
		}
	}
	return all
}

// RPKI implements api.Router.
func (r *router) RPKI(_ context.Context, p *prefix.Prefix, origin uint32) (api.RPKI, error) {
	var out api.RPKI
	table := r.vrps.Table()
	for _, s := range r.vrps.Status() {
		x := api.RPKISource{
			Name: s.Name, File: s.Path, State: s.State.String(), Since: s.Since, Version: s.Version, Session: s.Session, Serial: s.Serial,
			Updated: s.Updated, Expires: s.Expires, Error: s.Error,
		}
		if s.Path == "" {
			x.Address = s.Address
		}
		for f := range x.VRPs {
			x.VRPs[f] = s.Set.Count(prefix.Family(f))
		}
		out.Sources = append(out.Sources, x)
	}
	for f := range out.VRPs {
		out.VRPs[f] = table.Set().Count(prefix.Family(f))
	}
	if p != nil {
		out.State, out.Covering = table.State(*p, origin).String(), covering(table, *p, origin)
	}
	return out, nil
}

// covering are the VRPs that say something of a route.
func covering(t *rpki.Table, p prefix.Prefix, origin uint32) (all []api.VRP) {
	for v := range t.Covering(p) {
		all = append(all, api.VRP{Prefix: v.Prefix, MaxLen: v.MaxLen, ASN: v.ASN, Matches: v.Matches(p.Bits, origin)})
	}
	return all
}

// validity is the state of a route's origin.
func validity(t *rpki.Table, p prefix.Prefix, path []byte, own uint32) rpki.State {
	return t.State(p, policy.Origin(path, own))
}

// rpkiStates reads states in the configuration's words.
func rpkiStates(words []string) (all []rpki.State, err error) {
	for _, w := range words {
		s, ok := rpki.StateByName(w)
		if !ok {
			return nil, api.Invalid("there is no state %q of an origin: choose valid, invalid or unknown", w)
		}
		all = append(all, s)
	}
	return all, nil
}
