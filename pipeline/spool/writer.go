package spool

import (
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// Each read of the input has between leastRead and blockSize bytes of room.
const (
	blockSize = 256 << 10
	leastRead = 32 << 10
)

// file is what a Writer needs of a file.
type file interface {
	io.WriteCloser
	Truncate(size int64) error
	Sync() error
}

// Writer appends lines to a spool. Three goroutines share the work, so that neither compression nor a
// slow disk keeps the input waiting: ReadFrom's reads into a queue, one compresses and writes, and one
// waits for the disk. Close must be called.
type Writer struct {
	file   file
	queue  *queue
	framer *framer

	encoder *zstd.Encoder
	frame   []byte // compressed
	size    int64  // of the file: bytes of intact frames

	unsynced bool
	toSync   chan struct{} // holds the order to sync
	written  chan struct{} // closed when nothing more is written
	synced   chan struct{} // closed when nothing more is synced
}

// Create makes a new spool in a folder that exists. A file that exists is an error that wraps
// os.ErrExist. The spool is locked until Close.
func Create(path string) (*Writer, error) {
	file, err := create(path)
	if err != nil {
		return nil, err
	}
	return newWriter(file)
}

func newWriter(f file) (*Writer, error) {
	encoder, err := newEncoder()
	if err != nil {
		return nil, err
	}
	w := &Writer{
		file:    f,
		queue:   newQueue(queueSize),
		encoder: encoder,
		toSync:  make(chan struct{}, 1),
		written: make(chan struct{}),
		synced:  make(chan struct{}),
	}
	w.framer = newFramer(w.writeFrame)
	go w.writeAll()
	go w.syncAll()
	return w, nil
}

// ReadFrom reads r to its end, as fast as r gives. Only when 64 MiB wait to be written does it wait. It
// returns how many bytes it read; they are on stable storage within a second if the disk allows, and
// when Close has returned nil. If writing fails, it returns why at the next read (a full disk:
// unix.ENOSPC); the file then ends with an intact frame. A pipe is enlarged to 1 MiB.
//
// It implements io.ReaderFrom. Not safe for concurrent use.
func (w *Writer) ReadFrom(r io.Reader) (int64, error) {
	enlargePipe(r)
	var total int64
	var block []byte
	for {
		if len(block) < leastRead {
			block = make([]byte, blockSize)
		}
		n, err := r.Read(block)
		if n > 0 {
			if err := w.queue.push(block[:n:n]); err != nil {
				return total, err
			}
			total += int64(n)
			block = block[n:]
		}
		switch err {
		case nil:
		case io.EOF:
			return total, nil
		default:
			return total, err
		}
	}
}

// Waited is how long in all ReadFrom has waited for the disk or for compression: the time in which the
// spool may have been the reason for lost replies.
func (w *Writer) Waited() time.Duration {
	return w.queue.timeWaited()
}

// Close writes what was read, as it came, also a last line without newline. After it all is on stable
// storage, or its error says why not.
func (w *Writer) Close() error {
	w.queue.close(io.EOF)
	<-w.written
	close(w.toSync)
	<-w.synced
	err := w.queue.failure()
	if err == nil {
		err = w.file.Sync()
	}
	if closeErr := w.file.Close(); err == nil {
		err = closeErr
	}
	return err
}

// writeAll writes what the queue brings until its end, or until something fails.
func (w *Writer) writeAll() {
	defer close(w.written)
	tick := time.NewTicker(frameAge)
	defer tick.Stop()
	for {
		piece, err := w.queue.pop(tick.C)
		switch {
		case err == io.EOF:
			err = w.framer.flush()
			if err == nil {
				return
			}
		case err != nil:
		case piece == nil:
			err = w.flushLines()
		default:
			err = w.framer.add(piece)
		}
		if err != nil {
			w.queue.close(err)
			return
		}
	}
}

// flushLines writes the lines that wait, and orders all that was written to be synced.
func (w *Writer) flushLines() error {
	err := w.framer.flushLines()
	if err == nil && w.unsynced {
		w.unsynced = false
		signal(w.toSync)
	}
	return err
}

// syncAll syncs the file when ordered. Orders that come meanwhile are one.
func (w *Writer) syncAll() {
	defer close(w.synced)
	for range w.toSync {
		if err := w.file.Sync(); err != nil {
			w.queue.close(err)
		}
	}
}

// writeFrame appends a frame, or leaves the file as it was.
func (w *Writer) writeFrame(content []byte) error {
	w.frame = w.encoder.EncodeAll(content, w.frame[:0])
	if _, err := w.file.Write(w.frame); err != nil {
		if cutErr := w.file.Truncate(w.size); cutErr != nil {
			return fmt.Errorf("%w; its torn end stays: %w", err, cutErr)
		}
		return err
	}
	w.size += int64(len(w.frame))
	w.unsynced = true
	return nil
}

// enlargePipe gives the process at the other end more time before its writes wait. What is no pipe, or
// is not allowed to grow, stays as it is.
func enlargePipe(r io.Reader) {
	pipe, ok := r.(syscall.Conn)
	if !ok {
		return
	}
	control(pipe, func(fd int) error {
		size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0)
		if err == nil && size < pipeSize {
			_, err = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, pipeSize)
		}
		return err
	})
}
