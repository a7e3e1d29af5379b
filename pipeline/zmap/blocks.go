package zmap

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"slices"
)

// MaxLine bounds the length of a line in bytes, without its line end. ZMap's rows have about 400;
// an ICMP quote in hex adds at most 2,464 (1,232 bytes, RFC 4443 §2.4).
const MaxLine = 64 << 10

// Line is one line of ZMap's output. Lines end with LF or CRLF; the last one may end with the input.
type Line struct {
	Number int64  // within its block, from 1
	Offset int64  // of its first byte in the input
	Length int64  // in bytes, without the line end
	Raw    []byte // the first MaxLine bytes, without the line end; valid as long as its block
}

// CheckLength returns an error that wraps ErrTooLong if the line has more than MaxLine bytes.
func (l Line) CheckLength() error {
	if l.Length > MaxLine {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, l.Length, MaxLine)
	}
	return nil
}

// Block is some whole lines of an input. It is valid until it is read again.
type Block struct {
	Index  int64 // its place in the input is [Index·size, (Index+1)·size): there its lines begin
	Offset int64 // of its first line in the input

	data      []byte // the lines with their line ends
	cutLength int64  // if data ends with the first MaxLine bytes of a line: the length of all of it
}

// Lines are the lines of the block, in order.
func (b *Block) Lines() iter.Seq[Line] {
	return func(yield func(Line) bool) {
		number := int64(0)
		for start := 0; start < len(b.data); {
			rest := b.data[start:]
			next := bytes.IndexByte(rest, '\n') + 1
			if next == 0 {
				next = len(rest)
			}
			raw := withoutLineEnd(rest[:next])
			length := len64(raw)
			if start+next == len(b.data) && b.cutLength > 0 {
				length = b.cutLength
			}
			number++
			if !yield(Line{number, b.Offset + int64(start), length, raw[:min(len(raw), MaxLine)]}) {
				return
			}
			start += next
		}
	}
}

// CountLines returns the number of lines of the block.
func (b *Block) CountLines() int64 {
	n := bytes.Count(b.data, []byte("\n"))
	if !bytes.HasSuffix(b.data, []byte("\n")) {
		n++
	}
	return int64(n)
}

// BlockReader cuts an input into blocks of whole lines. A line belongs to the block in whose place its first
// byte is, so that the cut depends on nothing but the input's bytes. A place in which no line begins, as
// within a line longer than a block, has no block: its index is left out.
//
// Of a line longer than MaxLine only the first MaxLine bytes are kept, so that a block takes no more memory
// than its size and MaxLine. An io.TeeReader around the input sees all bytes.
type BlockReader struct {
	in     io.Reader
	size   int
	offset int64  // of the next block
	ahead  []byte // the bytes from there on that were read already
	err    error  // of the input
}

// lineRoom is what the longest line takes with its line end.
const lineRoom = MaxLine + len("\r\n")

// NewBlockReader returns a reader of r whose blocks' places are of size bytes. It reads r in pieces of
// about that size.
func NewBlockReader(r io.Reader, size int) *BlockReader {
	return &BlockReader{in: r, size: size}
}

// Read reads the next block into b, reusing its memory. The error is that of the input, io.EOF at the end;
// what was read before an error is returned first, as blocks.
func (r *BlockReader) Read(b *Block) error {
	*b = Block{Index: r.offset / int64(r.size), Offset: r.offset, data: b.data[:0]}
	place := r.size - int(r.offset%int64(r.size)) // that many bytes are left of it
	b.data = append(slices.Grow(b.data, r.size+lineRoom), r.ahead...)
	r.ahead = r.ahead[:0]

	// The block ends with the first line end that is the last byte of its place or behind it.
	from := place - 1
	for {
		if from < len(b.data) {
			if i := bytes.IndexByte(b.data[from:], '\n'); i >= 0 {
				r.end(b, from+i+1)
				return nil
			}
			from = len(b.data)
		}
		switch {
		case len(b.data) == place+lineRoom:
			r.cutLastLine(b)
			return nil
		case r.err != nil && len(b.data) == 0:
			return r.err
		case r.err != nil:
			r.end(b, len(b.data))
			return nil
		}
		b.data = r.fill(b.data, place+lineRoom)
	}
}

// end makes the first n bytes of b's data the block.
func (r *BlockReader) end(b *Block, n int) {
	r.ahead = append(r.ahead, b.data[n:]...)
	b.data = b.data[:n]
	r.offset += int64(n)
}

// cutLastLine ends a block whose last line is too long: what is not kept of it is read and dropped.
func (r *BlockReader) cutLastLine(b *Block) {
	start := bytes.LastIndexByte(b.data, '\n') + 1
	length, lineEnd := len64(b.data[start:]), int64(0)
	last := b.data[len(b.data)-1] // CR and LF may come in different pieces
	b.data = b.data[:start+MaxLine]
	for lineEnd == 0 {
		piece := r.fill(r.ahead, lineRoom)
		if len(piece) == 0 {
			break // the line ends with the input
		}
		line, rest, found := bytes.Cut(piece, []byte("\n"))
		length += len64(line)
		if len(line) > 0 {
			last = line[len(line)-1]
		}
		if found && last == '\r' {
			length, lineEnd = length-1, 2
		} else if found {
			lineEnd = 1
		}
		r.ahead = append(piece[:0], rest...)
	}
	r.offset += int64(start) + length + lineEnd
	b.cutLength = length
}

func len64(b []byte) int64 { return int64(len(b)) }

// fill appends to data, up to limit bytes in all, what one read of the input gives: nothing once it has ended.
func (r *BlockReader) fill(data []byte, limit int) []byte {
	data = slices.Grow(data, limit-len(data))
	for range maxEmptyReads {
		if r.err != nil {
			return data
		}
		var n int
		n, r.err = r.in.Read(data[len(data):limit])
		if n > 0 {
			return data[:len(data)+n]
		}
	}
	if r.err == nil {
		r.err = io.ErrNoProgress
	}
	return data
}

// maxEmptyReads is how often a reader may give nothing in a row, as in package bufio.
const maxEmptyReads = 100

func withoutLineEnd(line []byte) []byte {
	if cut, ok := bytes.CutSuffix(line, []byte("\n")); ok {
		return bytes.TrimSuffix(cut, []byte("\r"))
	}
	return line
}
