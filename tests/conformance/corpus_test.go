//go:build conformance

package conformance

import (
	"fmt"
	"strings"
)

// An attack is bytes on a connection. Sections are of RFC 9112 unless they say
// otherwise.
type attack struct {
	name, section string
	raw           string
	want          []int    // statuses of rrd itself; nil: it closes without an answer
	reach         []string // what PHP gets of it: method, path, length of the body
}

const (
	host = "Host: a\r\n"
	post = "POST / HTTP/1.1\r\n" + host
	// smuggled must never become a request, but where the chunks end before it:
	// elsewhere in the corpus it is part of a body, or behind something that ends the
	// connection.
	smuggled = "GET /smuggled HTTP/1.1\r\n" + host + "\r\n"
	ended    = "0\r\n\r\n" // a chunked body
)

var (
	refused  = []int{400}
	unknown  = []int{501}
	accepted = []int{200}
)

func got(method string, length int) []string {
	return []string{fmt.Sprintf("%s / %d", method, length)}
}

// lengthOf is a POST with this Content-Length and a smuggled request in its body.
func lengthOf(value string) string {
	return post + "Content-Length:" + value + "\r\n\r\nhello" + smuggled
}

// coded is a POST with these lines instead of Transfer-Encoding, a length that
// covers all, and a chunked body that ends before the smuggled request.
func coded(lines string) string {
	body := ended + smuggled
	return post + fmt.Sprintf("Content-Length: %d\r\n", len(body)) + lines + "\r\n\r\n" + body
}

// chunks is a POST with this chunked body, and the smuggled request behind it.
func chunks(body string) string {
	return post + "Transfer-Encoding: chunked\r\n\r\n" + body + smuggled
}

// field is a GET with these lines in its header.
func field(lines string) string { return "GET / HTTP/1.1\r\n" + host + lines + "\r\n\r\n" }

// line is a GET with this request line.
func line(text string) string { return text + "\r\n" + host + "\r\n" }

// The chunks count, not the length beside them, and the connection goes on, as
// recorded of RoadRunner. RFC 9112 wants it closed; see guardFraming.
var (
	both   = []int{200, 200}
	served = append(got("POST", 0), "GET /smuggled 0")
)

var whole = got("POST", len(ended+smuggled))

