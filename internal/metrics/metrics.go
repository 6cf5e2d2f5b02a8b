// Package metrics shows a router's figures to Prometheus. It keeps none of its
// own: what a scrape gets is asked for then, and is what show tells.
package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"holdfast/internal/api"
	"holdfast/internal/engine"
	"holdfast/internal/prefix"
)

// Figures are those of one moment.
type Figures struct {
	Summary   api.Summary
	Neighbors []api.NeighborDetail
	Tables    []Table
	// NextHops counts those that paths have, and Unreachable of them.
	NextHops, Unreachable int
	RPKI                  api.RPKI
	Memory                api.Memory
	Load                  engine.Load
	Answered              time.Duration // how long the engine let us wait for all of this
	ReloadFailed          bool          // the last one
}

// Table is one of the router's tables in one family.
type Table struct {
	Name   string
	Family prefix.Family
	engine.TableState
}

// Source gives the figures. It is called for each scrape.
type Source func(context.Context) (*Figures, error)

// metric is a family of series: its name, what it says, and where in the
// figures its values are. set is called once for each series.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	labels     []string
	values     func(f *Figures, set setter)
}

type setter func(value float64, labels ...string)

// collector is a Source as Prometheus wants it.
type collector struct {
	source  Source
	metrics []metric
	descs   []*prometheus.Desc
}

func newCollector(s Source) *collector {
	c := &collector{source: s, metrics: all()}
	for _, m := range c.metrics {
		c.descs = append(c.descs, prometheus.NewDesc(m.name, m.help, m.labels, nil))
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	f, err := c.source(context.Background())
	if err != nil {
		ch <- prometheus.NewInvalidMetric(c.descs[0], err)
		return
	}
	for i, m := range c.metrics {
		m.values(f, func(v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(c.descs[i], m.kind, v, labels...)
		})
	}
}

// newRegistry has the router's figures and those of its process.
func newRegistry(s Source) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(newCollector(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
