package http

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"sync/atomic"
)

const maxRequestID = 128

// requestIDs makes ids that are unique over restarts: a random prefix of the
// process and a counter. They are no secret and carry no meaning.
type requestIDs struct {
	prefix string
	next   atomic.Uint64
}

func newRequestIDs() *requestIDs {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return &requestIDs{prefix: hex.EncodeToString(b[:]) + "-"}
}

// of returns the X-Request-Id of r if it is sane, else a new id.
func (ids *requestIDs) of(r *http.Request) string {
	if v := r.Header["X-Request-Id"]; len(v) > 0 && saneID(v[0]) {
		return v[0]
	}
	return ids.new()
}

func (ids *requestIDs) new() string {
	var buf [40]byte
	id := strconv.AppendUint(append(buf[:0], ids.prefix...), ids.next.Add(1), 36)
	return string(id)
}

func saneID(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) <= maxRequestID
}
