package main

import (
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

// openInput opens a file, or standard input for "-", and decompresses it as its name says. Reads end
// with ctx.
func openInput(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(ingest.Interruptible(ctx, os.Stdin)), nil
	}
	file, err := os.Open(name)
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
	switch {
	case strings.HasSuffix(name, ".gz"):
		rows, err = gzip.NewReader(rows)
	case strings.HasSuffix(name, ".zst"):
		// Decoding in this goroutine leaves none behind.
		rows, err = zstd.NewReader(rows, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: not what its name says: %w", name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{rows, file}, nil
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
