package metrics

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/api"
	"holdfast/internal/prefix"
)

const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// all are the metrics. A new one is an entry here and a line in
// docs/metrics.md. Labels are such that the number of series is bounded by what
// is configured: neighbors, tables, families.
func all() []metric {
	neighbor, source := []string{"neighbor"}, []string{"source"}
	return []metric{
		{"holdfast_build_info", "The version that runs; always 1.", gauge, []string{"version", "commit", "go"}, func(_ *Figures, set setter) {
			v := api.Version()
			set(1, v.Version, v.Commit, v.Go)
		}},
		{"holdfast_router_info", "AS number and identifier of the router; always 1.", gauge, []string{"asn", "router_id"}, func(f *Figures, set setter) {
			set(1, number(f.Summary.ASN), f.Summary.RouterID.String())
		}},
		{"holdfast_config_revision", "Number of the configuration that runs, counted since the start.", gauge, nil, func(f *Figures, set setter) {
			set(float64(f.Summary.Revision))
		}},
		{"holdfast_config_applied_timestamp_seconds", "When the configuration that runs was applied.", gauge, nil, func(f *Figures, set setter) {
			setTime(set, f.Summary.Configured)
		}},
		{"holdfast_config_last_reload_successful", "0 if the last reload was refused, or could not be carried out in full.", gauge, nil, func(f *Figures, set setter) {
			set(truth(!f.ReloadFailed))
		}},

		{"holdfast_neighbor_info", "What is configured about a neighbor; always 1.", gauge, []string{"neighbor", "address", "asn", "group"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				set(1, n.Name, n.Address.String(), number(n.ASN), n.Group)
			}
		}},
		{"holdfast_neighbor_up", "1 if the session is Established.", gauge, neighbor, each(func(n *api.NeighborDetail) float64 {
			return truth(up(n))
		})},
		{"holdfast_neighbor_state", "State of the session by the numbers of RFC 4273: 1 Idle, 2 Connect, 3 Active, 4 OpenSent, 5 OpenConfirm, 6 Established.", gauge, neighbor, each(func(n *api.NeighborDetail) float64 {
			return float64(n.State) + 1
		})},
		{"holdfast_neighbor_shutdown", "1 if the session is shut down by the configuration or an operator.", gauge, neighbor, each(func(n *api.NeighborDetail) float64 {
			return truth(n.Shutdown)
		})},
		{"holdfast_neighbor_held", "1 if a limit of prefixes keeps the session down until an operator clears it.", gauge, neighbor, each(func(n *api.NeighborDetail) float64 {
			return truth(n.Held)
		})},
		{"holdfast_neighbor_pending", "1 if settings have changed that wait for the next session.", gauge, neighbor, each(func(n *api.NeighborDetail) float64 {
			return truth(n.Pending)
		})},
		{"holdfast_neighbor_last_established_timestamp_seconds", "When the session was last established; absent if it never was.", gauge, neighbor, times(func(n *api.NeighborDetail) time.Time {
			return n.LastEstablished
		})},
		{"holdfast_neighbor_last_down_timestamp_seconds", "When an established session last ended; absent if none has.", gauge, neighbor, times(func(n *api.NeighborDetail) time.Time {
			return n.LastDown
		})},
		{"holdfast_neighbor_flaps_total", "Established sessions that have ended.", counter, neighbor, each(func(n *api.NeighborDetail) float64 {
			return float64(n.Counters.Sessions) - truth(up(n))
		})},
		{"holdfast_neighbor_prefixes", "Routes received, those of them that the import policy accepted, and prefixes advertised.", gauge, []string{"neighbor", "family", "kind"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				for _, k := range n.Families {
					set(float64(k.Received), n.Name, k.Family.String(), "received")
					set(float64(k.Accepted), n.Name, k.Family.String(), "accepted")
					set(float64(k.Advertised), n.Name, k.Family.String(), "advertised")
				}
			}
		}},
		{"holdfast_neighbor_paths_stale", "Paths that are kept since a session has ended, until the neighbor has announced them again; only while there are any.", gauge, []string{"neighbor", "family"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				for _, k := range n.Families {
					if !k.StaleUntil.IsZero() {
						set(float64(k.Stale), n.Name, k.Family.String())
					}
				}
			}
		}},
		{"holdfast_neighbor_prefixes_held_back", "Prefixes that are not sent, as max_prefixes_out is reached; only where there is such a limit.", gauge, []string{"neighbor", "family"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				for _, k := range n.Families {
					if k.MaxAdvertised > 0 {
						set(float64(k.HeldBack), n.Name, k.Family.String())
					}
				}
			}
		}},
		{"holdfast_neighbor_prefix_limit", "max_prefixes, where there is one. It counts what its label says.", gauge, []string{"neighbor", "family", "kind"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				for _, k := range n.Families {
					if k.Limit != nil {
						kind := map[bool]string{true: "received", false: "accepted"}[k.Limit.Received]
						set(float64(k.Limit.Max), n.Name, k.Family.String(), kind)
					}
				}
			}
		}},
		{"holdfast_neighbor_messages_total", "BGP messages by direction and type.", counter, []string{"neighbor", "direction", "type"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				for direction, c := range directions(&n) {
					set(float64(c.Open), n.Name, direction, "open")
					set(float64(c.Update), n.Name, direction, "update")
					set(float64(c.Notification), n.Name, direction, "notification")
					set(float64(c.Keepalive), n.Name, direction, "keepalive")
					set(float64(c.Refresh), n.Name, direction, "route_refresh")
				}
			}
		}},
		{"holdfast_neighbor_bytes_total", "Bytes of BGP messages by direction.", counter, []string{"neighbor", "direction"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				for direction, c := range directions(&n) {
					set(float64(c.Bytes), n.Name, direction)
				}
			}
		}},
		{"holdfast_neighbor_malformed_updates_total", "UPDATE messages with errors, by what was done about them (RFC 7606).", counter, []string{"neighbor", "action"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				set(float64(n.Counters.TreatAsWithdraw), n.Name, "treat_as_withdraw")
				set(float64(n.Counters.Discarded), n.Name, "attribute_discard")
			}
		}},
		{"holdfast_neighbor_route_leaks_total", "Routes of the neighbor that were route leaks by the attribute OTC (RFC 9234).", counter, neighbor, each(func(n *api.NeighborDetail) float64 {
			return float64(n.Counters.Leaks)
		})},
		{"holdfast_neighbor_unsendable_routes_total", "Routes that fitted no message to the neighbor.", counter, neighbor, each(func(n *api.NeighborDetail) float64 {
			return float64(n.Counters.Unsendable)
		})},
		{"holdfast_neighbor_queued_packets", "Packets that wait to be written to the neighbor.", gauge, neighbor, each(func(n *api.NeighborDetail) float64 {
			return float64(n.Counters.Queued)
		})},

		{"holdfast_neighbor_bfd_up", "1 if BFD is up; only where it watches a neighbor.", gauge, neighbor, bfds(func(b *api.BFD) float64 { return truth(b.State == 3) })},
		{"holdfast_neighbor_bfd_failures_total", "How often BFD has taken the neighbor for dead.", counter, neighbor, bfds(func(b *api.BFD) float64 { return float64(b.Failures) })},
		{"holdfast_neighbor_bfd_packets_total", "Packets of BFD: sent, received, and those of the neighbor that did not come while it was up.", counter, []string{"neighbor", "kind"}, func(f *Figures, set setter) {
			for _, n := range f.Neighbors {
				if b := n.BFD; b != nil {
					set(float64(b.Sent), n.Name, "sent")
					set(float64(b.Received), n.Name, "received")
					set(float64(b.Missed), n.Name, "missed")
				}
			}
		}},

		{"holdfast_table_prefixes", "Prefixes with a best path.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Prefixes) })},
		{"holdfast_table_paths", "Paths, rejected ones included.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Paths) })},
		{"holdfast_kernel_routes", "Routes of the table that are in the kernel.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Installed) })},
		{"holdfast_kernel_routes_refused", "Routes of the table that the kernel does not take: they are not announced.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Refused) })},
		{"holdfast_table_originated_prefixes", "Routes that this router announces itself, aggregates included.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Originated) })},
		{"holdfast_next_hops", "Next hops that paths have, by whether the kernel leads to them.", gauge, []string{"state"}, func(f *Figures, set setter) {
			set(float64(f.NextHops-f.Unreachable), "reachable")
			set(float64(f.Unreachable), "unreachable")
		}},
		{"holdfast_rpki_vrps", "VRPs that all sources have together.", gauge, []string{"family"}, func(f *Figures, set setter) {
			for family, n := range f.RPKI.VRPs {
				set(float64(n), prefix.Family(family).String())
			}
		}},
		{"holdfast_rpki_source_up", "1 if the source of VRPs is up to date.", gauge, source, sources(func(s *api.RPKISource, set func(float64)) {
			set(truth(s.State == "up"))
		})},
		{"holdfast_rpki_source_vrps", "VRPs of a source that count.", gauge, []string{"source", "family"}, func(f *Figures, set setter) {
			for _, s := range f.RPKI.Sources {
				for family, n := range s.VRPs {
					set(float64(n), s.Name, prefix.Family(family).String())
				}
			}
		}},
		{"holdfast_rpki_aspas", "ASes whose providers are known (ASPAs), from all sources together.", gauge, nil, func(f *Figures, set setter) { set(float64(f.RPKI.ASPAs)) }},
		{"holdfast_rpki_source_aspas", "ASPAs of a source that count.", gauge, source, sources(func(s *api.RPKISource, set func(float64)) { set(float64(s.ASPAs)) })},
		{"holdfast_rpki_source_serial", "Serial of what a cache has said; absent for files.", gauge, source, sources(func(s *api.RPKISource, set func(float64)) {
			if s.File == "" {
				set(float64(s.Serial))
			}
		})},
		{"holdfast_rpki_source_updated_timestamp_seconds", "When the source was up to date last; absent if what it has said does not count.", gauge, source, sources(func(s *api.RPKISource, set func(float64)) {
			setTime(func(v float64, _ ...string) { set(v) }, s.Updated)
		})},
		{"holdfast_rpki_source_expires_timestamp_seconds", "Until when what the source has said counts; absent where that has no end.", gauge, source, sources(func(s *api.RPKISource, set func(float64)) {
			setTime(func(v float64, _ ...string) { set(v) }, s.Expires)
		})},
		{"holdfast_update_groups", "Update groups: neighbors that are sent the same share one.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Groups) })},
		{"holdfast_update_group_neighbors_behind", "Neighbors that are not in step with their update group and catch up.", gauge, tableLabels(), tables(func(t *Table) float64 { return float64(t.Behind) })},

		{"holdfast_engine_busy_seconds_total", "Time that the engine's loop has worked: on updates received, on commands and sessions, on sending and walks over tables. The rest it waited.", counter, []string{"activity"}, func(f *Figures, set setter) {
			set(f.Load.Updates.Seconds(), "updates")
			set(f.Load.Commands.Seconds(), "commands")
			set(f.Load.Work.Seconds(), "work")
		}},
		{"holdfast_engine_queue_length", "Events that wait for the engine's loop.", gauge, nil, func(f *Figures, set setter) { set(float64(f.Load.Queued)) }},
		{"holdfast_engine_queue_capacity", "Events that can wait: at this length, neighbors are read more slowly.", gauge, nil, func(f *Figures, set setter) { set(float64(f.Load.Capacity)) }},
		{"holdfast_engine_answer_seconds", "How long the engine took to answer this scrape, its waiting included.", gauge, nil, func(f *Figures, set setter) { set(f.Answered.Seconds()) }},

		{"holdfast_monitors", "Commands monitor that run.", gauge, nil, func(f *Figures, set setter) { set(float64(f.Load.Monitors)) }},
		{"holdfast_monitor_events_missed_total", "Events that monitors did not read in time.", counter, nil, func(f *Figures, set setter) { set(float64(f.Load.Missed)) }},

		{"holdfast_memory_bytes", "Memory by structure, as show memory has it.", gauge, []string{"structure"}, func(f *Figures, set setter) {
			for _, i := range f.Memory.Items {
				set(float64(i.Bytes), i.Name)
			}
		}},
		{"holdfast_memory_objects", "How many there are of a structure, where that can be counted.", gauge, []string{"structure"}, func(f *Figures, set setter) {
			for _, i := range f.Memory.Items {
				if i.Count > 0 {
					set(float64(i.Count), i.Name)
				}
			}
		}},
	}
}

// each is a value of every neighbor.
func each(of func(*api.NeighborDetail) float64) func(*Figures, setter) {
	return func(f *Figures, set setter) {
		for i := range f.Neighbors {
			set(of(&f.Neighbors[i]), f.Neighbors[i].Name)
		}
	}
}

// times is a time of every neighbor that has one.
func times(of func(*api.NeighborDetail) time.Time) func(*Figures, setter) {
	return func(f *Figures, set setter) {
		for i := range f.Neighbors {
			n := &f.Neighbors[i]
			setTime(func(v float64, _ ...string) { set(v, n.Name) }, of(n))
		}
	}
}

// sources is a value of every source of VRPs that has one.
func sources(of func(s *api.RPKISource, set func(float64))) func(*Figures, setter) {
	return func(f *Figures, set setter) {
		for i := range f.RPKI.Sources {
			s := &f.RPKI.Sources[i]
			of(s, func(v float64) { set(v, s.Name) })
		}
	}
}

// bfds is a value of every neighbor that BFD watches.
func bfds(of func(*api.BFD) float64) func(*Figures, setter) {
	return func(f *Figures, set setter) {
		for _, n := range f.Neighbors {
			if n.BFD != nil {
				set(of(n.BFD), n.Name)
			}
		}
	}
}

func tableLabels() []string { return []string{"table", "family"} }

// tables is a value of every table and family.
func tables(of func(*Table) float64) func(*Figures, setter) {
	return func(f *Figures, set setter) {
		for i := range f.Tables {
			t := &f.Tables[i]
			set(of(t), t.Name, t.Family.String())
		}
	}
}

// up looks at what changes together with the number of sessions: the state
// follows a moment later.
func up(n *api.NeighborDetail) bool { return n.Negotiated != nil }

func directions(n *api.NeighborDetail) map[string]*api.MessageCounts {
	return map[string]*api.MessageCounts{"in": &n.Counters.In, "out": &n.Counters.Out}
}

func setTime(set setter, t time.Time) {
	if !t.IsZero() {
		set(float64(t.UnixMilli()) / 1000)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
