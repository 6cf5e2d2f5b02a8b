package config

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented maps the headings of the reference to the arguments that belong
// below them.
func documented() map[string][]string {
	only := func(all, without []string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(without, s) })
	}
	return map[string][]string{
		"`router`":                         routerBlock.names(),
		"`prefix_set`":                     prefixSets.schema().names(),
		"`as_set`":                         asSets.schema().names(),
		"`community_set`":                  communitySets.schema().names(),
		"`as_path_set`":                    asPathSets.schema().names(),
		"`policy`":                         policyBlock.names(),
		"`rule`":                           slices.Concat(ruleBlock.names(), ruleBlock.blockNames()),
		"`match`":                          inMatch().names(),
		"`set`":                            setActions.names(),
		"`neighbor`":                       only(neighborBlock.names(), groupBlock.names()),
		"`neighbor_range`":                 only(rangeBlock.names(), groupBlock.names()),
		"`neighbor` and `group`":           only(groupBlock.names(), perFamily.names()),
		"`neighbor`, `group` and `family`": perFamily.names(),
		"`table`":                          slices.Concat(tableBlock.names(), tableBlock.blockNames()),
		"`import`":                         tableImportBlock.names(),
		"`static`":                         staticBlock.names(),
		"`originate`":                      originateBlock.names(),
		"`aggregate`":                      aggregateBlock.names(),
		"`protect`":                        protectBlock.names(),
		"`announced_to`":                   announcedToBlock.names(),
		"`rpki`":                           rpkiBlock.names(),
	}
}

const reference = "../../docs/configuration.md"

func TestReference(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	want := documented()
	got := map[string][]string{}
	heading, table := "", ""
	row := regexp.MustCompile("^\\| `([a-z_]+)`")
	for _, line := range strings.Split(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "#"):
			heading, table = strings.TrimLeft(line, "# "), ""
			if want[heading] != nil {
				got[heading] = []string{}
			}
		case strings.HasPrefix(line, "| argument |"), strings.HasPrefix(line, "| block |"):
			table = "arguments"
		case line == "":
			table = ""
		case table != "":
			if m := row.FindStringSubmatch(line); m != nil {
				got[heading] = append(got[heading], m[1])
			}
		}
	}
	for heading, names := range want {
		slices.Sort(names)
		slices.Sort(got[heading])
		if !slices.Equal(names, got[heading]) {
			t.Errorf("%s, below %s: it lists %v, and there are %v", reference, heading, got[heading], names)
		}
	}
	for heading := range got {
		if want[heading] == nil && len(got[heading]) > 0 {
			t.Errorf("%s has arguments below %s, which this test does not know", reference, heading)
		}
	}
	for _, name := range topLevelNames() {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("%s does not mention the block %s", reference, name)
		}
	}
}

// The examples of the reference must load.
func TestReferenceExample(t *testing.T) {
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) != 3 {
		t.Fatalf("%d examples", len(examples))
	}
	if _, ds := Parse("example.hcl", append([]byte(routerText), examples[0][1]...)); ds.HasErrors() {
		t.Error(ds.Err())
	}
	if _, ds := Parse("example.hcl", examples[1][1]); len(ds) > 0 {
		t.Errorf("the whole example: %v", ds)
	}
	const policies = "policy \"from-kernel\" {}\npolicy \"default-only\" {}\n"
	if _, ds := Parse("example.hcl", append([]byte(routerText+policies), examples[2][1]...)); ds.HasErrors() {
		t.Error(ds.Err())
	}
	if formatted := Format(examples[1][1]); string(formatted) != string(examples[1][1]) {
		t.Errorf("the whole example is not in the layout of Format:\n%s", formatted)
	}
}

// Every argument is in the file that has them all, so that the round trip
// tests cover it.
func TestEverything(t *testing.T) {
	text, err := os.ReadFile("testdata/good/everything.hcl")
	if err != nil {
		t.Fatal(err)
	}
	for heading, names := range documented() {
		for _, name := range names {
			if !regexp.MustCompile(`\b` + name + `\b`).Match(text) {
				t.Errorf("everything.hcl has no %s (%s)", name, heading)
			}
		}
	}
}

// TestReadme: the first configuration that anybody sees is without fault.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllSubmatch(text, -1)
	if len(examples) == 0 {
		t.Fatal("README.md has no configuration")
	}
	for _, e := range examples {
		if _, ds := Parse("README.md", e[1]); len(ds) > 0 {
			t.Errorf("README.md: %s", ds.Text())
		}
		if string(Format(e[1])) != string(e[1]) {
			t.Error("README.md: the example is not laid out as fmt would")
		}
	}
}
