package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// The language of AS-path patterns. Its letters are AS numbers, not digits:
//
//	65001        this AS
//	.            any AS
//	[1-9 23456]  one of these; [^ … ] any other
//	a b          one behind the other (neighbor first, origin last)
//	a | b        either
//	( … )        grouping
//	* + ? {2} {2,} {2,5}   how often what stands before it
//
// A pattern is about the whole path; ^ and $ may be written and change nothing.
// With one of them alone the other end would mean two things, and so must be
// .*. An AS_SET is one letter, which is each of its members.

const (
	maxPattern = 1024 // letters after {n,m} is written out
	maxNesting = 64
)

// node is a part of a parsed pattern.
type node struct {
	op   nodeOp
	sub  []*node
	as   []Range // of a letter
	size int     // nodes in it, itself included
}

type nodeOp uint8

const (
	opLetter nodeOp = iota
	opSequence
	opEither
	opMaybe  // ?
	opRepeat // +
)

func newNode(op nodeOp, sub ...*node) *node {
	n := &node{op: op, sub: sub, size: 1}
	for _, s := range sub {
		n.size += s.size
	}
	return n
}

type patternParser struct {
	text string
	at   int
}

func (p *patternParser) fail(format string, args ...any) error {
	return fmt.Errorf("AS-path pattern %q, at character %d: %s", p.text, p.at+1, fmt.Sprintf(format, args...))
}

// peek is the next character behind blanks, 0 at the end.
func (p *patternParser) peek() byte {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
	if p.at == len(p.text) {
		return 0
	}
	return p.text[p.at]
}

func (p *patternParser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.at++
	return true
}

func parsePattern(text string) (*node, error) {
	p := &patternParser{text: text}
	if p.peek() == 0 {
		return nil, errors.New("an AS-path pattern is empty: write ^$ for the empty path, .* for any")
	}
	n, err := p.either(0)
	if err != nil {
		return nil, err
	}
	if c := p.peek(); c != 0 {
		return nil, p.fail("there is no ( before this )")
	}
	return n, nil
}

func (p *patternParser) either(depth int) (*node, error) {
	if depth > maxNesting {
		return nil, p.fail("more than %d parentheses in each other", maxNesting)
	}
	var sub []*node
	for {
		n, err := p.sequence(depth)
		if err != nil {
			return nil, err
		}
		sub = append(sub, n)
		if !p.take('|') {
			break
		}
	}
	if len(sub) == 1 {
		return sub[0], nil
	}
	return newNode(opEither, sub...), nil
}

// anchored refuses what elsewhere means "begins with" and "ends with".
func (p *patternParser) anchored(body string, begun, ended bool) error {
	switch {
	case begun && !ended && !strings.HasSuffix(body, ".*"):
		return p.fail("a pattern describes the whole path: write %s .* for paths that begin so, or %s for this path alone", body, body)
	case ended && !begun && !strings.HasPrefix(body, ".*"):
		return p.fail("a pattern describes the whole path: write .* %s for paths that end so, or %s for this path alone", body, body)
	}
	return nil
}

func (p *patternParser) sequence(depth int) (*node, error) {
	var sub []*node
	begun := depth == 0 && p.take('^')
	start := p.at
	ended := false
	size := 0
	for {
		var n *node
		var err error
		switch c := p.peek(); {
		case c == 0 || c == '|' || c == ')':
			if err := p.anchored(strings.Trim(p.text[start:p.at], " \t$"), begun, ended); err != nil {
				return nil, err
			}
			if len(sub) == 1 {
				return sub[0], nil
			}
			return newNode(opSequence, sub...), nil
		case c == '$' && depth == 0:
			p.at++
			ended = true
			if c := p.peek(); c != 0 && c != '|' {
				return nil, p.fail("nothing can follow $")
			}
			continue
		case c == '(':
			p.at++
			if n, err = p.either(depth + 1); err == nil && !p.take(')') {
				err = p.fail("a ) is missing")
			}
		default:
			n, err = p.letter(c)
		}
		if err == nil {
			n, err = p.often(n)
		}
		if err != nil {
			return nil, err
		}
		if size += n.size; size > maxPattern {
			return nil, p.tooLarge()
		}
		sub = append(sub, n)
	}
}

func (p *patternParser) tooLarge() error {
	return fmt.Errorf("AS-path pattern %q is too large with its repetitions written out: %d AS numbers are the limit", p.text, maxPattern)
}

