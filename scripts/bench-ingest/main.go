// Command bench-ingest measures `mpcensus ingest` beside DuckDB, on the same file of rows in the same run: ours,
// the statement for all columns (duckdb-same.sql) and an analyst's short one (duckdb-short.sql) in turn.
// It is given the mpcensus to measure.
//
// Both write to the same file system, with the rows in the page cache, and end when what they wrote is on
// the disk. Before the first round it makes sure that ours and *same* are the same rows, value by value.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == peerCommand {
		end(peer(os.Args[2:]))
	}
	var b bench
	rounds := flag.Int("rounds", 5, "run each this many `times`")
	flag.Uint64Var(&b.rows, "rows", 5_000_000, "rows of the file")
	flat := flag.Bool("flat", false, "only show ours' peak memory, for the rows and for ten times as many")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: bench-ingest [-rounds N] [-rows N] [-flat] bin/mpcensus")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 || *rounds < 1 || b.rows < 1 {
		flag.Usage()
		os.Exit(2)
	}
	// An interrupt, too, must leave no gigabytes behind.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	end(b.run(ctx, flag.Arg(0), *rounds, *flat))
}

func end(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-ingest:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// bench is what all runs share.
type bench struct {
	mpcensus string // path of the program
	self     string // path of this program
	rows     uint64
	dir      string // everything written is in it
}

func (b *bench) run(ctx context.Context, mpcensus string, rounds int, flat bool) (err error) {
	if b.mpcensus, err = filepath.Abs(mpcensus); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "bench-ingest-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if flat {
		return b.flat(ctx)
	}
	return b.compare(ctx, rounds)
}

// Bytes on the disk for each row: of the file of rows, and of the tables of all contenders together.
const (
	inputBytes = 500
	tableBytes = 250
)

// needRoom makes sure that the disk does not run full in the middle.
func (b *bench) needRoom(bytes uint64) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(b.dir, &disk); err != nil {
		return fmt.Errorf("%s: %w", b.dir, err)
	}
	if free := disk.Bavail * uint64(disk.Bsize); free < bytes {
		return fmt.Errorf("%s: %d MB free, %d MB needed: set TMPDIR to a folder with more room",
			b.dir, free/1e6, bytes/1e6)
	}
	return nil
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// lab is the command that writes rows.
func (b *bench) lab(ctx context.Context, rows uint64, file string) *exec.Cmd {
	command := exec.CommandContext(ctx, b.mpcensus, "lab", "rows", "--rows", strconv.FormatUint(rows, 10), file)
	command.Stderr = os.Stderr
	return command
}

func (b *bench) compare(ctx context.Context, rounds int) error {
	if err := b.needRoom(b.rows * (inputBytes + tableBytes)); err != nil {
		return err
	}
	progress("writing %d rows", b.rows)
	input := b.path("rows.json")
	if err := b.lab(ctx, b.rows, input).Run(); err != nil {
		return fmt.Errorf("mpcensus lab rows: %w", err)
	}
	ours, same, short := b.ours(input), b.same(input), b.short(input)
	if err := b.verify(ctx, ours, same); err != nil {
		return err
	}
	contenders := []*contender{ours, same, short}
	for round := range rounds {
		for _, c := range contenders {
			m, err := b.measure(ctx, c)
			if err != nil {
				return err
			}
			c.runs = append(c.runs, m)
			progress("round %d of %d: %s %.2f s, CPU %.2f s, peak %.0f MB", round+1, rounds, c.name, m.seconds, m.cpu, m.peakMB)
		}
	}
	report(os.Stdout, b.rows, ours, same, short)
	return nil
}

func progress(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "bench-ingest: "+format+"\n", values...)
}

// flat shows the memory of ours. The rows come through a pipe: they have no room in the page cache, nor
// need to.
func (b *bench) flat(ctx context.Context) error {
	fmt.Println("| rows | peak memory, MB | seconds |")
	fmt.Println("|---|---|---|")
	var peaks []string
	for _, rows := range []uint64{b.rows, 10 * b.rows} {
		if err := b.needRoom(rows * tableBytes); err != nil {
			return err
		}
		progress("ingesting %d rows through a pipe", rows)
		lab := b.lab(ctx, rows, "-")
		pipe, err := lab.StdoutPipe()
		if err != nil {
			return err
		}
		ours := b.ours("-")
		ours.input = pipe
		if err := lab.Start(); err != nil {
			return err
		}
		m, err := b.measure(ctx, ours)
		if err := errors.Join(err, lab.Wait()); err != nil {
			return err
		}
		fmt.Printf("| %d | %.0f | %.1f |\n", rows, m.peakMB, m.seconds)
		peaks = append(peaks, fmt.Sprintf("%.0f MB", m.peakMB))
	}
	fmt.Printf("\nbench-ingest: flat %s\n", strings.Join(peaks, " "))
	return nil
}
