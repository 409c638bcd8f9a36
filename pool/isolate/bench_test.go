package isolate

import (
	"os/exec"
	"testing"
)

// BenchmarkFirstStep is what the step between fork and exec costs a start.
func BenchmarkFirstStep(b *testing.B) {
	path, err := exec.LookPath("true")
	if err != nil {
		b.Fatal(err)
	}
	o := Options{Seccomp: Seccomp{Profile: ProfilePHP}, Landlock: &Landlock{}}
	plan := o.Plan([]string{path}, "", b.TempDir())
	argv, err := plan.Argv(path, []string{path}, First{})
	if err != nil {
		b.Fatal(err)
	}
	for name, cmd := range map[string]exec.Cmd{
		"two steps": {Path: Path, Args: argv},
		"one step":  {Path: path, Args: []string{path}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c := exec.Cmd{Path: cmd.Path, Args: cmd.Args}
				if err := c.Run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
