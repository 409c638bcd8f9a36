// Package kv is the RPC service "kv": named storages of keys with values and
// expiry times, as RoadRunner's PHP package spiral/roadrunner-kv uses them. What
// keeps the keys is a driver, a package below this one.
//
// The service checks arguments, reads times and words errors as RoadRunner
// does; a driver gets what is valid, each key once in the methods that read.
package kv

import (
	"context"
	"strings"
	"time"
)

// Storage is what a driver offers. Its methods are called concurrently. Keys and
// values that it gets or gives are not changed afterwards by either side.
type Storage interface {
	// Has returns those of the keys that exist.
	Has(ctx context.Context, keys []string) ([]string, error)
	// MGet returns the keys that exist, with their values.
	MGet(ctx context.Context, keys []string) ([]Item, error)
	// Set writes keys, values and expiries; an item without an expiry has none
	// afterwards, one that has expired already is deleted. The last item of a
	// key wins.
	Set(ctx context.Context, items []Item) error
	// MExpire gives keys a new expiry and leaves their values alone.
	MExpire(ctx context.Context, items []Item) error
	// TTL returns keys with their expiries.
	TTL(ctx context.Context, keys []string) ([]Item, error)
	// Delete removes keys; one that does not exist is no error.
	Delete(ctx context.Context, keys []string) error
	// Clear removes all keys of the storage.
	Clear(ctx context.Context) error
}

// Prompt is a Storage of which all methods but Clear take microseconds for an item
// and wait neither for the network nor for a disk.
type Prompt interface {
	Storage
	Prompt()
}

// Item is a key with what belongs to it.
type Item struct {
	Key    string
	Value  []byte
	Expiry Expiry
}

// Expiry is the moment at which a key ends. The zero value means never.
type Expiry struct {
	At time.Time
	// Text is At in RFC 3339, in the form that the client chose; kv.TTL answers
	// with it.
	Text string
}

// ParseExpiry reads RFC 3339, with or without a fraction; "" means never.
func ParseExpiry(text string) (Expiry, error) {
	if text == "" {
		return Expiry{}, nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return Expiry{}, err
	}
	return Expiry{At: at, Text: text}, nil
}

// clientLayout is how the PHP package writes and reads times. It does not
// understand fractions of a second.
const clientLayout = "2006-01-02T15:04:05+00:00"

// ExpiryAt is for stores that know the time and not its text. The text is in
// UTC, rounded to the second.
func ExpiryAt(at time.Time) Expiry {
	return Expiry{At: at, Text: at.UTC().Round(time.Second).Format(clientLayout)}
}

// Never tells whether there is no expiry.
func (e Expiry) Never() bool { return e.Text == "" }

// Passed tells whether the key has ended.
func (e Expiry) Passed(now time.Time) bool { return !e.Never() && !now.Before(e.At) }

// Blank tells whether a key is one that can be neither read nor deleted: the
// service refuses it in every call but Set.
func Blank(key string) bool { return strings.TrimSpace(key) == "" }
