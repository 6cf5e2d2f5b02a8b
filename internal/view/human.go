package view

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
	"holdfast/internal/config"
)

// human writes aligned text.
type human struct {
	w io.Writer
	o Options
}

func (h *human) print(b *strings.Builder) error {
	_, err := io.WriteString(h.w, b.String())
	return err
}

func (h *human) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(h.w, format, args...)
	return err
}

func (h *human) table(headings ...string) *table { return newTable(h.w, h.o.Color, headings...) }

func (h *human) Done(text string) error { return h.printf("%s\n", text) }

func versionText(v *pb.GetVersionResponse) string {
	s := "holdfast " + v.Version
	if v.Commit != "" {
		s += " (" + v.Commit[:min(12, len(v.Commit))] + ")"
	}
	return s + ", " + v.Go
}

func (h *human) Version(own, running *pb.GetVersionResponse) error {
	if err := h.printf("%s\n", versionText(own)); err != nil || running == nil {
		return err
	}
	return h.printf("running: %s\n", versionText(running))
}

func (h *human) Summary(m *pb.GetSummaryResponse) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Router %s, AS %d, holdfast %s\n", m.RouterId, m.Asn, m.Version)
	var f facts
	f.add("Running for", fmt.Sprintf("%s, since %s", h.ago(m.Started), clock(m.Started)))
	f.add("Configuration", fmt.Sprintf("%s, revision %d, for %s", m.ConfigPath, m.Revision, h.ago(m.Configured)))
	f.add("Listening on", strings.Join(m.Listen, ", "))
	neighbors := fmt.Sprintf("%d of %d established", m.Established, m.Neighbors)
	if m.Shutdown > 0 {
		neighbors += fmt.Sprintf(", %d shut down", m.Shutdown)
	}
	f.add("Neighbors", neighbors)
	f.write(&b, "  ")
	b.WriteByte('\n')
	if err := h.print(&b); err != nil {
		return err
	}
	t := h.table("TABLE", "FAMILY", ">PREFIXES", ">PATHS", ">ORIGINATED", ">IN KERNEL", "")
	for _, f := range m.Tables {
		kernel, refused := "", cell{}
		if f.KernelRoutes != nil {
			kernel = Count(*f.KernelRoutes)
		}
		if f.KernelRefused > 0 {
			refused = cell{Count(f.KernelRefused) + " refused by the kernel", bad}
		}
		t.row(cell{text: f.Table}, cell{text: familyNames[f.Family]}, cell{text: Count(f.Prefixes)}, cell{text: Count(f.Paths)},
			cell{text: Count(f.Originated)}, cell{text: kernel}, refused)
	}
	return t.close()
}

func (h *human) Memory(m *pb.GetMemoryResponse) error {
	t := h.table("STRUCTURE", ">COUNT", ">BYTES", ">EACH")
	var sum uint64
	for _, i := range m.Items {
		each := ""
		if i.Count > 0 {
			each = strconv.FormatFloat(float64(i.Bytes)/float64(i.Count), 'f', 1, 64)
		}
		count := ""
		if i.Count > 0 {
			count = Count(i.Count)
		}
		t.texts(i.Name, count, Bytes(i.Bytes), each)
		sum += i.Bytes
	}
	if err := t.close(); err != nil {
		return err
	}
	var f facts
	f.add("Sum", Bytes(sum))
	if m.Paths > 0 {
		f.add("Paths", fmt.Sprintf("%s, %.1f bytes each", Count(m.Paths), float64(sum)/float64(m.Paths)))
	}
	f.add("Heap in use", Bytes(m.HeapBytes))
	f.add("Process", Bytes(m.ResidentBytes)+" resident")
	var b strings.Builder
	b.WriteByte('\n')
	f.write(&b, "")
	return h.print(&b)
}

func (h *human) Cleared(m *pb.ClearNeighborsResponse) error {
	if len(m.Neighbors) == 0 {
		return h.printf("no session to clear\n")
	}
	return h.printf("cleared %s: %s\n", plural(uint64(len(m.Neighbors)), "neighbor", "neighbors"), strings.Join(m.Neighbors, ", "))
}

func (h *human) changes(all []*pb.Change) error {
	marks := map[pb.ChangeKind]string{
		pb.ChangeKind_CHANGE_KIND_ADDED: "+", pb.ChangeKind_CHANGE_KIND_REMOVED: "-", pb.ChangeKind_CHANGE_KIND_CHANGED: "~",
	}
	for _, c := range all {
		line := marks[c.Kind] + " " + c.Object
		if c.Detail != "" {
			line += ": " + c.Detail
		}
		// What is removed has no place in the new files.
		if at := position(c.Position); at != "" && c.Kind != pb.ChangeKind_CHANGE_KIND_REMOVED {
			line += " (" + at + ")"
		}
		if err := h.printf("%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

func (h *human) Shutdown(m *pb.ShutdownResponse) error {
	switch m.Phase {
	case pb.ShutdownPhase_SHUTDOWN_PHASE_DRAINING:
		return h.printf("%d of %d neighbors are asked to prefer other ways; sessions end in %s\n", m.Told, m.Neighbors, Duration(m.Left.AsDuration()))
	case pb.ShutdownPhase_SHUTDOWN_PHASE_LEAVING:
		return h.printf("sessions end, then kernel routes go\n")
	}
	return h.printf("the router is gone\n")
}

func (h *human) Reloaded(m *pb.ReloadResponse) error {
	if !m.Changed {
		return h.printf("nothing changed: revision %d goes on\n", m.Revision)
	}
	if err := h.changes(m.Changes); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d is running\n", m.Revision)
	if len(m.ResetNeighbors) > 0 {
		fmt.Fprintf(&b, "sessions reset: %s\n", strings.Join(m.ResetNeighbors, ", "))
	}
	if len(m.PendingNeighbors) > 0 {
		fmt.Fprintf(&b, "changes wait for the next session (\"holdfast clear neighbor\") of: %s\n", strings.Join(m.PendingNeighbors, ", "))
	}
	return h.print(&b)
}

// finding is d in the form in which it was found.
func finding(d *pb.Diagnostic) config.Diagnostic {
	p := d.Position
	f := config.Diagnostic{
		Pos:     config.Pos{File: p.GetFile(), Line: int(p.GetLine()), Column: int(p.GetColumn())},
		Message: d.Message, Fix: d.Mend, Source: d.Source, Width: int(d.Width),
	}
	if d.Severity == pb.Severity_SEVERITY_WARNING {
		f.Severity = config.Warning
	}
	return f
}

func (h *human) Checked(m *pb.CheckConfigResponse, against bool) error {
	var errors, warnings uint64
	for _, d := range m.Diagnostics {
		f := finding(d)
		if f.Severity == config.Warning {
			warnings++
		} else {
			errors++
		}
		if err := h.printf("%s", f.Text()); err != nil {
			return err
		}
	}
	if err := h.changes(m.Changes); err != nil {
		return err
	}
	state := "is valid"
	switch {
	case errors > 0:
		state = "has " + plural(errors, "error", "errors")
	case against && len(m.Changes) == 0:
		state = "is valid and is what is running"
	case against:
		state = "is valid and differs from what is running in " + plural(uint64(len(m.Changes)), "place", "places")
	}
	if warnings > 0 {
		state += ", " + plural(warnings, "warning", "warnings")
	}
	return h.printf("%s %s\n", m.ConfigPath, state)
}
