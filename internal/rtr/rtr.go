// Package rtr gets validated ROA payloads and ASPAs: from caches by the RPKI-to-
// Router protocol (RFC 8210), and from files of validators. It makes one set of what
// all sources have.
package rtr

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"holdfast/internal/events"
	"holdfast/internal/rpki"
)

// Source is where VRPs come from: a cache, or a file.
type Source struct {
	Name    string
	Address netip.AddrPort // of a cache
	Local   netip.Addr     // invalid: the kernel chooses
	Path    string         // of a file; "" for a cache
	// Refresh and Expire go before what the cache says; 0: not given.
	Refresh, Expire time.Duration
}

// Dialer connects to a cache.
type Dialer func(ctx context.Context, local netip.Addr, cache netip.AddrPort) (net.Conn, error)

// Dial is the Dialer of this machine.
func Dial(ctx context.Context, local netip.Addr, cache netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 20 * time.Second, Count: 3}}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	return d.DialContext(ctx, "tcp", cache.String())
}

// Publish is told what all sources have together, and which VRPs of that are new or
// gone.
type Publish func(vrps, changed *rpki.Table, aspas *rpki.ASPAs)

// Sources are all that are configured. Who only looks may look at nil.
type Sources struct {
	log     *slog.Logger
	dial    Dialer
	publish Publish
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	changed chan struct{} // has a token when a source has another set

	mu     sync.Mutex // for what follows, and for the status of sources
	by     map[string]*source
	table  *rpki.Table
	aspas  *rpki.ASPAs
	closed bool
}

// source is one that is configured.
type source struct {
	Source
	all   *Sources
	end   context.CancelFunc
	ended chan struct{}
	look  chan struct{} // has a token when a file is to be looked at now

	// Of Sources.mu.
	set    *rpki.Set // nil: nothing
	aspas  *rpki.ASPAs
	status Status

	// Of its goroutine alone.
	known  known
	at     time.Time // when the cache has last said that it is up to date, or the file was written
	failed string    // what the log was told last
}

// State is how a source is.
type State uint8

const (
	Down    State = iota // no connection, or a file that cannot be read
	Waiting              // connected, without data yet
	Up
)

var stateNames = [...]string{"down", "waiting", "up"}

func (s State) String() string { return stateNames[s] }

// Status is what people are told about a source.
type Status struct {
	Source
	State   State
	Since   time.Time // of State
	Version uint8     // of the protocol
	Session uint16
	Serial  uint32
	// Known: there are data, of Updated, which count until Expires; zero: for good.
	Known            bool
	Updated, Expires time.Time
	Set              *rpki.Set
	ASPAs            *rpki.ASPAs
	Error            string // of the last attempt
}

// New has no sources yet.
func New(log *slog.Logger, dial Dialer, publish Publish) *Sources {
	s := &Sources{log: log, dial: dial, publish: publish, by: map[string]*source{}, changed: make(chan struct{}, 1)}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.unite)
	return s
}

// Close ends all sources and returns when nothing is published any more.
func (s *Sources) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
}

// Set makes these the sources. One that is asked at the same place keeps what it
// knows; files are looked at.
func (s *Sources) Set(want []Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	named := map[string]Source{}
	for _, w := range want {
		named[w.Name] = w
	}
	for name, x := range maps.Clone(s.by) {
		if w, ok := named[name]; ok && w == x.Source {
			delete(named, name)
			notify(x.look)
			continue
		}
		x.end()
		delete(s.by, name)
		next, ok := named[name]
		if !ok || next.Address != x.Address || next.Path != x.Path {
			notify(s.changed)
			continue
		}
		// It goes on with what it knows, once the goroutine has given that up.
		delete(named, name)
		s.start(next, x)
	}
	for _, w := range named {
		s.start(w, nil)
	}
}

// start begins a source, which takes over from an earlier one. The caller has mu.
func (s *Sources) start(w Source, before *source) {
	ctx, end := context.WithCancel(s.ctx)
	x := &source{Source: w, all: s, end: end, ended: make(chan struct{}), look: make(chan struct{}, 1)}
	x.status = Status{Source: w, Since: time.Now()}
	if before != nil {
		x.set, x.aspas, x.status = before.set, before.aspas, before.status
		x.status.Source = w
	}
	s.by[w.Name] = x
	s.wg.Go(func() {
		defer close(x.ended)
		if before != nil {
			<-before.ended
			x.known, x.at, x.failed = before.known, before.at, before.failed
			x.have()
		}
		if x.Path != "" {
			x.watch(ctx)
		} else {
			x.ask(ctx)
		}
	})
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// uniteEvery bounds how often that is done, whatever sources say.
const uniteEvery = 200 * time.Millisecond

// unite publishes what all sources have together, whenever that has changed.
func (s *Sources) unite() {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-s.ctx.Done():
			return
		}
		select {
		case <-s.changed:
		case <-s.ctx.Done():
			return
		}
		s.uniteNow()
		t.Reset(uniteEvery)
	}
}

