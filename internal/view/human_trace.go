package view

import (
	"fmt"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

func (h *human) TraceEvent(e *pb.TraceEvent) error {
	var b strings.Builder
	if e.Lost > 0 {
		fmt.Fprintf(&b, "%s lost: this end is too slow\n", plural(e.Lost, "event was", "events were"))
	}
	at := e.At.AsTime().Format("15:04:05.000000")
	switch {
	case e.Note != "":
		fmt.Fprintf(&b, "%s  %s", at, e.Note)
		if e.Remote != "" {
			fmt.Fprintf(&b, " (%s)", strings.TrimPrefix(e.Local+" to "+e.Remote, " to "))
		}
	case e.Sent:
		fmt.Fprintf(&b, "%s  sent %s", at, e.Type)
	default:
		fmt.Fprintf(&b, "%s  received %s", at, e.Type)
	}
	b.WriteByte('\n')
	for _, line := range e.Text {
		fmt.Fprintf(&b, "%*s%s\n", len(at)+4, "", line)
	}
	return h.print(&b)
}
