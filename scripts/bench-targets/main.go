// Command bench-targets measures `mpcensus targets build` on ten million IPv6 addresses, as text and
// compressed, beside coreutils' `sort -u` on the same text: interleaved runs, median and range.
// It is given the mpcensus to measure.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	addresses = 10_000_000
	rounds    = 5
	seed      = 20261123
)

// contender is a command, and what its runs took.
type contender struct {
	name    string
	command []string
	seconds []float64
	cpu     []float64 // seconds, of user and system
	peakMB  []float64
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: bench-targets bin/mpcensus")
		os.Exit(2)
	}
	// An interrupt, too, must leave no gigabyte behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := bench(ctx, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "bench-targets:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, mpcensus string) error {
	dir, err := os.MkdirTemp("", "bench-targets-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list := filepath.Join(dir, "hitlist.txt")
	if err := writeLists(ctx, list); err != nil {
		return err
	}
	build := func(list string) []string {
		return []string{mpcensus, "targets", "build", "--out", list + ".targets", list}
	}
	contenders := []*contender{
		{name: "sort -u", command: []string{"sort", "-u", "-T", dir, "-o", filepath.Join(dir, "sorted"), list}},
		{name: "targets build, text", command: build(list)},
		{name: "targets build, gzip", command: build(list + ".gz")},
		{name: "targets build, zstd", command: build(list + ".zst")},
	}
	for range rounds {
		for _, c := range contenders {
			if err := c.run(ctx); err != nil {
				return err
			}
		}
	}
	fmt.Printf("%d IPv6 addresses, %d CPUs, %d interleaved runs\n\n", addresses, runtime.NumCPU(), rounds)
	fmt.Println("| command | seconds: median (min–max) | against `sort -u` | CPU seconds: median | peak memory, MB: max |")
	fmt.Println("|---|---|---|---|---|")
	peer := median(contenders[0].seconds)
	var last []string
	for _, c := range contenders {
		seconds, peak := median(c.seconds), slices.Max(c.peakMB)
		fmt.Printf("| `%s` | %.2f (%.2f–%.2f) | %.2f | %.2f | %.0f |\n",
			c.name, seconds, slices.Min(c.seconds), slices.Max(c.seconds), seconds/peer, median(c.cpu), peak)
		last = append(last, fmt.Sprintf("%s %.2f s %.0f MB", c.name[strings.LastIndexByte(c.name, ' ')+1:], seconds, peak))
	}
	fmt.Printf("\nbench-targets: %s, text : sort -u %.2f\n", strings.Join(last[1:], ", "), median(contenders[1].seconds)/peer)
	return nil
}

// run measures one run. (The peak that Linux reports of a child is never below the memory of the
// process that started it. This one holds no list.)
func (c *contender) run(ctx context.Context) error {
	command := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	command.Env = append(os.Environ(), "LC_ALL=C")
	command.Stderr = os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: %w", strings.Join(c.command, " "), err)
	}
	c.seconds = append(c.seconds, time.Since(start).Seconds())
	c.cpu = append(c.cpu, (command.ProcessState.UserTime() + command.ProcessState.SystemTime()).Seconds())
	c.peakMB = append(c.peakMB, float64(command.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)/1000)
	return nil
}

func median(values []float64) float64 { return slices.Sorted(slices.Values(values))[len(values)/2] }

// writeLists writes the list as text and compressed.
func writeLists(ctx context.Context, path string) error {
	var files []io.Closer
	create := func(name string) (*os.File, error) {
		file, err := os.Create(name)
		if err == nil {
			files = append(files, file)
		}
		return file, err
	}
	plain, err := create(path)
	if err != nil {
		return err
	}
	gz, err := create(path + ".gz")
	if err != nil {
		return err
	}
	zst, err := create(path + ".zst")
	if err != nil {
		return err
	}
	gzipped := gzip.NewWriter(gz)
	zstandard, err := zstd.NewWriter(zst)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(io.MultiWriter(plain, gzipped, zstandard), 1<<20)
	random := rand.New(rand.NewPCG(seed, 0))
	for range addresses {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Anywhere in 2a00::/12: none is a special-purpose address.
		b := binary.BigEndian.AppendUint64(nil, 0x2a0<<52|random.Uint64()>>12)
		b = binary.BigEndian.AppendUint64(b, random.Uint64())
		fmt.Fprintln(w, netip.AddrFrom16([16]byte(b)))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, c := range append([]io.Closer{gzipped, zstandard}, files...) {
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}
