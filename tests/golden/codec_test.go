package golden_test

// protoOnly are cases that can only be right when contexts are protobuf: JSON
// cannot carry what they are about.
var protoOnly = map[string]string{
	"http-header-latin1":        "a request header whose value is not UTF-8",
	"http-answer-header-latin1": "an answer header whose value is not UTF-8",
}
