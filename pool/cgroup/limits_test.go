package cgroup

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCPUText(t *testing.T) {
	for text, want := range map[string]CPU{"1.5": 1.5, "150%": 1.5, " 2 ": 2, "50 %": 0.5, "0": 0} {
		var c CPU
		if err := c.UnmarshalText([]byte(text)); err != nil || c != want {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "%", "two", "NaN", "Inf", "1,5"} {
		var c CPU
		if err := c.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), "150%") {
			t.Errorf("%q: %v, %v", text, c, err)
		}
	}
}

func TestValidate(t *testing.T) {
	core, adj := int64(-2), 1001
	for _, c := range []struct {
		limits Limits
		want   []string // all in the error; none: valid
	}{
		{Limits{}, nil},
		{Limits{Memory: 256 << 20, MemoryHigh: 200 << 20, CPU: 1.5, CPUWeight: 100, Pids: 32, IOWeight: 10000}, nil},
		{Limits{Memory: 256}, []string{"memory:", "256", "256M"}},
		{Limits{Memory: -1}, []string{"memory:", "-1", "0"}},
		{Limits{MemoryHigh: 10}, []string{"memory_high:", "10M"}},
		{Limits{Memory: 100 << 20, MemoryHigh: 100 << 20}, []string{"memory_high:", "below memory", "80M"}},
		{Limits{CPU: -1}, []string{"cpu:", "-1", "150%"}},
		{Limits{CPU: 0.001}, []string{"cpu:", "0.001", "0.01"}},
		{Limits{CPUWeight: 10001}, []string{"cpu_weight:", "10001", "10000"}},
		{Limits{IOWeight: -5}, []string{"io_weight:", "-5"}},
		{Limits{Pids: -1}, []string{"pids:", "-1"}},
		{Limits{Rlimits: Rlimits{Nofile: 3}}, []string{"nofile:", "3", "16"}},
		{Limits{Rlimits: Rlimits{AS: 512}}, []string{"as:", "512M"}},
		{Limits{Rlimits: Rlimits{AS: -1}}, []string{"as:", "-1"}},
		{Limits{Rlimits: Rlimits{Core: &core}}, []string{"core:", "-2"}},
		{Limits{Rlimits: Rlimits{OOMScoreAdj: &adj}}, []string{"oom_score_adj:", "1001", "1000"}},
	} {
		err := c.limits.Validate()
		if (err != nil) != (c.want != nil) {
			t.Errorf("%+v: %v", c.limits, err)
			continue
		}
		for _, word := range c.want {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%v: no %q", err, word)
			}
		}
	}
}

func TestSettings(t *testing.T) {
	l := Limits{Memory: 64 << 20, MemoryHigh: 32 << 20, CPU: 1.5, CPUWeight: 50, Pids: 9, IOWeight: 300}
	var got []string
	for _, s := range l.settings() {
		got = append(got, fmt.Sprintf("%s %s %s=%s", s.key, s.controller, s.file, s.value))
	}
	want := []string{
		"memory_high memory memory.high=33554432", "memory memory memory.max=67108864", "memory memory memory.oom.group=1",
		"memory memory memory.swap.max=0", "cpu cpu cpu.max=150000 100000", "cpu_weight cpu cpu.weight=50",
		"pids pids pids.max=9", "io_weight io io.weight=default 300",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if s := (&Limits{}).settings(); len(s) > 0 {
		t.Errorf("no limits: %v", s)
	}
}

func TestApply(t *testing.T) {
	// BFQ has a file of its own.
	dir := fake(t, t.TempDir(), map[string]string{bfq: ""})
	s := (&Limits{IOWeight: 10000}).settings()[0]
	if err := s.apply(dir); err != nil {
		t.Fatal(err)
	}
	if v, ok := value(dir, bfq); !ok || v != 1000 {
		t.Error(v, ok)
	}
	for n, want := range map[int]int{1: 1, 100: 100, 10000: 1000} {
		if got := bfqWeight(n); got != want {
			t.Errorf("%d: %d", n, got)
		}
	}
}

func TestDescriptors(t *testing.T) {
	event := func(wd int32, mask uint32, name int) []byte {
		b := make([]byte, unix.SizeofInotifyEvent+name)
		binary.NativeEndian.PutUint32(b, uint32(wd))
		binary.NativeEndian.PutUint32(b[4:], mask)
		binary.NativeEndian.PutUint32(b[12:], uint32(name))
		return b
	}
	b := slices.Concat(event(1, unix.IN_MODIFY, 0), event(1, unix.IN_MODIFY, 0), event(2, unix.IN_MODIFY, 16), event(3, unix.IN_IGNORED, 0), event(4, unix.IN_MODIFY, 0))
	if got := descriptors(b); !slices.Equal(got, []int32{1, 2, 4}) {
		t.Error(got)
	}
	if got := descriptors(slices.Concat(b, event(-1, unix.IN_Q_OVERFLOW, 0))); !slices.Equal(got, []int32{-1}) {
		t.Error(got)
	}
	if got := descriptors(b[:len(b)-5]); !slices.Equal(got, []int32{1, 2}) {
		t.Error(got)
	}
}

func TestEmpty(t *testing.T) {
	if !(&Rlimits{}).Empty() || (&Rlimits{Nofile: 20}).Empty() {
		t.Error("wrong")
	}
}
