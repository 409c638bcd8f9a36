package rpc_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(dialVar); dsn != "" {
		fmt.Println(calls(context.Background(), dsn))
		return
	}
	if name := os.Getenv(connectVar); name != "" {
		if err := unix.Connect(3, &unix.SockaddrUnix{Name: name}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
