package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
)

// reader collects the configuration, and what is wrong with it, from files.
type reader struct {
	cfg     *Config
	diags   Diagnostics
	src     sources
	refused map[string][]int // file → offsets of constructs already complained about

	declared map[ref]hcl.Range
	uses     []use
	// where has the place of each argument that was given, by the address of
	// what it went to.
	where      map[any]map[string]hcl.Range
	groups     map[string]*party
	originated map[tablePrefix]*Originate
	statics    map[tablePrefix]*Static
}

// ref names something declared: kind is the block's type.
type ref struct{ kind, name string }

func (f ref) String() string {
	if hclsyntax.ValidIdentifier(f.name) {
		return f.kind + "." + f.name
	}
	return f.kind + "[" + quote(f.name) + "]"
}

// use is a reference and where it stands.
type use struct {
	ref
	at hcl.Range
}

func newReader(path string) *reader {
	return &reader{
		cfg: &Config{Path: path, policiesByName: map[string]*policy.Policy{}, Tables: []*Table{{Name: MainTable, ID: mainKernelID, Kernel: true, Metric: DefaultMetric, Multipath: oneWay}}},
		src: sources{}, refused: map[string][]int{},
		declared: map[ref]hcl.Range{}, where: map[any]map[string]hcl.Range{},
		groups: map[string]*party{}, originated: map[tablePrefix]*Originate{}, statics: map[tablePrefix]*Static{},
	}
}

func (r *reader) errorf(at hcl.Range, fix, format string, args ...any) {
	r.diags = append(r.diags, r.src.at(Diagnostic{Severity: Error, Message: fmt.Sprintf(format, args...), Fix: fix}, at))
}

func (r *reader) warnf(at hcl.Range, fix, format string, args ...any) {
	r.diags = append(r.diags, r.src.at(Diagnostic{Severity: Warning, Message: fmt.Sprintf(format, args...), Fix: fix}, at))
}

// at is the range of the n characters at a Pos.
func (r *reader) at(p Pos, n int) hcl.Range {
	at := hcl.Range{Filename: p.File, Start: hcl.Pos{Line: p.Line, Column: p.Column}}
	text := r.src[p.File]
	for n := 1; n < p.Line && text != nil; n++ {
		_, rest, _ := bytes.Cut(text[at.Start.Byte:], []byte("\n"))
		at.Start.Byte = len(text) - len(rest)
	}
	at.End = hcl.Pos{Line: p.Line, Column: p.Column + n, Byte: at.Start.Byte}
	return at
}

func pos(at hcl.Range) Pos {
	return Pos{File: at.Filename, Line: at.Start.Line, Column: at.Start.Column}
}

// What the language leaves out, by the token that gives it away.
var left = map[hclsyntax.TokenType][2]string{
	hclsyntax.TokenTemplateInterp:  {"interpolation is not part of the language", "write the text itself, or $${ for a literal ${"},
	hclsyntax.TokenTemplateControl: {"template directives are not part of the language", "write the text itself, or %%{ for a literal %{"},
	hclsyntax.TokenOHeredoc:        {"heredocs are not part of the language", "write the text in quotes"},
	hclsyntax.TokenQuestion:        {"conditionals are not part of the language", "write the value itself"},
	hclsyntax.TokenStar:            {"arithmetic is not part of the language", "write the number itself"},
	hclsyntax.TokenSlash:           {"arithmetic is not part of the language", "write the number itself; prefixes stand in quotes"},
	hclsyntax.TokenPlus:            {"arithmetic is not part of the language", "write the number itself"},
	hclsyntax.TokenMinus:           {"arithmetic and negative numbers are not part of the language", "write the number itself"},
	hclsyntax.TokenPercent:         {"arithmetic is not part of the language", "write the number itself"},
	hclsyntax.TokenEqualOp:         {"comparisons are not part of the language", "give an argument its value with a single ="},
	hclsyntax.TokenNotEqual:        {"comparisons are not part of the language", "use a not block to invert a match"},
	hclsyntax.TokenLessThan:        {"comparisons are not part of the language", "ranges stand in quotes, such as \"8-24\""},
	hclsyntax.TokenLessThanEq:      {"comparisons are not part of the language", "ranges stand in quotes, such as \"8-24\""},
	hclsyntax.TokenGreaterThan:     {"comparisons are not part of the language", "ranges stand in quotes, such as \"8-24\""},
	hclsyntax.TokenGreaterThanEq:   {"comparisons are not part of the language", "ranges stand in quotes, such as \"8-24\""},
	hclsyntax.TokenAnd:             {"boolean operators are not part of the language", "all arguments of a match block must hold"},
	hclsyntax.TokenOr:              {"boolean operators are not part of the language", "the members of a list are alternatives, and so are several match blocks"},
	hclsyntax.TokenBang:            {"boolean operators are not part of the language", "use a not block to invert a match"},
	hclsyntax.TokenEllipsis:        {"... is not part of the language", "write the values themselves"},
	hclsyntax.TokenFatArrow:        {"for expressions are not part of the language", "write the values themselves"},
}

