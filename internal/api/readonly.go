package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"golang.org/x/net/netutil"

	"holdfast/internal/api/holdfastv1/holdfastv1connect"
)

// readOnly says of every procedure whether those who may only look may call it:
// it changes nothing, and shows nothing but what the router runs with. What is
// not listed is refused.
var readOnly = map[string]bool{
	holdfastv1connect.HoldfastGetVersionProcedure:        true,
	holdfastv1connect.HoldfastGetSummaryProcedure:        true,
	holdfastv1connect.HoldfastGetMemoryProcedure:         true,
	holdfastv1connect.HoldfastListBfdProcedure:           true,
	holdfastv1connect.HoldfastListNextHopsProcedure:      true,
	holdfastv1connect.HoldfastGetRPKIProcedure:           true,
	holdfastv1connect.HoldfastListNeighborsProcedure:     true,
	holdfastv1connect.HoldfastGetNeighborProcedure:       true,
	holdfastv1connect.HoldfastListRoutesProcedure:        true,
	holdfastv1connect.HoldfastCountRoutesProcedure:       true,
	holdfastv1connect.HoldfastLookupProcedure:            true,
	holdfastv1connect.HoldfastExplainProcedure:           true,
	holdfastv1connect.HoldfastMonitorProcedure:           true,
	holdfastv1connect.HoldfastListPoliciesProcedure:      true,
	holdfastv1connect.HoldfastTestPolicyProcedure:        true,
	holdfastv1connect.HoldfastListAnnouncementsProcedure: true,
	holdfastv1connect.HoldfastTraceNeighborProcedure:     true,

	holdfastv1connect.HoldfastClearNeighborsProcedure: false,
	holdfastv1connect.HoldfastDownNeighborProcedure:   false,
	holdfastv1connect.HoldfastEnableNeighborProcedure: false,
	holdfastv1connect.HoldfastAnnounceProcedure:       false,
	holdfastv1connect.HoldfastWithdrawProcedure:       false,
	holdfastv1connect.HoldfastReloadProcedure:         false,
	holdfastv1connect.HoldfastShutdownProcedure:       false,
	// It quotes files that only the router may read.
	holdfastv1connect.HoldfastCheckConfigProcedure: false,
}

// ReadOnlySocket is where those who may only look find the router whose
// operators use the socket at path.
func ReadOnlySocket(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-readonly" + ext
}

// MaxReaders is how many connections the read-only socket has at once; more wait
// in the kernel. Every user of the machine may be let in there, who must not use
// up the descriptors and the memory that routing needs.
const MaxReaders = 256

// ServeReadOnly is Serve for those who may only look; others are told what to
// use instead.
func ServeReadOnly(ctx context.Context, l net.Listener, r Router, log *slog.Logger, instead string) error {
	return serve(ctx, netutil.LimitListener(l, MaxReaders), r, log, connect.WithInterceptors(lookOnly{errors.New("this needs more than the read-only socket: use " + instead)}))
}

// lookOnly refuses what does not stand in readOnly.
type lookOnly struct{ refusal error }

func (i lookOnly) check(s connect.Spec) error {
	if readOnly[s.Procedure] {
		return nil
	}
	return connect.NewError(connect.CodePermissionDenied, i.refusal)
}

// WrapUnary implements connect.Interceptor.
func (i lookOnly) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := i.check(req.Spec()); err != nil {
			return nil, err
		}
		return next(ctx, req)
	}
}

// WrapStreamingHandler implements connect.Interceptor.
func (i lookOnly) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, c connect.StreamingHandlerConn) error {
		if err := i.check(c.Spec()); err != nil {
			return err
		}
		return next(ctx, c)
	}
}

// WrapStreamingClient implements connect.Interceptor.
func (lookOnly) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}
