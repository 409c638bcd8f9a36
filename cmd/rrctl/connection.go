package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rr-systemd/rrd/ipc/rpc"
)

// answerTimeout is how long a daemon may take to answer what it knows without
// doing anything. One that takes longer hangs.
const answerTimeout = 10 * time.Second

// lasting are the methods that return when something is done: workers boot or finish
// their requests, programs end. How long that takes is the application's affair, so
// they have no limit of their own. The daemon is asked first whether it answers at all.
var lasting = map[string]bool{
	"rrd.Reload": true, "resetter.Reset": true, "informer.AddWorker": true, "informer.RemoveWorker": true,
	"service.Create": true, "service.Restart": true, "service.Terminate": true,
}

// connection is a client whose calls do not wait for ever.
type connection struct {
	*rpc.Client
	timeout time.Duration // of every call; 0: answerTimeout, and none for those that are lasting
}

// Call calls a method. When the daemon takes too long it is a *noDaemonError: for
// who asks, one that does not answer is as good as none.
func (c *connection) Call(ctx context.Context, method string, codec rpc.Codec, arg, reply any) error {
	limit := c.timeout
	if limit == 0 && !lasting[method] {
		limit = answerTimeout
	}
	late := "it hangs, or the machine is overloaded"
	var err error
	if lasting[method] {
		late = "it goes on with what it does"
		err = c.probe(ctx, method)
	}
	if err == nil {
		err = c.within(ctx, limit, method, codec, arg, reply)
	}
	switch {
	case errors.Is(err, rpc.ErrClosed):
		return fmt.Errorf("the daemon ended, or was restarted, before it answered %s", method)
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return &noDaemonError{fmt.Errorf("the daemon did not answer %s within %s: %s", method, limit, late)}
	}
	return err
}

// probe asks a daemon whether it answers at all before method is called, which may
// take for ever.
func (c *connection) probe(ctx context.Context, method string) error {
	limit := answerTimeout
	if c.timeout > 0 {
		limit = min(limit, c.timeout)
	}
	err := c.within(ctx, limit, "rpc.Version", rpc.JSON, new(bool), new(string))
	var remote *rpc.RemoteError
	switch {
	case errors.As(err, &remote): // an answer, too
		return nil
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return &noDaemonError{fmt.Errorf("the daemon said nothing within %s: it hangs, is stopped, or the machine is overloaded; %s was not begun", limit, method)}
	}
	return err
}

// within calls with a limit; 0 is none.
func (c *connection) within(ctx context.Context, limit time.Duration, method string, codec rpc.Codec, arg, reply any) error {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return c.Client.Call(ctx, method, codec, arg, reply)
}