const (
	deepest     = 32 // brackets inside brackets; the language needs 6
	mostRefused = 20 // in one file, before its parsing is given up
)

// scan refuses what the language leaves out. It works on tokens: they show
// every such place, and the parser, which is recursive, is not started on
// what nests without end.
func (r *reader) scan(tokens hclsyntax.Tokens) (ok bool) {
	refuse := func(t hclsyntax.Token, what [2]string) {
		r.refused[t.Range.Filename] = append(r.refused[t.Range.Filename], t.Range.Start.Byte)
		r.errorf(t.Range, what[1], "%s", what[0])
	}
	depth := 0
	for i, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack:
			if depth++; depth > deepest {
				r.errorf(t.Range, "close some of them", "brackets are nested more than %d deep", deepest)
				return false
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack:
			depth--
		case hclsyntax.TokenOParen:
			what := [2]string{"parentheses are not part of the language", "write the value itself"}
			if i > 0 && tokens[i-1].Type == hclsyntax.TokenIdent {
				t = tokens[i-1]
				what[0] = fmt.Sprintf("functions are not part of the language: %s()", t.Bytes)
			}
			refuse(t, what)
		case hclsyntax.TokenStar:
			what := left[t.Type]
			if i > 0 && (tokens[i-1].Type == hclsyntax.TokenDot || tokens[i-1].Type == hclsyntax.TokenOBrack) {
				what = [2]string{"* is not part of the language outside of quotes", "name what is meant"}
			}
			refuse(t, what)
		default:
			if what, bad := left[t.Type]; bad {
				refuse(t, what)
			}
		}
		if len(r.refused[t.Range.Filename]) >= mostRefused {
			return false
		}
	}
	return true
}

// parse reads the syntax of one file; nil if it makes no sense.
func (r *reader) parse(name string, text []byte) *hclsyntax.Body {
	r.src[name] = text
	start := hcl.Pos{Line: 1, Column: 1}
	tokens, _ := hclsyntax.LexConfig(text, name, start)
	if !r.scan(tokens) {
		return nil
	}
	f, diags := hclsyntax.ParseConfig(text, name, start)
	for _, d := range diags {
		if d.Subject == nil || len(r.refused[name]) > 0 {
			continue // what follows from a refused construct would only confuse
		}
		if own, ok := plainer[d.Summary]; ok {
			r.errorf(*d.Subject, own[1], "%s", own[0])
		} else {
			r.errorf(*d.Subject, lowerFirst(strings.TrimSuffix(d.Detail, ".")), "%s", lowerFirst(d.Summary))
		}
		if d.Summary == "Invalid multi-line string" {
			break // from here on, what is a string and what is not is turned around
		}
	}
	if diags.HasErrors() {
		return nil
	}
	body, _ := f.Body.(*hclsyntax.Body)
	return body
}

// plainer says in the words of this language what HCL says about its own.
var plainer = map[string][2]string{
	"Invalid multi-line string":                {"a string does not end on its line", `add the closing "`},
	"Unclosed configuration block":             {"this block is not closed", "add its }"},
	"Argument definition required":             {"a block on one line cannot have another block inside", "give the inner block its own line"},
	"Invalid block definition":                 {"a block does not begin like this", `write its type, its name in quotes if it has one, and a { on the same line`},
	"Argument or block definition required":    {"this is neither an argument nor a block", `an argument is name = value, a block TYPE "NAME" { … }`},
	"Invalid argument name":                    {"the name of an argument has no quotes", `write name = value; the members of a list stand in brackets: name = ["…", "…"]`},
	"Missing newline after argument":           {"an argument ends with its line", `give each its own line; text stands in quotes, and several values in brackets: ["…", "…"]`},
	"Missing item separator":                   {"a list goes on without a comma, or has no end", `put a comma between its members, and a ] behind the last`},
	"Invalid number literal":                   {"this is no number", `addresses and prefixes stand in quotes: "192.0.2.9"`},
	"Invalid expression":                       {"here is no value", `write one behind the =, text in quotes`},
	"Invalid single-argument block definition": {"a block on one line can have one argument only", "give each argument its own line, and the closing brace too"},
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		return strings.ToLower(s[:1]) + s[1:]
	}
	return s
}

// wasRefused reports whether scan has complained about something inside.
func (r *reader) wasRefused(at hcl.Range) bool {
	return slices.ContainsFunc(r.refused[at.Filename], func(b int) bool {
		return at.Start.Byte <= b && b < at.End.Byte
	})
}

// schema is what a block may have inside. T is what it is read into.
type schema[T any] struct {
	arguments []argument[T]
	blocks    []nested[T]
}

// argument is a "name = value". Its read puts the value into to; its write
// gives the value's text, "" when there is none.
type argument[T any] struct {
	name     string
	required string // says an example of what is missing; "" if it may be
	read     func(v value, to *T)
	write    func(from *T) string
	inherit  func(to, from *T) // takes over what to has not; nil where nothing inherits
}

