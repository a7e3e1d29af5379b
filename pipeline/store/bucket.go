package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"strings"

	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

const (
	// partSize is how many bytes go in one request. S3 takes 10,000 for one object, so 80 GiB.
	partSize = 8 << 20
	// uploads is how many of these requests run at once for one file. Each holds partSize of memory.
	uploads = 2
	// claimKey is the metadata that tells one claim of a name from another.
	claimKey = "mpcensus-claim"
)

// bucketStore is a bucket of an object store.
type bucketStore struct {
	bucket   *blob.Bucket
	location string
	base     string // what stands before a name in messages
}

// String implements Store.
func (s *bucketStore) String() string { return s.location }

// Close implements Store.
func (s *bucketStore) Close() error { return s.bucket.Close() }

// Create implements Store.
func (s *bucketStore) Create(ctx context.Context, name string) (File, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	writer, err := s.bucket.NewWriter(ctx, name, &blob.WriterOptions{
		BufferSize:                  partSize,
		MaxConcurrency:              uploads,
		DisableContentTypeDetection: true,
	})
	if err != nil {
		cancel()
		return nil, s.failure(name, err)
	}
	return &bucketFile{store: s, name: name, writer: writer, ctx: ctx, cancel: cancel}, nil
}

// bucketFile is an object that is being uploaded. It appears when the upload is completed.
type bucketFile struct {
	store  *bucketStore
	name   string
	writer *blob.Writer
	ctx    context.Context // of the upload
	cancel context.CancelFunc
	err    error // of the first Write that failed
	closed bool
}

// Write implements io.Writer.
func (f *bucketFile) Write(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.writer.Write(p)
	if err != nil {
		f.err = f.store.failure(f.name, cmp.Or(f.ctx.Err(), err))
	}
	return n, f.err
}

// Commit implements File.
func (f *bucketFile) Commit(ctx context.Context) error {
	if f.closed {
		return f.store.failure(f.name, fs.ErrClosed)
	}
	if err := cmp.Or(f.err, ctx.Err()); err != nil {
		f.Discard()
		return err
	}
	defer context.AfterFunc(ctx, f.cancel)()
	defer f.cancel()
	f.closed = true
	if err := f.writer.Close(); err != nil {
		// The SDK's error does not always wrap that of the context.
		return f.store.failure(f.name, cmp.Or(f.ctx.Err(), err))
	}
	return nil
}

// Discard implements File.
func (f *bucketFile) Discard() error {
	if f.closed {
		return nil
	}
	f.closed = true
	// The upload ends with an error, and the server is told to forget the parts that it has. That
	// error is expected, and one of the server leaves nothing that could be seen.
	f.cancel()
	f.writer.Close()
	return nil
}

// Claim implements Store.
func (s *bucketStore) Claim(ctx context.Context, name string, content []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	mark := rand.Text()
	options := &blob.WriterOptions{IfNotExist: true, Metadata: map[string]string{claimKey: mark}}
	err := s.bucket.WriteAll(ctx, name, content, options)
	// S3's answer when the outcome of another request for the name is not known yet: "retry the upload"
	// (Amazon S3 User Guide, Conditional writes).
	for attempt := 0; apiCode(err) == "ConditionalRequestConflict" && attempt < 5; attempt++ {
		err = s.bucket.WriteAll(ctx, name, content, options)
	}
	if gcerrors.Code(err) != gcerrors.FailedPrecondition {
		return s.failure(name, err)
	}
	// The SDK repeats a request whose answer was lost, and then finds its own file.
	attributes, err := s.bucket.Attributes(ctx, name)
	switch {
	case err == nil && attributes.Metadata[claimKey] == mark:
		return nil
	case err != nil && gcerrors.Code(err) != gcerrors.NotFound: // as when it was removed since
		return s.failure(name, err)
	}
	return fmt.Errorf("%s%s: %w", s.base, name, fs.ErrExist)
}

// Move implements Store.
func (s *bucketStore) Move(ctx context.Context, from, to string) error {
	if err := checkMove(from, to); err != nil {
		return err
	}
	if err := s.bucket.Copy(ctx, to, from, nil); err != nil {
		return s.failure(from, err)
	}
	return s.Remove(ctx, from)
}

// Remove implements Store.
func (s *bucketStore) Remove(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return s.failure(name, err)
	}
	return nil
}

// List implements Store.
func (s *bucketStore) List(ctx context.Context, folder string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkFolder(folder); err != nil {
			yield(Info{}, err)
			return
		}
		options := &blob.ListOptions{}
		if folder != "" {
			options.Prefix = folder + "/"
		}
		for objects := s.bucket.List(options); ; {
			object, err := objects.Next(ctx)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Info{}, s.failure(folder, err))
				return
			}
			if strings.HasSuffix(object.Key, "/") {
				continue // what some tools make to show a folder
			}
			if !yield(Info{Name: object.Key, Size: object.Size}, nil) {
				return
			}
		}
	}
}

// failure is an error in one line that names the object, and wraps fs.ErrNotExist and
// fs.ErrPermission where they apply. It is nil if err is.
func (s *bucketStore) failure(name string, err error) error {
	if err == nil {
		return nil
	}
	f := &failure{text: s.base + name + ": " + oneLine(err), causes: []error{err}}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		f.causes = append(f.causes, fs.ErrNotExist)
	case gcerrors.PermissionDenied:
		f.causes = append(f.causes, fs.ErrPermission)
	}
	return f
}

// failure is an error whose text is shorter than those of its causes.
type failure struct {
	text   string
	causes []error
}

// Error implements error.
func (f *failure) Error() string { return f.text }

// Unwrap is for errors.Is and errors.As.
func (f *failure) Unwrap() []error { return f.causes }

// apiCode is the error code in a server's answer, or "".
func apiCode(err error) string {
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		return answer.ErrorCode()
	}
	return ""
}

// oneLine is what matters in an error of the SDK, which tells all its layers and ids: what the server
// answered, or why there was no answer.
func oneLine(err error) string {
	text := err.Error()
	if answer, ok := errors.AsType[smithy.APIError](err); ok {
		text = strings.TrimSuffix(answer.ErrorCode()+": "+answer.ErrorMessage(), ": ")
	} else if network, ok := errors.AsType[*net.OpError](err); ok {
		text = network.Error()
	} else if errors.Is(err, context.Canceled) {
		text = context.Canceled.Error()
	}
	return strings.Join(strings.Fields(text), " ")
}
