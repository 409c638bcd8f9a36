package golden_test

// protoOnly are cases that can only be right when contexts are protobuf: JSON
// cannot carry what they are about.
var protoOnly = map[string]string{
	"http-header-latin1":        "a request header whose value is not UTF-8",
	"http-answer-header-latin1": "an answer header whose value is not UTF-8",
}

// unserved are sections of RoadRunner's configuration that this version does
// not know. They are taken out of the recorded configurations: the RPC cases
// share one that has all of them. TestUnserved fails when one is served.
var unserved = []string{"jobs", "kv", "metrics", "service", "status"}
