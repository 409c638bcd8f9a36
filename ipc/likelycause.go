package ipc

import (
	"bytes"
	"strings"
)

// looksLikeText reports whether b, which is too short for a header, is rather
// printed text than the start of one: the first byte of a header is 0x13..0x1d,
// a control character.
func looksLikeText(b []byte) bool {
	return b[0] >= 0x20 || b[0] == '\n' || b[0] == '\r' || b[0] == '\t'
}

// symptom is one thing that commonly ends up on a worker's STDOUT.
type symptom struct {
	text string // found anywhere in the output ...
	head bool   // ... or only at its beginning
	hint string // if it ends in ": ", the line of the output that has text is appended
}

const (
	warningHint = "PHP printed a warning to STDOUT, which is the channel to the daemon; fix it, or set display_errors=stderr: "
	cgiHint     = "server.command runs php-cgi, which prints HTTP headers; use the command line version of PHP (php, php8.2)"
)

// symptoms in the order of what explains more: an error message ends the
// process and so explains a warning that precedes it.
var symptoms = []symptom{
	{text: "Could not open input file: ", hint: "the PHP script of server.command does not exist or is not readable; a relative path counts from the worker's working directory: "},
	{text: "Fatal error", hint: "PHP ended with an error: "},
	{text: "Parse error", hint: "PHP cannot compile the code: "},
	{text: "Segmentation fault", hint: "PHP crashed: "},
	{text: "Usage: php", hint: "server.command calls PHP without a script or with an unknown option, and PHP printed its usage"},
	{text: "Interactive ", head: true, hint: "server.command starts PHP in interactive mode (php -a); give it a script instead"},
	{text: "X-Powered-By: PHP", hint: cgiHint},
	{text: "Content-type: text/html", hint: cgiHint},
	{text: "\xef\xbb\xbf", head: true, hint: "a PHP file begins with a UTF-8 byte order mark, which PHP prints; save it without one"},
	{text: "#!", head: true, hint: "a file that is included by the worker begins with a #! line, which PHP prints; remove that line: "},
	{text: "<?", head: true, hint: "PHP source was printed instead of executed: the file has a short open tag (<?) and short_open_tag is off, or server.command does not run PHP: "},
	{text: "Xdebug: ", hint: "Xdebug printed a message to STDOUT; set display_errors=stderr or xdebug.mode=off: "},
	{text: "Warning: ", hint: warningHint},
	{text: "Deprecated: ", hint: warningHint},
	{text: "Notice: ", hint: warningHint},
	{text: "Warning</b>: ", hint: warningHint},
	{text: "Deprecated</b>: ", hint: warningHint},
	{text: "Notice</b>: ", hint: warningHint},
}

// likelyCause explains bytes on STDOUT that are not a frame. started tells
// whether the worker has answered the pid request: from then on PHP's worker
// package keeps echo away from STDOUT.
func likelyCause(received []byte, started bool) string {
	for _, s := range symptoms {
		at := bytes.Index(received, []byte(s.text))
		if at < 0 || s.head && at > 0 {
			continue
		}
		if strings.HasSuffix(s.hint, ": ") {
			return s.hint + lineAt(received, at)
		}
		return s.hint
	}
	switch {
	case len(bytes.TrimSpace(received)) == 0:
		return "blank space was printed to STDOUT: a PHP file has a line before <?php or after ?>; remove it"
	case !looksLikeText(received):
		return "STDOUT carries bytes that are not a goridge v3 frame: the frame before announced a wrong length, or two processes write to it"
	case started:
		return "the application wrote to STDOUT itself (fwrite(STDOUT), php://stdout) or a process that it started did; STDOUT is the channel to the daemon, write to STDERR: " +
			lineAt(received, 0)
	}
	return "the application printed to STDOUT (echo, print, var_dump) before the worker had started; STDOUT is the channel to the daemon, print to STDERR: " +
		lineAt(received, 0)
}

// lineAt quotes the line of b that contains the offset at, or the first line
// after it that is not blank.
func lineAt(b []byte, at int) string {
	b = b[bytes.LastIndexByte(b[:at], '\n')+1:]
	b = bytes.TrimLeft(b, " \t\r\n")
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return printable(bytes.TrimRight(line, " \t\r"))
}
