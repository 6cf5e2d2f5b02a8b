package rpki

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestReadJSON(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	for _, c := range []struct {
		text string
		want []VRP
		err  string
	}{
		// Routinator, rpki-client, and what is left out.
		{`{"metadata": {"generated": 1}, "roas": [{"asn": "AS64496", "prefix": "10.0.0.0/8", "maxLength": 16, "ta": "ripe"}], "routerKeys": [], "aspas": []}`, []VRP{vrp("10.0.0.0/8", 16, 64496)}, ""},
		{`{"roas": [{"asn": 64497, "prefix": "2001:db8::/32", "maxLength": 48, "ta": "x", "expires": 1700000001}, {"asn": 1, "prefix": "10.0.0.0/8", "expires": 1700000000}]}`, []VRP{vrp("2001:db8::/32", 48, 64497)}, ""},
		{`{"roas": [{"asn": 0, "prefix": "10.0.0.0/8"}, {"asn": "0", "prefix": "10.0.0.0/8", "maxLength": 8}]}`, []VRP{vrp("10.0.0.0/8", 8, 0)}, ""},
		{`{"roas": []}`, nil, ""},
		{`{"aspas": [{"a": [[]]}], "roas": []}`, nil, ""},
		{``, nil, "ends too early"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8"}`, nil, "ends too early"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0`, nil, "ends too early"},
		{`{"roas": []} x`, nil, "follows the end"},
		{`{"rows": []}`, nil, "no list"},
		{`[]`, nil, "and not {"},
		{`{"roas": {}}`, nil, "and not ["},
		{`{"roas": [{"prefix": "10.0.0.0/8"}]}`, nil, "no asn"},
		{`{"roas": [{"asn": -1, "prefix": "10.0.0.0/8"}]}`, nil, "no AS number"},
		{`{"roas": [{"asn": "AS4294967296", "prefix": "10.0.0.0/8"}]}`, nil, "no AS number"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0.1/8"}]}`, nil, "write 10.0.0.0/8"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": 7}]}`, nil, "from 8 to 32"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": 33}]}`, nil, "from 8 to 32"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8", "maxLength": "x"}]}`, nil, "maxLength"},
		{`{"roas": [{"asn": 1, "prefix": "10.0.0.0/8"}, {"asn": 2, "prefix": "10.0.0.0/8"}, {"asn": 3, "prefix": "10.0.0.0/8"}, {"asn": 4, "prefix": "10.0.0.0/8"}]}`, nil, "more than 3"},
	} {
		s, err := ReadJSON(strings.NewReader(c.text), at, 3)
		var where *FileError
		if (c.err == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.err) || !errors.As(err, &where) || where.Offset > int64(len(c.text))) {
			t.Errorf("%s: %v, want %q", c.text, err, c.err)
		}
		if got := slices.Collect(s.All()); err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.text, got, c.want)
		}
	}
}

// FuzzReadJSON: what is read is written, and read again the same.
func FuzzReadJSON(f *testing.F) {
	f.Add(`{"roas": [{"asn": "AS64496", "prefix": "10.0.0.0/8", "maxLength": 16}, {"asn": 1, "prefix": "2001:db8::/32"}]}`)
	f.Add(`{"x": [{}, [1, "a"]], "roas": []}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ReadJSON(strings.NewReader(text), time.Time{}, 100)
		if err != nil {
			return
		}
		var b strings.Builder
		b.WriteString(`{"roas": [`)
		for v := range s.All() {
			if b.Len() > 10 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, `{"asn": "AS%d", "prefix": %q, "maxLength": %d}`, v.ASN, v.Prefix, v.MaxLen)
		}
		b.WriteString(`]}`)
		again, err := ReadJSON(strings.NewReader(b.String()), time.Time{}, 100)
		if err != nil || Difference(s, again).Len() != 0 {
			t.Fatalf("%s becomes %s: %v", text, b.String(), err)
		}
	})
}

func BenchmarkReadJSON(b *testing.B) {
	s, _ := world()
	var text strings.Builder
	text.WriteString(`{"roas": [`)
	for v := range s.All() {
		if text.Len() > 10 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"asn": "AS%d", "prefix": "%s", "maxLength": %d, "ta": "ripe"}`, v.ASN, v.Prefix, v.MaxLen)
	}
	text.WriteString(`]}`)
	for b.Loop() {
		if _, err := ReadJSON(strings.NewReader(text.String()), time.Time{}, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
