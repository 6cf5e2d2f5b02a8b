package config

import (
	"cmp"
	"math"
	"net/netip"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
	"holdfast/internal/prefix"
)

// MainTable is the table of what names none.
const MainTable = "main"

// Defaults of a table.
const (
	DefaultMetric = 20
	mainKernelID  = 254 // RT_TABLE_MAIN
	oneWay        = 1
)

// Table is a table block. The main table is the first one in any case.
type Table struct {
	Name   string
	Pos    Pos // zero for a main table without a block
	ID     uint32
	Kernel bool // its routes go to the kernel
	Metric uint32
	// Source has the preferred source of each family, invalid for none.
	Source       [prefix.Families]netip.Addr
	Multipath    uint8
	Install      []string // policies; nil: everything is installed
	Redistribute []string // policies; nil: nothing is
	Imports      []TableImport

	sources []netip.Addr // as written
}

// TableImport is an import block: routes of another table that come into this
// one.
type TableImport struct {
	Pos    Pos
	From   string
	Policy []string
}

func anyMetric(m uint32) bool { return m == DefaultMetric }

var tableImportBlock = schema[TableImport]{arguments: []argument[TableImport]{
	required(plain("from", one("table"), func(i *TableImport) *string { return &i.From }, nil), "table.NAME"),
	required(plain("policy", refs("policy"), func(i *TableImport) *[]string { return &i.Policy }, nil), "policy.NAME"),
}}

var tableBlock = schema[Table]{
	arguments: []argument[Table]{
		plain("id", number[uint32](1, math.MaxUint32), func(t *Table) *uint32 { return &t.ID }, isZero[uint32]),
		plain("kernel", boolean, func(t *Table) *bool { return &t.Kernel }, func(on bool) bool { return on }),
		plain("metric", number[uint32](1, math.MaxInt32), func(t *Table) *uint32 { return &t.Metric }, anyMetric),
		plain("source", list(address), func(t *Table) *[]netip.Addr { return &t.sources }, func(a []netip.Addr) bool { return len(a) == 0 }),
		plain("multipath", number[uint8](1, 64), func(t *Table) *uint8 { return &t.Multipath }, func(n uint8) bool { return n == oneWay }),
		plain("install", refs("policy"), func(t *Table) *[]string { return &t.Install }, noNames),
		plain("redistribute", refs("policy"), func(t *Table) *[]string { return &t.Redistribute }, noNames),
	},
	blocks: []nested[Table]{{
		name: "import",
		read: func(r *reader, b *hclsyntax.Block, to *Table) {
			r.unlabeled(b)
			i := TableImport{Pos: pos(b.TypeRange)}
			decode(r, tableImportBlock, "import", b.DefRange(), b.Body, &i)
			for _, other := range to.Imports {
				if other.From == i.From && i.From != "" {
					r.errorf(b.TypeRange, "put both policies into one list", "a second import from table %s; the first is at line %d", quote(i.From), other.Pos.Line)
				}
			}
			if i.From == to.Name {
				r.errorf(b.TypeRange, "remove it", "table %s imports from itself", quote(to.Name))
			}
			to.Imports = append(to.Imports, i)
		},
		write: func(p *printer, from *Table) {
			for i := range from.Imports {
				p.open("import")
				write(p, tableImportBlock, &from.Imports[i])
				p.close()
			}
		},
	}},
}

func (r *reader) table(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	t := &Table{Name: name, Pos: pos(b.TypeRange), Kernel: true, Metric: DefaultMetric, Multipath: oneWay}
	decode(r, tableBlock, "table "+quote(name), b.DefRange(), b.Body, t)
	for _, a := range t.sources {
		f := prefix.IPv4
		if a.Is6() {
			f = prefix.IPv6
		}
		if t.Source[f].IsValid() {
			r.errorf(b.TypeRange, "a table has one of each family", "table %s has two preferred sources for %s", quote(name), f)
		}
		t.Source[f] = a
	}
	r.checkTable(t)
	if name == MainTable {
		r.cfg.Tables[0] = t
		return
	}
	r.cfg.Tables = append(r.cfg.Tables, t)
}

