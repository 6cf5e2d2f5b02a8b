package api

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// maxSocketPath is what a unix socket address holds on Linux, less the suffix
// of the name that a socket is made under.
const maxSocketPath = 107 - len(newSuffix)

const (
	newSuffix  = ".new"
	lockSuffix = ".lock"
)

// Access is who may use a socket beside its owner.
type Access struct {
	Mode  fs.FileMode
	Group int // -1 for that of the process
}

// GroupOnly is the access of the owner and the process's group.
var GroupOnly = Access{0o660, -1}

// Listen makes a unix socket, and its directory if there is none. A socket on
// which nobody listens any more is replaced; one that is in use, or a file of
// another kind, is an error.
func Listen(path string, access Access) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("cannot make the socket %s: the path is longer than %d bytes", path, maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the socket: %w (choose another with --socket)", err)
	}
	// Two that start at once take turns here. The file is ours alone: on one that
	// anybody can open, anybody could hold us up.
	lock, err := os.OpenFile(path+lockSuffix, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot make the socket: %w (choose another with --socket)", err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("cannot make the socket: cannot lock %s: %w", lock.Name(), err)
	}
	if err := replaceable(path); err != nil {
		return nil, err
	}
	// Under its name the socket never has another mode than the final one.
	temporary := path + newSuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot make the socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: temporary, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("cannot make the socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	s := &socket{UnixListener: l, path: path}
	if err = os.Chown(temporary, -1, access.Group); err != nil {
		err = fmt.Errorf("%w (only a member of a group may give it a socket: usermod -aG %s USER, the user that holdfast runs as)", err, groupName(access.Group))
	} else if err = os.Chmod(temporary, access.Mode); err == nil {
		if s.info, err = os.Lstat(temporary); err == nil {
			err = os.Rename(temporary, path)
		}
	}
	if err != nil {
		l.Close()
		os.Remove(temporary)
		return nil, fmt.Errorf("cannot make the socket: %w", err)
	}
	return s, nil
}

// GroupOf names the group that may use a socket, as far as that can be seen.
func GroupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "its group"
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "its group"
	}
	return "group " + groupName(int(s.Gid))
}

// groupName is a group's name, or its number if it has none.
func groupName(gid int) string {
	id := strconv.Itoa(gid)
	if g, err := user.LookupGroupId(id); err == nil {
		return g.Name
	}
	return id
}

// replaceable returns nil if a socket may be made at path.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot make the socket: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("cannot make the socket %s: a file that is no socket is there", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		c.Close()
		return fmt.Errorf("another holdfast listens on %s: stop it, or choose another --socket", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot tell whether %s is in use: %w", path, err)
	}
	return nil
}

// socket removes its file when it is closed, unless another has taken its
// place.
type socket struct {
	*net.UnixListener
	path string
	info os.FileInfo
	once sync.Once
}

func (s *socket) Close() error {
	s.once.Do(func() {
		if now, err := os.Lstat(s.path); err == nil && os.SameFile(now, s.info) {
			os.Remove(s.path)
		}
	})
	return s.UnixListener.Close()
}
