package api

import (
	"context"
	"net/netip"
	"time"

	"connectrpc.com/connect"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
)

// RPKI is what is known of who may originate what.
type RPKI struct {
	Sources []RPKISource
	VRPs    [prefix.Families]int // what all sources have together
	ASPAs   int
	// Of the route that was asked for: the state, and the VRPs that cover it, the
	// most specific first.
	State    string
	Covering []VRP
}

// RPKISource is where VRPs come from.
type RPKISource struct {
	Name    string
	Address netip.AddrPort // of a cache
	File    string         // "" for a cache
	State   string         // up, waiting, down
	Since   time.Time
	// Of a cache.
	Version uint8
	Session uint16
	Serial  uint32
	VRPs    [prefix.Families]int
	ASPAs   int // customers that have one
	// When it was up to date last, and until when what it has said counts; zero: it
	// has said nothing, for good.
	Updated, Expires time.Time
	Error            string
}

// VRP is a validated ROA payload.
type VRP struct {
	Prefix  prefix.Prefix
	MaxLen  uint8
	ASN     uint32
	Matches bool // it makes the route valid
}

func vrp(v VRP) *pb.Vrp {
	return &pb.Vrp{Prefix: v.Prefix.String(), MaxLength: uint32(v.MaxLen), Asn: v.ASN, Matches: v.Matches}
}

func rpkiSource(s RPKISource) *pb.RpkiSource {
	m := &pb.RpkiSource{
		Name: s.Name, File: Printable(s.File), State: s.State, Since: timestamp(s.Since), Version: uint32(s.Version), SessionId: uint32(s.Session), Serial: s.Serial,
		VrpsIpv4: uint32(s.VRPs[prefix.IPv4]), VrpsIpv6: uint32(s.VRPs[prefix.IPv6]), Aspas: uint32(s.ASPAs),
		Updated: timestamp(s.Updated), Expires: timestamp(s.Expires), Error: Printable(s.Error),
	}
	if s.Address.IsValid() {
		m.Address = s.Address.String()
	}
	return m
}

func (s *server) GetRPKI(ctx context.Context, req *connect.Request[pb.GetRPKIRequest]) (*connect.Response[pb.GetRPKIResponse], error) {
	var p *prefix.Prefix
	if req.Msg.Prefix != "" {
		x, err := parsePrefix(req.Msg.Prefix)
		if err != nil {
			return nil, failed(err)
		}
		p = &x
	}
	v, err := s.r.RPKI(ctx, p, req.Msg.Asn)
	return answer(v, err, func(v RPKI) *pb.GetRPKIResponse {
		return &pb.GetRPKIResponse{
			Sources: each(v.Sources, rpkiSource), VrpsIpv4: uint32(v.VRPs[prefix.IPv4]), VrpsIpv6: uint32(v.VRPs[prefix.IPv6]),
			Aspas: uint32(v.ASPAs), State: v.State, Covering: each(v.Covering, vrp),
		}
	})
}
