//go:build interop

package interop

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestTables: FRR is in the main table and BIRD in another one, which has imports
// from the first. Static, redistributed and conditional routes are announced and
// withdrawn with what they stand for.
func TestTables(t *testing.T) {
	l := New(t)
	hf, bird, frr := l.Node("hf"), l.Node("bird"), l.Node("frr")
	hf.Run("ip", "route", "add", "192.0.2.0/24", "via", frr.V4.String())
	blocks := fmt.Sprintf(`
policy "static" {
  rule "static" {
    match { source = ["static"] }
    then = "accept"
  }
}
policy "one" {
  rule "one" {
    match { prefix = ["203.0.113.0/24"] }
    then = "accept"
  }
}
table "main" {
  redistribute = policy.static
}
table "blue" {
  id     = 100
  metric = 7
  import {
    from   = table.main
    policy = policy.one
  }
}
static "way" {
  prefixes = ["192.0.3.0/24"]
  next_hop = %q
}
static "hole" {
  prefixes  = ["192.0.4.0/24"]
  blackhole = true
  table     = table.blue
}
originate "conditional" {
  prefixes        = ["198.18.0.0/24"]
  while_in_kernel = true
}
`, frr.V4)
	session := func(name string, from, to *Node, as uint32) Session {
		return Session{Name: name, Local: from.V4, Remote: to.V4, AS: as, Families: []Family{IPv4}}
	}
	blue := session("bird", hf, bird, birdAS)
	blue.More = "  table = table.blue"
	h := StartHoldfast(hf, Config{AS: holdfastAS, ID: hf.V4, Router: "kernel = true", Blocks: blocks,
		Sessions: []Session{blue, session("frr", hf, frr, frrAS)}})
	b := BIRD().Start(bird, Config{AS: birdAS, ID: bird.V4, Sessions: []Session{session("hf", bird, hf, holdfastAS)}, Routes: []Route{plain("198.51.100.0/24")}})
	f := FRR().Start(frr, Config{AS: frrAS, ID: frr.V4, Sessions: []Session{session("hf", frr, hf, holdfastAS)},
		Routes: []Route{plain("203.0.113.0/24"), plain("203.0.114.0/24")}})
	AwaitUp(t, h, "bird")
	AwaitUp(t, h, "frr")

	awaitPrefixes(t, b, "192.0.4.0/24", "203.0.113.0/24")
	awaitPrefixes(t, f, "192.0.2.0/24", "192.0.3.0/24")
	const discard = 4294967294
	awaitKernel(t, hf, "254", fmt.Sprintf("192.0.3.0/24 via %s metric 20", frr.V4),
		fmt.Sprintf("203.0.113.0/24 via %s metric 20", frr.V4), fmt.Sprintf("203.0.114.0/24 via %s metric 20", frr.V4))
	awaitKernel(t, hf, "100", fmt.Sprintf("198.51.100.0/24 via %s metric 7", bird.V4), fmt.Sprintf("203.0.113.0/24 via %s metric 7", frr.V4),
		fmt.Sprintf("blackhole 192.0.4.0/24 metric %d", discard))

	hf.Run("ip", "route", "add", "198.18.0.0/24", "dev", "lo")
	awaitPrefixes(t, f, "192.0.2.0/24", "192.0.3.0/24", "198.18.0.0/24")
	hf.Run("ip", "route", "del", "192.0.2.0/24")
	awaitPrefixes(t, f, "192.0.3.0/24", "198.18.0.0/24")
	hf.Run("ip", "route", "del", "198.18.0.0/24")
	awaitPrefixes(t, f, "192.0.3.0/24")

	f.Withdraw(plain("203.0.113.0/24"))
	awaitPrefixes(t, b, "192.0.4.0/24")
	awaitKernel(t, hf, "100", fmt.Sprintf("198.51.100.0/24 via %s metric 7", bird.V4), fmt.Sprintf("blackhole 192.0.4.0/24 metric %d", discard))

	// Without the link nothing leads to FRR, nor to BIRD.
	hf.Cut()
	awaitKernel(t, hf, "254")
	awaitKernel(t, hf, "100", fmt.Sprintf("blackhole 192.0.4.0/24 metric %d", discard))
	hf.Mend()
	awaitPrefixes(t, f, "192.0.3.0/24")
}

// awaitPrefixes waits until just these have been received from holdfast.
func awaitPrefixes(t *testing.T, r Router, want ...string) {
	t.Helper()
	Await(t, Patience, "right routes at "+r.Kind(), func() error {
		routes, err := r.Received("hf")
		var got []string
		for _, x := range routes {
			got = append(got, x.Prefix.String())
		}
		slices.Sort(got)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("it has %v, want %v", got, want)
		}
		return err
	})
}

// awaitKernel waits until a kernel table has just these IPv4 routes of ours.
func awaitKernel(t *testing.T, n *Node, table string, want ...string) {
	t.Helper()
	slices.Sort(want)
	Await(t, Patience, "right kernel routes", func() error {
		out, err := n.Output("ip", "-4", "route", "show", "table", table, "proto", "144")
		if err != nil && !strings.Contains(err.Error(), "FIB table does not exist") {
			return err
		}
		var got []string
		for line := range strings.Lines(out) {
			var words []string
			fields := strings.Fields(line)
			for i := 0; i < len(fields); i++ {
				if fields[i] == "dev" { // and its name
					i++
					continue
				}
				words = append(words, fields[i])
			}
			got = append(got, strings.Join(words, " "))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("it has %q, want %q", got, want)
		}
		return nil
	})
}
