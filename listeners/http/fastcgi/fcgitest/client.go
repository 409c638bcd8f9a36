// Package fcgitest is a web server's side of FastCGI, for tests.
package fcgitest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"
)

// Record types of the specification.
const (
	Begin   = 1
	Abort   = 2
	End     = 3
	Params  = 4
	Stdin   = 5
	Stdout  = 6
	Values  = 9
	Result  = 10
	Unknown = 11
)

// Conn is a connection to a FastCGI server.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// New makes one of an open connection.
func New(c net.Conn) *Conn { return &Conn{c, bufio.NewReader(c)} }

// Record is one record without its padding.
type Record struct {
	Type    byte
	ID      uint16
	Content []byte
}

// Append appends a record with some padding.
func Append(dst []byte, kind byte, id uint16, content []byte) []byte {
	pad := byte(-len(content) & 7)
	dst = append(dst, 1, kind)
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(content)))
	dst = append(append(dst, pad, 0), content...)
	return append(dst, make([]byte, pad)...)
}

// AppendParams appends names and values to the content of a record.
func AppendParams(dst []byte, params map[string]string) []byte {
	for name, value := range params {
		for _, s := range []string{name, value} {
			if len(s) < 0x80 {
				dst = append(dst, byte(len(s)))
			} else {
				dst = binary.BigEndian.AppendUint32(dst, uint32(len(s))|1<<31)
			}
		}
		dst = append(append(dst, name...), value...)
	}
	return dst
}

// AppendRequest appends a whole request. A body of nil is sent as an empty one.
func AppendRequest(dst []byte, id uint16, keep bool, params map[string]string, body []byte) []byte {
	begin := make([]byte, 8)
	begin[1] = 1 // responder
	if keep {
		begin[2] = 1
	}
	dst = Append(dst, Begin, id, begin)
	dst = stream(dst, Params, id, AppendParams(nil, params))
	return stream(dst, Stdin, id, body)
}

func stream(dst []byte, kind byte, id uint16, content []byte) []byte {
	for len(content) > 0 {
		n := min(len(content), 65000)
		dst = Append(dst, kind, id, content[:n])
		content = content[n:]
	}
	return Append(dst, kind, id, nil)
}

// Read reads the next record.
func (c *Conn) Read() (Record, error) {
	var h [8]byte
	if _, err := io.ReadFull(c.r, h[:]); err != nil {
		return Record{}, err
	}
	content := make([]byte, binary.BigEndian.Uint16(h[4:]))
	_, err := io.ReadFull(c.r, content)
	if err == nil {
		_, err = c.r.Discard(int(h[6]))
	}
	return Record{h[1], binary.BigEndian.Uint16(h[2:]), content}, err
}

// Response is the answer to a request.
type Response struct {
	Status int
	Header http.Header
	Body   string
	// Protocol is the protocol status of its end.
	Protocol byte
}

// ErrCutOff says that the answer has no end.
var ErrCutOff = errors.New("the answer is cut off")

// Response reads the answer to a request.
func (c *Conn) Response(id uint16) (Response, error) {
	var out strings.Builder
	for {
		rec, err := c.Read()
		if err != nil {
			return Response{Body: out.String()}, fmt.Errorf("%w: %w", ErrCutOff, err)
		}
		switch {
		case rec.ID != id:
			return Response{}, fmt.Errorf("a record of request %d", rec.ID)
		case rec.Type == Stdout:
			out.Write(rec.Content)
		case rec.Type == End:
			res := Response{Protocol: rec.Content[4]}
			if out.Len() == 0 {
				return res, nil
			}
			return res, res.parse(out.String())
		}
	}
}

func (r *Response) parse(text string) error {
	in := textproto.NewReader(bufio.NewReader(strings.NewReader(text)))
	header, err := in.ReadMIMEHeader()
	if err != nil {
		return err
	}
	body, err := io.ReadAll(in.R)
	r.Header, r.Body = http.Header(header), string(body)
	status, _, _ := strings.Cut(header.Get("Status"), " ")
	r.Status, _ = strconv.Atoi(status)
	return err
}

// Get are the parameters of a simple request.
func Get(host, uri string) map[string]string {
	return map[string]string{
		"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": host, "REQUEST_URI": uri,
		"REMOTE_ADDR": "192.0.2.1", "REMOTE_PORT": "4711",
	}
}

// Do sends a request on c and reads its answer.
func (c *Conn) Do(id uint16, keep bool, params map[string]string, body []byte) (Response, error) {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(AppendRequest(nil, id, keep, params, body))
		sent <- err
	}()
	res, err := c.Response(id)
	if err != nil {
		_ = c.Close()
		<-sent
		return res, err
	}
	if err = <-sent; errors.Is(err, syscall.EPIPE) {
		err = nil // it was answered before all was sent
	}
	return res, err
}
