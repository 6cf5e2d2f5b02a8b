package view

import (
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "holdfast/internal/api/holdfastv1"
)

var bfdStates = map[pb.BfdState]string{
	pb.BfdState_BFD_STATE_ADMIN_DOWN: "AdminDown", pb.BfdState_BFD_STATE_DOWN: "Down", pb.BfdState_BFD_STATE_INIT: "Init", pb.BfdState_BFD_STATE_UP: "Up",
}

// bfdDiagnostics are those of RFC 5880 section 4.1.
var bfdDiagnostics = [...]string{"none", "detection time expired", "echo failed", "neighbor signaled down", "forwarding plane reset",
	"path down", "concatenated path down", "administratively down", "reverse concatenated path down"}

func bfdDiagnostic(d uint32) string {
	if int(d) < len(bfdDiagnostics) {
		return bfdDiagnostics[d]
	}
	return strconv.FormatUint(uint64(d), 10)
}

func bfdState(s *pb.BfdSession) cell {
	c := cell{bfdStates[s.State], bad}
	if s.State == pb.BfdState_BFD_STATE_UP {
		c.paint = good
	}
	return c
}

// interval is a time of milliseconds.
func interval(d *durationpb.Duration) string { return d.AsDuration().Round(time.Microsecond).String() }

func (h *human) BFD(m *pb.ListBfdResponse) error {
	if len(m.Sessions) == 0 {
		return h.Done("BFD watches no neighbor")
	}
	t := h.table("NEIGHBOR", "ADDRESS", "STATE", ">FOR", ">SEND", ">DETECT", ">UPS", ">FAILURES", ">SENT", ">RECEIVED", ">MISSED", "LAST FAILURE")
	for _, s := range m.Sessions {
		last := s.LastFailure
		if s.Problem != "" {
			last = s.Problem
		}
		t.row(cell{text: s.Neighbor}, cell{text: s.Address}, bfdState(s), cell{text: h.ago(s.Since)},
			cell{text: interval(s.Interval)}, cell{text: interval(s.DetectionTime)}, cell{text: Count(s.Ups)}, cell{text: Count(s.Failures)},
			cell{text: Count(s.PacketsSent)}, cell{text: Count(s.PacketsReceived)}, cell{text: Count(s.PacketsMissed)}, cell{text: last})
	}
	return t.close()
}

// bfd is both ends of a session.
func (h *human) bfd(s *pb.BfdSession) *table {
	t := h.indented("BFD", "HERE", "NEIGHBOR")
	if s == nil {
		return t
	}
	row := func(name, here, there string) { t.row(cell{text: name}, cell{text: here}, cell{text: there}) }
	kind := "one hop"
	if s.Multihop {
		kind = "multihop"
	}
	t.row(cell{text: "State, " + kind}, bfdState(s), cell{text: bfdStates[s.RemoteState]})
	row("Diagnostic", bfdDiagnostic(s.Diagnostic), bfdDiagnostic(s.RemoteDiagnostic))
	row("Discriminator", fmt.Sprintf("%#08x", s.Discriminator), fmt.Sprintf("%#08x", s.RemoteDiscriminator))
	row("Sends each", interval(s.MinInterval), interval(s.RemoteMinInterval))
	row("Takes each", interval(s.MinReceive), interval(s.RemoteMinReceive))
	row("Multiplier", strconv.FormatUint(uint64(s.Multiplier), 10), strconv.FormatUint(uint64(s.RemoteMultiplier), 10))
	row("Packets", Count(s.PacketsSent), fmt.Sprintf("%s, %s missed", Count(s.PacketsReceived), Count(s.PacketsMissed)))
	if s.Problem != "" {
		row("Problem", s.Problem, "")
	}
	row("In use", interval(s.Interval), "down after "+interval(s.DetectionTime))
	return t
}
