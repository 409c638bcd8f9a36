package isolate

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// decide runs the filter for a system call in a virtual machine.
func decide(t *testing.T, f *filter, machine uint32, call int, flags uint64) seccomp.Action {
	t.Helper()
	first, err := nativeOnly()
	if err != nil {
		t.Fatal(err)
	}
	rest, err := policy(f).Assemble()
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(append(first, rest...))
	if err != nil {
		t.Fatal(err)
	}
	// struct seccomp_data; the virtual machine loads words in network order.
	var data [64]byte
	binary.BigEndian.PutUint32(data[0:], uint32(call))
	binary.BigEndian.PutUint32(data[4:], machine)
	binary.BigEndian.PutUint32(data[16:], uint32(flags)) // the low half of the first argument
	binary.BigEndian.PutUint32(data[20:], uint32(flags>>32))
	got, err := vm.Run(data[:])
	if err != nil {
		t.Fatal(err)
	}
	return seccomp.Action(got)
}

func TestPolicy(t *testing.T) {
	info, err := arch.GetInfo("")
	if err != nil {
		t.Fatal(err)
	}
	const allow, deny = seccomp.ActionAllow, seccomp.ActionErrno | seccomp.Action(unix.EPERM)
	profiles := map[string]*filter{
		"php":        {Profile: ProfilePHP},
		"deny":       {Profile: ProfileDeny},
		"php+-":      {Profile: ProfilePHP, Allow: []string{"ptrace", "clone3"}, Deny: []string{"connect", "ptrace", "clone"}},
		"deny+-":     {Profile: ProfileDeny, Allow: []string{"ptrace", "clone3"}, Deny: []string{"connect"}},
		"deny twice": {Profile: ProfileDeny, Deny: []string{"ptrace", "clone3"}},
	}
	for _, c := range []struct {
		profile, call string
		flags         uint64
		want          seccomp.Action
	}{
		{"php", "read", 0, allow},
		{"php", "execve", 0, allow},
		{"php", "ptrace", 0, deny},
		{"php", "setuid", 0, deny},
		{"php", "io_uring_setup", 0, deny},
		{"php", "clone", unix.CLONE_VM | unix.CLONE_THREAD, allow},
		{"php", "clone", unix.CLONE_NEWUSER | uint64(unix.SIGCHLD), deny},
		{"php", "clone3", 0, absent},
		{"deny", "read", 0, allow},
		{"deny", "setuid", 0, allow},
		{"deny", "ptrace", 0, deny},
		{"deny", "unshare", 0, deny},
		{"deny", "clone", unix.CLONE_VM, allow},
		{"deny", "clone", unix.CLONE_NEWNET, deny},
		{"deny", "clone3", 0, absent},
		{"php+-", "ptrace", 0, deny}, // deny wins
		{"php+-", "connect", 0, deny},
		{"php+-", "clone3", 0, allow},
		{"php+-", "clone", 0, deny},
		{"deny+-", "ptrace", 0, allow},
		{"deny+-", "connect", 0, deny},
		{"deny+-", "clone3", 0, allow},
		{"deny twice", "ptrace", 0, deny},
		{"deny twice", "clone3", 0, deny},
	} {
		if got := decide(t, profiles[c.profile], uint32(info.ID), info.SyscallNames[c.call], c.flags); got != c.want {
			t.Errorf("%s: %s(%#x) is %#x, want %#x", c.profile, c.call, c.flags, got, c.want)
		}
		if got := decide(t, profiles[c.profile], uint32(arch.ARM.ID), info.SyscallNames[c.call], c.flags); got != absent {
			t.Errorf("%s: %s of another architecture is %#x", c.profile, c.call, got)
		}
	}
}

// A name that is written wrong would be left out silently.
func TestProfilesNameRealCalls(t *testing.T) {
	for _, name := range slices.Concat(php, dangerous) {
		found := false
		for _, machine := range []*arch.Info{arch.X86_64, arch.I386, arch.ARM, arch.AARCH64} {
			if _, ok := machine.SyscallNames[name]; ok {
				found = true
			}
		}
		if !found {
			t.Errorf("%q is no system call", name)
		}
	}
	for _, name := range php {
		if slices.Contains(dangerous, name) {
			t.Errorf("%q is in both profiles", name)
		}
	}
}
