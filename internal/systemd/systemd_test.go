package systemd

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// environment is what systemd starts a service with.
type environment map[string]string

func (e environment) get(name string) string { return e[name] }

// manager plays the side of systemd.
func manager(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func hear(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var b [4096]byte
	n, err := c.Read(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestMessages(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), "@holdfast-test-" + strconv.Itoa(os.Getpid())} {
		c := manager(t, name)
		n, err := New(environment{"NOTIFY_SOCKET": name}.get, slog.New(slog.DiscardHandler))
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
			if got := hear(t, c); !regexp.MustCompile(m.want).MatchString(got) {
				t.Errorf("%s: it says %q, want %s", name, got, m.want)
			}
		}
	}
}

func TestEnvironment(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	name := filepath.Join(t.TempDir(), "notify")
	manager(t, name)
	for _, c := range []struct {
		env  environment
		want time.Duration
	}{
		{environment{}, 0},
		{environment{"WATCHDOG_USEC": "3000000"}, 0}, // nobody listens
		{environment{"NOTIFY_SOCKET": name}, 0},
		{environment{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000"}, 3 * time.Second},
		{environment{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": strconv.Itoa(os.Getpid())}, 3 * time.Second},
		{environment{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0},
		{environment{"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "soon"}, 0},
	} {
		n, err := New(c.env.get, log)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.Watchdog(); got != c.want {
			t.Errorf("%v: the watchdog waits %v, want %v", c.env, got, c.want)
		}
		n.Close()
	}
	if _, err := New(environment{"NOTIFY_SOCKET": name + "x"}.get, log); err == nil {
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
