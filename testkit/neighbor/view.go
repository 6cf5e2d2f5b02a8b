package neighbor

import (
	"hash/maphash"
	"slices"
	"time"

	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Seen is what a neighbor has seen of a router's routes: what it would have to
// tell others, and forward otherwise.
type Seen struct {
	Routes    int // that it has now
	Withdrawn int // routes that went, one by one or with the session
	Changed   int // routes that came again with other attributes
	Ends      int // of End-of-RIB
	Sessions  int
}

// view is an Adj-RIB-In that counts.
type view struct {
	Seen
	seed    maphash.Seed
	routes  map[prefix.Prefix]route
	decoded []wire.Route

	restart *wire.GracefulRestart // of the session, nil if the router does without
	until   time.Time             // stale routes are kept until then
}

type route struct {
	attrs uint64 // their hash
	stale bool
}

func newView() *view {
	return &view{seed: maphash.MakeSeed(), routes: map[prefix.Prefix]route{}}
}

// opened begins a session (RFC 4724 section 4.2).
func (v *view) opened(c *wire.Capabilities) {
	v.Sessions++
	kept := c.GracefulRestart != nil && slices.Contains(c.GracefulRestart.Families,
		wire.RestartFamily{FamilyID: wire.UnicastID(prefix.IPv4), Forwarding: true})
	if !kept || time.Now().After(v.until) {
		v.dropStale()
	}
	v.restart = c.GracefulRestart
}

// ended ends a session, by a NOTIFICATION or without one. Its routes stay if the
// router has asked for that (RFC 4724 section 4.2, RFC 8538 section 4).
func (v *view) ended(by *wire.Notification) {
	g := v.restart
	if g == nil || len(g.Families) == 0 ||
		by != nil && (!g.Notification || by.Code == wire.CodeCease && by.Subcode == wire.CeaseHardReset) {
		v.Withdrawn += len(v.routes)
		clear(v.routes)
		return
	}
	v.until = time.Now().Add(time.Duration(g.Time) * time.Second)
	for p, r := range v.routes {
		r.stale = true
		v.routes[p] = r
	}
}

// dropStale removes what has not come again.
func (v *view) dropStale() {
	for p, r := range v.routes {
		if r.stale {
			delete(v.routes, p)
			v.Withdrawn++
		}
	}
}

func (v *view) update(body []byte) error {
	o := wire.Options{EBGP: true, AS4: true, Families: [prefix.Families]bool{prefix.IPv4: true}}
	var u wire.Update
	if bad := wire.Split(body, &o, &u); bad != nil {
		return bad
	}
	if _, end := u.EndOfRIB(); end {
		v.Ends++
		v.dropStale()
		return nil
	}
	var bad *wire.Error
	if v.decoded, bad = u.Withdrawn.Decode(v.decoded[:0]); bad != nil {
		return bad
	}
	for _, r := range v.decoded {
		if _, had := v.routes[r.Prefix]; had {
			delete(v.routes, r.Prefix)
			v.Withdrawn++
		}
	}
	if v.decoded, bad = u.Announced.Decode(v.decoded[:0]); bad != nil {
		return bad
	}
	attrs := maphash.Bytes(v.seed, u.Attrs)
	for _, r := range v.decoded {
		if old, had := v.routes[r.Prefix]; had && old.attrs != attrs {
			v.Changed++
		}
		v.routes[r.Prefix] = route{attrs: attrs}
	}
	return nil
}

// Seen is what a Neighbor that watches has seen.
func (n *Neighbor) Seen() Seen {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen := n.view.Seen
	seen.Routes = len(n.view.routes)
	return seen
}
