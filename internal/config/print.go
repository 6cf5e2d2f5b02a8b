package config

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"holdfast/internal/policy"
)

// Format is the text of a configuration file in the one layout that all have:
// indented by two, with the = of neighboring lines below each other. It changes
// blanks only. What it makes of text in which Syntax finds errors is anybody's
// guess.
func Format(text []byte) []byte { return hclwrite.Format(text) }

// Print writes a configuration in its canonical form: blocks by kind, arguments
// in the order of the reference, no comments. Loading it gives the same Config,
// but for the positions.
func Print(c *Config) []byte {
	p := &printer{}
	block(p, "router", routerBlock, &c.Router)
	printSets(p, prefixSets, c)
	printSets(p, asSets, c)
	printSets(p, communitySets, c)
	printSets(p, asPathSets, c)
	for _, t := range c.Tables {
		if t.Pos.Line > 0 {
			block(p, "table "+quote(t.Name), tableBlock, t)
		}
	}
	for _, s := range c.Statics {
		block(p, "static "+quote(s.Name), staticBlock, s)
	}
	for _, o := range c.Originates {
		block(p, "originate "+quote(o.Name), originateBlock, o)
	}
	for _, a := range c.Aggregates {
		block(p, "aggregate "+quote(a.Name), aggregateBlock, a)
	}
	for _, a := range c.Protects {
		block(p, "protect "+quote(a.Name), protectBlock, a)
	}
	for _, s := range c.RPKI {
		block(p, "rpki "+quote(s.Name), rpkiBlock, s)
	}
	for _, o := range c.Policies {
		block(p, "policy "+quote(o.Name), policyBlock, o)
	}
	for _, g := range c.Groups {
		block(p, "group "+quote(g.Name), groupBlock, &party{settings: g.Settings, families: g.Families})
	}
	for _, n := range c.Neighbors {
		block(p, "neighbor "+quote(n.Name), neighborBlock, &party{settings: n.Own, families: n.OwnFamily})
	}
	for _, g := range c.Ranges {
		block(p, "neighbor_range "+quote(g.Name), rangeBlock, &party{settings: g.Own, families: g.OwnFamily})
	}
	return Format(p.Bytes())
}

// printer collects text; Format lays it out.
type printer struct{ bytes.Buffer }

func (p *printer) open(head string) { fmt.Fprintf(p, "%s {\n", head) }
func (p *printer) close()           { p.WriteString("}\n") }

func block[T any](p *printer, head string, s schema[T], from *T) {
	if p.Len() > 0 {
		p.WriteByte('\n')
	}
	p.open(head)
	write(p, s, from)
	p.close()
}

func write[T any](p *printer, s schema[T], from *T) {
	for _, b := range s.blocks {
		if b.first {
			b.write(p, from)
		}
	}
	for _, a := range s.arguments {
		if text := a.write(from); text != "" {
			fmt.Fprintf(p, "%s = %s\n", a.name, text)
		}
	}
	for _, b := range s.blocks {
		if !b.first {
			b.write(p, from)
		}
	}
}

func printSets[S any](p *printer, k setKind[S], c *Config) {
	for _, s := range *k.list(c) {
		b := setBlock{}
		if len(s.Inline) > 0 || s.File == "" {
			b.entriesText = bracketed(s.Inline)
		}
		if s.File != "" {
			b.fileText = quote(s.File)
		}
		block(p, k.block+" "+quote(s.Name), k.schema(), &b)
	}
}

func (p *printer) matches(head string, all []policy.Match) {
	for i := range all {
		p.open(head)
		write(p, inMatch(), &all[i])
		p.close()
	}
}

func (p *printer) actions(a *policy.Actions) {
	inside := &printer{}
	if write(inside, setActions, a); inside.Len() == 0 {
		return
	}
	p.open("set")
	p.Write(inside.Bytes())
	p.close()
}
