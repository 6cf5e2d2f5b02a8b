package api

import (
	"net/netip"
	"slices"
	"time"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// Announcement is a route of this router that somebody asks for at run time. It
// is kept in files with these names.
type Announcement struct {
	Prefix      prefix.Prefix `json:"-"`
	Communities []string      `json:"communities,omitempty"` // of any kind
	MED         *uint32       `json:"med,omitempty"`
	LocalPref   *uint32       `json:"local_pref,omitempty"`
	NextHop     netip.Addr    `json:"next_hop,omitzero"` // invalid: our own
	Prepend     uint32        `json:"prepend,omitempty"`
	Reason      string        `json:"reason,omitempty"`
}

// StandingAnnouncement is one that is in the table.
type StandingAnnouncement struct {
	Announcement
	By           string // a user's name, "" if not known
	Since, Until time.Time
}

// Withdrawal is what Withdraw did.
type Withdrawal struct {
	Withdrawn  []prefix.Prefix
	Originated []prefix.Prefix // by the configuration still
}

// What an announcement may have. All of it fits the smallest UPDATE.
const (
	maxCommunities = 100
	maxPrepend     = 32
)

// Attrs are the attributes of an announcement, but for what Prepend adds to the
// path. Invalid if it cannot be announced.
func (a *Announcement) Attrs() (wire.Attrs, error) {
	m := &pb.Attributes{Med: a.MED, LocalPref: a.LocalPref, NextHop: addrText(a.NextHop)}
	for _, c := range a.Communities {
		if err := AddCommunity(m, c); err != nil {
			return wire.Attrs{}, err
		}
	}
	nh := a.NextHop
	switch {
	case len(a.Communities) > maxCommunities:
		return wire.Attrs{}, Invalid("%s has %d communities, more than %d", a.Prefix, len(a.Communities), maxCommunities)
	case a.Prepend > maxPrepend:
		return wire.Attrs{}, Invalid("%s has our AS number %d times in its path, more than %d", a.Prefix, a.Prepend, maxPrepend)
	case len(a.Reason) > maxMessage:
		return wire.Attrs{}, Invalid("the reason for %s has %d bytes, more than %d", a.Prefix, len(a.Reason), maxMessage)
	case !nh.IsValid():
	case nh.Is4() != (a.Prefix.Family == prefix.IPv4):
		return wire.Attrs{}, Invalid("%s is no next hop of %s: it is of the other family", nh, a.Prefix)
	case nh.Zone() != "" || nh.IsUnspecified() || nh.IsLoopback() || nh.IsMulticast() || nh.IsLinkLocalUnicast():
		return wire.Attrs{}, Invalid("%s is no address that other routers could send to: it cannot be the next hop of %s", nh, a.Prefix)
	}
	return WireAttrs(m)
}

// announcementOf reads a request.
func announcementOf(m *pb.Announcement) (a Announcement, err error) {
	a = Announcement{Communities: slices.Compact(slices.Sorted(slices.Values(m.Communities))), MED: m.Med, LocalPref: m.LocalPref, Prepend: m.Prepend, Reason: m.Reason}
	if a.Prefix, err = parsePrefix(m.Prefix); err != nil {
		return a, err
	}
	if m.NextHop != "" {
		if a.NextHop, err = netip.ParseAddr(m.NextHop); err != nil {
			return a, Invalid("next hop %q is not an address", m.NextHop)
		}
	}
	_, err = a.Attrs()
	return a, err
}

func announcement(a StandingAnnouncement) *pb.Announcement {
	return &pb.Announcement{
		Prefix: a.Prefix.String(), Communities: a.Communities, Med: a.MED, LocalPref: a.LocalPref, NextHop: addrText(a.NextHop),
		Prepend: a.Prepend, Reason: Printable(a.Reason), By: a.By, Since: timestamp(a.Since), Until: timestamp(a.Until),
	}
}
