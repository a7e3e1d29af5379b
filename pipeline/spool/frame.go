package spool

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// newEncoder compresses at the fastest of the library's levels, an eighth of the size of ZMap's rows at
// 460 MB/s of one core (BenchmarkEncode). The default level takes 1.5 times the CPU time, which ZMap
// needs, and makes these rows no smaller.
func newEncoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(frameSize), zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true))
}

// newDecoder takes no more memory than a frame needs, whatever the frame says.
func newDecoder() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(frameSize),
		zstd.WithDecoderMaxWindow(frameSize))
}

// framer divides lines into frames.
type framer struct {
	lines []byte                     // of the frame to come
	write func(content []byte) error // of one frame
}

func newFramer(write func([]byte) error) *framer {
	return &framer{lines: make([]byte, 0, frameSize), write: write}
}

// add writes every frame that p fills.
func (f *framer) add(p []byte) error {
	for len(p) > 0 {
		n := min(len(p), frameSize-len(f.lines))
		f.lines = append(f.lines, p[:n]...)
		p = p[n:]
		if len(f.lines) < frameSize {
			break
		}
		if err := f.flushLines(); err != nil {
			return err
		}
		// One line fills the frame: split it, rather than grow.
		if len(f.lines) == frameSize {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flushLines writes the whole lines as a frame.
func (f *framer) flushLines() error {
	end := bytes.LastIndexByte(f.lines, '\n') + 1
	if end == 0 {
		return nil
	}
	err := f.write(f.lines[:end])
	f.lines = f.lines[:copy(f.lines, f.lines[end:])]
	return err
}

// flush writes all, even where it ends within a line.
func (f *framer) flush() error {
	if len(f.lines) == 0 {
		return nil
	}
	err := f.write(f.lines)
	f.lines = f.lines[:0]
	return err
}

// errNoFrame means that bytes are no frame that a Writer writes.
var errNoFrame = errors.New("no intact frame")

// readFrame appends the next frame to buffer, as it is on the file. It follows the frame's structure
// (RFC 8878, 3.1.1) only as far as needed to find its end. At the end of the file its error is io.EOF
// or io.ErrUnexpectedEOF.
func readFrame(r *bufio.Reader, buffer []byte) ([]byte, error) {
	size, err := headerSize(r)
	if err != nil {
		return nil, err
	}
	if buffer, err = appendNext(r, buffer, size); err != nil {
		return nil, err
	}
	for last := false; !last; {
		if buffer, err = appendNext(r, buffer, blockHeaderSize); err != nil {
			return nil, err
		}
		b := buffer[len(buffer)-blockHeaderSize:]
		header := int(b[0]) | int(b[1])<<8 | int(b[2])<<16
		last = header&1 != 0
		size := header >> 3
		if header>>1&3 == blockTypeRLE {
			size = 1
		}
		// An encoder stores what it cannot compress, so a frame is hardly larger than its content.
		if len(buffer)+size > 2*frameSize {
			return nil, errNoFrame
		}
		if buffer, err = appendNext(r, buffer, size); err != nil {
			return nil, err
		}
	}
	return appendNext(r, buffer, checksumSize)
}

const (
	blockHeaderSize = 3 // bytes; RFC 8878, 3.1.1.2
	blockTypeRLE    = 1 // a block of one byte, repeated
	checksumSize    = 4 // bytes; RFC 8878, 3.1.1
)

// headerSize reads ahead how long the next frame's header is, and refuses what a Writer does not write:
// a frame without checksum or with a dictionary, or larger than frameSize.
func headerSize(r *bufio.Reader) (int, error) {
	start, err := r.Peek(zstd.HeaderMaxSize)
	if err != nil && (err != io.EOF || len(start) == 0) {
		return 0, err
	}
	var h zstd.Header
	if err := h.Decode(start); err != nil {
		return 0, errNoFrame
	}
	if h.Skippable || !h.SingleSegment || !h.HasCheckSum || h.DictionaryID != 0 || h.FrameContentSize > frameSize {
		return 0, errNoFrame
	}
	return h.HeaderSize, nil
}

// appendNext appends the next n bytes of r.
func appendNext(r *bufio.Reader, buffer []byte, n int) ([]byte, error) {
	start := len(buffer)
	buffer = append(buffer, make([]byte, n)...)
	_, err := io.ReadFull(r, buffer[start:])
	return buffer, err
}
