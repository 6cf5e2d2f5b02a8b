package api

import (
	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/wire"
)

// LargeCommunityText is a large community as RFC 8092 writes it.
func LargeCommunityText(c *pb.LargeCommunity) string {
	return wire.LargeCommunity{c.Global, c.Local1, c.Local2}.String()
}

// ASPathText is a path as routers write it: sets in {}, confederation
// sequences in (), their sets in [].
func ASPathText(segments []*pb.AsPathSegment) string { return wire.PathText(path(segments)) }

// ParseASPath is the inverse of ASPathText.
func ParseASPath(s string) ([]*pb.AsPathSegment, error) {
	b, err := wire.ParsePath(s)
	if err != nil {
		return nil, Invalid("%s", err)
	}
	return segments(b), nil
}

// AddCommunity reads a community of any kind and adds it to a.
func AddCommunity(a *pb.Attributes, s string) error {
	if c, err := wire.ParseCommunity(s); err == nil {
		a.Communities = append(a.Communities, c)
	} else if c, err := wire.ParseLargeCommunity(s); err == nil {
		a.LargeCommunities = append(a.LargeCommunities, &pb.LargeCommunity{Global: c[0], Local1: c[1], Local2: c[2]})
	} else if c, err := wire.ParseExtCommunity(s); err == nil {
		a.ExtCommunities = append(a.ExtCommunities, uint64(c))
	} else {
		return Invalid("%q is not a community: write 64500:100, 64500:1:2, rt:64500:100 or a name like no-export", s)
	}
	return nil
}
