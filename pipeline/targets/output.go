package targets

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// output is a file that appears under its name whole or not at all.
type output struct {
	*os.File
}

// createOutput begins a file that will be named path.
func createOutput(path string) (*output, error) {
	if err := mayReplace(path); err != nil {
		return nil, err
	}
	// os.CreateTemp would make a file that only its owner can read.
	name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.tmp-%016x", filepath.Base(path), rand.Uint64()))
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, err
	}
	return &output{file}, nil
}

// mayReplace keeps a slip on the command line from overwriting a hitlist or a device. Nor is a
// symbolic link followed: renaming would replace it, and /dev/stdout is one.
func mayReplace(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		return nil
	}
	ours := false
	if err == nil && info.Mode().IsRegular() {
		ours, err = IsTargetFile(path)
	}
	if err == nil && !ours {
		err = fmt.Errorf("%s exists and is no target file: name another, or remove it", path)
	}
	return err
}

// commit makes the file appear, on stable storage.
func (o *output) commit(path string) error {
	if err := o.Sync(); err != nil {
		return err
	}
	if err := os.Rename(o.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close(), o.Close())
}

// discard removes the file. After commit it does nothing.
func (o *output) discard() {
	os.Remove(o.Name())
	o.Close()
}

// writer writes records.
type writer struct {
	file   *output
	family Family
	buffer *bufio.Writer
	record []byte
	count  uint64
}

// newWriter leaves room for the header, which finish writes.
func newWriter(ctx context.Context, file *output, f Family) *writer {
	w := &writer{file: file, family: f, buffer: bufio.NewWriterSize(interruptible{ctx, file}, 1<<20)}
	w.buffer.Write(make([]byte, headerSize))
	return w
}

// interruptible ends writing when ctx ends.
type interruptible struct {
	ctx context.Context
	io.Writer
}

func (w interruptible) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// writeOutside writes the addresses of p that are in none of blocks, which are sorted and disjoint,
// and end at or after p's first address.
func (w *writer) writeOutside(p prefix, blocks []prefix) error {
	at, end := p.first, p.last()
	for _, block := range blocks {
		if block.first.compare(end) > 0 {
			break
		}
		if block.first.compare(at) > 0 {
			if err := w.writeRange(at, block.first.previous()); err != nil {
				return err
			}
		}
		if block.last().compare(end) >= 0 {
			return nil
		}
		at = block.last().next()
	}
	return w.writeRange(at, end)
}

func (w *writer) writeRange(first, last address) error {
	for a := first; ; a = a.next() {
		if w.count == 1<<maxTargetBits {
			return fmt.Errorf("more than 2^%d targets: divide the hitlist", maxTargetBits)
		}
		w.count++
		w.record = a.append(w.record[:0], w.family)
		if _, err := w.buffer.Write(w.record); err != nil {
			return err
		}
		if a == last {
			return nil
		}
	}
}

// finish writes the header.
func (w *writer) finish(count uint64) error {
	if err := w.buffer.Flush(); err != nil {
		return err
	}
	_, err := w.file.WriteAt(header(w.family, count), 0)
	return err
}
