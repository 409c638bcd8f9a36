package http

import (
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Codes of PHP's $_FILES[...]['error'] that the server itself can give.
const (
	uploadOK        = 0
	uploadNoTmpDir  = 6 // the temporary file could not be created
	uploadCantWrite = 7 // it could not be written
	uploadExtension = 8 // the extension is forbidden or not among the allowed
)

// upload is one uploaded file, a leaf of the upload tree.
type upload struct {
	name    string // base name that the client gave
	mime    string // Content-Type that the client gave, not verified
	size    int64
	code    int
	tmpName string
}

// appendUpload appends an upload with the keys in RoadRunner's order.
func appendUpload(dst []byte, u *upload) []byte {
	dst = append(dst, `{"name":`...)
	dst = appendJSONString(dst, u.name)
	dst = append(dst, `,"mime":`...)
	dst = appendJSONString(dst, u.mime)
	dst = append(dst, `,"size":`...)
	dst = strconv.AppendInt(dst, u.size, 10)
	dst = append(dst, `,"error":`...)
	dst = strconv.AppendInt(dst, int64(u.code), 10)
	dst = append(dst, `,"tmpName":`...)
	dst = appendJSONString(dst, u.tmpName)
	return append(dst, '}')
}

// uploadRules decide where files go and which are refused.
type uploadRules struct {
	dir           string
	forbid, allow []string
}

func newUploadRules(c Uploads) uploadRules {
	lower := func(list []string) (out []string) {
		for _, ext := range list {
			if ext != "" {
				out = append(out, strings.ToLower(ext))
			}
		}
		return out
	}
	return uploadRules{dir: c.Dir, forbid: lower(c.Forbid), allow: lower(c.Allow)}
}

// accepts tells whether a file of that name is taken. With an allow list, one
// without extension is not.
func (r *uploadRules) accepts(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	if slices.Contains(r.forbid, ext) {
		return false
	}
	return len(r.allow) == 0 || slices.Contains(r.allow, ext)
}

// spool writes the file's content straight to its place under uploads.dir; it
// is never held in memory. The error is that of content: a file that cannot be
// written only gets its code. u.tmpName must be removed by the caller even
// after an error.
func (r *uploadRules) spool(u *upload, content io.Reader, buf []byte) error {
	if !r.accepts(u.name) {
		u.code = uploadExtension
		return drain(content, buf)
	}
	f, err := os.CreateTemp(r.dir, "upload") // mode 0600
	if err != nil {
		u.code = uploadNoTmpDir
		return drain(content, buf)
	}
	u.tmpName = f.Name()
	readErr, writeErr := error(nil), error(nil)
	for readErr == nil {
		var n int
		n, readErr = content.Read(buf)
		if writeErr == nil && n > 0 {
			_, writeErr = f.Write(buf[:n])
		}
		u.size += int64(n)
	}
	if err := f.Close(); writeErr == nil {
		writeErr = err
	}
	if writeErr != nil {
		_ = os.Remove(u.tmpName)
		u.code, u.size, u.tmpName = uploadCantWrite, 0, ""
	}
	if readErr == io.EOF {
		readErr = nil
	}
	return readErr
}

func drain(r io.Reader, buf []byte) error {
	for {
		if _, err := r.Read(buf); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
