// Package store is where a dataset's files are: a local folder or a bucket of an object store. In
// both, a file appears under its name whole or not at all, and stays when the machine fails.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"regexp"
	"strings"
)

// Store is a local folder, or a bucket of an object store with a prefix. Safe for concurrent use, by
// several processes too.
//
// Names of files are relative, and slash-separated. What one store takes as a name, the other does
// also. Errors are one line and name the file.
type Store interface {
	// Create begins a file, which appears under its name, whole, when it is committed. A file of that
	// name is replaced. The file is given up when ctx ends before.
	Create(ctx context.Context, name string) (File, error)

	// Open opens a file for reading, until ctx ends. The error wraps fs.ErrNotExist if there is none.
	Open(ctx context.Context, name string) (Reader, error)

	// List yields the files below a folder, and in its folders, by name ascending (as bytes); all
	// files for "". What is being written is not listed. After an error comes nothing more.
	List(ctx context.Context, folder string) iter.Seq2[Info, error]

	// Claim makes a small file that was not there; the error wraps fs.ErrExist if it was. Of several
	// that claim a name at once, one succeeds. After any other error the file may be there.
	Claim(ctx context.Context, name string, content []byte) error

	// Move gives a file another name, replacing what has it. The error wraps fs.ErrNotExist if there
	// is no file to move.
	//
	// An object store copies, then removes. A process or a connection that dies in between leaves both
	// names, with the same content: Move again. If the first name is gone, a former Move may have done all, and only
	// the caller can know whether what has the second name is that file. An object store copies 5 GiB
	// at most.
	Move(ctx context.Context, from, to string) error

	// Remove removes a file. It is no error if there is none.
	Remove(ctx context.Context, name string) error

	// Close ends the use of the store. Its files must have been closed before.
	Close() error

	// String is the store's location, as it was given to Open.
	String() string
}

// File is a file that is being written. It must end with Commit or Discard. Not safe for concurrent
// use.
type File interface {
	io.Writer
	// Commit makes the file appear, on stable storage. When it fails, nothing appears, unless it is
	// the connection to an object store that failed: then the whole file may have.
	Commit(ctx context.Context) error
	// Discard gives the file up. After Commit it does nothing.
	Discard() error
}

// Reader is a file that is being read. ReadAt is safe for concurrent use.
type Reader interface {
	io.ReadSeekCloser
	io.ReaderAt
	Size() int64 // in bytes
}

// Info describes a file of a store.
type Info struct {
	Name string
	Size int64 // in bytes
}

// scheme is what a location begins with if it is a URL and no path.
var scheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://`)

// Open opens the store at a location: the path of a folder, which need not be there yet; the same as
// a file:// URL; or s3://BUCKET/PREFIX, with parameters as gocloud.dev documents them
// (?region=…&endpoint=…&use_path_style=true) and credentials from the usual AWS environment.
func Open(ctx context.Context, location string) (Store, error) {
	switch s := scheme.FindString(location); strings.ToLower(s) {
	case "":
		return openLocal(location, location)
	case "file://":
		return openFileURL(location)
	case "s3://":
		return openS3(ctx, location)
	default:
		return nil, fmt.Errorf("%s: no store for %s: use the path of a folder, file:// or s3:// (./%s for a folder of that name)", location, s, location)
	}
}

// temporaryPrefix starts the name of every unfinished file. Readers ignore a leading dot; DuckDB,
// which does not, looks for an extension that these names lack.
const temporaryPrefix = ".tmp-"

// checkName refuses names that would leave the store, or that one of the stores cannot hold: object
// stores know no control characters, and gocloud.dev writes them, and the slash of "../", as
// "__0x…__".
func checkName(name string) error {
	switch {
	case !fs.ValidPath(name) || name == ".":
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
	case strings.Contains(name, "__0x") || strings.Contains(name, "../"):
	case strings.HasPrefix(name, temporaryPrefix) || strings.Contains(name, "/"+temporaryPrefix):
	default:
		return nil
	}
	return fmt.Errorf("%q cannot be the name of a file in a dataset", name)
}

// checkFolder is checkName for what List is given.
func checkFolder(folder string) error {
	if folder == "" {
		return nil
	}
	return checkName(folder)
}

// checkMove refuses to move a file to itself, which would remove it from an object store.
func checkMove(from, to string) error {
	if err := checkName(from); err != nil {
		return err
	}
	if from == to {
		return fmt.Errorf("%s cannot be moved to its own name", from)
	}
	return checkName(to)
}

// WriteFile makes a file with the given content, or replaces it.
func WriteFile(ctx context.Context, s Store, name string, content []byte) error {
	file, err := s.Create(ctx, name)
	if err != nil {
		return err
	}
	defer file.Discard()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return file.Commit(ctx)
}

// ReadFile returns the content of a file that has at most limit bytes.
func ReadFile(ctx context.Context, s Store, name string, limit int64) ([]byte, error) {
	file, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if file.Size() > limit {
		return nil, fmt.Errorf("%s: %s has %d bytes, and should have %d at most", s, name, file.Size(), limit)
	}
	content := make([]byte, file.Size())
	if _, err := io.ReadFull(file, content); err != nil {
		return nil, fmt.Errorf("%s: read %s: %w", s, name, err)
	}
	return content, nil
}

// errOffset is what a Seek to before the first byte of a file gives.
var errOffset = errors.New("negative offset")
