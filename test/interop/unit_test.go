//go:build interop

package interop

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/testkit/netlab"
)

// TestUnit: systemd takes the unit as it is, and finds little to harden.
func TestUnit(t *testing.T) {
	netlab.NeedTools(t, "systemd-analyze")
	text, err := os.ReadFile("../../packaging/holdfast.service")
	if err != nil {
		t.Fatal(err)
	}
	// Of what it starts, systemd asks only whether it can be.
	unit := filepath.Join(t.TempDir(), "holdfast.service")
	if err := os.WriteFile(unit, []byte(strings.ReplaceAll(string(text), "/usr/bin/holdfast", "/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v: %s", err, out)
	}
	if out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=25", unit).CombinedOutput(); err != nil {
		t.Errorf("systemd-analyze security: %v: %s", err, out)
	}
}
