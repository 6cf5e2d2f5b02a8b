//go:build interop

package interop

import (
	"fmt"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestMaxPrefixesOut: a neighbor is sent two of three routes, and the third when
// one of them has gone.
func TestMaxPrefixesOut(t *testing.T) {
	each(t, all, func(t *testing.T, m Make) {
		ours := []Route{plain("203.0.113.0/26"), plain("203.0.113.64/26"), plain("203.0.113.128/26")}
		p := connect(t, m, options{hfRoutes: ours, change: func(s *Session) { s.More = "  max_prefixes_out = 2" }})
		p.up(t, "v4")
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[:2]...))
		Await(t, Patience, "one that is held back", func() error {
			var n struct {
				Neighbor struct {
					Families []struct {
						HeldBack uint64 `json:"held_back"`
					} `json:"families"`
				} `json:"neighbor"`
			}
			if err := p.hf.AskJSON(&n, "show", "neighbor", "v4"); err != nil {
				return err
			}
			if f := n.Neighbor.Families; len(f) != 1 || f[0].HeldBack != 1 {
				return fmt.Errorf("show neighbor says %+v", f)
			}
			return nil
		})
		if out, err := p.hf.Ask("explain", ours[2].Prefix.String(), "--to", "v4"); err != nil || !strings.Contains(out, "Not sent to v4: max_prefixes_out is reached") {
			t.Errorf("explain says %s%v", out, err)
		}
		p.hf.Withdraw(ours[0])
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[1:]...))
		p.hf.Announce(ours[0])
		AwaitRoutes(t, p.other, "v4", p.fromHoldfast(ours[1:]...))
	})
}
