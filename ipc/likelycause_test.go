package ipc

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLikelyCause(t *testing.T) {
	for _, test := range []struct{ received, hint string }{
		{"Could not open input file: worker.php\n", "worker's working directory: Could not open input file: worker.php"},
		{"PHP Fatal error:  Uncaught Exception: x in /a.php:3\nStack trace:\n", "PHP ended with an error: PHP Fatal error:  Uncaught Exception: x in /a.php:3"},
		{"<br />\n<b>Fatal error</b>:  Uncaught Exception: x in <b>/a.php</b><br />\n", "PHP ended with an error: <b>Fatal error</b>:  Uncaught Exception: x in <b>/a.php</b><br />"},
		{"\nWarning: one\n\nFatal error: two\n", "PHP ended with an error: Fatal error: two"},
		{"\nParse error: syntax error, unexpected end of file in /a.php on line 3\n", "PHP cannot compile the code: Parse error: syntax error"},
		{"<br />\n<b>Warning</b>:  Undefined variable in <b>/a.php</b>", "PHP printed a warning"},
		{"\nDeprecated: foo\n", "PHP printed a warning"},
		{"X-Powered-By: PHP/8.2\r\nContent-type: text/html; charset=UTF-8\r\n\r\n", "php-cgi"},
		{"Interactive shell\n\nphp > ", "php -a"},
		{"\xef\xbb\xbf\x13\x01\x0c\x00", "byte order mark"},
		{"#!/usr/bin/env php\n", "remove that line: #!/usr/bin/env php"},
		{"<?php\nrequire 'x';", "printed instead of executed: "},
		{"\n\n  \n", "blank space"},
		{"\n\nhello\nworld", "print to STDERR: hello"},
		{"array(2) {\n  [0]=>", "print to STDERR: array(2) {"},
		{"\x00\x01\x02\x03", "not a goridge v3 frame"},
		{"\x14\x80\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00body", "not a goridge v3 frame"},
	} {
		if got := likelyCause([]byte(test.received), false); !strings.Contains(got, test.hint) {
			t.Errorf("%q: hint %q, want %q", test.received, got, test.hint)
		}
	}
}

func TestLikelyCauseWhileServing(t *testing.T) {
	if got := likelyCause([]byte("child output\n"), true); !strings.Contains(got, "a process that it started did") || !strings.HasSuffix(got, "child output") {
		t.Errorf("hint %q", got)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain\ttext\n":     "plain\ttext\n",
		"grün €":            "grün €",
		"\x1b[31mred\x1b":   `\x1b[31mred\x1b`,
		"\xff\xfe\x00":      `\xff\xfe\x00`,
		"\xe2\x82":          `\xe2\x82`,
		"\u202etxt.exe":     `\xe2\x80\xaetxt.exe`,
		"\xef\xbf\xbd real": "\uFFFD real",
	} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
	if got := printable([]byte(strings.Repeat("x", 5000))); len(got) != maxQuoted+3 || !strings.HasSuffix(got, "...") {
		t.Errorf("a long text has %d bytes", len(got))
	}
}

func FuzzLikelyCause(f *testing.F) {
	f.Add([]byte("x"))
	f.Add([]byte("\nWarning: "))
	f.Add([]byte("\xef\xbb\xbf#!"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 0 {
			return
		}
		hint := likelyCause(b, len(b)%2 == 0)
		if hint == "" || !utf8.ValidString(hint) || len(hint) > 5*maxQuoted {
			t.Errorf("%q: hint %q", b, hint)
		}
	})
}
