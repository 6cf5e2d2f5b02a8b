package demo

import (
	"errors"
	"io"
	"testing"

	"holdfast/internal/mrt"
	"holdfast/internal/prefix"
)

// The excerpt is whole, and small enough to live in the binary.
func TestTable(t *testing.T) {
	if len(table) > 400_000 {
		t.Errorf("the excerpt has %d bytes", len(table))
	}
	r, err := mrt.NewReader(Table())
	if err != nil {
		t.Fatal(err)
	}
	var routes [prefix.Families]int
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Kind != mrt.RIB {
			continue
		}
		for _, e := range rec.Entries {
			if _, nextHop := e.Normalize(nil); len(nextHop)*8 < int(rec.Prefix.Family.MaxBits()) {
				t.Errorf("%v has the next hop %x", rec.Prefix, nextHop)
			}
			if as := r.Neighbors()[e.Neighbor].AS; as != [...]uint32{30844, 13030}[rec.Prefix.Family] {
				t.Errorf("%v is from AS%d", rec.Prefix, as)
			}
			routes[rec.Prefix.Family]++
		}
	}
	if routes != [...]int{29597, 3857} {
		t.Errorf("%v routes", routes)
	}
}
