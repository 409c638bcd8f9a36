package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// facts are what figures depend on.
type facts struct {
	lines                 []string
	loadBefore, loadAfter string
}

func machineFacts() facts {
	f := facts{loadBefore: loadAverage()}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	meminfo, _ := os.ReadFile("/proc/meminfo")
	release, _ := os.ReadFile("/etc/os-release")
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	f.lines = []string{
		fmt.Sprintf("%d processors (%s), %s of memory", runtime.NumCPU(), entry(string(cpuinfo), "model name", ":"), gibibytes(entry(string(meminfo), "MemTotal", ":"))),
		fmt.Sprintf("%s, Linux %s", strings.Trim(entry(string(release), "PRETTY_NAME", "="), `"`), strings.TrimSpace(string(kernel))),
		strings.Join([]string{
			firstLine("php", "-r", `echo "PHP ", PHP_VERSION;`),
			runtime.Version(),
			firstLine("nginx", "-v"),
			firstLine("wrk", "-v"),
		}, ", "),
	}
	return f
}

// gibibytes rewrites an amount of /proc/meminfo.
func gibibytes(kib string) string {
	n, err := strconv.ParseFloat(strings.TrimSuffix(kib, " kB"), 64)
	if err != nil {
		return kib
	}
	return fmt.Sprintf("%.0f GiB", n/(1<<20))
}

// entry is the value of a key in a file of lines "key separator value".
func entry(text, key, separator string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, separator); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// firstLine is what a program says first about itself.
func firstLine(name string, args ...string) string {
	out, _ := exec.Command(name, args...).CombinedOutput() // wrk -v ends with 1
	line, _, _ := strings.Cut(string(out), "\n")
	line, _, _ = strings.Cut(line, "Copyright")
	if line = strings.TrimSpace(line); line == "" {
		return name + " of unknown version"
	}
	return line
}

func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	load, _, _ := strings.Cut(string(b), " ")
	return load
}
