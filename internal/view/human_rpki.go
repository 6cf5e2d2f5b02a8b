package view

import (
	"cmp"
	"fmt"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

func (h *human) RPKI(m *pb.GetRPKIResponse, asked *pb.GetRPKIRequest) error {
	switch {
	case asked.Prefix != "":
		return h.validity(m, asked)
	case len(m.Sources) == 0:
		return h.Done("there are no sources of VRPs: the configuration has no rpki block")
	}
	t := h.table("SOURCE", "WHERE", "STATE", ">SINCE", ">IPV4", ">IPV6", ">ASPAS", ">UPDATED", ">EXPIRES", "SESSION")
	for _, s := range m.Sources {
		session, expires, updated := "", "never", ""
		if s.Address != "" && s.Updated != nil {
			session = fmt.Sprintf("version %d, session %d, serial %d", s.Version, s.SessionId, s.Serial)
		}
		if s.Updated != nil {
			updated = h.ago(s.Updated) + " ago"
		}
		if s.Expires != nil {
			expires = "in " + Duration(s.Expires.AsTime().Sub(h.o.Now))
		} else if s.Updated == nil {
			expires = ""
		}
		state := cell{text: s.State}
		if s.State == "down" {
			state.paint = bad
		}
		t.row(cell{text: s.Name}, cell{text: cmp.Or(s.Address, s.File)}, state, cell{text: h.ago(s.Since)}, cell{text: Count(uint64(s.VrpsIpv4))}, cell{text: Count(uint64(s.VrpsIpv6))}, cell{text: Count(uint64(s.Aspas))},
			cell{text: updated}, cell{text: expires}, cell{text: session})
	}
	if err := t.close(); err != nil {
		return err
	}
	for _, s := range m.Sources {
		if s.Error != "" {
			if err := h.printf("\n%s: %s\n", s.Name, s.Error); err != nil {
				return err
			}
		}
	}
	return h.printf("\n%s and %s together\n", plural(uint64(m.VrpsIpv4)+uint64(m.VrpsIpv6), "VRP", "VRPs"), plural(uint64(m.Aspas), "ASPA", "ASPAs"))
}

// validity is what the VRPs say of a route.
func (h *human) validity(m *pb.GetRPKIResponse, asked *pb.GetRPKIRequest) error {
	var b strings.Builder
	if asked.Asn != 0 {
		fmt.Fprintf(&b, "%s of AS %d is %s\n", asked.Prefix, asked.Asn, m.State)
	}
	if len(m.Covering) == 0 {
		fmt.Fprintf(&b, "no VRP covers %s\n", asked.Prefix)
	}
	for _, v := range m.Covering {
		fmt.Fprintf(&b, "  %s\n", vrpText(v))
	}
	return h.print(&b)
}

// vrpText is a VRP for people, with a mark if it makes the route valid.
func vrpText(v *pb.Vrp) string {
	s := v.Prefix
	if bits := s[strings.IndexByte(s, '/')+1:]; bits != fmt.Sprint(v.MaxLength) {
		s += fmt.Sprintf(" to /%d", v.MaxLength)
	}
	if s += fmt.Sprintf(" of AS %d", v.Asn); v.Matches {
		s += ": this one"
	}
	return s
}
