package netlab

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Family is an address family, named as in holdfast's configuration.
type Family string

// The families that all routers here speak.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
)

// FamilyOf is the family of a prefix.
func FamilyOf(p netip.Prefix) Family {
	if p.Addr().Is4() {
		return IPv4
	}
	return IPv6
}

// Route is a path with its attributes in one form for all routers. Zero values
// stand for absent attributes; lists are sorted.
type Route struct {
	Prefix  netip.Prefix
	PathID  uint32 // matters with add-path only, never compared
	NextHop netip.Addr
	Origin  string // igp, egp or incomplete
	ASPath  string // "64500 64501 {64502 64503}", members of sets sorted

	MED, LocalPref  *uint32
	AtomicAggregate bool
	Aggregator      string   // "64500 192.0.2.1"
	OTC             *uint32  // RFC 9234
	Communities     []string // "64500:1", well-known ones as numbers too
	Extended        []string // "rt:64500:1", "soo:192.0.2.1:1", others as 16 hexadecimal digits
	Large           []string // "64500:1:2"
	Originator      netip.Addr
	Clusters        string   // "192.0.2.1 192.0.2.2", the last reflector first
	Unknown         []string // "99 c0 0102": type, flags without the partial bit, value
}

// Diff lists in what got differs from want, attribute by attribute.
func Diff(want, got Route) []string {
	var d []string
	add := func(what string, w, g any) {
		if ws, gs := text(w), text(g); ws != gs {
			d = append(d, fmt.Sprintf("%s %s: want %s, got %s", want.Prefix, what, cmp.Or(ws, "none"), cmp.Or(gs, "none")))
		}
	}
	add("prefix", want.Prefix, got.Prefix)
	add("next hop", want.NextHop, got.NextHop)
	add("origin", want.Origin, got.Origin)
	add("AS path", want.ASPath, got.ASPath)
	add("MED", want.MED, got.MED)
	add("local preference", want.LocalPref, got.LocalPref)
	add("atomic aggregate", want.AtomicAggregate, got.AtomicAggregate)
	add("aggregator", want.Aggregator, got.Aggregator)
	add("OTC", want.OTC, got.OTC)
	add("communities", sorted(want.Communities), sorted(got.Communities))
	add("extended communities", sorted(want.Extended), sorted(got.Extended))
	add("large communities", sorted(want.Large), sorted(got.Large))
	add("originator", want.Originator, got.Originator)
	add("clusters", want.Clusters, got.Clusters)
	add("unknown attributes", sorted(want.Unknown), sorted(got.Unknown))
	return d
}

// DiffAll compares sets of routes. Paths of the same prefix are matched by
// their AS path.
func DiffAll(want, got []Route) []string {
	order := func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.Prefix.String(), b.Prefix.String()), cmp.Compare(a.ASPath, b.ASPath))
	}
	want, got = slices.SortedFunc(slices.Values(want), order), slices.SortedFunc(slices.Values(got), order)
	var d []string
	for len(want) > 0 || len(got) > 0 {
		switch {
		case len(got) == 0 || len(want) > 0 && want[0].Prefix.String() < got[0].Prefix.String():
			d = append(d, fmt.Sprintf("%s is missing (%s)", want[0].Prefix, want[0].ASPath))
			want = want[1:]
		case len(want) == 0 || got[0].Prefix.String() < want[0].Prefix.String():
			d = append(d, fmt.Sprintf("%s should not be there (%s)", got[0].Prefix, got[0].ASPath))
			got = got[1:]
		default:
			d = append(d, Diff(want[0], got[0])...)
			want, got = want[1:], got[1:]
		}
	}
	return d
}

// Same is nil if the sets of routes are equal.
func Same(want, got []Route) error {
	if d := DiffAll(want, got); len(d) > 0 {
		return fmt.Errorf("routes differ:\n\t%s", strings.Join(d, "\n\t"))
	}
	return nil
}

func text(v any) string {
	switch v := v.(type) {
	case *uint32:
		if v == nil {
			return ""
		}
		return strconv.FormatUint(uint64(*v), 10)
	case netip.Addr:
		if !v.IsValid() {
			return ""
		}
		return v.String()
	case []string:
		return strings.Join(v, ", ")
	case bool:
		if !v {
			return ""
		}
		return "set"
	}
	return fmt.Sprint(v)
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }

// Prepend puts AS numbers in front of an AS path.
func Prepend(path string, asn ...uint32) string {
	for _, a := range slices.Backward(asn) {
		path = strings.TrimSpace(strconv.FormatUint(uint64(a), 10) + " " + path)
	}
	return path
}

// asSet writes the members of an AS_SET.
func asSet(members []string) string {
	n := slices.Clone(members)
	slices.SortFunc(n, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return "{" + strings.Join(n, " ") + "}"
}

// normalPath brings the ways to write an AS path into one: sets in braces,
// their members sorted and separated by spaces.
func normalPath(s string) string {
	s = strings.NewReplacer("{", " { ", "}", " } ", "[", " { ", "]", " } ", ",", " ").Replace(s)
	var out, set []string
	in := false
	for _, f := range strings.Fields(s) {
		switch {
		case f == "{":
			in, set = true, nil
		case f == "}":
			in = false
			out = append(out, asSet(set))
		case in:
			set = append(set, f)
		default:
			out = append(out, f)
		}
	}
	return strings.Join(out, " ")
}

// wellKnown has the names that routers print for communities.
func wellKnown(name string) string {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "graceful-shutdown", "gracefulshutdown":
		return "65535:0"
	case "blackhole":
		return "65535:666"
	case "no-export", "noexport":
		return "65535:65281"
	case "no-advertise", "noadvertise":
		return "65535:65282"
	case "local-as", "no-export-subconfed":
		return "65535:65283"
	case "no-peer", "nopeer":
		return "65535:65284"
	}
	return name
}

// ExtendedText writes an extended community from its eight bytes.
func ExtendedText(b [8]byte) string {
	kind := map[byte]string{2: "rt", 3: "soo"}[b[1]]
	if kind != "" {
		switch b[0] {
		case 0: // two-byte AS (RFC 4360)
			return fmt.Sprintf("%s:%d:%d", kind, int(b[2])<<8|int(b[3]), be32(b[4:8]))
		case 1: // IPv4 address
			return fmt.Sprintf("%s:%s:%d", kind, netip.AddrFrom4([4]byte(b[2:6])), int(b[6])<<8|int(b[7]))
		case 2: // four-byte AS (RFC 5668)
			return fmt.Sprintf("%s:%d:%d", kind, be32(b[2:6]), int(b[6])<<8|int(b[7]))
		}
	}
	return fmt.Sprintf("%x", b)
}

func be32(b []byte) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

// number reads a decimal number for an optional attribute.
func number(s string) (*uint32, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 32)
	if err != nil {
		return nil, err
	}
	return new(uint32(n)), nil
}
