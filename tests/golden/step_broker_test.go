package golden_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/rr-systemd/rrd/tests/brokers"
)

// rpc makes one call and compares the answer.
func (r *brokerReplay) rpc(st *brokerStep) error {
	arg, err := r.argument(st)
	if err != nil {
		return err
	}
	if r.conn == nil {
		c, err := net.DialTimeout("tcp", r.s.addresses["rpc"], stepLimit)
		if err != nil {
			return err
		}
		r.conn = newWire(c)
	}
	r.seq++
	if err := r.conn.send(callFrame(st.Flags, r.seq, st.Method, arg), stepLimit); err != nil {
		return err
	}
	got, err := r.conn.rpcAnswer(stepLimit)
	switch {
	case err != nil:
		return err
	case st.Connection == "closed":
		if !got.Closed {
			return errors.New("an answer, want a closed connection")
		}
		return nil
	case got.Closed:
		return errors.New("the connection was closed")
	case got.Seq != r.seq || got.Method != st.Method || !got.Frame.CRC:
		return fmt.Errorf("answer %d to %s, checksum right: %t", got.Seq, got.Method, got.Frame.CRC)
	case got.Frame.Flags != st.ResponseFlags:
		return fmt.Errorf("flags %#x, want %#x; %q", got.Frame.Flags, st.ResponseFlags, got.Result)
	case st.Error != nil:
		if text := sameSpaces(string(got.Result)); text != sameSpaces(*st.Error) {
			return fmt.Errorf("error %q, want %q", text, *st.Error)
		}
		return nil
	}
	return r.response(st, got)
}

// sameSpaces: protobuf prints a space or a no-break space after "proto:".
func sameSpaces(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

// kvItem is an item of a request or an answer in the recordings.
type kvItem struct {
	Key     string `json:"key"`
	Value   []byte `json:"value"`
	Timeout string `json:"timeout"`
}

type kvMessage struct {
	Storage string   `json:"storage"`
	Items   []kvItem `json:"items"`
}

// argument is the recorded one; one with a time in it is encoded anew.
func (r *brokerReplay) argument(st *brokerStep) ([]byte, error) {
	if st.RequestHex != "" {
		return hex.DecodeString(st.RequestHex)
	}
	text := r.times(string(st.Request))
	if st.Flags == flagJSON {
		return []byte(text), nil
	}
	if !strings.HasPrefix(st.Method, "kv.") {
		return nil, fmt.Errorf("the argument of %s is not known", st.Method)
	}
	var m kvMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return nil, err
	}
	var out []byte
	field := func(dst []byte, n protowire.Number, b []byte) []byte {
		if len(b) == 0 {
			return dst
		}
		return protowire.AppendBytes(protowire.AppendTag(dst, n, protowire.BytesType), b)
	}
	out = field(out, 1, []byte(m.Storage))
	for _, item := range m.Items {
		one := field(field(field(nil, 1, []byte(item.Key)), 2, item.Value), 3, []byte(item.Timeout))
		out = protowire.AppendBytes(protowire.AppendTag(out, 2, protowire.BytesType), one)
	}
	return out, nil
}

