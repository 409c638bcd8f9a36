package cgroup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Event tells that memory ran short in a leaf.
type Event struct {
	// High is how many times memory_high was passed since the last event. The
	// kernel counts on as long as the worker stays above.
	High uint64
	// OOM is set when processes were killed since the last event.
	OOM *OOM
}

// watcher waits for changes of memory.events files with one inotify instance
// and one goroutine for all leaves.
type watcher struct {
	f    *os.File
	done chan struct{}

	mu     sync.Mutex
	leaves map[int32]*watched // by watch descriptor
}

type watched struct {
	leaf      *Leaf
	wd        int32
	notify    func(Event)
	high      uint64
	incidents uint64
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot watch control groups: %w (see fs.inotify.max_user_instances)", err)
	}
	w := &watcher{f: os.NewFile(uintptr(fd), "inotify"), done: make(chan struct{}), leaves: make(map[int32]*watched)}
	go w.run()
	return w, nil
}

// Watch calls notify whenever memory_high is passed or processes are killed for
// want of memory, until Close; for what has happened before, at once. It is
// called by one goroutine for all leaves, so it must be quick, and it may run
// once more while Close is called. Notifications of the kernel come up to 10 ms
// late: whoever asks why a worker has ended calls OOM. A leaf has one watch.
func (l *Leaf) Watch(notify func(Event)) error {
	if !l.Real() {
		return nil
	}
	w := l.tree.watch
	l.mu.Lock()
	var e *watched
	var err error
	if !l.closed {
		e, err = w.add(l, notify)
	}
	l.mu.Unlock()
	if e != nil {
		w.check(e) // what came before the watch
	}
	return err
}

// add returns nil where there are no events.
func (w *watcher) add(l *Leaf, notify func(Event)) (*watched, error) {
	file := filepath.Join(l.dir, "memory.events")
	w.mu.Lock()
	defer w.mu.Unlock()
	var wd int
	var err error
	// Not Fd(): that would make the descriptor blocking.
	err = errors.Join(w.control(func(fd int) { wd, err = unix.InotifyAddWatch(fd, file, unix.IN_MODIFY) }), err)
	if errors.Is(err, unix.ENOENT) { // no memory controller
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot watch the control group %s: %w (see fs.inotify.max_user_watches)", l.dir, err)
	}
	e := &watched{leaf: l, wd: int32(wd), notify: notify}
	w.leaves[e.wd] = e
	return e, nil
}

func (w *watcher) control(f func(fd int)) error {
	rc, err := w.f.SyscallConn()
	if err != nil {
		return err
	}
	return rc.Control(func(fd uintptr) { f(int(fd)) })
}

func (w *watcher) remove(l *Leaf) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for wd, e := range w.leaves {
		if e.leaf == l {
			delete(w.leaves, wd)
			_ = w.control(func(fd int) { _, _ = unix.InotifyRmWatch(fd, uint32(wd)) })
			return
		}
	}
}

func (w *watcher) close() error {
	err := w.f.Close()
	<-w.done
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (w *watcher) run() {
	defer close(w.done)
	buf := make([]byte, 64*(unsafe.Sizeof(unix.InotifyEvent{})))
	for {
		n, err := w.f.Read(buf)
		if err != nil {
			return // closed
		}
		for _, wd := range descriptors(buf[:n]) {
			w.changed(wd)
		}
	}
}

// changed checks one leaf, or all of them if the kernel's queue has run over.
func (w *watcher) changed(wd int32) {
	w.mu.Lock()
	var list []*watched
	if wd < 0 {
		for _, e := range w.leaves {
			list = append(list, e)
		}
	} else if e := w.leaves[wd]; e != nil {
		list = append(list, e)
	}
	w.mu.Unlock()
	for _, e := range list {
		w.check(e)
	}
}

// check reads the counters of one leaf and tells what is new.
func (w *watcher) check(e *watched) {
	b, err := e.leaf.read("memory.events")
	if err != nil {
		return
	}
	counts, ok := parseEvents(b)
	if !ok {
		return
	}
	incidents := counts.incidents(e.leaf.group)
	var event Event
	w.mu.Lock()
	event.High = counts.high - min(counts.high, e.high)
	killed := incidents > e.incidents
	e.high, e.incidents = max(e.high, counts.high), max(e.incidents, incidents)
	w.mu.Unlock()
	if killed {
		if o, ok := e.leaf.OOM(); ok {
			event.OOM = &o
		}
	}
	if event.High > 0 || event.OOM != nil {
		e.notify(event)
	}
}

// descriptors returns the watch descriptors in a buffer of inotify events, each
// once; -1 stands for an overflow. Source: inotify(7).
func descriptors(b []byte) []int32 {
	const size = unix.SizeofInotifyEvent
	var list []int32
	for len(b) >= size {
		wd := int32(binary.NativeEndian.Uint32(b))
		mask := binary.NativeEndian.Uint32(b[4:])
		length := uint64(binary.NativeEndian.Uint32(b[12:]))
		if mask&unix.IN_Q_OVERFLOW != 0 {
			return []int32{-1}
		}
		if mask&unix.IN_IGNORED == 0 && (len(list) == 0 || list[len(list)-1] != wd) {
			list = append(list, wd)
		}
		b = b[size:]
		if length > uint64(len(b)) {
			break
		}
		b = b[length:]
	}
	return list
}
