package zmap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// MaxLine bounds the length of a line in bytes, without its line end. ZMap's rows have about 400;
// an ICMP quote in hex adds at most 2,464 (1,232 bytes, RFC 4443 §2.4).
const MaxLine = 64 << 10

// Line is one line of ZMap's output: a row, or the reason why it is none. Exactly one of Row and
// Err is nil.
type Line struct {
	Number int64  // from 1
	Offset int64  // of its first byte in the input
	Length int64  // in bytes, without the line end
	Raw    []byte // the first MaxLine bytes, without the line end; valid until the next call of Read
	Row    *Row
	Err    error // wraps a Reason
}

// RowReader reads ZMap's JSON output line by line. Lines end with LF or CRLF; the last one may end
// with the input.
type RowReader struct {
	in     *bufio.Reader
	long   []byte // the beginning of an over-long line
	tail   []byte // and its end
	number int64
	offset int64
	err    error // of the input, not yet returned
}

// NewRowReader returns a reader of the rows in r.
func NewRowReader(r io.Reader) *RowReader {
	return &RowReader{in: bufio.NewReaderSize(r, MaxLine+len("\r\n"))}
}

// Read returns the next line. Its error is that of the input, io.EOF at the end; what was read of
// a line before an error is returned first, as a line.
func (r *RowReader) Read() (Line, error) {
	if r.err != nil {
		return Line{}, r.err
	}
	raw, length, consumed, err := r.readLine()
	if err != nil {
		r.err = err
		if consumed == 0 {
			return Line{}, err
		}
	}
	r.number++
	line := Line{Number: r.number, Offset: r.offset, Length: length, Raw: raw}
	r.offset += consumed
	if length > MaxLine {
		line.Err = fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, length, MaxLine)
	} else {
		line.Row, line.Err = DecodeRow(raw)
	}
	return line, nil
}

// readLine returns the first MaxLine bytes of a line, its length, and its length with the line end.
func (r *RowReader) readLine() (raw []byte, length, consumed int64, err error) {
	chunk, err := r.in.ReadSlice('\n')
	consumed = int64(len(chunk))
	if err != bufio.ErrBufferFull {
		raw = withoutLineEnd(chunk)
		length = int64(len(raw))
		return raw[:min(len(raw), MaxLine)], length, consumed, err
	}
	r.long = append(r.long[:0], chunk[:MaxLine]...)
	for err == bufio.ErrBufferFull {
		// CR and LF may come in different chunks.
		r.tail = append(r.tail[:0], chunk[len(chunk)-1])
		chunk, err = r.in.ReadSlice('\n')
		r.tail = append(r.tail, chunk...)
		consumed += int64(len(chunk))
	}
	length = consumed - int64(len(r.tail)-len(withoutLineEnd(r.tail)))
	return r.long, length, consumed, err
}

func withoutLineEnd(line []byte) []byte {
	if cut, ok := bytes.CutSuffix(line, []byte("\n")); ok {
		return bytes.TrimSuffix(cut, []byte("\r"))
	}
	return line
}
