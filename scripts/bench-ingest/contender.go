package main

import (
	"context"
	_ "embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// contender is a command that makes `replies` of the file of rows, and what its runs took.
type contender struct {
	name    string
	command []string
	input   io.Reader // nil for a file that the command names
	output  string    // file or folder, in the bench's folder
	replies string    // pattern of the Parquet files that hold `replies`
	runs    []measurement
}

type measurement struct {
	seconds float64
	cpu     float64 // seconds, of user and system
	peakMB  float64
	fileMB  float64 // of the table `replies`
}

var (
	//go:embed duckdb-same.sql
	sameSQL string
	//go:embed duckdb-short.sql
	shortSQL string
)

func (b *bench) ours(input string) *contender {
	dataset := b.path("dataset")
	return &contender{
		name:    "mpcensus",
		command: []string{b.mpcensus, "ingest", "--dataset", dataset, input},
		output:  dataset,
		replies: filepath.Join(dataset, "replies/*/*/*/*/*.parquet"),
	}
}

func (b *bench) same(input string) *contender {
	return b.duckdb("DuckDB same", sameSQL, "same.parquet", input)
}

func (b *bench) short(input string) *contender {
	return b.duckdb("DuckDB short", shortSQL, "short.parquet", input)
}

func (b *bench) duckdb(name, sql, file, input string) *contender {
	output := b.path(file)
	return &contender{
		name:    name,
		command: []string{b.self, peerCommand, sql, input, output},
		output:  output,
		replies: output,
	}
}

// measure runs a contender from nothing. (The peak that Linux reports of a child is never below the memory
// of the process that started it. This one holds no rows.)
func (b *bench) measure(ctx context.Context, c *contender) (m measurement, err error) {
	if err := os.RemoveAll(c.output); err != nil {
		return m, err
	}
	unix.Sync() // what the run before left unwritten is not this one's
	command := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	command.Dir = b.dir
	command.Stdin = c.input
	command.Stderr = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return m, fmt.Errorf("%s: %w", c.name, err)
	}
	m.seconds = time.Since(start).Seconds()
	state := command.ProcessState
	m.cpu = (state.UserTime() + state.SystemTime()).Seconds()
	m.peakMB = float64(state.SysUsage().(*syscall.Rusage).Maxrss) * 1024 / 1e6
	m.fileMB, err = sizeMB(c.replies)
	return m, err
}

func sizeMB(pattern string) (float64, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return 0, err
	}
	if files == nil {
		return 0, fmt.Errorf("%s: %w", pattern, fs.ErrNotExist)
	}
	var bytes int64
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		bytes += info.Size()
	}
	return float64(bytes) / 1e6, nil
}
