// Command restart looks from the outside at what services keep in memory, for
// restart.sh: probe DSN SERVICE VERB [NUMBER].
package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// verbs by service; each gets a connection and its number.
var verbs = map[string]func(*client, string, int) error{
	"kv": kv,
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 || verbs[args[1]] == nil {
		return errors.New("usage: probe DSN SERVICE VERB [NUMBER]")
	}
	n := 0
	if len(args) > 3 {
		var err error
		if n, err = strconv.Atoi(args[3]); err != nil {
			return err
		}
	}
	conn, err := net.Dial("unix", strings.TrimPrefix(args[0], "unix://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	return verbs[args[1]](&client{conn: conn}, args[2], n)
}
