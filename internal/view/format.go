package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "holdfast/internal/api/holdfastv1"
)

// Duration is how long something has lasted, in two units: 3d04h, 2h05m,
// 12m07s, 9s.
func Duration(d time.Duration) string {
	s := int64(max(d, 0) / time.Second)
	switch {
	case s >= 24*3600:
		return fmt.Sprintf("%dd%02dh", s/(24*3600), s/3600%24)
	case s >= 3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	case s >= 60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	}
	return fmt.Sprintf("%ds", s)
}

// Count is a number with its thousands apart: 1,234,567.
func Count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes is a size in the unit that suits it: 73.2 MiB.
func Bytes(n uint64) string {
	if n < 1<<10 {
		return strconv.FormatUint(n, 10) + " B"
	}
	f, unit := float64(n)/(1<<10), 0
	for f >= 1023.95 && unit < 3 {
		f, unit = f/(1<<10), unit+1
	}
	return fmt.Sprintf("%.1f %s", f, [...]string{"KiB", "MiB", "GiB", "TiB"}[unit])
}

// plural is "1 neighbor" or "2 neighbors".
func plural(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

func (h *human) ago(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return Duration(h.o.Now.Sub(t.AsTime()))
}

// clock is a time as people read it, UTC.
func clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().Format("2006-01-02 15:04:05 UTC")
}

func seconds(d *durationpb.Duration) string {
	if d.AsDuration() == 0 {
		return "off"
	}
	return strconv.FormatFloat(d.AsDuration().Seconds(), 'f', -1, 64) + " s"
}

// word is an enum for people.
func word(e interface {
	Descriptor() protoreflect.EnumDescriptor
	Number() protoreflect.EnumNumber
}) string {
	return strings.ReplaceAll(enumText(e.Descriptor(), e.Number()), "_", " ")
}

var stateNames = map[pb.SessionState]string{
	pb.SessionState_SESSION_STATE_IDLE: "Idle", pb.SessionState_SESSION_STATE_CONNECT: "Connect",
	pb.SessionState_SESSION_STATE_ACTIVE: "Active", pb.SessionState_SESSION_STATE_OPEN_SENT: "OpenSent",
	pb.SessionState_SESSION_STATE_OPEN_CONFIRM: "OpenConfirm", pb.SessionState_SESSION_STATE_ESTABLISHED: "Established",
}

// familyNames are as people write them.
var familyNames = map[pb.Family]string{pb.Family_FAMILY_IPV4: "IPv4", pb.Family_FAMILY_IPV6: "IPv6"}

// position is "file:line", or nothing.
func position(p *pb.Position) string {
	if p == nil {
		return ""
	}
	s := p.File
	if p.Line > 0 {
		s += ":" + strconv.Itoa(int(p.Line))
	}
	if p.Column > 0 {
		s += ":" + strconv.Itoa(int(p.Column))
	}
	return s
}

// ruleText is `policy "x", rule "y" (file:line)`.
func ruleText(r *pb.RuleRef) string {
	if r == nil {
		return ""
	}
	s := fmt.Sprintf("policy %q, ", r.Policy)
	if r.Rule == "" {
		s += "no rule accepts it"
	} else {
		s += fmt.Sprintf("rule %q", r.Rule)
	}
	if at := position(r.Position); at != "" {
		s += " (" + at + ")"
	}
	return s
}
