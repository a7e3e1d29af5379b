package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/mpcensus/mpcensus/pipeline/store/s3test"
)

// A server that dies or hangs in the middle of an upload is an error in bounded time. Nothing of the
// upload is to be seen, and the same store works when the server is back.
func TestServerFails(t *testing.T) {
	former := stallTimeout
	stallTimeout = time.Second
	t.Cleanup(func() { stallTimeout = former })
	server := s3test.Start(t)
	s := open(t, server.Location("census"))
	write(t, s, "file", "old")
	write(t, s, "other", large[:1<<20])
	for _, fault := range []struct {
		name      string
		fail, end func()
	}{
		{"killed", server.Kill, server.Restart},
		{"paused", server.Pause, server.Resume},
	} {
		t.Run(fault.name, func(t *testing.T) {
			reader, err := s.Open(t.Context(), "other")
			if err != nil {
				t.Fatal(err)
			}
			defer reader.Close()
			file, err := s.Create(t.Context(), "file")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(file, large[:20<<20]); err != nil { // some parts are there
				t.Fatal(err)
			}
			fault.fail()
			failed := time.Now()
			_, err = io.WriteString(file, large[20<<20:])
			if err == nil {
				err = file.Commit(t.Context())
			}
			file.Discard()
			checkOneLine(t, err, "s3://census/census/file")
			var all sync.WaitGroup
			for i, call := range []func() error{
				func() error { _, err := s.Open(t.Context(), "file"); return err },
				func() error { _, err := reader.ReadAt(make([]byte, 10), 0); return err },
				func() error { return s.Claim(t.Context(), "claim", nil) },
				func() error { return s.Remove(t.Context(), "x") },
				func() error { return s.Move(t.Context(), "other", "copy") },
			} {
				all.Go(func() {
					err := call()
					checkOneLine(t, err, "s3://census/census/")
					if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
						t.Errorf("call %d: %v", i, err)
					}
				})
			}
			all.Wait()
			if took := time.Since(failed); took > 2*time.Minute {
				t.Errorf("%v until all failed", took)
			}
			t.Logf("%v after %v", err, time.Since(failed))

			fault.end()
			if got := content(t, s, "file"); got != "old" {
				t.Errorf("got %.10q, %d bytes", got, len(got))
			}
			if b, err := io.ReadAll(reader); err != nil || string(b) != large[:1<<20] {
				t.Errorf("the reader: %d bytes, %v", len(b), err)
			}
			write(t, s, "file", large)
			if got := content(t, s, "file"); got != large {
				t.Errorf("again: %d bytes", len(got))
			}
			write(t, s, "file", "old")
			for _, name := range []string{"claim", "copy"} { // may be there, as Claim and Move say
				if err := s.Remove(t.Context(), name); err != nil {
					t.Error(err)
				}
			}
			if got := listed(t, s, ""); got != fmt.Sprintf("file:3 other:%d", 1<<20) {
				t.Errorf("left %s", got)
			}
		})
	}
}

// What is wrong with a location or the environment is said before any work, in one line.
func TestS3Refused(t *testing.T) {
	server := s3test.Start(t)
	location := server.Location("census")
	for _, test := range []struct {
		location string
		unset    string
		want     string
	}{
		{strings.Replace(location, "s3://census/", "s3://missing/", 1), "", "NoSuchBucket"},
		{strings.Replace(location, "region=us-east-1&", "", 1), "", "AWS_REGION"},
		{location, "AWS_SECRET_ACCESS_KEY", "set AWS_ACCESS_KEY_ID"},
		{location + "&nonsense=1", "", "nonsense"},
		{strings.Replace(location, "style=true", "style=perhaps", 1), "", "use_path_style"},
		{location[:strings.LastIndex(location, ":")] + ":1", "", "connection refused"},
	} {
		t.Run(test.want, func(t *testing.T) {
			for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
				t.Setenv(name, "")
			}
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
			if test.unset != "" {
				t.Setenv(test.unset, "")
			}
			_, err := Open(t.Context(), test.location)
			checkOneLine(t, err, test.want)
			t.Log(err)
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
		_, err := Open(t.Context(), location)
		checkOneLine(t, err, "SignatureDoesNotMatch")
	})
}

// What is given up leaves no parts on the server, which could not be seen but would be kept.
func TestPartsForgotten(t *testing.T) {
	s := open(t, s3test.Start(t).Location(""))
	ctx, cancel := context.WithCancel(t.Context())
	for i, end := range []func(File){
		func(f File) { f.Discard() },
		func(f File) { cancel(); f.Commit(t.Context()) },
	} {
		file, err := s.Create(ctx, "file")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, large); err != nil {
			t.Fatal(err)
		}
		var client *s3.Client
		if !s.(*bucketStore).bucket.As(&client) {
			t.Fatal("no client")
		}
		request := &s3.ListMultipartUploadsInput{Bucket: aws.String("census")}
		during, err := client.ListMultipartUploads(t.Context(), request)
		if err != nil || len(during.Uploads) != 1 {
			t.Errorf("%d: %d uploads, %v", i, len(during.Uploads), err)
		}
		end(file)
		after, err := client.ListMultipartUploads(t.Context(), request)
		if err != nil || len(after.Uploads) != 0 {
			t.Errorf("%d: left %d uploads, %v", i, len(after.Uploads), err)
		}
	}
}

// A reader never mixes two objects of one name.
func TestReplacedWhileRead(t *testing.T) {
	s := open(t, s3test.Start(t).Location(""))
	write(t, s, "file", "old content")
	file, err := s.Open(t.Context(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	write(t, s, "file", "new content")
	_, err = file.ReadAt(make([]byte, 3), 0)
	checkOneLine(t, err, "PreconditionFailed")
}
