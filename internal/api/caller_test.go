package api

import (
	"context"
	"testing"
)

// TestCallerWithoutName: of a user that this machine does not know, and of nobody.
// That callers have their names is shown where the router runs.
func TestCallerWithoutName(t *testing.T) {
	if got := Caller(context.WithValue(t.Context(), peer{}, uint32(4000000000))); got != "uid 4000000000" {
		t.Errorf("it is %q", got)
	}
	if got := Caller(t.Context()); got != "" {
		t.Errorf("nobody is %q", got)
	}
}
