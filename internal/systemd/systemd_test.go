package systemd

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"holdfast/testkit/manager"
)

func TestMessages(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@holdfast-test-" + strconv.Itoa(os.Getpid())} {
		c := manager.At(t, name)
		n, err := New(manager.Getenv(c.Environment(time.Second)), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		for _, m := range []struct {
			say  func()
			want string
		}{
			{n.Ready, `^READY=1$`},
			{n.Reloading, `^RELOADING=1\nMONOTONIC_USEC=[1-9]\d+$`},
			{func() { n.Status("12 of 14 neighbors up") }, `^STATUS=12 of 14 neighbors up$`},
			{n.Alive, `^WATCHDOG=1$`},
			{n.Stopping, `^STOPPING=1$`},
		} {
			m.say()
			if got := c.Hear(); !regexp.MustCompile(m.want).MatchString(got) {
				t.Errorf("%s: it says %q, want %s", name, got, m.want)
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	socket := manager.New(t).Environment(0)[0]
	for _, c := range []struct {
		env  []string
		want time.Duration
	}{
		{nil, 0},
		{[]string{"WATCHDOG_USEC=3000000"}, 0}, // nobody listens
		{[]string{socket}, 0},
		{[]string{socket, "WATCHDOG_USEC=3000000"}, 3 * time.Second},
		{[]string{socket, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=" + strconv.Itoa(os.Getpid())}, 3 * time.Second},
		{[]string{socket, "WATCHDOG_USEC=3000000", "WATCHDOG_PID=1"}, 0},
		{[]string{socket, "WATCHDOG_USEC=soon"}, 0},
	} {
		n, err := New(manager.Getenv(c.env), log)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Watchdog(); got != c.want {
			t.Errorf("%v: the watchdog waits %v, want %v", c.env, got, c.want)
		}
		n.Close()
	}
	if _, err := New(manager.Getenv([]string{socket + "x"}), log); err == nil {
		t.Error("a manager that is not there is no error")
	}
}

// TestNobody: without systemd, nothing is said and nothing fails.
func TestNobody(t *testing.T) {
	var n *Notifier
	n.Ready()
	n.Reloading()
	n.Status("up")
	n.Alive()
	n.Stopping()
	n.Close()
}
