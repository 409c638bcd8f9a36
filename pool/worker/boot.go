package worker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
)

// postMortem is how long a worker that failed its handshake may take to end by
// itself, so that its own exit status and last words are reported and not our
// signals. PHP closes its descriptors before it has ended, and on a busy machine the
// rest takes a while; only one that lives on makes us wait all of it.
const postMortem = 2 * time.Second

// Boot starts a worker and waits for its handshake, at most until ctx ends.
// Every failure is a *BootError, and nothing is left running then.
func (s *Spawner) Boot(ctx context.Context, spec *Spec) (*Worker, error) {
	w, err := s.launch(spec)
	if err != nil {
		return nil, bootError(spec, nil, err)
	}
	if err := w.handshake(ctx, spec); err != nil {
		w.Doom(BootFailed)
		if ctx.Err() != nil || !w.Gone(postMortem) {
			w.Terminate()
		}
		failed := bootError(spec, w.Process, err) // asks the leaf, which Close removes
		w.Close()
		return nil, failed
	}
	return w, nil
}

// launch starts the process; with pipes the channel is there at once.
func (s *Spawner) launch(spec *Spec) (*Worker, error) {
	errR, errW, err := pipe("stderr", true)
	if err != nil {
		return nil, err
	}
	defer unix.Close(errW)
	if spec.Relay != nil {
		null, err := unix.Open(os.DevNull, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			errR.Close()
			return nil, fmt.Errorf("cannot open %s: %w", os.DevNull, err)
		}
		defer unix.Close(null)
		p, err := s.spawn(spec, []uintptr{uintptr(null), uintptr(errW), uintptr(errW)}, errR)
		if err != nil {
			return nil, err
		}
		return &Worker{Process: p, created: time.Now()}, nil
	}

	in, inR, err := pipe("stdin", false)
	if err != nil {
		errR.Close()
		return nil, err
	}
	defer unix.Close(inR)
	out, outW, err := pipe("stdout", true)
	if err != nil {
		errR.Close()
		in.Close()
		return nil, err
	}
	defer unix.Close(outW)
	sent, err := in.SyscallConn()
	if err != nil {
		errR.Close()
		in.Close()
		out.Close()
		return nil, err
	}
	files := []uintptr{uintptr(inR), uintptr(outW), uintptr(errW)}
	ch, announced, err := more(spec.Half, out, in, &files)
	if err != nil {
		errR.Close()
		return nil, err
	}
	p, err := s.spawn(spec, files, errR, announced...)
	for _, fd := range files[3:] {
		unix.Close(int(fd))
	}
	if err != nil {
		ch.Close()
		return nil, err
	}
	w := &Worker{Process: p, Channel: ch, created: time.Now(), sent: sent}
	if size, err := unix.FcntlInt(uintptr(inR), unix.F_GETPIPE_SZ, 0); err == nil {
		// A pipe is counted in pages, and the three parts of a frame may each
		// leave one half empty, as may a STOP that the worker has not read.
		w.pipeSize = max(0, size-4*os.Getpagesize())
	}
	return w, nil
}

// more makes the channel of a worker with pipes and, if half is not 0, the further
// descriptors for it: they are appended to files, in the order of ipc.ControlFD and
// ipc.SegmentFD, and are the caller's. What announces them to the worker is returned.
// Without memory to share, a worker gets the pipe alone.
func more(half int, stdout, stdin *os.File, files *[]uintptr) (ch *ipc.Channel, announced []string, err error) {
	if half == 0 {
		ch, err = ipc.NewChannel(stdout, stdin)
		return ch, nil, err
	}
	ctl, ctlW, err := pipe("control", true)
	if err != nil {
		stdout.Close()
		stdin.Close()
		return nil, nil, err
	}
	seg, fd, err := ipc.NewSegment(half)
	if err != nil {
		half = 0
	}
	if ch, err = ipc.NewWorkerChannel(ipc.Pipes{Stdout: stdout, Stdin: stdin, Control: ctl, Segment: seg}); err != nil {
		unix.Close(ctlW)
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, nil, err
	}
	*files = append(*files, uintptr(ctlW))
	if fd >= 0 {
		*files = append(*files, uintptr(fd))
	}
	return ch, []string{ipc.AnnounceEnv + "=" + ipc.Announcement(half)}, nil
}

func (w *Worker) handshake(ctx context.Context, spec *Spec) error {
	if spec.Relay != nil {
		ch, err := spec.Relay.wait(ctx, w.pid, w.done)
		if err != nil {
			return err
		}
		w.Channel = ch
	} else {
		// A worker that dies while a child of its holds the pipe gives no
		// end of file.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan struct{})
		defer func() { cancel(); <-done }()
		go func() {
			defer close(done)
			select {
			case <-w.done:
				cancel()
			case <-ctx.Done():
			}
		}()
		if _, err := w.Channel.Handshake(ctx, os.Getpid()); err != nil {
			if errors.Is(err, context.Canceled) && w.Exit().Known {
				return io.EOF
			}
			return err
		}
		if out, text := w.Channel.Stdout(); out != nil {
			w.readStdout(out, text)
		}
	}
	w.onEnd(w.Channel.WorkerEnded) // the pipes do not tell of it while a child holds them
	return w.To(Ready)
}