func callFrame(flags byte, seq uint32, method string, arg []byte) []byte {
	f := []byte{0x15, flags, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.LittleEndian.PutUint32(f[2:], uint32(len(method)+len(arg)))
	binary.LittleEndian.PutUint32(f[6:], crc32.ChecksumIEEE(f[:6]))
	f = binary.LittleEndian.AppendUint32(f, seq)
	f = binary.LittleEndian.AppendUint32(f, uint32(len(method)))
	return append(append(f, method...), arg...)
}

// response compares the items of an answer, as a set.
func (r *brokerReplay) response(st *brokerStep, got *rpcAnswer) error {
	var want kvMessage
	if err := json.Unmarshal([]byte(r.times(string(st.Response))), &want); err != nil {
		return err
	}
	var have []kvItem
	if st.Flags == flagJSON {
		var m kvMessage
		if err := json.Unmarshal(got.Result, &m); err != nil {
			return err
		}
		have = m.Items
	} else {
		m, err := decodeMessage(resultMessages[st.Method], got.Result)
		if err != nil {
			return err
		}
		list, _ := m["items"].([]any)
		for _, e := range list {
			item := e.(map[string]any)
			text := func(name string) string { s, _ := item[name].(string); return s }
			have = append(have, kvItem{text("key"), []byte(text("value")), text("timeout")})
		}
	}
	byKey := func(a, b kvItem) int { return cmp.Compare(a.Key, b.Key) }
	slices.SortFunc(want.Items, byKey)
	slices.SortFunc(have, byKey)
	if len(want.Items) != len(have) {
		return fmt.Errorf("got %s, want %s", show(fmt.Sprintf("%q", have)), show(fmt.Sprintf("%q", want.Items)))
	}
	for i, w := range want.Items {
		h := have[i]
		if h.Key != w.Key || !bytes.Equal(h.Value, w.Value) {
			return fmt.Errorf("got %q, want %q", h, w)
		}
		if err := r.sameTime(h.Timeout, w.Timeout); err != nil {
			return fmt.Errorf("timeout of %q: %w", h.Key, err)
		}
	}
	return nil
}

var aboutNow = regexp.MustCompile(`^<about now([+-]\d+)>$`)

func (r *brokerReplay) sameTime(got, want string) error {
	m := aboutNow.FindStringSubmatch(want)
	if m == nil {
		if got != want {
			return fmt.Errorf("%q, want %q", got, want)
		}
		return nil
	}
	// PHP's client reads RFC 3339 without a fraction.
	at, err := time.Parse("2006-01-02T15:04:05Z07:00", got)
	if err != nil || strings.Contains(got, ".") {
		return fmt.Errorf("%q is no time for PHP: %v", got, err)
	}
	seconds, _ := strconv.ParseFloat(m[1], 64)
	return r.near(at, seconds)
}

// has looks into the store until it holds what it should.
func (r *brokerReplay) has(st *brokerStep) error {
	return poll(func() error {
		switch st.Store {
		case "redis":
			return r.redisHas(st)
		case "memcached":
			return r.memcachedHas(st)
		case "boltdb":
			return r.boltHas(st)
		}
		return fmt.Errorf("unknown store %q", st.Store)
	})
}

func (r *brokerReplay) redisHas(st *brokerStep) error {
	ask := func(command ...string) (string, error) {
		var b strings.Builder
		fmt.Fprintf(&b, "*%d\r\n", len(command))
		for _, word := range command {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(word), word)
		}
		got, err := brokers.Ask(r.stores["REDIS"], b.String(), "\r\n")
		return strings.TrimSuffix(got, "\r\n"), err
	}
	kind, err := ask("TYPE", st.Key)
	if err != nil {
		return err
	}
	if st.Type != "" && kind != "+"+st.Type {
		return fmt.Errorf("type %q, want %q", kind, st.Type)
	}
	if st.Value != nil {
		if got, err := ask("GET", st.Key); err != nil || got != fmt.Sprintf("$%d\r\n%s", len(*st.Value), *st.Value) {
			return fmt.Errorf("value %q, %v, want %q", got, err, *st.Value)
		}
	}
	ttl, err := ask("PTTL", st.Key)
	if err != nil {
		return err
	}
	if st.TTL != "" && ttl != ":"+st.TTL {
		return fmt.Errorf("PTTL %s, want %s", ttl, st.TTL)
	}
	if st.TTLAbout != nil {
		ms, err := strconv.ParseInt(strings.TrimPrefix(ttl, ":"), 10, 64)
		if err != nil {
			return err
		}
		return r.near(time.Now().Add(time.Duration(ms)*time.Millisecond), *st.TTLAbout)
	}
	return nil
}

var memcachedTTL = regexp.MustCompile(` t(\d+)`)

