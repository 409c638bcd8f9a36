package isolate

import (
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
)

// Folders that PHP reads: itself, its extensions and configuration, libraries,
// time zones, certificates, name resolution, and what programs that it starts
// need.
var systemFolders = []string{
	"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32",
	"/etc", "/opt", "/run", "/proc", "/sys", "/var/lib/php/modules", "/var/lib/ca-certificates",
}

// devices are those that any program may use.
var devices = []string{"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"}

// restrictFiles leaves the system's folders and read for reading, and write for
// everything. Paths of the system that are not there are left out. What the kernel
// does not know yet is not restricted; Check has warned of it.
func restrictFiles(read, write []string) error {
	rules := []landlock.Rule{
		landlock.RODirs(systemFolders...).IgnoreIfMissing(),
		landlock.RWFiles(devices...).WithIoctlDev().IgnoreIfMissing(),
		landlock.RWDirs("/dev/shm").IgnoreIfMissing(),
	}
	for _, path := range read {
		dir, err := isDir(path)
		if err != nil {
			return err
		}
		if dir {
			rules = append(rules, landlock.RODirs(path))
		} else {
			rules = append(rules, landlock.ROFiles(path))
		}
	}
	for _, path := range write {
		dir, err := isDir(path)
		if err != nil {
			return err
		}
		if dir {
			rules = append(rules, landlock.RWDirs(path).WithRefer())
		} else {
			rules = append(rules, landlock.RWFiles(path))
		}
	}
	// Version 7 is the last one whose rights are all about files; later ones also
	// restrict connections to unix sockets, which RPC needs.
	config := landlock.V7.BestEffort()
	if err := config.RestrictPaths(rules...); err != nil {
		return err
	}
	return config.RestrictScoped()
}

func isDir(path string) (bool, error) {
	info, err := os.Stat(path)
	if err != nil {
		return false, fmt.Errorf("cannot use %s: %w", path, err)
	}
	return info.IsDir(), nil
}
