package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// writebackStep is after how many bytes the kernel is told to begin writing them to the disk, so
// that the fsync of Commit has little left to do.
const writebackStep = 8 << 20

// atomicFile is a file that appears under its name whole or not at all, even when the process is
// killed or the machine fails.
type atomicFile struct {
	file             *os.File
	written, started int64 // bytes in all, and those whose way to the disk has begun
	err              error // of the first Write that failed: such a file must not appear
	place            func(temporary string) error
}

// createAtomic makes a temporary file in a folder, which is made if need be; place will give it its
// name. Temporary files that a killed process left in the folder are removed.
func createAtomic(folder string, place func(temporary string) error) (*atomicFile, error) {
	if err := makeFolder(folder); err != nil {
		return nil, err
	}
	if err := removeLeftovers(folder); err != nil {
		return nil, err
	}
	for {
		name := filepath.Join(folder, fmt.Sprintf("%s%016x", temporaryPrefix, rand.Uint64()))
		file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		// The lock tells removeLeftovers that the owner is alive. Before it was held, the file may
		// have been taken for a leftover.
		if err := lock(file, unix.LOCK_EX); err != nil {
			return nil, cmp.Or(err, os.Remove(name), file.Close())
		}
		if _, err := os.Lstat(name); err == nil {
			return &atomicFile{file: file, place: place}, nil
		}
		file.Close()
	}
}

// removeLeftovers removes the temporary files whose owners are dead.
func removeLeftovers(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), temporaryPrefix) || !entry.Type().IsRegular() {
			continue
		}
		name := filepath.Join(folder, entry.Name())
		file, err := os.Open(name)
		if err != nil {
			continue // gone, or somebody else's
		}
		if lock(file, unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = os.Remove(name)
		}
		file.Close()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// lock takes a BSD lock, which ends with the process at the latest.
func lock(file *os.File, how int) error {
	for {
		if err := unix.Flock(int(file.Fd()), how); err != unix.EINTR {
			return err
		}
	}
}

// Write implements io.Writer.
func (f *atomicFile) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.file.Write(p)
	f.written += int64(n)
	f.err = err
	if f.written-f.started >= writebackStep {
		// A hint: where it does nothing, Commit takes longer.
		unix.SyncFileRange(int(f.file.Fd()), f.started, f.written-f.started, unix.SYNC_FILE_RANGE_WRITE)
		f.started = f.written
	}
	return n, err
}

// Commit implements File.
func (f *atomicFile) Commit(ctx context.Context) error {
	if err := f.commit(ctx); err != nil {
		f.Discard()
		return err
	}
	return f.file.Close()
}

func (f *atomicFile) commit(ctx context.Context) error {
	if err := cmp.Or(f.err, ctx.Err()); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	return f.place(f.file.Name())
}

// Discard implements File.
func (f *atomicFile) Discard() error {
	err := f.file.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil // by Commit, or by a former Discard
	}
	if removeErr := os.Remove(f.file.Name()); !errors.Is(removeErr, os.ErrNotExist) {
		err = cmp.Or(err, removeErr)
	}
	return err
}

// makeFolder makes a folder and its parents, on stable storage.
func makeFolder(folder string) error {
	if info, err := os.Stat(folder); err == nil {
		if !info.IsDir() {
			return &os.PathError{Op: "make folder", Path: folder, Err: unix.ENOTDIR}
		}
		return nil
	}
	parent := filepath.Dir(folder)
	if parent != folder {
		if err := makeFolder(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(folder, 0o777); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncFolder(parent)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return cmp.Or(d.Sync(), d.Close())
}
