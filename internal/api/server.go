package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/api/holdfastv1/holdfastv1connect"
	"holdfast/internal/events"
	"holdfast/internal/prefix"
)

// batch is how many routes go into a message of a stream.
const batch = 256

// maxRequest bounds what a client may send in one message.
const maxRequest = 1 << 20

// Serve answers on l, which it closes, until ctx is done; then it ends what
// still runs and returns nil.
func Serve(ctx context.Context, l net.Listener, r Router, log *slog.Logger) error {
	return serve(ctx, l, r, log)
}

func serve(ctx context.Context, l net.Listener, r Router, log *slog.Logger, options ...connect.HandlerOption) error {
	mux := http.NewServeMux()
	mux.Handle(holdfastv1connect.NewHoldfastHandler(&server{r: r}, append(options, connect.WithReadMaxBytes(maxRequest))...))
	s := &http.Server{
		Handler:           mux,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ConnContext:       withPeer,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.With("event", events.APIError).Handler(), slog.LevelWarn),
	}
	stopped := make(chan struct{})
	served := make(chan struct{})
	go func() {
		defer close(stopped)
		select {
		case <-ctx.Done():
		case <-served:
			return
		}
		// Streams end by ctx; what has just been answered may be written.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			s.Close()
		}
	}()
	err := s.Serve(l)
	close(served)
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// server translates between messages and a Router.
type server struct{ r Router }

var _ holdfastv1connect.HoldfastHandler = (*server)(nil)

var codes = map[Kind]connect.Code{
	KindNotFound: connect.CodeNotFound, KindInvalid: connect.CodeInvalidArgument,
	KindRefused: connect.CodeFailedPrecondition, KindRolledBack: connect.CodeAborted,
}

// failed gives an error the code of its kind.
func failed(err error) error {
	var e *Error
	var c *connect.Error
	switch {
	case errors.As(err, &c):
		return err // of the stream
	case errors.As(err, &e) && codes[e.Kind] != 0:
		return connect.NewError(codes[e.Kind], err)
	case errors.Is(err, context.Canceled):
		return connect.NewError(connect.CodeCanceled, err)
	case errors.Is(err, context.DeadlineExceeded):
		return connect.NewError(connect.CodeDeadlineExceeded, err)
	}
	return connect.NewError(connect.CodeInternal, err)
}

// answer makes a response of what a method of Router returned.
func answer[A, B any](v A, err error, convert func(A) *B) (*connect.Response[B], error) {
	if err != nil {
		return nil, failed(err)
	}
	return connect.NewResponse(convert(v)), nil
}

func (s *server) GetVersion(context.Context, *connect.Request[pb.GetVersionRequest]) (*connect.Response[pb.GetVersionResponse], error) {
	return connect.NewResponse(Version()), nil
}

func (s *server) GetSummary(ctx context.Context, _ *connect.Request[pb.GetSummaryRequest]) (*connect.Response[pb.GetSummaryResponse], error) {
	v, err := s.r.Summary(ctx)
	return answer(v, err, summary)
}

func (s *server) GetMemory(ctx context.Context, _ *connect.Request[pb.GetMemoryRequest]) (*connect.Response[pb.GetMemoryResponse], error) {
	v, err := s.r.Memory(ctx)
	return answer(v, err, memory)
}

func (s *server) ListBfd(ctx context.Context, _ *connect.Request[pb.ListBfdRequest]) (*connect.Response[pb.ListBfdResponse], error) {
	v, err := s.r.BFD(ctx)
	return answer(v, err, func(v []BFD) *pb.ListBfdResponse {
		return &pb.ListBfdResponse{Sessions: each(v, bfdSession)}
	})
}

func (s *server) ListNextHops(ctx context.Context, _ *connect.Request[pb.ListNextHopsRequest]) (*connect.Response[pb.ListNextHopsResponse], error) {
	v, tracked, err := s.r.NextHops(ctx)
	return answer(v, err, func(v []NextHop) *pb.ListNextHopsResponse {
		return &pb.ListNextHopsResponse{NextHops: each(v, nextHop), Untracked: !tracked}
	})
}

func (s *server) ListNeighbors(ctx context.Context, _ *connect.Request[pb.ListNeighborsRequest]) (*connect.Response[pb.ListNeighborsResponse], error) {
	v, err := s.r.Neighbors(ctx)
	return answer(v, err, func(v []Neighbor) *pb.ListNeighborsResponse {
		return &pb.ListNeighborsResponse{Neighbors: each(v, neighbor)}
	})
}

func (s *server) GetNeighbor(ctx context.Context, req *connect.Request[pb.GetNeighborRequest]) (*connect.Response[pb.GetNeighborResponse], error) {
	v, err := s.r.Neighbor(ctx, req.Msg.Neighbor)
	return answer(v, err, neighborDetail)
}

