package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

type kvItem struct {
	Key     string `json:"key"`
	Value   []byte `json:"value,omitempty"`
	Timeout string `json:"timeout,omitempty"`
}

type kvItems struct {
	Storage string   `json:"storage,omitempty"`
	Items   []kvItem `json:"items"`
}

// began is where fill notes its time, for check.
const began = "/var/tmp/kv-began"

// batch is how many keys are in a call.
const batch = 1000

// endOf is when a key ends: one every 2 ms, each tenth never. The first are over
// soon, the last lives for minutes.
func endOf(start time.Time, i int) time.Time {
	if i%10 == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(i) * 2 * time.Millisecond)
}

func kvKey(start time.Time, i int) kvItem {
	item := kvItem{Key: fmt.Sprint("key-", i), Value: fmt.Appendf(nil, "value %d", i)}
	if end := endOf(start, i); !end.IsZero() {
		item.Timeout = end.UTC().Format(time.RFC3339Nano)
	}
	return item
}

// kv fills a storage with n keys, or checks that exactly those are there whose
// time is not over, each with its value and its very time, or that there is none.
func kv(c *client, verb string, n int) error {
	batches := func(do func(start time.Time, from, to int) error) error {
		data, err := os.ReadFile(began)
		if err != nil {
			return err
		}
		var start time.Time
		if err := json.Unmarshal(data, &start); err != nil {
			return err
		}
		for from := 0; from < n; from += batch {
			if err := do(start, from, min(n, from+batch)); err != nil {
				return err
			}
		}
		return nil
	}
	switch verb {
	case "fill":
		data, err := json.Marshal(time.Now())
		if err == nil {
			err = os.WriteFile(began, data, 0o600)
		}
		if err != nil {
			return err
		}
		return batches(func(start time.Time, from, to int) error {
			arg := kvItems{Storage: "cache"}
			for i := from; i < to; i++ {
				arg.Items = append(arg.Items, kvKey(start, i))
			}
			return c.call("kv.Set", arg, new(kvItems))
		})
	case "check":
		left := 0
		err := batches(func(start time.Time, from, to int) error {
			found, err := kvBatch(c, start, from, to)
			left += found
			return err
		})
		if err != nil {
			return err
		}
		fmt.Printf("%d of %d keys are left", left, n)
		if left <= n/10 {
			return fmt.Errorf(": no key with a time is among them")
		}
		return nil
	case "empty":
		var got kvItems
		err := c.call("kv.Has", kvItems{Storage: "cache", Items: []kvItem{{Key: "key-0"}, {Key: "key-10"}}}, &got)
		if err == nil && len(got.Items) > 0 {
			err = fmt.Errorf("%d keys are there", len(got.Items))
		}
		return err
	}
	return fmt.Errorf("kv has no verb %q", verb)
}

// kvBatch compares some keys. One that is missing was over when the answer came;
// one that is there was not when the call began.
func kvBatch(c *client, start time.Time, from, to int) (found int, err error) {
	arg := kvItems{Storage: "cache"}
	for i := from; i < to; i++ {
		arg.Items = append(arg.Items, kvItem{Key: kvKey(start, i).Key})
	}
	var values, times kvItems
	before := time.Now()
	if err := c.call("kv.MGet", arg, &values); err != nil {
		return 0, err
	}
	after := time.Now()
	there := map[string]kvItem{}
	for _, item := range values.Items {
		there[item.Key] = item
	}
	if err := c.call("kv.TTL", arg, &times); err != nil {
		return 0, err
	}
	timeouts := map[string]string{}
	for _, item := range times.Items {
		timeouts[item.Key] = item.Timeout
	}
	for i := from; i < to; i++ {
		want, end := kvKey(start, i), endOf(start, i)
		got, ok := there[want.Key]
		over := func(at time.Time) bool { return !end.IsZero() && !at.Before(end) }
		switch {
		case ok && string(got.Value) != string(want.Value):
			return 0, fmt.Errorf("%s has the value %q", want.Key, got.Value)
		case ok && over(before):
			return 0, fmt.Errorf("%s is there %s after its end", want.Key, before.Sub(end))
		case !ok && !over(after):
			return 0, fmt.Errorf("%s is gone, its end is %s", want.Key, end)
		}
		if timeout, listed := timeouts[want.Key]; listed && timeout != want.Timeout {
			return 0, fmt.Errorf("%s has the time %q, want %q", want.Key, timeout, want.Timeout)
		}
	}
	return len(values.Items), nil
}
