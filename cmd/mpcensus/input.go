package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/mpcensus/mpcensus/pipeline/ingest"
)

// inputNames are the inputs that arguments name: files, patterns of files, or - for standard input.
func inputNames(arguments []string) ([]string, error) {
	if len(arguments) == 0 {
		return nil, usageErrorf("no input: name files, or - for standard input")
	}
	var names []string
	for _, argument := range arguments {
		if _, err := os.Lstat(argument); argument == "-" || err == nil || !strings.ContainsAny(argument, "*?[") {
			names = append(names, argument)
			continue
		}
		found, err := filepath.Glob(argument)
		if err != nil {
			return nil, usageErrorf("%s: not a pattern of files: %v", argument, err)
		}
		if found == nil {
			return nil, usageErrorf("%s: no file has such a name", argument)
		}
		names = append(names, found...)
	}
	return names, nil
}

// openInput opens a file, or standard input for "-", and decompresses it as its name or its first bytes
// say. Reads end with ctx.
func openInput(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		rows, err := decompress(name, ingest.Interruptible(ctx, os.Stdin))
		return io.NopCloser(rows), err
	}
	file, err := open(ctx, name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = fmt.Errorf("%s is a folder: name the files in it, as in '%s/*.json'", name, strings.TrimSuffix(name, "/"))
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	var rows io.Reader = file
	if !info.Mode().IsRegular() {
		rows = ingest.Interruptible(ctx, file)
	}
	if rows, err = decompress(name, rows); err != nil {
		file.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{rows, file}, nil
}

// open waits for the writer of a named pipe, but not longer than until ctx ends.
func open(ctx context.Context, name string) (*os.File, error) {
	type opened struct {
		file *os.File
		err  error
	}
	result := make(chan opened, 1)
	go func() {
		file, err := os.Open(name)
		result <- opened{file, err}
	}()
	select {
	case o := <-result:
		return o.file, o.err
	case <-ctx.Done():
		return nil, fmt.Errorf("open %s: %w", name, ctx.Err())
	}
}

// What compressed input begins with, and no row does.
const (
	gzipMagic = "\x1f\x8b"         // RFC 1952, 2.3.1
	zstdMagic = "\x28\xb5\x2f\xfd" // RFC 8878, 3.1.1
)

func decompress(name string, input io.Reader) (io.Reader, error) {
	rows := bufio.NewReader(input)
	start, _ := rows.Peek(len(zstdMagic)) // an error comes again with the first read
	is := func(extension, magic string) bool {
		return strings.HasSuffix(name, extension) || strings.HasPrefix(string(start), magic)
	}
	switch {
	case is(".gz", gzipMagic):
		unzipped, err := gzip.NewReader(rows)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot be decompressed: %w", name, err)
		}
		return unzipped, nil
	case is(".zst", zstdMagic):
		// Decoding in this goroutine leaves none behind.
		return zstd.NewReader(rows, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	default:
		return rows, nil
	}
}

// maxZstdWindow is what `zstd -d` accepts without --long.
const maxZstdWindow = 128 << 20

// stageOf names the unfinished work on an input: the same for the same file and parameters, another once the
// file was written to. Nothing can go on with a pipe, so that each has a name of its own.
func stageOf(p ingest.Params) string {
	if p.Source == "" {
		return fmt.Sprintf("pipe-%d-%s", os.Getpid(), time.Now().UTC().Format("20060102T150405.000000000"))
	}
	text := fmt.Sprintf("%s\x00%s\x00%+v\x00%s", p.Source, p.Format, p.Partition, p.ToolVersion)
	if info, err := os.Stat(p.Source); err == nil {
		text += fmt.Sprintf("\x00%d\x00%d", info.Size(), info.ModTime().UnixNano())
	}
	digest := sha256.Sum256([]byte(text))
	return "file-" + hex.EncodeToString(digest[:8])
}

// sourceOfInput is where an input can be found again; empty for a pipe.
func sourceOfInput(name string) string {
	info, err := os.Stat(name)
	if name == "-" || err != nil || !info.Mode().IsRegular() {
		return ""
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return ""
	}
	return path
}
