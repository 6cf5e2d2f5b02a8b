//go:build interop

package interop

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// onLink starts holdfast and another router with a session over an interface
// without any address.
func onLink(t *testing.T, m Make, password string) (hf *HoldfastRouter, other Router, ours, theirs *Node) {
	t.Helper()
	l := New(t)
	ours, theirs = l.Node("hf"), l.Node("other")
	l.Link(ours, theirs, "eth1")
	session := func(as uint32) []Session {
		return []Session{{Name: "leaf", Interface: "eth1", AS: as, Families: []Family{IPv4, IPv6}, HoldTime: 3, Password: password}}
	}
	hf = StartHoldfast(ours, Config{AS: holdfastAS, ID: ours.V4, Router: "kernel = true", Sessions: session(otherAS), Routes: linkRoutes(11)})
	other = m.Start(theirs, Config{AS: otherAS, ID: theirs.V4, Sessions: session(holdfastAS), Routes: linkRoutes(1)})
	return hf, other, ours, theirs
}

// linkRoutes are a route of each family.
func linkRoutes(n int) []Route {
	all := []Route{plain(fmt.Sprintf("198.51.%d.0/24", n)), plain(fmt.Sprintf("2001:db8:%x::/48", n+0x100))}
	for i := range all {
		all[i].MED = new(uint32(n)) // FRR sends one in any case
	}
	return all
}

// crossedLink is what becomes of them on a link without addresses.
func crossedLink(from *Node, as uint32, n int) []Route {
	all := linkRoutes(n)
	for i := range all {
		all[i].ASPath, all[i].NextHop = fmt.Sprint(as), from.LinkLocal("eth1")
	}
	return all
}

// TestInterface: two routers find each other by router advertisements (RFC
// 4861), and IPv4 routes go over a link that has no IPv4 address (RFC 8950).
func TestInterface(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		m        Make
		password string
	}{"frr": {m: FRR()}, "frr, md5": {FRR(), "correct-horse"}, "holdfast, md5": {Holdfast(), "correct-horse"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hf, other, ours, theirs := onLink(t, c.m, c.password)
			check := func() {
				t.Helper()
				AwaitUp(t, hf, "leaf")
				AwaitUp(t, other, "leaf")
				AwaitRoutes(t, hf, "leaf", crossedLink(theirs, otherAS, 1))
				AwaitRoutes(t, other, "leaf", crossedLink(ours, holdfastAS, 11))
				via := theirs.LinkLocal("eth1").String()
				awaitKernel(t, ours, "254", "198.51.1.0/24 via inet6 "+via+" metric 20")
			}
			check()

			// The link goes, and comes back as another one, with other addresses.
			before := theirs.LinkLocal("eth1")
			ours.Run("ip", "link", "del", "eth1")
			AwaitDown(t, hf, "leaf")
			ours.Lab.Link(ours, theirs, "eth1")
			Await(t, Patience, "another address", func() error {
				if theirs.LinkLocal("eth1") == before {
					return errors.New("it has the old address")
				}
				return nil
			})
			check()
		})
	}
}

// TestInterfaceComesLater: a router may start before its link is there. Hosts on
// the link do not take it for their default router.
func TestInterfaceComesLater(t *testing.T) {
	t.Parallel()
	l := New(t)
	ours, theirs := l.Node("hf"), l.Node("other")
	hf := StartHoldfast(ours, Config{AS: holdfastAS, ID: ours.V4, Sessions: []Session{{Name: "leaf", Interface: "eth1", AS: otherAS, Families: []Family{IPv4}}}})
	Await(t, Patience, "reason", func() error {
		d, err := hf.Detail("leaf")
		if err != nil {
			return err
		}
		if d.Neighbor.LastReset == nil || d.Neighbor.LastReset.Reason != "no router advertisement has come on eth1" {
			return fmt.Errorf("%+v", d.Neighbor)
		}
		return nil
	})
	l.Link(ours, theirs, "eth1")
	theirs.Run("sysctl", "-qw", "net.ipv6.conf.eth1.accept_ra=2")
	other := FRR().Start(theirs, Config{AS: otherAS, ID: theirs.V4, Sessions: []Session{{Name: "leaf", Interface: "eth1", AS: holdfastAS, Families: []Family{IPv4}}}})
	AwaitUp(t, hf, "leaf")
	AwaitUp(t, other, "leaf")
	if out := theirs.Run("ip", "-6", "route", "show", "default"); out != "" {
		t.Errorf("a host would have us as default router: %s", out)
	}
}

// TestAddressComesLater: a router starts before it has the address that it
// listens on.
func TestAddressComesLater(t *testing.T) {
	t.Parallel()
	l := New(t)
	ours, theirs := l.Node("hf"), l.Node("other")
	ours.Run("ip", "addr", "del", ours.V4.String()+"/24", "dev", "eth0")
	all := func(from, to *Node, as uint32) []Session {
		return []Session{{Name: "v4", Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}, Passive: from == ours}}
	}
	hf := StartHoldfast(ours, Config{AS: holdfastAS, ID: ours.V4, Sessions: all(ours, theirs, otherAS)})
	other := BIRD().Start(theirs, Config{AS: otherAS, ID: theirs.V4, Sessions: all(theirs, ours, holdfastAS)})
	if log := hf.Process().Log(); !strings.Contains(log, "listen-absent") {
		t.Error("nobody is told that the address is not there")
	}
	ours.Run("ip", "addr", "add", ours.V4.String()+"/24", "dev", "eth0")
	AwaitUp(t, hf, "v4")
	AwaitUp(t, other, "v4")
}