func (p *patternParser) letter(c byte) (*node, error) {
	switch {
	case c == '.':
		p.at++
		return &node{as: []Range{{0, math.MaxUint32}}, size: 1}, nil
	case c == '[':
		p.at++
		not := p.take('^')
		var as []Range
		for !p.take(']') {
			r, err := p.asRange()
			if err != nil {
				return nil, err
			}
			as = append(as, r)
			p.take(',')
		}
		as = mergeRanges(as)
		if not {
			as = complement(as)
		}
		if len(as) == 0 {
			return nil, p.fail("these brackets stand for no AS at all")
		}
		return &node{as: as, size: 1}, nil
	case c >= '0' && c <= '9':
		asn, err := p.asn()
		return &node{as: []Range{{asn, asn}}, size: 1}, err
	case c == '_':
		return nil, p.fail("numbers are whole AS numbers here: leave _ out, and write .* 65001 .* for paths with AS 65001")
	case c == '*' || c == '+' || c == '?' || c == '{':
		return nil, p.fail("there is nothing before %c to repeat: . is any AS", c)
	case c == '^' || c == '$':
		return nil, p.fail("%c can only stand at an end of the pattern", c)
	}
	return nil, p.fail("%q is neither an AS number nor one of . [ ] ( ) | * + ? {}", p.text[p.at])
}

func (p *patternParser) asn() (uint32, error) {
	p.peek()
	from := p.at
	for p.at < len(p.text) && (p.text[p.at] >= '0' && p.text[p.at] <= '9') {
		p.at++
	}
	n, ok := number(p.text[from:p.at], math.MaxUint32)
	if !ok {
		p.at = from
		return 0, p.fail("an AS number is expected here")
	}
	return uint32(n), nil
}

func (p *patternParser) asRange() (Range, error) {
	lo, err := p.asn()
	if err != nil || !p.take('-') {
		return Range{lo, lo}, err
	}
	hi, err := p.asn()
	if err == nil && hi < lo {
		err = p.fail("the range %d-%d is empty", lo, hi)
	}
	return Range{lo, hi}, err
}

// complement is all other numbers.
func complement(as []Range) []Range {
	var out []Range
	next := uint64(0)
	for _, r := range as {
		if uint64(r.Min) > next {
			out = append(out, Range{uint32(next), r.Min - 1})
		}
		next = uint64(r.Max) + 1
	}
	if next <= math.MaxUint32 {
		out = append(out, Range{uint32(next), math.MaxUint32})
	}
	return out
}

// repeat and maybe leave alone what is so already, or many signs in a row would
// make much work.
func repeat(n *node) *node {
	if n.op == opRepeat || n.op == opMaybe && n.sub[0].op == opRepeat {
		return n
	}
	return newNode(opRepeat, n)
}

func maybe(n *node) *node {
	if n.op == opMaybe {
		return n
	}
	return newNode(opMaybe, n)
}

// often reads what stands behind a part: * + ? and braces.
func (p *patternParser) often(n *node) (*node, error) {
	for {
		switch p.peek() {
		case '*':
			n = maybe(repeat(n))
		case '+':
			n = repeat(n)
		case '?':
			n = maybe(n)
		case '{':
			end := strings.IndexByte(p.text[p.at:], '}')
			if end < 0 {
				return nil, p.fail("a } is missing")
			}
			from, to, ranged := strings.Cut(p.text[p.at+1:p.at+end], ",")
			lo, ok := number(strings.TrimSpace(from), maxPattern)
			hi := lo
			open := ranged && strings.TrimSpace(to) == ""
			if ranged && !open && ok {
				hi, ok = number(strings.TrimSpace(to), maxPattern)
			}
			if !ok || hi < lo {
				return nil, p.fail("write {2}, {2,} or {2,5}, up to %d", maxPattern)
			}
			if (int(hi)+1)*(n.size+1) > maxPattern*2 {
				return nil, p.tooLarge()
			}
			n = times(n, int(lo), int(hi), open)
			p.at += end
		default:
			return n, nil
		}
		p.at++
		if n.size > maxPattern*4 {
			return nil, p.tooLarge()
		}
	}
}

// times writes a repetition out: n{2,4} is n n (n (n)?)?.
func times(n *node, lo, hi int, open bool) *node {
	sub := slices.Repeat([]*node{n}, lo)
	switch {
	case open && lo == 0:
		sub = []*node{maybe(repeat(n))}
	case open:
		sub[lo-1] = repeat(n)
	case hi > lo:
		var tail *node
		for range hi - lo {
			if tail == nil {
				tail = newNode(opMaybe, n)
			} else {
				tail = newNode(opMaybe, newNode(opSequence, n, tail))
			}
		}
		sub = append(sub, tail)
	}
	return newNode(opSequence, sub...)
}
