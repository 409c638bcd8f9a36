// hammer sends GET requests over keep-alive connections until it is told to
// stop (SIGTERM) and counts what went wrong. It retries nothing, so that a
// request which a restart loses is seen: net/http's own client would hide it.
//
//	hammer URL CONNECTIONS
//
// prints "ok=N failed=N refused=N bodies=a,b" and the first errors.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	ok, failed, refused atomic.Int64
	mu                  sync.Mutex
	samples             []string
	bodies              = map[string]bool{}
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: hammer URL CONNECTIONS")
		os.Exit(2)
	}
	u, err := url.Parse(os.Args[1])
	n, err2 := strconv.Atoi(os.Args[2])
	if err := errors.Join(err, err2); err != nil {
		fmt.Fprintln(os.Stderr, "hammer:", err)
		os.Exit(2)
	}
	var stop atomic.Bool
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-sig; stop.Store(true) }()

	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for !stop.Load() {
				if err := connection(u, &stop); err != nil {
					count(err)
				}
			}
		})
	}
	wg.Wait()
	var seen []string
	for b := range bodies {
		seen = append(seen, b)
	}
	slices.Sort(seen)
	for _, s := range samples {
		fmt.Println(s)
	}
	fmt.Printf("ok=%d failed=%d refused=%d bodies=%s\n", ok.Load(), failed.Load(), refused.Load(), strings.Join(seen, ","))
}

// connection sends requests one after the other until the server says close.
func connection(u *url.URL, stop *atomic.Bool) error {
	c, err := net.DialTimeout("tcp", u.Host, 60*time.Second)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for !stop.Load() {
		_ = c.SetDeadline(time.Now().Add(60 * time.Second))
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", u.RequestURI(), u.Host); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return fmt.Errorf("no response: %w", err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			return fmt.Errorf("cut off: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %.200s", resp.StatusCode, body)
		}
		ok.Add(1)
		mu.Lock()
		if len(bodies) < 20 {
			bodies[strings.TrimSpace(string(body))] = true
		}
		mu.Unlock()
		if resp.Close {
			return nil
		}
	}
	return nil
}

func count(err error) {
	if errors.Is(err, syscall.ECONNREFUSED) {
		refused.Add(1)
		time.Sleep(10 * time.Millisecond)
	} else {
		failed.Add(1)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(samples) < 10 {
		samples = append(samples, time.Now().Format("15:04:05.000 ")+err.Error())
	}
}
