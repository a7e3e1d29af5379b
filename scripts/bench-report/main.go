// Command bench-report measures `mpcensus report` on a year of scans: two families, two ports, v0 and v1, 48
// million hosts in all, once with few potential hosts and once with many. Beside it DuckDB reads the same
// columns of the table hosts once: what no report can do without. Interleaved runs, median and range.
// It is given the mpcensus to measure.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	rounds = 3
	room   = 3e9 // bytes on the disk for a dataset and its reports
)

// Shares of potential hosts: what scans of the Internet find, and many times as many.
var shares = []float64{0.002, 0.1}

// The program calls itself for what needs DuckDB: Linux reports of a child no lower peak of memory than its
// parent's.
const (
	makeCommand = "make"
	readCommand = "read"
)

func main() {
	// An interrupt, too, must leave no gigabyte behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-report:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, arguments []string) error {
	switch {
	case len(arguments) == 3 && arguments[0] == makeCommand:
		share, err := strconv.ParseFloat(arguments[2], 64)
		if err != nil {
			return err
		}
		return makeDataset(ctx, arguments[1], share)
	case len(arguments) == 2 && arguments[0] == readCommand:
		return readHosts(ctx, arguments[1])
	case len(arguments) == 1:
		return bench(ctx, arguments[0])
	}
	return errors.New("usage: bench-report bin/mpcensus")
}

func bench(ctx context.Context, mpcensus string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fmt.Printf("%d CPUs, %d interleaved runs\n\n", runtime.NumCPU(), rounds)
	fmt.Println("| potential hosts | command | seconds: median (min–max) | against DuckDB | CPU seconds: median | peak memory, MB: max |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, share := range shares {
		if err := compare(ctx, self, mpcensus, share); err != nil {
			return err
		}
	}
	return nil
}

// contender is a command, and what its runs took.
type contender struct {
	name    string
	command []string
	seconds []float64
	cpu     []float64 // seconds, of user and system
	peakMB  []float64
}

func compare(ctx context.Context, self, mpcensus string, share float64) (err error) {
	dir, err := os.MkdirTemp("", "bench-report-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return err
	}
	if free := float64(disk.Bavail) * float64(disk.Bsize); free < room {
		return fmt.Errorf("%s: %.0f MB free, %.0f MB needed: set TMPDIR to a folder with more room", dir, free/1e6, room/1e6)
	}
	census := filepath.Join(dir, "census")
	if err := os.Mkdir(census, 0o755); err != nil {
		return err
	}
	maker := contender{name: "make", command: []string{self, makeCommand, census, fmt.Sprint(share)}}
	if err := maker.run(ctx); err != nil {
		return err
	}
	contenders := []*contender{
		{name: "DuckDB, one pass", command: []string{self, readCommand, census}},
		{name: "mpcensus report", command: []string{mpcensus, "report", "--dataset", census, "--out", filepath.Join(dir, "report")}},
	}
	for range rounds {
		for _, c := range contenders {
			if err := c.run(ctx); err != nil {
				return err
			}
		}
	}
	peer := median(contenders[0].seconds)
	for _, c := range contenders {
		fmt.Printf("| %g %% | %s | %.1f (%.1f–%.1f) | %.1f | %.1f | %.0f |\n", 100*share, c.name, median(c.seconds),
			slices.Min(c.seconds), slices.Max(c.seconds), median(c.seconds)/peer, median(c.cpu), slices.Max(c.peakMB))
	}
	return nil
}

// run measures one run.
func (c *contender) run(ctx context.Context) error {
	command := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	command.Stderr = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	c.seconds = append(c.seconds, time.Since(start).Seconds())
	c.cpu = append(c.cpu, (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds())
	c.peakMB = append(c.peakMB, float64(command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1000)
	return nil
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }
