package daemon

import (
	"context"
	"net/netip"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/bfd"
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/kernel"
	"holdfast/internal/packet"
	"holdfast/internal/rtr"
	"holdfast/internal/session"
)

// sessions is what operators can see of sessions and do with them.
type sessions interface {
	Status(id packet.ID) (session.Status, bool)
	Listening() []netip.AddrPort
	// Each is false for a neighbor that there is none of.
	Enable(id packet.ID) bool
	Reset(id packet.ID, c session.Close) bool
	Trace(id packet.ID) (*session.Trace, error)
}

// router answers operators about the running router. It has no state of its
// own, so that its methods may be called concurrently.
type router struct {
	engine     *engine.Engine
	sessions   sessions
	configPath string
	started    time.Time

	// current has the neighbors that have come from ranges too, configured only
	// what stands in the files.
	current    func() (cfg *config.Config, revision uint64, since time.Time)
	configured func() *config.Config
	id         func(*config.Neighbor) packet.ID
	// tables are the names of all tables that there have been, by their numbers.
	tables func() []string
	// bfd are the sessions of BFD, by the name of the neighbor.
	bfd func() []bfd.Status
	// onLinks is who the kernel knows on its links.
	onLinks func() ([]kernel.Neighbor, error)
	// compile tries whether a configuration could run.
	compile func(*config.Config) error
	reload  func() (api.ReloadResult, error)
	// Of what operators keep down.
	takeDown func(name string, e down) error
	enable   func(name, by string) error
	shutdown func(ctx context.Context, drain time.Duration, reason string, tell func(api.ShutdownProgress) error) error
	downed   func(name string) (down, bool)

	announcements *announcements
	vrps          *rtr.Sources
}

var _ api.Router = (*router)(nil)

// find is a configured neighbor by name or address.
func (r *router) find(name string) (*config.Neighbor, packet.ID, error) {
	cfg, _, _ := r.current()
	n := configured(cfg, name)
	if n == nil {
		if a, err := netip.ParseAddr(name); err == nil { // in another spelling
			n = configured(cfg, a.Unmap().String())
		}
	}
	if n == nil {
		return nil, 0, api.NotFound("there is no neighbor %q", name)
	}
	return n, r.id(n), nil
}

// names finds the configured neighbors by number.
func (r *router) names() map[packet.ID]*config.Neighbor {
	cfg, _, _ := r.current()
	all := make(map[packet.ID]*config.Neighbor, len(cfg.Neighbors))
	for _, n := range cfg.Neighbors {
		all[r.id(n)] = n
	}
	return all
}

// Summary implements api.Router.
func (r *router) Summary(ctx context.Context) (api.Summary, error) {
	cfg, revision, since := r.current()
	s := api.Summary{
		ASN: cfg.Router.ASN, RouterID: cfg.Router.ID, ConfigPath: r.configPath, Revision: revision,
		Started: r.started, Configured: since, Listen: r.sessions.Listening(), Neighbors: len(cfg.Neighbors),
	}
	for _, n := range cfg.Neighbors {
		st, _ := r.sessions.Status(r.id(n))
		if st.Established != nil {
			s.Up++
		}
		if st.Shutdown {
			s.Shutdown++
		}
	}
	tables, err := r.engine.Tables(ctx)
	if err != nil {
		return s, err
	}
	for i, name := range r.tables() {
		if i >= len(tables) || i > 0 && cfg.Table(name) == nil {
			continue
		}
		for _, f := range families {
			t := &tables[i][f]
			out := api.TableSummary{Table: name, Family: f, Prefixes: t.Prefixes, Paths: t.Paths, Originated: t.Originated}
			if t.Installs {
				out.Kernel = &api.KernelSummary{Routes: uint64(t.Installed), Refused: uint64(t.Refused)}
			}
			s.Tables = append(s.Tables, out)
		}
	}
	return s, nil
}

// Memory implements api.Router.
func (r *router) Memory(ctx context.Context) (api.Memory, error) {
	items, paths, err := r.engine.Memory(ctx)
	if err != nil {
		return api.Memory{}, err
	}
	m := api.Memory{Paths: paths, Heap: heapInUse()}
	for _, i := range items {
		m.Items = append(m.Items, api.MemoryItem{Name: i.Name, Count: i.Count, Bytes: i.Bytes})
	}
	u := r.vrps.Usage()
	for _, i := range []api.MemoryItem{{Name: "VRPs", Count: uint64(u.VRPs), Bytes: u.VRPBytes}, {Name: "ASPAs", Count: uint64(u.ASPAs), Bytes: u.ASPABytes}} {
		if i.Bytes > 0 {
			m.Items = append(m.Items, i)
		}
	}
	m.Resident, err = resident()
	return m, err
}
