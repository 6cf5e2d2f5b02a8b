package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/config"
	"holdfast/internal/engine"
	"holdfast/internal/prefix"
)

func compiled(t *testing.T, text string) engine.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast.hcl")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, ds := config.Load(path)
	if ds.HasErrors() {
		t.Fatal(unusable(ds))
	}
	c, err := engineConfig(cfg, &numbers{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestReflectorClient: a neighbor may be a client in one family alone.
func TestReflectorClient(t *testing.T) {
	const router = "router {\n asn = 64500\n id = \"192.0.2.1\"\n cluster_id = \"192.0.2.9\"\n"
	const neighbor = "}\nneighbor \"n\" {\n address = \"192.0.2.2\"\n asn = 64500\n families = [\"ipv4\", \"ipv6\"]\n"
	c := compiled(t, router+neighbor+" family \"ipv6\" { route_reflector_client = true }\n}\n")
	if f := &c.Neighbors[0].Families; f[prefix.IPv4].Client || !f[prefix.IPv6].Client || c.MeshedClients || c.ClusterID != 0xc0000209 {
		t.Errorf("%+v", c)
	}
	c = compiled(t, router+" client_to_client_reflection = false\n"+neighbor+" route_reflector_client = true\n}\n")
	if f := &c.Neighbors[0].Families; !f[prefix.IPv4].Client || !f[prefix.IPv6].Client || !c.MeshedClients {
		t.Errorf("%+v", c)
	}
}
