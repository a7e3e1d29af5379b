package store

import (
	"context"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
)

// Open implements Store.
func (s *bucketStore) Open(ctx context.Context, name string) (Reader, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	attributes, err := s.bucket.Attributes(ctx, name)
	if err != nil {
		return nil, s.failure(name, err)
	}
	return &bucketReader{ctx: ctx, store: s, name: name, size: attributes.Size, etag: attributes.ETag}, nil
}

// bucketReader reads an object: by Read in one request, by ReadAt in one for each.
type bucketReader struct {
	ctx   context.Context
	store *bucketStore
	name  string
	size  int64
	etag  string // of the object that was opened

	offset int64        // of the next Read
	stream *blob.Reader // at offset; nil before the first Read, and after a Seek or an error
}

// open begins to read a range, of the object that was opened and not of one that replaced it.
func (r *bucketReader) open(offset, length int64) (*blob.Reader, error) {
	return r.store.bucket.NewRangeReader(r.ctx, r.name, offset, length, &blob.ReaderOptions{
		BeforeRead: func(as func(any) bool) error {
			var request *s3.GetObjectInput
			if as(&request) {
				request.IfMatch = &r.etag
			}
			return nil
		},
	})
}

// Size implements Reader.
func (r *bucketReader) Size() int64 { return r.size }

// Read implements io.Reader. After an error it may be called again.
func (r *bucketReader) Read(p []byte) (int, error) {
	if r.offset >= r.size {
		return 0, io.EOF
	}
	if r.stream == nil {
		stream, err := r.open(r.offset, -1)
		if err != nil {
			return 0, r.store.failure(r.name, err)
		}
		r.stream = stream
	}
	n, err := r.stream.Read(p)
	r.offset += int64(n)
	if err == nil || err == io.EOF && r.offset == r.size {
		return n, err
	}
	r.Close()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, r.store.failure(r.name, err)
}

// Seek implements io.Seeker.
func (r *bucketReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, r.store.failure(r.name, errOffset)
	}
	if offset != r.offset {
		r.Close()
		r.offset = offset
	}
	return offset, nil
}

// ReadAt implements io.ReaderAt.
func (r *bucketReader) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, r.store.failure(r.name, errOffset)
	}
	length := min(int64(len(p)), r.size-offset)
	if length <= 0 {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	stream, err := r.open(offset, length)
	if err != nil {
		return 0, r.store.failure(r.name, err)
	}
	defer stream.Close()
	n, err := io.ReadFull(stream, p[:length])
	if err != nil {
		return n, r.store.failure(r.name, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (r *bucketReader) Close() error {
	if r.stream == nil {
		return nil
	}
	err := r.stream.Close()
	r.stream = nil
	return err
}
