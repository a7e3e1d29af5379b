package dataset

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// temporaryPrefix starts the name of every unfinished file. Readers ignore a leading dot; DuckDB,
// which does not, looks for an extension that these names lack.
const temporaryPrefix = ".tmp-"

// reserveStep is by how much an AtomicFile reserves room on the disk ahead of its needs.
const reserveStep = 1 << 20

// AtomicFile is a file that appears under its name whole or not at all, even when the process is
// killed or the machine fails. It must end with Commit or Discard.
//
// It can reserve room before it accepts data, so that what was accepted still gets written when
// the disk fills up. Not safe for concurrent use.
type AtomicFile struct {
	file     *os.File
	written  int64
	reserved int64
	// unreserved is set on a file system that cannot reserve room.
	unreserved bool
}

// CreateAtomic makes a temporary file in a folder, which is made if need be; Commit will place it
// there or further down. Temporary files that a killed process left in the folder are removed.
func CreateAtomic(folder string) (*AtomicFile, error) {
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
			return nil, errors.Join(err, os.Remove(name), file.Close())
		}
		if _, err := os.Lstat(name); err == nil {
			return &AtomicFile{file: file}, nil
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
	return retry(func() error { return unix.Flock(int(file.Fd()), how) })
}

// lockFolder keeps other processes that lock the same folder waiting until unlock.
func lockFolder(folder string) (unlock func(), err error) {
	d, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if err := lock(d, unix.LOCK_EX); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return func() { d.Close() }, nil
}

// retry calls f again when a signal interrupted it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// Write implements io.Writer.
func (f *AtomicFile) Write(p []byte) (int, error) {
	n, err := f.file.Write(p)
	f.written += int64(n)
	return n, err
}

// Reserve makes sure that the next n bytes can be written whatever happens to the disk's free room.
// Its error is unix.ENOSPC or unix.EDQUOT when there is not enough. Where the file system cannot
// reserve, it does nothing.
func (f *AtomicFile) Reserve(n int64) error {
	need := f.written + n
	if need <= f.reserved || f.unreserved {
		return nil
	}
	more := (need - f.reserved + reserveStep - 1) / reserveStep * reserveStep
	err := retry(func() error {
		return unix.Fallocate(int(f.file.Fd()), unix.FALLOC_FL_KEEP_SIZE, f.reserved, more)
	})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS):
		f.unreserved = true
		return nil
	case err != nil:
		return &os.PathError{Op: "reserve room for", Path: filepath.Dir(f.file.Name()), Err: err}
	}
	f.reserved += more
	return nil
}

// Commit makes the file appear as path, on stable storage. A file of that name is replaced.
func (f *AtomicFile) Commit(path string) error {
	if err := f.commit(path); err != nil {
		return errors.Join(err, f.Discard())
	}
	return nil
}

func (f *AtomicFile) commit(path string) error {
	// Gives back what was reserved and not used.
	if err := f.file.Truncate(f.written); err != nil {
		return err
	}
	if err := f.file.Sync(); err != nil {
		return err
	}
	folder := filepath.Dir(path)
	if err := makeFolder(folder); err != nil {
		return err
	}
	if err := os.Rename(f.file.Name(), path); err != nil {
		return err
	}
	return errors.Join(syncFolder(folder), f.file.Close())
}

// Discard removes the file. After Commit it does nothing.
func (f *AtomicFile) Discard() error {
	err := os.Remove(f.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	if closeErr := f.file.Close(); !errors.Is(closeErr, os.ErrClosed) {
		err = errors.Join(err, closeErr)
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
	return errors.Join(d.Sync(), d.Close())
}

// removeFile removes a file that may not be there, on stable storage.
func removeFile(path string) error {
	err := os.Remove(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func joinDiscard(err error, file *AtomicFile) error {
	return errors.Join(err, file.Discard())
}
