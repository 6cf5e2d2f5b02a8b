package daemon

import (
	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/fib"
	"holdfast/internal/policy"
)

// engineTables compiles the tables, what passes between them, and static routes.
// A table that the configuration has no more stays, empty.
func engineTables(cfg *config.Config, ids *numbers, out *engine.Config) error {
	for _, t := range cfg.Tables {
		if _, err := ids.table(t.Name); err != nil {
			return err
		}
	}
	out.Tables = make([]engine.Table, len(ids.tables))
	for i, name := range ids.tables {
		out.Tables[i].Name = name
		t := cfg.Table(name)
		if t == nil {
			continue
		}
		if err := engineTable(cfg, t, &out.Tables[i]); err != nil {
			return err
		}
		for _, im := range t.Imports {
			program, err := tableProgram(cfg, im.Policy)
			if err != nil {
				return err
			}
			from, err := ids.table(im.From)
			if err != nil {
				return err
			}
			out.Leaks = append(out.Leaks, engine.Leak{From: from, To: engine.TableID(i), Policy: program})
		}
	}
	for _, s := range cfg.Statics {
		table, err := ids.table(s.Table)
		if err != nil {
			return err
		}
		for _, p := range s.List {
			out.Static = append(out.Static, engine.Static{Table: table, Prefix: p, NextHop: s.NextHop, Interface: s.Interface, Discard: s.Blackhole})
		}
	}
	return nil
}

func engineTable(cfg *config.Config, t *config.Table, out *engine.Table) (err error) {
	out.Resolve = []uint32{t.ID}
	if t.ID != fib.MainTable {
		out.Resolve = append(out.Resolve, fib.MainTable)
	}
	out.From = t.ID
	if out.Redistribute, err = tableProgram(cfg, t.Redistribute); err != nil || !cfg.Router.Kernel || !t.Kernel {
		return err
	}
	out.Install = &engine.Install{Kernel: t.ID, Metric: t.Metric, Source: t.Source, Multipath: int(t.Multipath)}
	out.Install.Policy, err = tableProgram(cfg, t.Install)
	return err
}

// tableProgram returns nil where no policy was given.
func tableProgram(cfg *config.Config, names []string) (*policy.Program, error) {
	if names == nil {
		return nil, nil
	}
	return policy.Compile(cfg.Chain(names), policy.Context{ASN: cfg.Router.ASN, DefaultLocalPref: cfg.Router.DefaultLocalPref})
}
