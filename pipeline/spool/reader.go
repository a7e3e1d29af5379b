package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Reader reads what a spool held when it was opened: the lines of its frames up to the first that is
// not intact. It implements io.ReadCloser.
type Reader struct {
	file   *os.File
	size   int64 // of the file when opened
	intact int64 // bytes of the frames that were read

	in      *bufio.Reader
	decoder *zstd.Decoder
	frame   []byte // compressed
	content []byte
	rest    []byte // of content, not yet given
	err     error
}

// Open opens a spool, also one that is still being written.
func Open(path string) (*Reader, error) {
	// Opening a named pipe would wait for somebody to write it.
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	r, err := newReader(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

func newReader(file *os.File) (*Reader, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file, and so no spool", file.Name())
	}
	decoder, err := newDecoder()
	if err != nil {
		return nil, err
	}
	// What a live writer appends meanwhile would make a rest look torn that was not.
	in := bufio.NewReaderSize(io.NewSectionReader(file, 0, info.Size()), 256<<10)
	return &Reader{file: file, size: info.Size(), in: in, decoder: decoder}, nil
}

// Read implements io.Reader. A rest that is torn or damaged ends the input with io.EOF.
func (r *Reader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && len(p) > 0 {
		if r.err == nil {
			r.err = r.next()
		}
		if r.err != nil {
			return 0, r.err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// next reads a frame.
func (r *Reader) next() error {
	frame, err := readFrame(r.in, r.frame[:0])
	if err == io.EOF || err == io.ErrUnexpectedEOF || err == errNoFrame {
		return io.EOF
	}
	if err != nil {
		return err
	}
	r.frame = frame
	content, err := r.decoder.DecodeAll(frame, r.content[:0])
	if err != nil {
		return io.EOF
	}
	r.content, r.rest = content, content
	r.intact += int64(len(frame))
	return nil
}

// Torn is how many bytes of the file follow the last intact frame that was read: when Read has
// returned io.EOF, what a dead writer or a damaged disk left.
func (r *Reader) Torn() int64 {
	return r.size - r.intact
}

// Close closes the file.
func (r *Reader) Close() error {
	r.decoder.Close()
	return r.file.Close()
}

// Recover cuts a dead writer's spool to its intact frames, so that all who read it later read the same.
// It returns how many bytes it cut, on stable storage. If the writer lives, its error wraps ErrBusy.
func Recover(path string) (cut int64, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := lock(file); err != nil {
		return 0, err
	}
	r, err := newReader(file)
	if err != nil {
		return 0, err
	}
	defer r.decoder.Close()
	if _, err := io.Copy(io.Discard, r); err != nil {
		return 0, err
	}
	if err := file.Truncate(r.intact); err != nil {
		return 0, err
	}
	// Also when nothing was cut: what the dead writer wrote may not be on stable storage.
	return r.Torn(), file.Sync()
}
