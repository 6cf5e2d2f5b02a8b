package lint

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/policy"
	"holdfast/internal/prefix"
	"holdfast/internal/wire"
)

// What the examples' policies make of some routes: accepted with this local
// preference (0 for none), or rejected.
var exampleRoutes = map[string][]struct {
	neighbor, direction, route string
	path                       []uint32
	communities                []uint32
	from                       string // of what is sent
	accepted                   bool
	localPref                  uint32
}{
	"isp.hcl": {
		{"transit-a", "import", "193.0.0.0/21", []uint32{64500, 3333}, nil, "", false, 0},
		{"transit-a", "import", "193.0.0.0/21", []uint32{3356, 3333}, nil, "", true, 0},
		{"transit-a", "import", "193.0.0.0/21", []uint32{3356, 65001}, nil, "", false, 0},
		{"transit-a", "import", "193.0.0.0/21", []uint32{3356, 3333}, []uint32{0xffff0000}, "", true, 0},
		{"transit-a", "import", "193.0.0.0/25", []uint32{3356, 3333}, nil, "", false, 0},
		{"transit-a", "import", "10.0.0.0/24", []uint32{3356, 3333}, nil, "", false, 0},
		{"transit-a", "import", "198.51.100.0/25", []uint32{3356, 3333}, nil, "", false, 0},
		{"transit-a", "import", "0.0.0.0/0", []uint32{3356}, nil, "", false, 0},
		{"peer-video", "import", "193.0.0.0/21", []uint32{6939, 3333}, nil, "", true, 150},
		{"peer-video", "import", "193.0.0.0/21", []uint32{6939, 3356, 3333}, nil, "", false, 0},
		{"peer-video", "import", "193.0.0.0/21", []uint32{6939, 3356, 3333}, []uint32{0xffff0000}, "", false, 0},
		{"rs1", "import", "193.0.0.0/21", []uint32{6939, 3333}, nil, "", true, 150},
		{"shop", "import", "203.0.113.0/24", []uint32{64508}, nil, "", true, 200},
		{"shop", "import", "203.0.113.0/24", []uint32{64508, 64509}, []uint32{64500<<16 | 50}, "", true, 80},
		{"shop", "import", "203.0.113.0/24", []uint32{64508, 64510}, nil, "", false, 0},
		{"shop", "import", "203.0.113.0/25", []uint32{64508}, nil, "", false, 0},
		{"shop", "import", "203.0.113.7/32", []uint32{64508}, []uint32{0xffff029a}, "", true, 0},
		{"shop", "import", "198.51.100.7/32", []uint32{64508}, []uint32{0xffff029a}, "", false, 0},
		{"school", "import", "2001:db8:700::/48", []uint32{64510}, nil, "", true, 200},
		{"school", "import", "2001:db8::/32", []uint32{64510}, nil, "", false, 0},
		{"transit-b", "export", "198.51.100.0/24", nil, nil, "", true, 0},
		{"transit-b", "export", "203.0.113.0/24", []uint32{64508}, nil, "shop", true, 0},
		{"transit-b", "export", "193.0.0.0/21", []uint32{64501, 3333}, []uint32{64500<<16 | 100}, "transit-a", false, 0},
		{"transit-b", "export", "193.0.0.0/21", []uint32{6939, 3333}, nil, "rs1", false, 0},
		{"transit-b", "export", "203.0.113.0/24", []uint32{64508}, []uint32{64500<<16 | 300}, "edge2", true, 0},
		{"transit-b", "export", "193.0.0.0/21", []uint32{64501, 3333}, []uint32{64500<<16 | 100}, "edge2", false, 0},
		{"shop", "export", "193.0.0.0/21", []uint32{64501, 3333}, nil, "transit-a", true, 0},
	},
	"exchange.hcl": {
		{"rs1-v4", "import", "193.0.0.0/21", []uint32{6939, 3333}, nil, "", true, 150},
		{"access-v4", "import", "193.0.0.0/21", []uint32{6939, 3333}, nil, "", true, 160},
		{"access-v4", "import", "203.0.113.0/25", []uint32{6939, 3333}, nil, "", false, 0},
		{"access-v6", "import", "2001:67c:2e8::/48", []uint32{6939, 3333}, nil, "", true, 160},
		{"access-v6", "import", "fd00::/48", []uint32{6939, 3333}, nil, "", false, 0},
		{"access-v6", "export", "2001:db8:100::/48", nil, nil, "", true, 0},
		{"access-v6", "export", "2001:67c:2e8::/48", []uint32{6939, 3333}, nil, "rs1-v6", false, 0},
	},
	"route-server.hcl": {
		{"content-v4", "import", "203.0.113.0/24", []uint32{64500}, nil, "", true, 0},
		{"content-v4", "import", "198.51.100.0/24", []uint32{64500}, nil, "", false, 0},
		{"access-v6", "import", "2001:db8:2ff::/48", []uint32{65536, 65537}, nil, "", true, 0},
		{"access-v6", "import", "2001:db8:2ff::/48", []uint32{65536, 65538}, nil, "", false, 0},
		{"content-v4", "export", "198.51.100.0/24", []uint32{65536}, nil, "access-v4", true, 0},
		{"content-v4", "export", "198.51.100.0/24", []uint32{65536}, []uint32{64500}, "access-v4", false, 0},
		{"content-v4", "export", "198.51.100.0/24", []uint32{65536}, []uint32{64501}, "access-v4", true, 0},
		{"content-v4", "export", "198.51.100.0/24", []uint32{65536}, []uint32{64505}, "access-v4", false, 0},
		{"content-v4", "export", "198.51.100.0/24", []uint32{65536}, []uint32{64505, 64505<<16 | 64500}, "access-v4", true, 0},
		{"access-v4", "export", "203.0.113.0/24", []uint32{64500}, []uint32{64505, 64505<<16 | 64500}, "content-v4", false, 0},
	},
	"anycast.hcl": {
		{"router-a", "import", "0.0.0.0/0", []uint32{64500}, nil, "", false, 0},
		{"router-a", "export", "203.0.113.0/24", nil, nil, "", true, 0},
		{"router-a", "export", "193.0.0.0/21", []uint32{64500, 3333}, nil, "router-b", false, 0},
	},
}

