package config

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"holdfast/internal/policy"
)

// codec reads and writes values of one kind.
type codec[V any] struct {
	read  func(v value) (V, bool)
	write func(V) string
}

// optional is an argument whose absence is nil.
func optional[T, V any](name string, c codec[V], field func(*T) **V) argument[T] {
	return argument[T]{
		name: name,
		read: func(v value, to *T) {
			if x, ok := c.read(v); ok {
				*field(to) = &x
			}
		},
		write: func(from *T) string {
			if x := *field(from); x != nil {
				return c.write(*x)
			}
			return ""
		},
		inherit: func(to, from *T) {
			if *field(to) == nil {
				*field(to) = *field(from)
			}
		},
	}
}

// plain is an argument that goes straight into a field, which has its default
// before. It is always printed, unless unset says that there is nothing.
func plain[T, V any](name string, c codec[V], field func(*T) *V, unset func(V) bool) argument[T] {
	return argument[T]{
		name: name,
		read: func(v value, to *T) {
			if x, ok := c.read(v); ok {
				*field(to) = x
			}
		},
		write: func(from *T) string {
			x := *field(from)
			if unset != nil && unset(x) {
				return ""
			}
			return c.write(x)
		},
	}
}

// required makes an argument one that must be there.
func required[T any](a argument[T], example string) argument[T] {
	a.required = a.name + " = " + example
	return a
}

func isZero[V comparable](v V) bool {
	var zero V
	return v == zero
}

var boolean = codec[bool]{
	read: func(v value) (bool, bool) {
		if l, ok := v.expr.(*hclsyntax.LiteralValueExpr); ok && !l.Val.IsNull() && l.Val.Type() == cty.Bool {
			return l.Val.True(), true
		}
		switch s, _ := v.text(); s {
		case "true", "false":
			v.fail("write "+v.name+" = "+s, "%s wants true or false without quotes", v.name)
		case "no", "off":
			v.want("true or false", "false")
		default:
			v.want("true or false", "true")
		}
		return false, false
	},
	write: strconv.FormatBool,
}

// text is a string of limited length in bytes.
func text(most int) codec[string] {
	return codec[string]{
		read: func(v value) (string, bool) {
			s, ok := v.str("a string", `"…"`)
			if ok && len(s) > most {
				v.fail("shorten it", "%s has %d bytes, and %d is the limit", v.name, len(s), most)
				return "", false
			}
			return s, ok
		},
		write: quote,
	}
}

func number[V ~uint8 | ~uint16 | ~uint32](low, high V) codec[V] {
	return codec[V]{
		read: func(v value) (V, bool) {
			n, ok := v.number(uint64(low), uint64(high))
			return V(n), ok
		},
		write: func(n V) string { return strconv.FormatUint(uint64(n), 10) },
	}
}

// asNumber refuses the numbers that no router may have.
var asNumber = codec[uint32]{
	read: func(v value) (uint32, bool) {
		word, ok := v.bare()
		if !ok {
			word, _ = v.text()
		}
		if n, err := policy.ParseASN(word); err == nil && word != strconv.FormatUint(uint64(n), 10) { // AS64500, "1.10"
			v.fail(fmt.Sprintf("write %s = %d", v.name, n), "%s wants a number, not %s", v.name, v.describe())
			return 0, false
		}
		n, ok := v.number(1, math.MaxUint32)
		switch {
		case !ok:
		case n == 23456:
			// RFC 6793 section 9
			v.fail("write the real number, which is larger than 65535", "AS 23456 only stands in for larger numbers on old routers")
			return 0, false
		case n == 65535 || n == math.MaxUint32:
			v.fail("use a number that is yours, or a private one: 64512 to 65534, 4200000000 to 4294967294", "AS %d is reserved (RFC 7300)", n)
			return 0, false
		}
		return uint32(n), ok
	},
	write: func(n uint32) string { return strconv.FormatUint(uint64(n), 10) },
}

// choice is one of some words; the value is the word's index.
func choice[V ~uint8](words ...string) codec[V] {
	return codec[V]{
		read: func(v value) (V, bool) {
			s, ok := v.str("one of "+quoteAll(words), quote(words[0]))
			if !ok {
				return 0, false
			}
			i := slices.Index(words, s)
			if i < 0 {
				fix := "it is one of " + quoteAll(words)
				if near := suggest(s, words); near != "" {
					fix = "did you mean " + quote(near) + "?"
				}
				v.fail(fix, "%s cannot be %s", v.name, quote(s))
				return 0, false
			}
			return V(i), true
		},
		write: func(i V) string { return quote(words[i]) },
	}
}

func quoteAll(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(w))
	}
	return b.String()
}

// duration is whole seconds, "90s" or "1m30s".
func duration(low, high time.Duration) codec[time.Duration] {
	return durationIn(time.Second, "seconds", "90s", low, high, seconds)
}

// milliseconds is a duration of whole milliseconds, "300ms" or "1s".
func milliseconds(low, high time.Duration) codec[time.Duration] {
	return durationIn(time.Millisecond, "milliseconds", "300ms", low, high, time.Duration.String)
}

