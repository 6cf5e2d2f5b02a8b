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

// validate hands VRPs and ASPAs to the engine.
func (d *daemon) validate(vrps, changed *rpki.Table, aspas *rpki.ASPAs) {
	d.engine.Do(func(c *engine.Core) {
		c.Validate(vrps, changed)
		c.Verify(aspas)
	})
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
			ASPAs: s.ASPAs.Len(), Updated: s.Updated, Expires: s.Expires, Error: s.Error,
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
	out.ASPAs = r.vrps.ASPAs().Len()
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

// rpkiState reads a state of an origin or a path in the configuration's words.
func rpkiState(of, word string) (rpki.State, error) {
	s, ok := rpki.StateByName(word)
	if !ok {
		return s, api.Invalid("there is no state %q of an %s: choose valid, invalid or unknown", word, of)
	}
	return s, nil
}
