package http

import (
	"errors"
	"io"
	"mime/multipart"
	"os"
)

// Limits of a multipart body, those of net/http.
const (
	maxParts       = 1000
	maxFieldMemory = 42 << 20 // all fields that are not files
	maxBoundary    = 70       // RFC 2046
)

var (
	errNoBoundary    = errors.New("no multipart boundary param in Content-Type")
	errTooManyParts  = errors.New("multipart: too many parts")
	errFieldsTooLong = errors.New("multipart: message too large")
)

// multipartForm is a parsed multipart/form-data body: fields in memory, files
// on disk.
type multipartForm struct {
	fields tree[string]
	files  tree[*upload]
	list   []*upload // every file that may have a temporary one
	buf    []byte
}

// parse reads the body. Whatever it returns, remove must be called.
func (m *multipartForm) parse(body io.Reader, params map[string]string, rules *uploadRules) error {
	boundary := params["boundary"]
	if boundary == "" || len(boundary) > maxBoundary {
		return errNoBoundary
	}
	if m.buf == nil {
		m.buf = make([]byte, 64<<10)
	}
	m.fields.reset()
	m.files.reset()
	reader := multipart.NewReader(body, boundary)
	memory := int64(maxFieldMemory)
	for parts := 0; ; parts++ {
		part, err := reader.NextPart()
		if err == io.EOF { // the closing boundary; a body that just ends gives a wrapped EOF
			return nil
		}
		if err != nil {
			return err
		}
		if parts == maxParts {
			return errTooManyParts
		}
		name := part.FormName() // empty also for another disposition than form-data
		if name == "" {
			continue
		}
		if fileName := part.FileName(); fileName != "" {
			err = m.addFile(name, fileName, part, rules)
		} else {
			// An empty file input has no file name: it is a field.
			err = m.addField(name, part, &memory)
		}
		if err != nil {
			return err
		}
	}
}

func (m *multipartForm) addField(name string, part *multipart.Part, memory *int64) error {
	value, err := io.ReadAll(io.LimitReader(part, *memory+1))
	if err != nil {
		return err
	}
	if *memory -= int64(len(name) + len(value)); *memory < 0 {
		return errFieldsTooLong
	}
	_, err = m.fields.add(name, view(value), len(value) == 0, lastWins)
	return err
}

func (m *multipartForm) addFile(name, fileName string, part *multipart.Part, rules *uploadRules) error {
	u := &upload{name: fileName, mime: part.Header.Get("Content-Type")}
	added, err := m.files.add(name, u, false, firstWins)
	if err != nil || !added {
		return err // a second file of the same name is skipped by NextPart
	}
	m.list = append(m.list, u)
	return rules.spool(u, part, m.buf)
}

// remove deletes the temporary files that PHP has not moved away.
func (m *multipartForm) remove() {
	for _, u := range m.list {
		if u.tmpName != "" {
			_ = os.Remove(u.tmpName)
		}
	}
	clear(m.list)
	m.list = m.list[:0]
}
