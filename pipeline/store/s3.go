package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	gocloudaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// stallTimeout is how long a connection may stand still in both directions. The SDK has no limit of
// its own, and would wait for ever for a server that accepts and never answers.
var stallTimeout = time.Minute

// openS3 opens s3://BUCKET/PREFIX. That the bucket answers is checked, since all else would fail
// later, after work that was then for nothing.
func openS3(ctx context.Context, location string) (*bucketStore, error) {
	u, err := url.Parse(location)
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(u.Path, "/")
	if u.Host == "" || u.User != nil || u.Fragment != "" || checkFolder(prefix) != nil {
		return nil, fmt.Errorf("%s: write s3://BUCKET/PREFIX, with credentials in the environment", u.Redacted())
	}
	client, err := s3Client(ctx, u.Query())
	if err != nil {
		return nil, fmt.Errorf("%s: %s", location, oneLine(err))
	}
	bucket, err := s3blob.OpenBucket(ctx, client, u.Host, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %s", location, oneLine(err))
	}
	s := &bucketStore{bucket: bucket, location: location, base: "s3://" + u.Host + "/"}
	if prefix != "" {
		s.bucket = blob.PrefixedBucket(bucket, prefix+"/")
		s.base += prefix + "/"
	}
	if _, _, err := s.bucket.ListPage(ctx, blob.FirstPageToken, 1, nil); err != nil {
		s.bucket.Close()
		return nil, s.failure("", err)
	}
	return s, nil
}

// s3Client makes a client by the parameters of a location: use_path_style (or s3ForcePathStyle),
// which most servers other than Amazon's need, and those of gocloud.dev/aws.V2ConfigFromURLParams.
func s3Client(ctx context.Context, parameters url.Values) (*s3.Client, error) {
	pathStyle := false
	for _, name := range []string{"use_path_style", "s3ForcePathStyle"} {
		if !parameters.Has(name) {
			continue
		}
		value, err := strconv.ParseBool(parameters.Get(name))
		if err != nil {
			return nil, fmt.Errorf("%s must be true or false", name)
		}
		pathStyle = value
		parameters.Del(name)
	}
	config, err := gocloudaws.V2ConfigFromURLParams(ctx, parameters)
	if err != nil {
		return nil, err
	}
	if config.Region == "" {
		return nil, errors.New("no region: add ?region=… or set AWS_REGION")
	}
	if !aws.IsCredentialsProvider(config.Credentials, aws.AnonymousCredentials{}) {
		if _, err := config.Credentials.Retrieve(ctx); err != nil {
			return nil, fmt.Errorf("no credentials (%s): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE", oneLine(err))
		}
	}
	limit := stallTimeout
	config.HTTPClient = awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		dial := t.DialContext
		t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return stallConn{conn, limit}, nil
		}
	})
	return s3.NewFromConfig(config, func(o *s3.Options) {
		o.UsePathStyle = pathStyle
		// Else the SDK writes a line to standard error for each range that it reads.
		o.DisableLogOutputChecksumValidationSkipped = true
		o.APIOptions = append(o.APIOptions, abortThoughCancelled)
	}), nil
}

// abortThoughCancelled lets the request go out that makes the server forget the parts of an upload
// that was cancelled. The SDK would send it under the context that has ended, so not at all, and the
// parts would stay, unseen and to be paid for.
func abortThoughCancelled(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("abortThoughCancelled",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
			if _, abort := in.Parameters.(*s3.AbortMultipartUploadInput); abort {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stallTimeout)
				defer cancel()
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
}

// stallConn is a connection that fails when neither side has sent anything for so long. A deadline for
// both directions: while a body is sent, nothing is received.
type stallConn struct {
	net.Conn
	limit time.Duration
}

// Read implements net.Conn.
func (c stallConn) Read(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(c.limit))
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c stallConn) Write(p []byte) (int, error) {
	c.SetDeadline(time.Now().Add(c.limit))
	return c.Conn.Write(p)
}
