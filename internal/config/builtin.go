package config

import (
	"embed"
	"path"
	"strings"

	"holdfast/internal/policy"
)

// reserved is how the names of built-in sets begin. No other set may have such
// a name, so that later versions can bring more of them.
const reserved = "builtin-"

// builtinTexts are the built-in sets: an entry a line, and behind # why it is
// there. docs/policy.md has the same lists, and what each version changed.
//
//go:embed builtin/*.txt
var builtinTexts embed.FS

// builtin reads the built-in sets. A file NAME.txt is the set builtin-NAME, and
// its lines are the places builtin:NAME:1 and so on.
func (r *reader) builtin() {
	r.cfg.builtinPrefixes = readBuiltin(prefixSets, (*policy.PrefixSet).Note, "bogons", "bad-lengths")
	r.cfg.builtinASNs = readBuiltin(asSets, (*policy.ASSet).Note, "bogon-asns")
}

// BogonASNs is as_set.builtin-bogon-asns.
func (c *Config) BogonASNs() *policy.ASSet { return asSets.find(c, reserved+"bogon-asns") }

func readBuiltin[S any](k setKind[S], note func(*S, Pos, string), names ...string) []*Set[S] {
	var all []*Set[S]
	for _, name := range names {
		file := "builtin:" + name
		text, err := builtinTexts.ReadFile(path.Join("builtin", name+".txt"))
		s := &Set[S]{Name: reserved + name, Pos: Pos{File: file}, Set: k.create(reserved+name, Pos{File: file})}
		if err == nil {
			err = k.read(s.Set, strings.NewReader(string(text)), file)
		}
		if err != nil {
			panic("BUG: built-in set " + name + ": " + err.Error())
		}
		n := 0
		for line := range strings.Lines(string(text)) {
			n++
			if _, why, ok := strings.Cut(line, "#"); ok {
				note(s.Set, Pos{File: file, Line: n}, strings.TrimSpace(why))
			}
		}
		all = append(all, s)
	}
	return all
}

// isBuiltin reports whether a name is that of a set that holdfast brings, or
// may bring one day.
func (f ref) isBuiltin() bool {
	return strings.HasSuffix(f.kind, "_set") && strings.HasPrefix(f.name, reserved)
}