// nested is a block inside a block.
type nested[T any] struct {
	name  string
	once  bool
	label string // example of its name, "" if it has none
	first bool   // printed before the arguments
	read  func(r *reader, b *hclsyntax.Block, to *T)
	write func(p *printer, from *T)
}

func (s schema[T]) names() []string {
	var all []string
	for _, a := range s.arguments {
		all = append(all, a.name)
	}
	return all
}

func (s schema[T]) blockNames() []string {
	var all []string
	for _, b := range s.blocks {
		all = append(all, b.name)
	}
	return all
}

// decode reads a block into to. what names the block for people, head is where
// it begins.
func decode[T any](r *reader, s schema[T], what string, head hcl.Range, body *hclsyntax.Body, to *T) {
	given := map[string]hcl.Range{}
	r.where[to] = given
	attrs := make([]*hclsyntax.Attribute, 0, len(body.Attributes))
	for _, a := range body.Attributes {
		attrs = append(attrs, a)
	}
	slices.SortFunc(attrs, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	for _, a := range attrs {
		i := slices.IndexFunc(s.arguments, func(k argument[T]) bool { return k.name == a.Name })
		if i < 0 {
			fix := ""
			if b := slices.IndexFunc(s.blocks, func(k nested[T]) bool { return k.name == a.Name }); b >= 0 {
				fix = fmt.Sprintf("%s is a block: write %s { … } without =", a.Name, strings.TrimSpace(a.Name+" "+s.blocks[b].label))
			} else {
				fix = r.known(a.Name, s.names(), "arguments")
			}
			r.errorf(a.NameRange, fix, "%s has no argument %s", what, quote(a.Name))
			continue
		}
		given[a.Name] = a.SrcRange
		s.arguments[i].read(value{r, a.Expr, a.Name}, to)
	}
	for _, a := range s.arguments {
		if _, ok := given[a.name]; !ok && a.required != "" {
			r.errorf(head, "add "+a.required, "%s has no %s", what, a.name)
		}
	}
	seen := map[string]hcl.Range{}
	for _, b := range body.Blocks {
		i := slices.IndexFunc(s.blocks, func(k nested[T]) bool { return k.name == b.Type })
		if i < 0 {
			fix := ""
			if slices.Contains(s.names(), b.Type) {
				fix = fmt.Sprintf("%s is an argument: write %s = …", b.Type, b.Type)
			} else {
				fix = r.known(b.Type, s.blockNames(), "blocks")
			}
			r.errorf(b.TypeRange, fix, "%s has no block %s", what, quote(b.Type))
			continue
		}
		if first, ok := seen[b.Type]; ok && s.blocks[i].once {
			r.errorf(b.TypeRange, "put everything into one block", "%s has a second block %s; the first is at line %d", what, b.Type, first.Start.Line)
			continue
		}
		seen[b.Type] = b.TypeRange
		s.blocks[i].read(r, b, to)
	}
}

// known says what was probably meant, or else what there is.
func (r *reader) known(given string, names []string, plural string) string {
	if s := suggest(given, names); s != "" {
		return "did you mean " + quote(s) + "?"
	}
	if len(names) == 0 {
		return "it can have no " + plural
	}
	if len(names) > 12 {
		return "docs/configuration.md lists its " + plural
	}
	return "its " + plural + " are " + strings.Join(names, ", ")
}

// label is the name of a block that has one.
func (r *reader) label(b *hclsyntax.Block) (string, bool) {
	switch {
	case len(b.Labels) == 0:
		r.errorf(b.TypeRange, fmt.Sprintf("write %s \"NAME\" { … }", b.Type), "%s has no name", b.Type)
		return "", false
	case len(b.Labels) > 1:
		r.errorf(b.LabelRanges[1], "remove it", "%s has one name only", b.Type)
		return "", false
	}
	name := b.Labels[0]
	bad := strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f || c == '\uFFFD' })
	if name == "" || bad || len(name) > 255 || strings.TrimSpace(name) != name {
		r.errorf(b.LabelRanges[0], "give it 1 to 255 visible characters, without spaces at the ends",
			"%s is no name", quote(name))
		return "", false
	}
	return name, true
}

// unlabeled makes sure that a block has no name.
func (r *reader) unlabeled(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		r.errorf(b.LabelRanges[0], "remove it", "%s has no name", b.Type)
	}
}

// declare enters the name of a block into the table of names.
func (r *reader) declare(b *hclsyntax.Block) (string, bool) {
	name, ok := r.label(b)
	if !ok {
		return "", false
	}
	f := ref{b.Type, name}
	if f.isBuiltin() {
		r.errorf(b.LabelRanges[0], "give it another name; docs/policy.md lists the built-in sets, which need no declaration",
			"names that begin with %s are those of built-in sets", reserved)
		return "", false
	}
	if first, twice := r.declared[f]; twice {
		r.errorf(b.LabelRanges[0], "rename or remove one of them", "%s %s is already declared at %s", b.Type, quote(name), pos(first))
		return "", false
	}
	r.declared[f] = b.LabelRanges[0]
	return name, true
}
