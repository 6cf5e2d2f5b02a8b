package config

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"holdfast/internal/policy"
)

// largestFile is far above what people write: lists that are this long belong
// into text files, which have no limit.
const largestFile = 64 << 20

// Load reads a file, or all *.hcl of a directory, as one configuration. The
// Config is only to be run if the diagnostics have no errors.
func Load(path string) (*Config, Diagnostics) {
	r := newReader(path)
	names, err := Files(path)
	if err != nil {
		r.diags = append(r.diags, Diagnostic{Message: fmt.Sprintf("cannot read the configuration %s: %v", path, reason(err)), Fix: unreadable(err)})
		return r.cfg, r.diags
	}
	texts := make([][]byte, len(names))
	for i, n := range names {
		if texts[i], err = read(n); err != nil {
			r.diags = append(r.diags, Diagnostic{Pos: Pos{File: n}, Message: fmt.Sprintf("cannot read the file: %v", reason(err)), Fix: unreadable(err)})
		}
	}
	return r.load(names, texts)
}

// Parse reads a configuration that is one text. Files that it names are looked
// for beside name.
func Parse(name string, text []byte) (*Config, Diagnostics) {
	return newReader(name).load([]string{name}, [][]byte{text})
}

// Syntax finds what keeps a text from being read at all; what it says is not
// looked at.
func Syntax(name string, text []byte) Diagnostics {
	r := newReader(name)
	r.parse(name, text)
	r.diags.Sort()
	return r.diags
}

// Files are the configuration files that path means: itself, or the *.hcl of a
// directory.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if isConfigFile(e.Name()) && !e.IsDir() {
			names = append(names, filepath.Join(path, e.Name()))
		}
	}
	if len(names) == 0 {
		return nil, errors.New("the directory has no file named *.hcl")
	}
	return names, nil
}

// isConfigFile leaves out what editors leave behind: .#name, name~, .name.swp,
// #name#.
func isConfigFile(name string) bool {
	return strings.HasSuffix(name, ".hcl") && !strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "#")
}

func read(name string) ([]byte, error) {
	f, err := openRegular(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // nothing was written
	text, err := io.ReadAll(io.LimitReader(f, largestFile+1))
	if err == nil && len(text) > largestFile {
		err = fmt.Errorf("it is larger than %d MB: move long lists to text files", largestFile>>20)
	}
	return text, err
}

// topLevel are the blocks of a file, in the order in which they are read: what
// is referred to first.
var topLevel = []struct {
	name string
	read func(*reader, *hclsyntax.Block)
}{
	{"router", (*reader).router},
	{"prefix_set", prefixSets.declare},
	{"as_set", asSets.declare},
	{"community_set", communitySets.declare},
	{"as_path_set", asPathSets.declare},
	{"policy", (*reader).policy},
	{"table", (*reader).table},
	{"group", (*reader).group},
	{"neighbor", (*reader).neighbor},
	{"neighbor_range", (*reader).neighborRange},
	{"originate", (*reader).originate},
	{"aggregate", (*reader).aggregate},
	{"static", (*reader).static},
	{"protect", (*reader).protect},
	{"rpki", (*reader).rpki},
}

func topLevelNames() []string {
	var all []string
	for _, t := range topLevel {
		all = append(all, t.name)
	}
	return all
}

func (r *reader) load(names []string, texts [][]byte) (*Config, Diagnostics) {
	r.cfg.Files = slices.Clone(names)
	r.builtin()
	var blocks hclsyntax.Blocks
	whole := !r.diags.HasErrors()
	for i, text := range texts {
		body := r.parse(names[i], text)
		if body == nil {
			whole = false
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
			fix := r.known(name, topLevelNames(), "blocks")
			if slices.Contains(topLevelNames(), name) {
				fix = name + " is a block: write " + name + " \"NAME\" { … }"
			}
			r.errorf(body.Attributes[name].NameRange, fix, "a file has blocks only, and %s is an argument", quote(name))
		}
		blocks = append(blocks, body.Blocks...)
	}
	if !whole {
		// With a file missing, everything that refers to it would be an error.
		r.diags.Sort()
		return r.cfg, r.diags
	}
	for _, b := range blocks {
		if !slices.Contains(topLevelNames(), b.Type) {
			r.errorf(b.TypeRange, r.known(b.Type, topLevelNames(), "blocks"), "the configuration has no block %s", quote(b.Type))
		}
	}
	for _, t := range topLevel {
		for _, b := range blocks {
			if b.Type == t.name {
				t.read(r, b)
			}
		}
		if t.name == "router" && r.cfg.Router.Pos.Line == 0 {
			r.errorf(hcl.Range{Filename: names[0]}, `add one with asn = 64500 and id = "192.0.2.1", your own numbers`, "there is no router block")
		}
	}
	r.check()
	r.diags.Sort()
	return r.cfg, r.diags
}

func (r *reader) policy(b *hclsyntax.Block) {
	name, ok := r.declare(b)
	if !ok {
		return
	}
	p := &policy.Policy{Name: name, Pos: pos(b.TypeRange)}
	decode(r, policyBlock, "policy "+quote(name), b.DefRange(), b.Body, p)
	r.cfg.Policies = append(r.cfg.Policies, p)
	r.cfg.policiesByName[name] = p
}
