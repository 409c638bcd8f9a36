package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// startResult is what starts of one contender took.
type startResult struct {
	variant string
	first   []float64 // milliseconds to the first answer, with -workers processes
	many    []float64 // the same with manyWorkers, all of which are there
	idle    []float64 // MiB of what is no PHP process, after the first answer
}

// manyWorkers is the size of a large pool.
const manyWorkers = 64

// measureStarts starts the contenders in turn and stops them again.
func measureStarts(ctx context.Context, all []*server, o *options) ([]startResult, error) {
	results := make([]startResult, len(all))
	for i, s := range all {
		results[i].variant = s.name
	}
	for range o.starts {
		for i, s := range all {
			if err := results[i].add(ctx, s); err != nil {
				return nil, fmt.Errorf("start of %s: %w", s.name, err)
			}
		}
	}
	if o.starts == 0 {
		return nil, nil
	}
	return results, nil
}

func (r *startResult) add(ctx context.Context, s *server) error {
	took, err := timeStart(ctx, s, 0)
	if err != nil {
		return err
	}
	r.first = append(r.first, took)
	m := pss(tree(s.pids()))
	r.idle = append(r.idle, m.all-m.php)
	s.stop()
	if s.app != plain || m.workers == 0 {
		return nil
	}
	few := s.files
	s.files = withWorkers(few, manyWorkers)
	took, err = timeStart(ctx, s, manyWorkers)
	s.stop()
	s.files = few
	r.many = append(r.many, took)
	return err
}

// timeStart starts s and returns how many milliseconds passed until it answered and
// had that many PHP processes.
func timeStart(ctx context.Context, s *server, workers int) (float64, error) {
	begin := time.Now()
	if err := s.start(ctx); err != nil {
		return 0, err
	}
	for workers > 0 && countPHP(s) < workers {
		if time.Since(begin) > 30*time.Second {
			return 0, fmt.Errorf("only %d of %d PHP processes", countPHP(s), workers)
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		time.Sleep(time.Millisecond)
	}
	return float64(time.Since(begin).Microseconds()) / 1000, nil
}

// countPHP counts the PHP processes below the first ones; php-fpm's master is no
// worker.
func countPHP(s *server) (n int) {
	for _, pid := range s.pids() {
		children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, file := range children {
			b, _ := os.ReadFile(file)
			for _, child := range strings.Fields(string(b)) {
				name, _ := os.ReadFile("/proc/" + child + "/comm")
				if strings.HasPrefix(string(name), "php") {
					n++
				}
			}
		}
	}
	return n
}

var (
	rrdWorkers = regexp.MustCompile(`num_workers: \d+`)
	fpmWorkers = regexp.MustCompile(`pm\.max_children = \d+`)
)

// withWorkers returns the configuration with another number of workers.
func withWorkers(files map[string]string, workers int) map[string]string {
	changed := map[string]string{}
	for name, text := range files {
		text = rrdWorkers.ReplaceAllString(text, fmt.Sprintf("num_workers: %d", workers))
		changed[name] = fpmWorkers.ReplaceAllString(text, fmt.Sprintf("pm.max_children = %d", workers))
	}
	return changed
}
