package daemon

import (
	"context"
	"time"

	"holdfast/internal/metrics"
)

// figures are what metrics show: those of the commands, all of which cost the
// engine's loop no more than a look at each neighbor.
func (d *daemon) figures(ctx context.Context) (*metrics.Figures, error) {
	begun := time.Now()
	r := newRouter(d)
	f := &metrics.Figures{Load: d.engine.Load()}
	var err error
	if f.Neighbors, err = r.details(ctx); err != nil {
		return nil, err
	}
	if f.Memory, err = r.Memory(ctx); err != nil {
		return nil, err
	}
	if f.Summary, err = r.Summary(ctx); err != nil {
		return nil, err
	}
	tables, err := d.engine.Tables(ctx)
	if err != nil {
		return nil, err
	}
	if f.NextHops, f.Unreachable, err = d.engine.CountNextHops(ctx); err != nil {
		return nil, err
	}
	f.Answered = time.Since(begun)
	if f.RPKI, err = r.RPKI(ctx, nil, 0); err != nil {
		return nil, err
	}
	for i, name := range r.tables() {
		if i < len(tables) && (i == 0 || d.configuredOnly().Table(name) != nil) {
			for _, family := range families {
				f.Tables = append(f.Tables, metrics.Table{Name: name, Family: family, TableState: tables[i][family]})
			}
		}
	}
	d.mu.Lock()
	f.ReloadFailed = d.reloadFailed
	d.mu.Unlock()
	return f, nil
}
