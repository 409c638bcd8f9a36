// Package systemd is what rrd and the service manager say to each other:
// sockets that were opened before the process began (Inherit), the messages
// that tell the manager how the service fares (Notifier), descriptors that
// outlive the process (Notifier.Store), and facts about the unit that the
// process runs in (OwnCgroup, ToJournal, Booted).
//
// Everything works without systemd too: nothing is inherited, messages go
// nowhere and report success.
//
// The variables of the protocol concern one process. Inherit and NewNotifier
// take them out of the environment, so call both before the first child is
// started.
//
// Sources: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3),
// systemd.exec(5), file-hierarchy(7) and the "File Descriptor Store" document
// of systemd.
package systemd

import "os"

// Booted reports whether systemd is the init of this machine or container, as
// sd_booted(3) does. A process can be a child of systemd and yet hear nothing
// from it (a login shell): see Notifier.Enabled for that.
func Booted() bool {
	fi, err := os.Lstat("/run/systemd/system")
	return err == nil && fi.IsDir()
}
