// Package files serves files of a folder over HTTP: it finds them without
// leaving the folder, tags them, and sends them with sendfile(2).
package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrNotRegular is returned for what exists but has no content to send: a
// folder, a pipe, a device.
var ErrNotRegular = errors.New("not a regular file")

// Root is a folder whose files may be sent. Its path is followed anew for each
// file, so that a release link that is switched takes effect at once.
type Root struct {
	Dir string
	// FollowLinks lets symbolic links lead out of the folder. Without it, such
	// a file does not exist.
	FollowLinks bool
	// DotFiles gives files and folders whose name begins with a dot, such as
	// .env and .git. ".well-known" (RFC 8615) is always given.
	DotFiles bool
}

// Check tells whether the folder is there, in RoadRunner's words.
func (r *Root) Check() error {
	info, err := os.Stat(r.Dir)
	switch {
	case r.Dir == "", errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("root directory '%s' does not exists; write the path of an existing folder", r.Dir)
	case err != nil:
		return fmt.Errorf("invalid root directory '%s': %w", r.Dir, err)
	case !info.IsDir():
		return fmt.Errorf("invalid root directory '%s'; write the path of a folder", r.Dir)
	}
	return nil
}

// Open opens the file that the path of a URL names, already decoded. The error
// is ErrNotRegular or one of package os; the caller closes the file.
//
// Symbolic links and ".." are resolved by the kernel step by step within the
// folder (os.Root), so a link that is exchanged meanwhile leads nowhere else.
func (r *Root) Open(urlPath string) (*os.File, fs.FileInfo, error) {
	name := strings.Trim(urlPath, "/")
	if name == "" {
		name = "."
	}
	if !r.DotFiles && hidden(name) {
		return nil, nil, fs.ErrNotExist
	}
	f, err := r.open(filepath.FromSlash(name))
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = ErrNotRegular
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// flags keep the open of a named pipe from waiting for its writer.
const flags = os.O_RDONLY | syscall.O_NONBLOCK

func (r *Root) open(name string) (*os.File, error) {
	if r.FollowLinks {
		if name != "." && !filepath.IsLocal(name) {
			return nil, fs.ErrNotExist
		}
		return os.OpenFile(filepath.Join(r.Dir, name), flags, 0)
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.OpenFile(name, flags, 0)
}

// Escapes tells whether an error of Open means that the file lies outside.
func Escapes(err error) bool {
	var pathErr *fs.PathError
	// The error of os.Root has no name of its own.
	return errors.As(err, &pathErr) && strings.Contains(pathErr.Err.Error(), "escapes from parent")
}

// hidden tells whether a part of the path begins with a dot.
func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") && part != "." && part != ".well-known" {
			return true
		}
	}
	return false
}
