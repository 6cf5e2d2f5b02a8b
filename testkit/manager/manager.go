// Package manager plays the service manager to a router: systemd's side of
// sd_notify(3).
package manager

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience is how long a message may take.
const patience = 20 * time.Second

// Manager hears what one service says.
type Manager struct {
	t    testing.TB
	conn *net.UnixConn
	name string
}

// New makes a Manager that listens until the end of the test.
func New(t testing.TB) *Manager { return At(t, filepath.Join(t.TempDir(), "notify")) }

// At makes a Manager with a socket of that name; "@name" is an abstract one.
func At(t testing.TB, name string) *Manager {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &Manager{t, c, name}
}

// Environment is what the service is started with, its watchdog included.
func (m *Manager) Environment(watchdog time.Duration) []string {
	return []string{"NOTIFY_SOCKET=" + m.name, fmt.Sprintf("WATCHDOG_USEC=%d", watchdog.Microseconds())}
}

// Hear is the next message.
func (m *Manager) Hear() string {
	m.t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		m.t.Fatal(err)
	}
	var b [4096]byte
	n, err := m.conn.Read(b[:])
	if err != nil {
		m.t.Fatalf("the manager is told nothing: %v", err)
	}
	return string(b[:n])
}

// Await waits for messages that begin like this, in this order and with any
// others between them.
func (m *Manager) Await(want ...string) {
	m.t.Helper()
	for deadline := time.Now().Add(patience); len(want) > 0; {
		if time.Now().After(deadline) {
			m.t.Fatalf("the manager is not told %q", want[0])
		}
		if strings.HasPrefix(m.Hear(), want[0]) {
			want = want[1:]
		}
	}
}

// Getenv looks a variable up in an environment.
func Getenv(environment []string) func(name string) string {
	return func(name string) string {
		for _, v := range environment {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value
			}
		}
		return ""
	}
}
