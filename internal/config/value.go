package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// value is the right side of an argument, or an element of its list.
type value struct {
	*reader
	expr hclsyntax.Expression
	name string // of the argument
}

func (v value) at() hcl.Range { return v.expr.Range() }

// fail says what is wrong with the value.
func (v value) fail(fix, format string, args ...any) {
	if !v.wasRefused(v.at()) {
		v.errorf(v.at(), fix, format, args...)
	}
}

// want says that the value is of the wrong kind.
func (v value) want(what, example string) {
	fix := ""
	if example != "" {
		fix = "write " + v.name + " = " + example
	}
	v.fail(fix, "%s wants %s, not %s", v.name, what, v.describe())
}

// describe says what kind of value was written.
func (v value) describe() string {
	switch e := v.expr.(type) {
	case *hclsyntax.TemplateExpr:
		if s, ok := v.text(); ok {
			return "the string " + quote(s)
		}
		return "a string"
	case *hclsyntax.LiteralValueExpr:
		switch {
		case e.Val.IsNull():
			return "null"
		case e.Val.Type() == cty.Bool:
			return strconv.FormatBool(e.Val.True())
		case e.Val.Type() == cty.Number:
			return "the number " + e.Val.AsBigFloat().Text('g', 12)
		}
	case *hclsyntax.TupleConsExpr:
		return "a list"
	case *hclsyntax.ObjectConsExpr:
		return "an object"
	case *hclsyntax.ForExpr:
		return "a for expression, which is not part of the language"
	case *hclsyntax.ScopeTraversalExpr:
		if len(e.Traversal) == 1 {
			return "the word " + e.Traversal.RootName()
		}
		return "a reference"
	}
	return "an expression, which is not part of the language"
}

// text is the value as a literal string, without complaint.
func (v value) text() (string, bool) {
	t, ok := v.expr.(*hclsyntax.TemplateExpr)
	if !ok {
		return "", false
	}
	var b strings.Builder
	for _, p := range t.Parts {
		l, ok := p.(*hclsyntax.LiteralValueExpr)
		if !ok || l.Val.IsNull() || l.Val.Type() != cty.String {
			return "", false
		}
		b.WriteString(l.Val.AsString())
	}
	return b.String(), true
}

// bare is the value as a bare word or a string: what people mean when they
// forget the quotes.
func (v value) bare() (string, bool) {
	if t, ok := v.expr.(*hclsyntax.ScopeTraversalExpr); ok && len(t.Traversal) == 1 {
		return t.Traversal.RootName(), true
	}
	return "", false
}

func (v value) str(what, example string) (string, bool) {
	if s, ok := v.text(); ok {
		return s, true
	}
	if w, ok := v.bare(); ok {
		v.fail("write "+v.name+" = "+quote(w), "%s wants %s in quotes", v.name, strings.TrimSuffix(what, " in quotes"))
	} else {
		v.want(what, example)
	}
	return "", false
}

// integer is a whole number in range, without complaint.
func (v value) integer() (uint64, bool) {
	l, ok := v.expr.(*hclsyntax.LiteralValueExpr)
	if !ok || l.Val.IsNull() || l.Val.Type() != cty.Number {
		return 0, false
	}
	f := l.Val.AsBigFloat()
	if !f.IsInt() {
		return 0, false
	}
	n, accuracy := f.Uint64()
	return n, accuracy == 0
}

func (v value) number(low, high uint64) (uint64, bool) {
	n, ok := v.integer()
	if !ok {
		if s, isText := v.text(); isText {
			if _, err := strconv.ParseUint(s, 10, 64); err == nil {
				v.fail("write "+v.name+" = "+s, "%s wants a number without quotes", v.name)
				return 0, false
			}
		}
		v.want(fmt.Sprintf("a whole number from %d to %d", low, high), "")
		return 0, false
	}
	if n < low || n > high {
		v.fail("", "%s wants a whole number from %d to %d, not %d", v.name, low, high, n)
		return 0, false
	}
	return n, true
}

// elements are the members of a list; a value that is no list is its only one.
func (v value) elements() []value {
	t, ok := v.expr.(*hclsyntax.TupleConsExpr)
	if !ok {
		return []value{v}
	}
	all := make([]value, len(t.Exprs))
	for i, e := range t.Exprs {
		all[i] = value{v.reader, e, v.name}
	}
	return all
}

// reference is the value as kind.name or kind["name"], without complaint.
func (v value) reference() (ref, bool) {
	t, ok := v.expr.(*hclsyntax.ScopeTraversalExpr)
	if !ok || len(t.Traversal) != 2 {
		return ref{}, false
	}
	switch step := t.Traversal[1].(type) {
	case hcl.TraverseAttr:
		return ref{t.Traversal.RootName(), step.Name}, true
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && !step.Key.IsNull() {
			return ref{t.Traversal.RootName(), step.Key.AsString()}, true
		}
	}
	return ref{}, false
}

// name of a declared block of the given kind, as a reference.
func (v value) refTo(kind string) (string, bool) {
	f, ok := v.reference()
	if ok && f.kind == kind {
		v.use(f)
		return f.name, true
	}
	if s, isText := v.text(); isText {
		f := ref{kind, strings.TrimPrefix(s, kind+".")}
		v.fail("write "+v.name+" = "+f.String(), "%s wants a reference, which has no quotes", v.name)
	} else if w, isBare := v.bare(); isBare {
		v.fail("write "+v.name+" = "+ref{kind, w}.String(), "%s wants a reference, and %s does not say to what", v.name, w)
	} else if ok {
		v.fail("write "+v.name+" = "+kind+".NAME", "%s wants a %s, and %s is a %s", v.name, kind, f, f.kind)
	} else {
		v.want("a reference", kind+".NAME")
	}
	return "", false
}

// use notes a reference, which is looked up when everything has been read.
func (v value) use(f ref) { v.uses = append(v.uses, use{f, v.at()}) }

// quote writes a string as HCL does.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < ' ' || c == 0x7f:
			fmt.Fprintf(&b, `\u%04x`, c)
		case (c == '$' || c == '%') && strings.HasPrefix(s[i+1:], "{"):
			b.WriteRune(c)
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
