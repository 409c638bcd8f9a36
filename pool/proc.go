package pool

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

var pageSize = uint64(os.Getpagesize())

// clockTick is USER_HZ, which is 100 on every architecture that Linux has.
const clockTick = time.Second / 100

// readRSS reads the resident size in bytes from an open /proc/PID/statm.
func readRSS(statm *os.File) (uint64, bool) {
	var buf [128]byte
	n, _ := statm.ReadAt(buf[:], 0)
	return parseStatm(buf[:n])
}

// parseStatm returns the second field, which counts pages.
func parseStatm(b []byte) (uint64, bool) {
	_, rest, ok := bytes.Cut(b, []byte(" "))
	if !ok {
		return 0, false
	}
	field, _, ok := bytes.Cut(rest, []byte(" "))
	if !ok || len(field) == 0 || len(field) > 15 {
		return 0, false
	}
	var pages uint64
	for _, c := range field {
		if c < '0' || c > '9' {
			return 0, false
		}
		pages = pages*10 + uint64(c-'0')
	}
	return pages * pageSize, true
}

// Resident is what /proc says about a process: resident bytes and CPU time.
func Resident(pid int) (rss uint64, cpu time.Duration, ok bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	b, err := os.ReadFile(dir + "/statm")
	if err != nil {
		return 0, 0, false
	}
	if rss, ok = parseStatm(b); !ok {
		return 0, 0, false
	}
	if b, err = os.ReadFile(dir + "/stat"); err != nil {
		return 0, 0, false
	}
	cpu, ok = parseStat(b)
	return rss, cpu, ok
}

// parseStat returns utime + stime, fields 14 and 15. The command name before
// them may hold blanks and parentheses, so counting starts after the last one.
func parseStat(b []byte) (time.Duration, bool) {
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, false
	}
	fields := bytes.Fields(b[i+1:])
	if len(fields) < 13 {
		return 0, false
	}
	utime, err1 := strconv.ParseUint(string(fields[11]), 10, 62)
	stime, err2 := strconv.ParseUint(string(fields[12]), 10, 62)
	if err1 != nil || err2 != nil || utime+stime > 1<<62/uint64(clockTick) {
		return 0, false
	}
	return time.Duration(utime+stime) * clockTick, true
}