func (r *brokerReplay) memcachedHas(st *brokerStep) error {
	got, err := brokers.Ask(r.stores["MEMCACHED"], "get "+st.Key+"\r\n", "END\r\n")
	if want := strings.Join(st.Lines, "\r\n") + "\r\n"; err != nil || got != want {
		return fmt.Errorf("get: %q, %v, want %q", got, err, want)
	}
	got, err = brokers.Ask(r.stores["MEMCACHED"], "mg "+st.Key+" t f s\r\n", "\r\n")
	if err != nil {
		return err
	}
	got = strings.TrimSuffix(got, "\r\n")
	have, want := memcachedTTL.FindStringSubmatch(got), memcachedTTL.FindStringSubmatch(st.Meta)
	if (have == nil) != (want == nil) || memcachedTTL.ReplaceAllString(got, "") != memcachedTTL.ReplaceAllString(st.Meta, "") {
		return fmt.Errorf("mg: %q, want %q", got, st.Meta)
	}
	if want == nil {
		return nil
	}
	h, _ := strconv.Atoi(have[1])
	w, _ := strconv.ParseFloat(want[1], 64)
	return r.near(time.Now().Add(time.Duration(h)*time.Second), w)
}

// boltHas reads a copy: the server has the file open.
func (r *brokerReplay) boltHas(st *brokerStep) error {
	file := strings.ReplaceAll(st.File, "{{DIR}}", r.s.tmp)
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	if mode := fmt.Sprintf("%#o", info.Mode().Perm()); st.Mode != "" && mode != st.Mode {
		return fmt.Errorf("mode %s, want %s", mode, st.Mode)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	copied := filepath.Join(r.t.TempDir(), "copy.db")
	if err := os.WriteFile(copied, data, 0o600); err != nil {
		return err
	}
	db, err := bolt.Open(copied, 0o600, &bolt.Options{Timeout: time.Second})
	if err != nil {
		return err
	}
	defer db.Close()
	return db.View(func(tx *bolt.Tx) error {
		var names []string
		if err := tx.ForEach(func(name []byte, _ *bolt.Bucket) error {
			names = append(names, string(name))
			return nil
		}); err != nil {
			return err
		}
		if len(names) != len(st.Buckets) {
			return fmt.Errorf("buckets %q, want %d", names, len(st.Buckets))
		}
		for name, rows := range st.Buckets {
			b := tx.Bucket([]byte(name))
			if b == nil {
				return fmt.Errorf("no bucket %q", name)
			}
			if n := b.Stats().KeyN; n != len(rows) {
				return fmt.Errorf("bucket %q has %d keys, want %d", name, n, len(rows))
			}
			for _, row := range rows {
				want, err := hex.DecodeString(row.ValueHex)
				if err != nil {
					return err
				}
				if err := sameGob(b.Get([]byte(row.Key)), want); err != nil {
					return fmt.Errorf("%s: %w", row.Key, err)
				}
			}
		}
		return nil
	})
}

// sameGob compares byte slices in gob; rrd has something behind them, which gob
// does not read.
func sameGob(got, want []byte) error {
	var g, w []byte
	if err := gob.NewDecoder(bytes.NewReader(want)).Decode(&w); err != nil {
		return err
	}
	if err := gob.NewDecoder(bytes.NewReader(got)).Decode(&g); err != nil {
		return fmt.Errorf("% x: %w", got, err)
	}
	if !bytes.Equal(g, w) {
		return fmt.Errorf("%q, want %q", g, w)
	}
	return nil
}

// put writes as a foreign client does.
func (r *brokerReplay) put(st *brokerStep) error {
	if st.Value == nil {
		return errors.New("there is no value to put")
	}
	var text, want string
	addr := r.stores[strings.ToUpper(st.Store)]
	switch st.Store {
	case "redis":
		text = fmt.Sprintf("*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(st.Key), st.Key, len(*st.Value), *st.Value)
		want = "+OK\r\n"
	case "memcached":
		text = fmt.Sprintf("set %s 0 0 %d\r\n%s\r\n", st.Key, len(*st.Value), *st.Value)
		want = "STORED\r\n"
	default:
		return fmt.Errorf("cannot put into %q", st.Store)
	}
	got, err := brokers.Ask(addr, text, "\r\n")
	if err == nil && got != want {
		err = fmt.Errorf("it said %q", got)
	}
	return err
}