// durationIn is a duration of whole units.
func durationIn(unit time.Duration, units, example string, low, high time.Duration, write func(time.Duration) string) codec[time.Duration] {
	return codec[time.Duration]{
		read: func(v value) (time.Duration, bool) {
			if n, ok := v.integer(); ok {
				v.fail(fmt.Sprintf("write %s = \"%d%s\"", v.name, n, strings.TrimLeft(unit.String(), "1")), "%s needs a unit", v.name)
				return 0, false
			}
			s, ok := v.str("a duration", quote(example))
			if !ok {
				return 0, false
			}
			d, err := time.ParseDuration(s)
			switch {
			case err != nil:
				v.fail("write it like "+quote(example)+" or "+quote("1m30s"), "%s is no duration", quote(s))
			case d%unit != 0:
				v.fail("round it", "%s counts in whole %s, not %s", v.name, units, s)
			case d < low || d > high:
				v.fail("", "%s must be from %s to %s, not %s", v.name, write(low), write(high), s)
			default:
				return d, true
			}
			return 0, false
		},
		write: func(d time.Duration) string { return quote(write(d)) },
	}
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// list reads one value or a list of them.
func list[V any](c codec[V]) codec[[]V] {
	return codec[[]V]{
		read: func(v value) ([]V, bool) {
			all, good := []V{}, true
			for _, e := range v.elements() {
				x, ok := c.read(e)
				all, good = append(all, x), good && ok
			}
			return all, good
		},
		write: func(all []V) string {
			texts := make([]string, len(all))
			for i, x := range all {
				texts[i] = c.write(x)
			}
			return bracketed(texts)
		},
	}
}

// bracketed writes a list, a long one with a line for each member.
func bracketed(all []string) string {
	short := strings.Join(all, ", ")
	if len(short) <= 80 {
		return "[" + short + "]"
	}
	return "[\n" + strings.Join(all, ",\n") + ",\n]"
}

// chain is one policy or several, in order.
func refs(kind string) codec[[]string] {
	names := list(codec[string]{
		read:  func(v value) (string, bool) { return v.refTo(kind) },
		write: func(s string) string { return ref{kind, s}.String() },
	})
	return codec[[]string]{
		read: names.read,
		write: func(all []string) string {
			if len(all) == 1 {
				return ref{kind, all[0]}.String()
			}
			return names.write(all)
		},
	}
}

// one is a reference to one block.
func one(kind string) codec[string] {
	return codec[string]{
		read:  func(v value) (string, bool) { return v.refTo(kind) },
		write: func(s string) string { return ref{kind, s}.String() },
	}
}

// address is an IP address without zone.
var address = codec[netip.Addr]{
	read: func(v value) (netip.Addr, bool) {
		s, ok := v.str("an IP address", `"192.0.2.1"`)
		if !ok {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil:
			v.fail(`write it like "192.0.2.1" or "2001:db8::1"`, "%s is no IP address", quote(s))
		case a.Zone() != "":
			v.fail("write "+v.name+" = "+quote(a.WithZone("").String())+" and interface = "+quote(a.Zone()), "%s has an interface in it", v.name)
		case a.Is4In6():
			v.fail("write "+quote(a.Unmap().String()), "%s is an IPv4 address inside an IPv6 address", quote(s))
		case a.IsMulticast() || a.IsUnspecified():
			v.fail("write the address of a router", "%s is not the address of a router", quote(s))
		default:
			return a, true
		}
		return netip.Addr{}, false
	},
	write: func(a netip.Addr) string { return quote(a.WithZone("").String()) },
}

// routerID is four bytes that are not all zero (RFC 6286 section 2.1).
var routerID = codec[netip.Addr]{
	read: func(v value) (netip.Addr, bool) {
		s, ok := v.str("an identifier", `"192.0.2.1"`)
		if !ok {
			return netip.Addr{}, false
		}
		a, err := netip.ParseAddr(s)
		if err != nil || !a.Is4() || a.IsUnspecified() {
			v.fail(`write an IPv4 address of the router, such as "192.0.2.1"`, "%s is no identifier of a router", quote(s))
			return netip.Addr{}, false
		}
		return a, true
	},
	write: func(a netip.Addr) string { return quote(a.String()) },
}

// listenOn is an address with a port, or without if that is the usual one.
func listenOn(usual uint16) codec[netip.AddrPort] {
	return codec[netip.AddrPort]{
		read: func(v value) (netip.AddrPort, bool) {
			s, ok := v.str("addresses with ports", fmt.Sprintf(`["192.0.2.1:%d"]`, usual))
			if !ok {
				return netip.AddrPort{}, false
			}
			if a, err := netip.ParseAddr(s); err == nil {
				return netip.AddrPortFrom(a, usual), true
			}
			a, err := netip.ParseAddrPort(s)
			if err != nil || a.Port() == 0 {
				v.fail(fmt.Sprintf(`write it like "192.0.2.1:%d" or "[2001:db8::1]:%[1]d"`, usual), "%s is no address to listen on", quote(s))
				return netip.AddrPort{}, false
			}
			return a, true
		},
		write: func(a netip.AddrPort) string { return quote(a.String()) },
	}
}
