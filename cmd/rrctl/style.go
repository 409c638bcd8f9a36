package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// style is an SGR code of ANSI terminals; "" is plain text.
type style string

const (
	plain  style = ""
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
	faint  style = "2"
	alarm  style = "1;31"
)

// paint wraps text, where the output shows colours.
func (s style) paint(text string, colours bool) string {
	if !colours || s == plain || text == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

// colours tells whether w is a terminal whose user wants colours.
func colours(w io.Writer) bool {
	_, refused := os.LookupEnv("NO_COLOR")
	return !refused && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && f != nil && term.IsTerminal(int(f.Fd()))
}

// printError keeps the lines and tabs of an error text, which may hold what a
// worker wrote. A carriage return is harmless at the start of a line, where
// RoadRunner has one.
func printError(w io.Writer, text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		cells := strings.Split(strings.TrimPrefix(line, "\r"), "\t")
		for j := range cells {
			cells[j] = printable(cells[j])
		}
		start := line[:len(line)-len(strings.TrimPrefix(line, "\r"))]
		lines[i] = start + strings.Join(cells, "\t")
	}
	fmt.Fprintln(w, alarm.paint(strings.Join(lines, "\n"), colours(w)))
}

// printable replaces control characters: a path or an error text of an
// application must not move the cursor or colour the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
