package logging

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// rotating is a file that is renamed to NAME-TIME.EXT before it grows beyond
// its limit. The names are those of RoadRunner, whose old files are so pruned
// as well. The library that RoadRunner uses for it is not used: its goroutine
// for compression never ends.
type rotating struct {
	config File
	limit  int64 // bytes

	move func(from, to string) error // os.Rename, but for tests

	mu     sync.Mutex
	f      *os.File // nil when closed
	size   int64    // of the file, or what it grew by since it could not be rotated
	closed bool

	tidying sync.WaitGroup // compression and pruning, beside the writers
	tidyOne sync.Mutex
}

const backupTime = "2006-01-02T15-04-05.000"

func openRotating(c File) (*rotating, error) {
	if err := os.MkdirAll(filepath.Dir(c.Path), 0o755); err != nil {
		return nil, err
	}
	r := &rotating{config: c, limit: int64(c.MaxSize) << 20, move: os.Rename}
	if err := r.open(); err != nil {
		return nil, err
	}
	r.tidyLater()
	return r, nil
}

func (r *rotating) open() error {
	f, err := os.OpenFile(r.config.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	r.f, r.size = f, info.Size()
	return nil
}

func (r *rotating) write(line []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	var failed error
	if r.size > 0 && r.size+int64(len(line)) > r.limit {
		failed = r.rotate()
	}
	n, err := r.f.Write(line)
	r.size += int64(n)
	return errors.Join(failed, err)
}

// rotate moves the file away. On an error r goes on with the file that it has,
// and tries again when that has grown by max_size once more.
func (r *rotating) rotate() error {
	full, backup := r.f, r.backupName(time.Now())
	if err := r.move(r.config.Path, backup); err != nil {
		r.size = 0
		return fmt.Errorf("cannot rotate %s: %w", r.config.Path, err)
	}
	if err := r.open(); err != nil {
		r.size = 0
		return fmt.Errorf("cannot rotate %s, which goes on in %s: %w", r.config.Path, backup, err)
	}
	r.tidyLater()
	return full.Close()
}

// split gives what a backup's name has before and after its time.
func (r *rotating) split() (dir, prefix, ext string) {
	dir, name := filepath.Split(r.config.Path)
	ext = filepath.Ext(name)
	return dir, strings.TrimSuffix(name, ext) + "-", ext
}

// backupName is free: a time that is taken is moved on.
func (r *rotating) backupName(now time.Time) string {
	dir, prefix, ext := r.split()
	for {
		name := filepath.Join(dir, prefix+now.UTC().Format(backupTime)+ext)
		_, err := os.Lstat(name)
		_, gzErr := os.Lstat(name + ".gz")
		if err != nil && gzErr != nil {
			return name
		}
		now = now.Add(time.Millisecond)
	}
}

// tidyLater compresses and prunes in the background; Close waits for it.
func (r *rotating) tidyLater() {
	r.tidying.Go(func() {
		r.tidyOne.Lock()
		defer r.tidyOne.Unlock()
		if err := r.tidy(time.Now()); err != nil {
			fmt.Fprintf(os.Stderr, "cannot tidy up rotated log files: %v\n", err)
		}
	})
}

type backup struct {
	path string
	time time.Time
}

func (r *rotating) backups() ([]backup, error) {
	dir, prefix, ext := r.split()
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []backup
	for _, entry := range entries {
		middle, ok := strings.CutPrefix(entry.Name(), prefix)
		if !ok {
			continue
		}
		middle = strings.TrimSuffix(middle, ".gz")
		if middle, ok = strings.CutSuffix(middle, ext); !ok {
			continue
		}
		if t, err := time.Parse(backupTime, middle); err == nil {
			list = append(list, backup{filepath.Join(dir, entry.Name()), t})
		}
	}
	slices.SortFunc(list, func(a, b backup) int { return b.time.Compare(a.time) }) // newest first
	return list, nil
}

func (r *rotating) tidy(now time.Time) error {
	list, err := r.backups()
	if err != nil {
		return err
	}
	var errs []error
	oldest := now.AddDate(0, 0, -r.config.MaxAge)
	for i, b := range list {
		switch {
		case i >= r.config.MaxBackups || b.time.Before(oldest):
			errs = append(errs, os.Remove(b.path))
		case r.config.Compress && !strings.HasSuffix(b.path, ".gz"):
			errs = append(errs, compress(b.path))
		}
	}
	return errors.Join(errs...)
}

// compress replaces a file by FILE.gz, which appears only when it is whole.
func compress(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	partial := path + ".gz.tmp"
	out, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	gz := gzip.NewWriter(out)
	_, err = io.Copy(gz, in)
	err = errors.Join(err, gz.Close(), out.Close())
	if err == nil {
		err = os.Rename(partial, path+".gz")
	}
	if err != nil {
		return errors.Join(err, os.Remove(partial))
	}
	return os.Remove(path)
}

func (r *rotating) Close() error {
	r.mu.Lock()
	var err error
	if r.f != nil {
		err = r.f.Close()
		r.f = nil
	}
	r.closed = true
	r.mu.Unlock()
	r.tidying.Wait()
	return err
}
