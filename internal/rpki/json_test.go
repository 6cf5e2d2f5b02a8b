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
		{`{"bgpsec_keys": [{"a": [[]]}], "roas": []}`, nil, ""},
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
		s, _, err := ReadJSON(strings.NewReader(c.text), at, 3)
		var where *FileError
		if (c.err == "") != (err == nil) || err != nil && (!strings.Contains(err.Error(), c.err) || !errors.As(err, &where) || where.Offset > int64(len(c.text))) {
			t.Errorf("%s: %v, want %q", c.text, err, c.err)
		}
		if got := slices.Collect(s.All()); err == nil && !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.text, got, c.want)
		}
	}
}

// TestReadASPAs: those of rpki-client and Routinator, and what is left out.
func TestReadASPAs(t *testing.T) {
	for _, c := range []struct {
		text, want, err string
	}{
		{`{"customer_asid": 64500, "expires": 1700000001, "providers": [64502, 64501, 64501]}`, "[{64500 [64501 64502]}]", ""},
		{`{"customer": "AS64500", "providers": ["AS64501"], "ta": "ripe"}, {"customer": "AS1", "providers": ["AS0"]}`, "[{1 [0]} {64500 [64501]}]", ""},
		{`{"customer_asid": 1, "providers": [3]}, {"customer_asid": 1, "providers": [2]}`, "[{1 [2 3]}]", ""},
		{`{"customer_asid": 1, "expires": 1700000000, "providers": [2]}`, "[]", ""},
		{`{"providers": [2]}`, "", "no customer_asid"},
		{`{"customer_asid": 1}`, "", "empty list"},
		{`{"customer_asid": 1, "providers": [2, 3, 4, 5]}`, "", "more than 3"},
		{`{"customer_asid": 1, "providers": ["x"]}`, "", "no AS number"},
	} {
		_, s, err := ReadJSON(strings.NewReader(`{"aspas": [`+c.text+`], "roas": []}`), time.Unix(1_700_000_000, 0), 3)
		if (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q", c.text, err, c.err)
		}
		if got := fmt.Sprint(slices.Collect(s.All())); err == nil && got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

// FuzzReadJSON: what is read is written, and read again the same.
func FuzzReadJSON(f *testing.F) {
	f.Add(`{"roas": [{"asn": "AS64496", "prefix": "10.0.0.0/8", "maxLength": 16}, {"asn": 1, "prefix": "2001:db8::/32"}]}`)
	f.Add(`{"x": [{}, [1, "a"]], "roas": []}`)
	f.Add(`{"roas": [], "aspas": [{"customer_asid": 64500, "providers": [64501, 64502]}, {"customer": "AS1", "providers": ["AS0"]}]}`)
	f.Fuzz(func(t *testing.T, text string) {
		s, aspas, err := ReadJSON(strings.NewReader(text), time.Time{}, 100)
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
		b.WriteString(`], "aspas": [`)
		comma := ""
		for a := range aspas.All() {
			fmt.Fprintf(&b, `%s{"customer_asid": %d, "providers": [`, comma, a.Customer)
			for i, p := range a.Providers {
				fmt.Fprintf(&b, "%.*s%d", min(i, 1), ",", p)
			}
			b.WriteString("]}")
			comma = ","
		}
		b.WriteString(`]}`)
		again, all, err := ReadJSON(strings.NewReader(b.String()), time.Time{}, 100)
		if err != nil || Difference(s, again).Len() != 0 || !aspas.Equal(all) {
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
		if _, _, err := ReadJSON(strings.NewReader(text.String()), time.Time{}, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
