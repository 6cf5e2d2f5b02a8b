package view

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Replay is what was played to a router.
type Replay struct {
	Neighbor        string         `json:"neighbor"` // of the dump
	NeighborASN     uint32         `json:"neighbor_asn"`
	LocalASN        uint32         `json:"local_asn"`
	RemoteASN       uint32         `json:"remote_asn"`
	Table           bool           `json:"table"`
	Announced       map[string]int `json:"announced"` // by family
	Withdrawn       map[string]int `json:"withdrawn"`
	Updates         int            `json:"updates"`
	Bytes           int64          `json:"bytes"`
	Skipped         int            `json:"skipped"`
	SkipReason      string         `json:"skip_reason"` // the first
	Damaged         int            `json:"damaged"`
	UpdatesReceived int64          `json:"updates_received"`
	Notes           []string       `json:"notes"`
	Seconds         float64        `json:"seconds"`
}

func (v *jsonView) Replayed(r Replay) error {
	if r.Notes == nil {
		r.Notes = []string{}
	}
	e := json.NewEncoder(v.w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

func (h *human) Replayed(r Replay) error {
	var b strings.Builder
	what := "updates"
	if r.Table {
		what = "table"
	}
	fmt.Fprintf(&b, "played the %s of %s, AS %d, as AS %d to AS %d\n", what, r.Neighbor, r.NeighborASN, r.LocalASN, r.RemoteASN)
	var f facts
	for _, d := range []struct {
		name string
		n    map[string]int
	}{{"Announced", r.Announced}, {"Withdrawn", r.Withdrawn}} {
		var parts []string
		for _, family := range []string{"ipv4", "ipv6"} {
			if n := d.n[family]; n > 0 {
				parts = append(parts, Count(uint64(n))+" "+family)
			}
		}
		f.add(d.name, strings.Join(parts, ", "))
	}
	sent := fmt.Sprintf("%s, %s", plural(uint64(r.Updates), "UPDATE", "UPDATEs"), Bytes(uint64(r.Bytes)))
	if r.Seconds > 0 {
		sent += fmt.Sprintf(" in %.2f s", r.Seconds)
	}
	f.add("Sent", sent)
	f.add("Received", plural(uint64(r.UpdatesReceived), "UPDATE", "UPDATEs"))
	if r.Skipped > 0 {
		f.add("Left out", fmt.Sprintf("%s: %s", Count(uint64(r.Skipped)), r.SkipReason))
	}
	if r.Damaged > 0 {
		f.add("Damaged", plural(uint64(r.Damaged), "record", "records"))
	}
	for _, n := range r.Notes {
		f.add("Note", n)
	}
	f.write(&b, "  ")
	return h.print(&b)
}
