package memory

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/services/lock"
)

// stateVersion is that of the format; another one is not read.
const stateVersion = 1

// state is what survives a restart. Ends are points of CLOCK_MONOTONIC, which
// all processes of a boot share and nobody sets: they are exact, and the time in
// which no daemon ran counts. gob keeps strings that are not UTF-8 as they are.
type state struct {
	Version int
	Token   uint64
	Holds   []savedHold
}

type savedHold struct {
	Resource string
	ID       string
	Mode     lock.Mode
	Token    uint64
	Expires  int64 // nanoseconds
}

// monotonic is a variable for tests.
var monotonic = func() (int64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("cannot read the clock: %w", err)
	}
	return t.Nano(), nil
}

// Save writes the locks that are held.
func (l *Locks) Save(w io.Writer) error {
	clock, err := monotonic()
	if err != nil {
		return err
	}
	at := time.Now()
	st := state{Version: stateVersion}
	l.each(func(_ *shard, r *resource, _ time.Time) {
		for _, h := range r.holds {
			st.Holds = append(st.Holds, savedHold{
				Resource: r.name, ID: h.id, Mode: r.mode, Token: h.token, Expires: clock + int64(h.expires.Sub(at)),
			})
		}
	})
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		st.Token = max(st.Token, s.token)
		s.mu.Unlock()
	}
	return gob.NewEncoder(w).Encode(&st)
}

// Restore takes over what Save wrote, without the locks that have ended since.
// It is called once, before anything else; on an error nothing was taken over.
func (l *Locks) Restore(data []byte) error {
	var st state
	if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&st); err != nil {
		return fmt.Errorf("cannot read the locks from before the restart: %w", err)
	}
	if st.Version != stateVersion {
		return fmt.Errorf("cannot read the locks from before the restart: they are of format %d, not %d", st.Version, stateVersion)
	}
	clock, err := monotonic()
	if err != nil {
		return err
	}
	now := time.Now()
	writers := make(map[string]bool)
	for _, h := range st.Holds {
		writer, again := writers[h.Resource]
		if h.Mode > lock.Read || again && (writer || h.Mode == lock.Write) {
			return errors.New("cannot read the locks from before the restart: they contradict each other")
		}
		writers[h.Resource] = h.Mode == lock.Write
	}
	for i := range l.shards {
		l.shards[i].token = max(l.shards[i].token, st.Token)
	}
	for _, h := range st.Holds {
		left := min(time.Duration(h.Expires-clock), lock.MaxTTL)
		if left <= 0 {
			continue
		}
		s, hash := l.enter(h.Resource)
		r := s.resources[h.Resource]
		if r == nil {
			r = &resource{name: h.Resource, hash: hash}
			s.resources[h.Resource] = r
		}
		r.hold(hold{id: h.ID, token: h.Token, expires: now.Add(left)}, h.Mode)
		s.arm(r, now)
		s.mu.Unlock()
	}
	return nil
}
