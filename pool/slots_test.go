package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// extensionDir is where the extension was compiled, "" if it was not.
var extensionDir string

// extension compiles rr.so once.
var extension = sync.OnceValues(func() (file string, err error) {
	if extensionDir, err = os.MkdirTemp("", "rr-ext-"); err != nil {
		return "", err
	}
	file = filepath.Join(extensionDir, "rr.so")
	if out, err := exec.Command("../php/ext/compile", file).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
})

// withSlots makes workers on our PHP package; with the extension, without, and
// without anything to share.
func withSlots(t testing.TB, transport string) options {
	t.Helper()
	script, err := filepath.Abs("testdata/slots.php")
	if err != nil {
		t.Fatal(err)
	}
	spec := worker.Spec{Argv: []string{"php", script}, Env: os.Environ(), Half: 128 << 10}
	switch transport {
	case "slots":
		file, err := extension()
		if err != nil {
			t.Fatal(err)
		}
		spec.Argv = []string{"php", "-d", "extension=" + file, script}
	case "pipes":
		spec.Half = 0
	}
	return withSpec(spec)
}

// On all of them a pool behaves the same.
func onTransports(t *testing.T, f func(*testing.T, options)) {
	for _, transport := range []string{"slots", "memory", "pipes"} {
		t.Run(transport, func(t *testing.T) { f(t, withSlots(t, transport)) })
	}
}

func TestSlotsAreUsed(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 1}, withSlots(t, "slots"))
	equal(t, "transport", p.Workers()[0].Transport, "slots")
	if !p.Accepts(ipc.Slots) || !strings.HasPrefix(mustDo(t, p, "transport"), "rr ") {
		t.Error("no slots")
	}
	p, _ = newPool(t, Config{NumWorkers: 1}, withSlots(t, "memory"))
	equal(t, "transport", p.Workers()[0].Transport, "shm")
	if p.Accepts(ipc.Slots) || !p.Accepts(ipc.SharedMemory) {
		t.Error("slots without the extension, or no shared memory")
	}
	p, _ = newPool(t, Config{NumWorkers: 1}, withSlots(t, "pipes"))
	equal(t, "transport", p.Workers()[0].Transport, "pipe")
}

// An extension that cannot be loaded, is for another PHP, or of another version than
// the PHP code or the daemon, leaves the worker as it is without one.
func TestUnfitExtension(t *testing.T) {
	dir := t.TempDir()
	compile := func(name string, flags ...string) string {
		t.Helper()
		file := filepath.Join(dir, name+".so")
		cmd := exec.Command("../php/ext/compile", file)
		cmd.Env = append(os.Environ(), "CFLAGS=-O0", "CPPFLAGS="+strings.Join(flags, " "))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return file
	}
	api := compile("api", "-DPHP_RR_API=2")
	file, err := os.ReadFile(api)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(file), "RR_EXT_API_2") {
		t.Fatal("this is no other version of the API")
	}
	damaged, header := filepath.Join(dir, "damaged.so"), filepath.Join(dir, "php80.h")
	if err := os.WriteFile(damaged, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(header, []byte("#include \"php.h\"\n#undef ZEND_MODULE_API_NO\n#define ZEND_MODULE_API_NO 20200930\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"missing":              filepath.Join(dir, "nowhere.so"),
		"damaged":              damaged,
		"for another PHP":      compile("php80", "-include", header),
		"another API":          api,
		"another control page": compile("page", "-DRR_VERSION=2"),
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := newPool(t, Config{NumWorkers: 1}, func(o *Options) {
				withSlots(t, "memory")(o)
				o.Spec.Argv = []string{"php", "-d", "extension=" + file, o.Spec.Argv[1]}
			})
			equal(t, "transport", p.Workers()[0].Transport, "shm")
			body := strings.Repeat("large", 20_000)
			equal(t, "answer", mustDo(t, p, body) == body, true)
		})
	}
}

