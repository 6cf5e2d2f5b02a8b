package policy

import (
	"encoding/binary"
)

// automaton decides about a pattern in time linear in the path. It is
// Glushkov's: each letter of the pattern is a state, the one that has just been
// read. All states that may be reached are followed at once, as a set of bits.
type automaton struct {
	letters [][]Range
	words   int
	first   []uint64 // letters that may begin a path
	follow  []uint64 // for each letter those that may come next, words each
	last    []uint64 // letters that may end a path
	empty   bool     // the empty path matches
}

// stateSet has room for every letter of the largest pattern.
type stateSet [maxPattern / 64]uint64

// glushkov is what is known of a part of a pattern: letters that begin it and
// end it, and whether it matches the empty path.
type glushkov struct {
	first, last []int
	empty       bool
}

func compilePattern(text string) (*automaton, error) {
	n, err := parsePattern(text)
	if err != nil {
		return nil, err
	}
	count := letters(n)
	if count > maxPattern {
		return nil, (&patternParser{text: text}).tooLarge()
	}
	a := &automaton{words: max(1, (count+63)/64)}
	a.follow = make([]uint64, count*a.words)
	a.first, a.last = make([]uint64, a.words), make([]uint64, a.words)
	g := a.build(n)
	a.empty = g.empty
	for _, i := range g.first {
		a.first[i/64] |= 1 << (i % 64)
	}
	for _, i := range g.last {
		a.last[i/64] |= 1 << (i % 64)
	}
	return a, nil
}

func letters(n *node) int {
	if n.op == opLetter {
		return 1
	}
	sum := 0
	for _, s := range n.sub {
		sum += letters(s)
	}
	return sum
}

func (a *automaton) build(n *node) glushkov {
	switch n.op {
	case opLetter:
		i := len(a.letters)
		a.letters = append(a.letters, n.as)
		return glushkov{first: []int{i}, last: []int{i}}
	case opMaybe:
		g := a.build(n.sub[0])
		g.empty = true
		return g
	case opRepeat:
		g := a.build(n.sub[0])
		a.link(g.last, g.first)
		return g
	case opEither:
		var all glushkov
		for _, s := range n.sub {
			g := a.build(s)
			all.first, all.last = append(all.first, g.first...), append(all.last, g.last...)
			all.empty = all.empty || g.empty
		}
		return all
	}
	all := glushkov{empty: true}
	for _, s := range n.sub {
		g := a.build(s)
		a.link(all.last, g.first)
		if all.empty {
			all.first = append(all.first, g.first...)
		}
		if g.empty {
			all.last = append(all.last, g.last...)
		} else {
			all.last = g.last
		}
		all.empty = all.empty && g.empty
	}
	return all
}

func (a *automaton) link(from, to []int) {
	for _, f := range from {
		for _, t := range to {
			a.follow[f*a.words+t/64] |= 1 << (t % 64)
		}
	}
}

// match reports whether the pattern is the whole of an encoded path.
func (a *automaton) match(path []byte) bool {
	var now, next stateSet
	w := a.words
	copy(next[:w], a.first)
	begun := false
	for hops := (pathHops{path: path}); hops.next(); {
		begun = true
		alive := uint64(0)
		for i := range w {
			candidates := next[i]
			now[i] = 0
			for candidates != 0 {
				bit := candidates & -candidates
				candidates ^= bit
				if hops.any(a.letters[i*64+trailing(bit)]) {
					now[i] |= bit
				}
			}
			alive |= now[i]
		}
		if alive == 0 {
			return false
		}
		clear(next[:w])
		for i := range w {
			for states := now[i]; states != 0; states &= states - 1 {
				follow := a.follow[(i*64+trailing(states))*w:][:w]
				for j, f := range follow {
					next[j] |= f
				}
			}
		}
	}
	if !begun {
		return a.empty
	}
	for i := range w {
		if now[i]&a.last[i] != 0 {
			return true
		}
	}
	return false
}

// appendKey appends what names the automaton's behaviour.
func (a *automaton) appendKey(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(a.letters)))
	for _, l := range a.letters {
		b = binary.BigEndian.AppendUint32(b, uint32(len(l)))
		for _, r := range l {
			b = binary.BigEndian.AppendUint32(b, r.Min)
			b = binary.BigEndian.AppendUint32(b, r.Max)
		}
	}
	for _, set := range [][]uint64{a.first, a.follow, a.last} {
		for _, w := range set {
			b = binary.BigEndian.AppendUint64(b, w)
		}
	}
	if a.empty {
		return append(b, 1)
	}
	return append(b, 0)
}

// A Pattern is one AS-path pattern, for questions outside of policies.
type Pattern struct{ a *automaton }

// CompilePattern reads a pattern.
func CompilePattern(text string) (*Pattern, error) {
	a, err := compilePattern(text)
	if err != nil {
		return nil, err
	}
	return &Pattern{a}, nil
}

// Match reports whether the pattern is the whole of an AS_PATH with four-byte
// AS numbers.
func (p *Pattern) Match(path []byte) bool { return p.a.match(path) }
