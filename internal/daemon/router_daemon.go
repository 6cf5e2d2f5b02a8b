package daemon

import (
	"maps"

	"holdfast/internal/config"
)

// newRouter is what the operators of d talk to.
func newRouter(d *daemon) *router {
	return &router{
		engine: d.engine, sessions: d.sessions, configPath: d.ConfigPath, started: d.started,
		current: d.current, id: d.id, reload: d.reload,
		takeDown: d.takeDown, enable: d.enable, downed: d.downed,
		compile: func(cfg *config.Config) error {
			d.mu.Lock()
			ids := maps.Clone(d.ids) // trying hands no numbers out
			d.mu.Unlock()
			_, err := engineConfig(cfg, ids, 0)
			return err
		},
	}
}
