// Package isolate narrows what a worker process may do: no new privileges, a
// filter of system calls (seccomp), the files that it may see (Landlock), a folder
// for temporary files of its own.
//
// The kernel applies these to a thread and whatever it executes, and none can be
// taken back, so they have to be put on between fork and exec. Go offers no hook
// there. A worker with a filter is therefore started in two steps: the spawner
// executes this very program (/proc/self/exe) under the name of [Argv], and [Run],
// which main calls first of all, restricts its thread and executes PHP. The process
// keeps its pid, its pipes and its control group.
//
// no_new_privs alone needs no step in between: the spawner's forking thread has it,
// and children inherit it.
package isolate
