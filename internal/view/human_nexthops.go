package view

import (
	"cmp"
	"strconv"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

func (h *human) NextHops(m *pb.ListNextHopsResponse, unreachable bool) error {
	if m.Untracked {
		return h.Done("next hops are not followed: the configuration says kernel = false")
	}
	switch {
	case len(m.NextHops) == 0 && unreachable:
		return h.Done("no next hop is unreachable")
	case len(m.NextHops) == 0:
		return h.Done("there are no next hops: no path has one")
	}
	t := h.table("TABLE", "NEXT HOP", ">COST", ">ATTRIBUTES", "REACHED")
	for _, n := range m.NextHops {
		address := n.Address
		if n.Interface != "" {
			address = cmp.Or(address, "-") + "%" + n.Interface
		}
		cost, how := strconv.FormatUint(uint64(n.Cost), 10), cell{text: ways(n)}
		if !n.Reachable {
			cost, how = "", cell{"no: " + n.Reason, bad}
		}
		t.row(cell{text: n.Table}, cell{text: address}, cell{text: cost}, cell{text: Count(n.Attributes)}, how)
	}
	return t.close()
}

// ways is how a next hop is reached.
func ways(n *pb.NextHop) string {
	var all []string
	for _, w := range n.Ways {
		s := "on " + w.Interface
		if !n.OnLink {
			s = "via " + w.Gateway + " " + s
		}
		if known := strings.TrimSpace(w.Mac + " " + w.State); known != "" {
			s += " (" + known + ")"
		}
		all = append(all, s)
	}
	s := strings.Join(all, ", ")
	if n.Via != "" {
		s += ", by a route with next hop " + n.Via
	}
	return s
}
