package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal with a program on it.
type terminal struct {
	master, slave *os.File
	output        bytes.Buffer
}

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	fd := int(master.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 20, Col: 100}); err != nil {
		t.Fatal(err)
	}
	return &terminal{master: master, slave: slave}
}

func (m *terminal) mode(t *testing.T) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(m.slave.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// expect reads until the output has text.
func (m *terminal) expect(t *testing.T, text string) {
	t.Helper()
	buf := make([]byte, 4096)
	for end := time.Now().Add(time.Minute); !strings.Contains(m.output.String(), text); {
		n, err := unix.Read(int(m.master.Fd()), buf)
		switch {
		case err == nil:
			m.output.Write(buf[:n])
		case time.Now().After(end):
			t.Fatalf("no %q in %q", text, m.output.String())
		default:
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(m.master.Fd()), Events: unix.POLLIN}}, 100)
		}
	}
}

func (m *terminal) start(t *testing.T, p process) *exec.Cmd {
	t.Helper()
	cmd := p.command(t)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = m.slave, m.slave, m.slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func terminated(_ *terminal, pid int) { _ = syscall.Kill(pid, syscall.SIGTERM) }

func TestLiveView(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	dir := configFor(t, dsn)
	rrView := process{name: "rr", args: []string{"workers", "-i"}, dir: dir, env: []string{"TERM=xterm"}}
	view := process{name: "rrctl", args: []string{"workers", "-i", "--socket", dsn}, env: []string{"TERM=xterm"}}
	for _, c := range []struct {
		name string
		process
		end func(m *terminal, pid int)
	}{
		{"q", view, func(m *terminal, _ int) { _, _ = m.master.WriteString("q") }},
		{"Ctrl-C", view, func(m *terminal, _ int) { _, _ = m.master.WriteString("\x03") }},
		{"SIGTERM", view, terminated},
		{"rr Ctrl-C", rrView, func(m *terminal, _ int) { _, _ = m.master.WriteString("\x03") }},
		{"rr SIGINT", rrView, func(_ *terminal, pid int) { _ = syscall.Kill(pid, syscall.SIGINT) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := openTerminal(t)
			before := m.mode(t)
			cmd := m.start(t, c.process)
			m.expect(t, "101")
			m.expect(t, clearBelow) // the first picture is whole
			if m.mode(t) == before {
				t.Error("the terminal is not raw")
			}
			_, _ = m.master.WriteString("x") // another key redraws
			m.output.Reset()
			m.expect(t, clearBelow)
			c.end(m, cmd.Process.Pid)
			m.expect(t, leaveScreen)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v", err)
			}
			if m.mode(t) != before {
				t.Error("the terminal is not restored")
			}
		})
	}
}

func TestLiveViewWithoutDaemon(t *testing.T) {
	m := openTerminal(t)
	before := m.mode(t)
	cmd := m.start(t, process{name: "rrctl", args: []string{"workers", "-i", "--socket", "/none.sock"}})
	m.expect(t, "the socket does not exist")
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitNoDaemon {
		t.Errorf("exit %d", code)
	}
	if m.mode(t) != before {
		t.Error("the terminal is not restored")
	}
}

// TestPicturesWithoutATerminal: through a pipe the live view prints one picture
// after the other, without control sequences.
func TestPicturesWithoutATerminal(t *testing.T) {
	dsn := new(fakeDaemon).serve(t)
	cmd := process{name: "rrctl", args: []string{"workers", "-i", "--socket", dsn}}.command(t)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	buf := make([]byte, 4096)
	for strings.Count(text.String(), "max_jobs") < 2 {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(buf[:n])
	}
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("%q", text.String())
	}
}
