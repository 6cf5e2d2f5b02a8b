package cli

import (
	"strings"
	"testing"

	"holdfast/internal/starter"
)

// TestAsk: what flags do not say is asked for, until the answer can be used.
func TestAsk(t *testing.T) {
	o := &initFlags{shape: "edge", id: "192.0.2.1"}
	var out strings.Builder
	err := o.ask(o.missing(), strings.NewReader("\nx\nAS64500\n203.0.113.0/24 198.51.100.1/24\n203.0.113.0/24  198.51.100.0/24\n64501\n64501@192.0.2.9 64502@192.0.2.13\n"), &out)
	if err != nil {
		t.Fatal(err)
	}
	const want = `Our AS number: Our AS number: "x" is not an AS number like 64500
Our AS number: Our own prefixes, with blanks between: 198.51.100.1/24 has bits set behind its length: write 198.51.100.0/24
Our own prefixes, with blanks between: Transits, as AS@ADDRESS, with blanks between: "64501" is no neighbor: write AS number and address like 64501@192.0.2.9
Transits, as AS@ADDRESS, with blanks between: `
	if out.String() != want {
		t.Errorf("it asked\n%s\nwant\n%s", &out, want)
	}
	options, err := o.options()
	if err != nil || options.ASN != 64500 || len(options.Prefixes) != 2 || len(options.Transits) != 2 {
		t.Fatalf("%+v, %v", options, err)
	}
	if _, err := starter.Write(options); err != nil {
		t.Error(err)
	}

	o = &initFlags{shape: "ix", asn: "1", id: "192.0.2.1", prefixes: []string{"203.0.113.0/24"}, peers: []string{"2@192.0.2.2"}}
	if missing := o.missing(); len(missing) > 0 {
		t.Errorf("it asks for %s", missing[0].text)
	}
	o.peers = nil
	if err := o.ask(o.missing(), strings.NewReader(""), &out); err == nil || err.Error() != "no answer" {
		t.Errorf("got %v", err)
	}
}
