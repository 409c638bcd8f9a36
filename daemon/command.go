package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/rr-systemd/rrd/daemon/config"
)

// Errors of this file are *config.Error without a position; Tree.Locate adds it.

// resolveDir resolves server.dir and every symbolic link in it. It is done
// anew for each generation, so that a `current` link that points to a new
// release takes effect with the next reload; all workers of one generation run
// the same release even when the link moves meanwhile.
func resolveDir(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return "", dirError(dir, fmt.Sprintf("cannot use the folder %q: %v", dir, err))
	}
	if info, err := os.Stat(real); err != nil {
		return "", dirError(dir, fmt.Sprintf("cannot use the folder %q: %v", dir, err))
	} else if !info.IsDir() {
		return "", dirError(dir, fmt.Sprintf("%q is not a folder", dir))
	}
	return real, nil
}

func dirError(dir, problem string) error {
	return &config.Error{Key: "server.dir", Value: dir, Problem: problem, Fix: "name the folder in which server.command runs"}
}

// findProgram returns argv with a program that fork/exec finds: a relative path
// starts in dir, where the program will run.
func findProgram(key string, argv []string, dir string) ([]string, error) {
	name := argv[0]
	if strings.Contains(name, "/") && !filepath.IsAbs(name) && dir != "" {
		name = filepath.Join(dir, name)
		argv = append([]string{name}, argv[1:]...)
	}
	_, err := exec.LookPath(name)
	e := &config.Error{Key: key, Value: name, Err: err}
	switch {
	case err == nil:
		return argv, nil
	case errors.Is(err, exec.ErrNotFound) && name == "php":
		e.Problem, e.Fix = `cannot find the program "php"`, "install it (apt-get install php-cli) or write its whole path"
	case errors.Is(err, exec.ErrNotFound):
		e.Problem, e.Fix = fmt.Sprintf("cannot find the program %q", name), "install it or write its whole path"
	case errors.Is(err, exec.ErrDot):
		e.Problem, e.Fix = fmt.Sprintf("cannot run %q: PATH finds it in the working folder", name), "write ./"+name
	default:
		e.Problem, e.Fix = fmt.Sprintf("cannot run %q: %v", name, errors.Unwrap(err)), "write the whole path of a program that is executable"
	}
	return nil, e
}

// credential looks up the user and group keys of a section; nil means the
// daemon's own. The supplementary groups are those of the user, as for a login;
// RoadRunner clears them and ignores server.group.
func credential(section, userName, groupName string) (*syscall.Credential, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	cred := &syscall.Credential{Uid: uint32(os.Geteuid()), Gid: uint32(os.Getegid())}
	if userName != "" {
		u, err := lookupUser(userName)
		if err != nil {
			return nil, &config.Error{Key: section + ".user", Value: userName, Err: err,
				Problem: fmt.Sprintf("unknown user %q", userName), Fix: fmt.Sprintf("create it (useradd --system %s) or name another", userName)}
		}
		cred.Uid, cred.Gid = id(u.Uid), id(u.Gid)
		groups, err := u.GroupIds()
		if err != nil {
			return nil, &config.Error{Key: section + ".user", Value: userName, Err: err, Problem: fmt.Sprintf("cannot read the groups of %q: %v", userName, err)}
		}
		for _, g := range groups {
			cred.Groups = append(cred.Groups, id(g))
		}
	}
	if groupName != "" {
		g, err := lookupGroup(groupName)
		if err != nil {
			return nil, &config.Error{Key: section + ".group", Value: groupName, Err: err,
				Problem: fmt.Sprintf("unknown group %q", groupName), Fix: fmt.Sprintf("create it (groupadd --system %s) or name another", groupName)}
		}
		cred.Gid = id(g.Gid)
	}
	if os.Geteuid() == 0 {
		return cred, nil
	}
	if cred.Uid != uint32(os.Geteuid()) || cred.Gid != uint32(os.Getegid()) {
		return nil, &config.Error{Key: section + ".user", Value: userName,
			Problem: fmt.Sprintf("cannot run workers as user %q, group %q: rrd runs as uid %d and only root may change the user", userName, groupName, os.Geteuid()),
			Fix:     "remove the key or set User= in the unit"}
	}
	return nil, nil // they are ours already, and only root may set them
}

func lookupUser(name string) (*user.User, error) {
	u, err := user.Lookup(name)
	if unknown := user.UnknownUserError(""); errors.As(err, &unknown) {
		if byID, idErr := user.LookupId(name); idErr == nil {
			return byID, nil
		}
	}
	return u, err
}

func lookupGroup(name string) (*user.Group, error) {
	g, err := user.LookupGroup(name)
	if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) {
		if byID, idErr := user.LookupGroupId(name); idErr == nil {
			return byID, nil
		}
	}
	return g, err
}

func id(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}
