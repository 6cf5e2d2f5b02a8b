package session

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/testkit/memnet"
)

// TestLog: what the log tells of a session can be matched without taking a
// sentence apart. These attributes stay.
func TestLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := memnet.New()
		a, b := newRouter(t, n, addrA), newRouter(t, n, addrB)
		set(t, a, settings(addrA))
		set(t, b, settings(addrB))
		wait(time.Minute)
		a.Close("upgrade")
		synctest.Wait()
		about := "neighbor=them address=" + addrA.String() + " asn=65001 "
		for _, want := range []string{
			`level=INFO msg="neighbor up" event=neighbor-up ` + about + "families=ipv4,ipv6",
			`level=WARN msg="neighbor down" event=neighbor-down ` + about +
				`reason="received NOTIFICATION Cease: administrative shutdown (6/2), \"upgrade\"" notification=received code=6 subcode=2 lasted=1m0s`,
		} {
			if !strings.Contains(b.logs.String(), want) {
				t.Errorf("the log has no %s", want)
			}
		}
		if want := "notification=sent code=6 subcode=2 lasted="; !strings.Contains(a.logs.String(), want) {
			t.Errorf("the log of the other side has no %s", want)
		}
	})
}
