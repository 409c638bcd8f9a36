package systemd

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestToJournal(t *testing.T) {
	noLeak(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(w.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env  string
		want bool
	}{
		{fmt.Sprintf("%d:%d", st.Dev, st.Ino), true},
		{fmt.Sprintf("%d:%d", st.Dev, st.Ino+1), false},
		{fmt.Sprintf("%d:%d", st.Dev+1, st.Ino), false},
		{fmt.Sprintf("%d", st.Ino), false},
		{"a:b", false},
		{"", false},
	} {
		t.Setenv("JOURNAL_STREAM", c.env)
		if got := ToJournal(w); got != c.want {
			t.Errorf("JOURNAL_STREAM=%q: %v", c.env, got)
		}
	}
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", st.Dev, st.Ino))
	w.Close()
	if ToJournal(w) {
		t.Error("a closed file is no journal")
	}
}
