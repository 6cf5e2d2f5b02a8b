//go:build interop

package interop

import (
	"errors"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "holdfast/testkit/netlab"
)

// traced runs trace while the session of a neighbor begins anew, again and again
// until it has seen enough.
func traced(t *testing.T, p *pair, args ...string) string {
	t.Helper()
	type end struct {
		out string
		err error
	}
	ended := make(chan end, 1)
	go func() {
		out, err := p.hf.Ask(append([]string{"trace", "v4"}, args...)...)
		ended <- end{out, err}
	}()
	var got end
	Await(t, Patience, "end of the trace", func() error {
		select {
		case got = <-ended:
			return nil
		default:
		}
		if s, err := p.hf.Session("v4"); err == nil && s.Established {
			ask(t, p.hf, "clear", "neighbor", "v4")
		}
		return errors.New("it still runs")
	})
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.out
}

// TestTrace: the messages of a session that comes up, from the OPEN on, as text,
// and as a capture that tshark reads without a complaint.
func TestTrace(t *testing.T) {
	NeedTools(t, "tshark")
	t.Parallel()
	ours := Route{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Origin: "igp", Communities: []string{"64500:7"}}
	p := connect(t, BIRD(), options{hfRoutes: []Route{ours}, change: func(s *Session) { s.Password = "correct-horse" }})
	p.up(t, "v4")
	text := traced(t, p, "--count", "30")
	for _, want := range []string{
		"connected (", "  sent OPEN\n", "  received OPEN\n", "version 4, AS 64601, hold time ", "capability four-octet AS number: 64500",
		"  sent UPDATE\n", "announces 203.0.113.0/24\n", "communities 64500:7\n", "End-of-RIB ipv4", "  sent KEEPALIVE\n", "the session is Established",
		"the session has ended: sent NOTIFICATION Cease: administrative reset (6/4)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	file := filepath.Join(p.hfNode.Dir, "v4.pcap")
	piped := traced(t, p, "--count", "30", "--pcap", file)
	if strings.Contains(text+piped, "correct-horse") {
		t.Error("the password is in the trace")
	}
	tshark := func(args ...string) []string {
		out, err := exec.Command("tshark", append([]string{"-r", file, "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"}, args...)...).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Fields(string(out))
	}
	if bad := tshark("-Y", "_ws.malformed || !bgp || ip.checksum.status == 0 || tcp.checksum.status == 0 || tcp.analysis.flags", "-T", "fields", "-e", "frame.number"); len(bad) > 0 {
		t.Errorf("tshark complains of the packets %v", bad)
	}
	types := tshark("-T", "fields", "-e", "bgp.type")
	if len(types) != 30 {
		t.Errorf("there are %d messages: %v", len(types), types)
	}
	for _, typ := range []string{"1", "2", "3", "4"} {
		if !slices.Contains(types, typ) {
			t.Errorf("tshark finds no message of type %s: %v", typ, types)
		}
	}
	if got := tshark("-Y", "bgp.nlri_prefix == 203.0.113.0", "-T", "fields", "-e", "ip.src"); !slices.Contains(got, p.hfNode.V4.String()) {
		t.Errorf("tshark sees the prefix from %v", got)
	}
}
