// Command bench measures rrd beside nginx with php-fpm: the same PHP answer, the
// same number of PHP processes, one client, in interleaved rounds, so that a
// noisy machine disturbs all of them alike. See README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	var (
		rounds   = flag.Int("rounds", 5, "rounds; each measures every server once")
		duration = flag.Duration("duration", 5*time.Second, "time of one measurement")
		workers  = flag.Int("workers", 2, "PHP processes of each server")
		conns    = flag.Int("connections", 32, "keep-alive connections of the client")
		rrd      = flag.String("rrd", "bin/rrd", "the `binary` to measure")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *rounds, *duration, *workers, *conns, *rrd); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, duration time.Duration, workers, conns int, rrd string) (err error) {
	dir, err := os.MkdirTemp("", "rrd-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	rrd, err = filepath.Abs(rrd)
	if err != nil {
		return err
	}
	here, err := filepath.Abs("bench")
	if err != nil {
		return err
	}
	servers := []*server{
		rrdServer("rrd, our PHP package over pipes", rrd, dir, filepath.Join(here, "php", "worker.php"), workers),
		fpmServer("nginx + php-fpm, opcache", dir, filepath.Join(here, "php"), workers),
	}
	for _, s := range servers {
		if err := s.start(ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		defer s.stop()
	}
	for i := range rounds + 1 {
		for _, s := range servers {
			m, err := s.measure(ctx, duration, conns)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			if i > 0 { // the first round warms up
				s.results = append(s.results, m)
			}
		}
	}
	fmt.Printf("%d PHP processes, wrk -t1 -c%d, %d rounds of %s; median (min-max)\n\n", workers, conns, rounds, duration)
	table(os.Stdout, servers)
	return nil
}
