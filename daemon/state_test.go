package daemon

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
)

func saving(state string) *service {
	return &service{name: "test", save: func(w io.Writer) error {
		_, err := io.WriteString(w, state)
		return err
	}}
}

func TestStateIsReadAsWritten(t *testing.T) {
	for _, state := range []string{"", "x", string(bytes.Repeat([]byte("0123456789"), 1<<17))} {
		f, err := writeState(saving(state))
		if err != nil {
			t.Fatal(err)
		}
		got, err := readState(f)
		if err != nil || string(got) != state {
			t.Errorf("%d bytes came back as %d: %v", len(state), len(got), err)
		}
		if _, err := f.WriteAt([]byte("y"), 0); err == nil {
			t.Error("a saved state can be changed")
		}
		f.Close()
	}
}

func TestStateThatCannotBeWritten(t *testing.T) {
	svc := saving("")
	svc.save = func(io.Writer) error { return errors.New("no") }
	if f, err := writeState(svc); err == nil {
		t.Errorf("%v without an error", f)
	}
}

func TestStateThatIsDamaged(t *testing.T) {
	good, err := writeState(saving("keys and values"))
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	whole, err := io.ReadAll(io.NewSectionReader(good, 0, 1<<10))
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Clone(whole)
	changed[3] ^= 1
	for name, data := range map[string][]byte{"empty": nil, "short": whole[:3], "cut": whole[:len(whole)-1], "changed": changed} {
		f, err := os.CreateTemp(t.TempDir(), "state")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(data); err != nil {
			t.Fatal(err)
		}
		if got, err := readState(f); err == nil {
			t.Errorf("%s: read as %q", name, got)
		}
		f.Close()
	}
}