func TestTransportsAnswerAlike(t *testing.T) {
	onTransports(t, func(t *testing.T, o options) {
		p, _ := newPool(t, Config{NumWorkers: 2}, o)
		random := rand.New(rand.NewPCG(1, 2))
		for i := range 100 {
			n := random.IntN(100)
			if i%5 == 0 {
				n = random.IntN(600_000)
			}
			body := make([]byte, n)
			for j := range body {
				body[j] = byte(random.Uint32())
			}
			pl := &ipc.Payload{Codec: 8, Context: fmt.Appendf(nil, `{"n":%d}`, i), Body: append([]byte("= "), body...)}
			if i%11 == 0 {
				pl.File, pl.FileSize, pl.Body = bytes.NewReader(pl.Body), int64(len(pl.Body)), nil
			}
			s, err := p.Exec(context.Background(), pl)
			if err != nil {
				t.Fatal(i, n, err)
			}
			m, err := s.Next()
			if err != nil || string(m.Context) != string(pl.Context) || string(m.Body) != "= "+string(body) {
				t.Fatalf("job %d of %d bytes: %q, %d bytes, %v", i, n, m.Context, len(m.Body), err)
			}
			s.Close()
		}
		var want strings.Builder
		for i := range 60 {
			want.WriteString(strings.Repeat(string(rune('A'+i%26)), i*1000%20000+1))
		}
		for range 3 {
			equal(t, "stream", mustDo(t, p, "stream 60") == want.String(), true)
			equal(t, "after a stream", mustDo(t, p, "x"), "x")
			s, err := p.Exec(context.Background(), payload("stream 100000"))
			if err != nil {
				t.Fatal(err)
			}
			s.Close() // a STOP that the worker may read late
			equal(t, "after a stream that was broken off", mustDo(t, p, "y"), "y")
		}
		_, err := do(p, "error no")
		var soft *ipc.SoftError
		if !errors.As(err, &soft) || soft.Text != "no" {
			t.Error(err)
		}
	})
}

func TestTransportsEndAlike(t *testing.T) {
	onTransports(t, func(t *testing.T, o options) {
		p, r := newPool(t, Config{NumWorkers: 1, Supervisor: &Supervisor{ExecTTL: 30 * time.Second}}, o)
		causes := 0
		cause := func(want worker.Cause) {
			t.Helper()
			causes++
			equal(t, "cause", r.causes(t, causes)[causes-1], want)
			mustPID(t, p)
		}

		// The client goes away: the worker is told, and serves on.
		ctx, cancel := context.WithCancel(context.Background())
		file := filepath.Join(t.TempDir(), "begun")
		answered := make(chan error, 1)
		go func() {
			_, err := doCtx(ctx, p, "wait "+file)
			answered <- err
		}()
		eventually(t, "the job to begin", func() bool { _, err := os.Stat(file); return err == nil })
		cancel()
		if err := <-answered; err != nil {
			t.Error(err)
		}
		equal(t, "after STOP", mustDo(t, p, "x"), "x")

		if _, err := do(p, "exit 3"); !errors.Is(err, ipc.ErrWorkerFailed) {
			t.Error(err)
		}
		cause(worker.Exited)

		// A child of the dead worker holds its pipes: nobody waits for it.
		began := time.Now()
		if _, err := do(p, "orphan"); !errors.Is(err, ipc.ErrWorkerFailed) {
			t.Error(err)
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("the end was noticed after %v", d)
		}
		cause(worker.Signaled)

		// An answer too many.
		equal(t, "answer", mustDo(t, p, "twice"), "first")
		eventually(t, "the worker to be replaced", func() bool { return mustDo(t, p, "x") == "x" && len(r.all(WorkerStopped)) > causes })
		cause(worker.Protocol)

		if err := p.Reload(context.Background(), p.gen.cfg, p.gen.spec); err != nil {
			t.Fatal(err)
		}
		mustPID(t, p)
		equal(t, "answer", mustDo(t, p, "last"), "last")
		mustPID(t, p)
	})
}

func TestTransportsExecTTL(t *testing.T) {
	onTransports(t, func(t *testing.T, o options) {
		p, r := newPool(t, Config{NumWorkers: 1, Supervisor: &Supervisor{ExecTTL: 300 * time.Millisecond}}, o)
		_, err := do(p, "sleep 20000000")
		if !errors.Is(err, ipc.ErrExecTTL) {
			t.Error(err)
		}
		equal(t, "cause", r.causes(t, 1)[0], worker.ExecTTL)
	})
}

// Workers are killed at any moment. Every answer is the one to its own question.
func TestSlotsKills(t *testing.T) {
	p, _ := newPool(t, Config{NumWorkers: 3}, withSlots(t, "slots"))
	var clients sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				size := 10
				if n%3 == 0 {
					size = random.IntN(300_000)
				}
				body := fmt.Sprintf("=%d-%d ", i, n) + strings.Repeat(string(rune('a'+random.IntN(26))), size)
				got, err := do(p, body)
				if err != nil && !errors.Is(err, ipc.ErrWorkerFailed) && !errors.Is(err, ipc.ErrNoFreeWorkers) {
					t.Error(err)
				}
				if err == nil && got != body {
					t.Errorf("%q... instead of %q...", got[:min(len(got), 40)], body[:min(len(body), 40)])
				}
			}
		})
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 12 {
		served := p.Stats().Execs
		eventually(t, "requests", func() bool { return p.Stats().Execs > served+uint64(random.IntN(20)) })
		if list := p.Workers(); len(list) > 0 {
			_ = unix.Kill(list[random.IntN(len(list))].PID, unix.SIGKILL)
		}
	}
	close(stop)
	clients.Wait()
	mustPID(t, p)
}
