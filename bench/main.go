// Command bench measures rrd beside its peers: the same PHP answers, the same number of
// PHP processes, one client, in interleaved rounds, so that a noisy machine disturbs all
// of them alike. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	rounds   int
	duration time.Duration
	workers  int
	cases    string
	variants string
	starts   int
	rrd      string
	report   string
	svg      string
	idle     int
	wire     bool
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 3, "rounds; each measures every contender once")
	flag.DurationVar(&o.duration, "duration", 2*time.Second, "time of one measurement, whole seconds")
	flag.IntVar(&o.workers, "workers", 2, "PHP processes of each contender")
	flag.StringVar(&o.cases, "cases", "", "measure these only, by the beginning of the name, with commas between: "+strings.Join(caseNames(), " "))
	flag.StringVar(&o.variants, "variants", "", "measure these only, likewise: "+strings.Join(variantNames(), " "))
	flag.IntVar(&o.starts, "starts", 5, "starts of each contender that are timed, 0 for none")
	flag.StringVar(&o.rrd, "rrd", "bin/rrd", "the `binary` to measure")
	flag.StringVar(&o.report, "report", "", "write the report (Markdown) into `file` also")
	flag.StringVar(&o.svg, "svg", "", "write the picture (SVG) into `file`")
	flag.IntVar(&o.idle, "idle", 0, "instead of all else, measure what this many idle connections take")
	flag.BoolVar(&o.wire, "protocols", false, "instead of all else, compare HTTP/1, 2 and 3")
	floor := flag.String("floor", "", "be the server without PHP, on this `address`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *floor != "" {
		err = serveFloor(ctx, *floor)
	} else {
		err = run(ctx, &o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) error {
	if o.rounds < 1 || o.duration < time.Second {
		return fmt.Errorf("cannot measure %d rounds of %s: at least one of a second", o.rounds, o.duration)
	}
	if o.idle > 0 {
		o.cases = "hello-32" // contenders of Symfony say nothing more
	}
	cases, err := chooseCases(o.cases)
	if err != nil {
		return err
	}
	if o.rrd, err = filepath.Abs(o.rrd); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rrd-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// php-fpm's children may run as another user.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if o.wire {
		results, err := measureProtocols(ctx, o, dir)
		if err == nil {
			protocolTable(os.Stdout, results)
		}
		return err
	}
	if o.idle > 0 && o.variants == "" {
		o.variants = "shm,fpm,floor"
	}
	all, missing, err := contenders(ctx, o, dir, cases)
	if err != nil {
		return err
	}
	if o.idle > 0 {
		results, err := measureIdle(ctx, all, o.idle)
		if err == nil {
			idleTable(os.Stdout, results, o.idle)
		}
		return err
	}
	r := &report{o: o, facts: machineFacts(), missing: missing}
	if r.starts, err = measureStarts(ctx, all, o); err != nil {
		return err
	}
	for _, s := range all {
		if err := s.start(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer s.stop()
	}
	for _, c := range cases {
		results, err := measureCase(ctx, c, all, o)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if len(results) > 0 {
			r.results = append(r.results, caseResult{c, results})
		}
	}
	r.facts.loadAfter = loadAverage()
	return r.write()
}

// measureCase measures all contenders of a case in turn. The first round warms up
// and is not counted.
func measureCase(ctx context.Context, c *testCase, all []*server, o *options) ([]result, error) {
	var results []result
	for _, s := range all {
		if s.app == c.app {
			if err := c.verify(ctx, s); err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			results = append(results, result{variant: s.name})
		}
	}
	for round := range o.rounds + 1 {
		i := 0
		for _, s := range all {
			if s.app != c.app {
				continue
			}
			d := o.duration * time.Duration(max(c.longer, 1))
			if round == 0 {
				d = time.Second
			}
			m, err := s.measure(ctx, c, d)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.name, err)
			}
			if round > 0 {
				results[i].rounds = append(results[i].rounds, m)
			}
			i++
			fmt.Fprintf(os.Stderr, "\r\033[K%s, round %d of %d: %s, %.0f requests/s", c.name, round, o.rounds, s.name, m.requests)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	return results, nil
}
