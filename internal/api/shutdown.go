package api

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "holdfast/internal/api/holdfastv1"
)

// ShutdownPhase is how far a shutdown is.
type ShutdownPhase uint8

const (
	// Draining: neighbors prefer other ways, as they can.
	Draining ShutdownPhase = iota
	// Leaving: sessions end, then kernel routes go. Nothing calls that off.
	Leaving
	// Gone: the process ends.
	Gone
)

// ShutdownProgress is how far a shutdown is.
type ShutdownProgress struct {
	Phase           ShutdownPhase
	Neighbors, Told int           // that are up, and that have been asked to prefer other ways
	Left            time.Duration // of Draining
}

// maxDrain is how long neighbors may have at the most.
const maxDrain = 24 * time.Hour

func (s *server) Shutdown(ctx context.Context, req *connect.Request[pb.ShutdownRequest], out *connect.ServerStream[pb.ShutdownResponse]) error {
	drain := time.Duration(0)
	if d := req.Msg.Drain; d != nil {
		if drain = d.AsDuration(); d.CheckValid() != nil || drain <= 0 || drain > maxDrain {
			return failed(Invalid("neighbors have more than no time, and no more than a day, to prefer other ways"))
		}
	}
	err := s.r.Shutdown(ctx, drain, req.Msg.Reason, func(p ShutdownProgress) error {
		m := &pb.ShutdownResponse{Phase: pb.ShutdownPhase(p.Phase) + pb.ShutdownPhase_SHUTDOWN_PHASE_DRAINING, Neighbors: uint32(p.Neighbors), Told: uint32(p.Told)}
		if p.Phase == Draining {
			m.Left = durationpb.New(p.Left)
		}
		return out.Send(m)
	})
	if err != nil {
		return failed(err)
	}
	return nil
}
