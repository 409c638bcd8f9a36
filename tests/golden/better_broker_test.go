package golden_test

import "encoding/json"

// betterWithBroker is better for the recordings with a store: what rrd does
// instead of a recorded mistake of RoadRunner.
var betterWithBroker = map[string]func(*brokerCase){
	// Nothing is written by a call that fails. That of memory is not marked as a
	// mistake here, but in rpc.jsonl it is.
	"kv/boltdb/set-bad-time": func(c *brokerCase) { c.answers(1, `{}`) },
	"kv/memory/set-bad-time": func(c *brokerCase) { c.answers(1, `{}`) },

	// The calls answer as recorded (rpc.jsonl has them unmarked); only that a key
	// which no call can read or delete is not kept.
	"kv/memory/empty-key": func(*brokerCase) {},

	// MExpire changes the time and nothing else, of keys that are there; what is
	// past is gone.
	"kv/memory/mexpire": func(c *brokerCase) {
		c.answers(2, `{"items":[{"key":"k1","value":"djE="}]}`)
		c.answers(5, `{"items":[{"key":"k2","timeout":"{{NOW+51}}"}]}`)
	},
	"kv/memory/mexpire-past": func(c *brokerCase) {
		c.answers(2, `{}`)
		c.remove("server_dies")
	},
	"kv/boltdb/mexpire-missing": func(c *brokerCase) { c.answers(2, `{}`) },
	"kv/redis/mexpire-missing":  func(c *brokerCase) { c.fails(0, "rpc_mexpire: no such key: nope") },
	"kv/redis/set-past": func(c *brokerCase) {
		c.answers(1, `{}`)
		gone := c.Steps[3]
		gone.Type, gone.Value, gone.TTL = "none", nil, "-2"
	},
}

// answers replaces what the n-th step expects.
func (c *brokerCase) answers(n int, response string) {
	s := c.Steps[n]
	s.Response, s.Error, s.Connection, s.ResponseFlags = json.RawMessage(response), nil, "", s.Flags
}

func (c *brokerCase) fails(n int, text string) {
	s := c.Steps[n]
	s.Error, s.ResponseFlags = &text, s.Flags|flagError
}
