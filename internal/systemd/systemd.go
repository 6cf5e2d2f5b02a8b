// Package systemd tells the service manager how a service is, as sd_notify(3)
// describes. The socket is opened once, at the start: what confines the process
// later does not cut it off.
package systemd

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"holdfast/internal/events"
)

// patience is how long a message may wait for a manager that does not read.
const patience = time.Second

// Notifier speaks to the service manager. A nil one has nobody to speak to.
type Notifier struct {
	conn     *net.UnixConn
	watchdog time.Duration
	log      *slog.Logger
}

// New makes the Notifier that the environment asks for, nil if it asks for none.
func New(getenv func(string) string, log *slog.Logger) (*Notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"}) // "@name" is an abstract one
	if err != nil {
		return nil, fmt.Errorf("cannot reach the service manager at NOTIFY_SOCKET: %w", err)
	}
	n := &Notifier{conn: conn, log: log}
	// The watchdog may be meant for another process.
	if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
			n.watchdog = time.Duration(usec) * time.Microsecond
		}
	}
	return n, nil
}

// Close closes the socket.
func (n *Notifier) Close() {
	if n != nil {
		n.conn.Close()
	}
}

// Watchdog is how long the manager waits between two signs of life; 0 if it
// waits for none.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Ready says that the service is up, at first and after each Reloading.
func (n *Notifier) Ready() { n.send("READY=1") }

// Reloading says that a reload has begun. The time tells the manager that it is
// the one that it asked for.
func (n *Notifier) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		n.send("RELOADING=1")
		return
	}
	n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping says that the service is about to end.
func (n *Notifier) Stopping() { n.send("STOPPING=1") }

// Status says in a line for people how the service is.
func (n *Notifier) Status(text string) { n.send("STATUS=" + text) }

// Alive is a sign of life for the watchdog.
func (n *Notifier) Alive() { n.send("WATCHDOG=1") }

func (n *Notifier) send(message string) {
	if n == nil {
		return
	}
	err := n.conn.SetWriteDeadline(time.Now().Add(patience))
	if err == nil {
		_, err = n.conn.Write([]byte(message))
	}
	if err != nil {
		n.log.Warn("cannot tell the service manager", "event", events.ManagerLost, "message", message, "error", err)
	}
}
