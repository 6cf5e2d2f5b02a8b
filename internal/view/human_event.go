package view

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

func (h *human) Event(m *pb.Event) error {
	var mark, text string
	var color paint
	switch m.Kind {
	case pb.EventKind_EVENT_KIND_STARTED:
		return h.printf("watching since %s; times are UTC\n", clock(m.At))
	case pb.EventKind_EVENT_KIND_NEIGHBOR_UP:
		mark, color, text = "+", good, fmt.Sprintf("neighbor %s (%s) is up", m.Neighbor, m.NeighborAddress)
	case pb.EventKind_EVENT_KIND_NEIGHBOR_DOWN:
		mark, color, text = "-", bad, fmt.Sprintf("neighbor %s (%s) is down: %s", m.Neighbor, m.NeighborAddress, m.Reason)
	case pb.EventKind_EVENT_KIND_MISSED:
		mark, color, text = "!", bad, "missed "+plural(m.Missed, "event", "events")+": they came faster than they were read"
	case pb.EventKind_EVENT_KIND_ROUTE:
		mark, color, text = routeEvent(m)
	default:
		return nil // of a newer router
	}
	line := mark + " " + text
	if h.o.Color && color != plain {
		line = string(color) + mark + reset + " " + text
	}
	return h.printf("%s %s\n", m.At.AsTime().Format("15:04:05.000"), line)
}

func routeEvent(m *pb.Event) (mark string, color paint, text string) {
	b := m.Prefix
	if m.Table != "" && m.Table != "main" {
		b += " in " + m.Table
	}
	switch old, new := m.Old, m.New; {
	case old == nil:
		mark, color = "+", good
		b += " " + pathText(new)
	case new == nil:
		mark, color = "-", bad
		b += " was " + pathText(old)
	case from(old) != from(new):
		mark = "~"
		b += " " + from(old) + " → " + pathText(new)
	default:
		mark = "~"
		b += " " + from(new) + ", " + difference(old, new)
	}
	if m.Cause != "" {
		b += " (" + m.Cause + ")"
	}
	return mark, color, b
}

// pathText is a best path in short.
func pathText(r *pb.Route) string {
	return fmt.Sprintf("%s, next hop %s, path %s", from(r), nextHop(r), path(r))
}

// difference lists what another route of the same neighbor has changed.
func difference(old, new *pb.Route) string {
	var all []string
	add := func(name, was, is string) {
		if was != is {
			all = append(all, fmt.Sprintf("%s %s → %s", name, cmp.Or(was, "none"), cmp.Or(is, "none")))
		}
	}
	a, b := old.Attributes, new.Attributes
	add("next hop", nextHop(old), nextHop(new))
	add("path", path(old), path(new))
	add("local pref", number(a.GetLocalPref(), a != nil && a.LocalPref != nil), number(b.GetLocalPref(), b != nil && b.LocalPref != nil))
	add("MED", number(a.GetMed(), a != nil && a.Med != nil), number(b.GetMed(), b != nil && b.Med != nil))
	add("origin", word(a.GetOrigin()), word(b.GetOrigin()))
	add("weight", strconv.FormatUint(uint64(old.Weight), 10), strconv.FormatUint(uint64(new.Weight), 10))
	was, is := communities(a), communities(b)
	for _, c := range is {
		if !slices.Contains(was, c) {
			all = append(all, "community +"+c)
		}
	}
	for _, c := range was {
		if !slices.Contains(is, c) {
			all = append(all, "community -"+c)
		}
	}
	if all == nil {
		return "other attributes"
	}
	return strings.Join(all, ", ")
}
