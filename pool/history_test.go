package pool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/rr-systemd/rrd/ipc"
	"github.com/rr-systemd/rrd/pool/worker"
)

// call is one entry of a history: what a request was told.
type call struct {
	id       string
	answer   string
	err      error
	returned int // how many times Exec came back with something

	client       int
	sent, told   time.Duration // since the beginning
	process, nth int           // who gave the answer, and as how many of its
}

// oneByOne is what a worker must look like from outside: a counter that each
// answer raises by one. If it is linearizable, a worker had one request at a time
// and in the order in which callers could see it; one that ran a request twice,
// or one for nobody, has skipped a number.
var oneByOne = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		workers := map[int][]porcupine.Operation{}
		for _, o := range history {
			workers[o.Input.(int)] = append(workers[o.Input.(int)], o)
		}
		return slices.Collect(maps.Values(workers))
	},
	Init: func() any { return 0 },
	Step: func(state, _, output any) (bool, any) { return output == state.(int)+1, output },
}

// TestHistory runs random schedules of requests, kills, reloads (at once, in
// steps, of code that does not boot), additions and removals of workers, and
// then holds the history of the callers against that of the workers, which note
// each payload they begin and each they have answered:
//
//   - every request is answered exactly once, with its own answer or an error;
//   - an answer means that one worker ran it to its end, once;
//   - no request was begun twice, none begun that nobody sent;
//   - the answers of each worker follow each other (see oneByOne);
//   - an error means a worker that was killed: no more fail than were killed.
func TestHistory(t *testing.T) {
	end := time.Now().Add(8 * time.Second)
	rapid.Check(t, func(rt *rapid.T) {
		if time.Now().After(end) {
			return // as many schedules as the time allows
		}
		notes := filepath.Join(t.TempDir(), "notes")
		surge := rapid.IntRange(0, 2).Draw(rt, "surge")
		cfg := Config{
			NumWorkers: Count(rapid.IntRange(1, 4).Draw(rt, "workers")), MaxJobs: rapid.SampledFrom([]uint64{0, 3, 20}).Draw(rt, "max_jobs"),
			AllocateTimeout: time.Minute, Reload: &Reload{Surge: surge},
			DynamicAllocator: &DynamicAllocator{MaxWorkers: 2, SpawnRate: 1},
		}
		spec := worker.Spec{Argv: []string{"/proc/self/exe"}, Env: []string{"POOL_TEST_ECHO=1", "POOL_TEST_NOTES=" + notes, "GOMAXPROCS=1", "GOGC=off", "GORACE=atexit_sleep_ms=0"}}
		bad := worker.Spec{Argv: []string{"false"}, Env: os.Environ()}
		ops := rapid.SliceOfN(rapid.SampledFrom([]string{"kill", "reload", "broken", "add", "remove", "pause"}), 1, 12).Draw(rt, "ops")
		clients := rapid.IntRange(1, 12).Draw(rt, "clients")

		o := Options{Name: "test", Config: cfg, Spec: spec, Spawner: spawner}
		p, err := New(o)
		if err != nil {
			rt.Fatal(err)
		}
		if err := p.Start(context.Background()); err != nil {
			rt.Fatal(err)
		}
		stop, begin := make(chan struct{}), time.Now()
		var wg sync.WaitGroup
		histories := make([][]call, clients)
		for c := range clients {
			wg.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					h := call{id: fmt.Sprintf("%d.%d", c, i)}
					h.sent = time.Since(begin)
					class := []ipc.Priority{ipc.Normal, ipc.High, ipc.Low}[i%3]
					s, err := p.Exec(context.Background(), &ipc.Payload{Codec: 4, Context: []byte("c"), Body: []byte("<" + h.id + ">"), ID: h.id, Priority: class})
					if h.err = err; err != nil {
						h.returned++
					} else {
						for {
							m, err := s.Next()
							if err != nil {
								break
							}
							h.returned++
							h.answer += string(m.Body)
						}
						s.Close()
					}
					h.client, h.told = c, time.Since(begin)
					_, _ = fmt.Sscanf(h.answer[strings.IndexByte(h.answer, '>')+1:], " %d %d", &h.process, &h.nth)
					h.answer = h.answer[:strings.IndexByte(h.answer, '>')+1]
					histories[c] = append(histories[c], h)
				}
			})
		}
		kills := 0
		for _, op := range ops {
			switch op {
			case "kill":
				for _, w := range p.Workers() {
					kills++
					_ = unix.Kill(w.PID, unix.SIGKILL)
					break
				}
			case "reload":
				if err := p.Reload(context.Background(), cfg, spec); err != nil && kills == 0 {
					rt.Errorf("reload: %v", err)
				}
			case "broken":
				if err := p.Reload(context.Background(), cfg, bad); err == nil {
					rt.Error("broken code was loaded")
				}
			case "add":
				if err := p.Add(context.Background()); err != nil {
					rt.Errorf("add: %v", err)
				}
			case "remove":
				if err := p.Remove(context.Background()); err != nil {
					rt.Errorf("remove: %v", err)
				}
			case "pause":
				<-time.After(5 * time.Millisecond)
			}
		}
		close(stop)
		wg.Wait()
		p.check(t)
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			rt.Fatal(err)
		}

		began, ended := map[string]int{}, map[string]int{}
		text, _ := os.ReadFile(notes)
		for line := range strings.Lines(string(text)) {
			switch id := strings.TrimSpace(line[1:]); line[0] {
			case '+':
				began[id]++
			case '-':
				ended[id]++
			}
		}
		calls, failed := 0, 0
		var operations []porcupine.Operation
		for _, history := range histories {
			for _, h := range history {
				calls++
				if h.returned != 1 {
					rt.Errorf("request %s was told %d times", h.id, h.returned)
				}
				if began[h.id] > 1 || ended[h.id] > began[h.id] {
					rt.Errorf("request %s was begun %d times, ended %d times", h.id, began[h.id], ended[h.id])
				}
				switch {
				case h.err == nil && (h.answer != "<"+h.id+">" || ended[h.id] != 1):
					rt.Errorf("request %s: answer %q, ended %d times", h.id, h.answer, ended[h.id])
				case h.err != nil:
					failed++
					if !errors.Is(h.err, ipc.ErrWorkerFailed) {
						rt.Errorf("request %s: %v", h.id, h.err)
					}
				}
				delete(began, h.id)
				if h.err == nil {
					operations = append(operations, porcupine.Operation{
						ClientId: h.client, Input: h.process, Output: h.nth, Call: int64(h.sent), Return: int64(h.told),
					})
				}
			}
		}
		if result := porcupine.CheckOperationsTimeout(oneByOne, operations, time.Minute); result != porcupine.Ok {
			rt.Errorf("the answers of a worker do not follow each other: %s", result)
		}
		if len(began) > 0 {
			rt.Errorf("workers ran requests of nobody: %v", began)
		}
		if failed > kills {
			rt.Errorf("%d requests failed by %d kills", failed, kills)
		}
		if os.Getenv("POOL_TEST_VERBOSE") != "" {
			rt.Logf("%v: %d calls, %d kills, %d failed", ops, calls, kills, failed)
		}
	})
}

// noteWorker makes an echo worker write down what it does: one write, so that
// notes of several processes do not mix.
func noteWorker() func(sign string, body []byte) {
	name := os.Getenv("POOL_TEST_NOTES")
	if name == "" {
		return func(string, []byte) {}
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		os.Exit(9)
	}
	return func(sign string, body []byte) {
		i, j := bytes.IndexByte(body, '<'), bytes.IndexByte(body, '>')
		if i >= 0 && j > i {
			_, _ = f.WriteString(sign + string(body[i+1:j]) + "\n")
		}
	}
}
