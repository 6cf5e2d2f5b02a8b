// Package engine owns the routing tables. Sessions hand it UPDATEs; it interns
// their attributes, applies import policies, decides, and feeds the update
// groups. One goroutine does all of it, so nothing here has a lock.
//
// Core is that machine without goroutine, clock or socket: what it does follows
// from the order of its inputs alone. Engine is the loop around it.
package engine

import (
	"log/slog"
	"slices"

	"holdfast/internal/attr"
	"holdfast/internal/events"
	"holdfast/internal/export"
	"holdfast/internal/fib"
	"holdfast/internal/packet"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/rib"
	"holdfast/internal/rpki"
	"holdfast/internal/session"
	"holdfast/internal/wire"
)

const batchOps = 256 // routes looked up together

// pace is how many prefixes are worked on between two looks at the mailbox. It
// bounds how long a command or another neighbor's update waits.
type pace struct {
	walk    int // of a walk over the table
	drain   int // that a group looks at
	catchUp int // that a member catches up with
}

// Core is the routing machine.
type Core struct {
	log    *slog.Logger
	pace   pace
	cfg    Config
	store  *attr.Store
	tables [][prefix.Families]*table // by TableID

	// By packet.ID; 0 is the router itself.
	neighbors []*neighbor
	infos     []rib.NeighborInfo
	sources   []export.Neighbor

	imports   *attr.Memo
	hops      *hops         // nil without a kernel
	writer    *kernelWriter // nil without a kernel, as the following
	forwards  *forwards
	objects   *objects
	orphans   []fib.Change            // routes of ours that no table has
	waitUntil uint32                  // such routes stay until then; 0: there are none
	retryAt   uint32                  // what the kernel has refused is tried again then
	kernelBad uint32                  // when a refusal was last logged, in seconds, + 1
	objectBad uint32                  // the refusal of an object is logged again then
	present   map[fib.Key]Origination // originations that want a kernel route
	leaks     []*leak
	watch     *watch // nil while nobody looks
	drained   bool   // all neighbors are, by Drain
	jobs      []job
	stepping  bool   // the first of them is at work, and stays the first
	now       uint32 // seconds since the start
	// Of Validate: the walk that follows a change of VRPs, and what has changed
	// since it began.
	vrps, changed *rpki.Table
	validating    bool
	// Of Verify, alike.
	aspas, nextASPAs *rpki.ASPAs
	verifying        bool

	nextGroup uint32
	deferral  *Deferral // its times since the start; nil but for the first moments after a restart
	frozen    bool
	revising  int    // revisions under way: how many routes are accepted is not certain
	alarm     uint32 // when ring has something to do, in seconds; 0: never

	ops     [prefix.Families][]rib.Op
	routes  []wire.Route
	msg     wire.Update
	attrs   wire.Attrs
	scratch policy.Scratch
	block   []byte
	canon   []byte
}

// neighbor is the state of one that is configured.
type neighbor struct {
	Neighbor
	up      bool
	est     session.Established
	out     session.Out
	members [prefix.Families]*export.Member
	counts  [prefix.Families]counts
	// closing: the engine has asked for the session's end and ignores the rest.
	closing    bool
	drained    bool // by Drain
	bad        BadUpdates
	complained uint32 // when one was last logged, in seconds, + 1
	// heard is when a deferral last saw its number of paths change, + 1.
	heard struct {
		paths int
		since uint32
	}
}

type counts struct {
	paths, accepted int
	warned          bool
	endOfRIB        bool // received
	sweep           sweep
	kept            kept
}

func (k *counts) add(d rib.Delta) {
	k.paths += d.Paths
	k.accepted += d.Accepted
	k.kept.paths = max(k.kept.paths-d.Old, 0)
}

// sweep removes what a neighbor has not announced again in a refresh (RFC 7313).
type sweep struct {
	open    bool   // between BoRR and EoRR
	running bool   // there is a job,
	again   bool   // and another EoRR has come meanwhile
	base    uint8  // no path is of an earlier round
	ended   uint8  // the round that EoRR has ended last
	due     uint8  // what is of an earlier round goes with or without EoRR
	until   uint32 // at this time, in seconds
	stale   int    // jobs that remove what a restart has left, or a refresh without an end
}

// passed: no path is of a round before this one any more.
func (s *sweep) passed(round uint8) {
	if int8(s.base-round) < 0 {
		s.base = round
	}
}

// BadUpdates counts UPDATEs that RFC 7606 had something to say about, routes that
// did not fit the neighbor's messages, and route leaks that it has sent.
type BadUpdates struct {
	Withdrawn, Discarded, Unsendable, Leaks uint64
}

// job is work over a whole table, done in slices.
type job struct {
	neighbor packet.ID // whose coming up must wait for it, or 0
	step     func() (done bool)
}

