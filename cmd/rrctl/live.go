package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const redraw = time.Second

// Control sequences of the live view: the alternate screen keeps what the user
// had on the terminal.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	cursorHome  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// picture draws the view once, width columns wide (0 is unlimited). An error
// ends the view.
type picture func(ctx context.Context, width int) (string, error)

// live draws every second until the user types q or Ctrl-C, ctx ends or draw
// fails. Without a terminal on both sides it prints one picture after the other.
func (c *cli) live(ctx context.Context, draw picture) error {
	if !isTerminal(c.in) || !isTerminal(c.out) {
		return c.print(ctx, draw)
	}
	fd := int(c.in.Fd())
	before, err := term.MakeRaw(fd)
	if err != nil {
		return fmt.Errorf("cannot set up the terminal: %w", err)
	}
	fmt.Fprint(c.out, enterScreen)
	defer func() {
		fmt.Fprint(c.out, leaveScreen)
		_ = term.Restore(fd, before)
	}()
	keys, err := newKeyboard(ctx, c.in)
	if err != nil {
		return err
	}
	defer keys.Close()
	for {
		width, height, _ := terminalSize(c.out)
		text, err := draw(ctx, width)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if _, err := fmt.Fprint(c.out, screen(text, height)); err != nil {
			return err
		}
		if quit, err := keys.wait(redraw); quit || err != nil {
			return err
		}
	}
}

// screen turns a text into one full redraw of a raw terminal.
func screen(text string, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if height > 0 && len(lines) > height {
		more := len(lines) - height + 1
		lines = append(lines[:height-1], fmt.Sprintf("… %d more", more))
	}
	return cursorHome + strings.Join(lines, clearLine+"\r\n") + clearLine + clearBelow
}

func (c *cli) print(ctx context.Context, draw picture) error {
	for {
		text, err := draw(ctx, 0)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		if _, err := fmt.Fprint(c.out, text); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(redraw):
		}
	}
}

func terminalSize(w any) (width, height int, ok bool) {
	if !isTerminal(w) {
		return 0, 0, false
	}
	width, height, err := term.GetSize(int(w.(*os.File).Fd()))
	return width, height, err == nil
}

// keyboard waits for keys on a raw terminal and for the end of a context, by
// poll(2): a goroutine that reads the terminal could not be ended.
type keyboard struct {
	in          *os.File
	wake, waker *os.File
	stop        func() bool
}

func newKeyboard(ctx context.Context, in *os.File) (*keyboard, error) {
	wake, waker, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("cannot set up the terminal: %w", err)
	}
	k := &keyboard{in: in, wake: wake, waker: waker}
	k.stop = context.AfterFunc(ctx, func() { _ = waker.Close() })
	return k, nil
}

func (k *keyboard) Close() {
	k.stop()
	_ = k.wake.Close()
	_ = k.waker.Close()
}

// wait returns after d, or at once with quit when the user or the context ends
// the view. Other keys redraw at once.
func (k *keyboard) wait(d time.Duration) (quit bool, err error) {
	fds := []unix.PollFd{{Fd: int32(k.in.Fd()), Events: unix.POLLIN}, {Fd: int32(k.wake.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(d.Milliseconds()))
	switch {
	case errors.Is(err, unix.EINTR), err == nil && n == 0:
		return false, nil
	case err != nil:
		return true, fmt.Errorf("cannot wait for a key: %w", err)
	case fds[1].Revents != 0:
		return true, nil
	}
	var typed [64]byte
	n, err = unix.Read(int(k.in.Fd()), typed[:])
	if err != nil || n == 0 {
		return true, nil // the terminal is gone
	}
	const ctrlC, ctrlD = 3, 4
	return bytes.ContainsAny(typed[:n], "qQ"+string(rune(ctrlC))+string(rune(ctrlD))), nil
}
