//go:build interop

package interop

import (
	"fmt"
	"regexp"
	"testing"

	. "holdfast/testkit/netlab"
)

// TestObserve looks at a session with BIRD from outside: metrics have its
// numbers, and monitor shows what BIRD announces, changes and withdraws.
func TestObserve(t *testing.T) {
	t.Parallel()
	theirs := []Route{plain("198.51.1.0/24"), plain("198.51.2.0/24"), plain("2001:db8:101::/48")}
	p := connect(t, BIRD(), options{otherOnes: theirs, hfRoutes: []Route{plain("198.51.11.0/24")}})
	p.up(t)
	AwaitRoutes(t, p.hf, "v4", p.fromOther(theirs[:2]...))
	AwaitRoutes(t, p.other, "v4", p.fromHoldfast(plain("198.51.11.0/24")))
	series := func(want ...string) {
		t.Helper()
		Await(t, Patience, "metrics", func() error {
			text, err := p.hf.Metrics(p.otherNode)
			if err != nil {
				return err
			}
			for _, w := range want {
				if !regexp.MustCompile("(?m)^" + w + "$").MatchString(text) {
					return fmt.Errorf("there is no %s in\n%s", w, text)
				}
			}
			return nil
		})
	}
	series(`holdfast_neighbor_up\{neighbor="v4"\} 1`, `holdfast_neighbor_up\{neighbor="v6"\} 1`,
		`holdfast_neighbor_info\{address="`+p.otherNode.V4.String()+`",asn="64601",group="",neighbor="v4"\} 1`,
		`holdfast_neighbor_prefixes\{family="ipv4",kind="received",neighbor="v4"\} 2`,
		`holdfast_neighbor_prefixes\{family="ipv4",kind="accepted",neighbor="v4"\} 2`,
		`holdfast_neighbor_prefixes\{family="ipv4",kind="advertised",neighbor="v4"\} 1`,
		`holdfast_neighbor_prefixes\{family="ipv6",kind="received",neighbor="v6"\} 1`,
		`holdfast_table_prefixes\{family="ipv4",table="main"\} 3`,
		`holdfast_table_originated_prefixes\{family="ipv4",table="main"\} 1`,
		`holdfast_neighbor_messages_total\{direction="in",neighbor="v4",type="update"\} [1-9]\d*`,
		`process_start_time_seconds .*`)

	m := p.hf.Monitor()
	shows := func(line string) {
		t.Helper()
		Await(t, Patience, "monitor", func() error {
			if err := m.Running(); err != nil {
				t.Fatal(err)
			}
			if log := m.Log(); !regexp.MustCompile("(?m)^" + line + "$").MatchString(log) {
				return fmt.Errorf("there is no %s in\n%s", line, log)
			}
			return nil
		})
	}
	shows("watching since .*")
	const at = `\d\d:\d\d:\d\d\.\d\d\d `
	more := plain("198.51.3.0/24")
	p.other.Announce(more)
	shows(at + `\+ 198\.51\.3\.0/24 v4, next hop ` + p.otherNode.V4.String() + `, path 64601 \(update from v4\)`)
	more.MED = new(uint32(7))
	p.other.Announce(more)
	shows(at + `~ 198\.51\.3\.0/24 v4, MED none → 7 \(update from v4\)`)
	p.other.Withdraw(more)
	shows(at + `- 198\.51\.3\.0/24 was v4, .* \(update from v4\)`)
	p.hf.Announce(plain("198.51.12.0/24"))
	shows(at + `\+ 198\.51\.12\.0/24 \(originated\), next hop -, path \(empty\) \(revision 2\)`)
	p.other.Process().Stop()
	shows(at + `- neighbor v4 \(.*\) is down: received NOTIFICATION Cease.*`)
	shows(at + `- 198\.51\.1\.0/24 was v4, .* \(session down with v4\)`)
	series(`holdfast_neighbor_up\{neighbor="v4"\} 0`, `holdfast_neighbor_flaps_total\{neighbor="v4"\} 1`, `holdfast_monitors 1`)
	m.Stop()
	series(`holdfast_monitors 0`)
}
