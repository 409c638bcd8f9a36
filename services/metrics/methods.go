package metrics

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/rr-systemd/rrd/services/rpc"
)

// Metric is the argument of Add, Sub, Set and Observe.
type Metric struct {
	Name   string   `msgpack:"alias:name"`
	Value  float64  `msgpack:"alias:value"`
	Labels []string `msgpack:"alias:labels"` // values, in the order in which the labels were declared
}

// NamedCollector is the argument of Declare. In MessagePack the collector's
// fields stand beside the name.
type NamedCollector struct {
	Name      string `json:"name"`
	Collector `json:"collector"`
}

// Register adds the service's methods to server. The texts of errors are
// RoadRunner's, because PHP code looks for them.
func (s *Service) Register(server *rpc.Server) {
	add := func(c *collector, m *Metric) error { return c.add(m.Value, m.Labels) }
	sub := func(c *collector, m *Metric) error { return c.add(-m.Value, m.Labels) }
	set := func(c *collector, m *Metric) error { return c.set(m.Value, m.Labels) }
	observe := func(c *collector, m *Metric) error { return c.observe(m.Value, m.Labels) }
	type byType = map[string]func(*collector, *Metric) error
	for _, op := range []struct {
		method, prefix string
		none           string // there is no such collector
		labels         string // it has labels and none were given
		wrong          string // its type cannot do that
		do             byType
	}{
		{
			"metrics.Add", "metrics_plugin_add: ", "undefined collector %s, try first Declare the desired collector",
			"required labels for collector %s", "collector %s does not support method `Add`", byType{Gauge: add, Counter: add},
		},
		{
			"metrics.Sub", "metrics_plugin_sub: ", "undefined collector %s",
			"required labels for collector %s", "collector `%s` does not support method `Sub`", byType{Gauge: sub},
		},
		{
			"metrics.Set", "metrics_plugin_set: ", "undefined collector %s",
			"required labels for collector %s", "collector `%s` does not support method Set", byType{Gauge: set},
		},
		{
			"metrics.Observe", "metrics_plugin_observe: ", "undefined collector %s",
			"required labels for collector `%s`", "collector `%s` does not support method `Observe`", byType{Histogram: observe, Summary: observe},
		},
	} {
		rpc.RegisterInline(server, op.method, rpc.Anyone, rpc.Always, func(_ context.Context, m *Metric, ok *bool) error {
			fail := func(format string) error { return fmt.Errorf(op.prefix+format, m.Name) }
			c := s.find(m.Name)
			if c == nil {
				return fail(op.none)
			}
			do := op.do[c.Type]
			switch {
			case do == nil:
				return fail(op.wrong)
			case len(c.Labels) > 0 && len(m.Labels) == 0 && c.Type == Counter:
				return fail("required labels for collector `%s`")
			case len(c.Labels) > 0 && len(m.Labels) == 0:
				return fail(op.labels)
			}
			if err := do(c, m); err != nil {
				return fmt.Errorf("%s%w", op.prefix, err)
			}
			*ok = true
			return nil
		})
	}
	rpc.Register(server, "metrics.Declare", rpc.Anyone, func(_ context.Context, c *NamedCollector, ok *bool) error {
		if err := s.declare(c.Name, c.Collector); err != nil {
			// Newer versions of the library name a unit in their texts, RoadRunner's does not.
			return errors.New("metrics_plugin_declare: " + strings.ReplaceAll(err.Error(), `unit: "", `, ""))
		}
		*ok = true
		return nil
	})
	rpc.Register(server, "metrics.Unregister", rpc.Anyone, func(_ context.Context, name *string, ok *bool) error {
		if *ok = s.unregister(*name); !*ok {
			return fmt.Errorf("metrics_plugin_unregister: undefined collector %s", *name)
		}
		return nil
	})
}
