package daemon

import (
	"context"

	"holdfast/internal/api"
	"holdfast/internal/bfd"
)

// BFD implements api.Router.
func (r *router) BFD(context.Context) ([]api.BFD, error) {
	var all []api.BFD
	for _, st := range r.bfd() {
		all = append(all, bfdOf(&st))
	}
	return all, nil
}

// watched is BFD with a neighbor, nil if there is none. all are by name.
func watched(all []bfd.Status, name string) *api.BFD {
	for i := range all {
		if all[i].Name == name {
			out := bfdOf(&all[i])
			return &out
		}
	}
	return nil
}

func bfdOf(st *bfd.Status) api.BFD {
	out := api.BFD{
		Neighbor: st.Name, Address: st.Remote, Multihop: st.Multihop,
		State: uint8(st.State), RemoteState: uint8(st.RemoteState), Diag: uint8(st.Diag), RemoteDiag: uint8(st.RemoteDiag), Since: st.Since,
		MinInterval: st.Timers.Interval, MinReceive: st.MinReceive, Multiplier: st.Multiplier,
		RemoteMinInterval: st.RemoteMinTx, RemoteMinReceive: st.RemoteMinRx, RemoteMultiplier: st.RemoteMultiplier,
		Interval: st.Interval, Detection: st.Detection, Discr: st.Discr, RemoteDiscr: st.RemoteDiscr, RemoteIndependent: st.RemoteIndependent,
		Ups: st.Ups, Failures: st.Downs, Sent: st.Sent, Received: st.Received, Missed: st.Missed, Problem: st.Problem,
	}
	if st.Downs > 0 {
		out.LastFailure = bfdReason(st)
	}
	return out
}