// checkTable looks at the number of a table, in the order of their blocks.
func (r *reader) checkTable(t *Table) {
	at := r.at(t.Pos, len("table"))
	switch {
	case t.ID == 0 && t.Name == MainTable:
		t.ID = mainKernelID
	case t.ID == 0:
		r.errorf(at, "add id = 100, the number that \"ip route show table\" takes", "table %s has no id", quote(t.Name))
	case t.ID == 253 || t.ID == 255:
		r.errorf(at, "choose another number, such as 100", "the kernel keeps table %d for itself", t.ID)
	}
	for _, other := range r.cfg.Tables {
		if other.ID == t.ID && t.ID != 0 && other.Name != t.Name {
			r.errorf(at, "give each its own", "tables %s and %s both have id %d", quote(other.Name), quote(t.Name), t.ID)
		}
	}
	if len(r.cfg.Tables) >= mostTables {
		r.errorf(at, "", "there are more than %d tables", mostTables)
	}
}

const mostTables = 200

// Table finds a table by name, "" meaning the main one; nil if there is none.
func (c *Config) Table(name string) *Table {
	if name == "" {
		name = MainTable
	}
	for _, t := range c.Tables {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// Static is a static block.
type Static struct {
	Name      string
	Pos       Pos
	Table     string
	Prefixes  Prefixes
	List      []prefix.Prefix // every prefix that is meant
	NextHop   netip.Addr
	Interface string
	Blackhole bool
}

var staticBlock = schema[Static]{arguments: []argument[Static]{
	required(plain("prefixes", prefixSets.codec(), func(s *Static) *Prefixes { return &s.Prefixes }, nil), "prefix_set.NAME"),
	plain("next_hop", address, func(s *Static) *netip.Addr { return &s.NextHop }, func(a netip.Addr) bool { return !a.IsValid() }),
	plain("interface", interfaceName, func(s *Static) *string { return &s.Interface }, isZero[string]),
	plain("blackhole", boolean, func(s *Static) *bool { return &s.Blackhole }, isZero[bool]),
	plain("table", one("table"), func(s *Static) *string { return &s.Table }, isZero[string]),
}}

func (r *reader) static(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	s := &Static{Name: name, Pos: pos(b.TypeRange)}
	decode(r, staticBlock, "static "+quote(name), b.DefRange(), b.Body, s)
	r.cfg.Statics = append(r.cfg.Statics, s)
	way := s.NextHop.IsValid() || s.Interface != ""
	switch {
	case way && s.Blackhole:
		r.errorf(b.TypeRange, "remove one of them", "static %s has a way out and is a blackhole", quote(name))
	case !way && !s.Blackhole:
		r.errorf(b.TypeRange, `add next_hop = "192.0.2.7", interface = "eth0" or blackhole = true`, "static %s does not say where packets go", quote(name))
	case s.NextHop.IsLinkLocalUnicast() && s.Interface == "":
		r.errorf(b.TypeRange, `add interface = "eth0"`, "the next hop of static %s is a link-local address, which needs an interface", quote(name))
	case !r.cfg.Router.Kernel:
		r.warnf(b.TypeRange, "remove kernel = false from the router block", "static %s is not installed: kernel routes are off", quote(name))
	}
	if s.Prefixes.Set == nil {
		return
	}
	s.List = r.exact(s.Prefixes.Set, "static "+quote(name)+" cannot be for")
	for _, p := range s.List {
		k := inTable(s.Table, p)
		if first := r.statics[k]; first != nil && first != s {
			r.errorf(b.TypeRange, "remove it from one of them", "%s is the prefix of static %s and of static %s at %s", p, quote(name), quote(first.Name), first.Pos)
		}
		r.statics[k] = s
		if p.Family == prefix.IPv6 && s.NextHop.Is4() {
			r.errorf(b.TypeRange, "give it an IPv6 next hop", "static %s: IPv6 prefix %s cannot have an IPv4 next hop", quote(name), p)
		}
	}
}

// tablePrefix is a prefix of a table.
type tablePrefix struct {
	table  string
	prefix prefix.Prefix
}

// inTable is a prefix of a table by name, "" meaning the main one.
func inTable(name string, p prefix.Prefix) tablePrefix {
	return tablePrefix{cmp.Or(name, MainTable), p}
}

// exact lists the prefixes of a set, once each. Ranges are errors: what begins
// with a word for what they are not fit for.
func (r *reader) exact(set *policy.PrefixSet, cannot string) (all []prefix.Prefix) {
	seen := map[prefix.Prefix]bool{}
	for e, at := range set.All() {
		if !e.Exact() {
			r.errorf(r.at(at, len(e.String())+2), "write each prefix", "%s a range: %s", cannot, e)
			continue
		}
		if !seen[e.Prefix] {
			seen[e.Prefix] = true
			all = append(all, e.Prefix)
		}
	}
	return all
}
