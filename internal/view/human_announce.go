package view

import (
	"fmt"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

func (h *human) Announcements(m *pb.ListAnnouncementsResponse) error {
	if len(m.Announcements) == 0 {
		return h.printf("nothing is announced at run time\n")
	}
	t := h.table("PREFIX", ">FOR", ">LEFT", "BY", "ATTRIBUTES", "REASON")
	for _, a := range m.Announcements {
		left := "no end"
		if a.Until != nil {
			left = Duration(a.Until.AsTime().Sub(h.o.Now))
		}
		t.texts(a.Prefix, h.ago(a.Since), left, a.By, announced(a), a.Reason)
	}
	return t.close()
}

// announced is what a route that was announced has beside its prefix.
func announced(a *pb.Announcement) string {
	var all []string
	if a.NextHop != "" {
		all = append(all, "next hop "+a.NextHop)
	}
	if a.Med != nil {
		all = append(all, fmt.Sprintf("MED %d", *a.Med))
	}
	if a.LocalPref != nil {
		all = append(all, fmt.Sprintf("local pref %d", *a.LocalPref))
	}
	if a.Prepend > 0 {
		all = append(all, fmt.Sprintf("prepend %d", a.Prepend))
	}
	return strings.Join(append(all, a.Communities...), ", ")
}

func (h *human) Withdrawn(m *pb.WithdrawResponse) error {
	var b strings.Builder
	switch n := len(m.Withdrawn); n {
	case 0:
		b.WriteString("nothing of it was announced\n")
	case 1:
		fmt.Fprintf(&b, "%s is withdrawn\n", m.Withdrawn[0])
	default:
		fmt.Fprintf(&b, "%s routes are withdrawn\n", Count(uint64(n)))
	}
	if len(m.Originated) > 0 {
		fmt.Fprintf(&b, "the configuration still originates %s\n", strings.Join(m.Originated, ", "))
	}
	return h.print(&b)
}
