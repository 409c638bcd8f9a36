package golden_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

const notYetFile = "notyet.txt"

// notYet is the list of cases that this version does not serve: ids, or globs
// of ids. It only shrinks.
type notYet []string

func loadNotYet() (notYet, error) {
	f, err := os.Open(notYetFile)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list notYet
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line != "" {
			if _, err := path.Match(line, ""); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", notYetFile, line, err)
			}
			list = append(list, line)
		}
	}
	return list, nil
}

func (l notYet) has(id string) bool {
	return slices.ContainsFunc(l, func(glob string) bool {
		ok, _ := path.Match(glob, id)
		return ok
	})
}

// reason says why a case need not be served yet; "" when it must be. It is
// what -golden.update sorts the list by, and it keeps mistakes off the list.
func reason(c *goldenCase) string {
	http, _ := c.Config["http"].(map[string]any)
	server, _ := c.Config["server"].(map[string]any)
	service, _, _ := strings.Cut(rpcMethod(c), ".")
	relay, _ := server["relay"].(string)
	_, jobs := c.Config["jobs"]
	switch {
	case relay != "" && relay != "pipes":
		return "workers on a TCP or unix relay"
	case c.Area == "worker" || strings.HasPrefix(c.ID, "rpc-informer-") || strings.HasPrefix(c.ID, "rpc-resetter-"):
		return ""
	case strings.HasPrefix(c.ID, "status-") || service == "status" && c.ID != "rpc-status-not-enabled":
		return "status"
	case jobs:
		return "jobs"
	case strings.HasPrefix(c.ID, "metrics-") || service == "metrics" || c.Config["metrics"] != nil && hasStepTo(c, "metrics"):
		return "metrics"
	case service == "lock":
		return "lock"
	case service == "service" && c.Config["service"] != nil:
		return "service"
	case c.Area != "http":
		return ""
	case http["middleware"] != nil || http["headers"] != nil || http["static"] != nil || http["trusted_subnets"] != nil:
		return "http: middleware"
	}
	return ""
}

func rpcMethod(c *goldenCase) string {
	for _, s := range c.Steps {
		if s.Do == "rpc" && s.About != nil {
			return s.About.Method
		}
	}
	return ""
}

func hasStepTo(c *goldenCase, to string) bool {
	return slices.ContainsFunc(c.Steps, func(s *step) bool { return s.To == to })
}

// writeNotYet replaces the list by the ids of these cases.
func writeNotYet(cases []*goldenCase) error {
	byReason := map[string][]string{}
	for _, c := range cases {
		byReason[reason(c)] = append(byReason[reason(c)], c.ID)
	}
	mustPass := byReason[""]
	delete(byReason, "")
	var b strings.Builder
	b.WriteString("# Recorded cases that this version does not serve yet, by what they need.\n" +
		"# The list only shrinks: a case on it that passes fails the test.\n" +
		"# `go test ./tests/golden -golden.update` rewrites it.\n")
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		fmt.Fprintf(&b, "\n# %s\n", why)
		for _, id := range slices.Sorted(slices.Values(byReason[why])) {
			b.WriteString(id + "\n")
		}
	}
	if err := os.WriteFile(notYetFile, []byte(b.String()), 0o644); err != nil {
		return err
	}
	if len(mustPass) > 0 {
		return fmt.Errorf("these must pass and do not go on the list: %s", strings.Join(mustPass, " "))
	}
	return nil
}
