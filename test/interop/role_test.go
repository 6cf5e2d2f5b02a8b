//go:build interop

package interop

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// knowsRoles is for what RFC 9234 is about.
func knowsRoles(m Make) bool { return m.Roles }

// refusedRole waits until we have refused a session for its roles (RFC 9234
// section 4.2).
func refusedRole(t *testing.T, hf *HoldfastRouter, other Router, session string) {
	t.Helper()
	Await(t, Patience, "Role Mismatch", func() error {
		d, err := hf.Detail(session)
		if err != nil {
			return err
		}
		last := d.Neighbor.LastReset
		if last == nil || last.Notification == nil {
			return errors.New("show neighbor has no last reset with a NOTIFICATION")
		}
		if n := last.Notification; !n.Sent || n.Code != 2 || n.Subcode != 11 {
			return fmt.Errorf("the last NOTIFICATION is %+v (%s)", *n, last.Reason)
		}
		return nil
	})
	if s, err := other.Session(session); err != nil || s.Established {
		t.Errorf("%s of %s is %v, %v", session, other.Kind(), s, err)
	}
}

// like is an error until a route has come as it should.
func like(r Router, session string, want Route) error {
	have, err := r.Received(session)
	if err != nil {
		return err
	}
	for _, x := range have {
		if x.Prefix == want.Prefix {
			return Same([]Route{want}, []Route{x})
		}
	}
	return fmt.Errorf("%s has no %v in %s", r.Kind(), want.Prefix, session)
}

func awaitLike(t *testing.T, r Router, session string, want Route) {
	t.Helper()
	Await(t, Patience, fmt.Sprintf("right %v at %s", want.Prefix, r.Kind()), func() error { return like(r, session, want) })
}

// explained waits until explain says something of a prefix.
func explained(t *testing.T, hf *HoldfastRouter, want string, args ...string) {
	t.Helper()
	Await(t, Patience, "explanation", func() error {
		out, err := hf.Ask(append([]string{"explain"}, args...)...)
		if err == nil && !strings.Contains(out, want) {
			err = fmt.Errorf("%s explains\n%s", strings.Join(args, " "), out)
		}
		return err
	})
}

// TestRoles has a session of each kind between two routers (RFC 9234):
//
//	provider ── hf ══ other ── source
//
// What comes from the provider goes down only, what the other one has from its own
// provider is a leak where it says nothing of roles.
func TestRoles(t *testing.T) {
	each(t, knowsRoles, func(t *testing.T, m Make) {
		const providerAS, sourceAS = 64701, 64702
		l := New(t)
		hf, other, provider, source := l.Node("hf"), l.Node("other"), l.Node("provider"), l.Node("source")
		var ours, theirs []Session
		session := func(name string, from, to netip.Addr, as uint32, role string) Session {
			return Session{Name: name, Local: from, Remote: to, AS: as, Families: []Family{IPv4}, Role: role}
		}
		hops := map[string]*End{} // our end of each session
		for _, s := range []struct{ name, hf, other string }{
			{"below", "provider", "customer"},
			{"beside", "peer", "peer"},
			{"above", "customer", "provider"},
			{"wrong", "provider", "peer"},
			{"demanding", "provider", ""},
			{"silent", "provider", ""},
		} {
			here, there := l.Wire(hf, other)
			hops[s.name] = here
			ours = append(ours, session(s.name, here.V4, there.V4, otherAS, s.hf))
			ours[len(ours)-1].RequireRole = s.name == "demanding"
			theirs = append(theirs, session(s.name, there.V4, here.V4, holdfastAS, s.other))
		}
		ours = append(ours, session("transit", hf.V4, provider.V4, providerAS, "customer"))
		theirs = append(theirs, session("upstream", other.V4, source.V4, sourceAS, "customer"))
		own, far, leak, given := plain("203.0.113.0/24"), plain("198.51.100.0/24"), plain("192.0.2.0/24"), plain("198.51.101.0/24")
		router := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Routes: []Route{own}, Sessions: ours})
		BIRD().Start(provider, Config{AS: providerAS, ID: provider.V4, Routes: []Route{far},
			Sessions: []Session{session("hf", provider.V4, hf.V4, holdfastAS, "provider")}})
		BIRD().Start(source, Config{AS: sourceAS, ID: source.V4, Routes: []Route{leak},
			Sessions: []Session{session("hf", source.V4, other.V4, otherAS, "provider")}})
		neighbor := m.Start(other, Config{AS: otherAS, ID: other.V4, Routes: []Route{given}, Sessions: theirs})
		for _, s := range []string{"below", "beside", "above", "silent"} {
			AwaitUp(t, router, s)
			AwaitUp(t, neighbor, s)
		}
		refusedRole(t, router, neighbor, "wrong")
		refusedRole(t, router, neighbor, "demanding")

		// What others have of us.
		sent := func(r Route, s, path string, otc uint32) Route {
			r.NextHop, r.ASPath = hops[s].V4, path
			if otc != 0 {
				r.OTC = new(otc)
			}
			return r
		}
		for _, s := range []string{"below", "silent"} {
			awaitLike(t, neighbor, s, sent(own, s, "64500", holdfastAS))
			awaitLike(t, neighbor, s, sent(far, s, "64500 64701", providerAS))
		}
		awaitLike(t, neighbor, "beside", sent(own, "beside", "64500", holdfastAS))
		awaitLike(t, neighbor, "above", sent(own, "above", "64500", 0))
		last := plain("203.0.114.0/24")
		router.Announce(last)
		for _, s := range []string{"beside", "above"} {
			Await(t, Patience, "last route", func() error { return has(neighbor, s, last.Prefix) })
			if has(neighbor, s, far.Prefix) == nil {
				t.Errorf("%s has what came from a provider in %s", m.Kind, s)
			}
			explained(t, router, "Not sent to "+s+": it would be a route leak", far.Prefix.String(), "--to", s)
		}

		// What we have of others: their provider's, which they mark, and pass on where
		// they do not know what they are.
		Await(t, Patience, "route that goes down", func() error { return has(router, "above", leak.Prefix) })
		Await(t, Patience, "leak", func() error { return has(router, "silent", leak.Prefix) })
		explained(t, router, "a route leak: by its attribute OTC", leak.Prefix.String())
		best, err := router.Best()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range best {
			if r.Prefix == leak.Prefix && r.NextHop != theirs[2].Local {
				t.Errorf("the way to %v is %v, which is not their session as our provider", r.Prefix, r.NextHop)
			}
		}
		// What is theirs they mark where they are our provider, or a peer.
		for s, otc := range map[string]*uint32{"below": nil, "beside": new(uint32(otherAS)), "above": new(uint32(otherAS))} {
			have, err := router.Received(s)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(have, func(r Route) bool { return r.Prefix == given.Prefix })
			if i < 0 {
				t.Fatalf("%s has not sent its route in %s", m.Kind, s)
			}
			want := have[i]
			want.OTC = otc
			if err := Same([]Route{want}, have[i:i+1]); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
		// Where they know what they are, they do not leak.
		for _, s := range []string{"below", "beside"} {
			if has(router, s, leak.Prefix) == nil {
				t.Errorf("%s leaks in %s", m.Kind, s)
			}
		}
	})
}