func (s *server) ListRoutes(ctx context.Context, req *connect.Request[pb.ListRoutesRequest], out *connect.ServerStream[pb.ListRoutesResponse]) error {
	q, err := query(req.Msg.Query)
	if err != nil {
		return failed(err)
	}
	q.Limit = req.Msg.Limit
	msg := &pb.ListRoutesResponse{Routes: make([]*pb.Route, 0, batch)}
	err = s.r.Routes(ctx, q, func(r RouteInfo) error {
		msg.Routes = append(msg.Routes, route(&r))
		if len(msg.Routes) < batch {
			return nil
		}
		err := out.Send(msg)
		clear(msg.Routes)
		msg.Routes = msg.Routes[:0]
		return err
	})
	if err != nil {
		return failed(err)
	}
	if len(msg.Routes) == 0 {
		return nil
	}
	return out.Send(msg)
}

func (s *server) CountRoutes(ctx context.Context, req *connect.Request[pb.CountRoutesRequest]) (*connect.Response[pb.CountRoutesResponse], error) {
	q, err := query(req.Msg.Query)
	if err != nil {
		return nil, failed(err)
	}
	v, err := s.r.CountRoutes(ctx, q)
	return answer(v, err, func(v RouteCount) *pb.CountRoutesResponse {
		return &pb.CountRoutesResponse{Prefixes: v.Prefixes, Paths: v.Paths}
	})
}

func (s *server) Lookup(ctx context.Context, req *connect.Request[pb.LookupRequest]) (*connect.Response[pb.LookupResponse], error) {
	a, err := netip.ParseAddr(req.Msg.Address)
	if err != nil {
		return nil, failed(Invalid("%q is not an address like 192.0.2.1 or 2001:db8::1", req.Msg.Address))
	}
	msg := &pb.LookupResponse{}
	err = s.r.Lookup(ctx, req.Msg.Table, a.WithZone("").Unmap(), func(r RouteInfo) error {
		msg.Prefix = r.Prefix.String()
		msg.Routes = append(msg.Routes, route(&r))
		return nil
	})
	return answer(msg, err, same)
}

func (s *server) Explain(ctx context.Context, req *connect.Request[pb.ExplainRequest]) (*connect.Response[pb.ExplainResponse], error) {
	p, err := s.meant(ctx, req.Msg.Table, req.Msg.Prefix)
	if err != nil {
		return nil, failed(err)
	}
	msg := &pb.ExplainResponse{Prefix: p.String()}
	err = s.r.Explain(ctx, req.Msg.Table, p, func(c Candidate) error {
		msg.Candidates = append(msg.Candidates, candidate(&c))
		return nil
	})
	if err == nil && req.Msg.To != "" {
		var sent []Sending
		if sent, err = s.r.Sending(ctx, req.Msg.To, p); err == nil {
			msg.Sending, msg.AlsoSent = sending(sent[0]), each(sent[1:], sending)
		}
	}
	return answer(msg, err, same)
}

// meant is a prefix, or the longest one that holds an address.
func (s *server) meant(ctx context.Context, table, text string) (p prefix.Prefix, err error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return parsePrefix(text)
	}
	err = s.r.Lookup(ctx, table, a.WithZone("").Unmap(), func(r RouteInfo) error {
		p = r.Prefix
		return nil
	})
	return p, err
}

func same[T any](v *T) *T { return v }

func (s *server) ListPolicies(ctx context.Context, req *connect.Request[pb.ListPoliciesRequest]) (*connect.Response[pb.ListPoliciesResponse], error) {
	v, err := s.r.Policies(ctx, req.Msg.Policy)
	return answer(v, err, func(v []Policy) *pb.ListPoliciesResponse {
		return &pb.ListPoliciesResponse{Policies: each(v, policy)}
	})
}

func (s *server) TestPolicy(ctx context.Context, req *connect.Request[pb.TestPolicyRequest]) (*connect.Response[pb.TestPolicyResponse], error) {
	t, err := PolicyTestOf(req.Msg)
	if err != nil {
		return nil, failed(err)
	}
	v, err := s.r.TestPolicy(ctx, t)
	return answer(v, err, func(v PolicyResult) *pb.TestPolicyResponse { return PolicyResultOf(t, v) })
}

func (s *server) ClearNeighbors(ctx context.Context, req *connect.Request[pb.ClearNeighborsRequest]) (*connect.Response[pb.ClearNeighborsResponse], error) {
	m := req.Msg
	switch {
	case m.All == (m.Neighbor != ""):
		return nil, failed(Invalid("say which neighbor, or all"))
	case m.Mode < pb.ClearMode_CLEAR_MODE_HARD || m.Mode > pb.ClearMode_CLEAR_MODE_SOFT_OUT:
		return nil, failed(Invalid("say how to clear: hard, soft, soft in or soft out"))
	}
	v, err := s.r.Clear(ctx, m.Neighbor, ClearMode(m.Mode-pb.ClearMode_CLEAR_MODE_HARD))
	return answer(v, err, func(v []string) *pb.ClearNeighborsResponse { return &pb.ClearNeighborsResponse{Neighbors: v} })
}