var smuggling = []attack{
	{"CL.TE: length covers a request behind the last chunk", "6.1", coded("Transfer-Encoding: chunked"), both, served},
	{"TE.CL: the chunk is a request, the length ends before it", "6.1",
		post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n", len(smuggled)) + smuggled + "\r\n" + ended, accepted, got("POST", len(smuggled))},
	{"TE in HTTP/1.0, kept alive", "6.1",
		fmt.Sprintf("POST / HTTP/1.0\r\n"+host+"Connection: keep-alive\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n", len(smuggled)) + smuggled + "\r\n" + ended, accepted, got("POST", 4)},
	{"two lengths", "6.3", lengthOf(" 5\r\nContent-Length: 0"), refused, nil},
	{"two lengths in a list", "6.3", lengthOf(" 5, 0"), refused, nil},
	{"length with a sign", "6.3", lengthOf(" +5"), refused, nil},
	{"negative length", "6.3", lengthOf(" -1"), refused, nil},
	{"length in base 16", "6.3", lengthOf(" 0x5"), refused, nil},
	{"empty length", "6.3", lengthOf(""), refused, nil},
	{"length with a space in it", "6.3", lengthOf(" 0 5"), refused, nil},
	{"length with an underscore", "6.3", lengthOf(" 0_5"), refused, nil},
	{"length beyond 64 bits", "6.3", lengthOf(" 18446744073709551621"), refused, nil},
	{"length with other digits (٥)", "6.3", lengthOf(" ٥"), refused, nil},
	{"length with a vertical tab", "6.3", lengthOf(" \v5"), refused, nil},
	{"unknown coding", "6.1", coded("Transfer-Encoding: xchunked"), unknown, nil},
	{"identity", "6.1", coded("Transfer-Encoding: identity"), unknown, nil},
	{"chunked is not last", "6.3", coded("Transfer-Encoding: chunked, identity"), unknown, nil},
	{"gzip, chunked", "6.1", coded("Transfer-Encoding: gzip, chunked"), unknown, nil},
	{"chunked twice", "6.1", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), unknown, nil},
	{"second field is identity", "6.1", coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"), unknown, nil},
	{"quoted chunked", "6.1", coded(`Transfer-Encoding: "chunked"`), unknown, nil},
	{"chunked with a parameter", "6.1", coded("Transfer-Encoding: chunked;q=1"), unknown, nil},
	{"empty coding", "6.1", coded("Transfer-Encoding:"), unknown, nil},
	{"space before the colon", "5.1", coded("Transfer-Encoding : chunked"), refused, nil},
	{"tab before the colon", "5.1", coded("Transfer-Encoding\t: chunked"), refused, nil},
	{"vertical tab before the value", "5", coded("Transfer-Encoding:\vchunked"), refused, nil},
	{"NUL behind the value", "5", coded("Transfer-Encoding: chunked\x00"), refused, nil},
	{"CR before the name", "2.2", coded("\rTransfer-Encoding: chunked"), refused, nil},
	{"bare CR before the field", "2.2", coded("X: a\rTransfer-Encoding: chunked"), refused, nil},
	{"space before the first field", "2.2", strings.Replace(coded("X: a"), host, " Transfer-Encoding: chunked\r\n"+host, 1), refused, nil},
	{"folded line", "5.2", coded("X: a\r\n Transfer-Encoding: chunked"), accepted, whole},
	{"bare LF before the field", "2.2", coded("X: a\nTransfer-Encoding: chunked"), both, served},
	{"other case, more spaces", "6.1", coded("tRANSFER-eNCODING:  \tcHUNKED"), both, served},
	{"underscore instead of the dash", "5.1", coded("Transfer_Encoding: chunked"), accepted, whole},
	{"Connection names Content-Length", "RFC 9110 7.6.1", coded("Connection: Content-Length"), accepted, whole},
	{"Expect: 100-continue", "RFC 9110 10.1.1", coded("Expect: 100-continue"), accepted, whole},
	{"GET with a request as its body", "6", fmt.Sprintf("GET / HTTP/1.1\r\n"+host+"Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled, accepted, got("GET", len(smuggled))},
	{"HEAD with a request as its body", "6", fmt.Sprintf("HEAD / HTTP/1.1\r\n"+host+"Content-Length: %d\r\n\r\n", len(smuggled)) + smuggled, accepted, got("HEAD", 0)},
	{"two request lines in one", "3", "GET / HTTP/1.1 GET /smuggled HTTP/1.1\r\n" + host + "\r\n", refused, nil},
	{"chunk size with 0x", "7.1", chunks("0x5\r\nhello\r\n" + ended), refused, nil},
	{"chunk size with a sign", "7.1", chunks("+5\r\nhello\r\n" + ended), refused, nil},
	{"negative chunk size", "7.1", chunks("-1\r\nhello\r\n" + ended), refused, nil},
	{"chunk size beyond 64 bits", "7.1", chunks("10000000000000005\r\nhello\r\n" + ended), refused, nil},
	{"empty chunk size", "7.1", chunks("\r\nhello\r\n" + ended), refused, nil},
	{"chunk longer than its size", "7.1", chunks("3\r\nhello\r\n" + ended), refused, nil},
	{"no line end behind a chunk", "7.1", chunks("5\r\nhello" + ended), refused, nil},
	{"bare LF behind a chunk size", "7.1", chunks("5\nhello\r\n" + ended), refused, nil},
	{"bare LF in a chunk extension", "7.1.1", chunks("5;a\nb\r\nhello\r\n" + ended), refused, nil},
	{"bare CR in a chunk extension", "7.1.1", chunks("5;a\rb\r\nhello\r\n" + ended), refused, nil},
	{"malformed size behind a good chunk", "7.1", chunks("5\r\nhello\r\nzz\r\nworld\r\n" + ended), refused, nil},
	{"chunk longer than its size behind a good one", "7.1", chunks("5\r\nhello\r\n1\r\nworld\r\n" + ended), refused, nil},
	{"size beyond 64 bits behind a good chunk", "7.1", chunks("5\r\nhello\r\nfffffffffffffffff\r\n" + ended), refused, nil},
	{"trailer without a colon", "7.1.2", chunks("5\r\nhello\r\n0\r\nX\r\n\r\n"), refused, nil},
	{"space in the name of a trailer (Go passes over it)", "7.1.2", chunks("5\r\nhello\r\n0\r\nX Y: a\r\n\r\n"), both, append(got("POST", 5), "GET /smuggled 0")},
	{"bare LF behind the chunk", "7.1", chunks("5\r\nhello\n" + ended), refused, nil},
}

var malformed = []attack{
	{"pipelined requests (valid)", "9.3.2", line("GET / HTTP/1.1") + line("GET / HTTP/1.1"), []int{200, 200}, []string{"GET / 0", "GET / 0"}},
	{"chunked with an extension (valid)", "7.1.1", post + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n" + ended, accepted, got("POST", 5)},
	{"chunked with a trailer (valid)", "7.1.2", post + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 9\r\n\r\n", accepted, got("POST", 5)},
	{"the same length twice (may be accepted)", "6.3", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", accepted, got("POST", 5)},
	{"absolute form (valid)", "3.2.2", line("GET http://b/ HTTP/1.1"), accepted, got("GET", 0)},
	{"HTTP/1.0 without Host (valid)", "3.2", "GET / HTTP/1.0\r\n\r\n", accepted, got("GET", 0)},
	{"OPTIONS * (valid)", "3.2.4", line("OPTIONS * HTTP/1.1"), accepted, nil},
	{"bytes above 127 in a value (valid)", "RFC 9110 5.5", field("X: \xe9"), accepted, got("GET", 0)},
	{"lines end with LF (may be accepted)", "2.2", "GET / HTTP/1.1\nHost: a\n\n", accepted, got("GET", 0)},
	{"lines end with CR", "2.2", "GET / HTTP/1.1\rHost: a\r\r\n\r\n", refused, nil},
	{"no Host", "3.2", "GET / HTTP/1.1\r\n\r\n", refused, nil},
	{"two Hosts", "3.2", field("Host: b"), refused, nil},
	{"Host with a space", "3.2", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", refused, nil},
	{"Host with a path", "3.2", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", refused, nil},
	{"Host with a user", "3.2", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", refused, nil},
	{"Host with a list", "3.2", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", refused, nil},
	{"HTTP/1.2 (may be accepted)", "2.3", line("GET / HTTP/1.2"), accepted, got("GET", 0)},
	{"HTTP/9.9", "2.3", line("GET / HTTP/9.9"), []int{505}, nil},
	{"HTTP/2.0", "2.3", line("GET / HTTP/2.0"), []int{505}, nil},
	{"http/1.1", "2.3", line("GET / http/1.1"), refused, nil},
	{"HTTP/01.1", "2.3", line("GET / HTTP/01.1"), refused, nil},
	{"HTTP/1.1x", "2.3", line("GET / HTTP/1.1x"), refused, nil},
	{"HTTP/1.", "2.3", line("GET / HTTP/1."), refused, nil},
	{"no version", "3", line("GET /"), refused, nil},
	{"no target", "3", line("GET HTTP/1.1"), refused, nil},
	{"no method", "3.1", line(" / HTTP/1.1"), refused, nil},
	{"method that is no token", "3.1", line("G=T / HTTP/1.1"), refused, nil},
	{"method with a NUL", "3.1", line("GE\x00T / HTTP/1.1"), refused, nil},
	{"two spaces before the target", "3", line("GET  / HTTP/1.1"), refused, nil},
	{"tabs between the parts", "3", line("GET\t/\tHTTP/1.1"), refused, nil},
	{"space in the target", "3.2", line("GET /a b HTTP/1.1"), refused, nil},
	{"control character in the target", "3.2", line("GET /\x01 HTTP/1.1"), refused, nil},
	{"target without a slash", "3.2", line("GET a HTTP/1.1"), refused, nil},
	{"bad percent code in the target", "3.2", line("GET /%zz HTTP/1.1"), refused, nil},
	{"GET * (served as by RoadRunner)", "3.2.4", line("GET * HTTP/1.1"), accepted, got("GET", 0)},
	{"1 MiB of target", "3", line("GET /" + strings.Repeat("a", 1<<20+1<<13) + " HTTP/1.1"), []int{431}, nil},
	{"1 MiB of header", "RFC 6585 5", field("X: " + strings.Repeat("a", 1<<20+1<<13)), []int{431}, nil},
	{"60,000 fields", "RFC 6585 5", field(strings.Repeat("X: aaaaaaaaaaaaaaaa\r\n", 60_000) + "Y: b"), []int{431}, nil},
	{"line without a colon", "5", field("X"), refused, nil},
	{"empty name", "5.1", field(": a"), refused, nil},
	{"space in a name", "5.1", field("X Y: a"), refused, nil},
	{"space behind a name", "5.1", field("X : a"), refused, nil},
	{"bytes above 127 in a name", "5.1", field("\xe9: a"), refused, nil},
	{"NUL in a name", "5.1", field("X\x00: a"), refused, nil},
	{"NUL in a value", "RFC 9110 5.5", field("X: a\x00b"), refused, nil},
	{"control character in a value", "RFC 9110 5.5", field("X: a\x7fb"), refused, nil},
	{"bare CR in a value", "2.2", field("X: a\rb"), refused, nil},
	{"folded line (may be accepted)", "5.2", field("X: a\r\n b"), accepted, got("GET", 0)},
	{"unknown expectation", "RFC 9110 10.1.1", field("Expect: wonders"), []int{417}, nil},
	{"preface of HTTP/2 in the middle", "3", line("GET / HTTP/1.1") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{200, 400}, got("GET", 0)},
	{"not HTTP", "3", "\x00\xff\xfe\x01\r\n\r\n", refused, nil},
	{"hello of TLS on the plain port", "3", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", refused, nil},
}
