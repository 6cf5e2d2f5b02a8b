//go:build interop

package interop

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestReflection: a client announces a route to two reflectors, holdfast and another
// one, which give it to another client and to each other (RFC 4456). In one cluster
// they ignore what the other one has reflected; in two, holdfast has it from the other
// one when it has lost the client.
func TestReflection(t *testing.T) {
	t.Parallel()
	for _, m := range []Make{BIRD(), FRR(), OpenBGPD()} {
		for _, same := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/same cluster %v", m.Kind, same), func(t *testing.T) {
				t.Parallel()
				testReflection(t, m, same)
			})
		}
	}
}

func testReflection(t *testing.T, m Make, same bool) {
	lab := New(t)
	from, hf, other, to := lab.Node("client1"), lab.Node("hf"), lab.Node("second"), lab.Node("client2")
	session := func(at, with *Node, client bool) Session {
		return Session{Name: with.Name, Local: at.V4, Remote: with.V4, AS: holdfastAS, Families: []Family{IPv4}, Client: client}
	}
	reflector := func(at, beside *Node, cluster string) Config {
		return Config{AS: holdfastAS, ID: at.V4, Cluster: netip.MustParseAddr(cluster),
			Sessions: []Session{session(at, from, true), session(at, beside, false), session(at, to, true)}}
	}
	client := func(at *Node, routes ...Route) Router {
		return m.Start(at, Config{AS: holdfastAS, ID: at.V4, Sessions: []Session{session(at, hf, false), session(at, other, false)}, Routes: routes})
	}
	const ours = "192.0.2.1"
	theirs := ours
	if !same {
		theirs = "192.0.2.2"
	}
	ourRouter, theirRouter := StartHoldfast(hf, reflector(hf, other, ours)), m.Start(other, reflector(other, hf, theirs))
	route := plain("198.51.100.0/24")
	client(from, route)
	end := client(to)
	AwaitUp(t, ourRouter, "second")

	clusters := func(r Router, session, want string) {
		t.Helper()
		Await(t, Patience, fmt.Sprintf("clusters %q of %s at %s", want, session, r.Kind()), func() error {
			all, err := r.Received(session)
			if err != nil {
				return err
			}
			if len(all) != 1 || all[0].Prefix != route.Prefix || all[0].Originator != from.V4 || all[0].Clusters != want {
				return fmt.Errorf("it has %+v", all)
			}
			return nil
		})
	}
	clusters(end, "hf", ours)
	clusters(end, "second", theirs)
	clusters(ourRouter, "second", theirs)
	if same {
		if text := ask(t, ourRouter, "explain", route.Prefix.String()); !strings.Contains(text, "it was reflected back to us") {
			t.Errorf("what the other reflector has sent is not refused:\n%s", text)
		}
	} else if m.Kind == "openbgpd" { // which shows what it would send
		clusters(theirRouter, "hf", theirs+" "+ours)
	} else {
		clusters(theirRouter, "hf", ours)
	}
	ask(t, ourRouter, "down", "client1", "it has left")
	if same {
		AwaitRoutes(t, end, "hf", nil)
		return
	}
	clusters(end, "hf", ours+" "+theirs)
}
