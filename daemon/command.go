package daemon

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

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
		return "", fmt.Errorf("server.dir: cannot resolve %q: %w; it must be the folder in which server.command runs", dir, err)
	}
	if info, err := os.Stat(real); err != nil {
		return "", fmt.Errorf("server.dir: cannot use %q: %w", dir, err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("server.dir: %q is not a folder", dir)
	}
	return real, nil
}

// credential looks up server.user and server.group. The supplementary groups
// are those of the user, as for a login; RoadRunner clears them and ignores
// server.group.
func credential(userName, groupName string) (*syscall.Credential, error) {
	if userName == "" && groupName == "" {
		return nil, nil
	}
	cred := &syscall.Credential{Uid: uint32(os.Getuid()), Gid: uint32(os.Getgid()), NoSetGroups: userName == ""}
	if userName != "" {
		u, err := lookupUser(userName)
		if err != nil {
			return nil, fmt.Errorf("server.user: %w; create it (useradd --system %s) or name another", err, userName)
		}
		cred.Uid, cred.Gid = id(u.Uid), id(u.Gid)
		groups, err := u.GroupIds()
		if err != nil {
			return nil, fmt.Errorf("server.user: cannot read the groups of %q: %w", userName, err)
		}
		for _, g := range groups {
			cred.Groups = append(cred.Groups, id(g))
		}
	}
	if groupName != "" {
		g, err := user.LookupGroup(groupName)
		if unknown := user.UnknownGroupError(""); errors.As(err, &unknown) {
			g, err = user.LookupGroupId(groupName)
		}
		if err != nil {
			return nil, fmt.Errorf("server.group: %w; create it (groupadd --system %s) or name another", err, groupName)
		}
		cred.Gid = id(g.Gid)
	}
	if os.Geteuid() != 0 && (cred.Uid != uint32(os.Geteuid()) || cred.Gid != uint32(os.Getegid())) {
		return nil, fmt.Errorf("server.user: cannot run workers as %s:%s: rrd runs as uid %d and only root may change the user; remove the key or set User= in the unit", userName, groupName, os.Geteuid())
	}
	return cred, nil
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

func id(s string) uint32 {
	n, _ := strconv.ParseUint(s, 10, 32)
	return uint32(n)
}
