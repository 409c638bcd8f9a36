package daemon

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rr-systemd/rrd/ipc/logkey"
	"github.com/rr-systemd/rrd/systemd"
)

// What services keep in memory (keys and values, locks, ...) survives a restart:
// at the end of the drain each writes it into a memfd, systemd holds that in the
// descriptor store, and the next process reads it at its start. `systemctl stop`
// empties the store, and a process that was killed has saved nothing.

// stateName is the name of a service's state in the descriptor store.
func stateName(service string) string { return systemd.StoreName("state", service) }

func isState(name string) bool {
	parts, ok := systemd.ParseStoreName(name)
	return ok && len(parts) == 2 && parts[0] == "state"
}

// saved returns what the service's save wrote in the process before this one, nil
// if there is nothing; what cannot be read is logged and gone. It is handed out
// once, and forgotten by systemd: state must not come back after a crash when
// newer work was lost.
func (d *Daemon) saved(service string) []byte {
	name := stateName(service)
	var data []byte
	for _, f := range d.sockets.inherited.Files(name) {
		read, err := readState(f)
		if err = errors.Join(err, f.Close(), d.notify.Remove(name)); err != nil {
			d.log.Error("cannot read the state from before the restart, starting without it", "service", service, logkey.Error, err)
			continue
		}
		data = read
	}
	return data
}

// dropState forgets the state of services that are off now.
func (s *sockets) dropState() error {
	var errs []error
	for _, name := range s.inherited.Stored() {
		if !isState(name) {
			continue
		}
		for _, f := range s.inherited.Files(name) {
			errs = append(errs, f.Close())
		}
		errs = append(errs, s.notify.Remove(name))
	}
	return errors.Join(errs...)
}

// saveState hands the state of all services to systemd. A service that cannot
// save loses its state; the others do not.
func (d *Daemon) saveState(ctx context.Context) error {
	if !d.notify.Enabled() {
		return nil
	}
	var errs []error
	stored := false
	for _, svc := range d.services {
		if svc.save == nil {
			continue
		}
		f, err := writeState(svc)
		if err == nil {
			err = errors.Join(d.notify.Store(stateName(svc.name), f), f.Close())
			stored = true
		}
		errs = append(errs, err)
	}
	if stored {
		// systemd knows from whom a message comes as long as this process lives.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		errs = append(errs, d.notify.Barrier(ctx))
	}
	err := errors.Join(errs...)
	if err != nil {
		d.log.Error("cannot save state over a restart", logkey.Error, err)
	}
	return nil // the stop itself went well
}

// A saved state ends with the checksum of all before it (CRC-32C, big endian):
// half a state is worse than none.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func writeState(svc *service) (*os.File, error) {
	fd, err := unix.MemfdCreate("rrd-state-"+svc.name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("cannot save %s: %w", svc.name, err)
	}
	f := os.NewFile(uintptr(fd), svc.name)
	w := bufio.NewWriterSize(f, 1<<16)
	sum := crc32.New(castagnoli)
	err = svc.save(io.MultiWriter(w, sum))
	if err == nil {
		_, _ = w.Write(sum.Sum(nil)) // Flush has its error
		err = w.Flush()
	}
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_GROW|unix.F_SEAL_SHRINK|unix.F_SEAL_SEAL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot save %s: %w", svc.name, err), f.Close())
	}
	return f, nil
}

func readState(f *os.File) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	if err != nil {
		return nil, err
	}
	n := len(data) - crc32.Size
	if n < 0 {
		return nil, errors.New("it is cut off")
	}
	sum := crc32.New(castagnoli)
	sum.Write(data[:n])
	if !bytes.Equal(sum.Sum(nil), data[n:]) {
		return nil, errors.New("its checksum is wrong")
	}
	return data[:n], nil
}
