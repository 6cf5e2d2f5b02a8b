// Package starter writes the first configuration of a router: a commented file
// that runs as it is, with what most networks need and recipes for more.
package starter

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"holdfast/internal/config"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// Shape is what a router is for.
type Shape string

// Shapes.
const (
	Edge Shape = "edge" // between transits, peers and customers
	Host Shape = "host" // a server that announces addresses of its own
	IX   Shape = "ix"   // at an exchange
)

// Shapes are all of them.
var Shapes = []string{string(Edge), string(Host), string(IX)}

// Options are what a configuration is written from.
type Options struct {
	Shape    Shape
	ASN      uint32
	ID       netip.Addr
	Prefixes []prefix.Prefix // our own

	Transits, Peers, RouteServers []Neighbor
}

// Neighbor is one of another AS.
type Neighbor struct {
	ASN     uint32
	Address netip.Addr
}

// ParseNeighbor reads "64501@192.0.2.9".
func ParseNeighbor(s string) (Neighbor, error) {
	as, at, ok := strings.Cut(s, "@")
	asn, err := policy.ParseASN(as)
	if !ok || err != nil {
		return Neighbor{}, fmt.Errorf("%q is no neighbor: write AS number and address like 64501@192.0.2.9", s)
	}
	address, err := netip.ParseAddr(at)
	if err != nil || address.Zone() != "" {
		return Neighbor{}, fmt.Errorf("%q is no neighbor: %q is not an address like 192.0.2.9 or 2001:db8::9", s, at)
	}
	return Neighbor{asn, address}, nil
}

//go:embed templates/*.hcl
var templates embed.FS

var blanks = regexp.MustCompile(`\n{3,}`)

// Write makes the text of a configuration.
func Write(o Options) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	name := "edge.hcl"
	if o.Shape == Host {
		name = "host.hcl"
	}
	t, err := template.New(name).ParseFS(templates, "templates/*.hcl")
	if err != nil {
		return nil, fmt.Errorf("BUG: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, o.data()); err != nil {
		return nil, fmt.Errorf("BUG: %w", err)
	}
	// Parts that are left out leave blank lines.
	text := config.Format(append(bytes.TrimSpace(blanks.ReplaceAll(b.Bytes(), []byte("\n\n"))), '\n'))
	_, found := config.Parse("the configuration", text)
	for _, d := range found {
		if d.Severity == config.Error { // such as an AS number that nobody may have
			return nil, fmt.Errorf("%s: %s", d.Message, d.Fix)
		}
	}
	return text, nil
}

func (o *Options) check() error {
	neighbors := slices.Concat(o.Transits, o.Peers, o.RouteServers)
	switch {
	case !slices.Contains(Shapes, string(o.Shape)):
		return fmt.Errorf("there is no configuration for %q: choose %s", o.Shape, strings.Join(Shapes, ", "))
	case len(o.Prefixes) == 0:
		return errors.New("a router needs a prefix of its own to announce")
	case o.Shape == IX && len(o.Peers)+len(o.RouteServers) == 0:
		return errors.New("an exchange needs a route server or a peer")
	case o.Shape != IX && len(o.Transits) == 0:
		return errors.New("somebody must carry our traffic: name a transit")
	case o.Shape == Host && len(o.Peers)+len(o.RouteServers) > 0:
		return errors.New("a host has transits only: peers and route servers are for edge and ix")
	}
	for i, n := range neighbors {
		if n.ASN == o.ASN {
			return fmt.Errorf("%d@%s is in our own AS: name neighbors in others", n.ASN, n.Address)
		}
		if slices.ContainsFunc(neighbors[:i], func(m Neighbor) bool { return m.Address == n.Address }) {
			return fmt.Errorf("two neighbors have the address %s", n.Address)
		}
	}
	for _, p := range o.Prefixes {
		if !slices.ContainsFunc(neighbors, func(n Neighbor) bool { return prefix.FamilyOf(n.Address) == p.Family }) {
			return fmt.Errorf("%s would be announced to nobody: name a neighbor with an %s address", p, map[prefix.Family]string{prefix.IPv4: "IPv4", prefix.IPv6: "IPv6"}[p.Family])
		}
	}
	return nil
}

// data is what the templates ask.
type data struct {
	ASN            uint32
	ID             netip.Addr
	Prefixes       []prefix.Prefix
	Inside         []policy.PrefixRange // our own and all that is inside
	Attacked       string               // one address inside of our own; "" if there is none
	Transits       []group
	Peers, Servers []group
	Needed         int // how many transits must have a protected prefix
	// Unusual is an AS number of a neighbor that is in as_set.builtin-bogon-asns;
	// 0 if there is none.
	Unusual uint32
}

// group is neighbors that are alike; there is one or none of a kind.
type group struct {
	IPv4, IPv6 bool
	Members    []member
}

// Both reports whether the members differ in their families.
func (g group) Both() bool { return g.IPv4 && g.IPv6 }

type member struct {
	Name, Family string
	Neighbor
}

func (o *Options) data() data {
	d := data{ASN: o.ASN, ID: o.ID}
	for _, p := range o.Prefixes {
		if slices.Contains(d.Prefixes, p) {
			continue
		}
		d.Prefixes = append(d.Prefixes, p)
		d.Inside = append(d.Inside, policy.PrefixRange{Prefix: p, Ge: p.Bits, Le: p.Family.MaxBits()})
	}
	if p := d.Prefixes[0]; p.Bits < p.Family.MaxBits() {
		d.Attacked = netip.PrefixFrom(p.Addr().Next(), int(p.Family.MaxBits())).String()
	}
	d.Transits = groupOf("transit", o.Transits)
	d.Peers = groupOf("peer", o.Peers)
	d.Servers = groupOf("route-server", o.RouteServers)
	d.Needed = min(2, len(o.Transits))
	// The set is the same in every configuration.
	empty, _ := config.Parse("", nil)
	for _, n := range slices.Concat(o.Transits, o.Peers, o.RouteServers) {
		if empty.BogonASNs().Contains(n.ASN) {
			d.Unusual = cmp.Or(d.Unusual, n.ASN)
		}
	}
	return d
}

// groupOf names neighbors: a letter for each AS number, and what tells its
// sessions apart.
func groupOf(what string, all []Neighbor) []group {
	if len(all) == 0 {
		return nil
	}
	var g group
	var letters []uint32
	taken := map[string]bool{}
	for _, n := range all {
		if !slices.Contains(letters, n.ASN) {
			letters = append(letters, n.ASN)
		}
		name := fmt.Sprintf("%s-%s", what, letter(slices.Index(letters, n.ASN)))
		m := member{Family: prefix.FamilyOf(n.Address).String(), Neighbor: n}
		g.IPv4, g.IPv6 = g.IPv4 || m.Family == "ipv4", g.IPv6 || m.Family == "ipv6"
		if m.Name = name; taken[name] && m.Family == "ipv6" {
			name += "-v6"
			m.Name = name
		}
		for i := 2; taken[m.Name]; i++ {
			m.Name = fmt.Sprintf("%s-%d", name, i)
		}
		taken[m.Name] = true
		g.Members = append(g.Members, m)
	}
	return []group{g}
}

// letter is a, b … z, then numbers.
func letter(i int) string {
	if i < 26 {
		return string(rune('a' + i))
	}
	return fmt.Sprint(i + 1)
}
