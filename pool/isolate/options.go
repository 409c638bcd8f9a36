package isolate

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Options is the section isolation of a pool. Zero values mean the default.
type Options struct {
	// NoNewPrivs keeps setuid programs from gaining privileges; nil means true.
	NoNewPrivs *bool `cfg:"no_new_privs"`
	// PrivateTmp gives every worker a folder for temporary files (TMPDIR) that
	// ends with it.
	PrivateTmp bool      `cfg:"private_tmp"`
	Seccomp    Seccomp   `cfg:"seccomp"`
	Landlock   *Landlock `cfg:"landlock"`
}

// Seccomp is a filter of system calls.
type Seccomp struct {
	// Profile is ProfileOff (default), ProfilePHP or ProfileDeny.
	Profile string `cfg:"profile"`
	// Allow and Deny are names of system calls that are allowed or denied
	// beyond the profile. Deny wins.
	Allow []string `cfg:"allow"`
	Deny  []string `cfg:"deny"`
}

// Values of Seccomp.Profile.
const (
	ProfileOff  = "off"
	ProfilePHP  = "php"  // only what PHP and its extensions use
	ProfileDeny = "deny" // all but what no PHP application needs
)

// Landlock says which folders and files workers may use beyond those that PHP
// itself needs.
type Landlock struct {
	Read  []string `cfg:"read"`  // to read and execute; server.dir always is
	Write []string `cfg:"write"` // to change as well
}

// Validate checks names and paths; whether the kernel can do it is for Check.
func (o *Options) Validate() error {
	s := &o.Seccomp
	switch s.Profile {
	case "", ProfileOff, ProfilePHP, ProfileDeny:
	default:
		return fmt.Errorf("seccomp.profile: unknown profile %q: use %s, %s or %s", s.Profile, ProfilePHP, ProfileDeny, ProfileOff)
	}
	if !s.on() && len(s.Allow)+len(s.Deny) > 0 {
		return fmt.Errorf("seccomp.profile: is off, but allow or deny name system calls: set it to %s or %s", ProfilePHP, ProfileDeny)
	}
	for _, list := range []struct {
		key   string
		names []string
	}{{"allow", s.Allow}, {"deny", s.Deny}} {
		for _, name := range list.names {
			if !known(name) {
				return fmt.Errorf("seccomp.%s: %q is no system call of this machine: write its name as strace shows it, for example ptrace", list.key, name)
			}
		}
	}
	if s.on() && o.NoNewPrivs != nil && !*o.NoNewPrivs {
		return fmt.Errorf("no_new_privs: seccomp needs it: remove %q, or set seccomp.profile to %s", "no_new_privs: false", ProfileOff)
	}
	if o.Landlock == nil {
		return nil
	}
	if o.NoNewPrivs != nil && !*o.NoNewPrivs {
		return fmt.Errorf("no_new_privs: landlock needs it: remove %q or the section landlock", "no_new_privs: false")
	}
	for _, list := range []struct {
		key   string
		paths []string
	}{{"read", o.Landlock.Read}, {"write", o.Landlock.Write}} {
		if i := slices.IndexFunc(list.paths, func(p string) bool { return !filepath.IsAbs(p) }); i >= 0 {
			return fmt.Errorf("landlock.%s: %q is not a whole path: begin it with /", list.key, list.paths[i])
		}
	}
	return nil
}

func (s *Seccomp) on() bool { return s.Profile != "" && !strings.EqualFold(s.Profile, ProfileOff) }

// noNewPrivs is the setting with its default.
func (o *Options) noNewPrivs() bool { return o.NoNewPrivs == nil || *o.NoNewPrivs }

// filtered tells whether a worker is started in two steps.
func (o *Options) filtered() bool { return o.Seccomp.on() || o.Landlock != nil }
