package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"holdfast/internal/config"
	"holdfast/internal/events"
	"holdfast/internal/privilege"
)

// become makes the process one of the user that it is to run as. From here on it
// has the rights that each reload will have, so that what it may not read is
// found now.
func (o *Options) become() error {
	if o.User == "" {
		if o.Confine && os.Geteuid() != 0 {
			return privilege.Reduce()
		}
		return nil
	}
	u, err := privilege.Find(o.User)
	if err != nil {
		return err
	}
	switch os.Geteuid() {
	case u.UID:
		return privilege.Reduce()
	case 0:
	default:
		return fmt.Errorf("cannot become user %s: only root can; leave out --user", u.Name)
	}
	directories := []struct {
		path string
		mode os.FileMode
	}{{o.StateDir, 0o700}, {filepath.Dir(o.SocketPath), 0o755}}
	for _, d := range directories {
		if _, err := os.Stat(d.path); err == nil {
			continue
		}
		err := os.MkdirAll(d.path, d.mode)
		if err == nil {
			err = os.Chown(d.path, u.UID, u.GID)
		}
		if err != nil {
			return fmt.Errorf("cannot make a directory for user %s: %w", u.Name, err)
		}
	}
	groups, err := o.groups()
	if err != nil {
		return err
	}
	if err := privilege.Become(u, groups...); err != nil {
		return err
	}
	for _, d := range directories {
		if unix.Access(d.path, unix.W_OK|unix.X_OK) != nil {
			return fmt.Errorf("user %s cannot write in the directory %s: chown -R %s %s", u.Name, d.path, u.Name, d.path)
		}
	}
	return nil
}

// confine leaves the process the directories of its configuration to read, so
// that a reload finds edited and new files, and its own to write.
func (o *Options) confine(cfg *config.Config) error {
	if !o.Confine {
		return nil
	}
	var read []string
	for _, f := range cfg.Files {
		read = append(read, filepath.Dir(f))
		if real, err := filepath.EvalSymlinks(f); err == nil {
			read = append(read, filepath.Dir(real))
		}
	}
	read = append(read, vrpDirectories(cfg)...)
	slices.Sort(read)
	read = slices.Compact(read)
	write := []string{o.StateDir, filepath.Dir(o.SocketPath)}
	version, err := privilege.Confine(read, write)
	switch {
	case err != nil:
		return fmt.Errorf("%w (--no-sandbox does without)", err)
	case version == 0:
		o.Log.Info("not confined: this kernel has no Landlock; the permissions of files are what protects them", "event", events.ProcessOpen)
	default:
		o.Log.Info("confined", "event", events.ProcessConfined, "landlock", version, "reads", read, "writes", write)
	}
	return nil
}
