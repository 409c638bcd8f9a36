package golden_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)`)

var labelPair = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)

// parseMetrics reads the Prometheus text format to what the recordings keep of
// it: per metric help, type, sets of labels, buckets, values. Metrics of the
// process and the Go runtime and those that RoadRunner does not have (rrd_) are
// left out, a pid becomes PID.
func parseMetrics(page string) (map[string]any, error) {
	out := map[string]any{}
	metric := func(name string) map[string]any {
		for _, base := range []string{name, strings.TrimSuffix(name, "_bucket"), strings.TrimSuffix(name, "_count"), strings.TrimSuffix(name, "_sum")} {
			if m, ok := out[base].(map[string]any); ok {
				return m
			}
		}
		m := map[string]any{"labels": []any{}, "values": map[string]any{}}
		out[name] = m
		return m
	}
	for line := range strings.SplitSeq(page, "\n") {
		if word := strings.SplitN(line, " ", 4); len(word) == 4 && word[0] == "#" {
			switch word[1] {
			case "HELP":
				metric(word[2])["help"] = word[3]
			case "TYPE":
				metric(word[2])["type"] = word[3]
			}
			continue
		}
		if line == "" || line[0] == '#' {
			continue
		}
		s := sampleLine.FindStringSubmatch(line)
		if s == nil {
			return nil, fmt.Errorf("not a sample: %q", line)
		}
		m := metric(s[1])
		labels, bucket := []any{}, ""
		for _, l := range labelPair.FindAllStringSubmatch(s[2], -1) {
			switch l[1] {
			case "le":
				bucket = l[2]
			case "quantile":
			case "pid":
				labels = append(labels, []any{"pid", "PID"})
			default:
				labels = append(labels, []any{l[1], l[2]})
			}
		}
		key := pythonJSON(labels)
		if !slices.ContainsFunc(m["labels"].([]any), func(have any) bool { return pythonJSON(have) == key }) {
			m["labels"] = append(m["labels"].([]any), labels)
		}
		if bucket != "" {
			list, _ := m["buckets"].([]any)
			if !slices.Contains(list, any(bucket)) {
				m["buckets"] = append(list, bucket)
			}
			continue
		}
		m["values"].(map[string]any)[s[1]+key] = s[3]
	}
	for name := range out {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "rrd_") || name == "rr_http_uptime_seconds" {
			delete(out, name)
		}
	}
	return out, nil
}

// keepValues drops the values that the recording does not name: they change
// from run to run.
func keepValues(want, got map[string]any) {
	for name, g := range got {
		w, _ := want[name].(map[string]any)
		wanted, _ := w["values"].(map[string]any)
		m := g.(map[string]any)
		values := m["values"].(map[string]any)
		for key := range values {
			if _, ok := wanted[key]; !ok {
				delete(values, key)
			}
		}
		if wanted == nil {
			delete(m, "values")
		}
	}
}

// pythonJSON writes JSON with a space after every comma, as the recordings do.
func pythonJSON(v any) string {
	if list, ok := v.([]any); ok {
		parts := make([]string, len(list))
		for i, e := range list {
			parts[i] = pythonJSON(e)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	b, _ := json.Marshal(v)
	return string(b)
}