func (s *Sources) uniteNow() {
	s.mu.Lock()
	var sets []*rpki.Set
	var lists []*rpki.ASPAs
	for _, x := range s.by {
		sets, lists = append(sets, x.set), append(lists, x.aspas)
	}
	table, before := s.table, s.aspas
	s.mu.Unlock()
	all, aspas := rpki.Union(sets...), rpki.UnionASPAs(lists...)
	changed := rpki.Difference(table.Set(), all)
	if changed.Len() == 0 && aspas.Equal(before) {
		return
	}
	if changed.Len() > 0 {
		table = rpki.NewTable(all)
	}
	s.mu.Lock()
	s.table, s.aspas = table, aspas
	s.mu.Unlock()
	s.log.Info("VRPs or ASPAs changed", "event", events.RPKIData, "vrps", all.Len(), "changed", changed.Len(), "aspas", aspas.Len())
	s.publish(table, rpki.NewTable(changed), aspas)
}

// Table is what all sources have together; nil before there was anything.
func (s *Sources) Table() *rpki.Table {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table
}

// ASPAs are those of all sources together.
func (s *Sources) ASPAs() *rpki.ASPAs {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.aspas
}

// Usage is what there is, and the bytes that it takes in the sources and in what
// they have together.
type Usage struct {
	VRPs, ASPAs         int
	VRPBytes, ASPABytes uint64
}

// Usage measures. A source may share with all what no other one has anything of.
func (s *Sources) Usage() (u Usage) {
	if s == nil {
		return u
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.VRPs, u.ASPAs = s.table.Set().Len(), s.aspas.Len()
	u.VRPBytes, u.ASPABytes = s.table.Bytes(), s.aspas.Bytes()
	for _, x := range s.by {
		if x.set != s.table.Set() {
			u.VRPBytes += x.set.Bytes()
		}
		if x.aspas != s.aspas {
			u.ASPABytes += x.aspas.Bytes()
		}
	}
	return u
}

// Status is that of all sources, by name.
func (s *Sources) Status() []Status {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Status
	for _, name := range slices.Sorted(maps.Keys(s.by)) {
		x := s.by[name]
		st := x.status
		st.Set, st.ASPAs = x.set, x.aspas
		out = append(out, st)
	}
	return out
}

// tell changes the status of a source.
func (x *source) tell(f func(*Status)) {
	x.all.mu.Lock()
	defer x.all.mu.Unlock()
	was := x.status.State
	f(&x.status)
	if x.status.State != was {
		x.status.Since = time.Now()
	}
}

// have makes what is known what the source has.
func (x *source) have() {
	x.all.mu.Lock()
	x.set, x.aspas = x.known.set, x.known.aspas
	x.all.mu.Unlock()
	notify(x.all.changed)
}

// expired says that what a source has said is too old to count.
func (x *source) expired() {
	x.all.log.Warn("VRPs of a source have expired: they do not count any more", "event", events.RPKIExpired, "source", x.Name, "updated", x.at)
	x.known = known{}
	x.tell(func(st *Status) { st.Known, st.Updated, st.Expires = false, time.Time{}, time.Time{} })
	x.have()
}

// complain says once why a source is down.
func (x *source) complain(err error) {
	text := err.Error()
	x.tell(func(st *Status) { st.State, st.Error = Down, text })
	if text == x.failed {
		return
	}
	x.failed = text
	x.all.log.Warn("a source of VRPs is down: what it has said counts until it expires", "event", events.RPKIDown, "source", x.Name, "error", text)
}

// up says that a source is up to date.
func (x *source) up(expire time.Duration) {
	was := Down
	x.tell(func(st *Status) {
		was = st.State
		st.State, st.Error, st.Known, st.Updated, st.Expires = Up, "", true, x.at, time.Time{}
		st.Version, st.Session, st.Serial = x.known.version, x.known.session, x.known.serial
		if expire > 0 {
			st.Expires = x.at.Add(expire)
		}
	})
	if was != Up {
		x.failed = ""
		x.all.log.Info("a source of VRPs is up", "event", events.RPKIUp, "source", x.Name, "vrps", x.known.set.Len(), "aspas", x.known.aspas.Len())
	}
	x.have()
}
