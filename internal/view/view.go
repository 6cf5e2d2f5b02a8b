// Package view shows what the api answers: one interface, with an
// implementation for people and one that writes JSON.
package view

import (
	"io"
	"time"

	pb "holdfast/internal/api/holdfastv1"
)

// View shows the results of commands, each with one method. Errors are those
// of writing.
type View interface {
	// Version shows this binary's version and that of the running router, nil
	// if none answers.
	Version(own, running *pb.GetVersionResponse) error
	Summary(*pb.GetSummaryResponse) error
	Neighbors(*pb.ListNeighborsResponse) error
	Neighbor(*pb.GetNeighborResponse) error
	// Routes begins a list that is shown as it comes.
	Routes(RouteColumns) Routes
	RouteCount(*pb.CountRoutesResponse) error
	// Event shows one line.
	Event(*pb.Event) error
	Lookup(*pb.LookupResponse) error
	Explain(*pb.ExplainResponse) error
	Policies(*pb.ListPoliciesResponse) error
	PolicyTest(*pb.TestPolicyResponse) error
	BFD(*pb.ListBfdResponse) error
	NextHops(m *pb.ListNextHopsResponse, unreachable bool) error // unreachable: only those were asked for
	RPKI(m *pb.GetRPKIResponse, asked *pb.GetRPKIRequest) error
	Memory(*pb.GetMemoryResponse) error
	Cleared(*pb.ClearNeighborsResponse) error
	// TraceEvent shows one of a trace as it comes; JSON has one on each line.
	TraceEvent(*pb.TraceEvent) error
	Announcements(*pb.ListAnnouncementsResponse) error
	Withdrawn(*pb.WithdrawResponse) error
	Reloaded(*pb.ReloadResponse) error
	// Shutdown shows on one line how far a shutdown is.
	Shutdown(*pb.ShutdownResponse) error
	// Checked shows what was found about a configuration; against says whether
	// it was compared with what is running.
	Checked(r *pb.CheckConfigResponse, against bool) error
	Replayed(Replay) error
	// Done says that what was asked for has happened. JSON says {}.
	Done(text string) error
}

// RouteColumns are choices about lists of routes, for people.
type RouteColumns struct {
	Communities bool
	Reasons     bool // why a route is rejected
}

// Routes is a list of routes in the making.
type Routes interface {
	Add(*pb.Route) error
	// Close ends the list; it must be called, and its error looked at.
	Close() error
}

// Options are what a view for people needs to know.
type Options struct {
	Color bool      // the output is a terminal
	Now   time.Time // for "how long ago"
}

// Human is the view for people.
func Human(w io.Writer, o Options) View { return &human{w: w, o: o} }

// JSON is the view for programs.
func JSON(w io.Writer) View { return &jsonView{w: w} }
