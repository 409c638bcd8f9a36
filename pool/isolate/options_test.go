package isolate

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		options Options
		want    []string // parts of the error, none: valid
	}{
		"nothing":              {},
		"all":                  {options: Options{PrivateTmp: true, Seccomp: Seccomp{Profile: ProfilePHP, Allow: []string{"ptrace"}, Deny: []string{"socket"}}, Landlock: &Landlock{Read: []string{"/srv"}}}},
		"unknown profile":      {Options{Seccomp: Seccomp{Profile: "docker"}}, []string{"seccomp.profile", `"docker"`, "php, deny or off"}},
		"names without filter": {Options{Seccomp: Seccomp{Deny: []string{"socket"}}}, []string{"seccomp.profile", "is off"}},
		"unknown call":         {Options{Seccomp: Seccomp{Profile: ProfileDeny, Deny: []string{"fly"}}}, []string{"seccomp.deny", `"fly"`, "strace"}},
		"unknown allowed call": {Options{Seccomp: Seccomp{Profile: ProfilePHP, Allow: []string{""}}}, []string{"seccomp.allow", `""`}},
		"relative path":        {Options{Landlock: &Landlock{Write: []string{"/a", "var"}}}, []string{"landlock.write", `"var"`, "begin it with /"}},
		"privileges, seccomp":  {Options{NoNewPrivs: &no, Seccomp: Seccomp{Profile: ProfilePHP}}, []string{"no_new_privs", "seccomp"}},
		"privileges, landlock": {Options{NoNewPrivs: &no, Landlock: &Landlock{}}, []string{"no_new_privs", "landlock"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.options.Validate()
			if err == nil != (c.want == nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("no %s in %q", part, err)
				}
			}
		})
	}
}

func TestCheckNamesPathsThatAreNotThere(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	o := Options{Landlock: &Landlock{Read: []string{gone}}}
	if _, err := o.Check(); err == nil || !strings.Contains(err.Error(), "landlock") {
		t.Errorf("got %v", err)
	}
}

func TestOneStepIsEnough(t *testing.T) {
	for _, o := range []Options{{}, {PrivateTmp: true}, {Seccomp: Seccomp{Profile: ProfileOff}}} {
		if p := o.Plan([]string{"php"}, "", "/tmp"); p.TwoSteps() || !p.NoNewPrivs {
			t.Errorf("%+v gives %+v", o, p)
		}
	}
}
