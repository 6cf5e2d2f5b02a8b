package privilege

import (
	"fmt"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
)

// system is what Go and the router read at run time beside the configuration:
// time zones, what the kernel says about this process, interfaces and their
// settings.
var system = []string{"/usr/share/zoneinfo", "/proc/self", "/proc/sys/net", "/sys/class/net", "/sys/devices"}

// Confine leaves the process these directories to read and to write in, as far
// as the kernel has Landlock. Nothing can be executed, and no process outside
// be sent signals or spoken to through abstract sockets. TCP is left alone: a
// reload may ask for any port. It returns the version of Landlock, 0 if the
// kernel has none.
func Confine(read, write []string) (version int, err error) {
	version, err = ll.LandlockGetABIVersion()
	if err != nil {
		return 0, nil
	}
	const look = ll.AccessFSReadFile | ll.AccessFSReadDir
	rules := landlock.V8.BestEffort()
	err = rules.RestrictPaths(
		landlock.PathAccess(look, read...),
		landlock.PathAccess(look, system...).IgnoreIfMissing(),
		// /proc/stat has the time of boot, from which metrics count.
		landlock.PathAccess(ll.AccessFSReadFile, "/etc/localtime", "/etc/passwd", "/proc/stat").IgnoreIfMissing(),
		landlock.RWDirs(write...),
	)
	if err == nil {
		err = rules.RestrictScoped()
	}
	if err != nil {
		return 0, fmt.Errorf("cannot confine the process with Landlock: %w", err)
	}
	return version, nil
}
