package cli

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"holdfast/internal/replay"
)

func TestSelection(t *testing.T) {
	for s, want := range map[string]replay.Selection{
		"": {}, "all": {All: true}, "7": {Index: 7}, "AS3333": {AS: 3333}, "as4200000000": {AS: 4200000000},
		"192.0.2.1": {Addr: netip.MustParseAddr("192.0.2.1")}, "2001:db8::1": {Addr: netip.MustParseAddr("2001:db8::1")},
	} {
		if got, err := selection(s); err != nil || got != want {
			t.Errorf("--from %q is %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"0", "-1", "AS", "AS0", "AS4294967296", "somebody"} {
		if got, err := selection(s); err == nil {
			t.Errorf("--from %q is %+v", s, got)
		}
	}
}

func TestNextHop(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, c := range []struct {
		args []string
		want replay.NextHop
	}{
		{nil, replay.NextHop{}},
		{[]string{"keep"}, replay.NextHop{Keep: true}},
		{[]string{"2001:db8::1", "192.0.2.1"}, replay.NextHop{Addr: [2]netip.Addr{v4, v6}}},
	} {
		if got, err := nextHop(c.args); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("--next-hop %q is %+v, %v", c.args, got, err)
		}
	}
	if _, err := nextHop([]string{"self"}); err == nil {
		t.Error("--next-hop self was taken")
	}
}

func TestBar(t *testing.T) {
	for want, r := range map[string]replay.Progress{
		"connecting":                            {Phase: replay.Connecting},
		"inspecting [##########----------] 50%": {Phase: replay.Inspecting, Done: 500, Total: 1000},
		"sending [#####---------------] 25%, 250,000 of 1,000,000, 125,000/s": {Phase: replay.Sending, Done: 250000, Total: 1000000},
		"loading [####################] 100%":                                 {Phase: replay.Loading, Done: 1001, Total: 1000},
	} {
		if got := bar(r, 2*time.Second); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
