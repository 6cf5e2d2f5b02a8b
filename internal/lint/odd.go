package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/config"
	"holdfast/internal/prefix"
)

// oddity is what a neighbor lacks and its like have.
type oddity struct {
	n    *config.Neighbor
	what string
}

const (
	theRole     = "local_role"
	thePassword = "password_file"
)

func limitOf(f prefix.Family) string { return "max_prefixes for " + f.String() }

// oddOnes compares neighbors that should be alike: those of a group, and those
// without a group with all that have their role.
func (l *linter) oddOnes() {
	for _, g := range l.cfg.Groups {
		members := l.members(g.Name)
		l.compare(members, members, fmt.Sprintf("of group %q", g.Name))
	}
	for r := config.RoleProvider; r <= config.RolePeer; r++ {
		var alike, single []*config.Neighbor
		for _, n := range l.all {
			if l.outside(n) && n.Transport.Role == r {
				alike = append(alike, n)
				if n.Group == "" {
					single = append(single, n)
				}
			}
		}
		l.compare(alike, single, fmt.Sprintf("with local_role = %q", r))
	}
}

// most is the value that nearly all have: three at least, and all but a quarter
// at most.
func most(values map[*config.Neighbor]string) string {
	counts := map[string]int{}
	for _, v := range values {
		counts[v]++
	}
	for v, n := range counts {
		if n >= 3 && len(values)-n <= len(values)/4 {
			return v
		}
	}
	return ""
}

// compare names those of some that lack what nearly all of their like have.
func (l *linter) compare(alike, some []*config.Neighbor, which string) {
	lacks := map[*config.Neighbor][]string{}
	lack := func(n *config.Neighbor, what string) {
		lacks[n] = append(lacks[n], what)
		l.odd[oddity{n, what}] = true
	}
	has := func(what string, among []*config.Neighbor, has func(*config.Neighbor) bool) {
		values := map[*config.Neighbor]string{}
		for _, n := range among {
			values[n] = strconv.FormatBool(has(n))
		}
		if most(values) == "true" {
			for _, n := range some {
				if values[n] == "false" {
					lack(n, "no "+what)
				}
			}
		}
	}
	for f := range prefix.Family(prefix.Families) {
		with := slices.DeleteFunc(slices.Clone(alike), func(n *config.Neighbor) bool { return !n.Transport.Families[f] })
		l.compareImports(with, some, f, lack)
		has("export policy for "+f.String(), with, func(n *config.Neighbor) bool { return len(n.Families[f].Export) > 0 })
		has(limitOf(f), with, func(n *config.Neighbor) bool { return l.limited(n, f) })
	}
	has(thePassword, alike, func(n *config.Neighbor) bool { return n.Transport.Password.Reveal() != "" })
	has(theRole, alike, func(n *config.Neighbor) bool { return !l.outside(n) || l.hasRole(n) })
	for _, n := range some {
		if len(lacks[n]) > 0 {
			who, _ := names([]*config.Neighbor{n})
			what := fmt.Sprintf("%s is the odd one among the %d %s: %s", who, len(alike), which, strings.Join(lacks[n], "; "))
			l.say(finding{kind: oddOne, at: n.Pos}, key{oddOne, what, n.Pos}, n, what)
		}
	}
}

// compareImports goes by what import policies do, where there are any: others
// may be just as strict.
func (l *linter) compareImports(alike, some []*config.Neighbor, f prefix.Family, lack func(*config.Neighbor, string)) {
	imports := map[*config.Neighbor]string{}
	for _, n := range alike {
		imports[n] = strings.Join(n.Families[f].Import, ", ")
	}
	usual := most(imports)
	if usual == "" {
		return
	}
	like := alike[slices.IndexFunc(alike, func(n *config.Neighbor) bool { return imports[n] == usual })]
	for _, n := range some {
		switch given, compared := imports[n]; {
		case !compared || given == usual:
		case given == "":
			lack(n, "no import policy for "+f.String())
		default:
			if x, laxer := l.laxer(n, like, f); laxer {
				lack(n, fmt.Sprintf("its import policy %s accepts %s, which that of the others, %s, rejects", given, x, usual))
			}
		}
	}
}

// laxer finds a route that a neighbor's import policy accepts and that of
// another one rejects.
func (l *linter) laxer(n, than *config.Neighbor, f prefix.Family) (prefix.Prefix, bool) {
	p, q := l.importOf(n, f), l.importOf(than, f)
	if p == nil || q == nil {
		return prefix.Prefix{}, false
	}
	tried := []prefix.Prefix{prefix.New(f, 0, 0, 0)}
	for _, b := range bogons[f] {
		tried = append(tried, b.routes...)
	}
	for _, x := range usual[f] {
		tried = append(tried, x, parts(x)[len(parts(x))-1])
	}
	for _, x := range tried {
		mine, _ := p.accepts(x, n.Transport.ASN, someASN)
		theirs, _ := q.accepts(x, than.Transport.ASN, someASN)
		if mine && !theirs && (n.Prefixes == nil || !n.Prefixes.Contains(x)) {
			return x, true
		}
	}
	return prefix.Prefix{}, false
}
