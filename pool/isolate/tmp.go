package isolate

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// tmpPrefix begins the names of workers' folders: prefix, pid of the daemon, a
// dash, random digits.
const tmpPrefix = "rrd-worker-"

// MakeTmp makes a folder for one worker's temporary files below base. It belongs
// to the user of the worker (nil: the daemon's), and nobody else may enter it.
func MakeTmp(base string, cred *syscall.Credential) (string, error) {
	dir, err := os.MkdirTemp(base, tmpPrefix+strconv.Itoa(os.Getpid())+"-")
	if err != nil {
		return "", fmt.Errorf("cannot make a private folder for temporary files: %w", err)
	}
	if cred != nil {
		if err := os.Chown(dir, int(cred.Uid), int(cred.Gid)); err != nil {
			return "", errors.Join(fmt.Errorf("cannot give %s to the worker: %w", dir, err), os.Remove(dir))
		}
	}
	return dir, nil
}

// SweepTmp removes the folders that daemons which are dead have left below base.
func SweepTmp(base string) error {
	left, err := filepath.Glob(filepath.Join(base, tmpPrefix+"*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range left {
		digits, _, ok := strings.Cut(strings.TrimPrefix(filepath.Base(dir), tmpPrefix), "-")
		pid, err := strconv.Atoi(digits)
		if !ok || err != nil || pid <= 0 || syscall.Kill(pid, 0) != syscall.ESRCH {
			continue
		}
		// What another user's daemon has left is for that one.
		if err := os.RemoveAll(dir); err != nil && !errors.Is(err, os.ErrPermission) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
