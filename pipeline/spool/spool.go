// Package spool keeps a scan's rows on disk while the scan runs. ZMap's receive thread must never wait
// for what reads its rows: when its pipe is full it stops, and the kernel drops replies. So a Writer
// does no more than compress the lines and append them to a file; a Reader gives them to the dataset
// when ZMap has ended.
//
// A spool is a concatenation of independent zstd frames (RFC 8878) with content checksums, which
// `zstd -dc` reads too. A frame holds whole lines, unless a line is longer than a frame; whoever reads
// the lines bounds their length. A writer that dies, or a machine that fails, leaves intact frames and
// then at most a torn rest.
package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// frameSize is the most bytes of lines in a frame. Larger frames gain nothing: with 4 MiB the spool
	// is as large (BenchmarkWrite).
	frameSize = 1 << 20
	// frameAge is how long a line can wait in memory for its frame to be written. The disk has the
	// other half of the second within which a line is to be on stable storage.
	frameAge = 500 * time.Millisecond
	// queueSize is how many bytes of lines can wait to be compressed and written: more than a second
	// of ZMap's own maximum, some 100,000 replies a second of 424 bytes.
	queueSize = 64 << 20
	// pipeSize is the default of /proc/sys/fs/pipe-max-size, which every user can have.
	pipeSize = 1 << 20
)

// ErrBusy means that a Writer, of this process or another, still has the spool open.
var ErrBusy = errors.New("a process still writes it: wait for its end, or stop it")

// lock takes a BSD lock, which ends when the file is closed, or with the process.
func lock(file *os.File) error {
	err := control(file, func(fd int) error {
		return retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	})
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("spool %s: %w", file.Name(), ErrBusy)
	}
	if err != nil {
		return &os.PathError{Op: "lock", Path: file.Name(), Err: err}
	}
	return nil
}

// control calls f with the descriptor of a file, without making the file blocking as Fd would.
func control(file syscall.Conn, f func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	if controlErr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); controlErr != nil {
		return controlErr
	}
	return err
}

// retry calls f again when a signal interrupted it.
func retry(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}

// syncFolder puts the names in a folder on stable storage.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// disk is a spool's file on a disk.
type disk struct {
	*os.File
}

// create makes a new, locked file whose name is on stable storage.
func create(path string) (disk, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o666)
	if err != nil {
		return disk{}, err
	}
	err = lock(file)
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		file.Close()
		return disk{}, err
	}
	return disk{file}, nil
}

// Sync leaves out the file's times, which would cost a second write to the journal.
func (d disk) Sync() error {
	err := control(d.File, func(fd int) error {
		return retry(func() error { return unix.Fdatasync(fd) })
	})
	if err != nil {
		return &os.PathError{Op: "fdatasync", Path: d.Name(), Err: err}
	}
	return nil
}
