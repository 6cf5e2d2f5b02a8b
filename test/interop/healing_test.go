//go:build interop

package interop

import (
	"testing"

	"holdfast/internal/prefix"
	"holdfast/testkit/feed"
	"holdfast/testkit/healing"
	"holdfast/testkit/rival"
)

// TestHealing: of what docs/healing.md measures, what may not be lost is not,
// and the rest heals.
func TestHealing(t *testing.T) {
	t.Parallel()
	l := healing.New(t, rival.Holdfast(), feed.New(1, prefix.IPv4, 1000))
	for _, e := range healing.Events() {
		r := e.Run(l)
		t.Logf("%s: %v", e.Name, r)
		// Where the way itself is gone, packets are lost until there is another.
		if lossy := e.Name == "cut" || e.Name == "silence"; !lossy && r.Lost > 0 {
			t.Errorf("%s: %v", e.Name, r)
		}
		if r.Withdrawn > 0 {
			t.Errorf("%s: the neighbor has lost %d routes", e.Name, r.Withdrawn)
		}
	}
}
