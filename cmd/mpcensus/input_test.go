package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"github.com/mpcensus/mpcensus/pipeline/dataset"
	"github.com/mpcensus/mpcensus/pipeline/ingest"
)

func TestInputNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"b.json", "a.json", "c.zst", "[x].json"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		arguments, want []string
		complaint       string
	}{
		{[]string{"b.json", "-", "a.json"}, []string{"b.json", "-", "a.json"}, ""},
		{[]string{"?.json", "c.zst"}, []string{"a.json", "b.json", "c.zst"}, ""},
		{[]string{"[x].json"}, []string{"[x].json"}, ""}, // a file of that name, and no pattern
		{[]string{"absent.json"}, []string{"absent.json"}, ""},
		{[]string{"*.gz"}, nil, "*.gz: no file"},
		{[]string{"[.json"}, nil, "not a pattern"},
		{nil, nil, "no input"},
	} {
		got, err := inputNames(test.arguments)
		if !slices.Equal(got, test.want) || (err == nil) != (test.complaint == "") || err != nil && !strings.Contains(err.Error(), test.complaint) {
			t.Errorf("%q: got %q, %v", test.arguments, got, err)
		}
	}
}

// A file is decompressed as its name or its first bytes say; one that is not what its name says, or ends
// too soon, is an error.
func TestOpenInput(t *testing.T) {
	dir := t.TempDir()
	text := bytes.Repeat([]byte("{\"saddr\":\"198.18.0.1\"}\n"), 10_000)
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(text); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	encoder, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	zst := encoder.EncodeAll(text, nil)
	// Members and frames that were appended are one input (RFC 1952 §2.2, RFC 8878 §3.1).
	for name, test := range map[string]struct {
		content, want []byte
		fails         bool
	}{
		"plain.json":    {text, text, false},
		"rows.gz":       {zipped.Bytes(), text, false},
		"twice.gz":      {append(zipped.Bytes(), zipped.Bytes()...), append(text, text...), false},
		"rows.json.zst": {zst, text, false},
		"twice.zst":     {append(slices.Clone(zst), zst...), append(text, text...), false},
		"cut.gz":        {zipped.Bytes()[:zipped.Len()-5], nil, true},
		"cut.zst":       {zst[:len(zst)-5], nil, true},
		"misnamed.gz":   {text, nil, true},
		"misnamed.zst":  {text, nil, true},
		"zst.json":      {zst, text, false},
		"gz.json":       {zipped.Bytes(), text, false},
		"empty.json":    {nil, nil, false},
		"empty.gz":      {nil, nil, true},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, test.content, 0o644); err != nil {
			t.Fatal(err)
		}
		var got []byte
		in, err := openInput(t.Context(), path)
		if err == nil {
			got, err = io.ReadAll(in)
			in.Close()
		}
		if (err != nil) != test.fails || !test.fails && !bytes.Equal(got, test.want) {
			t.Errorf("%s: %d bytes, want %d; %v", name, len(got), len(test.want), err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := openInput(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("a folder: %v", err)
	}
}

// Nobody writes to a pipe: that it cannot be opened does not keep a user waiting who has had enough.
func TestOpenPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := openInput(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

// Work on the same file with the same parameters has one name, other work another.
func TestStageOf(t *testing.T) {
	p := ingest.Params{Format: dataset.Parquet, Source: "/data/rows.json"}
	same, dated, arrow, other, pipe := p, p, p, p, p
	dated.Date, arrow.Format, other.Source, pipe.Source = "2026-11-23", dataset.Arrow, "/data/rows2.json", ""
	if stageOf(p) != stageOf(same) {
		t.Error("two names for one work")
	}
	names := []string{stageOf(p), stageOf(dated), stageOf(arrow), stageOf(other), stageOf(pipe), stageOf(pipe)}
	slices.Sort(names)
	if len(slices.Compact(names)) != 6 {
		t.Errorf("one name for several: %q", names)
	}
	for path, want := range map[string]bool{"input_test.go": true, "-": false, "/dev/null": false, "absent": false} {
		if got := sourceOfInput(path); (got != "") != want || want && !filepath.IsAbs(got) {
			t.Errorf("%s can be read again as %q", path, got)
		}
	}
}