// NewCore returns a machine without neighbors.
func NewCore(log *slog.Logger) *Core {
	c := &Core{present: map[fib.Key]Origination{}, log: log, pace: pace{walk: 4096, drain: 8192, catchUp: 4096}, store: attr.NewStore()}
	c.imports = attr.NewMemo(c.store)
	c.store.OnFree = c.forget
	c.neighbors = []*neighbor{{}}
	c.infos = []rib.NeighborInfo{{Local: true}}
	c.sources = []export.Neighbor{{}}
	c.growTables(1)
	return c
}

// forget drops a block that is being freed from every memo.
func (c *Core) forget(h attr.Handle) {
	c.imports.Forget(h)
	for _, l := range c.leaks {
		l.memo.Forget(h)
	}
	c.all(func(t *table) {
		if t.install != nil {
			t.install.memo.Forget(h)
		}
		for _, g := range t.groups {
			g.Forget(h)
		}
	})
}

func (c *Core) limited(g *export.Group) {
	for _, m := range g.Members() {
		c.log.Warn("prefixes held back: max_prefixes_out is reached", "event", events.PrefixesHeld, "neighbor", c.neighbors[m.ID].Name, "family", g.Family, "limit", g.MaxOut)
	}
}

func (c *Core) unsendable(g *export.Group, p prefix.Prefix) {
	for _, m := range g.Members() {
		n := c.neighbors[m.ID]
		n.bad.Unsendable++
		c.complain(n, events.RouteUnsendable, "route not sent, or withdrawn", "it does not fit the neighbor's messages", "prefix", p)
	}
}

// SetNow tells the time, in seconds since the start.
func (c *Core) SetNow(now uint32) {
	if c.now = now; c.writer != nil {
		c.kernelTime()
	}
	if c.alarm != 0 && now >= c.alarm {
		c.ring()
	}
}

// Work does a slice of what is to be done besides input and reports whether
// there was anything. When it reports false, only input, or a session that has
// room again, makes new work.
func (c *Core) Work() bool {
	if c.frozen {
		return false
	}
	busy := false
	if len(c.jobs) > 0 {
		busy = true
		c.stepping = true
		if j := c.jobs[0]; j.step() {
			c.jobs = c.jobs[1:]
		}
		c.stepping = false
	}
	c.distribute()
	if c.deferral != nil {
		if c.checkDeferral(); c.deferral != nil {
			return busy
		}
	}
	c.all(func(t *table) {
		if t.install != nil {
			busy = t.install.drain(c, kernelBatch) || busy
		}
		for _, g := range t.groups {
			busy = g.Drain(c.pace.drain) || busy
			for _, m := range g.Members() {
				if m.Busy() {
					busy = m.Step(c.pace.catchUp) || busy
				}
			}
		}
	})
	return busy
}

// Settle works until nothing is left that can be done now.
func (c *Core) Settle() {
	for c.Work() {
	}
}

// distribute tells everybody who needs to know what the journals hold.
func (c *Core) distribute() {
	// Aggregates and leaks change tables themselves: go on until it is quiet.
	for again := true; again; {
		again = false
		c.all(func(t *table) {
			var gone []rib.ID
			for changes := t.Journal(); len(changes) > 0; changes = t.Journal() {
				again = again || len(t.leaks) > 0
				c.tell(t, changes)
				if len(t.groups) > 0 || t.install != nil {
					continue // they give prefixes back once they have withdrawn them
				}
				for _, ch := range changes {
					if t.Live(ch.ID) && t.Best(ch.ID) == nil {
						gone = append(gone, ch.ID)
					}
				}
			}
			c.tellOthers(t)
			for _, id := range gone { // now that everybody has been told everything
				if t.Best(id) == nil {
					t.Collect(id)
				}
			}
		})
	}
}

// tellOthers is tell for changes of paths that need not be the best ones.
func (c *Core) tellOthers(t *table) {
	for _, id := range t.Others() {
		switch x := t.install; {
		case x == nil:
		case x.Multipath > 1:
			x.touch(id)
		case c.objects.on:
			x.touchQuietly(id) // the standby of its route may be another one
		}
		for _, g := range t.groups {
			if g.WantsAll() {
				g.Touch(id)
			}
		}
	}
}

// noteAll has what is not about best paths noted where somebody wants to know.
func (t *table) noteAll() {
	t.NoteAll = t.install != nil && (t.install.Multipath > 1 || t.install.forwards.objects.on) || slices.ContainsFunc(t.groups, (*export.Group).WantsAll)
}

// tell is distribute for some changes of a table.
func (c *Core) tell(t *table, changes []rib.Change) {
	if c.watch != nil {
		c.watch.tell(c, t, changes)
	}
	for _, ch := range changes {
		if t.install == nil || t.install.switched(c, ch.ID) || t.Best(ch.ID) == nil { // else once the kernel has it
			for _, g := range t.groups {
				g.Touch(ch.ID)
			}
		}
		if len(t.aggregates) > 0 {
			c.contribute(t, ch)
		}
		for _, l := range t.leaks {
			l.pass(c, ch.ID, ch.Cause)
		}
	}
	if c.hops != nil {
		c.noticeHops(t, changes)
	}
}
