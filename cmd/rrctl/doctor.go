package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// severity orders what the doctor finds.
type severity uint8

const (
	fine    severity = iota // as it should be
	note                    // could be better, or good to know
	warning                 // will hurt under load or in an accident
	failure                 // does not work
)

func (s severity) String() string { return [...]string{"ok", "note", "warning", "error"}[s] }

func (s severity) style() style { return [...]style{green, cyan, yellow, red}[s] }

// MarshalText is for --json.
func (s severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// finding is one thing that was looked at.
type finding struct {
	Area     string   `json:"area"` // machine, php, config, instance
	Name     string   `json:"name"`
	Severity severity `json:"severity"`
	Found    string   `json:"found"`
	// Fix is what to do about it.
	Fix string `json:"fix,omitempty"`
}

// doctor looks at things and keeps what it finds.
type doctor struct {
	root     string // "/", that of the tests is a folder
	area     string
	findings []finding
}

func (d *doctor) add(name string, s severity, found, fix string) {
	d.findings = append(d.findings, finding{d.area, name, s, found, fix})
}

// check adds what is fine, or else not.
func (d *doctor) check(name string, ok bool, bad severity, found, fix string) {
	if ok {
		bad, fix = fine, ""
	}
	d.add(name, bad, found, fix)
}

// read returns the content of a small file without the newline at its end.
func (d *doctor) read(path string) (string, bool) {
	b, err := os.ReadFile(filepath.Join(d.root, path))
	return strings.TrimRight(string(b), "\n"), err == nil
}

func (c *cli) doctorCommand() *cobra.Command {
	var quiet bool
	cmd := &cobra.Command{
		Use:   "doctor [FILE]",
		Short: "Check the machine, PHP, the configuration and the instance, and say what to do",
		Long: `Check the machine, PHP, the configuration and the instance, and say what to do.

FILE is a configuration; without one it is that of the instance, if there is one.
Exits with 0 when nothing is wrong, 5 when there are warnings, 1 when something
does not work.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d := &doctor{root: "/"}
			file := ""
			if len(args) > 0 {
				file = args[0]
			}
			if err := c.examine(cmd.Context(), d, file); err != nil {
				return err
			}
			var err error
			if c.json {
				err = c.printJSON(d.findings)
			} else {
				_, err = fmt.Fprint(c.out, doctorText(d.findings, quiet, colours(c.out)))
			}
			switch {
			case err != nil:
				return err
			case d.worst() == failure:
				return errSilent
			case d.worst() == warning:
				return errWarned
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "leave out what is fine")
	return cmd
}

// errWarned ends with an exit code of its own.
var errWarned = fmt.Errorf("%wwarnings", errSilent)

// examine looks at everything. An instance that is not named and not there is no
// finding: the machine may not have any yet.
func (c *cli) examine(ctx context.Context, d *doctor, file string) error {
	name, err := c.chosen()
	named := c.socket != "" || c.instance != "" || os.Getenv("RR_INSTANCE") != ""
	var none *noDaemonError
	if err != nil && c.socket == "" && (named || !errors.As(err, &none)) {
		return err
	}
	status := c.reach(ctx)
	if file == "" {
		file = configOf(name, status)
	}
	d.machine(ctx)
	tree := d.config(file)
	d.php(ctx, tree)
	if named || status != nil {
		d.instance(name, status, c)
	}
	return nil
}

func (d *doctor) worst() severity {
	worst := fine
	for _, f := range d.findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

func doctorText(findings []finding, quiet, colours bool) string {
	var b strings.Builder
	count := [failure + 1]int{}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	area := ""
	for _, f := range findings {
		count[f.Severity]++
		if quiet && f.Severity == fine {
			continue
		}
		if f.Area != area {
			if area != "" {
				b.WriteByte('\n')
			}
			area = f.Area
			fmt.Fprintf(&b, "%s\n", bold.paint(area, colours))
		}
		fmt.Fprintf(&b, "  %s%s  %-*s  %s\n", f.Severity.style().paint(f.Severity.String(), colours),
			strings.Repeat(" ", len("warning")-len(f.Severity.String())), width, printable(f.Name), printable(f.Found))
		if f.Fix != "" {
			fmt.Fprintf(&b, "  %*s  %s\n", len("warning")+2+width, "", faint.paint("→ "+printable(f.Fix), colours))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d ok, %d%s, %d%s, %d%s\n", count[fine], count[note], plural(uint64(count[note]), " note"),
		count[warning], plural(uint64(count[warning]), " warning"), count[failure], plural(uint64(count[failure]), " error"))
	return b.String()
}
