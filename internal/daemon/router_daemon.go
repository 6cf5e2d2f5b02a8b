package daemon

import "holdfast/internal/config"

// newRouter is what the operators of d talk to.
func newRouter(d *daemon) *router {
	return &router{
		engine: d.engine, sessions: d.sessions, configPath: d.ConfigPath, started: d.started,
		current: d.current, configured: d.configuredOnly, id: d.id, reload: d.reload,
		takeDown: d.takeDown, enable: d.enable, shutdown: d.shutdown, downed: d.downed, announcements: &d.announcements,
		tables: d.tables, onLinks: d.onLinks, vrps: d.vrps, bfd: d.bfd.All,
		compile: func(cfg *config.Config) error {
			d.mu.Lock()
			ids := d.ids.clone()
			d.mu.Unlock()
			_, err := engineConfig(cfg, ids, 0)
			return err
		},
	}
}
