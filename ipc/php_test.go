package ipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// shakeHands is Handshake with a time limit.
func shakeHands(t testing.TB, c *Channel) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	pid, err := c.Handshake(ctx, os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// startPHP starts testdata/worker.php and shakes hands with it.
func startPHP(t testing.TB, args ...string) *Channel {
	t.Helper()
	c, cmd := phpWorker(t, append([]string{"worker.php"}, args...)...)
	if pid := shakeHands(t, c); pid != cmd.Process.Pid {
		t.Errorf("the worker says pid %d, it is %d", pid, cmd.Process.Pid)
	}
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

func exchange(t testing.TB, c *Channel, context, body string) *Message {
	t.Helper()
	if err := c.Send(&Payload{Context: []byte(context), Body: []byte(body)}); err != nil {
		t.Fatal(err)
	}
	m, err := c.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestPHPEcho(t *testing.T) {
	c := startPHP(t, "echo")
	for _, size := range []int{1, 100, 8 << 10, 70_000, 1 << 20, 5 << 20} {
		body := strings.Repeat("abcdefgh", size/8+1)[:size]
		m := exchange(t, c, `{"n":1}`, body)
		if string(m.Context) != `{"n":1}` || string(m.Body) != body {
			t.Fatalf("%d bytes: the answer differs (%d bytes)", size, len(m.Body))
		}
		m.Release()
	}
	if err := c.SendStop(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recv(); err != io.EOF {
		t.Errorf("after the stop order: %v, want io.EOF", err)
	}
}

func TestPHPErrorAndStop(t *testing.T) {
	c := startPHP(t, "error")
	for range 2 {
		if err := c.Send(&Payload{Body: []byte("no such user")}); err != nil {
			t.Fatal(err)
		}
		_, err := c.Recv()
		var soft *SoftError
		if !errors.As(err, &soft) || soft.Text != "no such user" {
			t.Fatal(err)
		}
	}
	c = startPHP(t, "stop-me")
	if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Recv()
	wantError(t, err, ErrWorkerStop)
}

// The worker process dies after n bytes of its answer, for every n.
func TestPHPDiesAfter(t *testing.T) {
	frame := len(answerFrame(0, `{"status":200}`, "hello"))
	for n := range frame + 1 {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			c := startPHP(t, "die-after", strconv.Itoa(n))
			if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
			m, err := c.Recv()
			switch {
			case n == frame:
				if err != nil || string(m.Body) != "hello" {
					t.Fatal(m, err)
				}
				m.Release()
				if _, err = c.Recv(); err != io.EOF {
					t.Fatalf("then: %v, want io.EOF", err)
				}
			case n == 0 && err != io.EOF, n > 0 && err != io.ErrUnexpectedEOF:
				t.Fatalf("error %v", err)
			}
			wantError(t, c.Send(&Payload{Body: make([]byte, 1<<20)}), ErrWorkerGone)
		})
	}
}

func TestPHPStream(t *testing.T) {
	c := startPHP(t, "stream", "21")
	for range 2 {
		var got []string
		m := exchange(t, c, "ctx", "x")
		for more := true; more; {
			more = m.Stream
			got = append(got, string(m.Body))
			m.Release()
			if more {
				var err error
				if m, err = c.Recv(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(got) != 21 || got[0] != "chunk 1" || got[19] != "chunk 20" || got[20] != "" {
			t.Fatalf("%d chunks: %q", len(got), got)
		}
	}
}

// A cancelled stream ends early, and the worker takes the next job.
func TestPHPStreamCancel(t *testing.T) {
	c := startPHP(t, "stream", "1000000")
	for range 3 {
		m := exchange(t, c, "ctx", "x")
		m.Release()
		if err := c.CancelStream(); err != nil {
			t.Fatal(err)
		}
		frames := 0
		for more := true; more; frames++ {
			m, err := c.Recv()
			if err != nil {
				t.Fatal(err)
			}
			more = m.Stream
			m.Release()
		}
		if frames > 10 {
			t.Errorf("the stream went on for %d frames", frames)
		}
	}
}

func TestPHPAnswersTwice(t *testing.T) {
	c := startPHP(t, "twice")
	m := exchange(t, c, "ctx", "first")
	if string(m.Body) != "first" {
		t.Fatalf("body %q", m.Body)
	}
	m.Release()
	until(t, c.Pending)
}

// 4 GiB announced, nothing sent: only the deadline ends it, and it costs nothing.
func TestPHPAnnounces4GiB(t *testing.T) {
	c := startPHP(t, "announce")
	if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return c.t.unread() >= 16 })
	_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
	_, err := c.Recv()
	wantError(t, err, os.ErrDeadlineExceeded)
	if size := cap(c.in.b); size > trustSize {
		t.Errorf("%d bytes were taken", size)
	}
}

// A worker that answers more than a pipe holds before it reads a job larger
// than a pipe blocks both sides; the deadline ends it.
func TestPHPAnswersBeforeItReads(t *testing.T) {
	c, _ := phpWorker(t, "answers-unread.php")
	shakeHands(t, c)
	_ = c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	wantError(t, c.Send(&Payload{Body: make([]byte, 5<<20)}), os.ErrDeadlineExceeded)

	// The same with a job that fits the pipe is no problem.
	c, _ = phpWorker(t, "answers-unread.php")
	shakeHands(t, c)
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	m := exchange(t, c, "ctx", "small")
	if len(m.Body) != 3<<20 {
		t.Errorf("%d bytes", len(m.Body))
	}
	m.Release()
}

func TestPHPPrintsInsteadOfAnswering(t *testing.T) {
	c := startPHP(t, "echo-in-handler")
	if err := c.Send(&Payload{Body: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	_, err := c.Recv()
	var broken *ProtocolError
	if !errors.As(err, &broken) || !bytes.HasPrefix(broken.Received, []byte("debug output\n")) || !strings.Contains(broken.Hint(), "debug output") {
		t.Errorf("error %v, hint %q", err, hintOf(err))
	}
}

// What goes wrong at the start, as PHP itself words it.
func TestPHPStartErrors(t *testing.T) {
	const crc = "validation failed on the message sent to STDOUT, see: https://docs.roadrunner.dev/error-codes/stdout-crc, invalid message: "
	for _, test := range []struct {
		args []string
		text string
		hint string
	}{
		{[]string{"no-such.php"}, crc + "Could not open input file: no-such.php", "does not exist or is not readable"},
		{[]string{"syntax-error.php"}, "Parse error", "cannot compile the code: "},
		{[]string{"worker.php", "fatal-before-start"}, "boom at start", "PHP ended with an error: Fatal error"},
		{[]string{"worker.php", "warning-before-start"}, "Undefined variable $undefined", "PHP printed a warning"},
		{[]string{"-d", "error_prepend_string=<b>", "worker.php", "warning-before-start"}, "Undefined variable $undefined", "PHP printed a warning"},
		{[]string{"worker.php", "echo-before-start"}, crc + "hello from the application", "print to STDERR: hello from the application"},
		{[]string{"bom.php"}, `\xef\xbb\xbf`, "byte order mark"},
		{[]string{"short-tag.php"}, "<? echo 1; ?>", "short_open_tag"},
		{[]string{"blank-line.php"}, "", "blank space was printed"},
		{[]string{"--no-such-option"}, "", "without a script or with an unknown option"},
		{[]string{"-r", "exit(1);"}, "EOF", ""},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			c, _ := phpWorker(t, test.args...)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := c.Handshake(ctx, 1)
			if err == nil || !strings.Contains(err.Error(), test.text) || !strings.Contains(hintOf(err), test.hint) {
				t.Fatalf("error %q, hint %q; want %q, %q", fmt.Sprint(err), hintOf(err), test.text, test.hint)
			}
		})
	}
}

func TestPHPHandshakeTimeout(t *testing.T) {
	c, _ := phpWorker(t, "worker.php", "silent")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := c.Handshake(ctx, 1)
	wantError(t, err, context.DeadlineExceeded)
}