// maxMessage is what a reason holds (RFC 9003 section 2).
const maxMessage = 255

func (s *server) DownNeighbor(ctx context.Context, req *connect.Request[pb.DownNeighborRequest]) (*connect.Response[pb.DownNeighborResponse], error) {
	m := req.Msg
	switch n := len(m.Reason); {
	case n == 0:
		return nil, failed(Invalid("say why: the neighbor's operators and your colleagues will ask"))
	case n > maxMessage:
		return nil, failed(Invalid("the reason has %d bytes, more than the %d that a neighbor can be sent", n, maxMessage))
	}
	lasts, err := lifetime(m.Lifetime)
	if err == nil {
		err = s.r.Down(ctx, m.Neighbor, m.Reason, lasts)
	}
	return answer(&pb.DownNeighborResponse{}, err, same)
}

// lifetime reads how long something is to last; without one it is 0.
func lifetime(d *durationpb.Duration) (time.Duration, error) {
	const most = 10 * 365 * 24 * time.Hour
	switch {
	case d == nil:
		return 0, nil
	case d.CheckValid() != nil || d.AsDuration() <= 0 || d.AsDuration() > most:
		return 0, Invalid("a lifetime is longer than nothing and no longer than ten years")
	}
	return d.AsDuration(), nil
}

func (s *server) EnableNeighbor(ctx context.Context, req *connect.Request[pb.EnableNeighborRequest]) (*connect.Response[pb.EnableNeighborResponse], error) {
	return answer(&pb.EnableNeighborResponse{}, s.r.Enable(ctx, req.Msg.Neighbor), same)
}

func (s *server) TraceNeighbor(ctx context.Context, req *connect.Request[pb.TraceNeighborRequest], out *connect.ServerStream[pb.TraceNeighborResponse]) error {
	err := s.r.Trace(ctx, req.Msg.Neighbor, func(some []TraceEvent) error {
		return out.Send(&pb.TraceNeighborResponse{Events: each(some, traceEvent)})
	})
	if err != nil {
		return failed(err)
	}
	return nil
}

func (s *server) Announce(ctx context.Context, req *connect.Request[pb.AnnounceRequest]) (*connect.Response[pb.AnnounceResponse], error) {
	m := req.Msg
	if len(m.Announcements) == 0 {
		return nil, failed(Invalid("say what to announce"))
	}
	lasts, err := lifetime(m.Lifetime)
	all := make([]Announcement, len(m.Announcements))
	for i, a := range m.Announcements {
		if err == nil {
			all[i], err = announcementOf(a)
		}
	}
	if err == nil {
		err = s.r.Announce(ctx, all, lasts)
	}
	return answer(&pb.AnnounceResponse{}, err, same)
}

func (s *server) Withdraw(ctx context.Context, req *connect.Request[pb.WithdrawRequest]) (*connect.Response[pb.WithdrawResponse], error) {
	m := req.Msg
	if m.All == (len(m.Prefixes) > 0) {
		return nil, failed(Invalid("say what to withdraw, or all"))
	}
	var prefixes []prefix.Prefix
	for _, text := range m.Prefixes {
		p, err := parsePrefix(text)
		if err != nil {
			return nil, failed(err)
		}
		prefixes = append(prefixes, p)
	}
	v, err := s.r.Withdraw(ctx, prefixes)
	return answer(v, err, func(v Withdrawal) *pb.WithdrawResponse {
		return &pb.WithdrawResponse{Withdrawn: each(v.Withdrawn, prefix.Prefix.String), Originated: each(v.Originated, prefix.Prefix.String)}
	})
}

func (s *server) ListAnnouncements(ctx context.Context, _ *connect.Request[pb.ListAnnouncementsRequest]) (*connect.Response[pb.ListAnnouncementsResponse], error) {
	v, err := s.r.Announcements(ctx)
	return answer(v, err, func(v []StandingAnnouncement) *pb.ListAnnouncementsResponse {
		return &pb.ListAnnouncementsResponse{Announcements: each(v, announcement)}
	})
}

func (s *server) Reload(ctx context.Context, _ *connect.Request[pb.ReloadRequest]) (*connect.Response[pb.ReloadResponse], error) {
	v, err := s.r.Reload(ctx)
	return answer(v, err, func(v ReloadResult) *pb.ReloadResponse {
		return &pb.ReloadResponse{
			Revision: v.Revision, Changed: v.Changed, Changes: each(v.Changes, change),
			ResetNeighbors: v.Reset, PendingNeighbors: v.Pending,
		}
	})
}

func (s *server) CheckConfig(ctx context.Context, _ *connect.Request[pb.CheckConfigRequest]) (*connect.Response[pb.CheckConfigResponse], error) {
	v, err := s.r.Check(ctx)
	return answer(v, err, func(v CheckResult) *pb.CheckConfigResponse {
		return &pb.CheckConfigResponse{
			ConfigPath: v.ConfigPath, Changes: each(v.Changes, change), Diagnostics: each(v.Diagnostics, DiagnosticOf),
		}
	})
}