func TestExampleConfigurations(t *testing.T) {
	files, err := filepath.Glob("../../docs/examples/*.hcl")
	if err != nil || len(files) != len(exampleRoutes) {
		t.Fatalf("%d examples, and routes for %d: %v", len(files), len(exampleRoutes), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if string(config.Format(text)) != string(text) {
			t.Errorf("%s is not in the layout of fmt", file)
		}
		c, ds := config.Parse(file, text)
		if ds = append(ds, Check(c)...); len(ds) > 0 {
			t.Errorf("%s:\n%s", file, ds.Text())
			continue
		}
		l := &linter{cfg: c, imports: map[side]*program{}, exports: map[side]*program{}}
		find := func(name string) *config.Neighbor {
			for _, n := range c.Neighbors {
				if n.Name == name {
					return n
				}
			}
			t.Fatalf("%s has no neighbor %s", file, name)
			return nil
		}
		for _, r := range exampleRoutes[filepath.Base(file)] {
			n, x, a := find(r.neighbor), prefix.MustParse(r.route), attributes(r.path...)
			for _, v := range r.communities {
				a.Communities = append(a.Communities, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
			}
			p, from := l.importOf(n, x.Family), policy.Source{Kind: policy.Originated}
			if r.direction == "export" {
				p = l.exportOf(n, x.Family)
			}
			if r.from != "" {
				from = source(find(r.from))
			}
			accepted, rule := p.judge(x, &a, &from)
			pref := a.LocalPref
			if a.Has&wire.HasLocalPref == 0 {
				pref = 0
			}
			if accepted != r.accepted || accepted && pref != r.localPref {
				t.Errorf("%s: %s of %s: %s over %v: accepted %v by %q, local_pref %d", file, r.direction, r.neighbor, r.route, r.path, accepted, rule.Rule, pref)
			}
		}
	}
}
