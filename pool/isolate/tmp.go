package isolate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// tmpPrefix begins the names of workers' folders: prefix, pid of the daemon, a
// dash, random digits.
const tmpPrefix = "rrd-worker-"

var tmpName = regexp.MustCompile(`^` + tmpPrefix + `[0-9]+-[0-9]+$`)

// Tmp is the folder for one worker's temporary files. The daemon holds a lock on it
// (flock) as long as it lives, which is how the next one knows what is left over: the
// pid would not do, in a container it is 1 for each of them.
type Tmp struct {
	dir  string
	lock *os.File
}

// MakeTmp makes a folder below base. It belongs to the user of the worker (nil: the
// daemon's), and nobody else may enter it.
func MakeTmp(base string, cred *syscall.Credential) (*Tmp, error) {
	for {
		dir, err := os.MkdirTemp(base, tmpPrefix+strconv.Itoa(os.Getpid())+"-")
		if err != nil {
			return nil, fmt.Errorf("cannot make a private folder for temporary files: %w", err)
		}
		lock, err := lockDir(dir, 0)
		if errors.Is(err, os.ErrNotExist) {
			continue // another daemon swept it before it was locked
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("cannot lock the private folder for temporary files: %w", err), os.Remove(dir))
		}
		t := &Tmp{dir, lock}
		if cred != nil {
			if err := lock.Chown(int(cred.Uid), int(cred.Gid)); err != nil {
				return nil, errors.Join(fmt.Errorf("cannot give %s to the worker: %w", dir, err), t.Remove())
			}
		}
		return t, nil
	}
}

// Dir is the path of the folder, "" for nil.
func (t *Tmp) Dir() string {
	if t == nil {
		return ""
	}
	return t.dir
}

// Remove removes the folder with all that is in it; nothing for nil. Without control
// groups a child of the worker may still write there; what is left then is swept.
func (t *Tmp) Remove() error {
	if t == nil {
		return nil
	}
	return errors.Join(os.RemoveAll(t.dir), t.lock.Close())
}

// SweepTmp removes the folders that daemons which are dead have left below base.
func SweepTmp(base string) error {
	left, err := filepath.Glob(filepath.Join(base, tmpPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range left {
		if !tmpName.MatchString(filepath.Base(dir)) {
			continue
		}
		lock, err := lockDir(dir, unix.LOCK_NB)
		if err != nil {
			continue // in use, of another user, gone, or no folder
		}
		// What another user's daemon has left is for that one.
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrPermission) {
			errs = append(errs, err)
		}
		lock.Close()
	}
	return errors.Join(errs...)
}

// lockDir locks a folder; os.ErrNotExist is that it was removed meanwhile.
func lockDir(dir string, how int) (*os.File, error) {
	f, err := os.OpenFile(dir, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	var held, there unix.Stat_t
	if err = ignoringEINTR(func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|how) }); err == nil {
		err = unix.Fstat(int(f.Fd()), &held)
	}
	if err == nil {
		err = unix.Lstat(dir, &there)
	}
	if err == nil && (held.Dev != there.Dev || held.Ino != there.Ino) {
		err = os.ErrNotExist
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func ignoringEINTR(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
