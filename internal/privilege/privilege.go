// Package privilege gives up what a router does not need: root, capabilities,
// and the files that are none of its business.
//
// Credentials and Landlock rules belong to a thread on Linux, and a Go process
// has many, new ones at any time. Calls that change them therefore go through
// psx, which makes them on all threads at once, with and without cgo. To exec
// itself with ambient capabilities would do as well, but would leave rights to
// programs that a router never starts.
package privilege

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

// needed are the capabilities of a router: ports below 1024, now and at the next
// reload; routes in the kernel; router advertisements; BFD on time.
var needed = []int{unix.CAP_NET_BIND_SERVICE, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_NICE}

// User is whom a process becomes.
type User struct {
	Name     string
	UID, GID int
	Groups   []int // others that it is a member of
}

// Find looks a user up by name or number.
func Find(name string) (User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if byID, e := user.LookupId(name); e == nil {
			u, err = byID, nil
		}
	}
	if err != nil {
		return User{}, fmt.Errorf("there is no user %q: create it with \"useradd --system %s\", or choose another with --user", name, name)
	}
	found := User{Name: u.Username}
	ids, err := u.GroupIds()
	if err != nil {
		return User{}, fmt.Errorf("cannot find the groups of user %s: %w", u.Username, err)
	}
	all, err := numbers(append(ids, u.Uid, u.Gid))
	if err != nil {
		return User{}, fmt.Errorf("cannot use user %s: %w", u.Username, err)
	}
	n := len(ids)
	found.Groups, found.UID, found.GID = all[:n:n], all[n], all[n+1]
	return found, nil
}

// Group looks a group up by name or number.
func Group(name string) (gid int, err error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		if byID, e := user.LookupGroupId(name); e == nil {
			g, err = byID, nil
		}
	}
	if err != nil {
		return 0, fmt.Errorf("there is no group %q: create it with \"groupadd --system %s\"", name, name)
	}
	return strconv.Atoi(g.Gid)
}

func numbers(texts []string) ([]int, error) {
	var all []int
	for _, s := range texts {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
	}
	return all, nil
}

// Become makes a process of root one of u, which keeps what Reduce keeps, and
// adds it to groups beside its own. Only Reduce may follow.
func Become(u User, groups ...int) error {
	// Dropping is for root: later on, nobody could raise these any more.
	for c := range unix.CAP_LAST_CAP + 1 {
		if slices.Contains(needed, c) {
			continue
		}
		if err := prctl(unix.PR_CAPBSET_DROP, uintptr(c)); err != nil && !errors.Is(err, unix.EINVAL) { // unknown to this kernel
			return fmt.Errorf("cannot drop capability %d: %w", c, err)
		}
	}
	if err := prctl(unix.PR_SET_KEEPCAPS, 1); err != nil {
		return fmt.Errorf("cannot keep capabilities: %w", err)
	}
	all := slices.Concat([]int{u.GID}, u.Groups, groups)
	slices.Sort(all)
	// Go makes these on all threads.
	err := syscall.Setgroups(slices.Compact(all))
	if err == nil {
		err = syscall.Setresgid(u.GID, u.GID, u.GID)
	}
	if err == nil {
		err = syscall.Setresuid(u.UID, u.UID, u.UID)
	}
	if err != nil {
		return fmt.Errorf("cannot become user %s: %w", u.Name, err)
	}
	return Reduce()
}

// Reduce keeps of the present capabilities those that a router needs, for
// itself only: no program that it might start has any, or could get new ones.
func Reduce() error {
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	have := &[2]unix.CapUserData{}
	if err := unix.Capget(header, &have[0]); err != nil {
		return fmt.Errorf("cannot read the capabilities: %w", err)
	}
	keep := &[2]unix.CapUserData{}
	for _, c := range needed {
		bit := have[c/32].Permitted & (1 << (c % 32))
		keep[c/32].Permitted |= bit
		keep[c/32].Effective |= bit
	}
	if _, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header)), uintptr(unsafe.Pointer(keep)), 0); errno != 0 {
		return fmt.Errorf("cannot drop capabilities: %w", errno)
	}
	if err := prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL); err != nil {
		return fmt.Errorf("cannot drop ambient capabilities: %w", err)
	}
	if err := prctl(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return fmt.Errorf("cannot renounce new privileges: %w", err)
	}
	return nil
}

// prctl is prctl(2) on all threads.
func prctl(option int, arg uintptr) error {
	if _, _, errno := psx.Syscall6(unix.SYS_PRCTL, uintptr(option), arg, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	return nil
}
