package ingest

import (
	"context"
	"encoding/hex"
	"io"

	"github.com/zeebo/xxh3"
)

// inputDigest says which bytes an input begins with.
type inputDigest struct {
	Bytes int64  `json:"bytes"`
	XXH3  string `json:"xxh3"` // of 128 bits, of so many bytes, hex
}

// pieceSize is of the bytes that are read at once: few enough that they are still in the processor's
// cache when the digest is taken.
const pieceSize = 256 << 10

// digestReader takes the digest of what is read through it. XXH3 tells inputs apart at a tenth of what
// BLAKE3 takes, which would be a seventh of all that ingest does, and SHA-256 twice that.
type digestReader struct {
	ctx   context.Context
	in    io.Reader
	hash  *xxh3.Hasher128
	bytes int64

	known   inputDigest // what the input should begin with
	checked bool        // it does
}

// newDigestReader reads an input that should begin with what is known of it. It fails once ctx has ended.
func newDigestReader(ctx context.Context, in io.Reader, known inputDigest) *digestReader {
	return &digestReader{ctx: ctx, in: in, hash: xxh3.New128(), known: known, checked: known.Bytes == 0}
}

// Read implements io.Reader.
func (r *digestReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	p = p[:min(len(p), pieceSize)]
	if left := r.known.Bytes - r.bytes; left > 0 {
		p = p[:min(int64(len(p)), left)]
	}
	n, err := r.in.Read(p)
	_, _ = r.hash.Write(p[:n]) // it cannot fail
	r.bytes += int64(n)
	if n > 0 && r.bytes == r.known.Bytes {
		r.checked = r.digest() == r.known
	}
	return n, err
}

// begunAsKnown says whether the input began with what is known of it, once that much must have been read.
func (r *digestReader) begunAsKnown() bool { return r.checked }

func (r *digestReader) digest() inputDigest {
	return inputDigest{r.bytes, hex.EncodeToString(r.hash.Sum(nil))}
}

// Interruptible returns a reader of r that fails when ctx ends, even while a read of r blocks. That read
// is left behind.
func Interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	return out
}
