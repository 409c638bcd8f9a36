package ipc

import "strconv"

// Descriptors of a worker beyond its standard ones.
const (
	ControlFD = 3 // write end of a pipe for its frames
	SegmentFD = 4 // the shared memory
)

// AnnounceEnv is the environment variable that tells a worker of its further
// descriptors.
const AnnounceEnv = "RR_IPC"

// Announcement is the value of AnnounceEnv for a worker that has ControlFD and, if
// half is not 0, as SegmentFD a segment with halves of that many bytes and slots.
func Announcement(half int) string {
	text := "v=1,ctl=" + strconv.Itoa(ControlFD)
	if half > 0 {
		text += ",shm=" + strconv.Itoa(SegmentFD) + ",half=" + strconv.Itoa(half)
		if littleEndian {
			text += ",slots=1"
		}
	}
	return text
}
