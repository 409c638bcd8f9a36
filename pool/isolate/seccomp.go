package isolate

import (
	"slices"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What a refused system call returns. ENOSYS makes the C library use an older
// call instead.
const (
	refused = seccomp.ActionErrno // EPERM
	absent  = seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)
)

// calls are the numbers of this machine's system calls, by name.
func calls() map[string]int {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	return info.SyscallNames
}

// known tells whether this machine has a system call of that name.
func known(name string) bool {
	_, ok := calls()[name]
	return ok
}

// policy is the filter of a profile. Names that another architecture has are left
// out.
func policy(f *filter) *seccomp.Policy {
	table := calls()
	except := func(list []string, without ...[]string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(name string) bool {
			_, ok := table[name]
			return !ok || slices.ContainsFunc(without, func(w []string) bool { return slices.Contains(w, name) })
		})
	}
	group := func(p *seccomp.Policy, action seccomp.Action, names []string) {
		if len(names) > 0 {
			slices.Sort(names)
			p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{Names: slices.Compact(names), Action: action})
		}
	}
	p := &seccomp.Policy{DefaultAction: seccomp.ActionAllow}
	denied := slices.Concat(f.Deny, except(dangerous, f.Allow, f.Deny))
	if f.Profile == ProfilePHP {
		p.DefaultAction = refused
		denied = nil
		group(p, seccomp.ActionAllow, except(slices.Concat(php, f.Allow), f.Deny))
	}
	group(p, refused, denied)
	// New namespaces would lift limits of this one. A filter sees the flags of
	// clone, but not those of clone3.
	if f.Profile == ProfilePHP && !slices.Contains(f.Deny, "clone") {
		p.Syscalls = append(p.Syscalls, conditional("clone", seccomp.BitsNotSet, seccomp.ActionAllow))
	} else if f.Profile == ProfileDeny && !slices.Contains(f.Deny, "clone") {
		p.Syscalls = append(p.Syscalls, conditional("clone", seccomp.BitsSet, refused))
	}
	if !slices.Contains(f.Allow, "clone3") {
		group(p, absent, except([]string{"clone3"}, f.Deny))
	}
	return p
}

// conditional is a group for a call whose first argument may hold namespace flags.
func conditional(name string, op seccomp.Operation, action seccomp.Action) seccomp.SyscallGroup {
	const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER |
		unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP
	return seccomp.SyscallGroup{Action: action, NamesWithCondtions: []seccomp.NameWithConditions{
		{Name: name, Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: op, Value: namespaces}}},
	}}
}

// nativeOnly comes before a filter: calls in the numbering of another
// architecture (32 bit on a 64 bit machine) would pass it by.
func nativeOnly() ([]bpf.Instruction, error) {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil, err
	}
	const archOffset = 4 // in struct seccomp_data
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: archOffset, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(info.ID), SkipTrue: 1},
		bpf.RetConstant{Val: uint32(absent)},
	}, nil
}

// restrictCalls puts the filter on this thread. It goes through prctl(2), which
// unlike seccomp(2) the daemon's own filter (SystemCallFilter=@system-service)
// allows.
func restrictCalls(f *filter) error {
	first, err := nativeOnly()
	if err != nil {
		return err
	}
	rest, err := policy(f).Assemble()
	if err != nil {
		return err
	}
	raw, err := bpf.Assemble(append(first, rest...))
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, in := range raw {
		code[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	program := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0)
}
