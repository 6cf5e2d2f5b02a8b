//go:build interop

package interop

import (
	"context"
	"os"
	"testing"
	"time"

	rpc "connectrpc.com/connect"

	"holdfast/internal/api"
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/testkit/netlab"
)

// TestStuckLog: a router whose standard error nobody reads goes on, and ends
// when it is told to.
func TestStuckLog(t *testing.T) {
	s := newService(t)
	s.configure(`"127.0.0.1:179"`, "policy \"unused\" {\n  rule \"all\" { then = \"accept\" }\n}\n")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	run := s.run()
	cmd := s.node.Command(run[0], run[1:]...)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	defer cmd.Process.Kill()
	c := api.Dial(s.socket)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	netlab.Await(t, netlab.Patience, "answer of holdfast", func() error {
		_, err := c.GetVersion(ctx, rpc.NewRequest(&pb.GetVersionRequest{}))
		return err
	})
	// Two lines each: far more than a pipe holds.
	for range 1000 {
		if _, err := c.Reload(ctx, rpc.NewRequest(&pb.ReloadRequest{})); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
