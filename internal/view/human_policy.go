package view

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	pb "holdfast/internal/api/holdfastv1"
)

func (h *human) Policies(m *pb.ListPoliciesResponse) error {
	if len(m.Policies) == 0 {
		return h.printf("no policies\n")
	}
	for i, p := range m.Policies {
		var b strings.Builder
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "Policy %s", p.Name)
		if at := position(p.Position); at != "" {
			fmt.Fprintf(&b, " (%s)", at)
		}
		b.WriteByte('\n')
		var f facts
		f.add("Import of", strings.Join(p.ImportOf, ", "))
		f.add("Export of", strings.Join(p.ExportOf, ", "))
		users := strings.Join(p.UsedBy, ", ")
		if len(p.ImportOf)+len(p.ExportOf) == 0 {
			users = cmp.Or(users, "nobody")
		}
		f.add("Used by", users)
		f.write(&b, "  ")
		if err := h.print(&b); err != nil {
			return err
		}
		t := h.indented(">HITS", "RULE", "THEN", "WHERE", "DOES")
		for _, r := range p.Rules {
			t.texts(Count(r.Hits), r.Name, word(r.Then), position(r.Position), ruleDoes(r))
		}
		t.texts(Count(p.DefaultHits), "(end)", "", "", "")
		if err := t.close(); err != nil {
			return err
		}
	}
	return nil
}

// ruleDoes is conditions and actions on one line.
func ruleDoes(r *pb.PolicyRule) string {
	match := "every route"
	if len(r.Match) > 0 {
		match = strings.Join(r.Match, "; ")
	}
	if len(r.Set) == 0 {
		return match
	}
	return match + " → " + strings.Join(r.Set, "; ")
}

// nextHopSet is what rules make of the next hop, which is not always an address:
// self, unchanged, discard.
func nextHopSet(steps []*pb.PolicyStep) (text string) {
	for _, s := range steps {
		for _, c := range s.Changes {
			if to, ok := strings.CutPrefix(c, "next_hop set to "); ok {
				text = to
			}
		}
	}
	return text
}

func (h *human) PolicyTest(m *pb.TestPolicyResponse) error {
	t := h.table("RULE", "MATCHES", "THEN", "WHERE", "WHY")
	for _, s := range m.Steps {
		matches, then := "no", ""
		if s.Matched {
			matches, then = "yes", word(s.Then)
		}
		name := s.Rule.GetRule()
		if name == "" {
			name = "(end of policy)"
		}
		var why []string
		for _, f := range s.Findings {
			why = append(why, f.Text)
		}
		t.texts(name, matches, then, position(s.Rule.GetPosition()), strings.Join(why, "; "))
	}
	if err := t.close(); err != nil {
		return err
	}
	var b strings.Builder
	if !m.Accepted {
		b.WriteString("\nrejected\n")
		return h.print(&b)
	}
	var before, after facts
	h.attributes(&before, m.Before, 0)
	after.add("Next hop", nextHopSet(m.Steps))
	h.attributes(&after, m.After, m.Weight)
	if len(after.rows) > 1 && after.rows[1][0] == after.rows[0][0] {
		after.rows = slices.Delete(after.rows, 1, 2) // what a rule says goes before what the route has
	}
	was := map[string]string{}
	for _, r := range before.rows {
		was[r[0]] = r[1]
	}
	b.WriteString("\naccepted\n")
	var f facts
	for _, r := range after.rows {
		text := r[1]
		if old, ok := was[r[0]]; !ok {
			text += "  (new)"
		} else if old != text {
			text += "  (was " + old + ")"
		}
		delete(was, r[0])
		f.add(r[0], text)
	}
	for _, r := range before.rows {
		if _, gone := was[r[0]]; gone {
			f.add(r[0], "removed  (was "+r[1]+")")
		}
	}
	f.write(&b, "  ")
	return h.print(&b)
}
