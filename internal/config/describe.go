package config

import (
	"fmt"
	"strings"

	"holdfast/internal/policy"
)

// Describe says what a rule matches and sets, one line each, in the words of
// the configuration.
func Describe(r *policy.Rule) (match, set []string) {
	if len(r.Match) == 1 {
		match = conditions(&r.Match[0])
	} else {
		for i := range r.Match {
			word := "or "
			if i == 0 {
				word = "either "
			}
			match = append(match, word+strings.Join(conditions(&r.Match[i]), " and "))
		}
	}
	for line := range strings.Lines(printed(setActions, &r.Set)) {
		set = append(set, strings.TrimSpace(line))
	}
	return match, set
}

// conditions are the lines of a match block.
func conditions(m *policy.Match) []string {
	var all []string
	for line := range strings.Lines(printed(matchBlock, m)) {
		all = append(all, strings.TrimSpace(line))
	}
	for i := range m.Not {
		all = append(all, fmt.Sprintf("not (%s)", strings.Join(conditions(&m.Not[i]), " and ")))
	}
	if len(all) == 0 {
		return []string{"every route"}
	}
	return all
}
