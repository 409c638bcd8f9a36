package config

import (
	"fmt"
	"slices"
)

// Sections are the top-level keys that RoadRunner v2025.1 knows. Which of them
// are served is for the daemon to say.
var Sections = []string{
	"amqp", "beanstalk", "boltdb", "centrifuge", "endure", "envfile", "fileserver", "google_pub_sub", "grpc",
	"http", "include", "jobs", "kafka", "kv", "lock", "logs", "memcached", "metrics", "nats", "otel", "redis", "rpc",
	"server", "service", "sqs", "status", "tcp", "temporal", "version",
}

// own are the sections that this package handles itself.
var own = []string{"version", "include", "envfile"}

// removed are sections of older RoadRunner versions and what became of them.
var removed = map[string]string{
	"reload":     "use `systemctl reload` or `rrctl reload`",
	"broadcast":  "use the section centrifuge",
	"websockets": "use the section centrifuge",
}

// Unknown checks the top-level keys against those that are served. Lenient
// trees get warnings instead of the error.
func (t *Tree) Unknown(served ...string) error {
	served = append(slices.Clone(served), own...)
	var errs Errors
	for _, name := range t.root.order {
		if slices.Contains(served, name) {
			continue
		}
		e := &Error{Position: t.root.fields[name].pos}
		switch advice, gone := removed[name]; {
		case gone:
			e.Problem, e.Fix = fmt.Sprintf("section %q does not exist any more", name), advice
		case slices.Contains(Sections, name):
			e.Problem, e.Fix = fmt.Sprintf("section %q is not supported by this version", name), "remove it"
		default:
			e.Problem, e.Fix = fmt.Sprintf("unknown section %q", name), didYouMean(name, served)
		}
		if t.lenient {
			t.warn(Warning(*e))
			continue
		}
		errs = append(errs, e)
	}
	return errs.orNil()
}
